"""The unbiased junction length against lines whose length is known, and its bookkeeping."""

import numpy as np
import pytest

from tripoint import boundary
from tripoint.errors import InputError

TRIPLE = ((0, 1, 2),)


def centres(shape, spacing):
    """Coordinates of the voxel centres, µm, (z, y, x, 3)."""
    axes = [(np.arange(n) + 0.5) * s for n, s in zip(shape, spacing, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1)


def frame(direction, rng):
    """Two unit vectors across a direction, turned at random."""
    one = np.cross(direction, rng.normal(size=3))
    one /= np.linalg.norm(one)
    return one, np.cross(direction, one)


def random_direction(rng):
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction)


def wedges(rng, least=np.pi / 4):
    """Three angles around a line, at least 45 degrees apart."""
    while True:
        angles = np.sort(rng.uniform(0, 2 * np.pi, 3))
        if np.diff([*angles, angles[0] + 2 * np.pi]).min() >= least:
            return angles


def straight_line(rng, shape, spacing):
    """Three wedges that meet along a line through the middle: volume, a point of the line, its direction."""
    direction = random_direction(rng)
    point = (np.array(shape) / 2 + rng.uniform(-0.5, 0.5, 3)) * spacing
    one, two = frame(direction, rng)
    away = centres(shape, spacing) - point
    angle = np.mod(np.arctan2(away @ two, away @ one), 2 * np.pi)
    return (np.digitize(angle, wedges(rng)) % 3).astype(np.uint8), point, direction


def length_between(volume, spacing, point, direction, reach):
    """Sum the contributions between two planes across the line, of edges cut by a plane in proportion."""
    edges = boundary.junction_edges(volume, spacing, TRIPLE)
    middle = np.stack(np.unravel_index(edges.index, volume.shape), 1) + 1.0
    middle[np.arange(len(edges)), edges.axis] -= 0.5
    s = (middle * spacing - point) @ direction
    half = np.maximum(np.abs(direction[edges.axis]) * np.array(spacing)[edges.axis] / 2, 1e-12)
    share = np.clip((np.minimum(s + half, reach) - np.maximum(s - half, -reach)) / (2 * half), 0, 1)
    return float((edges.own_length * share).sum(dtype=np.float64))


@pytest.mark.parametrize(("shape", "spacing", "reach"), [
    ((64, 64, 64), (1.0, 1.0, 1.0), 26),
    ((36, 72, 72), (2.0, 1.0, 1.0), 30),
    ((72, 72, 24), (1.0, 1.0, 3.0), 30),
])  # fmt: skip
def test_straight_lines(shape, spacing, reach):
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(60):
        volume, point, direction = straight_line(rng, shape, spacing)
        errors.append(length_between(volume, spacing, point, direction, reach) / (2 * reach) - 1)
    assert abs(np.mean(errors)) <= 0.01
    assert np.abs(errors).max() <= 0.06


def circle(rng, radius, spacing=(1.0, 1.0, 1.0)):
    """A ball cut by the plane between two phases: they meet along a circle."""
    shape = tuple(int(np.ceil((2 * radius + 8 * max(spacing)) / s)) for s in spacing)
    away = centres(shape, spacing) - (np.array(shape) / 2 + rng.uniform(-0.5, 0.5, 3)) * spacing
    return np.where((away**2).sum(-1) <= radius**2, 2, away @ random_direction(rng) > 0).astype(np.uint8)


@pytest.mark.parametrize(("radius", "spacing"), [
    (10, (1.0, 1.0, 1.0)), (14.3, (1.0, 1.0, 1.0)), (25, (1.0, 1.0, 1.0)),
    (20, (2.0, 1.0, 1.0)), (30, (1.0, 1.0, 3.0)),
])  # fmt: skip
def test_circles(radius, spacing):
    rng = np.random.default_rng(1)
    lengths = [boundary.scan(circle(rng, radius, spacing), spacing).junctions[0].length for _ in range(30)]
    errors = np.array(lengths) / (2 * np.pi * radius) - 1
    assert abs(errors.mean()) <= 0.02
    assert np.abs(errors).max() <= 0.04


@pytest.mark.parametrize("radius", [2, 3, 5])
def test_small_circles_do_not_vanish(radius):
    """The far side of a small ring runs the other way: it must not be taken for the near side."""
    rng = np.random.default_rng(2)
    lengths = [boundary.scan(circle(rng, radius)).junctions[0].length for _ in range(30)]
    assert np.mean(lengths) == pytest.approx(2 * np.pi * radius, rel=0.1)


