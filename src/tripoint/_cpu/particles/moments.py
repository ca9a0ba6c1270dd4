"""Integer sums over the voxels of every region, in one pass."""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, prange

from tripoint._cpu.compiled import compiled

BYTES_PER_REGION = 10 * 8 + 6 * 4 + 4


def measure(regions, phases, distance, origin, shape):
    """Return the columns of :class:`tripoint.particles.RegionSums` for a block; see there."""
    regions, phases, distance = (np.ascontiguousarray(volume) for volume in (regions, phases, distance))
    borders = np.linspace(0, regions.shape[0], 4 * get_num_threads() + 1).astype(np.int64)
    lowest, highest = _extremes(regions, borders)
    number = max(0, highest - lowest + 1)
    sums, box, inscribed, label = _accumulate(regions, phases, distance, origin, lowest - 1, number)
    faces = np.zeros((number + 1, 6), np.int64)
    for axis in range(3):
        for side, at_face in enumerate(
            (origin[axis] == 0, origin[axis] + regions.shape[axis] == shape[axis])
        ):
            if at_face:
                plane = np.maximum(regions.take(-side, axis).ravel() - (lowest - 1), 0)
                faces[:, 2 * axis + side] = np.bincount(plane, minlength=number + 1)
    present = np.flatnonzero(sums[1:, 0]) + 1
    columns = (column[present] for column in (label, sums, box, inscribed, faces))
    return (present + (lowest - 1)).astype(np.int32), *columns


def _accumulate(regions, phases, distance, origin, before, number):
    """Return sums, bounding box, largest distance and phase of the regions before + 1 … before + number."""
    memory = 2 * regions.size // (BYTES_PER_REGION * (number + 1))  # tables of at most 2 bytes per voxel
    parts = int(max(1, min(get_num_threads(), memory, regions.shape[0])))
    borders = np.linspace(0, regions.shape[0], parts + 1).astype(np.int64)
    sums = np.zeros((parts, number + 1, 10), np.int64)
    box = np.zeros((parts, number + 1, 6), np.int32)
    box[:, :, :3] = np.iinfo(np.int32).max
    inscribed = np.zeros((parts, number + 1), np.float32)
    label = np.zeros(number + 1, np.uint8)
    start = np.array(origin, np.int64)
    _sum_slabs(regions, phases, distance, borders, start, before, sums, box, inscribed, label)
    for part in range(1, parts):
        sums[0] += sums[part]
        np.minimum(box[0, :, :3], box[part, :, :3], out=box[0, :, :3])
        np.maximum(box[0, :, 3:], box[part, :, 3:], out=box[0, :, 3:])
        np.maximum(inscribed[0], inscribed[part], out=inscribed[0])
    return sums[0], box[0], inscribed[0], label


@compiled(parallel=True)
def _extremes(regions, borders):
    """Return the lowest and the highest region; 1 and 0 where there is none."""
    lowest = np.full(borders.size - 1, np.iinfo(np.int32).max, np.int32)
    highest = np.zeros(borders.size - 1, np.int32)
    for part in prange(borders.size - 1):
        low, high = np.int32(2**31 - 1), np.int32(0)
        for z in range(borders[part], borders[part + 1]):
            for y in range(regions.shape[1]):
                row = regions[z, y]
                for x in range(row.size):
                    high = max(high, row[x])
                    low = min(low, row[x] if row[x] > 0 else np.int32(2**31 - 1))
        lowest[part], highest[part] = low, high
    highest_of_all = np.int64(highest.max())
    return (np.int64(lowest.min()) if highest_of_all > 0 else np.int64(1)), highest_of_all


@compiled(parallel=True)
def _sum_slabs(regions, phases, distance, borders, origin, before, sums, box, inscribed, label):
    """Add up runs along x: count, Σz Σy Σx, Σzz Σyy Σxx, Σzy Σzx Σyx; and extend boxes and maxima.

    Coordinates are those of the volume, of which the block begins at ``origin``.
    """
    nx = regions.shape[2]
    for part in prange(borders.size - 1):
        for z in range(borders[part], borders[part + 1]):
            for y in range(regions.shape[1]):
                x = 0
                while x < nx:
                    region = regions[z, y, x]
                    if region <= 0:
                        x += 1
                        continue
                    begin = x
                    sum_x = sum_xx = 0
                    farthest = np.float32(0)
                    while x < nx and regions[z, y, x] == region:
                        sum_x += x
                        sum_xx += x * x
                        farthest = max(farthest, distance[z, y, x])
                        x += 1
                    run = x - begin
                    sum_xx += origin[2] * (2 * sum_x + run * origin[2])
                    sum_x += run * origin[2]
                    p, q = z + origin[0], y + origin[1]
                    row = sums[part, region - before]
                    row[0] += run
                    row[1] += run * p
                    row[2] += run * q
                    row[3] += sum_x
                    row[4] += run * p * p
                    row[5] += run * q * q
                    row[6] += sum_xx
                    row[7] += run * p * q
                    row[8] += p * sum_x
                    row[9] += q * sum_x
                    edge = box[part, region - before]
                    edge[0], edge[3] = min(edge[0], p), max(edge[3], p + 1)
                    edge[1], edge[4] = min(edge[1], q), max(edge[4], q + 1)
                    edge[2], edge[5] = min(edge[2], begin + origin[2]), max(edge[5], x + origin[2])
                    inscribed[part, region - before] = max(inscribed[part, region - before], farthest)
                    label[region - before] = phases[z, y, begin]
