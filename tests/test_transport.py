"""Conduction on the voxels: tortuosity factors against known answers, porespy's definition and properties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import spsolve

from tripoint import levels
from tripoint.errors import ConvergenceError, InputError
from tripoint.materials import Materials
from tripoint.transport import tortuosities, tortuosity


def porous(shape, seed=1, fraction=0.5, sigma=2.0):
    """Return a smooth random two-phase volume: 1 where it conducts."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return (field > np.quantile(field, 1 - fraction)).astype(np.uint8)


def assembled(conductivity, axis, spacing=(1.0, 1.0, 1.0)):
    """Return the effective conductivity by a sparse direct solution, written from the definition."""
    shape, sigma = conductivity.shape, conductivity.ravel()
    numbers = np.arange(sigma.size).reshape(shape)
    rows, cols, values = [], [], []
    for k in range(3):
        area = math.prod(spacing) / spacing[k]
        a = np.take(numbers, range(shape[k] - 1), k).ravel()
        b = np.take(numbers, range(1, shape[k]), k).ravel()
        both = (sigma[a] > 0) & (sigma[b] > 0)
        a, b = a[both], b[both]
        g = area / spacing[k] * 2 * sigma[a] * sigma[b] / (sigma[a] + sigma[b])
        rows += [a, b]
        cols += [b, a]
        values += [g, g]
    matrix = coo_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))), (sigma.size,) * 2
    )
    ends = np.zeros(sigma.size)
    area = math.prod(spacing) / spacing[axis]
    first, last = np.take(numbers, 0, axis).ravel(), np.take(numbers, -1, axis).ravel()
    for plane in (first, last):
        ends[plane] += 2 * area * sigma[plane] / spacing[axis]
    source = np.zeros(sigma.size)
    source[first] = ends[first]
    total = np.asarray(matrix.sum(axis=1)).ravel() + ends + (sigma == 0)
    x = spsolve((diags_array(total) - matrix).tocsc(), source)
    current = (ends[first] * (1 - x[first])).sum()
    return current * shape[axis] * spacing[axis] / (area * sigma.size / shape[axis])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("plane", ["face", "centre"])
def test_straight_bar_is_one(backend, axis, plane):
    volume = np.zeros((9, 10, 11), np.uint8)
    bar = [slice(2, 7)] * 3
    bar[axis] = slice(None)
    volume[tuple(bar)] = 1
    found = tortuosity(backend.put(volume), 1, axis, (0.5, 1.0, 2.0), plane=plane)
    assert found.factor == pytest.approx(1, abs=1e-6)
    assert found.effective_conductivity == pytest.approx(found.fraction, rel=1e-6)
    assert found.imbalance <= 1e-6


def test_layers_in_series_and_side_by_side(backend):
    volume = np.zeros((12, 6, 6), np.uint8)
    volume[4:] = 1
    sigma = {0: 1.0, 1: 30.0}
    series = tortuosity(backend.put(volume), sigma, "z")
    assert series.effective_conductivity == pytest.approx(1 / (1 / 3 / 1.0 + 2 / 3 / 30.0), rel=1e-6)
    beside = tortuosity(backend.put(volume), sigma, "x")
    assert beside.effective_conductivity == pytest.approx(1 / 3 * 1.0 + 2 / 3 * 30.0, rel=1e-6)
    assert beside.factor == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_agrees_with_a_direct_solution(backend, axis):
    volume = porous((13, 16, 11))
    spacing = (0.4, 0.3, 0.9)
    sigma = {0: 0.02, 1: 5.0}
    expected = assembled(np.where(volume == 1, 5.0, 0.02), axis, spacing)
    found = tortuosity(backend.put(volume), sigma, axis, spacing, tolerance=1e-8)
    assert found.effective_conductivity == pytest.approx(expected, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), fraction=st.floats(0.3, 0.9), axis=st.integers(0, 2))
