"""What is done to a volume before it is registered or resampled: checked, made coarser, centred."""

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
    """Return a structure of at most so many voxels, its longest axes made coarser, and its voxel size."""
    factors = [1, 1, 1]
    while math.prod(-(-n // f) for n, f in zip(fixed.shape, factors, strict=True)) > most:
        longest = int(np.argmax([n / f for n, f in zip(fixed.shape, factors, strict=True)]))
        factors[longest] += 1
    whole = tuple(slice(0, n // f * f) for n, f in zip(fixed.shape, factors, strict=True))
    z, y, x = (s * f for s, f in zip(voxel, factors, strict=True))
    return block_means(fixed[whole], factors), (z, y, x)


def filled(volume: np.ndarray, what: str) -> np.ndarray:
    """Return a volume around its mean, which stands where nothing was measured."""
    there = np.isfinite(volume)
    mean = volume[there].mean(dtype=np.float64)
    result = np.where(there, volume - mean, 0).astype(np.float32)
    if not result.any():
        message = f"the {what} has one value everywhere, by which nothing can be registered; choose another"
        raise InputError(message)
    return result
