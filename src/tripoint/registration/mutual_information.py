"""The rigid or affine transform of most mutual information of two volumes, by SimpleITK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.registration.resampling import filled, to_indices
from tripoint.registration.volumes import normalised, reduced, shrunk
from tripoint.sample import Spacing

SAMPLES = 100_000  # voxels that each evaluation looks at, at equal distances, at most
SAMPLED = 0.2  # and the share of all


def optimised(
    moving: np.ndarray,
    moving_voxel: Spacing,
    fixed: np.ndarray,
    voxel: Spacing,
    initial: np.ndarray,
    method: str,
    most: int,
    levels: tuple[int, ...] = (4, 2, 1),
) -> tuple[np.ndarray, float, list[str]]:
    """Return the affine of most mutual information near an initial one.

    Parameters
    ----------
    moving, fixed : (z, y, x) float32
        NaN where they were not measured.
    moving_voxel, voxel : (z, y, x)
        Their voxel sizes, µm.
    initial : (4, 4) float64
        From the fixed volume to the moving one, µm.
    method : {"rigid", "affine"}
    most : int
        Voxels of the fixed volume to search on.
    levels : tuple of int
        By how much both are made coarser still, one search after the other; 1 alone where the initial affine
        is less than a voxel off.

    Returns
    -------
    affine, information, warnings
        Mutual information in nats; the initial affine, with a warning, where the search failed.

    Raises
    ------
    InputError
        SimpleITK is not installed, or the fixed volume has one value everywhere.
    """
    sitk = _simpleitk()
    coarse, size = reduced(fixed, voxel, most)
    flat = coarse.shape[0] == 1
    matrix, _ = to_indices(initial, size, moving_voxel)
    value, there, factors = filled(moving, matrix)
    moving_size = [s * f for s, f in zip(moving_voxel, factors, strict=True)]
    image = _image(sitk, normalised(coarse, "fixed volume"), size)
    mask = _image(sitk, there.astype(np.uint8), moving_size)
    moved = _image(sitk, value.astype(np.float32), moving_size)
    middle = [n * s / 2 for n, s in zip(coarse.shape, size, strict=True)][::-1]
    transform = _transform(sitk, method, middle[:2] if flat else middle)

    search = sitk.ImageRegistrationMethod()
    search.SetMetricAsMattesMutualInformation(32)
    search.SetMetricMovingMask(mask)
    search.SetMetricSamplingStrategy(search.REGULAR)
    search.SetMetricSamplingPercentage(min(SAMPLED, SAMPLES / coarse.size), seed=1)  # they are jittered
    search.SetInterpolator(sitk.sitkLinear)
    search.SetNumberOfThreads(1)  # sums in one order: two runs agree to rounding
    search.SetMovingInitialTransform(_fixed_transform(sitk, initial, flat))
    search.SetInitialTransform(transform, inPlace=True)
    at_first = -search.MetricEvaluate(image, moved)
    search.SetOptimizerAsRegularStepGradientDescent(
        learningRate=max(size) * (1.0 if max(levels) > 1 else 0.25),  # µm, as scaled below
        minStep=2e-3 * max(size),
        numberOfIterations=100,
        gradientMagnitudeTolerance=1e-9,
    )
    search.SetOptimizerScalesFromPhysicalShift()
    factors = shrunk(coarse.shape, levels)
    search.SetShrinkFactorsPerLevel(factors)
    search.SetSmoothingSigmasPerLevel([f / 2 * max(size) if f > 1 else 0.0 for f in factors])
    search.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    try:
        search.Execute(image, moved)
        found = search.GetMetricValue()
    except RuntimeError as error:  # the volumes lost each other
        return (
            initial,
            at_first,
            [f"the {method} search failed ({str(error).splitlines()[-1]}); its start is kept"],
        )
    if -found <= at_first:  # within what the optimiser's steps leave
        return initial, at_first, []
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
    """Return the identity of a kind of transform, about the middle of the fixed volume."""
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
