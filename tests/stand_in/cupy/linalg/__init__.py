"""What tripoint asks of CuPy's linear algebra, by NumPy."""

from typing import Any

import numpy as np

from cupy._array import unwrap, wrap

__all__ = ["inv", "lstsq", "norm"]


def inv(a: Any) -> Any:
    """Return the inverse of a square matrix; CuPy says nothing of a singular one unless asked."""
    return wrap(np.linalg.inv(unwrap(a)))


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    return wrap(np.asarray(np.linalg.norm(unwrap(x), ord, axis, keepdims)))


def lstsq(a: Any, b: Any, rcond: Any = "warn") -> Any:
    message = "the stand-in has no lstsq"
    raise NotImplementedError(message)
