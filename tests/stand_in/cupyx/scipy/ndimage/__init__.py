"""Interpolation on the device, SciPy behind the same names."""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np
import scipy.ndimage
from cupy._array import unwrap, wrap

__all__ = ["affine_transform"]


def affine_transform(
    input: Any,
    matrix: Any,
    offset: Any = 0.0,
    output_shape: Any = None,
    output: Any = None,
    order: int = 3,
    mode: str = "constant",
    cval: float = 0.0,
    prefilter: bool = True,
    *,
    texture_memory: bool = False,
) -> Any:
    """Interpolate; volume and matrix are on the device, the offset is numbers of the host."""
    if not all(isinstance(part, cp.ndarray) for part in (input, matrix)):
        message = f"Unsupported type {type(matrix)}"
        raise TypeError(message)
    if output is not None or texture_memory or isinstance(offset, cp.ndarray | np.ndarray):
        message = "the stand-in has no output, textures or offsets in arrays: look at CuPy before adding them"
        raise NotImplementedError(message)
    return wrap(
        scipy.ndimage.affine_transform(
            unwrap(input), unwrap(matrix), offset, output_shape, None, order, mode, cval, prefilter
        )
    )
