"""Merging of basins and their pieces, each against its rule written plainly, on either side."""

from contextlib import nullcontext

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tripoint import distance
from tripoint._cpu.particles import climb

SPACINGS = ((1.0, 1.0, 1.0), (0.398, 0.398, 0.398), (1.0, 2.0, 0.7))


def side(backend):
    """Return the modules of a side."""
    if backend.name == "cpu":
        from tripoint._cpu.particles import merge, pieces
    else:
        from tripoint._cuda.particles import merge, pieces
    return merge, pieces


def borders(backend, planes):
    """Return what only the host side takes: the borders of its threads' slabs."""
    return (climb.slabs(planes),) if backend.name == "cpu" else ()


def reversed_threads(backend):
    if not backend.emulated:
        return nullcontext()
    import cupy

    return cupy.emulator_order("reverse")


# ---------------------------------------------------------------------------------------------- regions


def small_graphs(seed, number, ratio):
    """Side by side, graphs of up to 25 basins and 60 saddles; many of the radii and saddles are equal."""
    rng = np.random.default_rng(seed)
    low, high, necks, radii, heights = [], [], [], [], []
    for begin in np.arange(number) * 25:
        basins = rng.integers(1, 26)
        radius = rng.integers(1, rng.integers(2, 12), 25) / rng.choice([1.0, 3.0])
        a, b = rng.integers(0, basins, (2, rng.integers(0, 61)))
        pairs = np.unique(np.sort(np.stack([a, b])[:, a != b], axis=0), axis=1)
        share = rng.choice([1.0, 0.9, ratio, 0.6, 0.3], pairs.shape[1])
        necks.append(share * np.minimum(*radius[pairs]) if pairs.size else np.empty(0))
        low.append(begin + pairs[0])
        high.append(begin + pairs[1])
        radii.append(radius)
        heights.append(rng.integers(0, rng.integers(1, 6), 25))
    return [np.concatenate(column) for column in (low, high, necks, radii, heights)]


def in_the_order_of_the_walk(low, high, necks, radii, heights, ratio):
    """Return the saddles that are wide enough for their basins, the highest first."""
    wide = necks >= ratio * np.minimum(radii[low], radii[high])
    low, high, necks = low[wide], high[wide], necks[wide]
    lower, higher = np.minimum(heights[low], heights[high]), np.maximum(heights[low], heights[high])
    order = np.lexsort((high, low, -lower, -higher, -necks))
    return low[order], high[order], necks[order]


def walk(low, high, necks, radii, ratio):
    """Merge along one saddle after the other."""
    into = np.arange(radii.size)
    for a, b, neck in zip(into[low], into[high], necks, strict=True):
        a, b = into[a], into[b]  # noqa: PLW2901
        stays, goes = sorted((a, b), key=lambda region: (-radii[region], region))
        if a != b and neck >= ratio * radii[goes]:
            into[into == goes] = stays
    return into


def union(backend, low, high, necks, radii, ratio):
    kind = np.int64 if backend.name == "cpu" else np.int32
    columns = low.astype(kind), high.astype(kind), necks, radii
    return backend.get(side(backend)[0]._union(*map(backend.put, columns), ratio))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from((0.3, 0.5, 0.7, 0.9, 1.0)), st.booleans())
def test_regions_are_those_of_the_walk_along_the_saddles(backend, seed, ratio, reverse):
    """20 graphs at a time, 2000 in all."""
    *columns, radii, heights = small_graphs(seed, 20, ratio)
    saddles = in_the_order_of_the_walk(*columns, radii, heights, ratio)
    expected = walk(*saddles, radii, ratio)
    with reversed_threads(backend) if reverse else nullcontext():
        np.testing.assert_array_equal(union(backend, *saddles, radii, ratio), expected)


def test_a_chain_that_goes_one_region_at_a_time(backend):
    """Saddles rise towards the small end: each region waits for the one after it."""
    basins = 60
    radii = 100.0 - np.arange(basins)
    low, high = np.arange(basins - 1), np.arange(1, basins)
    saddles = low[::-1], high[::-1], (30.0 + low / 100)[::-1]
    for ratio in (0.3, 0.5, 0.7):
        np.testing.assert_array_equal(union(backend, *saddles, radii, ratio), walk(*saddles, radii, ratio))


def test_no_saddles_and_no_basins(backend):
    nothing = np.empty(0, np.int64)
    found = union(backend, nothing, nothing, np.empty(0), np.array([-0.75, 1.0, 2.0]), 0.9)
    np.testing.assert_array_equal(found, [0, 1, 2])
    merged = merge(backend, *filled((2, 3, 4), components=True), (1.0, 1.0, 1.0), 0.9)
    np.testing.assert_array_equal(merged, [0])


