"""Where blocks of a volume lie: boxes ((z0, z1), (y0, y1), (x0, x1)) of voxels, half open."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence

import numpy as np

from tripoint.errors import InputError

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
Shape = tuple[int, int, int]


def place(
    origin: Sequence[int], size: Sequence[int], shape: Sequence[int] | None = None
) -> tuple[Box, Shape]:
    """Return the box of a block, and the shape of its volume, which by default ends where the block does.

    Raises
    ------
    InputError
        An origin or a shape that is not three whole numbers; a block that is not inside the volume.
    """
    try:
        box = tuple((operator.index(o), operator.index(o) + n) for o, n in zip(origin, size, strict=True))
        whole = tuple(end for _, end in box) if shape is None else tuple(operator.index(n) for n in shape)
        fits = all(begin >= 0 and end <= n for (begin, end), n in zip(box, whole, strict=True))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        message = (
            f"a block of shape {tuple(size)} at {origin} is not inside the volume of shape {shape}; give "
            "origin and shape as (z, y, x) in voxels"
        )
        raise InputError(message)
    z, y, x = box
    return (z, y, x), (whole[0], whole[1], whole[2])


def place_within(
    within: Sequence[Sequence[int]] | None, origin: Sequence[int], shape: Sequence[int]
) -> tuple[Box, Shape, Box]:
    """Return a box of an array, all of it by default, where the array lies in its volume, and the box there.

    Raises
    ------
    InputError
        A box that is not inside the array, an origin that is not three whole numbers.
    """
    inner = check_within(within, shape)
    (z, _), (y, _), (x, _) = place(origin, shape)[0]
    start = (z, y, x)
    begins = [o + begin for o, (begin, _) in zip(start, inner, strict=True)]
    return inner, start, place(begins, [end - begin for begin, end in inner])[0]


def voxels(boxes: Iterable[Box]) -> int:
    """Return the number of voxels of boxes that do not overlap."""
    return sum(math.prod(end - begin for begin, end in box) for box in boxes)


def joined(boxes: Sequence[Box], others: Sequence[Box]) -> tuple[Box, ...]:
    """Return the boxes of both, as one if they fill it.

    Raises
    ------
    InputError
        Boxes that overlap.
    """
    rest = np.array(others)
    for box in boxes:
        here = np.array(box)
        gaps = np.maximum(rest[:, :, 0] - here[:, 1], here[:, 0] - rest[:, :, 1])
        overlapping = (gaps < 0).all(axis=1)
        if overlapping.any():
            other = others[int(np.argmax(overlapping))]
            message = f"the blocks {box} and {other} overlap, so they cannot be added; cut the volume anew"
            raise InputError(message)
    both = (*boxes, *others)
    ends = np.array(both)
    z, y, x = zip(ends[:, :, 0].min(axis=0).tolist(), ends[:, :, 1].max(axis=0).tolist(), strict=True)
    around: Box = (z, y, x)
    return (around,) if voxels([around]) == voxels(both) else both


def check_filled(boxes: Sequence[Box], shape: Shape) -> None:
    """Raise InputError unless boxes that do not overlap fill the volume."""
    if voxels(boxes) < math.prod(shape):
        message = (
            f"the blocks hold {voxels(boxes)} of the {math.prod(shape)} voxels of a volume of shape {shape}; "
            "merge the parts of all blocks first"
        )
        raise InputError(message)


def check_within(within: Sequence[Sequence[int]] | None, shape: Sequence[int]) -> Box:
    """Return a box of an array, all of it by default, or say that it is not inside the array."""
    if within is None:
        return ((0, shape[0]), (0, shape[1]), (0, shape[2]))
    try:
        (z0, z1), (y0, y1), (x0, x1) = [[operator.index(value) for value in pair] for pair in within]
    except (TypeError, ValueError):
        z0 = z1 = y0 = y1 = x0 = x1 = -1
    box: Box = ((z0, z1), (y0, y1), (x0, x1))
    if not all(0 <= begin < end <= n for (begin, end), n in zip(box, shape, strict=True)):
        message = (
            f"the box {within!r} is not inside the volume of shape {tuple(shape)}; "
            "give ((z0, z1), (y0, y1), (x0, x1)) with 0 <= begin < end <= size"
        )
        raise InputError(message)
    return box