@pytest.mark.parametrize("thickness", [2, 3, 4, 6])
def test_both_sides_of_a_thin_film_count(thickness):
    """A strip of one phase on the plane surface of another: two lines, a few voxels apart."""
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(15):
        direction = random_direction(rng)
        point = np.full(3, 24.0) + rng.uniform(-0.5, 0.5, 3)
        one, two = frame(direction, rng)
        away = centres((48, 48, 48), (1.0, 1.0, 1.0)) - point
        film = np.where(away @ one < 0, 1, np.where(np.abs(away @ two) < thickness / 2, 2, 0))
        errors.append(length_between(film.astype(np.uint8), (1.0,) * 3, point, direction, 18) / 72 - 1)
    assert abs(np.mean(errors)) <= 0.01
    assert np.abs(errors).max() <= 0.06


def foam(rng, cell, n, phases):
    """Voronoi cells of random phases, and the length inside [8, n - 8] of the edges where three meet."""
    from scipy.spatial import Delaunay, cKDTree

    margin = 4 * cell
    seeds = rng.uniform(-margin, n + margin, (int(((n + 2 * margin) / cell) ** 3), 3))
    phase = rng.integers(0, phases, len(seeds)).astype(np.uint8)
    volume = phase[cKDTree(seeds).query(centres((n, n, n), (1, 1, 1)).reshape(-1, 3))[1]].reshape(n, n, n)
    cells = Delaunay(seeds)
    corners = seeds[cells.simplices]
    sides = 2 * (corners[:, 1:] - corners[:, :1])
    squares = (corners[:, 1:] ** 2).sum(-1) - (corners[:, :1] ** 2).sum(-1)
    vertices = np.linalg.solve(sides, squares[..., None])[..., 0]
    length = 0.0
    for k in range(4):
        other = cells.neighbors[:, k]
        once = np.flatnonzero(other > np.arange(len(other)))
        met = np.sort(phase[np.delete(cells.simplices, k, 1)[once]], axis=1)
        once = once[(np.diff(met, axis=1) > 0).all(axis=1)]
        start, step = vertices[once], vertices[other[once]] - vertices[once]
        bounds = np.stack([(8 - start) / step, (n - 8 - start) / step])
        entry, leave = np.maximum(bounds.min(0).max(1), 0), np.minimum(bounds.max(0).min(1), 1)
        length += (np.linalg.norm(step, axis=1) * np.clip(leave - entry, 0, None)).sum()
    return volume, length


@pytest.mark.parametrize(("phases", "loss"), [(3, 0.15), (4, 0.11)])
def test_a_dense_network_of_lines(phases, loss):
    """Every corner costs about half a voxel, and these cells of 12 voxels have one every 5 voxels."""
    volume, length = foam(np.random.default_rng(4), 12, 80, phases)
    scan = boundary.scan(volume, within=((7, 71),) * 3)
    measured = sum(junction.length for junction in scan.junctions)
    assert 1 - loss <= measured / length <= 1.02
    assert 1.4 <= sum(junction.raw_length for junction in scan.junctions) / length <= 1.7


# ---------------------------------------------------------------------------- bookkeeping