@pytest.mark.slow
def test_real_volumes_take_few_rounds(backend, nmc_cathode, monkeypatch):
    if backend.name == "cpu":
        pytest.skip("the host walks along the saddles, it has no rounds")
    from tripoint._cpu.particles import merge as host

    merge, _ = side(backend)
    rounds = []
    kernel = merge._kernel
    monkeypatch.setattr(merge, "_kernel", lambda name: rounds.append(name) or kernel(name))
    phases = np.ascontiguousarray(nmc_cathode)
    to_wall = distance.transform(phases)
    labels, *summits = climb.basins(phases, to_wall, (1.0,) * 3, [0, 1, 2], [])
    low, high, saddles = host._saddles(labels, phases, to_wall, climb.slabs(len(phases)))
    radii, necks = host._radii(summits[0], (1.0,) * 3), host._radii(saddles, (1.0,) * 3)
    for ratio in (0.5, 0.9):
        edges = in_the_order_of_the_walk(low, high, necks, radii, summits[1], ratio)
        rounds.clear()
        found = union(backend, *edges, radii, ratio)
        np.testing.assert_array_equal(found, host._union(*edges, radii, ratio))
        assert rounds.count("absorb") <= 15


# ---------------------------------------------------------------------------------------------- saddles


def filled(shape, seed=0, scale=1.0, spacing=(1.0, 1.0, 1.0), components=False):
    """Return the basins of three phases, phases, distances and summits; phase 128 is not separated."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    noise = ndimage.gaussian_filter(noise, scale) if scale else noise
    phases = np.array([0, 128, 255], np.uint8)[np.digitize(noise, np.quantile(noise, [0.4, 0.7]))]
    to_wall = distance.transform(phases, spacing)
    separated = [] if components else [0, 255]
    labels, *summits = climb.basins(phases, to_wall, spacing, separated, sorted({0, 128, 255} - {*separated}))
    return labels, phases, to_wall, summits


def saddles_of_every_pair(labels, phases, to_wall):
    """Compare every voxel with its neighbours, one direction after the other."""
    saddles = {}
    for offset in np.argwhere(np.ones((3, 3, 3))) - 1:
        here = tuple(
            slice(max(0, -step), min(n, n - step)) for n, step in zip(labels.shape, offset, strict=True)
        )
        there = tuple(
            slice(max(0, step), min(n, n + step)) for n, step in zip(labels.shape, offset, strict=True)
        )
        meet = (phases[here] == phases[there]) & (labels[here] > 0) & (labels[here] < labels[there])
        pairs = labels[here][meet].tolist(), labels[there][meet].tolist()
        for a, b, saddle in zip(*pairs, np.minimum(to_wall[here], to_wall[there])[meet], strict=True):
            saddles[a, b] = max(saddles.get((a, b), saddle), saddle)
    pairs = sorted(saddles)
    low, high = np.array(pairs, np.int64).reshape(-1, 2).T
    return low, high, np.array([saddles[pair] for pair in pairs], np.float32)


def find(backend, labels, phases, to_wall):
    volumes = map(backend.put, (labels, phases, to_wall))
    return backend.get(side(backend)[0]._saddles(*volumes, *borders(backend, len(labels))))


def merge(backend, labels, phases, to_wall, summits, spacing, ratio):
    arguments = *map(backend.put, (labels, phases, to_wall)), list(map(backend.put, summits)), spacing, ratio
    return backend.get(side(backend)[0].merge(*arguments, *borders(backend, len(labels))))


SHAPES = ((1, 1, 1), (1, 1, 40), (3, 5, 7), (17, 9, 33), (16, 8, 32), (2, 33, 65), (40, 1, 31))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0, 1.0])
def test_saddles_are_those_of_every_pair_of_neighbours(backend, shape, scale):
    volumes = filled(shape, scale=scale)[:3]
    for found, expected in zip(find(backend, *volumes), saddles_of_every_pair(*volumes), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("ratio", [0.5, 0.9])
def test_merged_basins_are_those_of_the_walk(backend, spacing, ratio):
    labels, phases, to_wall, summits = filled((20, 24, 40), seed=3, spacing=spacing)
    low, high, saddles = saddles_of_every_pair(labels, phases, to_wall)

    def radii_of(distances):
        voxels = distances.astype(np.float64) * (1.0 / min(spacing))
        return (np.sqrt(np.rint(voxels**2)) if len(set(spacing)) == 1 else voxels) - 0.75

    radii = radii_of(summits[0])
    edges = in_the_order_of_the_walk(low, high, radii_of(saddles), radii, summits[1], ratio)
    expected = walk(*edges, radii, ratio)
    assert (expected != np.arange(expected.size)).any()
    np.testing.assert_array_equal(merge(backend, labels, phases, to_wall, summits, spacing, ratio), expected)
    with reversed_threads(backend):
        again = merge(backend, labels, phases, to_wall, summits, spacing, ratio)
    np.testing.assert_array_equal(again, expected)


def test_more_basins_than_a_tile_has_places_for(backend):
    rng = np.random.default_rng(0)
    shape = (18, 9, 35)
    labels = (
        rng.permutation(np.prod(shape)).reshape(shape).astype(np.int32)
    )  # every voxel is a basin, one is none
    phases = np.where(labels > 0, 7, 9).astype(np.uint8)
    to_wall = rng.integers(1, 50, shape).astype(np.float32)
    expected = saddles_of_every_pair(labels, phases, to_wall)
    for order in (nullcontext(), reversed_threads(backend)):
        with order:
            found = find(backend, labels, phases, to_wall)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_neither_room_nor_slabs_change_the_saddles(backend, monkeypatch):
    if backend.name == "cpu":
        pytest.skip("the host's slabs are those of its threads, tested with the whole separation")
    volumes = filled((37, 20, 70), scale=0.7)[:3]
    expected = find(backend, *volumes)
    module, _ = side(backend)
    monkeypatch.setattr(module, "SLAB", 5 * 20 * 70 + 1)
    monkeypatch.setattr(module, "VOXELS_PER_ROW", 1 << 30)
    monkeypatch.setattr(module, "LEAST_ROOM", 1)
    for one, other in zip(find(backend, *volumes), expected, strict=True):
        np.testing.assert_array_equal(one, other)


# ----------------------------------------------------------------------------------------------- pieces


def split(backend, labels, into):
    labels = backend.put(labels.copy())
    into = backend.put(np.asarray(into, np.int64 if backend.name == "cpu" else np.int32))
    count = side(backend)[1].split(labels, into, *borders(backend, len(labels)))
    assert isinstance(count, int | np.integer)
    return backend.get(labels), int(count)


def pieces_of(labels, into):
    """Return the 6-connected pieces in raster order, as cc3d finds them."""
    labels = np.where(labels > 0, np.asarray(into)[np.maximum(labels, 0)], labels)
    renamed = np.unique(labels, return_inverse=True)[1]
    renamed = np.where(labels == 0, 0, renamed.reshape(labels.shape) + 1).astype(np.uint32)
    found, first, back = np.unique(
        cc3d.connected_components(renamed, connectivity=6), return_index=True, return_inverse=True
    )
    order = np.argsort(first)
    order = order[found[order] != 0]
    number = np.zeros(found.size, np.int32)
    number[order] = np.arange(1, order.size + 1)
    return number[back].reshape(labels.shape), order.size


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(st.integers(1, 8), st.integers(1, 8), st.sampled_from([1, 2, 7, 31, 32, 33, 63, 64, 65, 100])),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_pieces_are_those_of_cc3d(backend, shape, seed, reverse):
    rng = np.random.default_rng(seed)
    basins = rng.integers(1, 6)
    labels = rng.integers(-2, basins + 1, shape).astype(np.int32)
    if rng.random() < 0.5:
        labels = np.repeat(labels, 5, axis=2)[:, :, : shape[2]].copy()
    into = np.arange(basins + 1)
    for basin in range(2, basins + 1):
        into[basin] = rng.choice([basin, into[rng.integers(1, basin)]])
    expected, number = pieces_of(labels, into)
    with reversed_threads(backend) if reverse else nullcontext():
        found, count = split(backend, labels, into)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int32
    assert count == number


def winding():
    """Two combs with their teeth between each other, a chessboard, a serpentine: long ways to the root."""
    labels = np.zeros((5, 40, 70), np.int32)
    labels[0, 1:, 0::4] = labels[0, -1, :] = 1
    labels[0, :-2, 2::4] = labels[0, 0, :] = 2
    labels[2] = np.where(np.indices((40, 70)).sum(axis=0) % 2, -1, -3)
    labels[4, ::2] = labels[4, 1::4, -1] = labels[4, 3::4, 0] = 3
    return labels


def test_pieces_of_winding_labels_in_any_order(backend):
    for labels in (winding(), winding()[:, ::-1, ::-1].copy(), winding().transpose(2, 0, 1).copy()):
        expected, number = pieces_of(labels, range(5))
        for order in (nullcontext(), reversed_threads(backend)):
            with order:
                found, count = split(backend, labels, range(5))
            np.testing.assert_array_equal(found, expected)
            assert count == number


def test_nothing_has_no_pieces_and_one_label_is_one(backend):
    for shape in ((1, 1, 1), (3, 4, 100)):
        found, count = split(backend, np.zeros(shape, np.int32), [0])
        assert count == found.max() == 0
        for label in (-7, 1):
            found, count = split(backend, np.full(shape, label, np.int32), [0, 1])
            assert count == 1
            assert (found == 1).all()


def test_runs_past_int32_have_int64_numbers(backend, monkeypatch):
    if backend.name == "cpu":
        pytest.skip("the host has no limit to set")
    monkeypatch.setattr(side(backend)[1], "NARROW", 1)
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 3, (6, 30, 70)).astype(np.int32)
    expected, number = pieces_of(labels, range(3))
    found, count = split(backend, labels, range(3))
    np.testing.assert_array_equal(found, expected)
    assert count == number > 1024
