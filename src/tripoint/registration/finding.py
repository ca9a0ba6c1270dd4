"""Where a moving volume lies in a fixed one: the affine between them, see `resampling`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array

from tripoint import _cuda
from tripoint.errors import InputError
from tripoint.registration import ascent, coarse, mutual_information
from tripoint.registration.quality import Agreement, agreement
from tripoint.registration.resampling import check_affine, resample
from tripoint.registration.volumes import checked_pair, coarsened, normalised, reduced
from tripoint.sample import Spacing, check_spacing

METHODS = ("shift", "rigid", "affine")
SHIFTED = 1 << 21  # voxels that a shift is measured on
OPTIMISED = 1 << 18  # voxels that a transform is optimised on
REFINED = 1 << 21  # and at last, of larger volumes
TRIED = 1 << 15  # and those for the first of several starts
POOR = 0.3  # agreement below which a registration is not to be trusted


@dataclass(frozen=True, eq=False)
class Registration:
    """How a moving volume was brought onto a fixed one.

    Parameters
    ----------
    affine : (4, 4) float64
        From the fixed volume to the moving one, µm.
    shift : (z, y, x)
        Where the middle of the fixed volume lies in the moving one, beyond where it lay before: µm.
    rotation : float
        Angle of the affine's rotation (polar decomposition), degrees.
    agreement, before : Agreement
        Afterwards and at the start.
    warnings : tuple of str
    """

    affine: np.ndarray
    shift: tuple[float, float, float]
    rotation: float
    agreement: Agreement
    before: Agreement
    warnings: tuple[str, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Return plain numbers for ``summary.json``."""
        return {
            "affine": self.affine.tolist(),
            "shift": list(self.shift),
            "rotation": self.rotation,
            **self.agreement.to_mapping(),
            **{f"{key}_before": value for key, value in self.before.to_mapping().items()},
            "warnings": list(self.warnings),
        }


def register(
    moving: Any,
    fixed: Any,
    *,
    moving_spacing: Sequence[float] | float,
    spacing: Sequence[float] | float,
    method: str = "affine",
    start: Any = None,
    rotation: float = 0.0,
    poor: float = POOR,
) -> Registration:
    """Find where a moving volume lies in a fixed one.

    First the shift by cross-correlation through Fourier transforms, of grey values and of their gradients,
    for each of the rotations within a range. A shift is then measured by phase correlation (Kuglin & Hines
    1975; in scikit-image and cuCIM after Guizar-Sicairos et al. 2008); a rigid or affine transform is that of
    largest mutual information (Mattes et al. 2003), searched from the best of the starts: by SimpleITK on the
    host, which no library does on the GPU, so there by :mod:`tripoint.registration.ascent`. What both volumes
    show need not be alike, only depend on each other.

    Parameters
    ----------
    moving, fixed : (z, y, x) array
        What is not finite was not measured. One slice is registered in its plane. Both on the host or both on
        the GPU, where the work is then done; figures and the affine alone come to the host.
    moving_spacing, spacing : (z, y, x) or float
        Voxel sizes of the moving and of the fixed volume, µm.
    method : {"shift", "rigid", "affine"}
    start : (4, 4) array, optional
        An affine to start from; by default the two volumes share their corner and axes.
    rotation : float
        Rotations up to this angle about each axis are tried first, degrees, at most 45.
    poor : float
        Agreement below which a warning is given.

    Returns
    -------
    Registration

    Raises
    ------
    InputError
        Volumes of other dimensions, without contrast, or that do not overlap; no such method.
    DeviceError
        One volume on the GPU and one on the host.

    Notes
    -----
    Works on block means of at most 2²¹ voxels; transforms are searched on 2¹⁵, 2¹⁸ and 2²¹ in turn, with sums
    in one order, so that two runs agree to rounding. Memory: 13 bytes per voxel of the moving volume, and
    some 0.3 GB.
    """
    if method not in METHODS:
        message = f"there is no registration '{method}'; choose shift, rigid or affine"
        raise InputError(message)
    if not 0 <= rotation <= 45:
        message = f"rotation is {rotation!r}; expected degrees that are tried about each axis, 0 to 45"
        raise InputError(message)
    moved, still = checked_pair(moving, fixed)
    voxel, moving_voxel = check_spacing(spacing), check_spacing(moving_spacing)
    if (moved.shape[0] == 1) != (still.shape[0] == 1):
        message = (
            f"the moving volume has {moved.shape[0]} slices and the fixed one {still.shape[0]}; a single "
            "image is registered to a single slice, cut that out of the volume"
        )
        raise InputError(message)
    before = np.eye(4) if start is None else check_affine(start)
    starts = coarse.starts(moved, moving_voxel, still, voxel, before, 0.0 if method == "shift" else rotation)
    if method == "shift":
        affine, warnings = _shifted(moved, moving_voxel, still, voxel, [before, *starts])
    else:
        affine, warnings = _turned(moved, moving_voxel, still, voxel, [before, *starts], method)
    found = assess(moved, still, affine, moving_spacing=moving_voxel, spacing=voxel, start=before, poor=poor)
    return replace(found, warnings=(*warnings, *found.warnings))


