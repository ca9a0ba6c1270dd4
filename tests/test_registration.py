"""Registration: known shifts, rotations and contrasts are found, and what is found is what is reported."""

import json

import numpy as np
import pytest
from scipy import ndimage

from tripoint import registration
from tripoint.errors import InputError


def blobs(shape, seed=0):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.5)
    return (field > np.quantile(field, 0.6)).astype(np.float32)


def turned(degrees, axis, shape, spacing, shift, scale=(1, 1, 1)):
    """Return an affine about the middle of a volume."""
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    matrix, plane = np.eye(3), [k for k in range(3) if k != axis]
    matrix[np.ix_(plane, plane)] = [[c, -s], [s, c]]
    matrix = matrix @ np.diag(scale)
    middle = np.array(shape) * spacing / 2
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, middle + shift - matrix @ middle
    return affine


def misplaced(found, affine, shape, spacing):
    """Return by how much the corners of a volume are put wrong, µm."""
    ends = np.array(np.meshgrid(*([0, n * s] for n, s in zip(shape, spacing, strict=True)))).reshape(3, -1)
    return np.linalg.norm((found - affine)[:3] @ np.vstack([ends, np.ones(8)]), axis=0).max()


SPACING = (0.5, 0.4, 0.4)


def seen(structure, affine, shape, spacing, seed=0):
    """Return what a measurement of a structure shows: other contrast, noise, a part that is missing."""
    values = registration.resample(
        structure, np.linalg.inv(affine), moving_spacing=SPACING, shape=shape, spacing=spacing
    )
    values = 1 + 3 * values + np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 0.3
    values[:2] = np.nan
    return values


def test_a_known_shift_is_found():
    structure = blobs((32, 40, 44))
    affine = np.eye(4)
    affine[:3, 3] = (1.0, -1.6, 2.2)
    values = seen(structure, affine, (28, 40, 40), (0.6, 0.4, 0.45))
    found = registration.register(
        values, structure, moving_spacing=(0.6, 0.4, 0.45), spacing=SPACING, method="shift"
    )
    np.testing.assert_allclose(found.shift, (1.0, -1.6, 2.2), atol=0.1)
    np.testing.assert_allclose(found.affine[:3, :3], np.eye(3))
    assert found.agreement.correlation > 0.8 > found.before.correlation
    assert not found.warnings


@pytest.mark.parametrize(("method", "scale"), [("rigid", (1, 1, 1)), ("affine", (1.03, 0.98, 1.02))])
def test_a_known_rotation_is_found_and_found_again(method, scale):
    structure = blobs((36, 40, 44))
    affine = turned(4, 0, structure.shape, SPACING, (0.6, -1.0, 0.8), scale)
    values = seen(structure, affine, (34, 42, 44), (0.5, 0.4, 0.4))
    options = {"moving_spacing": SPACING, "spacing": SPACING, "method": method}
    found = registration.register(values, structure, **options)
    assert misplaced(found.affine, affine, structure.shape, SPACING) < 0.4  # a voxel
    assert not found.warnings
    assert found.agreement.mutual_information > 0.3
    assert found.rotation == pytest.approx(4, abs=0.5)
    json.dumps(found.to_mapping())
    again = registration.register(values, structure, **options)
    np.testing.assert_allclose(again.affine, found.affine, atol=1e-9)


def test_images_are_registered_in_their_plane():
    structure = blobs((1, 96, 100))
    affine = turned(5, 0, structure.shape, SPACING, (0, -1.2, 0.9))
    values = registration.resample(
        1 - structure, np.linalg.inv(affine), moving_spacing=SPACING, shape=(1, 96, 100), spacing=SPACING
    )
    found = registration.register(values, structure, moving_spacing=SPACING, spacing=SPACING)
    assert misplaced(found.affine, affine, structure.shape, SPACING) < 0.4
    assert found.agreement.correlation < -0.8  # dark where the structure is bright


def test_what_has_nothing_to_do_with_it_is_warned_of():
    found = registration.register(
        blobs((30, 32, 34), 7), blobs((30, 32, 34), 1), moving_spacing=1, spacing=1, method="shift"
    )
    assert any("hardly correlate" in warning for warning in found.warnings)


def test_resampling_averages_finer_voxels_and_keeps_what_is_missing():
    fine = np.repeat(np.repeat(np.repeat(np.arange(24.0).reshape(2, 3, 4), 2, 0), 2, 1), 2, 2)
    fine[0, 0, :5] = np.nan
    out = registration.resample(fine, np.eye(4), moving_spacing=0.5, shape=(2, 3, 4), spacing=1)
    np.testing.assert_allclose(out, np.arange(24.0).reshape(2, 3, 4), atol=1e-5)
    fine[:2, :2, :2] = np.nan
    out = registration.resample(fine, np.eye(4), moving_spacing=0.5, shape=(3, 3, 4), spacing=1)
    assert np.isnan(out[0, 0, 0])
    assert np.isnan(out[2]).all()  # beyond the map
    assert np.isfinite(out[:2]).sum() == 23
    same = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(
        registration.resample(same, np.eye(4), moving_spacing=SPACING, shape=same.shape, spacing=SPACING),
        same,
        atol=1e-6,
    )


def test_bad_input_of_a_registration():
    structure = blobs((8, 9, 10))
    common = {"moving_spacing": 1, "spacing": 1}
    with pytest.raises(InputError, match="holds no numbers"):
        registration.register(np.full((8, 9, 10), np.nan), structure, **common)
    with pytest.raises(InputError, match="one value everywhere"):
        registration.register(np.ones((8, 9, 10)), structure, **common)
    with pytest.raises(InputError, match="shift, rigid or affine"):
        registration.register(structure, structure, method="elastic", **common)
    with pytest.raises(InputError, match="single image"):
        registration.register(structure[0], structure, **common)
    with pytest.raises(InputError, match="4×4"):
        registration.register(structure, structure, start=np.eye(3), **common)
    far = np.eye(4)
    far[0, 3] = 1e4
    with pytest.raises(InputError, match="no values where the fixed one is"):
        registration.resample(structure, far, moving_spacing=1, shape=(8, 9, 10), spacing=1)
