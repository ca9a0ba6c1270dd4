"""Fourier transforms that tripoint asks of CuPy, by SciPy; single precision stays single, as there."""

from typing import Any

import scipy.fft

from cupy._array import ndarray, unwrap, wrap

__all__ = ["irfftn", "rfftn"]


def rfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    return wrap(scipy.fft.rfftn(_on_device(a), s, axes, norm))


def irfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    return wrap(scipy.fft.irfftn(_on_device(a), s, axes, norm))


def _on_device(a: Any) -> Any:
    if not isinstance(a, ndarray):
        message = f"Unsupported type {type(a)}"
        raise TypeError(message)
    return unwrap(a)
