"""Contacts of region pairs and junctions of region triples."""

from collections import defaultdict
from contextlib import nullcontext
from dataclasses import fields
from itertools import pairwise, product

import cc3d
import numba
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from strategies import partitions
from tripoint import _cpu, _cuda
from tripoint._cpu.boundary import pairs as on_host
from tripoint.boundary import (
    ContactTable,
    contacts,
    count_contacts,
    count_junctions,
    junction_edges,
    junctions,
)
from tripoint.boundary.crofton import DIRECTIONS, area, factors
from tripoint.boundary.length import JunctionEdges
from tripoint.errors import InputError

CONTACT_TYPES = {
    "source": "int32", "target": "int32", "faces_z": "int64", "faces_y": "int64", "faces_x": "int64",
    "faces": "int64", "area": "float64", "centroid_z": "float64", "centroid_y": "float64",
    "centroid_x": "float64", "neck_radius": "float64",
}  # fmt: skip
JUNCTION_TYPES = {
    "a": "int32", "b": "int32", "c": "int32", "junction": "int32", "length": "float64", "edges": "int64",
    "active_length": "float64", "active": "bool", "centroid_z": "float64", "centroid_y": "float64",
    "centroid_x": "float64",
}  # fmt: skip


def brute_contacts(regions, spacing, distance=None, phases=None):
    """Every pair's transitions, face centres and radii by loops over voxels: slow and obvious."""
    transitions = defaultdict(lambda: np.zeros(13, np.int64))
    centres, radii = defaultdict(list), defaultdict(list)
    for p in np.ndindex(regions.shape):
        for d, step in enumerate(DIRECTIONS):
            q = tuple(int(v) for v in np.add(p, step))
            if not all(0 <= v < n for v, n in zip(q, regions.shape, strict=True)):
                continue
            if regions[p] == regions[q]:
                continue
            pair = tuple(sorted((int(regions[p]), int(regions[q]))))
            transitions[pair][d] += 1
            if d < 3:
                centres[pair].append((np.add(p, q) / 2 + 0.5) * spacing)
                if distance is not None and (phases is None or phases[p] == phases[q]):
                    radii[pair].append(min(distance[p], distance[q]))
    rows = []
    for pair in sorted(centres):
        if pair[0] == 0:
            continue
        counts = transitions[pair]
        measured = area(counts, spacing)
        radius = max(radii[pair]) if radii[pair] else np.sqrt(measured / np.pi)
        rows.append((*pair, *counts[:3], counts[:3].sum(), measured, *np.mean(centres[pair], axis=0), radius))
    surface = np.zeros(regions.max() + 1)
    for pair, counts in transitions.items():
        for region in pair:
            surface[region] += area(counts, spacing)
    table = pd.DataFrame(rows, columns=list(CONTACT_TYPES)).astype(CONTACT_TYPES)
    return table, surface


def contacts_on_host(regions, n_regions, weights, distance=None, phases=None):
    """Return the sums of every pair of regions of a volume counted in one piece."""
    return on_host.merge([on_host.count(regions, distance, phases)], n_regions, weights)


def put_edges(backend, edges):
    """Return edges whose columns live on a backend."""
    return JunctionEdges(*(backend.put(getattr(edges, column.name)) for column in fields(edges)))


def junctions_on(backend, regions, phases, edges, spacing, triples):
    """Return the junctions that a backend finds, on the host."""
    volumes = backend.put(regions), backend.put(phases)
    return backend.get(junctions(*volumes, put_edges(backend, edges), spacing, triples))


def brute_edges(phases, triples, status=None):
    """Records of the edges around which all three phases of a triple stand, with made-up lengths."""
    rows = []
    for p in np.ndindex(phases.shape):
        for axis in range(3):
            around = voxels_around(p, axis)
            if not all(v < n for q in around for v, n in zip(q, phases.shape, strict=True)):
                continue
            found = {int(phases[q]) for q in around}
            hits = [i for i, triple in enumerate(triples) if set(triple) <= found]
            index = int(np.ravel_multi_index(p, phases.shape))
            length = 0.5 + (index * 7 + axis) % 11 / 13
            rows += [(index, axis, i, length) for i in hits]
    index, axis, triple, length = (
        (np.array(c) for c in zip(*rows, strict=True)) if rows else [np.empty(0)] * 4
    )
    told = np.full(len(rows), 255, np.uint8) if status is None else (index + triple).astype(int) % 3
    return JunctionEdges(
        index.astype(np.int64), axis.astype(np.uint8), triple.astype(np.uint8), np.asarray(told, np.uint8),
        length.astype(np.float32), length.astype(np.float32),
    )  # fmt: skip


