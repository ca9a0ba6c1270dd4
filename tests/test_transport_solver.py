"""The CPU's multigrid: what it joins, the matrices of its levels, how iterations and memory grow."""

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array, csr_array

from tripoint import _cpu
from tripoint._cpu.transport.aggregates import coarsen_rows, coarsen_voxels
from tripoint._cpu.transport.multigrid import Multigrid
from tripoint._cpu.transport.stencil import invert_diagonal
from tripoint.levels import Rows

SPACING = (0.4, 0.4, 0.4)


def problem(shape, seed=1, contrast=1e4):
    """Return faces, ends, conductances of the ends, and the carrier of two phases beside a void."""
    rng = np.random.default_rng(seed)
    fields = [gaussian_filter(rng.normal(size=shape), 1.5) for _ in range(2)]
    phases = (fields[0] > 0).astype(np.uint8)
    phases[fields[1] > np.quantile(fields[1], 0.9)] = 2
    table = np.ones(256)
    table[1] = contrast
    carrier = _cpu.transport.spanning(phases < 2, 0).view(np.uint8)
    faces = _cpu.transport.conduction_faces(phases, carrier, table, SPACING)
    plane = shape[1] * shape[2]
    conducting = carrier.reshape(shape[0], -1) > 0
    first, last = np.flatnonzero(conducting[0]), np.flatnonzero(conducting[-1])
    ends = plane + np.concatenate([first, (shape[0] - 1) * plane + last])
    return faces, ends, np.full(ends.size, 0.8), carrier


def on_voxels(faces, shape, ends, values):
    """Return 1 / diagonal, and the conductances as a sparse matrix without its diagonal."""
    plane, row = shape[1] * shape[2], shape[2]
    inverse = np.zeros(faces.shape[1], np.float32)
    inverse[ends] = values
    invert_diagonal(plane, faces.shape[1] - plane, faces, plane, row, inverse)
    i, j, g = [], [], []
    for axis, step in enumerate((plane, row, 1)):
        lower = np.flatnonzero(faces[axis])
        i, j, g = [*i, lower, lower + step], [*j, lower + step, lower], [*g, *[faces[axis, lower]] * 2]
    size = faces.shape[1]
    matrix = coo_array((np.concatenate(g), (np.concatenate(i), np.concatenate(j))), (size, size))
    return inverse, matrix.tocsr()


def summed(matrix, owner, count):
    """Return the conductances between aggregates, as the Galerkin product has them."""
    members = np.flatnonzero(owner >= 0)
    share = csr_array((np.ones(members.size), (members, owner[members])), (owner.size, count))
    whole = (share.T @ matrix.astype(np.float64) @ share).tolil()
    whole.setdiag(0)
    return whole.toarray()


def dense(rows):
    count = rows.terminal.size
    return csr_array((rows.val, rows.col, rows.ptr), (count, count)).toarray()


def test_the_matrix_of_a_level_is_the_sum_over_its_aggregates():
    shape = (15, 12, 13)
    faces, ends, values, carrier = problem(shape)
    inverse, matrix = on_voxels(faces, shape, ends, values)
    owner, rows = coarsen_voxels(faces, shape, inverse, ends, values)
    guard = shape[1] * shape[2]
    np.testing.assert_array_equal(owner[guard:-guard] >= 0, carrier.reshape(-1) > 0)
    np.testing.assert_allclose(dense(rows), summed(matrix, owner, rows.terminal.size), rtol=1e-5)
    assert rows.terminal.sum() == pytest.approx(values.sum(), rel=1e-5)
    owner, coarser = coarsen_rows(rows)
    assert set(owner) == set(range(coarser.terminal.size))
    expected = summed(csr_array(dense(rows)), owner, coarser.terminal.size)
    np.testing.assert_allclose(dense(coarser), expected, rtol=1e-4)
    assert coarser.terminal.sum() == pytest.approx(values.sum(), rel=1e-5)


def weighted(entries, count):
    """Return the rows of a graph, given as (i, j, conductance)."""
    i, j, g = (np.array(column) for column in zip(*entries, strict=True))
    matrix = coo_array((np.r_[g, g], (np.r_[i, j], np.r_[j, i])), (count, count)).tocsr()
    total = np.asarray(matrix.sum(axis=1)).ravel()
    return Rows(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float32),
        np.zeros(count, np.float32),
        (1 / total).astype(np.float32),
    )


def test_weakly_bound_parts_stay_apart():
    """Two rings of eight whose one link has a hundredth of the conductance."""
    rings = [(base + k, base + (k + 1) % 8, 1.0) for base in (0, 8) for k in range(8)]
    owner, _ = coarsen_rows(weighted([*rings, (0, 8, 0.01)], 16))
    assert not set(owner[:8]) & set(owner[8:])
    assert len(set(owner)) <= 8


def test_bits_around_a_good_conductor_join_it():
    """A bit's conductance is small beside what the conductor holds in all, and all that holds the bit."""
    star = [(0, k, 1.0) for k in range(1, 401)]
    owner, rows = coarsen_rows(weighted(star, 401))
    assert rows.terminal.size == 1
    assert (owner == 0).all()


@pytest.mark.parametrize("contrast", [1.0, 1e4])
def test_levels_shrink_and_stay_sparse(contrast):
    shape = (64, 60, 56)
    faces, ends, values, _ = problem(shape, contrast=contrast)
    levels = Multigrid(faces, shape, ends, values).levels
    sizes = [level.terminal.size for level in levels]
    assert len(sizes) > 2
    assert all(coarse <= 0.4 * fine for fine, coarse in itertools.pairwise(sizes))
    assert all(level.col.size <= 20 * level.terminal.size for level in levels)


def test_voxels_with_a_terminal_alone_are_solved():
    """None of them is bound to another, so that no level can shrink."""
    shape = (1, 80, 80)
    faces = np.zeros((3, 3 * 80 * 80), np.float32)
    ends = 80 * 80 + np.flatnonzero(np.indices(shape).sum(axis=0) % 2)
    values = np.linspace(1, 9, ends.size)
    source = np.zeros(faces.shape[1])
    source[ends] = 1.0
    found = _cpu.transport.solve(faces, shape, ends, values, source, tolerance=1e-10, limit=50)
    np.testing.assert_allclose(found.potential[ends], 1 / values, rtol=1e-9)


def solved(shape):
    faces, ends, values, _ = problem(shape)
    source = np.zeros(faces.shape[1])
    source[ends[: ends.size // 2]] = 1.0
    return _cpu.transport.solve(faces, shape, ends, values, source, tolerance=1e-8, limit=200)


def test_iterations_hardly_grow_with_size():
    small, large = solved((24, 24, 24)), solved((80, 80, 80))
    assert small.balanced
    assert large.balanced
    assert large.iterations <= small.iterations + 6


def test_memory_is_within_what_is_stated():
    shape = (64, 64, 64)
    faces, ends, values, _ = problem(shape)
    tracemalloc.start()
    try:
        multigrid = Multigrid(faces, shape, ends, values)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    aggregates = multigrid.levels[0].terminal.size
    assert aggregates <= faces.shape[1] / 5
    assert peak <= 12 * faces.shape[1] + 165 * aggregates
