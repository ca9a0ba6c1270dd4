"""Where a map lies in the structure's volume, and the map on the structure's grid.

An affine is a 4×4 matrix that takes a point (z, y, x, 1) of the structure's volume to the point of the map's
volume that shows the same place, both in µm from their volume's corner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array

from tripoint.errors import DeviceError, InputError
from tripoint.sample import Spacing, check_spacing

MOST = 1 << 21  # voxels that the shift is looked for in
MOST_AFFINE = 1 << 18  # voxels that the affine is optimised on
SAMPLED = 0.2  # share of these that each evaluation looks at, at equal distances
POOR = 0.3  # correlation below which a registration is not to be trusted
SLAB = 1 << 24  # voxels of the structure's grid that are resampled at a time


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
    map_, fixed = _checked(values, "map"), _checked(structure, "structure")
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
        affine, information, told = _optimised(map_, map_voxel, fixed, voxel, affine, method)
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


def resample(
    values: Any,
    affine: Any,
    *,
    map_spacing: Sequence[float] | float,
    shape: Sequence[int],
    spacing: Sequence[float] | float,
    out: Any = None,
) -> Any:
    """Bring a map onto the structure's grid, by linear interpolation.

    Where the map's voxels are finer than the structure's, they are averaged first. Of voxels that were not
    measured the others take the place; where these have less than half of the weight, there is no value.

    Parameters
    ----------
    values : (z, y, x) float
        The map; what is not finite was not measured.
    affine : (4, 4) array
        From the structure to the map, µm.
    map_spacing, spacing : (z, y, x) or float
        Voxel sizes of the map and of the structure, µm.
    shape : (z, y, x)
        Voxels of the structure.
    out : (z, y, x) float32, optional
        What to write to, such as a memory map.

    Returns
    -------
    (z, y, x) float32
        NaN where the map was not measured, and beyond it.

    Raises
    ------
    InputError
        An affine that is not one, or no overlap at all.
    DeviceError
        A map on the GPU.

    Notes
    -----
    Memory: 4 bytes per voxel of the structure for the result, 9 per voxel of the map, and 18 for each of the
    2²⁴ voxels (or of a plane) that are worked on at a time.
    """
    from scipy import ndimage

    map_, voxel, map_voxel = _checked(values, "map"), check_spacing(spacing), check_spacing(map_spacing)
    matrix, offset = _to_indices(check_affine(affine), voxel, map_voxel)
    factors = [
        min(max(1, int(n + 1e-6)), size)
        for n, size in zip(np.linalg.norm(matrix, axis=1), map_.shape, strict=True)
    ]
    weight = np.isfinite(map_)
    value, weight = _coarse(np.where(weight, map_, 0), factors), _coarse(weight, factors)
    coarse_voxel = tuple(s * f for s, f in zip(map_voxel, factors, strict=True))
    matrix, offset = _to_indices(check_affine(affine), voxel, coarse_voxel)
    extent = np.array(map_.shape) / factors
    size = tuple(map(int, shape))
    result = np.empty(size, np.float32) if out is None else out
    depth = max(1, SLAB // max(1, math.prod(size[1:])))
    found = False
    for z in range(0, size[0], depth):
        part = (min(depth, size[0] - z), *size[1:])
        begin = offset + matrix[:, 0] * z
        common = {"offset": begin, "output_shape": part, "order": 1, "mode": "nearest"}
        share = ndimage.affine_transform(weight, matrix, **common)
        slab = ndimage.affine_transform(value, matrix, **common)
        there = (share >= 0.5) & _inside(matrix, begin, part, extent)
        found = found or bool(there.any())
        np.divide(slab, share, out=slab, where=there)
        slab[~there] = np.nan
        result[z : z + part[0]] = slab
    if not found:
        message = (
            "the map has no values where the structure is; check the affine, which takes µm of the structure "
            "to µm of the map, and the voxel sizes"
        )
        raise InputError(message)
    return result


def onto_grid(
    values: Any,
    shape: Sequence[int],
    spacing: Sequence[float] | float,
    *,
    map_spacing: Sequence[float] | float | None = None,
    affine: Any = None,
) -> Any:
    """Return a map on the structure's grid: as it is where it lies there already, else by its affine.

    Parameters
    ----------
    values : (z, y, x) float
    shape, spacing : (z, y, x)
        Voxels of the structure, and their size in µm.
    map_spacing : (z, y, x) or float, optional
        Voxel size of the map, µm; by default the structure's.
    affine : (4, 4) array, optional
        From the structure to the map, µm.

    Returns
    -------
    (z, y, x) float32
        NaN where there is no value.

    Raises
    ------
    InputError
        Another shape without an affine; as :func:`resample`.
    """
    if affine is not None:
        size = spacing if map_spacing is None else map_spacing
        return resample(values, affine, map_spacing=size, shape=shape, spacing=spacing)
    if tuple(values.shape) != tuple(shape):
        message = (
            f"the map has shape {tuple(values.shape)} and the structure {tuple(shape)}; give the affine "
            "between them, for example the affine.txt of tripoint spectro … register.to=…"
        )
        raise InputError(message)
    return values.astype(np.float32)


def check_affine(affine: Any) -> np.ndarray:
    """Return an affine as a 4×4 matrix, or say what is wrong with it."""
    try:
        matrix = np.array(affine, np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    good = matrix.shape == (4, 4) and np.isfinite(matrix).all() and np.allclose(matrix[3], [0, 0, 0, 1])
    if not good or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        message = (
            f"the affine is not a 4×4 matrix of finite numbers with the last row 0 0 0 1 that can be "
            f"inverted (its shape is {matrix.shape}); it takes (z, y, x, 1) of the structure to the map, in "
            "µm"
        )
        raise InputError(message)
    return matrix


def _checked(values: Any, what: str) -> np.ndarray:
    """Return a volume as float32 on the host."""
    if is_cupy_array(values):
        message = f"the {what} is on the GPU; registration and resampling work on the host, bring it there"
        raise DeviceError(message)
    volume = np.asarray(values)
    if volume.ndim == 2:
        volume = volume[None]
    if volume.ndim != 3 or 0 in volume.shape or volume.dtype.kind not in "fiub":
        message = f"the {what} has shape {volume.shape} and type {volume.dtype}; expected numbers (z, y, x)"
        raise InputError(message)
    volume = volume.astype(np.float32, copy=False)
    if not np.isfinite(volume).any():
        message = f"the {what} holds no numbers; check its mask, or choose another"
        raise InputError(message)
    return volume


def _to_indices(
    affine: np.ndarray, voxel: Sequence[float], map_voxel: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return an affine between voxel indices, whose centres lie half a voxel behind the corner."""
    to_map = 1 / np.asarray(map_voxel)
    matrix = to_map[:, None] * affine[:3, :3] * np.asarray(voxel)
    offset = to_map * (affine[:3, :3] @ (np.asarray(voxel) / 2) + affine[:3, 3]) - 0.5
    return matrix, offset