def voxels_around(p, axis):
    """Return the four voxels around the lattice edge along an axis whose lowest voxel is p."""
    across = [a for a in range(3) if a != axis]
    return [
        tuple(p[a] + (i if a == across[0] else j if a == across[1] else 0) for a in range(3))
        for i, j in product((0, 1), repeat=2)
    ]


def brute_junctions(regions, phases, edges, spacing, triples):
    """Sum the edges into a dictionary, one lattice edge after the other."""
    length, active_length = defaultdict(float), defaultdict(float)
    count, middles, active = defaultdict(int), defaultdict(list), defaultdict(bool)
    records = defaultdict(list)
    for i in range(len(edges)):
        records[int(edges.index[i]), int(edges.axis[i])].append(i)
    for (index, axis), group in records.items():
        p = tuple(int(v) for v in np.unravel_index(index, phases.shape))
        around = voxels_around(p, axis)
        hits = []
        for i in group:
            sides = [
                {int(regions[q]) for q in around if phases[q] == label and regions[q] > 0}
                for label in triples[edges.triple[i]]
            ]
            hits += [((int(edges.triple[i]), *choice), i) for choice in product(*sides)]
        for key, i in hits:
            length[key] += float(edges.edge_length[i]) / len(hits)
            count[key] += 1
            active[key] |= bool(edges.status[i] == 2)
            active_length[key] += float(edges.edge_length[i]) / len(hits) * (edges.status[i] == 2)
            middles[key].append(np.mean([np.array(q) + 0.5 for q in around], axis=0) * spacing)
    told = len(edges) == 0 or (edges.status != 255).any()
    rows = [
        (*key[1:], key[0], length[key], count[key], active_length[key] if told else np.nan, active[key],
         *np.mean(middles[key], axis=0))
        for key in sorted(count)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(JUNCTION_TYPES)).astype(JUNCTION_TYPES)


def blobs(shape, n, seed=0):
    """Regions around random points (every voxel to the nearest one), of random phases."""
    rng = np.random.default_rng(seed)
    seeds = rng.uniform(0, shape, (n, 3))
    voxels = np.stack(np.indices(shape), axis=-1).reshape(-1, 1, 3)
    regions = np.argmin(((voxels - seeds) ** 2).sum(axis=-1), axis=1).reshape(shape).astype(np.int32) + 1
    phase_of = np.concatenate([[0], rng.integers(0, 4, n)]).astype(np.uint8)
    return regions, phase_of[regions]


def contacts_on(backend, regions, spacing=(1.0, 1.0, 1.0), *, distance=None, phases=None, areas=True):
    """Return the contacts that a backend finds, on the host."""
    regions, distance, phases = (backend.put(volume) for volume in (regions, distance, phases))
    found = contacts(regions, spacing, distance=distance, phases=phases, areas=areas)
    return ContactTable(backend.get(found.table), backend.get(found.surface_area))


def pairs_on(backend):
    """Return the module that counts pairs on a backend."""
    return _cpu.boundary.pairs if backend.name == "cpu" else _cuda.boundary.pairs


def volumes(most=4, side=6):
    """Small random volumes of region ids."""
    return hnp.arrays(
        np.int32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=side), elements=st.integers(0, most)
    )


@given(regions=volumes(), spacing=st.tuples(*[st.floats(0.1, 10)] * 3))
@settings(max_examples=60, deadline=None)
def test_contacts_of_any_volume_match_loops_over_voxels(backend, regions, spacing):
    rng = np.random.default_rng(0)
    distance = rng.uniform(0.5, 3, regions.shape).astype(np.float32)
    phases = (regions % 2).astype(np.uint8)
    found = contacts_on(backend, regions, spacing, distance=distance, phases=phases)
    table, surface = brute_contacts(regions, spacing, distance, phases)
    pd.testing.assert_frame_equal(found.table, table, rtol=1e-12)
    np.testing.assert_allclose(found.surface_area, surface, rtol=1e-12)
    plain = contacts_on(backend, regions, spacing, distance=distance).table.neck_radius
    np.testing.assert_allclose(plain, brute_contacts(regions, spacing, distance)[0].neck_radius, rtol=1e-12)


def test_contacts_of_many_regions_match_loops_over_voxels(backend):
    """More pairs than the tables hold at first, and rows longer than a tile."""
    rng = np.random.default_rng(1)
    regions = rng.integers(0, 300, (9, 140, 4)).astype(np.int32)
    found = contacts_on(backend, regions, (2, 1, 0.5))
    table, surface = brute_contacts(regions, (2, 1, 0.5))
    assert len(table) > 4096
    pd.testing.assert_frame_equal(found.table, table, rtol=1e-12)
    np.testing.assert_allclose(found.surface_area, surface, rtol=1e-12)


