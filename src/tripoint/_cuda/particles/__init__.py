"""GPU side of :mod:`tripoint.particles`: the same steps as on the host, on CuPy arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cupy as cp

from tripoint._cuda.distance import transform
from tripoint._cuda.particles import climb, merge, pieces
from tripoint._cuda.particles.moments import measure

__all__ = ["measure", "separate"]


def separate(
    phases: Any,
    spacing: Sequence[float],
    labels: Iterable[int],
    neck_ratio: float,
    components: Iterable[int],
    distance: Any,
) -> Any:
    """Return the label image of the particles; see :func:`tripoint.particles.separate`."""
    phases = cp.ascontiguousarray(phases)
    separated = sorted(set(labels) - set(components))
    if distance is None:
        distance = transform(phases, spacing, labels=separated)
    distance = cp.ascontiguousarray(distance)
    regions, *summits = climb.basins(phases, distance, spacing, separated, components)
    into = merge.merge(regions, phases, distance, summits, spacing, neck_ratio)
    del distance, summits  # the distance is freed here where it was made here
    pieces.split(regions, into)
    return regions
