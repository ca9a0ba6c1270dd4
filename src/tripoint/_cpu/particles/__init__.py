"""Host side of :mod:`tripoint.particles`: numba loops over slabs of planes."""

from __future__ import annotations

import numpy as np

from tripoint._cpu.distance import transform
from tripoint._cpu.particles import climb, merge, pieces
from tripoint._cpu.particles.moments import measure

__all__ = ["measure", "separate"]


def separate(phases, spacing, labels, neck_ratio, components, distance):
    """Return the label image of the particles; see :func:`tripoint.particles.separate`."""
    phases = np.ascontiguousarray(phases)
    separated = sorted(set(labels) - set(components))
    if distance is None:
        distance = transform(phases, spacing, labels=separated)
    distance = np.ascontiguousarray(distance)
    borders = climb.slabs(phases.shape[0])
    regions, *summits = climb.basins(phases, distance, spacing, separated, components)
    into = merge.merge(regions, phases, distance, summits, spacing, neck_ratio, borders)
    pieces.split(regions, into, borders)
    return regions
