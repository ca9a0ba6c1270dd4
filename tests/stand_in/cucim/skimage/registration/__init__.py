"""Phase correlation with cuCIM's parameters and result: numbers of the host, and two of the device."""

from __future__ import annotations

from typing import Any

import cupy as cp
import skimage.registration
from cupy._array import unwrap, wrap

__all__ = ["phase_cross_correlation"]


def phase_cross_correlation(
    reference_image: cp.ndarray,
    moving_image: cp.ndarray,
    *,
    upsample_factor: int = 1,
    space: str = "real",
    disambiguate: bool = False,
    reference_mask: Any = None,
    moving_mask: Any = None,
    overlap_ratio: float = 0.3,
    normalization: str | None = "phase",
) -> Any:
    """Return the shift between two images of one shape, its error and the difference of phases."""
    if not all(isinstance(image, cp.ndarray) for image in (reference_image, moving_image)):
        message = f"Unsupported type {type(moving_image)}"
        raise TypeError(message)
    if reference_mask is not None or moving_mask is not None:
        message = "the stand-in has no masks: add them after looking at cuCIM"
        raise NotImplementedError(message)
    shift, error, phase = skimage.registration.phase_cross_correlation(
        unwrap(reference_image),
        unwrap(moving_image),
        upsample_factor=upsample_factor,
        space=space,
        disambiguate=disambiguate,
        normalization=normalization,
    )
    return tuple(map(float, shift)), wrap(error), wrap(phase)
