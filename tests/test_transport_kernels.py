"""The GPU side of the solver: the host's faces, joined voxels and products, roots of aggregates, sums."""

import itertools

import cupy as cp
import numpy as np
import pytest
from scipy.sparse import csr_array

from test_transport_solver import SPACING, dense, on_voxels, problem, summed, weighted
from tripoint import _cpu, _cuda, levels
from tripoint._cuda.transport import multigrid
from tripoint._cuda.transport.aggregates import coarsen_rows, coarsen_voxels
from tripoint._cuda.transport.launch import MOST_BLOCKS, THREADS, launch_sums
from tripoint.levels import HELD, STRONG, Rows

SHAPE = (13, 12, 11)


def on_gpu(rows):
    return Rows(*map(cp.asarray, rows))


def on_host(rows):
    return Rows(*(part.get() for part in rows))


def test_faces_are_those_of_the_host(gpu):
    """Those of conduction with boundaries, of reactions at faces, and of listed ones."""
    rng = np.random.default_rng(2)
    phases = rng.integers(0, 4, (9, 8, 10), dtype=np.uint8)
    carrier = np.array([1, 2, 2, 0], np.uint8)[phases]
    regions = rng.integers(1, 5, phases.shape, dtype=np.int32)
    conductivity, boundary, active = np.ones(256), np.zeros(256), np.zeros(256, bool)
    conductivity[:3], boundary[1:3], active[1] = (0.1, 3.0, 50.0), (0.2, 0.4), True
    pairs = np.array([(1 << 32) | 2, (1 << 32) | 4, (3 << 32) | 4])
    tables = pairs, np.array([0.5, 0.7, 0.9])
    exchange = rng.uniform(1, 9, phases.shape).astype(np.float32)
    listed = np.array([2, 2]), np.array([5, 27]), np.array([1e-3, 2e-2])
    found = []
    for side, put in ((_cpu.transport, np.asarray), (_cuda.transport, gpu.put)):
        volumes = put(phases), put(carrier)
        faces = side.conduction_faces(*volumes, conductivity, (0.4, 0.5, 0.3), put(regions), boundary)
        for given in (put(exchange), 250.0):
            side.reaction_faces(
                faces, *volumes, conductivity, active, (0.4, 0.5, 0.3), given, put(regions), *map(put, tables)
            )
            found.append(gpu.get(faces).copy())
        side.junction_faces(faces, volumes[0], conductivity, (0.4, 0.5, 0.3), *map(put, listed))
        found.append(gpu.get(faces))
    assert np.count_nonzero(found[0]) > 500
    for host, device in zip(found[:3], found[3:], strict=True):
        np.testing.assert_allclose(device, host, rtol=2e-7)


def test_voxels_are_joined_as_on_the_host(gpu):
    faces, ends, values, _ = problem(SHAPE)
    inverse, _ = on_voxels(faces, SHAPE, ends, values)
    owner, expected = _cpu.transport.aggregates.coarsen_voxels(faces, SHAPE, inverse, ends, values)
    found, rows = coarsen_voxels(gpu.put(faces), SHAPE, *map(gpu.put, (inverse, ends, values)))
    np.testing.assert_array_equal(found.get(), owner)
    np.testing.assert_allclose(dense(on_host(rows)), dense(expected), rtol=1e-6)
    np.testing.assert_allclose(rows.terminal.get(), expected.terminal, rtol=1e-6)
    np.testing.assert_allclose(rows.inverse.get(), expected.inverse, rtol=1e-6)


@pytest.mark.parametrize("least", [1 << 20, 50])
def test_the_matrix_of_a_level_is_the_sum_over_its_aggregates(gpu, monkeypatch, least):
    """In one part, and in several."""
    monkeypatch.setattr(_cuda.transport.aggregates, "LEAST", least)
    faces, ends, values, _ = problem(SHAPE)
    inverse, _ = on_voxels(faces, SHAPE, ends, values)
    _, rows = coarsen_voxels(gpu.put(faces), SHAPE, *map(gpu.put, (inverse, ends, values)))
    joined, coarser = coarsen_rows(rows)
    owner, count = joined.owner.get(), coarser.terminal.size
    assert set(owner) == set(range(count))
    np.testing.assert_array_equal(owner[joined.members.get()], np.sort(owner))
    np.testing.assert_array_equal(np.diff(joined.first.get()), np.bincount(owner))
    np.testing.assert_allclose(
        dense(on_host(coarser)), summed(csr_array(dense(on_host(rows))), owner, count), rtol=1e-4
    )
    assert coarser.terminal.get().sum() == pytest.approx(values.sum(), rel=1e-5)


def test_aggregates_are_neighbourhoods_of_roots_and_what_lies_between(gpu):
    """Each holds the whole neighbourhood of a row, and no row is further than two connections from that."""
    faces, ends, values, _ = problem(SHAPE)
    inverse, _ = on_voxels(faces, SHAPE, ends, values)
    _, rows = coarsen_voxels(gpu.put(faces), SHAPE, *map(gpu.put, (inverse, ends, values)))
    joined, _ = coarsen_rows(rows)
    owner, on = joined.owner.get(), on_host(rows)
    matrix = dense(on)
    shares = matrix * np.maximum(on.inverse[:, None], on.inverse[None])
    strong = (matrix**2 * np.outer(on.inverse, on.inverse) >= STRONG**2) | (shares > HELD)
    np.fill_diagonal(strong, True)
    together = owner[:, None] == owner[None]
    whole = np.array([together[i][strong[i]].all() for i in range(len(owner))])  # its neighbourhood is one
    assert set(owner[whole]) == set(owner)
    far = (strong.astype(int) @ strong.astype(int) @ strong.astype(int) @ strong.astype(int)) > 0
    assert far[together].all()