@pytest.mark.parametrize("shape", [(20, 30, 40), (40, 9, 70), (2, 100, 3), (1, 5, 7)])
def test_faces_match_cc3d(backend, shape):
    regions, _ = blobs(shape, 40)
    table = contacts_on(backend, regions, areas=False).table
    expected = cc3d.contacts(regions, connectivity=6, surface_area=False)
    found = dict(zip(zip(table.source, table.target, strict=True), table.faces, strict=True))
    assert found == {tuple(sorted(pair)): count for pair, count in expected.items()}
    assert list(table.columns) == [c for c in CONTACT_TYPES if c not in ("area", "neck_radius")]
    full = contacts_on(backend, regions).table
    pd.testing.assert_frame_equal(table, full[table.columns])


def test_a_sphere_has_the_area_of_a_sphere(backend):
    for radius, spacing in ((10, (1, 1, 1)), (14, (0.4, 0.4, 0.4))):
        z, y, x = np.indices((2 * radius + 7,) * 3) - (radius + 3.2)
        regions = np.where(z**2 + y**2 + x**2 <= radius**2, 2, 1).astype(np.int32)
        found = contacts_on(backend, regions, spacing)
        expected = 4 * np.pi * (radius * spacing[0]) ** 2
        assert found.table.area[0] == pytest.approx(expected, rel=0.015)
        assert found.table.neck_radius[0] == pytest.approx(2 * radius * spacing[0], rel=0.01)
        np.testing.assert_allclose(found.surface_area, [0, *[found.table.area[0]] * 2])
        centre = found.table.loc[0, ["centroid_z", "centroid_y", "centroid_x"]]
        np.testing.assert_allclose(centre.astype(float), (radius + 3.7) * spacing[0], atol=0.05 * spacing[0])


def test_two_overlapping_spheres_have_the_neck_between_them(backend):
    """Distances of two spheres of radius 10 whose centres are 12 apart: the neck's radius is 8."""
    z, y, x = np.indices((26, 26, 40)) - 12.5
    inside = np.minimum(z**2 + y**2 + x**2, z**2 + y**2 + (x - 12) ** 2) <= 100
    regions = np.where(inside, 1 + (x > 6), 3).astype(np.int32)
    import edt

    distance = edt.edt(inside.astype(np.uint8), black_border=False).astype(np.float32)
    distance = np.where(inside, distance, 1).astype(np.float32)
    found = contacts_on(backend, regions, distance=distance, phases=inside.astype(np.uint8))
    table = found.table.set_index(["source", "target"])
    assert table.neck_radius[1, 2] == pytest.approx(8, abs=0.7)
    assert table.neck_radius[1, 3] == pytest.approx(np.sqrt(table.area[1, 3] / np.pi))


def test_surface_towards_no_region_counts_but_is_no_contact(backend):
    regions = np.zeros((5, 5, 5), np.int32)
    regions[1:4, 1:4, 1:4] = 1
    found = contacts_on(backend, regions)
    assert found.table.empty
    assert found.surface_area[1] == found.surface_area[0] > 0
    diagonal = np.zeros((2, 2, 2), np.int32)
    diagonal[0, 0, 0], diagonal[1, 1, 1] = 1, 2
    found = contacts_on(backend, diagonal, (1, 2, 3))
    assert found.table.empty
    _, surface = brute_contacts(diagonal, (1, 2, 3))
    np.testing.assert_allclose(found.surface_area, surface)


@pytest.mark.parametrize("region", [0, 7])
def test_one_region_has_no_contacts_but_all_columns(backend, region):
    found = contacts_on(backend, np.full((3, 4, 5), region, np.int32))
    assert found.table.dtypes.astype(str).to_dict() == CONTACT_TYPES
    assert found.table.empty
    np.testing.assert_array_equal(found.surface_area, np.zeros(region + 1))


