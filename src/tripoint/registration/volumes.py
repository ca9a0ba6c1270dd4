"""What is done to a volume before it is registered or resampled: checked, made coarser, normalised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array

from tripoint import _cuda
from tripoint.errors import DeviceError, InputError
from tripoint.sample import Spacing


def checked(values: Any, what: str) -> Any:
    """Return a volume (z, y, x) as float32 where it lives, an image (y, x) as one slice of it.

    Raises
    ------
    InputError
        Other dimensions, no numbers, none that is finite.
    """
    volume = values if is_cupy_array(values) else np.asarray(values)
    if volume.ndim == 2:
        volume = volume[None]
    if volume.ndim != 3 or 0 in volume.shape or volume.dtype.kind not in "fiub":
        message = f"the {what} has shape {volume.shape} and type {volume.dtype}; expected numbers (z, y, x)"
        raise InputError(message)
    volume = volume.astype(np.float32, copy=False)
    if not array_namespace(volume).isfinite(volume).any():
        message = f"the {what} holds no numbers; check its mask, or choose another"
        raise InputError(message)
    return volume


def checked_pair(moving: Any, fixed: Any) -> tuple[Any, Any]:
    """Return both volumes, checked, or say that one of them lives elsewhere than the other.

    Raises
    ------
    InputError
        As :func:`checked`.
    DeviceError
        One on the GPU and one on the host.
    """
    if is_cupy_array(moving) != is_cupy_array(fixed):
        places = ["the GPU" if is_cupy_array(one) else "the host" for one in (moving, fixed)]
        message = f"the moving volume is on {places[0]} and the fixed one on {places[1]}; bring both to one"
        raise DeviceError(message)
    return checked(moving, "moving volume"), checked(fixed, "fixed volume")


def block_means(volume: Any, factors: Sequence[int]) -> Any:
    """Return block means as float32, what is over at the end filled up with zeros."""
    if all(f == 1 for f in factors):
        return volume.astype(np.float32, copy=False)
    if is_cupy_array(volume):
        return _cuda.registration.block_means(volume, factors)
    from skimage.measure import block_reduce

    return np.asarray(block_reduce(volume, tuple(factors), np.mean, func_kwargs={"dtype": np.float32}))


def reduced(fixed: Any, voxel: Spacing, most: int) -> tuple[Any, Spacing]:
    """Return a volume of at most so many voxels, its longest axes made coarser, and its voxel size."""
    factors = [1, 1, 1]
    while math.prod(-(-n // f) for n, f in zip(fixed.shape, factors, strict=True)) > most:
        longest = int(np.argmax([n / f for n, f in zip(fixed.shape, factors, strict=True)]))
        factors[longest] += 1
    whole = tuple(slice(0, n // f * f) for n, f in zip(fixed.shape, factors, strict=True))
    z, y, x = (s * f for s, f in zip(voxel, factors, strict=True))
    return block_means(fixed[whole], factors), (z, y, x)


def coarsened(moving: Any, voxel: Spacing, edge: float) -> tuple[Any, Spacing]:
    """Return a volume whose voxels are finer than an edge as means of blocks, and its voxel size, µm.

    NaN where less than half of a block was measured.
    """
    factors = [min(max(1, int(edge / s + 1e-6)), n) for s, n in zip(voxel, moving.shape, strict=True)]
    if factors == [1, 1, 1]:
        return moving, voxel
    xp = array_namespace(moving)
    there = xp.isfinite(moving)
    value, share = block_means(xp.where(there, moving, 0), factors), block_means(there, factors)
    z, y, x = (s * f for s, f in zip(voxel, factors, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        return xp.where(share >= 0.5, value / share, xp.nan).astype(np.float32), (z, y, x)


def shrunk(shape: Sequence[int], levels: Sequence[int]) -> list[int]:
    """Return those factors by which a volume can be made coarser and still has 16 voxels along each axis."""
    return [f for f in levels if min(n for n in shape if n > 1) >= 16 * f] or [1]


def normalised(volume: Any, what: str) -> Any:
    """Return a volume of mean 0 and variance 1, with 0 where nothing was measured.

    Raises
    ------
    InputError
        One value everywhere.
    """
    xp = array_namespace(volume)
    there = xp.isfinite(volume)
    values = volume[there]
    mean, spread = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    if not spread > 1e-6 * abs(mean):
        message = f"the {what} has one value everywhere, by which nothing can be registered; choose another"
        raise InputError(message)
    return xp.where(there, (volume - mean) / spread, 0).astype(np.float32)
