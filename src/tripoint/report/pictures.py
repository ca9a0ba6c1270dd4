"""Planes of voxels as PNG pictures inside a page."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np

PIXELS_AT_MOST = 900
"""Along the longer side of a picture; of a larger plane every n-th pixel is drawn."""


def step_of(shape: tuple[int, ...]) -> int:
    """Return n where every n-th pixel of a plane is drawn."""
    return max(1, math.ceil(max(shape) / PIXELS_AT_MOST))


def thin(image: np.ndarray) -> np.ndarray:
    """Return every n-th pixel."""
    step = step_of(image.shape)
    return image[::step, ::step]


def meetings(regions: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the pixels where two particles meet.

    Parameters
    ----------
    regions : (rows, columns) int
    inside : (rows, columns) bool
        Pixels of particles.
    """
    line = np.zeros(regions.shape, bool)
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        line[here] |= (regions[here] != regions[there]) & inside[here] & inside[there]
    return line


def indexed(image: np.ndarray, table: np.ndarray, transparent: int | None = None) -> str:
    """Return an uint8 image and its colour table (n, 3) as a data URI."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image), mode=None).convert("L")
    picture.putpalette(table.ravel().tolist())
    return _encode(picture, **({} if transparent is None else {"transparency": transparent}))


def coloured(image: np.ndarray) -> str:
    """Return an uint8 RGB image, (rows, columns, 3), as a data URI."""
    from PIL import Image

    return _encode(Image.fromarray(image))


def _encode(picture: Any, **options: int) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True, **options)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
