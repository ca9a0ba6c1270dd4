"""Where a map lies in the structure's volume: the affine between them, see `tripoint.spectro.resampling`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.sample import Spacing, check_spacing
from tripoint.spectro.mutual_information import optimised
from tripoint.spectro.resampling import check_affine, resample
from tripoint.spectro.volumes import checked, filled, reduced

MOST = 1 << 21  # voxels that the shift is looked for in
POOR = 0.3  # correlation below which a registration is not to be trusted


@dataclass(frozen=True, eq=False)
class Registration:
    """How a map was brought onto a structure.

    Parameters
    ----------
    affine : (4, 4) float64
        From the structure to the map, µm.
    shift : (z, y, x)
        Where the middle of the structure lies in the map, beyond where it lay before: µm.
    correlation, correlation_before : float
        Pearson's, of structure and map where both are, afterwards and at the start; negative where the map
        is dark in what is bright in the structure.
    overlap : float
        Fraction of the structure's volume that the map covers afterwards.
    mutual_information : float or None
        Of the two (Mattes et al. 2003), nats; None where only a shift was looked for.
    warnings : tuple of str
    """

    affine: np.ndarray
    shift: tuple[float, float, float]
    correlation: float
    correlation_before: float
    overlap: float
    mutual_information: float | None
    warnings: tuple[str, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Return plain numbers for ``summary.json``."""
        return {
            "affine": self.affine.tolist(),
            "shift": list(self.shift),
            "correlation": self.correlation,
            "correlation_before": self.correlation_before,
            "overlap": self.overlap,
            "mutual_information": self.mutual_information,
            "warnings": list(self.warnings),
        }


def register(
    values: Any,
    structure: Any,
    *,
    map_spacing: Sequence[float] | float,
    spacing: Sequence[float] | float,
    method: str = "affine",
    start: Any = None,
    poor: float = POOR,
) -> Registration:
    """Find where a map lies in a structure's volume.

    First the shift by phase correlation (Kuglin & Hines 1975; in scikit-image after Guizar-Sicairos et al.
    2008), then, from there, a rigid or affine transform that makes their mutual information largest (Mattes
    et al. 2003, in SimpleITK). What the map and the structure show need not be alike, only depend on each
    other.

    Parameters
    ----------
    values : (z, y, x) float
        The map; what is not finite was not measured. One slice is registered in its plane.
    structure : (z, y, x) array
        What is to be seen in the map: the mask of the active phase, or grey values.
    map_spacing, spacing : (z, y, x) or float
        Voxel sizes of the map and of the structure, µm.
    method : {"shift", "rigid", "affine"}
    start : (4, 4) array, optional
        An affine to start from; by default the two volumes share their corner and axes.
    poor : float
        Absolute correlation below which a warning is given.

    Returns
    -------
    Registration

    Raises
    ------
    InputError
        Volumes of other dimensions, without contrast, or that do not overlap; no such method.
    DeviceError
        Arrays on the GPU.

    Notes
    -----
    Works on block means of at most 2²¹ voxels for the shift and 2¹⁸ for the affine, on one thread for the
    latter, so that two runs agree to rounding. Memory: 13 bytes per voxel of the map, and some 0.3 GB.
    """
    if method not in ("shift", "rigid", "affine"):
        message = f"there is no registration '{method}'; choose shift, rigid or affine"
        raise InputError(message)
    map_, fixed = checked(values, "map"), checked(structure, "structure")
    voxel, map_voxel = check_spacing(spacing), check_spacing(map_spacing)
    if (map_.shape[0] == 1) != (fixed.shape[0] == 1):
        message = (
            f"the map has {map_.shape[0]} slices and the structure {fixed.shape[0]}; a single image is "
            "registered to a single slice, cut that out of the structure"
        )
        raise InputError(message)
    before = np.eye(4) if start is None else check_affine(start)
    affine, warnings = _shift(map_, map_voxel, fixed, voxel, before)
    information = None
    if method != "shift":
        affine, information, told = optimised(map_, map_voxel, fixed, voxel, affine, method)
        warnings += told
    at_first, _ = _agreement(map_, map_voxel, fixed, voxel, before)
    correlation, overlap = _agreement(map_, map_voxel, fixed, voxel, affine)
    if abs(correlation) < poor:
        warnings.append(
            f"map and structure hardly correlate after registration ({correlation:.2f}, below {poor:g}): "
            "look at both before trusting values per particle, or give an affine that is known"
        )
    if overlap < 0.5:
        warnings.append(f"the map covers {overlap:.0%} of the structure's volume after registration")
    middle = np.array([*(np.array(fixed.shape) * voxel / 2), 1.0])
    z, y, x = map(float, ((affine - before) @ middle)[:3])
    return Registration(affine, (z, y, x), correlation, at_first, overlap, information, tuple(warnings))


def _agreement(
    map_: np.ndarray, map_voxel: Spacing, fixed: np.ndarray, voxel: Spacing, affine: np.ndarray
) -> tuple[float, float]:
    """Return the correlation of structure and map, and how much of the structure the map covers."""
    coarse, size = reduced(fixed, voxel, MOST)
    try:
        moved = resample(map_, affine, map_spacing=map_voxel, shape=coarse.shape, spacing=size)
    except InputError:
        return 0.0, 0.0
    both = np.isfinite(moved) & np.isfinite(coarse)
    return _correlation(coarse[both], moved[both]), float(np.isfinite(moved).mean())


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if a.size < 2:
        return 0.0
    a, b = a - a.mean(dtype=np.float64), b - b.mean(dtype=np.float64)
    norm = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0


def _shift(
    map_: np.ndarray, map_voxel: Spacing, fixed: np.ndarray, voxel: Spacing, before: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Return the affine moved by the shift that makes structure and map correlate most.

    Of the spectrum's phases alone, which is sharp, and of the whole one, which noise hurts less: the better.
    """
    from skimage.registration import phase_cross_correlation

    coarse, size = reduced(fixed, voxel, MOST)
    moved = resample(map_, before, map_spacing=map_voxel, shape=coarse.shape, spacing=size)
    images = [filled(coarse, "structure"), filled(moved, "map")]
    candidates = [before]
    for normalization in ("phase", None):
        shift, _, _ = phase_cross_correlation(*images, upsample_factor=10, normalization=normalization)
        moved_by = np.eye(4)
        # The map has to move by the shift, so a place of the structure lies that much before it in the map.
        moved_by[:3, 3] = -np.asarray(shift, np.float64) * size
        candidates.append(before @ moved_by)
    found = [_agreement(map_, map_voxel, fixed, voxel, affine) for affine in candidates]
    # A sliver of overlap correlates by chance.
    scores = [abs(correlation) * (overlap > 0.1) for correlation, overlap in found]
    best = int(np.argmax(scores))
    told = [] if best else ["phase correlation found no shift that is better than none"]
    return candidates[best], told
