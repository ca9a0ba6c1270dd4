"""A map on the grid of the structure that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.registration import resample


def onto_grid(
    values: Any,
    shape: Sequence[int],
    spacing: Sequence[float] | float,
    *,
    map_spacing: Sequence[float] | float | None = None,
    affine: Any = None,
) -> Any:
    """Return a map on the structure's grid: as it is where it lies there already, else by its affine.

    Parameters
    ----------
    values : (z, y, x) float
    shape, spacing : (z, y, x)
        Voxels of the structure, and their size in µm.
    map_spacing : (z, y, x) or float, optional
        Voxel size of the map, µm; by default the structure's.
    affine : (4, 4) array, optional
        From the structure to the map, µm.

    Returns
    -------
    (z, y, x) float32
        NaN where there is no value.

    Raises
    ------
    InputError
        Another shape without an affine; as :func:`resample`.
    """
    if affine is not None:
        size = spacing if map_spacing is None else map_spacing
        return resample(values, affine, moving_spacing=size, shape=shape, spacing=spacing)
    if tuple(values.shape) != tuple(shape):
        message = (
            f"the map has shape {tuple(values.shape)} and the structure {tuple(shape)}; give the affine "
            "between them, for example the affine.txt of tripoint spectro … register.to=…"
        )
        raise InputError(message)
    return values.astype(np.float32, copy=False)
