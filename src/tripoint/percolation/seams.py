"""Where blocks of a volume lie, and the planes in which they touch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripoint.blocks import Box, Shape
from tripoint.errors import InputError

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """A block of a volume: where it lies, which piece each of its components is, what is on its planes.

    ``box`` is ((z0, z1), (y0, y1), (x0, x1)); ``members`` (n + 1,) int64 holds the piece of each component;
    ``planes`` the component images of its outer planes in the order of ``FACES``, None where nothing can
    follow.
    """

    box: Box
    members: Numbers
    planes: tuple[Any, ...]


def seams(blocks: Sequence[Block], of_part: Numbers, connectivity: int) -> Iterable[tuple[Any, ...]]:
    """Find the planes of two blocks of different parts that lie one beyond the other."""
    boxes = np.array([block.box for block in blocks])
    for i, block in enumerate(blocks):
        others = boxes[i + 1 :]
        gaps = np.maximum(others[:, :, 0] - boxes[i, :, 1], boxes[i, :, 0] - others[:, :, 1])
        widest = gaps.max(axis=1)
        if (widest < 0).any():
            other = blocks[i + 1 + int(np.argmax(widest < 0))].box
            message = (
                f"the blocks {block.box} and {other} overlap; give each voxel to one block, without a halo"
            )
            raise InputError(message)
        # Boxes meet in a face, an edge or a corner where one, two or three of their gaps are 0.
        near = (widest == 0) & ((gaps == 0).sum(axis=1) <= {6: 1, 18: 2, 26: 3}[connectivity])
        for j in np.flatnonzero(near & (of_part[i + 1 :] != of_part[i])).tolist():
            low, high = block, blocks[i + 1 + j]
            axis = int(np.argmax(gaps[j]))  # the gap is 0 here: every voxel of one comes after the other's
            if low.box[axis][0] > high.box[axis][0]:
                low, high = high, low
            apart = [low.box[k][0] - high.box[k][0] for k in range(3) if k != axis]
            yield low.planes[2 * axis + 1], low.members, high.planes[2 * axis], high.members, apart


def open_planes(block: Block, boxes: Any, shape: Shape, connectivity: int) -> tuple[Any, ...]:
    """Return the planes beyond which there still are voxels of no block: only those can be joined again."""
    reach = 0 if connectivity == 6 else 1
    kept = []
    for face, plane in enumerate(block.planes):
        axis, last = divmod(face, 2)
        beyond = [
            (max(begin - reach, 0), min(end + reach, n))
            for (begin, end), n in zip(block.box, shape, strict=True)
        ]
        begin, end = block.box[axis]
        beyond[axis] = (end, end + 1) if last else (begin - 1, begin)
        layer = np.array(beyond)
        known = np.minimum(boxes[:, :, 1], layer[:, 1]) - np.maximum(boxes[:, :, 0], layer[:, 0])
        missing = math.prod(e - b for b, e in beyond) - int(np.maximum(known, 0).prod(axis=1).sum())
        kept.append(plane if plane is not None and missing > 0 else None)
    return tuple(kept)
