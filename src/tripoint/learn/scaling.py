"""Features brought to mean 0 and s.d. 1, by the statistics of the training split alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tripoint.errors import InputError

REACH = 5.0
"""Standard deviations from the mean within which scaled features lie."""


@dataclass(frozen=True)
class Scaling:
    """Mean and s.d. of named features.

    Parameters
    ----------
    names : tuple of str
    mean, scale : (features,) float64
        The scale of a constant feature is 1.
    constant : tuple of str
        Features that do not vary, or have no value at all, in what this was fitted to: they become 0, so that
        nothing is learnt from them.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    constant: tuple[str, ...] = ()

    @classmethod
    def fit(cls, names: Sequence[str], parts: Iterable[np.ndarray]) -> Scaling:
        """Take the statistics of some arrays, one after the other; NaN is left out.

        Parameters
        ----------
        names : sequence of str
        parts : iterable of (rows, features) arrays

        Raises
        ------
        InputError
            A value that is infinite, which feature it is; no values at all.
        """
        count, mean, squares = (np.zeros(len(names)) for _ in range(3))
        rows = 0
        for values in parts:
            part = np.asarray(values, np.float64)
            infinite = np.isinf(part).any(axis=0)
            if infinite.any():
                message = (
                    f"feature {names[int(infinite.argmax())]} is infinite somewhere in the training split; "
                    "look at the columns that it is computed from"
                )
                raise InputError(message)
            rows += len(part)
            # Chan, Golub and LeVeque (1983): means and squares of two parts put together.
            known = ~np.isnan(part)
            here = known.sum(axis=0)
            centre = np.where(known, part, 0).sum(axis=0) / np.maximum(here, 1)
            spread = np.where(known, (part - centre) ** 2, 0).sum(axis=0)
            both = np.maximum(count + here, 1)
            squares += spread + (centre - mean) ** 2 * count * here / both
            mean += (centre - mean) * here / both
            count += here
        if not rows:
            message = "there is nothing to take statistics of; the training split is empty"
            raise InputError(message)
        scale = np.sqrt(squares / np.maximum(count, 1))
        constant = ~(scale > 1e-9 * np.maximum(np.abs(mean), 1e-12))
        return cls(
            tuple(names),
            mean,
            np.where(constant, 1.0, scale),
            tuple(str(name) for name in np.array(names, object)[constant]),
        )

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return float32 features; those that are not known have the mean, 0, and so have constant ones.

        None lies farther out than `REACH`: of a sample unlike those of the training a network would otherwise
        make anything, and since activity is relative, of all its particles because of a single one.
        """
        scaled = np.clip((values - self.mean) / self.scale, -REACH, REACH)
        scaled[:, self._constant] = 0
        return np.nan_to_num(scaled, copy=False, nan=0.0).astype(np.float32)

    @cached_property
    def _constant(self) -> np.ndarray:
        return np.flatnonzero(np.isin(self.names, self.constant))

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values, which a checkpoint holds."""
        return {
            "names": list(self.names),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "constant": list(self.constant),
        }

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Scaling:
        """Return the scaling of `to_mapping`."""
        return cls(
            tuple(mapping["names"]),
            np.array(mapping["mean"], np.float64),
            np.array(mapping["scale"], np.float64),
            tuple(mapping["constant"]),
        )
