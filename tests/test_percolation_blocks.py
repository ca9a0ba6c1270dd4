"""Percolation in blocks: however a volume is cut and its parts are merged, it percolates as the whole."""

import pickle
from functools import reduce
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import partitions, phase_volumes
from tripoint import percolation
from tripoint.errors import InputError
from tripoint.materials import Materials, Phase

LABELS = (0, 128, 255)
MATERIALS = Materials(
    phases=(
        Phase(0, "pore", ("gas", "ion")),
        Phase(128, "active", ("electron", "ion"), active=True),
        Phase(255, "binder", ("electron",)),
    ),
    terminals={"ion": "y-", "electron": "z+"},
)
# Each phase alone, so that its pieces join nothing but their like; and one that is no phase.
SINGLE = Materials(
    phases=(Phase(0, "pore", ("ion",)), Phase(128, "active", ("electron",))),
    terminals={"ion": "x-", "electron": "x+"},
)


def part_of(backend, phases, box, materials, connectivity=6):
    origin = [begin for begin, _ in box]
    block = backend.put(voxels(phases, box))
    return percolation.scan(block, materials, connectivity, origin=origin, shape=phases.shape)


def painted(backend, phases, box, whole):
    """Return the access of a block: its volume, on the host, and its networks."""
    origin = [begin for begin, _ in box]
    access = percolation.paint(backend.put(voxels(phases, box)), whole, origin=origin)
    return backend.get(access.volume), access.networks


def voxels(volume, box):
    return volume[tuple(slice(*pair) for pair in box)]


def without_access(found):
    return percolation.Percolation(found.phases, found.carriers, None, found.notes)


@pytest.mark.parametrize("materials", [MATERIALS, SINGLE])
@pytest.mark.parametrize("connectivity", [6, 18, 26])
@given(data=st.data(), phases=phase_volumes(LABELS, largest=7))
@settings(max_examples=40, deadline=None)
def test_blocks_percolate_as_the_whole(backend, materials, connectivity, data, phases):
    boxes = data.draw(partitions(phases.shape, most=12))
    parts = [part_of(backend, phases, box, materials, connectivity) for box in boxes]
    cut = data.draw(st.integers(0, len(parts)))
    groups = [group for group in (parts[:cut], parts[cut:]) if group]
    expected = percolation.measure(phases, materials, connectivity)
    for whole in (
        percolation.merge(parts),
        reduce(lambda one, other: one + other, parts),
        percolation.merge([percolation.merge(group) for group in groups]),
    ):
        assert whole.measure() == without_access(expected)
        assert whole.components() == percolation.components(phases, materials.labels, connectivity)
        assert len(whole.pieces.label) - 1 == sum(p.components for p in expected.phases.values())
        assert all(plane is None for block in whole.blocks for plane in block.planes)
        for box in boxes:
            volume, networks = painted(backend, phases, box, whole)
            np.testing.assert_array_equal(volume, voxels(expected.access.volume, box))
            assert networks == expected.access.networks


@pytest.mark.parametrize(
    ("step", "needed"), [((1, 1, 0), 18), ((1, -1, 0), 18), ((1, 1, 1), 26), ((-1, 1, 1), 26)]
)
def test_blocks_that_meet_at_an_edge_or_a_corner_alone(backend, step, needed):
    """Two voxels that are neighbours across an edge or corner of eight blocks."""
    phases = np.zeros((4, 4, 4), np.uint8)
    first = np.array([1 if s > 0 else 2 for s in step])
    phases[tuple(first)] = phases[tuple(first + step)] = 128
    boxes = list(product(*[[(0, 2), (2, 4)]] * 3))
    for connectivity in (6, 18, 26):
        whole = percolation.merge([part_of(backend, phases, box, [128], connectivity) for box in boxes])
        assert whole.components()[128].components == (1 if connectivity >= needed else 2)


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_any_order_of_adding_finds_all_neighbours(backend, connectivity):
    """A block whose faces are all taken still has neighbours across its edges and corners."""
    random = np.random.default_rng(connectivity)
    for _ in range(5 if backend.emulated else 12):
        phases = random.choice(np.array(LABELS, np.uint8), (6, 6, 6), p=(0.2, 0.6, 0.2))
        boxes = list(product(*[[(0, 2), (2, 4), (4, 6)]] * 3))
        random.shuffle(boxes)
        parts = [part_of(backend, phases, box, MATERIALS, connectivity) for box in boxes]
        whole = reduce(lambda one, other: one + other, parts)
        assert whole.measure() == without_access(percolation.measure(phases, MATERIALS, connectivity))