def test_bounds_and_mirror(seed, fraction, axis):
    volume = porous((12, 9, 14), seed, fraction, 1.0)
    found = tortuosity(volume, 1, axis)
    mirrored = tortuosity(np.flip(volume, axis), 1, axis)
    assert found.spans == mirrored.spans
    if found.spans:
        assert found.factor >= 1 - 1e-6
        assert found.effective_fraction <= found.fraction
        assert mirrored.factor == pytest.approx(found.factor, rel=1e-5)


def test_islands_and_dead_ends_change_nothing(backend):
    volume = np.zeros((20, 12, 12), np.uint8)
    volume[:, 2:5, 2:5] = 1
    alone = tortuosity(backend.put(volume), 1)
    volume[:9, 8:11, 8:11] = 1  # hangs on one face only
    volume[14, 9, 9] = 1
    found = tortuosity(backend.put(volume), 1)
    assert found.effective_conductivity == pytest.approx(alone.effective_conductivity, rel=1e-6)
    assert found.effective_fraction == pytest.approx(alone.fraction)
    assert found.effective_factor == pytest.approx(1, abs=1e-6)
    assert found.factor > 1


def test_what_does_not_span_is_not_solved(backend):
    volume = porous((10, 10, 10), 3)
    volume[5] = 0
    found = tortuosity(backend.put(volume), 1, "z")
    assert not found.spans
    assert found.factor == math.inf
    assert (found.effective_conductivity, found.iterations, found.effective_fraction) == (0, 0, 0)


def test_iterations_hardly_grow(large_backend):
    volumes = (large_backend.put(porous((n, n, n), 5, 0.4)) for n in (24, 72))
    small, large = (tortuosity(volume, 1).iterations for volume in volumes)
    assert large <= small + 8


def test_any_layout_and_any_thread_count():
    import numba

    volume = porous((70, 64, 64), 2)
    found = tortuosity(volume, 1)
    assert tortuosity(np.asfortranarray(volume), 1) == found
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert tortuosity(volume, 1) == found
    finally:
        numba.set_num_threads(before)


# What porespy 3.2 answers (its equations are solved by OpenPNM 3.6) for the pore of crops of the cathode.
PORESPY = [
    (((0, 48), (0, 50), (0, 52)), 0, 2.875295),
    (((0, 48), (0, 50), (0, 52)), 1, 3.128332),
    (((0, 48), (0, 50), (0, 52)), 2, 2.000587),
    (((100, 150), (120, 180), (60, 100)), 0, 25.131268),
    (((100, 150), (120, 180), (60, 100)), 1, math.inf),  # nothing percolates
    (((100, 150), (120, 180), (60, 100)), 2, 5.006317),
]


@pytest.mark.parametrize(("crop", "axis", "expected"), PORESPY)
def test_agrees_with_porespy(large_backend, nmc_cathode, crop, axis, expected):
    volume = np.ascontiguousarray(nmc_cathode[tuple(slice(a, b) for a, b in crop)])
    found = tortuosity(large_backend.put(volume), 0, axis, plane="centre")
    assert found.effective_factor == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize(("axis", "expected"), [(0, 2.9749804), (1, 3.2180526), (2, 2.064475)])
def test_agrees_with_taufactor(large_backend, nmc_cathode, axis, expected):
    """What TauFactor 1.2.1 answers for the pore of a crop, converged to 1e-4."""
    volume = np.ascontiguousarray(nmc_cathode[:48, :50, :52])
    assert tortuosity(large_backend.put(volume), 0, axis).factor == pytest.approx(expected, rel=5e-3)


