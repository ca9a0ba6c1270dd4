"""Raw files: nothing but voxels, so that the caller has to know their shape and type."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tripoint.errors import InputError
from tripoint.io.stored import Choice, Stored, array_reader


@contextmanager
def opened(path: Path, choice: Choice) -> Iterator[Stored]:
    """Map a raw file, of which the caller knows shape, type and byte order."""
    if choice.shape is None or choice.dtype is None:
        message = (
            f"{path} is raw voxels; give their shape and type, for example shape=[100,200,300] dtype=uint8"
        )
        raise InputError(message)
    shape = tuple(int(n) for n in choice.shape)
    try:
        dtype = np.dtype(choice.dtype)
    except TypeError as error:
        message = f"dtype={choice.dtype!r} is not known; use for example uint8, uint16 or int32"
        raise InputError(message) from error
    if choice.byte_order not in ("little", "big"):
        message = f"byte_order is {choice.byte_order!r}; use 'little' or 'big'"
        raise InputError(message)
    if len(shape) != 3 or min(shape) < 1:
        message = f"shape is {list(shape)}; expected three positive numbers of voxels along z, y, x"
        raise InputError(message)
    expected, found = math.prod(shape) * dtype.itemsize, path.stat().st_size
    if expected != found:
        message = (
            f"{path} has {found} bytes, but shape {list(shape)} of {dtype} needs {expected}; "
            "check shape (z, y, x), dtype and whether there is a header"
        )
        raise InputError(message)
    array = np.memmap(
        path, dtype.newbyteorder("<" if choice.byte_order == "little" else ">"), "r", shape=shape
    )
    yield Stored(shape=shape, dtype=dtype, read=array_reader(array))
