"""Host side of :mod:`tripoint.particles`: numba loops over slabs of planes."""

from __future__ import annotations

import numpy as np

from tripoint._cpu.distance import transform
from tripoint._cpu.particles.climb import basins, slabs
from tripoint._cpu.particles.describe import describe
from tripoint._cpu.particles.merge import merge
from tripoint._cpu.particles.pieces import split

__all__ = ["describe", "separate"]


def separate(phases, spacing, labels, neck_ratio, components, distance):
    """Return the label image of the particles; see :func:`tripoint.particles.separate`."""
    phases = np.ascontiguousarray(phases)
    distance = transform(phases, spacing) if distance is None else np.ascontiguousarray(distance)
    borders = slabs(phases.shape[0])
    regions, *summits = basins(phases, distance, spacing, sorted(set(labels) - set(components)), components)
    into = merge(regions, phases, distance, summits, spacing, neck_ratio, borders)
    split(regions, into, borders)
    return regions
