"""Connected components with cuCIM's parameters and result types."""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np
import skimage.measure

__all__ = ["label"]


def label(
    label_image: cp.ndarray,
    background: int | None = None,
    return_num: bool = False,
    connectivity: int | None = None,
) -> Any:
    """Number the components; all neighbours connect unless ``connectivity`` says otherwise."""
    if not isinstance(label_image, cp.ndarray):
        message = f"Unsupported type {type(label_image)}"
        raise TypeError(message)
    labels, count = skimage.measure.label(label_image._values, background, True, connectivity)
    dtype = np.int32 if label_image.size < 2**31 else np.int64
    labelled = cp.empty(label_image.shape, dtype)
    labelled._values[...] = labels
    return (labelled, count) if return_num else labelled