@given(regions=volumes(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_boxes_that_partition_a_volume_merge_to_the_whole(backend, regions, data):
    side = pairs_on(backend)
    cuts = [sorted({0, n, data.draw(st.integers(0, n))}) for n in regions.shape]
    boxes = product(*(pairwise(cut) for cut in cuts))
    distance = np.random.default_rng(0).uniform(1, 2, regions.shape).astype(np.float32)
    volume, radii = backend.put(regions), backend.put(distance)
    parts = data.draw(st.permutations([side.count(volume, radii, box=box) for box in boxes]))
    n, weights = int(regions.max()), factors((1, 1, 1))
    found = backend.get(side.merge(parts, n, weights))
    assert_same_pairs(found, contacts_on_host(regions, n, weights, distance))


def test_slabs_read_alone_with_a_halo_merge_to_the_whole(backend):
    regions, _ = blobs((21, 16, 18), 30)
    side, parts = pairs_on(backend), []
    for start in range(0, 21, 6):
        slab = backend.put(np.ascontiguousarray(regions[start : start + 7]))  # six slices and the next one
        box = ((0, min(6, 21 - start)), (0, 16), (0, 18))
        parts.append(side.count(slab, box=box, origin=(start, 0, 0)))
    weights = factors((1, 1, 1))
    found = backend.get(side.merge(parts, 30, weights))
    assert_same_pairs(found, contacts_on_host(regions, 30, weights))


# Around the tiles of the GPU's kernel, 64 x 16 x 32 voxels.
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 1, 33), (3, 5, 7), (65, 2, 3), (2, 17, 64), (64, 16, 32), (66, 3, 65)]
)
def test_both_sides_count_the_same(backend, shape):
    rng = np.random.default_rng(sum(shape))
    side, weights = pairs_on(backend), factors((1, 2, 0.5))
    distance = rng.uniform(0.5, 3, shape).astype(np.float32)
    for most in (1, 2, 30):
        regions = rng.integers(0, most + 1, shape).astype(np.int32)
        phases = (regions % 3).astype(np.uint8)
        for volumes in ((regions, distance, phases), (regions, distance), (regions, None, None, False)):
            for origin in ((0, 0, 0), (5_000_000_000, 70, 3_000_000_000)):
                there = [backend.put(volume) for volume in volumes]
                found = side.merge([side.count(*there, origin=origin)], most, weights)
                expected = on_host.merge([on_host.count(*volumes, origin=origin)], most, weights)
                assert_same_pairs(backend.get(found), expected)


@pytest.mark.slow
def test_both_sides_count_the_same_in_a_large_volume(large_backend):
    if large_backend.name == "cpu":
        pytest.skip("what the other side is compared with")
    regions, phases = nearest_seeds((200, 230, 250), 20_000)
    distance = np.random.default_rng(0).uniform(0.5, 3, regions.shape).astype(np.float32)
    found = contacts_on(large_backend, regions, (1, 2, 0.5), distance=distance, phases=phases)
    expected = contacts(regions, (1, 2, 0.5), distance=distance, phases=phases)
    pd.testing.assert_frame_equal(found.table, expected.table, check_exact=True)
    np.testing.assert_allclose(found.surface_area, expected.surface_area, rtol=1e-12)


def nearest_seeds(shape, n):
    """As blobs, for many regions."""
    from scipy.spatial import KDTree

    rng = np.random.default_rng(0)
    places = np.stack(np.indices(shape, dtype=np.float32), axis=-1)
    nearest = KDTree(rng.uniform(0, shape, (n, 3))).query(places, workers=-1)[1]
    phase_of = np.concatenate([[0], rng.integers(0, 4, n)]).astype(np.uint8)
    regions = nearest.astype(np.int32) + 1
    return regions, phase_of[regions]


@pytest.mark.parametrize("room", [1, 500, 20_000])
def test_no_room_for_rows_changes_the_result(backend, room, monkeypatch):
    """The GPU counts slab by slab into a list: of too many rows for any slab, for the first, and of few."""
    if backend.name == "cpu":
        pytest.skip("the host has no such list")
    side = pairs_on(backend)
    regions = np.random.default_rng(3).integers(0, 50, (70, 9, 20)).astype(np.int32)
    expected = contacts_on_host(regions, 49, factors((1, 1, 1)))
    monkeypatch.setattr(side, "LEAST_ROOM", room)
    monkeypatch.setattr(side, "VOXELS_PER_ROW", regions.size)
    counts = side.count(backend.put(regions))
    assert_same_pairs(backend.get(side.merge([counts], 49, factors((1, 1, 1)))), expected)


def test_no_order_of_threads_changes_a_contact(backend):
    regions, phases = blobs((20, 18, 34), 200)
    distance = np.random.default_rng(0).uniform(0.5, 3, regions.shape).astype(np.float32)
    expected = contacts_on(backend, regions, 0.3, distance=distance, phases=phases)
    for again in range(2):
        order = nullcontext()
        if again and backend.emulated:
            import cupy

            order = cupy.emulator_order("reverse")
        with order:
            found = contacts_on(backend, regions, 0.3, distance=distance, phases=phases)
        pd.testing.assert_frame_equal(found.table, expected.table, check_exact=True)
        np.testing.assert_array_equal(found.surface_area, expected.surface_area)


