"""GPU side of :mod:`tripoint.registration`: what SciPy and scikit-image do on the host, by CuPy and cuCIM.

cuCIM registers shifts (phase correlation) and optical flow; it has no mutual information, and no search for
a rigid or affine transform (26.10).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cupy as cp
import numpy as np
from cupy import fft
from cupyx.scipy import ndimage

from tripoint._cuda import memory
from tripoint._cuda.percolation import labelling  # noqa: F401  # cuCIM without its reader of image files

# isort: split
from cucim.skimage.registration import phase_cross_correlation

__all__ = ["block_means", "budget", "fft", "interpolated", "phase_cross_correlation"]

#: Bytes per voxel of the moving volume, of the fixed one, and of a slab; and what the search takes.
#: Of the moving one there are 9 on top of its 4 where it is averaged, 21 where it is searched as it is.
MOVING, FIXED, SLAB, SEARCH = 25, 4, 30, 1 << 28
WAYS = "cut the fixed volume with roi=[[z0,z1],[y0,y1],[x0,x1]], or run with device=cpu"


@contextmanager
def budget(
    moving: Sequence[int], fixed: Sequence[int], slab: int, *, share: float = 0.9
) -> Iterator[memory.Gauge]:
    """Keep a registration of two volumes to the memory that is free, and gauge what it takes.

    Parameters
    ----------
    moving, fixed : (z, y, x)
        Voxels of the volumes.
    slab : int
        Voxels that are resampled at a time.
    share : float
        Of the free memory that may be taken.

    Raises
    ------
    DeviceMemoryError
        It does not fit, or did not after all.
    """
    voxels = math.prod(fixed)
    needed = MOVING * math.prod(moving) + FIXED * voxels + SLAB * min(voxels, slab) + SEARCH
    sizes = " on ".join(" × ".join(map(str, shape)) for shape in (moving, fixed))
    per_voxel = f"{MOVING} bytes per voxel of the moving and {FIXED} of the fixed volume, and its work space"
    plan = memory.fitted(needed, f"a registration of {sizes} voxels", per_voxel, share=share, ways=WAYS)
    with memory.kept_to(plan) as gauge:
        yield gauge


def interpolated(
    volume: cp.ndarray, matrix: np.ndarray, offset: Sequence[float], shape: Sequence[int], mode: str
) -> cp.ndarray:
    """Return a volume at matrix · index + offset, linearly between voxels.

    CuPy 15 counts places of float32 volumes in float32: 1e-4 voxels in 2048.
    """
    return ndimage.affine_transform(
        volume, cp.asarray(matrix), list(map(float, offset)), tuple(shape), order=1, mode=mode
    )


def block_means(volume: cp.ndarray, factors: Sequence[int]) -> Any:
    """Return means of blocks, what is over at the end filled up with zeros, float32.

    cuCIM's ``block_reduce`` does the same, but first copies a volume that is a part of another.
    """
    over = [-n % f for n, f in zip(volume.shape, factors, strict=True)]
    if any(over):
        volume = cp.pad(volume, [(0, n) for n in over])
    blocks = [length for n, f in zip(volume.shape, factors, strict=True) for length in (n // f, f)]
    return volume.reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32)