def test_phases_and_networks_of_materials(backend):
    materials = Materials.from_mapping(
        {
            "phases": {
                "pore": {"label": 0, "conducts": ["ion"]},
                "active": {"label": 1, "conducts": ["electron"], "conductivity": {"electron": 0.1}},
                "binder": {"label": 2, "conducts": ["electron"], "conductivity": {"electron": 10}},
            }
        }
    )
    volume = porous((12, 12, 12))
    volume[:, 3:5] = 2
    found = tortuosities(backend.put(volume), materials, axes=("z", "x"))
    assert set(found) == {"pore", "active", "binder", "ion", "electron"}
    assert found["ion"] == found["pore"]  # a network of one phase, whose conductivity is 1
    assert set(found["pore"]) == {"z", "x"}
    assert found["binder"]["z"].factor == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("conductors", "axis", "words"),
    [
        (7, "z", "label 7"),
        ({1: 0.0}, "z", "positive"),
        ({1: -1.0}, "z", "positive"),
        ({}, "z", "no conductor"),
        (1, "w", "expected one of"),
    ],
)
def test_bad_input(backend, conductors, axis, words):
    with pytest.raises(InputError, match=words):
        tortuosity(backend.put(porous((8, 8, 8))), conductors, axis)


def test_flat_volume_along_its_short_axis(backend):
    with pytest.raises(InputError, match="voxels long"):
        tortuosity(backend.put(np.ones((2, 8, 8), np.uint8)), 1, "z")
    assert tortuosity(backend.put(np.ones((1, 8, 8), np.uint8)), 1, "y").factor == pytest.approx(1, abs=1e-6)


def test_not_converging_says_so(backend):
    with pytest.raises(ConvergenceError, match="residual is"):
        tortuosity(backend.put(porous((20, 20, 20))), 1, limit=2)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_three_planes_between_the_centres(backend, axis):
    """The one plane in the middle touches both terminals."""
    shape = [5, 6, 7]
    shape[axis] = 3
    found = tortuosity(backend.put(np.ones(shape, np.uint8)), 1, axis, plane="centre")
    assert found.factor == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("contrast", [1.0, 3000.0])
def test_both_sides_agree(gpu, monkeypatch, contrast):
    monkeypatch.setattr(levels, "DIRECT", 100)
    volume = porous((22, 19, 20), 8, 0.45)
    conductors = 1 if contrast == 1 else {0: 1.0, 1: contrast}
    for axis in (0, 2):
        expected = tortuosity(volume, conductors, axis, (0.4, 0.5, 0.3), tolerance=1e-8)
        found = tortuosity(gpu.put(volume), conductors, axis, (0.4, 0.5, 0.3), tolerance=1e-8)
        assert found.factor == pytest.approx(expected.factor, rel=1e-7)
        assert found.iterations <= 1.5 * expected.iterations + 2
        for name in ("fraction", "effective_fraction", "spans", "axis"):
            assert getattr(found, name) == getattr(expected, name)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), fraction=st.floats(0.2, 0.9), axis=st.integers(0, 2))
def test_any_small_volume_has_the_hosts_factor(gpu, seed, fraction, axis):
    volume = porous((7, 6, 9), seed, fraction, 1.0)
    expected, found = tortuosity(volume, 1, axis), tortuosity(gpu.put(volume), 1, axis)
    assert found.factor == pytest.approx(expected.factor, rel=1e-5)
    assert found.effective_fraction == expected.effective_fraction


def test_the_same_bits_in_another_order_of_threads_and_layout(gpu, monkeypatch):
    monkeypatch.setattr(levels, "DIRECT", 100)
    volume = porous((18, 16, 17), 2)
    found = tortuosity(gpu.put(volume), 1)
    with gpu.reversed_threads():
        assert tortuosity(gpu.put(np.asfortranarray(volume)), 1) == found


def test_levels_that_do_not_coarsen_are_solved_all_the_same(gpu, monkeypatch):
    """Columns apart: on the last level no row is bound to another, and there are more than are inverted."""
    monkeypatch.setattr(levels, "DIRECT", 4)
    volume = np.zeros((9, 12, 12), np.uint8)
    volume[:, ::2, ::2] = 1
    found = tortuosity(gpu.put(volume), 1)
    assert found.factor == pytest.approx(1, abs=1e-6)
    assert found.iterations < 30
