"""Pieces of a phase that are too small to be real, given to what surrounds them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

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
        An array in memory, or one of a file such as Zarr's.
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
    14 bytes per voxel of a slab, 42 per piece, 4 per voxel of a slice for each slab.
    """
    shape = tuple(phases.shape)
    starts = range(0, shape[0], depth)
    parts = []
    for number, z in enumerate(starts):
        if progress is not None:
            progress("finding islands", number, 2 * len(starts))
        block = np.ascontiguousarray(phases[z : z + depth])
        parts.append(percolation.scan(block, None, origin=(z, 0, 0), shape=shape))
    whole = percolation.merge(parts)
    small = whole.pieces.voxels < least
    changed = 0
    for number, z in enumerate(starts):
        if progress is not None:
            progress("removing islands", len(starts) + number, 2 * len(starts))
        block = np.ascontiguousarray(phases[z : z + depth])
        image, part = label_block(block, None, 6, (z, 0, 0), shape)
        members = next(known.members for known in whole.blocks if known.box == part.blocks[0].box)
        gone = small[members][image]
        if not gone.any() or gone.all():  # where all of a slab is islands, nothing is there to take them
            continue
        place = ndimage.distance_transform_edt(gone, return_distances=False, return_indices=True)
        phases[z : z + depth] = block[tuple(place)]
        changed += int(gone.sum())
    return changed