def test_weakly_bound_parts_stay_apart_and_bits_join_what_holds_them(gpu):
    rings = [(base + k, base + (k + 1) % 8, 1.0) for base in (0, 8) for k in range(8)]
    owner = coarsen_rows(on_gpu(weighted([*rings, (0, 8, 0.01)], 16)))[0].owner.get()
    assert not set(owner[:8]) & set(owner[8:])
    assert len(set(owner)) <= 8
    star = [(0, k, 1.0) for k in range(1, 401)]
    assert coarsen_rows(on_gpu(weighted(star, 401)))[1].terminal.size == 1


def test_levels_shrink_as_on_the_host(gpu, monkeypatch):
    monkeypatch.setattr(levels, "DIRECT", 60)
    shape = (26, 24, 22)
    faces, ends, values, _ = problem(shape)
    found = multigrid.Multigrid(gpu.put(faces), shape, gpu.put(ends), gpu.put(values)).levels
    sizes = [level.terminal.size for level in found]
    assert len(sizes) > 2
    assert all(coarse <= 0.4 * fine for fine, coarse in itertools.pairwise(sizes[:3]))
    assert all(level.col.size <= 20 * level.terminal.size for level in found)


def test_voxels_with_a_terminal_alone_are_solved(gpu, monkeypatch):
    """None of them is bound to another, so that no level can shrink."""
    monkeypatch.setattr(levels, "DIRECT", 100)
    shape = (1, 20, 20)
    ends = 400 + np.flatnonzero(np.indices(shape).sum(axis=0) % 2)
    values = np.linspace(1, 9, ends.size)
    source = np.zeros(1200)
    source[ends] = 1.0
    faces = gpu.put(np.zeros((3, 1200), np.float32))
    given = gpu.put(ends), gpu.put(values), gpu.put(source)
    found = _cuda.transport.solve(faces, shape, *given, tolerance=1e-10, limit=50)
    np.testing.assert_allclose(found.potential.get()[ends], 1 / values, rtol=1e-9)


def test_a_source_of_nothing_is_solved_at_once(gpu):
    faces, ends, values, _ = problem(SHAPE)
    nothing = cp.zeros(faces.shape[1])
    found = _cuda.transport.solve(
        gpu.put(faces), SHAPE, gpu.put(ends), gpu.put(values), nothing, tolerance=1e-9, limit=5
    )
    assert (found.iterations, found.balanced, float(abs(found.potential).max())) == (0, True, 0.0)


def test_potentials_are_those_of_the_host(gpu, monkeypatch):
    monkeypatch.setattr(levels, "DIRECT", 60)
    faces, ends, values, _ = problem(SHAPE)
    source = np.zeros(faces.shape[1])
    source[ends[: ends.size // 2]] = 1.0
    expected = _cpu.transport.solve(faces, SHAPE, ends, values, source.copy(), tolerance=1e-11, limit=99)
    given = gpu.put(ends), gpu.put(values), gpu.put(source)
    found = _cuda.transport.solve(gpu.put(faces), SHAPE, *given, tolerance=1e-11, limit=99)
    scale = abs(expected.potential).max()
    np.testing.assert_allclose(found.potential.get(), expected.potential, rtol=0, atol=1e-8 * scale)
    assert found.iterations <= expected.iterations + 5


@pytest.mark.parametrize("count", [1, 255, 256, 257, 70_001])
def test_sums_do_not_depend_on_the_order_of_threads(gpu, count):
    values = gpu.put(np.random.default_rng(count).normal(size=count))
    where, sums = cp.arange(count, dtype=cp.int64), []
    arguments = where, values, np.int64(count), cp.ones(count), cp.zeros(count)
    for _ in range(2):
        total = cp.zeros(1)
        with gpu.reversed_threads():
            launch_sums("stencil", "apply_ends", count, *arguments, sums=total)
        sums.append(float(total[0]))
    total = cp.zeros(1)
    launch_sums("stencil", "apply_ends", count, *arguments, sums=total)
    assert sums == [float(total[0])] * 2
    assert sums[0] == pytest.approx(float(values.sum()), rel=1e-12, abs=1e-10)
    assert count < THREADS * MOST_BLOCKS


def test_butler_volmer_leaves_what_the_host_says(gpu):
    rng = np.random.default_rng(4)
    phases = rng.integers(0, 2, (6, 7, 8), dtype=np.uint8)
    carrier = phases + np.uint8(1)
    conductivity, active = np.full(256, 0.5), np.ones(256, bool)
    regions, guard = np.ones(phases.shape, np.int32), 56
    x = np.zeros(phases.size + 2 * guard)
    x[guard:-guard] = rng.normal(scale=0.3, size=phases.size)
    ends, values = np.array([guard, guard + 9]), np.array([2.0, 3.0])
    results = []
    for side, put in ((_cpu.transport, np.asarray), (_cuda.transport, gpu.put)):
        volumes = put(phases), put(carrier)
        none = put(np.empty(0, np.int64)), put(np.empty(0))
        faces = side.conduction_faces(*volumes, conductivity, SPACING)
        side.reaction_faces(faces, *volumes, conductivity, active, SPACING, 5e5, put(regions), *none)
        tangent = faces.copy()
        left = side.butler_volmer_residual(
            faces, tangent, *volumes, conductivity, SPACING, put(x), 0.0257, put(ends), put(values), put(x),
        )  # fmt: skip
        sums = side.reacting_regions(
            faces, *volumes, conductivity, active, active, SPACING, put(x), 0.0257, put(regions), 1
        )
        results.append([gpu.get(one) for one in (tangent, left, *sums)])
    for host, device in zip(*results, strict=True):
        np.testing.assert_allclose(device, host, rtol=1e-6, atol=1e-9)