def _inside(matrix: np.ndarray, offset: np.ndarray, shape: Sequence[int], extent: np.ndarray) -> np.ndarray:
    """Return which voxels' centres lie in a volume of this extent, in voxels of it, its rim included."""
    z, y, x = (np.arange(n, dtype=np.float32) for n in shape)
    inside = np.ones(tuple(shape), bool)
    for row, begin, end in zip(matrix.astype(np.float32), offset, extent, strict=True):
        place = np.float32(begin) + (row[0] * z[:, None, None] + row[1] * y[:, None]) + row[2] * x
        inside &= (place > -0.501) & (place < end - 0.499)
    return inside


def _coarse(volume: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Return block means as float32, what is over at the end filled up with zeros."""
    if all(f == 1 for f in factors):
        return volume.astype(np.float32, copy=False)
    from skimage.measure import block_reduce

    return np.asarray(block_reduce(volume, tuple(factors), np.mean, func_kwargs={"dtype": np.float32}))


def _reduced(fixed: np.ndarray, voxel: Spacing, most: int) -> tuple[np.ndarray, Spacing]:
    """Return a structure of at most so many voxels, its longest axes made coarser, and its voxel size."""
    factors = [1, 1, 1]
    while math.prod(-(-n // f) for n, f in zip(fixed.shape, factors, strict=True)) > most:
        longest = int(np.argmax([n / f for n, f in zip(fixed.shape, factors, strict=True)]))
        factors[longest] += 1
    whole = tuple(slice(0, n // f * f) for n, f in zip(fixed.shape, factors, strict=True))
    z, y, x = (s * f for s, f in zip(voxel, factors, strict=True))
    return _coarse(fixed[whole], factors), (z, y, x)


def _agreement(
    map_: np.ndarray, map_voxel: Spacing, fixed: np.ndarray, voxel: Spacing, affine: np.ndarray
) -> tuple[float, float]:
    """Return the correlation of structure and map, and how much of the structure the map covers."""
    coarse, size = _reduced(fixed, voxel, MOST)
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

    coarse, size = _reduced(fixed, voxel, MOST)
    moved = resample(map_, before, map_spacing=map_voxel, shape=coarse.shape, spacing=size)
    images = [_filled(coarse, "structure"), _filled(moved, "map")]
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


def _filled(volume: np.ndarray, what: str) -> np.ndarray:
    """Return a volume around its mean, which stands where nothing was measured."""
    there = np.isfinite(volume)
    mean = volume[there].mean(dtype=np.float64)
    result = np.where(there, volume - mean, 0).astype(np.float32)
    if not result.any():
        message = f"the {what} has one value everywhere, by which nothing can be registered; choose another"
        raise InputError(message)
    return result


def _optimised(
    map_: np.ndarray, map_voxel: Spacing, fixed: np.ndarray, voxel: Spacing, initial: np.ndarray, method: str
) -> tuple[np.ndarray, float, list[str]]:
    """Return the affine of most mutual information near an initial one."""
    sitk = _simpleitk()
    coarse, size = _reduced(fixed, voxel, MOST_AFFINE)
    flat = coarse.shape[0] == 1
    matrix, _ = _to_indices(initial, size, map_voxel)
    factors = [
        min(max(1, int(n + 1e-6)), k) for n, k in zip(np.linalg.norm(matrix, axis=1), map_.shape, strict=True)
    ]
    weight = np.isfinite(map_)
    share = _coarse(weight, factors)
    value = _coarse(np.where(weight, map_, 0), factors) / np.maximum(share, 1e-6)
    map_size = [s * f for s, f in zip(map_voxel, factors, strict=True)]
    there = share >= 0.5
    value = np.where(there, value, value[there].mean())
    still, mask = (
        _image(sitk, _filled(coarse, "structure"), size),
        _image(sitk, there.astype(np.uint8), map_size),
    )
    moving = _image(sitk, value.astype(np.float32), map_size)
    middle = [n * s / 2 for n, s in zip(coarse.shape, size, strict=True)][::-1]
    transform = _transform(sitk, method, middle[:2] if flat else middle)

    search = sitk.ImageRegistrationMethod()
    search.SetMetricAsMattesMutualInformation(32)
    search.SetMetricMovingMask(mask)
    search.SetMetricSamplingStrategy(search.REGULAR)
    search.SetMetricSamplingPercentage(SAMPLED, seed=1)  # they are jittered
    search.SetInterpolator(sitk.sitkLinear)
    search.SetNumberOfThreads(1)  # sums in one order: two runs agree to rounding
    search.SetMovingInitialTransform(_fixed_transform(sitk, initial, flat))
    search.SetInitialTransform(transform, inPlace=True)
    at_first = -search.MetricEvaluate(still, moving)
    search.SetOptimizerAsRegularStepGradientDescent(
        learningRate=max(size),  # µm, as scaled below
        minStep=2e-3 * max(size),
        numberOfIterations=100,
        gradientMagnitudeTolerance=1e-9,
    )
    search.SetOptimizerScalesFromPhysicalShift()
    levels = [f for f in (4, 2, 1) if min(n for n in coarse.shape if n > 1) >= 16 * f] or [1]
    search.SetShrinkFactorsPerLevel(levels)
    search.SetSmoothingSigmasPerLevel([f / 2 * max(size) if f > 1 else 0.0 for f in levels])
    search.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    try:
        search.Execute(still, moving)
        found = search.GetMetricValue()
    except RuntimeError as error:  # the volumes lost each other
        return (
            initial,
            at_first,
            [f"the {method} search failed ({str(error).splitlines()[-1]}); the shift is kept"],
        )
    if -found <= at_first:
        return initial, at_first, [f"the {method} search found nothing better than the shift, which is kept"]
    return initial @ _matrix_of(transform, flat), -found, []


def _simpleitk() -> Any:
    try:
        import SimpleITK
    except ImportError as error:
        message = (
            "a rigid or affine registration needs SimpleITK; install it with "
            "pip install 'tripoint[register]', or choose the registration 'shift'"
        )
        raise InputError(message) from error
    return SimpleITK


def _image(sitk: Any, volume: np.ndarray, voxel: Sequence[float]) -> Any:
    """Return an image whose corner is the origin; a single slice becomes two-dimensional."""
    flat = volume.shape[0] == 1
    image = sitk.GetImageFromArray(volume[0] if flat else volume)
    size = list(voxel)[::-1][: image.GetDimension()]
    image.SetSpacing(size)
    image.SetOrigin([s / 2 for s in size])
    return image


def _transform(sitk: Any, method: str, middle: Sequence[float]) -> Any:
    """Return the identity of a kind of transform, about the middle of the structure."""
    dimensions = len(middle)
    if method == "affine":
        transform = sitk.AffineTransform(dimensions)
    else:
        transform = sitk.Euler2DTransform() if dimensions == 2 else sitk.Euler3DTransform()
    transform.SetCenter(list(middle))
    return transform


def _fixed_transform(sitk: Any, affine: np.ndarray, flat: bool) -> Any:
    """Return an affine (z, y, x) as SimpleITK's, whose axes are x, y, z."""
    axes = [2, 1] if flat else [2, 1, 0]
    transform = sitk.AffineTransform(len(axes))
    transform.SetMatrix(affine[np.ix_(axes, axes)].ravel().tolist())
    transform.SetTranslation(affine[axes, 3].tolist())
    return transform


def _matrix_of(transform: Any, flat: bool) -> np.ndarray:
    """Return a transform of SimpleITK's as an affine (z, y, x)."""
    axes = [2, 1] if flat else [2, 1, 0]
    n = len(axes)
    matrix = np.array(transform.GetMatrix()).reshape(n, n)
    centre = np.array(transform.GetCenter())
    affine = np.eye(4)
    affine[np.ix_(axes, axes)] = matrix
    affine[axes, 3] = centre + np.array(transform.GetTranslation()) - matrix @ centre
    return affine
