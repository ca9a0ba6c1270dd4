"""Split labels into their 6-connected pieces, in place, by a union–find over runs along x.

Not by ``cucim.skimage.measure.label``, which labels the components of :mod:`tripoint.percolation`: that would
hold a second label image, 4 bytes per voxel and 8 from 2³¹ voxels on, when most is held already.
"""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np

from tripoint._cuda.compiled import kernel

CHUNK = 1024  # runs that a warp numbers
THREADS = 256
ROWS = THREADS // 32  # rows, or chunks, that a block takes at a time
BLOCKS = 1 << 20  # most in a launch
NARROW = 1 << 31  # runs that have int32 numbers


def split(labels: Any, into: Any) -> int:
    """Replace labels by the 6-connected pieces of equal labels, 1..n in raster order of their first voxels.

    Positive labels are first renamed to ``into[label]``; 0 stays 0 and joins nothing.

    Parameters
    ----------
    labels : (z, y, x) int32
        Contiguous; overwritten.
    into : (basins,) int32

    Returns
    -------
    int
        n.

    Notes
    -----
    Bytes moved: 20 per voxel at least; see kernels/particles_pieces.cu.
    Memory: 4 bytes per run of equal labels along x (8 from 2³¹ runs on) and 24 per row, beside
    the labels; 0.5 bytes per voxel of a cathode of 300³ voxels.
    """
    planes, rows_of_plane, columns = labels.shape
    rows = planes * rows_of_plane
    size = np.int64(rows), np.int32(columns)
    count = cp.empty(rows, cp.int64)
    _launch("count_runs", rows, 0, labels, into, *size, count)
    first, runs = _before(count)
    wide = int(runs >= NARROW)
    parents = cp.arange(runs, dtype=cp.int64 if wide else cp.int32)
    _launch("join_rows", rows, wide, labels, first, size[0], np.int32(rows_of_plane), size[1], parents)
    pieces = _number(parents, wide)
    _launch("write_pieces", rows, wide, labels, first, parents, *size)
    return pieces


def _number(parents: Any, wide: int) -> int:
    """Replace parents by roots, and those of roots by −number of the piece; return how many there are."""
    chunks = -(-parents.size // CHUNK)
    size = np.int64(parents.size), np.int64(chunks)
    count = cp.empty(chunks, cp.int64)
    _launch("flatten", chunks, wide, parents, *size, count)
    first, pieces = _before(count)
    _launch("number_roots", chunks, wide, parents, *size, first)
    return pieces


def _before(count: Any) -> tuple[Any, int]:
    """Return the sum of the counts before each one, and of all."""
    if not count.size:
        return count, 0
    total = cp.cumsum(count)
    return total - count, int(total[-1])


def _launch(name: str, warps: int, wide: int, *arguments: Any) -> None:
    if warps:
        blocks = min(-(-warps // ROWS), BLOCKS)
        kernel("particles_pieces", name, CHUNK=CHUNK, WIDE=wide)((blocks,), (THREADS,), arguments)
