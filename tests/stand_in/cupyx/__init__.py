"""Stands in for the part of CuPyX that tripoint uses."""

from __future__ import annotations

from typing import Any

import numpy as np


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    """Return host memory that is not initialised; on a machine with a GPU its pages are locked."""
    return np.empty(shape, dtype, order)


def zeros_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    """Return host memory of zeros; on a machine with a GPU its pages are locked."""
    return np.zeros(shape, dtype, order)
