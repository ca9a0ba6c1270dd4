"""Sparse matrices on the device, SciPy behind the same names."""

from __future__ import annotations

from typing import Any

import cupy as cp
import scipy.sparse
from cupy._array import unwrap, wrap

__all__ = ["csr_matrix"]


class csr_matrix:
    """A matrix in compressed rows, made of values with their rows and columns, all on the device."""

    def __init__(self, arg1: Any, shape: Any = None, dtype: Any = None, copy: bool = False) -> None:
        data, (row, col) = arg1
        if not all(isinstance(part, cp.ndarray) for part in (data, row, col)):
            message = "invalid input format"  # as CuPy says for arrays of the host
            raise ValueError(message)
        if dtype is not None or copy:
            message = "the stand-in has no dtype and copy: add them after looking at CuPy"
            raise NotImplementedError(message)
        matrix = scipy.sparse.csr_matrix((unwrap(data), (unwrap(row), unwrap(col))), shape=shape)
        if matrix.nnz != len(data):
            message = "entries occur twice; CuPy adds them up in an order that changes"
            raise ValueError(message)
        self._matrix, self.shape = matrix, matrix.shape

    def __matmul__(self, other: Any) -> Any:
        return wrap(self._matrix @ unwrap(other))