def assess(
    moving: Any,
    fixed: Any,
    affine: Any,
    *,
    moving_spacing: Sequence[float] | float,
    spacing: Sequence[float] | float,
    start: Any = None,
    poor: float = POOR,
) -> Registration:
    """Say how well an affine brings a moving volume onto a fixed one.

    Parameters
    ----------
    moving, fixed : (z, y, x) array
    affine : (4, 4) array
        From the fixed volume to the moving one, µm.
    moving_spacing, spacing, start, poor
        As of :func:`register`; the start is what the affine is compared with.

    Raises
    ------
    InputError
        The two volumes do not overlap; as of :func:`register`.
    """
    moved, still = checked_pair(moving, fixed)
    voxel, moving_voxel = check_spacing(spacing), check_spacing(moving_spacing)
    known, before = check_affine(affine), np.eye(4) if start is None else check_affine(start)
    at_first = agreement(moved, moving_voxel, still, voxel, before)
    found = agreement(moved, moving_voxel, still, voxel, known)
    if found.overlap == 0:
        message = (
            "the two volumes do not overlap; check their voxel sizes, and the affine or what the search "
            "started from"
        )
        raise InputError(message)
    middle = np.array([*(np.array(still.shape) * voxel / 2), 1.0])
    z, y, x = map(float, ((known - before) @ middle)[:3])
    return Registration(known, (z, y, x), angle_of(known), found, at_first, tuple(_doubts(found, poor)))


def angle_of(affine: np.ndarray) -> float:
    """Return the angle of an affine's rotation, the orthogonal part of its polar decomposition: degrees."""
    from scipy.linalg import polar

    turn, _ = polar(affine[:3, :3])
    return float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))


def _doubts(found: Agreement, poor: float) -> list[str]:
    doubts = []
    if found.score < poor:
        doubts.append(
            f"the two volumes hardly correlate ({found.correlation:.2f} where they overlap): "
            "look at both before trusting what is read from them together, or give an affine that is known"
        )
    if found.overlap < 0.5:
        doubts.append(f"the moving volume covers only {found.overlap:.0%} of the fixed one")
    return doubts


def _turned(
    moving: Any,
    moving_voxel: Spacing,
    fixed: Any,
    voxel: Spacing,
    starts: list[np.ndarray],
    method: str,
) -> tuple[np.ndarray, list[str]]:
    """Return the transform of largest mutual information, from the start that leads to most of it."""
    optimised = (ascent if is_cupy_array(fixed) else mutual_information).optimised
    still, size = reduced(fixed, voxel, TRIED)
    moved, moved_size = coarsened(moving, moving_voxel, min(size[1:] if still.shape[0] == 1 else size))
    best, highest = starts[0], -1.0
    for start in starts:
        tried, _, _ = optimised(moved, moved_size, still, size, start, "rigid", TRIED)
        score = agreement(moved, moved_size, still, size, tried).score
        if score > highest:
            best, highest = tried, score
    affine, _, told = optimised(moving, moving_voxel, fixed, voxel, best, method, OPTIMISED)
    if fixed.size > OPTIMISED and not told:
        affine, _, told = optimised(moving, moving_voxel, fixed, voxel, affine, method, REFINED, (1,))
    return affine, told


def _shifted(
    moving: Any, moving_voxel: Spacing, fixed: Any, voxel: Spacing, starts: list[np.ndarray]
) -> tuple[np.ndarray, list[str]]:
    """Return the affine moved by the shift that makes both volumes correlate most.

    Of the spectrum's phases alone, which is sharp, and of the whole one, which noise hurts less: the better.
    """
    if is_cupy_array(fixed):
        phase_cross_correlation = _cuda.registration.phase_cross_correlation
    else:
        from skimage.registration import phase_cross_correlation

    reached = [agreement(moving, moving_voxel, fixed, voxel, start) for start in starts]
    first = starts[int(np.argmax([one.score for one in reached]))]
    still, size = reduced(fixed, voxel, SHIFTED)
    moved = resample(moving, first, moving_spacing=moving_voxel, shape=still.shape, spacing=size)
    images = [normalised(still, "fixed volume"), normalised(moved, "moving volume")]
    candidates = [*starts]
    for normalization in ("phase", None):
        shift, _, _ = phase_cross_correlation(*images, upsample_factor=10, normalization=normalization)
        moved_by = np.eye(4)
        # The volume has to move by the shift, so a place of the fixed one lies that much before it there.
        moved_by[:3, 3] = -np.asarray(shift, np.float64) * size
        candidates.append(first @ moved_by)
        reached.append(agreement(moving, moving_voxel, fixed, voxel, candidates[-1]))
    best = int(np.argmax([one.score for one in reached]))
    told = [] if best else ["phase correlation found no shift that is better than none"]
    return candidates[best], told
