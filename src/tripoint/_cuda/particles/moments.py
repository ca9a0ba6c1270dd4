"""Integer sums over the voxels of every region, in one pass; see kernels/particles_moments.cu.

Not cuCIM's ``regionprops_table``: its moments are taken within each region's own box, so that those of blocks
do not add up; where a spacing is given they are sums of floats by atomics, whose order changes from run to
run; and it reads the volume once per group of properties.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import cupy as cp
import numpy as np

from tripoint._cuda.compiled import kernel

TILE = {"TILE_Z": 32, "TILE_Y": 16}  # voxels that a block of threads sums up, by 32 along x
DEFINES = TILE | {"THREADS": 256, "ENTRIES": 512}
THREADS = 256
MOST_BLOCKS = 2**16
LARGEST = np.iinfo(np.int32).max


def measure(
    regions: Any, phases: Any, distance: Any, origin: Sequence[int], shape: Sequence[int]
) -> tuple[Any, ...]:
    """Return the columns of :class:`tripoint.particles.RegionSums` for a block; see there.

    The volumes may be views with any strides.  Memory: 157 bytes for every number between the lowest and the
    highest region, and 161 per region present, which stay.
    """
    lowest, highest = _extremes(regions)
    number, before = max(0, highest - lowest + 1), lowest - 1
    sums = cp.zeros((number + 1, 10), cp.int64)
    box = cp.zeros((number + 1, 6), cp.int32)
    box[:, :3] = LARGEST
    inscribed = cp.zeros(number + 1, cp.float32)
    label = cp.zeros(number + 1, cp.uint8)
    nz, ny, nx = regions.shape
    tiles = -(-nz // TILE["TILE_Z"]) * -(-ny // TILE["TILE_Y"]) * -(-nx // 32)
    kernel("particles_moments", "add_up", **DEFINES)(
        (tiles,),
        (DEFINES["THREADS"],),
        (
            *(part for volume in (regions, phases, distance) for part in (volume, *_steps(volume))),
            *(np.int32(n) for n in regions.shape),
            *(np.int64(start) for start in origin),
            np.int32(before),
            *(sums, box, inscribed.view(cp.int32), label),
        ),
    )
    faces = _faces(regions, origin, shape, before, number)
    present = cp.flatnonzero(sums[1:, 0]) + 1
    columns = (column[present] for column in (label, sums, box, inscribed, faces))
    return (present + before).astype(cp.int32), *columns


def _extremes(regions: Any) -> tuple[int, int]:
    """Return the lowest and the highest region; 1 and 0 where there is none."""
    found = cp.asarray([LARGEST, 0], cp.int32)
    rows = regions.shape[0] * regions.shape[1]
    sizes = (np.int32(n) for n in regions.shape)
    extremes = kernel("particles_moments", "extremes", **DEFINES)
    extremes((min(rows, MOST_BLOCKS),), (THREADS,), (regions, *_steps(regions), *sizes, found))
    lowest, highest = found.tolist()
    return (lowest, highest) if highest > 0 else (1, 0)


def _steps(volume: Any) -> list[np.int64]:
    """Return how many elements apart neighbours along each axis are."""
    return [np.int64(stride // volume.itemsize) for stride in volume.strides]


def _faces(regions: Any, origin: Sequence[int], shape: Sequence[int], before: int, number: int) -> Any:
    """Count the voxels of every region on those outer faces of the volume that the block reaches."""
    faces = cp.zeros((number + 1, 6), cp.int64)
    for axis in range(3):
        ends = origin[axis] == 0, origin[axis] + regions.shape[axis] == shape[axis]
        for side, at_face in enumerate(ends):
            if at_face:
                plane = cp.maximum(regions.take(-side, axis).ravel() - before, 0)
                faces[:, 2 * axis + side] = cp.bincount(plane, minlength=number + 1)
    return faces


def eigvalsh(matrices: Any) -> Any:
    """Return the eigenvalues of symmetric 3 x 3 matrices, ascending, as ``numpy.linalg.eigvalsh`` does.

    By Jacobi's rotations, a thread per matrix.  Not ``cupy.linalg.eigvalsh``: cuSOLVER's batched routine
    takes some 8 kB of scratch per matrix, so that three million regions would need 25 GB, and more than the
    32-bit number in which it returns that size.
    """
    n = prod(matrices.shape[:-2])
    values = cp.empty((*matrices.shape[:-2], 3), cp.float64)
    if n:
        blocks = min(-(-n // THREADS), MOST_BLOCKS)
        eigenvalues = kernel("particles_moments", "eigenvalues", **DEFINES)
        eigenvalues((blocks,), (THREADS,), (cp.ascontiguousarray(matrices), np.int64(n), values))
    return values