def test_memory_of_contacts_is_what_the_docstring_says(backend):
    if backend.name == "cpu":
        pytest.skip("what the host takes is measured by the benchmark")
    from tripoint._cuda.memory import Gauge

    regions = backend.put(nearest_seeds((70, 80, 90), 600)[0])
    side = pairs_on(backend)
    with Gauge() as gauge:
        before = gauge.peak_bytes
        counts = side.count(regions)
    list_of_rows = max(regions.size, 160 * side.LEAST_ROOM)
    assert gauge.peak_bytes - before <= list_of_rows + 2 * 88 * len(counts.keys)
    with Gauge() as gauge:
        before = gauge.peak_bytes
        found = side.merge([counts], 600, factors((1, 1, 1)))
    pairs = len(counts.keys), len(found["source"])
    assert gauge.peak_bytes - before <= 48 * pairs[0] + 68 * pairs[1] + 130 * 601


def with_halo(box, shape, halo):
    """The slices of a block with its halo, the block within them, and where they begin."""
    ends = [(max(b - halo, 0), min(e + halo, n)) for (b, e), n in zip(box, shape, strict=True)]
    within = [(b - first, e - first) for (b, e), (first, _) in zip(box, ends, strict=True)]
    return tuple(slice(*pair) for pair in ends), within, [first for first, _ in ends]


@given(regions=volumes(most=5), data=st.data(), areas=st.booleans())
@settings(max_examples=60, deadline=None)
def test_contacts_of_blocks_add_up_to_those_of_the_whole(backend, regions, data, areas):
    rng = np.random.default_rng(0)
    distance = rng.uniform(1, 2, regions.shape).astype(np.float32) if areas else None
    phases = (regions % 2).astype(np.uint8)
    expected = contacts_on(backend, regions, (1, 2, 0.5), distance=distance, phases=phases, areas=areas)
    parts = []
    for box in data.draw(partitions(regions.shape)):
        block, within, origin = with_halo(box, regions.shape, 1)
        near = backend.put(distance[block].copy()) if areas else None
        own, kind = backend.put(regions[block].copy()), backend.put(phases[block].copy())
        parts.append(
            count_contacts(own, distance=near, phases=kind, areas=areas, within=within, origin=origin)
        )
    whole = sum(parts[1:], start=parts[0])
    assert whole.boxes == (tuple((0, n) for n in regions.shape),)
    found = whole.table((1, 2, 0.5))
    pd.testing.assert_frame_equal(backend.get(found.table), expected.table, check_exact=True)
    np.testing.assert_array_equal(backend.get(found.surface_area), expected.surface_area)


@given(regions=volumes(most=6), data=st.data(), told=st.booleans())
@settings(max_examples=40, deadline=None)
def test_junctions_of_blocks_add_up_to_those_of_the_whole(backend, regions, data, told):
    phases = np.array([9, 0, 1, 2, 3, 1, 2], np.uint8)[regions]
    triples = [(0, 1, 2), (2, 1, 3), (0, 9, 1)]
    edges = brute_edges(phases, triples, status=told or None)
    expected = junctions_on(backend, regions, phases, edges, (1, 2, 0.5), triples)
    parts = []
    for box in data.draw(partitions(regions.shape)):
        block, within, origin = with_halo(box, regions.shape, 1)
        places = np.array(np.unravel_index(edges.index, regions.shape))
        here = np.all([(places[k] >= box[k][0]) & (places[k] < box[k][1]) for k in range(3)], axis=0)
        moved = tuple((places - np.array(origin)[:, None])[:, here])
        index = np.ravel_multi_index(moved, regions[block].shape).astype(np.int64)
        columns = (getattr(edges, name)[here] for name in ("axis", "triple", "status", "own_length"))
        own = JunctionEdges(index, *columns, edges.edge_length[here])
        alone = backend.put(regions[block].copy()), backend.put(phases[block].copy()), put_edges(backend, own)
        parts.append(count_junctions(*alone, triples, within=within, origin=origin))
    whole = backend.get(sum(parts[1:], start=parts[0]).table((1, 2, 0.5)))
    pd.testing.assert_frame_equal(whole, expected, rtol=1e-9, atol=1e-12)


def test_junctions_of_slabs_that_list_their_own_edges(backend):
    """With a halo as wide as lengths look, the lengths are those of the whole."""
    regions, phases = (backend.put(volume) for volume in blobs((60, 20, 22), 120, seed=3))
    triples = [(0, 1, 2)]
    expected = junctions(regions, phases, junction_edges(phases, (1, 1, 1), triples), (1, 1, 1), triples)
    parts = []
    for first in range(0, 60, 20):
        block, within, origin = with_halo(((first, first + 20), (0, 20), (0, 22)), regions.shape, 12)
        edges = junction_edges(phases[block], (1, 1, 1), triples)
        parts.append(count_junctions(regions[block], phases[block], edges, triples,
                                     within=within, origin=origin))  # fmt: skip
    found = backend.get((parts[2] + (parts[0] + parts[1])).table())
    assert len(found) > 50
    pd.testing.assert_frame_equal(found, backend.get(expected), rtol=1e-6)


