"""A moving volume on the grid of a fixed one.

An affine is a 4×4 matrix that takes a point (z, y, x, 1) of the fixed volume to the point of the moving one
that shows the same place, both in µm from their volume's corner.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array

from tripoint import _cuda
from tripoint.errors import InputError
from tripoint.registration.volumes import block_means, checked
from tripoint.sample import check_spacing
from tripoint.tables import on_host

SLAB = 1 << 24  # voxels of the fixed grid that are resampled at a time


def resample(
    moving: Any,
    affine: Any,
    *,
    moving_spacing: Sequence[float] | float,
    shape: Sequence[int],
    spacing: Sequence[float] | float,
    out: Any = None,
) -> Any:
    """Bring a moving volume onto the grid of a fixed one, by linear interpolation.

    Where its voxels are finer than those of the fixed volume, they are averaged first. Of voxels that were
    not measured the others take the place; where these have less than half of the weight, there is no value.

    Parameters
    ----------
    moving : (z, y, x) float
        What is not finite was not measured. Where it lives, on the host or the GPU, it is resampled.
    affine : (4, 4) array
        From the fixed volume to the moving one, µm.
    moving_spacing, spacing : (z, y, x) or float
        Voxel sizes of the moving and of the fixed volume, µm.
    shape : (z, y, x)
        Voxels of the fixed volume.
    out : (z, y, x) float32, optional
        What to write to, such as a memory map; one of the host takes what comes from the GPU slab by slab.

    Returns
    -------
    (z, y, x) float32
        NaN where the moving volume was not measured, and beyond it; where the moving volume lives.

    Raises
    ------
    InputError
        An affine that is not one, or no overlap at all.

    Notes
    -----
    Memory: 4 bytes per voxel of the fixed volume for the result, 9 per voxel of the moving one, and 18 for
    each of the 2²⁴ voxels (or of a plane) that are worked on at a time.
    """
    size = tuple(map(int, shape))
    result, found = out, False
    parts = slabs(moving, affine, moving_spacing=moving_spacing, shape=size, spacing=spacing)
    for z, slab in parts:
        xp = array_namespace(slab)
        result = xp.empty(size, dtype=np.float32) if result is None else result
        result[z : z + slab.shape[0]] = slab if is_cupy_array(result) else on_host(slab)
        found = found or bool(xp.isfinite(slab).any())
    if not found:
        message = (
            "the moving volume has no values where the fixed one is; check the affine, which takes µm of the "
            "fixed volume to µm of the moving one, and the voxel sizes"
        )
        raise InputError(message)
    return result


def slabs(
    moving: Any,
    affine: Any,
    *,
    moving_spacing: Sequence[float] | float,
    shape: Sequence[int],
    spacing: Sequence[float] | float,
    depth: int | None = None,
) -> Iterator[tuple[int, Any]]:
    """Yield what :func:`resample` returns slab by slab, each with the plane that it begins at.

    Parameters
    ----------
    moving, affine, moving_spacing, shape, spacing
        As of :func:`resample`.
    depth : int, optional
        Planes of a slab; those that hold 2²⁴ voxels by default.
    """
    volume = checked(moving, "moving volume")
    xp = array_namespace(volume)
    voxel, moving_voxel = check_spacing(spacing), check_spacing(moving_spacing)
    matrix, offset = to_indices(check_affine(affine), voxel, moving_voxel)
    value, weight, factors = averaged(volume, matrix)
    coarse_voxel = tuple(s * f for s, f in zip(moving_voxel, factors, strict=True))
    matrix, offset = to_indices(check_affine(affine), voxel, coarse_voxel)
    extent = np.array(volume.shape) / factors
    size = tuple(map(int, shape))
    step = depth or max(1, SLAB // max(1, math.prod(size[1:])))
    for z in range(0, size[0], step):
        part = (min(step, size[0] - z), *size[1:])
        begin = offset + matrix[:, 0] * z
        share = interpolated(weight, matrix, begin, part)
        slab = interpolated(value, matrix, begin, part)
        there = (share >= 0.5) & _inside(xp, matrix, begin, part, extent)
        slab /= xp.maximum(share, 0.5, out=share)
        slab[~there] = np.nan
        yield z, slab


def interpolated(
    volume: Any, matrix: np.ndarray, offset: np.ndarray, shape: Sequence[int], mode: str = "nearest"
) -> Any:
    """Return a volume at matrix · index + offset, for the indices of a shape, linearly between voxels."""
    if is_cupy_array(volume):
        return _cuda.registration.interpolated(volume, matrix, offset, shape, mode)
    from scipy import ndimage

    return ndimage.affine_transform(volume, matrix, offset, tuple(shape), order=1, mode=mode)


def check_affine(affine: Any) -> np.ndarray:
    """Return an affine as a 4×4 matrix, or say what is wrong with it."""
    try:
        matrix = np.array(affine, np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    good = matrix.shape == (4, 4) and np.isfinite(matrix).all() and np.allclose(matrix[3], [0, 0, 0, 1])
    if not good or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        message = (
            "the affine is not a 4×4 matrix of finite numbers with the last row 0 0 0 1 that can be inverted "
            f"(its shape is {matrix.shape}); it takes (z, y, x, 1) of the fixed volume to the moving one, "
            "in µm"
        )
        raise InputError(message)
    return matrix


def averaged(volume: Any, matrix: np.ndarray) -> tuple[Any, Any, list[int]]:
    """Average a moving volume whose voxels are finer than those of the fixed one.

    Parameters
    ----------
    volume : (z, y, x) float32
        NaN where it was not measured.
    matrix : (3, 3) float64
        From voxel indices of the fixed volume to those of the moving one.

    Returns
    -------
    values, weight : float32
        Means of its blocks, 0 standing for what was not measured, and the share that was.
    factors : (z, y, x)
        Voxels of a block.
    """
    factors = [
        min(max(1, int(n + 1e-6)), size)
        for n, size in zip(np.linalg.norm(matrix, axis=1), volume.shape, strict=True)
    ]
    xp = array_namespace(volume)
    there = xp.isfinite(volume)
    return block_means(xp.where(there, volume, 0), factors), block_means(there, factors), factors


def filled(volume: Any, matrix: np.ndarray) -> tuple[Any, Any, list[int]]:
    """Average as :func:`averaged`; return values, their mean where nothing was measured, and where it was.

    Raises
    ------
    InputError
        Nowhere was half of a block measured.
    """
    value, share, factors = averaged(volume, matrix)
    xp = array_namespace(value)
    value = value / xp.maximum(share, 1e-6)
    there = share >= 0.5
    if not there.any():
        message = (
            "too little of the moving volume was measured: less than half of the voxels wherever "
            f"{' × '.join(map(str, factors))} of them are averaged; choose another, or check its mask"
        )
        raise InputError(message)
    return xp.where(there, value, value[there].mean()), there, factors


def to_indices(
    affine: np.ndarray, voxel: Sequence[float], moving_voxel: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return an affine between voxel indices, whose centres lie half a voxel behind the corner."""
    to_map = 1 / np.asarray(moving_voxel)
    matrix = to_map[:, None] * affine[:3, :3] * np.asarray(voxel)
    offset = to_map * (affine[:3, :3] @ (np.asarray(voxel) / 2) + affine[:3, 3]) - 0.5
    return matrix, offset


def _inside(xp: Any, matrix: np.ndarray, offset: np.ndarray, shape: Sequence[int], extent: np.ndarray) -> Any:
    """Return which voxels' centres lie in a volume of this extent, in voxels of it, its rim included."""
    z, y, x = (xp.arange(n, dtype=np.float32) for n in shape)
    inside = xp.ones(tuple(shape), dtype=bool)
    for row, begin, end in zip(matrix.astype(np.float32), offset, extent, strict=True):
        place = np.float32(begin) + (row[0] * z[:, None, None] + row[1] * y[:, None]) + row[2] * x
        inside &= (place > -0.501) & (place < end - 0.499)
    return inside
