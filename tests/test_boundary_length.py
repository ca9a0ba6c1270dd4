"""The unbiased junction length against lines whose length is known, and its bookkeeping."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tripoint import boundary
from tripoint.boundary.length import JunctionEdges, step_weights
from tripoint.errors import InputError

TRIPLE = ((0, 1, 2),)
COLUMNS = ("index", "axis", "triple", "status", "own_length", "edge_length")


def listed(backend, volume, spacing, triples, access=None):
    """The edges that a backend lists, on the host."""
    if access is not None:
        access = boundary.Access(backend.put(access.volume), access.networks)
    edges = boundary.junction_edges(backend.put(volume), spacing, triples, access=access)
    return JunctionEdges(*(backend.get(getattr(edges, name)) for name in COLUMNS))


def assert_same(found, expected):
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


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


def length_between(backend, volume, spacing, point, direction, reach):
    """Sum the contributions between two planes across the line, of edges cut by a plane in proportion."""
    edges = listed(backend, volume, spacing, TRIPLE)
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
def test_straight_lines(large_backend, shape, spacing, reach):
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(60):
        volume, point, direction = straight_line(rng, shape, spacing)
        found = length_between(large_backend, volume, spacing, point, direction, reach)
        errors.append(found / (2 * reach) - 1)
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
def test_circles(large_backend, radius, spacing):
    rng = np.random.default_rng(1)
    volumes = (large_backend.put(circle(rng, radius, spacing)) for _ in range(30))
    lengths = [boundary.scan(volume, spacing).junctions[0].length for volume in volumes]
    errors = np.array(lengths) / (2 * np.pi * radius) - 1
    assert abs(errors.mean()) <= 0.02
    assert np.abs(errors).max() <= 0.04


@pytest.mark.parametrize("radius", [2, 3, 5])
def test_small_circles_do_not_vanish(large_backend, radius):
    """The far side of a small ring runs the other way: it must not be taken for the near side."""
    rng = np.random.default_rng(2)
    volumes = (large_backend.put(circle(rng, radius)) for _ in range(30))
    lengths = [boundary.scan(volume).junctions[0].length for volume in volumes]
    assert np.mean(lengths) == pytest.approx(2 * np.pi * radius, rel=0.1)


@pytest.mark.parametrize("thickness", [2, 3, 4, 6])
def test_both_sides_of_a_thin_film_count(large_backend, thickness):
    """A strip of one phase on the plane surface of another: two lines, a few voxels apart."""
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(15):
        direction = random_direction(rng)
        point = np.full(3, 24.0) + rng.uniform(-0.5, 0.5, 3)
        one, two = frame(direction, rng)
        away = centres((48, 48, 48), (1.0, 1.0, 1.0)) - point
        film = np.where(away @ one < 0, 1, np.where(np.abs(away @ two) < thickness / 2, 2, 0))
        found = length_between(large_backend, film.astype(np.uint8), (1.0,) * 3, point, direction, 18)
        errors.append(found / 72 - 1)
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
def test_a_dense_network_of_lines(large_backend, phases, loss):
    """Every corner costs about half a voxel, and these cells of 12 voxels have one every 5 voxels."""
    volume, length = foam(np.random.default_rng(4), 12, 80, phases)
    scan = boundary.scan(large_backend.put(volume), within=((7, 71),) * 3)
    measured = sum(junction.length for junction in scan.junctions)
    assert 1 - loss <= measured / length <= 1.02
    assert 1.4 <= sum(junction.raw_length for junction in scan.junctions) / length <= 1.7


# ---------------------------------------------------------------------------- walk by walk


def unit(axis):
    return tuple(int(k == axis) for k in range(3))


def moved(corner, axis, sign):
    return tuple(c + sign * u for c, u in zip(corner, unit(axis), strict=True))


def directed_edges(volume, triple):
    """Lower corner and axis of every edge of a triple, and the sense in which the phases go around it."""
    edges = {}
    for p in np.ndindex(volume.shape):
        for axis in range(3):
            one, two = unit((axis + 1) % 3), unit((axis + 2) % 3)
            places = [np.add(p, step) for step in ((0, 0, 0), one, np.add(one, two), two)]
            if not all((place < volume.shape).all() for place in places):
                continue
            ring = [int(volume[tuple(place)]) for place in places]
            if not set(triple) <= set(ring):
                continue
            order = [triple.index(label) if label in triple else -9 for label in ring]
            turns = [(order[k] - order[k - 1]) % 3 for k in range(4) if min(order[k], order[k - 1]) >= 0]
            sense = np.sign(turns.count(1) - turns.count(2))
            edges[moved(tuple(np.add(p, 1).tolist()), axis, -1), axis] = int(sense)
    return edges


def walked(edges, corners, edge, weights, leaping):
    """Corners met, and the weighted sum of the edges met, in a walk from an edge."""
    lower, axis = edge
    steps = {moved(lower, axis, 1): 1, lower: 1}
    queue, done = list(steps), set()
    total = np.zeros(3)
    total[axis] = edges[edge] * weights[0]
    for corner in queue:
        done.add(corner)
        for along, sign in ((0, 1), (1, 1), (2, 1), (0, -1), (1, -1), (2, -1)):
            other = moved(corner, along, sign)
            link = (corner if sign > 0 else other), along
            if other in done or not (link in edges or (leaping and other in corners)):
                continue
            if link in edges and link != edge:
                total[along] += weights[steps[corner]] * edges[link]
            if steps[corner] + 1 < len(weights) and other not in steps:
                steps[other] = steps[corner] + 1
                queue.append(other)
    return len(queue), total


def lengths_by_dictionaries(volume, spacing, triples):
    """Rows of index, axis, triple and own length, in this order."""
    weights, rows = step_weights(spacing), []
    for t, triple in enumerate(triples):
        edges = directed_edges(volume, triple)
        corners = {end for lower, axis in edges for end in (lower, moved(lower, axis, 1))}
        for (lower, axis), sense in edges.items():
            met, total = walked(edges, corners, (lower, axis), weights, leaping=False)
            if met <= 8:
                met, total = walked(edges, corners, (lower, axis), weights, leaping=True)
            total, size = total * spacing, np.linalg.norm(total * spacing)
            share = 0.0 if sense == 0 else sense * total[axis] / size if size > 0 else 1.0
            voxel = np.subtract(moved(lower, axis, 1), 1)
            rows.append((np.ravel_multi_index(voxel, volume.shape), axis, t, spacing[axis] * share))
    return np.array(sorted(rows)).reshape(-1, 4)


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.integers(0, 3)),
    st.sampled_from([(1.0, 1.0, 1.0), (0.5, 0.7, 0.6), (1.0, 2.0, 1.0), (3.0, 1.0, 1.0)]),
)
@settings(max_examples=25, deadline=None)
def test_any_volume_matches_walks_over_dictionaries(backend, volume, spacing):
    triples = ((0, 1, 2), (2, 1, 3))
    expected = lengths_by_dictionaries(volume, spacing, triples)
    found = listed(backend, volume, spacing, triples)
    for column, name in enumerate(("index", "axis", "triple")):
        np.testing.assert_array_equal(getattr(found, name), expected[:, column])
    np.testing.assert_allclose(found.own_length, expected[:, 3], rtol=1e-6, atol=1e-6)


def noise(shape, labels, seed):
    return np.random.default_rng(seed).integers(0, labels, shape, dtype=np.uint8)


@pytest.mark.parametrize("volume", [
    noise((1, 1, 1), 3, 0), noise((2, 2, 2), 3, 1), noise((3, 5, 7), 3, 2), noise((1, 9, 9), 3, 3),
    noise((9, 1, 9), 3, 4), noise((9, 9, 1), 3, 5), noise((4, 3, 31), 3, 6), noise((3, 4, 32), 3, 7),
    noise((2, 3, 33), 3, 8), noise((2, 2, 63), 3, 9), noise((3, 2, 64), 3, 10), noise((2, 2, 65), 3, 11),
    noise((2, 2, 129), 3, 12), noise((40, 3, 2), 3, 13), noise((16, 15, 14), 4, 14)[::2, ::-1, 1::2],
    np.asfortranarray(noise((7, 8, 9), 4, 15)), noise((7, 8, 9), 4, 16).transpose(2, 0, 1),
], ids=lambda volume: f"{volume.shape}{volume.strides}")  # fmt: skip
def test_both_sides_agree_bit_for_bit(backend, volume):
    """Walks meet their edges in one order: even the last bit of a sum is the same."""
    triples = ((0, 1, 2), (3, 1, 0))
    expected = boundary.junction_edges(np.ascontiguousarray(volume), (1, 1, 1), triples)
    assert_same(listed(backend, volume, (1, 1, 1), triples), expected)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (3, 1, 1), (1, 16, 1)])
def test_a_real_cathode_is_the_hosts_bit_for_bit(backend, nmc_cathode, spacing):
    volume = nmc_cathode[100:130, 100:160, 100:170]
    found = listed(backend, volume, spacing, TRIPLE)
    assert len(found) > 4000
    assert_same(found, boundary.junction_edges(volume, spacing, TRIPLE))


def test_a_whole_real_cathode_is_the_hosts_bit_for_bit(large_backend, nmc_cathode):
    found = listed(large_backend, nmc_cathode, (1, 1, 1), TRIPLE)
    assert_same(found, boundary.junction_edges(nmc_cathode, (1, 1, 1), TRIPLE))
    assert len(found) == 1_104_560


# ---------------------------------------------------------------------------- bookkeeping


def clumps(shape, labels, seed):
    coarse = np.random.default_rng(seed).integers(0, labels, tuple(-(-n // 3) for n in shape), dtype=np.uint8)
    return coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2)[: shape[0], : shape[1], : shape[2]]


def test_one_record_per_edge_and_triple(backend):
    volume = clumps((20, 21, 70), 4, 0)
    triples = [(0, 1, 2), (3, 1, 0), (1, 2, 3)]
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 64, volume.shape, dtype=np.uint8) & rng.integers(
        0, 64, volume.shape, dtype=np.uint8
    )
    access = boundary.Access(bits, {"ion": (0, 1), "electron": (3,)})
    edges = listed(backend, volume, (1, 1, 1), triples, access)
    access = boundary.Access(backend.put(bits), access.networks)
    scan = boundary.scan(backend.put(volume), junctions=triples, access=access)
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
        assert_same(found, expected)


@pytest.mark.parametrize("slab", [1, 3, 16])
def test_slabs_and_pools_of_the_gpu_do_not_matter(backend, monkeypatch, slab):
    if backend.name == "cuda":
        from tripoint._cuda.boundary import length

        monkeypatch.setattr(length, "LATTICE", 0)
        monkeypatch.setattr(length, "POOL", 0)
        monkeypatch.setattr(length, "SLAB", slab)
    for volume in (clumps((50, 12, 14), 3, 1), noise((30, 5, 6), 3, 0)):
        assert_same(
            listed(backend, volume, (1, 1, 2), TRIPLE), boundary.junction_edges(volume, (1, 1, 2), TRIPLE)
        )


def test_two_runs_in_any_order_of_threads_are_one(backend):
    volume = np.concatenate([clumps((12, 14, 40), 4, 1), noise((6, 14, 40), 4, 0)])
    triples = ((0, 1, 2), (3, 1, 0), (1, 2, 3))
    expected = listed(backend, volume, (1, 1, 1), triples)
    assert_same(listed(backend, volume, (1, 1, 1), triples), expected)
    with backend.reversed_threads():
        assert_same(listed(backend, volume, (1, 1, 1), triples), expected)


def test_opposite_faces_do_not_meet():
    """A ring of a single voxel at the far face along y, and another one at the near face a plane further."""
    one = np.zeros((5, 6, 8), np.uint8)
    one[1, -1, 3:5] = 1, 2
    both = one.copy()
    both[2, 0, 3:5] = 1, 2
    alone, beside = (boundary.junction_edges(volume, (1, 1, 1), TRIPLE) for volume in (one, both))
    of_one = np.isin(beside.index, alone.index)
    assert len(alone) == of_one.sum() > 0
    np.testing.assert_array_equal(beside.own_length[of_one], alone.own_length)


def test_directed_edges_are_closed(backend):
    """Of three phases, what enters a lattice corner inside the volume also leaves it."""
    volume = np.random.default_rng(0).integers(0, 3, (9, 10, 11), dtype=np.uint8)
    flux = np.zeros(tuple(n + 1 for n in volume.shape), int)
    edges = listed(backend, volume, (1, 1, 1), TRIPLE)
    for index, axis in zip(edges.index, edges.axis, strict=True):
        low = np.array(np.unravel_index(index, volume.shape))
        one, two = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
        ring = [int(volume[tuple(low + step)]) for step in (0 * one, one, one + two, two)]
        kept = [p for k, p in enumerate(ring) if p != ring[k - 1]]
        sense = 0 if len(kept) == 4 else (1 if (kept[1] - kept[0]) % 3 == 1 else -1)
        flux[tuple(low + 1)] += sense
        flux[tuple(low + 1 - np.eye(3, dtype=int)[axis])] -= sense
    assert not flux[1:-1, 1:-1, 1:-1].any()


def test_lengths_of_parts_add_up(backend):
    volume = backend.put(clumps((30, 31, 32), 4, 3))
    whole = boundary.scan(volume, (1, 2, 1))
    low = boundary.scan(volume, (1, 2, 1), within=((0, 13), (0, 31), (0, 32)))
    high = boundary.scan(volume, (1, 2, 1), within=((13, 30), (0, 31), (0, 32)))
    both = low + high
    for k, junction in enumerate(whole.junctions):
        assert both.junctions[k].length == pytest.approx(junction.length)
        assert low.junctions[k].length + high.junctions[k].length == pytest.approx(junction.length)
    assert both.junctions_total.length == pytest.approx(whole.junctions_total.length)
    assert both.junctions_total.density == pytest.approx(whole.junctions_total.density)


@pytest.mark.parametrize("tile", [1 << 22, 1000])
def test_sums_of_lengths_do_not_depend_on_tiles(backend, monkeypatch, tile):
    from tripoint.boundary import length

    monkeypatch.setattr(length, "TILE", tile)
    volume = clumps((20, 21, 22), 4, 3)
    bits = noise(volume.shape, 64, 0) & noise(volume.shape, 64, 1)
    access = boundary.Access(backend.put(bits), {"ion": (0, 1), "electron": (3,)})
    triples = ((0, 1, 2), (3, 1, 0), (1, 2, 3))
    edges = boundary.junction_edges(backend.put(volume), (1, 1, 1), triples, access=access)
    box = ((0, 20), (3, 21), (0, 15))
    sources = (length.Source(backend.put(volume), None, box),)
    found = length.sum_lengths(edges, sources, 3)
    assert type(found) is np.ndarray
    np.testing.assert_allclose(found, sums_by_loops(backend, edges, volume.shape, box, 3), rtol=1e-12)


def sums_by_loops(backend, edges, shape, box, n_triples):
    """The table of lengths, record by record."""
    table, best, share = np.zeros((n_triples + 1, 4)), {}, {}
    columns = [backend.get(getattr(edges, name)).tolist() for name in COLUMNS]
    for index, axis, triple, status, own_length, edge_length in zip(*columns, strict=True):
        place = np.unravel_index(index, shape)
        if not all(begin <= p < end for p, (begin, end) in zip(place, box, strict=True)):
            continue
        table[triple, [0, 3 - status]] += own_length
        best[index, axis] = max(best.get((index, axis), 0), status)
        share[index, axis] = edge_length
    for edge, status in best.items():
        table[n_triples, [0, 3 - status]] += share[edge]
    return table


def test_edges_listed_before_are_not_listed_again(backend, monkeypatch):
    volume = backend.put(clumps((30, 31, 32), 4, 3))
    scan = boundary.scan(volume)
    edges = boundary.junction_edges(volume, (1, 1, 1), [j.phases for j in scan.junctions])
    expected = scan.junctions_total.length
    monkeypatch.setattr("tripoint.boundary.length.junction_edges", None)
    assert scan.with_edges(edges).junctions_total.length == expected
    assert expected > 0


def test_no_edges(backend):
    volume = backend.put(np.zeros((3, 4, 5), np.uint8))
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


def test_access_of_the_other_side_is_refused(backend):
    if backend.name == "cpu":
        pytest.skip("there is one side only")
    volume = np.zeros((3, 4, 5), np.uint8)
    access = boundary.Access(volume, {"ion": (0,)})
    with pytest.raises(InputError, match="access is on the host and the phases on the GPU"):
        boundary.junction_edges(backend.put(volume), (1, 1, 1), TRIPLE, access=access)
