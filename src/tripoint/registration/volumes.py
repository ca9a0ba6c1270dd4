"""What is done to a volume before it is registered or resampled: checked, made coarser, normalised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array

from tripoint.errors import DeviceError, InputError
from tripoint.sample import Spacing


def checked(values: Any, what: str) -> np.ndarray:
    """Return a volume (z, y, x) as float32, an image (y, x) as one slice of it.

    Raises
    ------
    InputError
        Other dimensions, no numbers, none that is finite.
    DeviceError
        An array on the GPU.
    """
    if is_cupy_array(values):
        message = f"the {what} is on the GPU; registration and resampling work on the host, bring it there"
        raise DeviceError(message)
    volume = np.asarray(values)
    if volume.ndim == 2:
        volume = volume[None]
    if volume.ndim != 3 or 0 in volume.shape or volume.dtype.kind not in "fiub":
        message = f"the {what} has shape {volume.shape} and type {volume.dtype}; expected numbers (z, y, x)"
        raise InputError(message)
    volume = volume.astype(np.float32, copy=False)
    if not np.isfinite(volume).any():
        message = f"the {what} holds no numbers; check its mask, or choose another"
        raise InputError(message)
    return volume


def block_means(volume: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Return block means as float32, what is over at the end filled up with zeros."""
    if all(f == 1 for f in factors):
        return volume.astype(np.float32, copy=False)
    from skimage.measure import block_reduce

    return np.asarray(block_reduce(volume, tuple(factors), np.mean, func_kwargs={"dtype": np.float32}))


def reduced(fixed: np.ndarray, voxel: Spacing, most: int) -> tuple[np.ndarray, Spacing]:
    """Return a volume of at most so many voxels, its longest axes made coarser, and its voxel size."""
    factors = [1, 1, 1]
    while math.prod(-(-n // f) for n, f in zip(fixed.shape, factors, strict=True)) > most:
        longest = int(np.argmax([n / f for n, f in zip(fixed.shape, factors, strict=True)]))
        factors[longest] += 1
    whole = tuple(slice(0, n // f * f) for n, f in zip(fixed.shape, factors, strict=True))
    z, y, x = (s * f for s, f in zip(voxel, factors, strict=True))
    return block_means(fixed[whole], factors), (z, y, x)


def coarsened(moving: np.ndarray, voxel: Spacing, edge: float) -> tuple[np.ndarray, Spacing]:
    """Return a volume whose voxels are finer than an edge as means of blocks, and its voxel size, µm.

    NaN where less than half of a block was measured.
    """
    factors = [min(max(1, int(edge / s + 1e-6)), n) for s, n in zip(voxel, moving.shape, strict=True)]
    if factors == [1, 1, 1]:
        return moving, voxel
    there = np.isfinite(moving)
    value, share = block_means(np.where(there, moving, 0), factors), block_means(there, factors)
    z, y, x = (s * f for s, f in zip(voxel, factors, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(share >= 0.5, value / share, np.nan).astype(np.float32), (z, y, x)


def normalised(volume: np.ndarray, what: str) -> np.ndarray:
    """Return a volume of mean 0 and variance 1, with 0 where nothing was measured.

    Raises
    ------
    InputError
        One value everywhere.
    """
    there = np.isfinite(volume)
    values = volume[there]
    mean, spread = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    if not spread > 1e-6 * abs(mean):
        message = f"the {what} has one value everywhere, by which nothing can be registered; choose another"
        raise InputError(message)
    return np.where(there, (volume - mean) / spread, 0).astype(np.float32)
