"""NumPy's .npy and .npz."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from tripoint.errors import InputError
from tripoint.io.stored import Choice, Stored, array_reader, squeezed, stream_reader


@contextmanager
def opened(path: Path, choice: Choice) -> Iterator[Stored]:
    """Open ``array.npy`` by memory mapping, or ``arrays.npz:name``, or the only 3D array of a .npz."""
    if path.suffix.lower() == ".npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        array = array.reshape(squeezed(array.shape))
        yield Stored(shape=array.shape, dtype=array.dtype, read=array_reader(array))
        return
    with zipfile.ZipFile(path) as archive:
        name = _member(archive, path, choice.inner)
        with archive.open(f"{name}.npy") as stream:
            shape, fortran, dtype = _header(stream)
            shape = squeezed(shape)
            if fortran or len(shape) != 3:
                array = np.load(path, allow_pickle=False)[name].reshape(shape)
                yield Stored(shape=shape, dtype=dtype, read=array_reader(array))
            else:
                yield Stored(shape=shape, dtype=dtype, read=stream_reader(stream, shape, dtype))


def _member(archive: zipfile.ZipFile, path: Path, inner: str | None) -> str:
    shapes = {}
    for member in archive.namelist():
        if member.endswith(".npy"):
            with archive.open(member) as stream:
                shapes[member[:-4]] = _header(stream)[0]
    volumes = [name for name, shape in shapes.items() if len(squeezed(shape)) == 3]
    listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
    if inner is not None:
        if inner.lstrip("/") not in shapes:
            message = f"{path} has no array '{inner}'; its arrays are: {listed}"
            raise InputError(message)
        return inner.lstrip("/")
    if len(volumes) != 1:
        message = f"{path} has {len(volumes)} 3D arrays among {listed}; name one, for example {path}:name"
        raise InputError(message)
    return volumes[0]


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)