def test_counts_that_cannot_be_added_are_explained():
    regions, phases = blobs((8, 6, 6), 20)
    part = count_contacts(regions, within=((0, 4), (0, 6), (0, 6)))
    with pytest.raises(InputError, match="overlap"):
        part + count_contacts(regions)
    with pytest.raises(InputError, match="alike"):
        part + count_contacts(regions, areas=False, within=((4, 8), (0, 6), (0, 6)))
    with pytest.raises(InputError, match="not inside"):
        count_contacts(regions, within=((0, 9), (0, 6), (0, 6)))
    edges = brute_edges(phases, [(0, 1, 2)])
    one, two = ((((a, a + 4), (0, 6), (0, 6))) for a in (0, 4))
    with pytest.raises(InputError, match="cannot be added"):
        count_junctions(regions, phases, edges, [(0, 1, 2)], within=one) + count_junctions(
            regions, phases, edges, [(2, 1, 0)], within=two
        )


def test_counts_of_two_sides_cannot_be_added(backend):
    if backend.name == "cpu":
        pytest.skip("one side alone")
    regions, _ = blobs((8, 6, 6), 20)
    here = count_contacts(regions, within=((0, 4), (0, 6), (0, 6)))
    there = count_contacts(backend.put(regions), within=((4, 8), (0, 6), (0, 6)))
    with pytest.raises(InputError, match="host and on the GPU"):
        here + there


def test_threads_do_not_change_the_result():
    regions, _ = blobs((40, 16, 18), 60)
    whole = contacts_on_host(regions, 60, factors((1, 1, 1)))
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert_same_pairs(contacts_on_host(regions, 60, factors((1, 1, 1))), whole)
    finally:
        numba.set_num_threads(threads)


def assert_same_pairs(found, expected):
    """Integers and areas of pairs are equal; surfaces of regions are sums of those in some order or other."""
    for name, column in expected.items():
        assert found[name].dtype == column.dtype
        np.testing.assert_allclose(
            found[name], column, rtol=1e-12 if name == "surface_area" else 0, err_msg=name
        )


@given(regions=volumes(most=5), order=st.permutations([1, 2, 3, 4, 5]))
@settings(max_examples=30, deadline=None)
def test_permuted_ids_permute_contacts(backend, regions, order):
    renamed = np.array([0, *order], np.int32)
    before, after = contacts_on(backend, regions).table, contacts_on(backend, renamed[regions]).table
    ends = np.sort(renamed[before[["source", "target"]].to_numpy()], axis=1)
    before["source"], before["target"] = ends.T
    pd.testing.assert_frame_equal(before.sort_values(["source", "target"], ignore_index=True), after)


@given(volumes(most=5), st.permutations([1, 2, 3, 4, 5]))
@settings(max_examples=30, deadline=None)
def test_permuted_ids_permute_junctions(regions, order):
    renamed = np.array([0, *order], np.int32)
    phases = np.array([3, 0, 1, 2, 0, 1], np.uint8)[regions]
    triples = [(0, 1, 2), (3, 0, 1)]
    edges = brute_edges(phases, triples, status=True)
    before = junctions(regions, phases, edges, (1, 1, 1), triples)
    after = junctions(renamed[regions], phases, edges, (1, 1, 1), triples)
    for name in "abc":
        before[name] = renamed[before[name]]
    pd.testing.assert_frame_equal(before.sort_values(["junction", "a", "b", "c"], ignore_index=True), after)


def test_views_in_any_memory_order_are_read_as_they_are(backend):
    regions, phases = blobs((12, 14, 16), 20)
    distance = np.random.default_rng(0).uniform(0.5, 3, regions.shape).astype(np.float32)
    for view in (lambda a: a.transpose(2, 0, 1), lambda a: a[3:, 1:-2, 5:9], lambda a: a[::-1, ::2, ::-3]):
        volume, radii, kind = (view(backend.put(a)) for a in (regions, distance, phases))
        found = contacts(volume, distance=radii, phases=kind).table
        volume, radii, kind = (np.ascontiguousarray(view(a)) for a in (regions, distance, phases))
        expected = contacts_on(backend, volume, distance=radii, phases=kind).table
        pd.testing.assert_frame_equal(backend.get(found), expected, check_exact=True)


