"""Composites that differ at random, from a seed: what varies, and between which values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.synth.composite import Composite
from tripoint.synth.views import check_seed

_STREAM = 0x76617279  # apart from the numbers that the composite itself is made from


def vary(composite: Composite, ranges: Mapping[str, Any], seed: int) -> Composite:
    """Return a composite with values drawn at random.

    Parameters
    ----------
    composite : Composite
    ranges : mapping
        Nested as the composite, ``{"particles": {"active": {"fraction": [0.4, 0.65]}}}``: ``[low, high]`` is
        uniform between both, ``[low, high, log]`` uniform in the logarithm, a list of texts one of these.
    seed : int
        The same seed gives the same values, whatever else varies: each is drawn from a stream of its own.

    Raises
    ------
    InputError
        Something that is no range, or values that do not fit the composite.
    """
    return composite.changed(draw(ranges, check_seed(seed)))


def draw(ranges: Mapping[str, Any], seed: int, path: str = "vary") -> dict[str, Any]:
    """Return a value for each range, nested as these are."""
    drawn: dict[str, Any] = {}
    for name, entry in ranges.items():
        here = f"{path}.{name}"
        drawn[name] = draw(entry, seed, here) if isinstance(entry, Mapping) else _drawn(entry, seed, here)
    return drawn


def _drawn(entry: Any, seed: int, path: str) -> Any:
    rng = np.random.default_rng([_STREAM, *path.encode(), seed])
    if isinstance(entry, list | tuple) and entry and all(isinstance(choice, str) for choice in entry):
        return entry[rng.integers(len(entry))]
    low, high, scale = _range(entry, path)
    if scale == "log":
        return math.exp(rng.uniform(math.log(low), math.log(high)))
    return float(rng.uniform(low, high))


def _range(entry: Any, path: str) -> tuple[float, float, str]:
    try:
        low, high, *rest = entry
        low, high, scale = float(low), float(high), str(rest[0]) if rest else "linear"
        fits = math.isfinite(low) and math.isfinite(high) and low <= high and len(rest) < 2
        if fits and (scale == "linear" or (scale == "log" and low > 0)):
            return low, high, scale
    except (TypeError, ValueError):
        pass
    message = f"{path} is {entry!r}; expected [low,high], [low,high,log] with low above 0, or a list of names"
    raise InputError(message)
