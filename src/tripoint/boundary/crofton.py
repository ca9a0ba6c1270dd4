"""Surface area from counts of transitions along 13 directions (Crofton's formula).

References
----------
Legland, Kiêu & Devaux, *Image Analysis & Stereology* 26 (2007) 83-92; the same method as in MorphoLibJ.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from tripoint.sample import Spacing, check_spacing

DIRECTIONS = np.array(
    [
        (1, 0, 0), (0, 1, 0), (0, 0, 1),
        (0, 1, 1), (0, 1, -1), (1, 0, 1), (1, 0, -1), (1, 1, 0), (1, -1, 0),
        (1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1),
    ],
    dtype=np.int8,
)  # fmt: skip
"""(13, 3) steps (z, y, x) to half of the 26 neighbours, each forward in raster order; the axes come first."""

DIRECTIONS.setflags(write=False)


def area(transitions: Any, spacing: Any) -> Any:
    r"""Estimate the area of an interface from its transitions along the 13 directions.

    .. math:: S = 2 \sum_d w_d \, n_d \, \frac{V}{|d|}

    with *w* the direction weights, *n* the number of voxel pairs (p, p + d) on the two sides of the
    interface (both orders counted), *V* the volume of a voxel and \|d\| the length of the step.

    Parameters
    ----------
    transitions : (..., 13) int
        Counts in the order of ``DIRECTIONS``.
    spacing : (z, y, x)
        Voxel size, µm.

    Returns
    -------
    (...) float64
        Area, µm². A sphere of radius 10 voxels comes out within 1.5 %; a single plane within 8 % at
        isotropic spacing and 17 % at 1:1:3, without bias over directions.
    """
    return np.asarray(transitions, np.float64) @ factors(spacing)


def factors(spacing: Any) -> np.ndarray:
    """Return the area that one transition along each of the 13 directions stands for, µm²."""
    spacing = check_spacing(spacing)
    steps = np.linalg.norm(DIRECTIONS * np.array(spacing), axis=1)
    return 2.0 * weights(spacing) * np.prod(spacing) / steps


def weights(spacing: Any) -> np.ndarray:
    """Return the share of all directions that is nearest to each of the 13, for a voxel size.

    The shares are the areas of the spherical Voronoi cells of the 26 unit steps, scaled to sum 1 over
    the 13 pairs of opposite ones. Kept per spacing.

    Parameters
    ----------
    spacing : (z, y, x)
        Voxel size; only its proportions matter.

    Returns
    -------
    (13,) float64, read-only
    """
    return _weights(check_spacing(spacing))


@lru_cache(maxsize=64)
def _weights(spacing: Spacing) -> np.ndarray:
    from scipy.spatial import SphericalVoronoi

    steps = DIRECTIONS * (np.array(spacing) / max(spacing))
    unit = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    cells = SphericalVoronoi(np.concatenate([unit, -unit])).calculate_areas()
    shares = (cells[:13] + cells[13:]) / cells.sum()
    shares.setflags(write=False)
    return shares