@given(regions=volumes(most=6), told=st.booleans())
@settings(max_examples=60, deadline=None)
def test_junctions_of_any_volume_match_dictionaries(backend, regions, told):
    phases = np.array([9, 0, 1, 2, 3, 1, 2], np.uint8)[regions]
    triples = [(0, 1, 2), (2, 1, 3), (0, 9, 1)]
    edges = brute_edges(phases, triples, status=told or None)
    found = junctions_on(backend, regions, phases, edges, (1, 2, 0.5), triples)
    pd.testing.assert_frame_equal(
        found, brute_junctions(regions, phases, edges, (1, 2, 0.5), triples), rtol=1e-9
    )


def test_junctions_of_strided_volumes(backend):
    regions, phases = blobs((16, 14, 15), 40, seed=5)
    regions, phases = regions[::2, ::-1, 1:].transpose(2, 0, 1), phases[::2, ::-1, 1:].transpose(2, 0, 1)
    triples = [(0, 1, 2), (3, 1, 0)]
    edges = brute_edges(phases, triples)
    expected = brute_junctions(regions, phases, edges, (1, 2, 0.5), triples)
    assert len(expected) > 40
    found = junctions_on(backend, regions, phases, edges, (1, 2, 0.5), triples)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9)
    every_second = slice(None, None, 2)  # of the columns, which are views then too
    edges = JunctionEdges(*(getattr(edges, column.name)[every_second] for column in fields(edges)))
    pd.testing.assert_frame_equal(
        junctions_on(backend, regions, phases, edges, (1, 2, 0.5), triples),
        brute_junctions(regions, phases, edges, (1, 2, 0.5), triples),
        rtol=1e-9,
    )


def test_high_ids_of_regions_stay_apart(backend):
    """Three ids of 31 bits and the junction do not fit one key of 64 bits."""
    regions, phases = blobs((9, 8, 10), 30, seed=6)
    highest = np.iinfo(np.int32).max
    triples = [(0, 1, 2), (3, 1, 0), (2, 3, 1), (2, 1, 0)]
    edges = brute_edges(phases, triples)
    expected = junctions(regions, phases, edges, (1, 1, 1), triples)
    for name in "abc":
        expected[name] += highest - 30
    found = junctions_on(backend, regions + (highest - 30), phases, edges, (1, 1, 1), triples)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9)


@pytest.mark.parametrize("tile", [100, 5000])
def test_tiles_and_order_of_threads_change_no_bit_of_a_junction(backend, monkeypatch, tile):
    regions, phases = blobs((20, 21, 22), 60, seed=7)
    triples = [(0, 1, 2), (0, 1, 3), (3, 2, 1), (0, 2, 3)]
    edges = junction_edges(phases, (1, 1, 1), triples)
    expected = junctions_on(backend, regions, phases, edges, (1, 1, 1), triples)
    assert len(edges) > 2 * tile or tile > 100
    if backend.name == "cuda":
        from tripoint._cuda.boundary import triples as side

        monkeypatch.setattr(side, "TILE", tile)
    found = junctions_on(backend, regions, phases, edges, (1, 1, 1), triples)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    with backend.reversed_threads():
        found = junctions_on(backend, regions, phases, edges, (1, 1, 1), triples)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    on_the_host = junctions(regions, phases, edges, (1, 1, 1), triples)
    pd.testing.assert_frame_equal(found, on_the_host, rtol=1e-9)


def test_edges_of_the_other_side_are_refused(backend):
    if backend.name == "cpu":
        pytest.skip("there is one side only")
    regions, phases = blobs((6, 6, 6), 20)
    edges = brute_edges(phases, [(0, 1, 2)])
    with pytest.raises(InputError, match="edges are on the host and regions on the GPU"):
        junctions(backend.put(regions), backend.put(phases), edges, (1, 1, 1), [(0, 1, 2)])


def test_junction_rows_sum_to_the_length_over_distinct_edges(backend):
    regions, phases = blobs((24, 25, 26), 400, seed=2)
    triples = [(0, 1, 2), (0, 1, 3), (3, 2, 1), (0, 2, 3)]
    edges = brute_edges(phases, triples, status=True)
    table = junctions_on(backend, regions, phases, edges, (1, 1, 1), triples)
    assert len(table) > 1024  # more than the table holds at first
    first = np.unique(np.stack([edges.index, edges.axis]), axis=1, return_index=True)[1]
    assert table.length.sum() == pytest.approx(edges.edge_length[first].sum(dtype=float), rel=1e-5)
    assert len(first) < len(edges)  # four phases do meet around some edges
    assert table.edges.sum() > len(edges)  # and two regions of one phase around others
    for i, triple in enumerate(triples):
        of = table[table.junction == i]
        for name, label in zip("abc", triple, strict=True):
            assert (phases[np.isin(regions, of[name])] == label).all()


