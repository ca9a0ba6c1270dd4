"""A volume that still lies in its file: what every format has to tell before it is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any

import numpy as np

from tripoint.errors import InputError

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Stored:
    """A volume in a file that is open.

    Parameters
    ----------
    shape : tuple of int
        (z, y, x).
    dtype : numpy.dtype
        As stored.
    read : callable
        ``read((z, y, x))`` returns that box of slices as an array of the stored type. Boxes are asked
        for in ascending z, each once, so that a compressed stream need not be rewound.
    step : int
        Number of slices that are stored together; blocks are cut at its multiples.
    spacing : (z, y, x)
        Voxel size, None along the axes for which the file has none.
    units : (z, y, x)
        Their units as the file spells them, None where it gives numbers without a unit.
    note : str
        What else to tell when the labels are not what is needed.
    read_to_gpu : callable, optional
        As ``read``, into a CuPy array; for formats that need not take voxels through the host.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[Box], np.ndarray]
    step: int = 1
    spacing: Sequence[float | None] = (None, None, None)
    units: Sequence[str | None] = (None, None, None)
    note: str = ""
    read_to_gpu: Callable[[Box], Any] | None = None


@dataclass(frozen=True)
class Choice:
    """What of a file to read, and what a file without a header cannot say."""

    inner: str | None = None
    channel: int | None = None
    shape: Sequence[int] | None = None
    dtype: str | np.dtype[Any] | type | None = None
    byte_order: str = "little"


def array_reader(array: Any) -> Callable[[Box], np.ndarray]:
    """Read boxes of anything that is sliced like an array: memory map, HDF5 dataset, Zarr array."""
    return lambda box: np.asarray(array[box])


def stream_reader(
    stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Callable[[Box], np.ndarray]:
    """Read boxes of a C-ordered volume from a stream that only goes forward, slice by slice."""
    _, height, width = shape
    size = height * width * dtype.itemsize
    position = 0

    def read(box: Box) -> np.ndarray:
        nonlocal position
        while position < box[0].start:
            _take(stream, size)
            position += 1
        count = box[0].stop - box[0].start
        block = np.empty(box_shape(box), dtype)
        for k in range(count):
            plane = np.frombuffer(_take(stream, size), dtype).reshape(height, width)
            block[k] = plane[box[1], box[2]]
            position += 1
        return block

    return read


def squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    """Drop axes of length one in front of and behind three axes, as time and channel axes often are."""
    sizes = list(map(int, shape))
    while len(sizes) > 3 and sizes[0] == 1:
        sizes.pop(0)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


def box_of(roi: Any, shape: tuple[int, ...]) -> Box:
    """Return the region of interest as three slices, after a check of its bounds.

    Parameters
    ----------
    roi : None or three of None, slice, [start, stop]
        Voxel indices along z, y, x, the stop not included; None means everything.

    Raises
    ------
    InputError
        Not three ranges, or a range that is empty or outside the volume.
    """
    ranges = [None] * 3 if roi is None else list(roi)
    if len(ranges) != 3:
        message = (
            f"roi has {len(ranges)} ranges; expected three along z, y, x, "
            "for example roi=[[0,100],[0,200],null]"
        )
        raise InputError(message)
    z, y, x = (_slice(bounds, size, axis) for bounds, size, axis in zip(ranges, shape, "zyx", strict=True))
    return (z, y, x)


def box_shape(box: Box) -> tuple[int, int, int]:
    """Return the number of voxels of a box along z, y, x."""
    z, y, x = (s.stop - s.start for s in box)
    return (z, y, x)


def blocks(box: Box, stored: Stored, memory: int = 1 << 25) -> list[Box]:
    """Cut a box into runs of slices that take about ``memory`` bytes as stored and end where chunks end."""
    plane = math.prod(box_shape(box)[1:]) * stored.dtype.itemsize
    step = stored.step * max(1, memory // max(1, plane * stored.step))
    edges = [box[0].start, *range((box[0].start // step + 1) * step, box[0].stop, step), box[0].stop]
    return [(slice(a, b), box[1], box[2]) for a, b in pairwise(edges)]


def _slice(bounds: Any, size: int, axis: str) -> slice:
    if isinstance(bounds, slice):
        if bounds.step not in (None, 1):
            message = (
                f"roi along {axis} has a step of {bounds.step}; only whole ranges can be read, use step 1"
            )
            raise InputError(message)
        bounds = (bounds.start, bounds.stop)
    try:
        start, stop = (None, None) if bounds is None else bounds
        start, stop = 0 if start is None else _index(start), size if stop is None else _index(stop)
    except (TypeError, ValueError) as error:
        message = f"roi along {axis} is {bounds!r}; expected [start, stop] in voxels or null for everything"
        raise InputError(message) from error
    if not 0 <= start < stop <= size:
        message = (
            f"roi along {axis} is [{start}, {stop}], but the volume has {size} voxels there; "
            f"choose 0 <= start < stop <= {size}"
        )
        raise InputError(message)
    return slice(start, stop)


def _index(value: Any) -> int:
    if int(value) != value:
        raise ValueError
    return int(value)


def _take(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        message = "the data end too early"
        raise EOFError(message)
    return data
