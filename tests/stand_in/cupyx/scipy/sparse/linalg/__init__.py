"""Solvers of sparse systems on the device, SciPy behind the same names."""

from __future__ import annotations

from typing import Any

import scipy.sparse.linalg
from cupy._array import unwrap, wrap

__all__ = ["cg"]


def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    callback: Any = None,
) -> tuple[Any, int]:
    if x0 is not None or M is not None:
        message = "the stand-in has no x0 and M: add them after looking at CuPy"
        raise NotImplementedError(message)
    told = None if callback is None else lambda x: callback(wrap(x))
    x, info = scipy.sparse.linalg.cg(
        A._matrix, unwrap(b), rtol=rtol, atol=atol, maxiter=maxiter, callback=told
    )
    return wrap(x), info
