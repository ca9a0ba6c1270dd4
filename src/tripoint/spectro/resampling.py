"""A map on the structure's grid.

An affine is a 4×4 matrix that takes a point (z, y, x, 1) of the structure's volume to the point of the map's
volume that shows the same place, both in µm from their volume's corner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.sample import check_spacing
from tripoint.spectro.volumes import block_means, checked

SLAB = 1 << 24  # voxels of the structure's grid that are resampled at a time


def resample(
    values: Any,
    affine: Any,
    *,
    map_spacing: Sequence[float] | float,
    shape: Sequence[int],
    spacing: Sequence[float] | float,
    out: Any = None,
) -> Any:
    """Bring a map onto the structure's grid, by linear interpolation.

    Where the map's voxels are finer than the structure's, they are averaged first. Of voxels that were not
    measured the others take the place; where these have less than half of the weight, there is no value.

    Parameters
    ----------
    values : (z, y, x) float
        The map; what is not finite was not measured.
    affine : (4, 4) array
        From the structure to the map, µm.
    map_spacing, spacing : (z, y, x) or float
        Voxel sizes of the map and of the structure, µm.
    shape : (z, y, x)
        Voxels of the structure.
    out : (z, y, x) float32, optional
        What to write to, such as a memory map.

    Returns
    -------
    (z, y, x) float32
        NaN where the map was not measured, and beyond it.

    Raises
    ------
    InputError
        An affine that is not one, or no overlap at all.
    DeviceError
        A map on the GPU.

    Notes
    -----
    Memory: 4 bytes per voxel of the structure for the result, 9 per voxel of the map, and 18 for each of the
    2²⁴ voxels (or of a plane) that are worked on at a time.
    """
    from scipy import ndimage

    map_, voxel, map_voxel = checked(values, "map"), check_spacing(spacing), check_spacing(map_spacing)
    matrix, offset = to_indices(check_affine(affine), voxel, map_voxel)
    value, weight, factors = averaged(map_, matrix)
    coarse_voxel = tuple(s * f for s, f in zip(map_voxel, factors, strict=True))
    matrix, offset = to_indices(check_affine(affine), voxel, coarse_voxel)
    extent = np.array(map_.shape) / factors
    size = tuple(map(int, shape))
    result = np.empty(size, np.float32) if out is None else out
    depth = max(1, SLAB // max(1, math.prod(size[1:])))
    found = False
    for z in range(0, size[0], depth):
        part = (min(depth, size[0] - z), *size[1:])
        begin = offset + matrix[:, 0] * z
        common = {"offset": begin, "output_shape": part, "order": 1, "mode": "nearest"}
        share = ndimage.affine_transform(weight, matrix, **common)
        slab = ndimage.affine_transform(value, matrix, **common)
        there = (share >= 0.5) & _inside(matrix, begin, part, extent)
        found = found or bool(there.any())
        np.divide(slab, share, out=slab, where=there)
        slab[~there] = np.nan
        result[z : z + part[0]] = slab
    if not found:
        message = (
            "the map has no values where the structure is; check the affine, which takes µm of the structure "
            "to µm of the map, and the voxel sizes"
        )
        raise InputError(message)
    return result


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
        return resample(values, affine, map_spacing=size, shape=shape, spacing=spacing)
    if tuple(values.shape) != tuple(shape):
        message = (
            f"the map has shape {tuple(values.shape)} and the structure {tuple(shape)}; give the affine "
            "between them, for example the affine.txt of tripoint spectro … register.to=…"
        )
        raise InputError(message)
    return values.astype(np.float32, copy=False)


def check_affine(affine: Any) -> np.ndarray:
    """Return an affine as a 4×4 matrix, or say what is wrong with it."""
    try:
        matrix = np.array(affine, np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    good = matrix.shape == (4, 4) and np.isfinite(matrix).all() and np.allclose(matrix[3], [0, 0, 0, 1])
    if not good or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        message = (
            f"the affine is not a 4×4 matrix of finite numbers with the last row 0 0 0 1 that can be "
            f"inverted (its shape is {matrix.shape}); it takes (z, y, x, 1) of the structure to the map, in "
            "µm"
        )
        raise InputError(message)
    return matrix


def averaged(map_: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Average a map whose voxels are finer than the structure's.

    Parameters
    ----------
    map_ : (z, y, x) float32
        NaN where it was not measured.
    matrix : (3, 3) float64
        From voxel indices of the structure to those of the map.

    Returns
    -------
    values, weight : float32
        Means of blocks of the map, 0 standing for what was not measured, and the share that was.
    factors : (z, y, x)
        Voxels of a block.
    """
    factors = [
        min(max(1, int(n + 1e-6)), size)
        for n, size in zip(np.linalg.norm(matrix, axis=1), map_.shape, strict=True)
    ]
    there = np.isfinite(map_)
    return block_means(np.where(there, map_, 0), factors), block_means(there, factors), factors


def to_indices(
    affine: np.ndarray, voxel: Sequence[float], map_voxel: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return an affine between voxel indices, whose centres lie half a voxel behind the corner."""
    to_map = 1 / np.asarray(map_voxel)
    matrix = to_map[:, None] * affine[:3, :3] * np.asarray(voxel)
    offset = to_map * (affine[:3, :3] @ (np.asarray(voxel) / 2) + affine[:3, 3]) - 0.5
    return matrix, offset


def _inside(matrix: np.ndarray, offset: np.ndarray, shape: Sequence[int], extent: np.ndarray) -> np.ndarray:
    """Return which voxels' centres lie in a volume of this extent, in voxels of it, its rim included."""
    z, y, x = (np.arange(n, dtype=np.float32) for n in shape)
    inside = np.ones(tuple(shape), bool)
    for row, begin, end in zip(matrix.astype(np.float32), offset, extent, strict=True):
        place = np.float32(begin) + (row[0] * z[:, None, None] + row[1] * y[:, None]) + row[2] * x
        inside &= (place > -0.501) & (place < end - 0.499)
    return inside