def clumps(shape, labels, seed):
    coarse = np.random.default_rng(seed).integers(0, labels, tuple(-(-n // 3) for n in shape), dtype=np.uint8)
    return coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2)[: shape[0], : shape[1], : shape[2]]


def test_one_record_per_edge_and_triple():
    volume = clumps((20, 21, 70), 4, 0)
    triples = [(0, 1, 2), (3, 1, 0), (1, 2, 3)]
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 64, volume.shape, dtype=np.uint8) & rng.integers(
        0, 64, volume.shape, dtype=np.uint8
    )
    access = boundary.Access(bits, {"ion": (0, 1), "electron": (3,)})
    edges = boundary.junction_edges(volume, (1, 1, 1), triples, access=access)
    scan = boundary.scan(volume, junctions=triples, access=access)
    order = np.lexsort((edges.triple, edges.axis, edges.index))
    np.testing.assert_array_equal(order, np.arange(len(edges)))
    for t, junction in enumerate(scan.junctions):
        of_triple = edges.triple == t
        for status, counts in (
            (2, junction.active_edges), (1, junction.unknown_edges), (0, junction.dead_edges),
        ):  # fmt: skip
            found = np.bincount(edges.axis[of_triple & (edges.status == status)], minlength=3)
            assert tuple(found.tolist()) == counts
        assert junction.length == pytest.approx(edges.own_length[of_triple].sum(dtype=np.float64))
        parts = junction.active_length + junction.unknown_length + junction.dead_length
        assert parts == pytest.approx(junction.length)
    for row in np.random.default_rng(0).integers(0, len(edges), 200):
        z, y, x = np.unravel_index(edges.index[row], volume.shape)
        reach = [1 if k == edges.axis[row] else 2 for k in range(3)]
        around = volume[z : z + reach[0], y : y + reach[1], x : x + reach[2]]
        assert around.size == 4
        assert set(triples[edges.triple[row]]) <= set(around.ravel().tolist())
    same = (
        (edges.index == edges.index[:, None]) & (edges.axis == edges.axis[:, None])
        if len(edges) < 4000
        else None
    )
    if same is not None:
        np.testing.assert_allclose(edges.edge_length, same @ edges.own_length / same.sum(1), atol=1e-5)
    distinct = np.unique(edges.index * 3 + edges.axis, return_index=True)[1]
    assert len(distinct) == sum(scan.junctions_total.edges)
    assert scan.junctions_total.length == pytest.approx(edges.edge_length[distinct].sum(dtype=np.float64))


def test_slabs_threads_and_layout_do_not_matter(monkeypatch):
    import numba

    from tripoint._cpu.boundary import length

    volume = clumps((50, 30, 40), 3, 1)
    expected = boundary.junction_edges(volume, (1, 1, 2), TRIPLE)
    for slab, threads in ((3, 1), (7, numba.get_num_threads()), (100, 1)):
        monkeypatch.setattr(length, "SLAB", slab)
        monkeypatch.setattr(numba, "get_num_threads", lambda n=threads: n)
        found = boundary.junction_edges(np.asfortranarray(volume), (1, 1, 2), TRIPLE)
        for name in ("index", "axis", "triple", "status", "own_length", "edge_length"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_directed_edges_are_closed():
    """Of three phases, what enters a lattice corner inside the volume also leaves it."""
    volume = np.random.default_rng(0).integers(0, 3, (9, 10, 11), dtype=np.uint8)
    flux = np.zeros(tuple(n + 1 for n in volume.shape), int)
    edges = boundary.junction_edges(volume, (1, 1, 1), TRIPLE)
    for index, axis in zip(edges.index, edges.axis, strict=True):
        low = np.array(np.unravel_index(index, volume.shape))
        one, two = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
        ring = [int(volume[tuple(low + step)]) for step in (0 * one, one, one + two, two)]
        kept = [p for k, p in enumerate(ring) if p != ring[k - 1]]
        sense = 0 if len(kept) == 4 else (1 if (kept[1] - kept[0]) % 3 == 1 else -1)
        flux[tuple(low + 1)] += sense
        flux[tuple(low + 1 - np.eye(3, dtype=int)[axis])] -= sense
    assert not flux[1:-1, 1:-1, 1:-1].any()


def test_lengths_of_parts_add_up():
    volume = clumps((30, 31, 32), 4, 3)
    whole = boundary.scan(volume, (1, 2, 1))
    low = boundary.scan(volume, (1, 2, 1), within=((0, 13), (0, 31), (0, 32)))
    high = boundary.scan(volume, (1, 2, 1), within=((13, 30), (0, 31), (0, 32)))
    both = low + high
    for k, junction in enumerate(whole.junctions):
        assert both.junctions[k].length == pytest.approx(junction.length)
        assert low.junctions[k].length + high.junctions[k].length == pytest.approx(junction.length)
    assert both.junctions_total.length == pytest.approx(whole.junctions_total.length)
    assert both.junctions_total.density == pytest.approx(whole.junctions_total.density)


def test_edges_listed_before_are_not_listed_again(monkeypatch):
    volume = clumps((30, 31, 32), 4, 3)
    scan = boundary.scan(volume)
    edges = boundary.junction_edges(volume, (1, 1, 1), [j.phases for j in scan.junctions])
    expected = scan.junctions_total.length
    monkeypatch.setattr("tripoint.boundary.length.junction_edges", None)
    assert scan.with_edges(edges).junctions_total.length == expected
    assert expected > 0


def test_no_edges():
    volume = np.zeros((3, 4, 5), np.uint8)
    assert len(boundary.junction_edges(volume, (1, 1, 1), TRIPLE)) == 0
    assert len(boundary.junction_edges(volume, (1, 1, 1), [])) == 0
    assert boundary.scan(volume, junctions=TRIPLE).junctions[0].length == 0.0


def test_too_many_junctions_are_refused():
    from itertools import combinations

    volume = np.zeros((3, 4, 5), np.uint8)
    with pytest.raises(InputError, match="name those of interest"):
        boundary.junction_edges(volume, (1, 1, 1), combinations(range(14), 3))
    with pytest.raises(InputError, match="three different labels"):
        boundary.junction_edges(volume, (1, 1, 1), [(1, 1, 2)])