def test_pieces_join_around_many_blocks(backend):
    """A spiral through a slab of single-voxel blocks, open at one end."""
    phases = np.zeros((1, 7, 7), np.uint8)
    for y, x in [
        (0, slice(0, 7)),
        (slice(0, 7), 6),
        (6, slice(0, 7)),
        (slice(2, 7), 0),
        (2, slice(0, 5)),
        (slice(2, 5), 4),
    ]:
        phases[0, y, x] = 128
    boxes = [((0, 1), (y, y + 1), (x, x + 1)) for y in range(7) for x in range(7)]
    whole = percolation.merge([part_of(backend, phases, box, MATERIALS) for box in boxes])
    assert whole.measure() == without_access(percolation.measure(phases, MATERIALS))
    assert whole.measure().phases["active"].components == 1


def test_slabs_keep_one_open_plane_at_a_time(backend):
    phases = np.random.default_rng(0).integers(0, 2, (12, 5, 6)).astype(np.uint8) * 128
    total = None
    for begin, end in pairwise([0, 3, 6, 9, 12]):
        part = part_of(backend, phases, ((begin, end), (0, 5), (0, 6)), MATERIALS, 26)
        total = part if total is None else total + part
        kept = [plane.shape for block in total.blocks for plane in block.planes if plane is not None]
        assert kept == ([(5, 6)] if end < 12 else [])


def test_parts_travel_between_processes(backend):
    phases = np.random.default_rng(1).integers(0, 2, (6, 5, 4)).astype(np.uint8) * 128
    parts = [part_of(backend, phases, ((a, b), (0, 5), (0, 4)), MATERIALS) for a, b in ((0, 3), (3, 6))]
    moved = [pickle.loads(pickle.dumps(part)) for part in parts]
    assert percolation.merge(moved).measure() == percolation.merge(parts).measure()


def test_what_cannot_be_merged_or_asked_is_explained(backend):
    phases = np.random.default_rng(2).choice(np.array(LABELS, np.uint8), (6, 4, 4))
    low, high = (((a, b), (0, 4), (0, 4)) for a, b in ((0, 3), (3, 6)))
    part, rest = (part_of(backend, phases, box, MATERIALS) for box in (low, high))
    others = (
        (part_of(backend, phases, high, MATERIALS, 18), "connectivity"),
        (part_of(backend, phases, high, SINGLE), "different"),
    )
    phases = backend.put(phases)
    for other, words in (
        *others,
        (percolation.scan(phases, MATERIALS), "overlap"),
        (percolation.scan(phases[3:], MATERIALS, shape=(7, 4, 4)), "shape"),
    ):
        with pytest.raises(InputError, match=words):
            part + other
    with pytest.raises(InputError, match="none"):
        percolation.merge([])
    with pytest.raises(InputError, match="48 of the 96 voxels"):
        part.measure()
    with pytest.raises(InputError, match="not inside"):
        percolation.scan(phases, MATERIALS, origin=(1, 0, 0), shape=phases.shape)
    with pytest.raises(InputError, match="not inside"):
        percolation.scan(phases, MATERIALS, origin=(1, 0))
    with pytest.raises(InputError, match="labels alone"):
        percolation.scan(phases, LABELS).measure()
    with pytest.raises(InputError, match="was scanned"):
        percolation.paint(phases, part + rest)


def test_slabs_of_a_real_cathode(large_backend, nmc_cathode):
    materials = Materials.load("lithium_ion_cathode")
    boxes = [
        ((a, min(a + 64, 251)), (b, min(b + 160, 301)), (0, 301)) for a in range(0, 251, 64) for b in (0, 160)
    ]
    whole = percolation.merge([part_of(large_backend, nmc_cathode, box, materials) for box in boxes])
    expected = percolation.measure(nmc_cathode, materials)
    assert whole.measure() == without_access(expected)
    for box in boxes[::3]:
        volume, _ = painted(large_backend, nmc_cathode, box, whole)
        np.testing.assert_array_equal(volume, voxels(expected.access.volume, box))
