"""Distances to the nearest other phase: brute force, scipy, labels and units."""

from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from strategies import phase_volumes
from tripoint import _cpu, _cuda, distance
from tripoint.errors import InputError

SPACINGS = ((1.0, 1.0, 1.0), (0.398, 0.398, 0.398), (1.0, 2.0, 0.7))


def transform(backend, phases, *arguments, **options):
    """Return the distances that a backend finds, on the host."""
    return backend.get(distance.transform(backend.put(phases), *arguments, **options))


def brute_force(phases, spacing):
    """Compare every voxel with every other."""
    points = np.argwhere(np.ones(phases.shape, bool)) * np.array(spacing, float)
    labels = phases.ravel()
    squares = ((points[:, None] - points[None]) ** 2).sum(-1)
    squares[labels[:, None] == labels[None]] = np.inf
    return np.sqrt(squares.min(axis=1)).reshape(phases.shape)


@settings(max_examples=60, deadline=None)
@given(phases=phase_volumes(labels=(0, 7, 254, 255)), spacing=st.sampled_from(SPACINGS))
def test_equals_brute_force(backend, phases, spacing):
    found = transform(backend, phases, spacing)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, brute_force(phases, spacing), rtol=1e-6)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_equals_scipy_phase_by_phase(backend, spacing):
    noise = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal((40, 50, 45)), 2)
    phases = np.digitize(noise, np.quantile(noise, [0.3, 0.7])).astype(np.uint8) * 127
    expected = sum(
        ndimage.distance_transform_edt(phases == label, sampling=spacing) for label in (0, 127, 254)
    )
    np.testing.assert_allclose(transform(backend, phases, spacing), expected, rtol=1e-6)


def test_squares_are_exact_integers_at_isotropic_spacing(backend):
    phases = (np.random.default_rng(0).random((14, 15, 16)) < 0.01).astype(np.uint8)
    squares = transform(backend, phases, 1, squared=True)
    np.testing.assert_array_equal(squares, np.rint(brute_force(phases, (1, 1, 1)) ** 2))
    scaled = transform(backend, phases, 0.398)
    np.testing.assert_array_equal(scaled, (np.sqrt(squares.astype(np.float64)) * 0.398).astype(np.float32))


def test_all_256_labels_at_once(backend):
    phases = np.random.default_rng(0).permutation(np.arange(8**3) % 256).reshape(8, 8, 8).astype(np.uint8)
    np.testing.assert_allclose(transform(backend, phases), brute_force(phases, (1, 1, 1)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(700, 3, 4), (3, 700, 4), (3, 4, 700), (600, 280, 2)])
def test_radii_too_large_for_rows_and_tiles(backend, shape):
    phases = np.full(shape, 5, np.uint8)
    phases[0, 0, 0] = phases[-1, -1, -1] = 0
    expected = ndimage.distance_transform_edt(phases)
    expected[0, 0, 0] = expected[-1, -1, -1] = 1
    np.testing.assert_allclose(transform(backend, phases), expected, rtol=1e-6)
    assert expected.max() > 256


@pytest.mark.parametrize("labels", [(0, 1, 2), (0, 128, 255), range(256), range(1, 256)])
@pytest.mark.parametrize("wanted", [None, [0], [1, 255], [0, 128], [7]])
def test_both_ways_give_the_same_squares(labels, wanted):
    implementation = _cpu.distance
    labels = np.array(labels, np.uint8)
    phases = labels[np.arange(16 * 18 * 20) % labels.size].reshape(16, 18, 20)
    phases = np.repeat(phases, 3, axis=0)
    is_wanted = np.ones(256, bool) if wanted is None else np.isin(np.arange(256), wanted)
    searched = implementation.transform(phases, (1, 1, 1), squared=True, labels=wanted)
    np.testing.assert_array_equal(searched, implementation._by_parabolas(phases, (1, 1, 1), is_wanted))
    every = distance.transform(phases, squared=True)
    np.testing.assert_array_equal(searched, np.where(is_wanted[phases], every, 0))


