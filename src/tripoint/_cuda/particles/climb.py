"""Every voxel climbs to its steepest neighbour until a summit; see kernels/particles_climb.cu."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cupy as cp
import numpy as np

from tripoint._cuda.compiled import kernel

THREADS = 256
TILE = (8, 8, 32)  # voxels that a block of the kernels finishes
PART = 1024  # voxels whose summits are counted together


def basins(
    phases: Any, distance: Any, spacing: Sequence[float], separated: Iterable[int], components: Iterable[int]
) -> tuple[Any, Any, Any]:
    """Return labels of the basins, and the distance and the height at each of their summits.

    Labels are int32: the basin 1..n in raster order of the summits, 0 where a phase is not asked for,
    −1 − phase where it is to become connected components.  Entry 0 of distances and heights is unused.
    Memory: 4 + 1 bytes per voxel, of which 4 stay.
    """
    labels = cp.empty(phases.shape, cp.int32)  # holds the heights until the directions are known
    codes = cp.empty(phases.shape, cp.uint8)
    climbing, fixed = np.zeros(256, np.uint8), np.zeros(256, np.int32)
    climbing[list(separated)] = 1
    for label in components:
        fixed[label] = -1 - label

    tiles = int(np.prod([-(-n // m) for n, m in zip(phases.shape, TILE, strict=True)], dtype=np.int64))
    grid, block, shape = (tiles,), (THREADS,), tuple(np.int32(n) for n in phases.shape)
    unit, integer = units(spacing)
    arguments = (phases, distance, *shape, np.float64(unit), np.int32(integer), labels)
    kernel("particles_climb", "smooth")(grid, block, arguments)
    counts = cp.zeros(-(-phases.size // PART) + 1, cp.int64)
    arguments = (phases, labels, *shape, cp.asarray(climbing), _slopes(spacing), codes, counts)
    kernel("particles_climb", "steepest")(grid, block, arguments)
    summits, heights = _number_summits(codes, distance, counts, labels)
    arguments = (codes, phases, *shape, cp.asarray(fixed), labels)
    kernel("particles_climb", "follow")(grid, block, arguments)
    return labels, summits, heights


def units(spacing: Sequence[float]) -> tuple[float, bool]:
    """Return the factor from µm to voxels, and whether squares of distances are then integers."""
    return 1.0 / min(spacing), spacing[0] == spacing[1] == spacing[2]


def _slopes(spacing: Sequence[float]) -> Any:
    """Return 1 / length of the steps of each kind: 4 (along z) + 2 (along y) + (along x)."""
    unit = np.asarray(spacing, np.float64) / min(spacing)
    slopes = np.zeros(8)
    for kind in range(1, 8):
        step = np.array([kind >> 2 & 1, kind >> 1 & 1, kind & 1])
        slopes[kind] = 1.0 / np.sqrt(np.sum((step * unit) ** 2))
    return cp.asarray(slopes)


def _number_summits(codes: Any, distance: Any, counts: Any, labels: Any) -> tuple[Any, Any]:
    """Write the numbers of the summits over their heights, and return their distances and heights."""
    first = cp.cumsum(counts)
    number = int(first[-1])
    summits, heights = cp.zeros(number + 1, cp.float32), cp.zeros(number + 1, cp.int32)
    blocks = min(-(-(first.size - 1) * 32 // THREADS), 1 << 20)
    arguments = (codes, distance, np.int64(codes.size), first, labels, summits, heights)
    kernel("particles_climb", "number_summits")((blocks,), (THREADS,), arguments)
    return summits, heights
