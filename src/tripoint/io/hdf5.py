"""HDF5: a dataset of a file, with the voxel size that ilastik and Fiji write beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tripoint.errors import InputError
from tripoint.io.stored import Box, Choice, Stored, squeezed
from tripoint.io.units import attribute_spacing


@contextmanager
def opened(path: Path, choice: Choice) -> Iterator[Stored]:
    """Open ``file.h5:/dataset``, or the only 3D dataset of a file."""
    with h5py.File(path, "r") as file:
        dataset = file[_name(file, path, choice.inner)]
        shape = squeezed(dataset.shape)
        lead = next((k for k in range(dataset.ndim - 2) if dataset.shape[k : k + 3] == shape), 0)

        def read(box: Box) -> np.ndarray:
            index = (0,) * lead + box + (0,) * (dataset.ndim - lead - len(shape))
            return np.asarray(dataset[index])

        step = dataset.chunks[lead] if dataset.chunks and len(shape) == 3 else 1
        yield Stored(
            shape=shape, dtype=dataset.dtype, read=read, step=step, **attribute_spacing(dataset.attrs)
        )


def _name(file: h5py.File, path: Path, inner: str | None) -> str:
    volumes: dict[str, tuple[int, ...]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and len(squeezed(item.shape)) == 3:
            volumes[name] = item.shape

    file.visititems(visit)
    listed = ", ".join(f"/{name} {shape}" for name, shape in volumes.items()) or "none"
    if inner is None:
        if len(volumes) != 1:
            message = (
                f"{path} has {len(volumes)} 3D datasets ({listed}); name one, for example {path}:/dataset"
            )
            raise InputError(message)
        return next(iter(volumes))
    if not isinstance(file.get(inner), h5py.Dataset):
        message = f"{path} has no dataset '{inner}'; its 3D datasets are: {listed}"
        raise InputError(message)
    return inner