def test_one_straight_line(backend):
    """Three columns that meet along z: one row, an edge per slice, in the middle of the volume."""
    phases = np.zeros((6, 4, 4), np.uint8)
    phases[:, 2:, :2], phases[:, 2:, 2:] = 1, 2
    regions = phases.astype(np.int32) + 5
    edges = brute_edges(phases, [(2, 0, 1)], status=True)
    table = junctions_on(backend, regions, phases, edges, (1, 0.5, 2), [(2, 0, 1)])
    assert table.loc[0, ["a", "b", "c", "junction", "edges"]].tolist() == [7, 5, 6, 0, 6]
    assert table.loc[0, ["centroid_z", "centroid_y", "centroid_x"]].tolist() == [3, 1, 4]
    assert len(table) == 1


def test_no_junction_has_all_columns(backend):
    phases = np.zeros((3, 3, 3), np.uint8)
    regions = phases.astype(np.int32) + 1
    table = junctions_on(backend, regions, phases, brute_edges(phases, []), (1, 1, 1), [])
    assert table.dtypes.astype(str).to_dict() == JUNCTION_TYPES
    assert table.empty


def test_bad_input_says_what_is_wrong():
    regions = np.ones((3, 3, 3), np.int32)
    phases = np.ones((3, 3, 3), np.uint8)
    distance = np.ones((3, 3, 3), np.float32)
    edges = brute_edges(phases, [])
    outside = JunctionEdges(
        np.array([26]), np.zeros(1, np.uint8), np.zeros(1, np.uint8), np.zeros(1, np.uint8),
        np.ones(1, np.float32), np.ones(1, np.float32),
    )  # fmt: skip
    for call, words in (
        (lambda: contacts(regions.astype(np.int64)), "int64.*astype"),
        (lambda: contacts(regions[0]), "shape.*3D"),
        (lambda: contacts(regions[:0]), "shape"),
        (lambda: contacts(-regions), "negative id -1"),
        (lambda: contacts(regions, (1, 1)), "spacing"),
        (lambda: contacts(regions, distance=distance[1:]), r"distance has shape \(2, 3, 3\)"),
        (lambda: contacts(regions, distance=distance.astype(float)), "float64.*float32"),
        (lambda: contacts(regions, distance=distance, phases=phases[:, 1:]), "phases has shape"),
        (lambda: contacts(regions, distance=distance, areas=False), "areas=False"),
        (lambda: junctions(regions, phases[1:], edges, (1, 1, 1), []), "phases has shape"),
        (lambda: junctions(regions, phases, edges, (1, 1, 1), [(1, 1, 2)]), "three different labels"),
        (lambda: junctions(regions, phases, [], (1, 1, 1), []), "edges are list"),
        (lambda: junctions(regions, phases, outside, (1, 1, 1), [(0, 1, 2)]), "reach voxel 30"),
    ):
        with pytest.raises(InputError, match=words):
            call()


def test_real_cathode_components_match_cc3d(large_backend, nmc_cathode):
    regions = cc3d.connected_components(nmc_cathode[:100] + 1, connectivity=6).astype(np.int32)
    found = contacts_on(large_backend, regions)
    expected = cc3d.contacts(regions, connectivity=6, surface_area=False)
    assert len(found.table) == len(expected)
    pairs = zip(found.table.source, found.table.target, strict=True)
    assert found.table.faces.tolist() == [expected[pair] for pair in pairs]


def test_regions_add_up_to_the_phases_of_the_scan():
    """Contacts of regions sum to the interfaces of phases, junction rows to the junctions' total."""
    from tripoint import boundary

    spacing = (0.5, 1, 1.5)
    regions, phases = blobs((24, 25, 26), 300, seed=4)
    scanned = boundary.scan(phases, spacing)
    triples = [junction.phases for junction in scanned.junctions]
    table = boundary.contacts(regions, spacing).table
    phase_of = np.zeros(regions.max() + 1, np.uint8)
    phase_of[regions] = phases
    ends = np.sort(phase_of[table[["source", "target"]].to_numpy()], axis=1)
    for interface in scanned.interfaces:
        of = table[(ends == sorted(interface.phases)).all(axis=1)]
        assert of[["faces_z", "faces_y", "faces_x"]].sum().tolist() == list(interface.faces)
        # Two regions that touch along edges and corners alone are no contact, but have some area.
        assert of.area.sum() == pytest.approx(interface.area, rel=0.02)
    edges = boundary.junction_edges(phases, spacing, triples)
    found = boundary.junctions(regions, phases, edges, spacing, triples)
    assert found.length.sum() == pytest.approx(scanned.junctions_total.length, rel=1e-5)
    assert found.active_length.isna().all()
