"""Pieces of a phase that are too small to be real, given to what surrounds them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array

from tripoint import percolation
from tripoint.percolation.blocks import label_block
from tripoint.record import Progress


def remove_islands(phases: Any, least: int, *, depth: int = 32, progress: Progress | None = None) -> int:
    """Give the voxels of every piece that is smaller to the nearest phase in their slab, in place.

    Pieces are 6-connected, and found across slabs: `percolation.scan` of each slab, merged. A second pass
    writes.

    Parameters
    ----------
    phases : (z, y, x) uint8
        An array in memory, on the host or on the GPU, or one of a file such as Zarr's.
    least : int
        Voxels that a piece has to have to stay.
    depth : int
        Slices of a slab.

    Returns
    -------
    int
        Voxels that were changed.

    Notes
    -----
    6 bytes per voxel of a slab, some 60 per voxel that changes in it, 42 per piece, 4 per voxel of a slice
    for each slab.
    """
    shape = tuple(phases.shape)
    starts = range(0, shape[0], depth)
    parts = []
    for number, z in enumerate(starts):
        if progress is not None:
            progress("finding islands", number, 2 * len(starts))
        parts.append(percolation.scan(_slab(phases, z, depth), None, origin=(z, 0, 0), shape=shape))
    whole = percolation.merge(parts)
    small = whole.pieces.voxels < least
    small[0] = False  # voxels of no piece
    changed = 0
    for number, z in enumerate(starts):
        if progress is not None:
            progress("removing islands", len(starts) + number, 2 * len(starts))
        block = _slab(phases, z, depth)
        image, part = label_block(block, None, 6, (z, 0, 0), shape)
        members = next(known.members for known in whole.blocks if known.box == part.blocks[0].box)
        xp = array_namespace(block)
        gone = xp.asarray(small[members])[image]
        places = xp.argwhere(gone)
        if len(places) in (0, gone.size):  # where all of a slab is islands, nothing is there to take them
            continue
        nearest = _nearest(block, gone, places)
        block[tuple(places.T)] = nearest
        phases[z : z + depth] = block
        changed += len(places)
    return changed


def _slab(phases: Any, z: int, depth: int) -> Any:
    """Return a copy of some slices, where the phases live."""
    part = phases[z : z + depth]
    return part.copy() if is_cupy_array(part) else np.array(part)


def _nearest(block: Any, gone: Any, places: Any) -> Any:
    """Return the label of the voxel nearest to each of some places that is not gone itself.

    Looked for outwards, which is quick for what is small: a piece of eight voxels ends two voxels away.
    """
    xp = array_namespace(block)
    found = xp.empty(len(places), dtype=block.dtype)
    open_ones = xp.arange(len(places))
    shape = xp.asarray(block.shape)
    for offset in _outwards(max(block.shape)):
        there = places[open_ones] + xp.asarray(offset)
        inside = ((there >= 0) & (there < shape)).all(axis=1)
        there = xp.where(inside[:, None], there, 0)
        taken = inside & ~gone[tuple(there.T)]
        found[open_ones[taken]] = block[tuple(there[taken].T)]
        open_ones = open_ones[~taken]
        if not len(open_ones):
            break
    return found


def _outwards(farthest: int) -> Iterator[tuple[int, int, int]]:
    """Give the steps to other voxels in order of their length, up to the diagonal of a cube."""
    inner, outer = 0, 2
    while inner < 2 * farthest:
        steps = product(range(-outer, outer + 1), repeat=3)
        shell = sorted((z * z + y * y + x * x, (z, y, x)) for z, y, x in steps)
        yield from (step for square, step in shell if inner**2 < square <= outer**2)
        inner, outer = outer, 2 * outer
