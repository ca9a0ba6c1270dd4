"""What the boundaries of regions ask of the volumes that they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tripoint.errors import InputError


def check_regions(regions: Any) -> int:
    """Return the highest region id of a volume, or say what is wrong with it."""
    shape, dtype = tuple(getattr(regions, "shape", ())), getattr(regions, "dtype", None)
    if len(shape) != 3 or 0 in shape:
        message = f"regions have shape {shape}; expected a 3D volume of region ids (z, y, x)"
        raise InputError(message)
    if dtype != np.int32:
        message = f"regions are {dtype}; expected int32 region ids, convert with regions.astype('int32')"
        raise InputError(message)
    least, most = int(regions.min()), int(regions.max())
    if least < 0:
        message = f"regions hold the negative id {least}; ids are 1 and up, 0 means no region"
        raise InputError(message)
    return most


def check_volume(name: str, volume: Any, dtype: Any, shape: Sequence[int]) -> None:
    """Raise InputError unless a volume has the shape of the regions and this type."""
    found, kind = tuple(getattr(volume, "shape", ())), getattr(volume, "dtype", None)
    if found != tuple(shape):
        message = f"{name} has shape {found} and the regions {tuple(shape)}; make both from one volume"
        raise InputError(message)
    if kind != dtype:
        expected = np.dtype(dtype).name
        message = f"{name} is {kind}; expected {expected}, convert with {name}.astype('{expected}')"
        raise InputError(message)