# Around the tiles of the kernels: 32 voxels along x, 128 and 64 on both sides along y and z, 1024 of a row.
AWKWARD = (
    (1, 1, 1), (1, 1, 9), (4, 1, 5), (3, 5, 7), (31, 33, 32), (2, 129, 65), (128, 3, 31), (193, 2, 3),
    (2, 3, 1025), (1, 3, 2100), (40, 300, 2),
)  # fmt: skip


@pytest.mark.parametrize("shape", AWKWARD)
def test_both_sides_give_the_same_bits(backend, shape):
    rng = np.random.default_rng(len(shape) + sum(shape))
    for spacing, scale, labels in zip(SPACINGS, (0, 1.5, 8), (None, [0, 254], [127]), strict=True):
        noise = ndimage.gaussian_filter(rng.standard_normal(shape), scale)
        phases = np.digitize(noise, np.quantile(noise, [0.4, 0.8])).astype(np.uint8) * 127
        implementation = _cpu if backend.name == "cpu" else _cuda
        for squared in (False, True):
            found = implementation.distance.transform(backend.put(phases), spacing, squared, labels)
            expected = _cpu.distance.transform(phases, spacing, squared, labels)
            np.testing.assert_array_equal(backend.get(found), expected)


def test_no_order_of_threads_changes_a_bit(backend):
    phases = np.zeros((20, 150, 70), np.uint8)
    phases[5:15, 20:140, 10:65] = (np.random.default_rng(0).random((10, 120, 55)) < 0.01) + 1
    expected = transform(backend, phases)
    if backend.emulated:
        import cupy

        order = cupy.emulator_order("reverse")
    else:
        order = nullcontext()
    with order:
        np.testing.assert_array_equal(transform(backend, phases), expected)


@pytest.mark.slow
@pytest.mark.parametrize("spacing", SPACINGS)
def test_thick_phases(large_backend, spacing):
    z, y, x = np.ogrid[:150, :260, :170]
    phases = ((z - 70) ** 2 + (y - 130) ** 2 + (x - 85) ** 2 < 100**2).astype(np.uint8)
    expected = sum(ndimage.distance_transform_edt(phases == label, sampling=spacing) for label in (0, 1))
    found = transform(large_backend, phases, spacing)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(found, _cpu.distance.transform(phases, spacing))


def test_a_volume_of_one_phase_is_infinitely_far_from_others(backend):
    assert np.isinf(transform(backend, np.full((3, 4, 5), 9, np.uint8))).all()


def test_input_is_left_alone_and_need_not_be_contiguous(backend):
    large = (np.random.default_rng(0).random((12, 14, 16)) < 0.5).astype(np.uint8)
    phases = backend.put(large)[1:-1, 1:-1, 1:-1]
    expected = transform(backend, large[1:-1, 1:-1, 1:-1].copy())
    np.testing.assert_array_equal(backend.get(distance.transform(phases)), expected)
    turned = distance.transform(phases.transpose(2, 0, 1))
    np.testing.assert_array_equal(backend.get(turned), expected.transpose(2, 0, 1))
    np.testing.assert_array_equal(backend.get(phases), large[1:-1, 1:-1, 1:-1])


@pytest.mark.parametrize("spacing", [0, -1, np.nan, (1, 2), "abc", (1, 1, np.inf)])
def test_bad_spacing(backend, spacing):
    with pytest.raises(InputError, match="spacing"):
        distance.transform(backend.put(np.zeros((2, 2, 2), np.uint8)), spacing)


@pytest.mark.parametrize(
    "phases", [np.zeros((2, 2), np.uint8), np.zeros((0, 2, 2), np.uint8), np.zeros((2, 2, 2))]
)
def test_bad_phases(backend, phases):
    with pytest.raises(InputError, match=r"3D|empty|uint8"):
        distance.transform(backend.put(phases))
