"""The boundary scan: counts against brute force, areas against known ones, parts against the whole."""

import pickle
import weakref
from dataclasses import replace
from functools import reduce
from itertools import combinations, pairwise, product
from operator import add

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import partitions
from tripoint import _cpu, _cuda, boundary
from tripoint.boundary import crofton
from tripoint.errors import InputError

AROUND = {0: ((0, 0, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1)),
          1: ((0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1)),
          2: ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0))}  # fmt: skip
CARRIERS = ("ion", "electron", "gas")


def random_volume(shape, labels, seed):
    """Labels in small clumps, so that there are faces, edges and plain interiors."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, len(labels), tuple(-(-n // 2) for n in shape))
    volume = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)[: shape[0], : shape[1], : shape[2]]
    noise = rng.random(shape) < 0.2
    volume = np.where(noise, rng.integers(0, len(labels), shape), volume)
    return np.array(labels, np.uint8)[volume]


def random_access(shape, networks, seed):
    rng = np.random.default_rng(seed)
    volume = rng.integers(0, 64, shape, dtype=np.uint8) & rng.integers(0, 64, shape, dtype=np.uint8)
    return boundary.Access(volume, networks)


def corners(volume, axis):
    """Return the four voxels around every interior edge along an axis, (4, ...)."""
    n = [size - (k != axis) for k, size in enumerate(volume.shape)]
    return np.stack(
        [volume[tuple(slice(o, o + m) for o, m in zip(at, n, strict=True))] for at in AROUND[axis]]
    )


def brute_edges(volume, triple, access):
    """Return per axis the masks of (edges, active, unknown), by the definition."""
    found = []
    for axis in range(3):
        around = corners(volume, axis)
        edge = np.all([(around == label).any(axis=0) for label in triple], axis=0)
        active = unknown = np.zeros_like(edge)
        if access is not None:
            bits = corners(access.volume, axis)
            needed = [
                (CARRIERS.index(c), label)
                for c, network in access.networks.items()
                for label in set(network) & set(triple)
            ]
            worst = np.full(edge.shape, 2 if needed else 1)
            for c, label in needed:
                connected = ((around == label) & ((bits >> (2 * c)) & 1)).any(axis=0)
                other = ((around == label) & ((bits >> (2 * c + 1)) & 1)).any(axis=0)
                worst = np.minimum(worst, np.where(connected, 2, np.where(other, 1, 0)))
            active, unknown = edge & (worst == 2), edge & (worst == 1)
        found.append((edge, active, unknown))
    return found


def brute_transitions(volume, a, b, access):
    """Return the transitions and the connected ones of a pair along the 13 directions, by the definition."""
    counts, connected = np.zeros(13, int), np.zeros(13, int)
    for d, step in enumerate(crofton.DIRECTIONS.tolist()):
        near = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(step, volume.shape, strict=True))
        far = tuple(slice(max(s, 0), n - max(-s, 0)) for s, n in zip(step, volume.shape, strict=True))
        for one, two in ((near, far), (far, near)):
            side_a, side_b = volume[one] == a, volume[two] == b
            counts[d] += np.count_nonzero(side_a & side_b)
            if access is None:
                continue
            works = np.zeros(side_a.shape, bool)
            for first, second in product(access.networks, access.networks):
                if first != second and a in access.networks[first] and b in access.networks[second]:
                    on_a = (access.volume[one] >> (2 * CARRIERS.index(first))) & 1
                    on_b = (access.volume[two] >> (2 * CARRIERS.index(second))) & 1
                    works |= (on_a & on_b).astype(bool)
            connected[d] += np.count_nonzero(side_a & side_b & works)
    return counts, connected


def brute_map(volume, triples, access):
    marks = np.zeros(volume.shape, np.uint8)
    for triple in triples:
        for axis, (edge, active, unknown) in enumerate(brute_edges(volume, triple, access)):
            value = np.where(active, 3, np.where(unknown, 2, 1)) * edge
            for at in AROUND[axis]:
                part = marks[tuple(slice(o, o + m) for o, m in zip(at, edge.shape, strict=True))]
                np.maximum(part, value, out=part, casting="unsafe")
    return marks


def assert_equals_brute_force(scan, volume, triples, access):
    union = [[np.zeros_like(m) for m in masks] for masks in brute_edges(volume, (300, 301, 302), access)]
    for junction, triple in zip(scan.junctions, triples, strict=True):
        masks = brute_edges(volume, triple, access)
        assert junction.phases == triple
        assert junction.edges == tuple(int(m[0].sum()) for m in masks)
        if access is not None:
            assert junction.active_edges == tuple(int(m[1].sum()) for m in masks)
            assert junction.unknown_edges == tuple(int(m[2].sum()) for m in masks)
            assert junction.dead_edges == tuple(int((m[0] & ~m[1] & ~m[2]).sum()) for m in masks)
        for axis in range(3):
            for kind in range(3):
                union[axis][kind] = union[axis][kind] | masks[axis][kind]
    assert scan.junctions_total.edges == tuple(int(u[0].sum()) for u in union)
    if access is not None:
        assert scan.junctions_total.active_edges == tuple(int(u[1].sum()) for u in union)
        assert scan.junctions_total.unknown_edges == tuple(int((u[2] & ~u[1]).sum()) for u in union)
    assert [i.phases for i in scan.interfaces] == list(combinations(scan.labels, 2))
    for interface in scan.interfaces:
        counts, connected = brute_transitions(volume, *interface.phases, access)
        np.testing.assert_array_equal(interface.transitions, counts)
        assert interface.faces == tuple(counts[:3])
        if interface.connected is not None:
            np.testing.assert_array_equal(interface.connected, connected)
    np.testing.assert_array_equal(scan.junction_map, brute_map(volume, triples, access))


NETWORKS = {"ion": (0, 7), "electron": (7, 128)}
SHAPES = st.tuples(
    st.integers(1, 6),
    st.integers(1, 20),
    st.sampled_from([1, 2, 7, 63, 64, 65, 119, 120, 121, 127, 128, 129]),
)
LABELS = st.sampled_from([(0, 128), (0, 7, 128), (0, 7, 128, 255), (1, 2, 3, 4, 250)])
SEEDS = st.integers(0, 2**32 - 1)


def labels_for(backend):
    """Every set of labels is a kernel of its own, whose build takes the emulator a second or two."""
    return st.just((0, 7, 128)) if backend.emulated else LABELS


def on(backend, access):
    """Return access on a backend."""
    return None if access is None else boundary.Access(backend.put(access.volume), access.networks)


def assert_same(one, other):
    """Two scans of the same voxels, on whatever side."""
    assert one.labels == other.labels
    assert one.triples == other.triples
    for name in ("edges", "total", "transitions", "connected"):
        np.testing.assert_array_equal(getattr(one.counts, name), getattr(other.counts, name), err_msg=name)
    maps = [None if scan.junction_map is None else to_host(scan.junction_map) for scan in (one, other)]
    np.testing.assert_array_equal(*maps)


def to_host(volume):
    return volume if isinstance(volume, np.ndarray) else volume.get()


def test_counts_equal_brute_force(backend):
    @settings(max_examples=40 if backend.emulated else 60, deadline=None)
    @given(shape=SHAPES, labels=labels_for(backend), seed=SEEDS, judged=st.booleans())
    def check(shape, labels, seed, judged):
        volume = random_volume(shape, labels, seed)
        access = random_access(shape, NETWORKS, seed) if judged else None
        known = labels if backend.emulated else None
        scan = boundary.scan(backend.put(volume), access=on(backend, access), labels=known)
        assert scan.labels == (known or tuple(np.unique(volume).tolist()))
        scan = replace(scan, junction_map=backend.get(scan.junction_map))
        assert_equals_brute_force(scan, volume, tuple(combinations(scan.labels, 3)), access)

    check()


@pytest.mark.parametrize("networks", [
    {"ion": (0, 7, 128), "electron": (0, 7, 128)},
    {"ion": (0,), "electron": (7,), "gas": (128,)},
    {"gas": (0, 7)}, {"ion": (9,)}, {},
])  # fmt: skip
def test_networks_of_every_kind(backend, networks):
    """Mixed conductors have several routes; a junction without any carrier is unknown."""
    volume = random_volume((9, 10, 70), (0, 7, 128), 5)
    access = random_access(volume.shape, networks, 6)
    scan = boundary.scan(backend.put(volume), junctions=[(128, 0, 7)], access=on(backend, access))
    scan = replace(scan, junction_map=backend.get(scan.junction_map))
    assert_equals_brute_force(scan, volume, ((128, 0, 7),), access)
    if not set(networks) - {"gas"} and networks.get("gas") is None:
        assert scan.junctions[0].unknown_edges == scan.junctions[0].edges


def test_parts_add_up_to_the_whole(backend):
    @settings(max_examples=20 if backend.emulated else 40, deadline=None)
    @given(data=st.data(), labels=labels_for(backend), seed=SEEDS, judged=st.booleans())
    def check(data, labels, seed, judged):
        shape = (6, 7, 131)
        volume = backend.put(random_volume(shape, labels, seed))
        access = on(backend, random_access(shape, NETWORKS, seed)) if judged else None
        known = labels if backend.emulated else None
        cuts = [
            sorted({0, n, *data.draw(st.lists(st.integers(1, n - 1), max_size=2))}) for n in shape
        ]  # a random grid of boxes
        whole = boundary.scan(volume, access=access, labels=known)
        total, marks = None, np.empty(shape, np.uint8)
        for box in product(*(list(pairwise(c)) for c in cuts)):
            part = boundary.scan(volume, access=access, within=box, labels=known)
            assert part.shape == tuple(end - begin for begin, end in box)
            marks[tuple(slice(*pair) for pair in box)] = backend.get(part.junction_map)
            total = part if total is None else total + part
        assert total.shape == whole.shape
        assert total.labels == whole.labels
        for one, other in zip(total.junctions, whole.junctions, strict=True):
            assert one == other
        assert total.junctions_total == whole.junctions_total
        assert total.interfaces == whole.interfaces
        np.testing.assert_array_equal(marks, backend.get(whole.junction_map))

    check()


def test_blocks_read_with_a_halo_add_up_to_the_whole(backend):
    """Every block is an array of its own, with one voxel more at its end."""

    @settings(max_examples=20 if backend.emulated else 40, deadline=None)
    @given(data=st.data(), labels=labels_for(backend), seed=SEEDS, judged=st.booleans())
    def check(data, labels, seed, judged):
        shape = (6, 7, 67)
        volume = backend.put(random_volume(shape, labels, seed))
        access = on(backend, random_access(shape, NETWORKS, seed)) if judged else None
        known = labels if backend.emulated else None
        whole = boundary.scan(volume, access=access, labels=known)
        parts = []
        for box in data.draw(partitions(shape)):
            begins = [max(begin - 1, 0) for begin, _ in box]
            block = tuple(slice(b, end + 1) for b, (_, end) in zip(begins, box, strict=True))
            within = [(begin - b, end - b) for b, (begin, end) in zip(begins, box, strict=True)]
            bits = boundary.Access(access.volume[block].copy(), NETWORKS) if judged else None
            options = {"within": within, "origin": begins, "labels": known}
            parts.append(boundary.scan(volume[block].copy(), access=bits, **options))
        total = reduce(add, parts)
        assert total.shape == shape
        assert total.labels == whole.labels
        assert total.junctions == whole.junctions
        assert total.junctions_total == whole.junctions_total
        assert total.interfaces == whole.interfaces

    check()


def test_added_blocks_let_go_of_their_voxels():
    volume = random_volume((12, 9, 10), (0, 1, 2), 0)
    blocks = [volume[:6].copy(), volume[6:].copy()]
    alive = [weakref.ref(block) for block in blocks]
    parts = [boundary.scan(block, origin=(z, 0, 0)) for block, z in zip(blocks, (0, 6), strict=True)]
    total = parts[0] + parts[1]
    small = parts[0].without_volume()
    assert len(pickle.dumps(small)) < 5000
    assert small.junctions == parts[0].junctions
    del blocks, parts
    assert [block() for block in alive] == [None, None]
    assert total.shape == volume.shape
    assert total.junctions[0].raw_length > 0
    for scan in (total, small):
        with pytest.raises(InputError, match="with_edges"):
            _ = scan.junctions[0].length


def test_lengths_of_blocks_add_up_where_their_edges_are_given():
    volume = random_volume((24, 20, 20), (0, 1, 2), 0)
    blocks = [volume[:12].copy(), volume[12:].copy()]
    parts = [boundary.scan(block) for block in blocks]
    listed = [
        part.with_edges(boundary.junction_edges(block, (1, 1, 1), [(0, 1, 2)]))
        for part, block in zip(parts, blocks, strict=True)
    ]
    expected = sum(part.junctions[0].length for part in parts)
    total = listed[0] + listed[1]
    assert total.junctions[0].length == pytest.approx(expected)
    assert total.junctions_total.length == pytest.approx(expected)
    assert total.shape == (1, 1, volume.size)  # nobody said where they lie
    with pytest.raises(InputError, match="with_edges"):
        _ = (listed[0] + parts[1]).junctions[0].length


def test_blocks_in_one_place_cannot_be_added():
    volume = random_volume((6, 5, 5), (0, 1, 2), 0)
    parts = [boundary.scan(volume[z : z + 3].copy(), origin=(z, 0, 0)) for z in (0, 2)]
    with pytest.raises(InputError, match="overlap"):
        parts[0] + parts[1]


def test_layout_of_memory_does_not_matter(backend):
    volume = random_volume((12, 11, 140), (0, 7, 128), 1)
    whole = boundary.scan(volume)
    frozen = volume.copy()
    frozen.setflags(write=False)
    backwards = backend.put(np.ascontiguousarray(volume[::-1, ::-1, ::-1]))[::-1, ::-1, ::-1]
    upwards = backend.put(np.ascontiguousarray(volume[::-1, ::-1]))[::-1, ::-1]
    swapped = backend.put(np.ascontiguousarray(volume.swapaxes(0, 1))).swapaxes(0, 1)
    crop = backend.put(np.pad(volume, 3))[3:-3, 3:-3, 3:-3]
    same = [backend.put(np.asfortranarray(volume)), backend.put(frozen), backwards, upwards, swapped, crop]
    for other in same:
        assert_same(boundary.scan(other), whole)


@pytest.mark.parametrize("ahead", [(0, 0), (0, 1), (2, 2), (3, 0)])
def test_volumes_that_begin_anywhere_in_memory(backend, ahead):
    """Crops whose rows, and access whose rows, begin at different places of a machine word."""
    shape = (5, 9, 128)
    volume, bits = random_volume(shape, (0, 7, 128), 8), random_access(shape, NETWORKS, 8).volume
    whole = boundary.scan(volume, access=boundary.Access(bits, NETWORKS), within=((1, 4), (2, 9), (4, 124)))
    for rest in (0, 1, 4):
        places = [((0, 0), (1, 2), (left, rest + 4 - left)) for left in ahead]
        inside = [(slice(None), slice(1, -2), slice(left, left + 128)) for left in ahead]
        crops = [backend.put(np.pad(v, p))[i] for v, p, i in zip((volume, bits), places, inside, strict=True)]
        found = boundary.scan(
            crops[0], access=boundary.Access(crops[1], NETWORKS), within=((1, 4), (2, 9), (4, 124))
        )
        assert_same(found, whole)


def test_no_order_of_threads_changes_a_count(backend):
    if not backend.emulated:
        pytest.skip("the order of threads is the emulator's to choose")
    import cupy

    volume = backend.put(random_volume((20, 30, 260), (0, 7, 128), 3))
    forward, many = boundary.scan(volume), boundary.scan(volume, junctions=(), labels=range(9))
    with cupy.emulator_order("reverse"):
        assert_same(boundary.scan(volume), forward)
        assert_same(boundary.scan(volume, junctions=(), labels=range(9)), many)


def test_threads_do_not_matter():
    volume = random_volume((40, 11, 70), (0, 1, 2), 1)
    many = boundary.scan(volume)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = boundary.scan(volume)
    finally:
        numba.set_num_threads(before)
    assert one.junctions == many.junctions
    assert one.interfaces == many.interfaces


def test_labels_all_256(backend):
    volume = np.random.default_rng(0).integers(0, 256, (8, 9, 65), dtype=np.uint8)
    scan = boundary.scan(backend.put(volume), junctions=())
    assert scan.labels == tuple(np.unique(volume).tolist())
    assert len(scan.interfaces) == len(scan.labels) * (len(scan.labels) - 1) // 2
    faces = np.sum([i.faces for i in scan.interfaces], axis=0)
    expected = [np.count_nonzero(np.diff(volume.astype(int), axis=k)) for k in range(3)]
    np.testing.assert_array_equal(faces, expected)


@pytest.mark.parametrize("shape", [(6, 9, 67), (5, 6, 3), (1, 7, 1), (2, 1, 130)])
@pytest.mark.parametrize("judged", [False, True])
def test_many_labels_equal_brute_force(backend, shape, judged):
    """More labels than the GPU's kernel by words takes, and rows shorter than a word."""
    labels = (0, 3, 7, 9, 128, 200, 255)
    volume = random_volume(shape, labels, 7)
    access = (
        random_access(shape, {"ion": (0, 7), "electron": (7, 9, 128), "gas": (200,)}, 7) if judged else None
    )
    scan = boundary.scan(backend.put(volume), access=on(backend, access), labels=labels)
    scan = replace(scan, junction_map=backend.get(scan.junction_map))
    assert_equals_brute_force(scan, volume, tuple(combinations(labels, 3)), access)


@pytest.mark.parametrize("judged", [False, True])
def test_five_labels_take_several_passes(backend, judged):
    labels = (1, 2, 3, 4, 250)
    volume = random_volume((4, 9, 121), labels, 4)
    networks = {"ion": (1, 2, 3), "electron": (3, 4, 250)}
    access = random_access(volume.shape, networks, 4) if judged else None
    scan = boundary.scan(backend.put(volume), access=on(backend, access))
    scan = replace(scan, junction_map=backend.get(scan.junction_map))
    assert_equals_brute_force(scan, volume, tuple(combinations(labels, 3)), access)


def test_edges_alone(backend):
    volume = backend.put(random_volume((9, 9, 130), (0, 1, 2, 3), 2))
    full = boundary.scan(volume, junctions=[(3, 1, 0)])
    quick = boundary.scan(volume, junctions=[(3, 1, 0)], interfaces=False, junction_map=False)
    assert quick.junctions == full.junctions
    assert quick.interfaces == ()
    assert quick.junction_map is None
    assert quick.labels == (0, 1, 3)


def test_a_junction_named_twice_is_counted_once_in_total(backend):
    volume = random_volume((5, 6, 70), (0, 7, 128), 2)
    scan = boundary.scan(backend.put(volume), junctions=[(0, 7, 128), (128, 7, 0)])
    once = boundary.scan(volume, junctions=[(0, 7, 128)])
    assert [junction.edges for junction in scan.junctions] == [once.junctions[0].edges] * 2
    assert scan.junctions_total.edges == once.junctions_total.edges


def test_labels_that_are_known(backend):
    """Voxels of other labels are of no phase; labels that do not occur count nothing."""
    volume = random_volume((6, 7, 66), (0, 7, 128, 255), 3)
    scan = boundary.scan(backend.put(volume), labels=[200, 128, 7, 0], junctions=[(0, 7, 128)])
    whole = boundary.scan(volume, junctions=[(0, 7, 128)])
    assert scan.labels == (0, 7, 128, 200)
    assert scan.junctions == whole.junctions
    pairs = {interface.phases: interface for interface in whole.interfaces}
    for interface in scan.interfaces:
        if 200 in interface.phases:
            assert sum(interface.transitions) == 0
        else:
            assert interface == pairs[interface.phases]


@pytest.mark.parametrize("labels", [(5,), (0, 200)])
def test_fewer_than_three_phases_have_no_junction(backend, labels):
    scan = boundary.scan(backend.put(random_volume((4, 5, 6), labels, 0)))
    assert scan.junctions == ()
    assert scan.junctions_total.edges == (0, 0, 0)
    assert scan.junctions_total.length == 0.0
    assert not scan.junction_map.any()
    assert len(scan.interfaces) == len(labels) - 1


def test_voxels_of_each_label_are_counted(backend):
    implementation = _cpu if backend.name == "cpu" else _cuda
    volume = np.random.default_rng(0).integers(0, 256, (7, 33, 530), dtype=np.uint8)
    volume[:, 10:] = 3
    volume = np.pad(volume, 1)
    everywhere = backend.put(volume)
    for crop in (np.s_[:], np.s_[1:, 2:, 3:], np.s_[::-1, ::-1, 1:], np.s_[:, :, ::2], np.s_[2:3, 4:5, :2]):
        found = implementation.boundary.label_counts(everywhere[crop])
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, np.bincount(volume[crop].ravel(), minlength=256))
        assert implementation.boundary.labels_present(everywhere[crop]) == tuple(
            np.unique(volume[crop]).tolist()
        )


def test_only_counts_come_back_from_the_gpu(backend):
    if not backend.emulated:
        pytest.skip("copies are counted by the stand-in")
    import cupy

    volume = backend.put(random_volume((30, 40, 50), (0, 7, 128), 0))
    before = len(cupy.transfers)
    scan = boundary.scan(volume)
    copies = [copy.nbytes for copy in cupy.transfers[before:]]
    assert isinstance(scan.junction_map, cupy.ndarray)
    assert len(pickle.dumps(scan.without_volume())) < 5000
    assert len(copies) == 2  # labels, counts
    assert sum(copies) < 4096


def test_rotation_permutes_axes():
    volume = random_volume((20, 21, 22), (0, 1, 2), 4)
    turned = np.rot90(volume, axes=(1, 2))
    z, y, x = boundary.scan(volume).junctions[0].edges
    assert boundary.scan(turned).junctions[0].edges == (z, x, y)


def test_raw_length_counts_edges_times_spacing(backend):
    volume = np.zeros((4, 6, 8), np.uint8)
    volume[:, 3:, :4] = 1
    volume[:, 3:, 4:] = 2
    junction = boundary.scan(backend.put(volume), (0.5, 1, 2)).junctions[0]
    assert junction.edges == (4, 0, 0)
    assert junction.raw_length == pytest.approx(2.0)
    assert junction.length == pytest.approx(2.0)
    assert junction.density == pytest.approx(2.0 / (4 * 6 * 8))


def test_access_on_a_known_case(backend):
    """A junction along z: connected, then unknown, then dead."""
    volume = np.zeros((6, 4, 4), np.uint8)
    volume[:, 2:, :2] = 1
    volume[:, 2:, 2:] = 2
    bits = np.zeros(volume.shape, np.uint8)
    bits[:, 2, 1] = 1 << 2  # electrons reach the corner voxel of phase 1 everywhere
    bits[:3, 1, 1] = 1  # ions reach it near the terminal
    bits[3:5, 1, 1] = 2  # and the other face beyond
    access = on(backend, boundary.Access(bits, {"ion": (0,), "electron": (1,)}))
    scan = boundary.scan(backend.put(volume), access=access)
    junction = scan.junctions[0]
    assert (junction.active_edges, junction.unknown_edges, junction.dead_edges) == (
        (3, 0, 0), (2, 0, 0), (1, 0, 0),
    )  # fmt: skip
    assert (junction.active_length, junction.unknown_length, junction.dead_length) == (3.0, 2.0, 1.0)
    assert backend.get(scan.junction_map)[:, 2, 2].tolist() == [3, 3, 3, 2, 2, 1]
    assert scan.interfaces[0].faces[1] == 12
    assert scan.interfaces[0].connected[1] == 3
    assert scan.interfaces[1].connected is None  # pore and phase 2: no two carriers


# ---------------------------------------------------------------------------- areas


def ball(radius, spacing=(1, 1, 1)):
    size = [int(2 * radius / s) + 6 for s in spacing]
    grid = np.meshgrid(*[(np.arange(n) - n / 2 + 0.3) * s for n, s in zip(size, spacing, strict=True)],
                       indexing="ij")  # fmt: skip
    return (sum(g**2 for g in grid) <= radius**2).astype(np.uint8)


@pytest.mark.parametrize("radius", [10, 13.7, 25])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (2, 1, 1), (0.398, 0.398, 0.398)])
def test_area_of_a_sphere(radius, spacing):
    radius = radius * max(spacing)
    area = boundary.scan(ball(radius, spacing), spacing).interfaces[0].area
    assert area == pytest.approx(4 * np.pi * radius**2, rel=0.015)


@pytest.mark.parametrize(("spacing", "worst"), [((1, 1, 1), 0.08), ((3, 1, 1), 0.17), ((1, 1, 3), 0.17)])
def test_area_of_random_planes(spacing, worst):
    """Exact transition counts of a plane of unit area: each step crosses it in |n·d| of its voxels."""
    normals = np.random.default_rng(0).normal(size=(4000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    steps = crofton.DIRECTIONS * np.array(spacing)
    crossings = np.abs(normals @ steps.T) / np.prod(spacing)
    errors = crofton.area(crossings, spacing) - 1
    assert abs(errors.mean()) <= 0.01
    assert np.abs(errors).max() <= worst


def test_area_of_voxelised_planes():
    """Planes in all directions through the middle of a box, whose part of them has a known area."""
    rng = np.random.default_rng(3)
    errors = []
    grid = np.stack(np.meshgrid(*[np.arange(48) - 23.5] * 3, indexing="ij"), -1)
    across = (np.arange(800) + 0.5) / 20 - 20
    for _ in range(24):
        normal = rng.normal(size=3)
        normal /= np.linalg.norm(normal)
        offset = rng.uniform(-0.5, 0.5)
        scan = boundary.scan((grid @ normal > offset).astype(np.uint8), within=((4, 44),) * 3)
        top = np.abs(normal).argmax()
        one, two = np.delete(normal, top)
        height = (offset - one * across[:, None] - two * across) / normal[top]
        area = (np.abs(height) < 20).mean() * 40**2 / abs(normal[top])
        errors.append(scan.interfaces[0].area / area - 1)
    assert abs(np.mean(errors)) <= 0.01
    assert np.abs(errors).max() <= 0.08


def test_weights_are_those_of_the_literature():
    """Legland, Kiêu & Devaux 2007, table 2, per pair of opposite directions."""
    expected = np.repeat([0.04577789, 0.03698062, 0.03519563], [3, 6, 4]) * 2
    np.testing.assert_allclose(crofton.weights((1, 1, 1)), expected, rtol=1e-6)
    np.testing.assert_allclose(crofton.weights((2, 2, 2)), expected, rtol=1e-6)
    assert crofton.weights((1, 1, 3)).sum() == pytest.approx(1)


# ---------------------------------------------------------------------------- bad input


GOOD = np.zeros((3, 4, 5), np.uint8)


@pytest.mark.parametrize(("arguments", "words"), [
    ({"phases": np.zeros((3, 4), np.uint8)}, "3D"),
    ({"phases": np.zeros((3, 4, 5))}, "uint8"),
    ({"phases": np.zeros((0, 4, 5), np.uint8)}, "empty"),
    ({"spacing": (1, 1)}, "spacing"),
    ({"spacing": (1, 1, float("nan"))}, "spacing"),
    ({"junctions": [(0, 1)]}, "three different labels"),
    ({"junctions": [(0, 1, 1)]}, "three different labels"),
    ({"junctions": [(0, 1, 256)]}, "three different labels"),
    ({"junctions": [(0, 1, 1.5)]}, "three different labels"),
    ({"junctions": [7]}, "three different labels"),
    ({"access": boundary.Access(np.zeros((3, 4, 6), np.uint8), {})}, "same volume"),
    ({"access": GOOD}, "percolation.access"),
    ({"labels": (0, 256)}, "not a label"),
    ({"labels": (0, 1.5)}, "not a label"),
    ({"within": ((0, 4), (0, 4), (0, 5))}, "not inside"),
    ({"within": ((0, 0), (0, 4), (0, 5))}, "not inside"),
    ({"within": ((0, 3), (0, 4))}, "not inside"),
    ({"within": 3}, "not inside"),
    ({"within": ((-1, 3), (0, 4), (0, 5))}, "not inside"),
])  # fmt: skip
def test_bad_input_is_explained(arguments, words):
    with pytest.raises(InputError, match=words):
        boundary.scan(**{"phases": GOOD, **arguments})


def test_bad_access_is_explained():
    with pytest.raises(InputError, match="uint8"):
        boundary.Access(np.zeros((2, 2, 2)), {})
    with pytest.raises(InputError, match="carriers are"):
        boundary.Access(np.zeros((2, 2, 2), np.uint8), {"proton": (1,)})


def test_access_on_another_device_is_explained(backend):
    access = boundary.Access(np.zeros(GOOD.shape, np.uint8), {})
    if backend.name == "cpu":
        boundary.scan(GOOD, access=access)
        return
    with pytest.raises(InputError, match="on the host and the phases on the GPU"):
        boundary.scan(backend.put(GOOD), access=access)


def test_what_cannot_be_added_is_explained():
    volume = random_volume((4, 4, 4), (0, 1, 2), 0)
    low, high = ((0, 2), (0, 4), (0, 4)), ((2, 4), (0, 4), (0, 4))
    part = boundary.scan(volume, within=low)
    for other in (
        boundary.scan(volume, within=low),
        boundary.scan(volume, (1, 1, 2), within=high),
        boundary.scan(volume, junctions=[(2, 1, 0)], within=high),
    ):
        with pytest.raises(InputError, match="cannot be added"):
            part + other


# ---------------------------------------------------------------------------- a real volume


def test_check_values_of_a_real_cathode(large_backend, nmc_cathode):
    """Values of an independent program."""
    scan = boundary.scan(large_backend.put(nmc_cathode))
    assert scan.junctions[0].edges == (333799, 383622, 387139)
    assert [sum(i.faces) for i in scan.interfaces] == [1291082, 1854595, 2181973]


@pytest.mark.parametrize("labels", [(0, 1, 2), (0, 7, 128, 255)])
@pytest.mark.parametrize("shape", [(150, 161, 333), (90, 256, 512)])
def test_both_sides_count_the_same_in_a_large_volume(large_backend, shape, labels):
    volume = random_volume(shape, labels, 0)
    access = random_access(shape, {"ion": labels[:2], "electron": labels[1:]}, 0)
    for judged in (None, access):
        found = boundary.scan(large_backend.put(volume), access=on(large_backend, judged))
        assert_same(found, boundary.scan(volume, access=judged))


@pytest.mark.slow
def test_more_voxels_than_32_bits_can_number(large_backend):
    """Parts of a volume of 2.2 G voxels add up to the whole; the last plane's map is that of a crop."""
    if large_backend.name == "cpu":
        pytest.skip("takes a minute and 7 GB on the host")
    plane = random_volume((4, 1290, 1300), (0, 1, 2), 0)
    volume = large_backend.put(plane).repeat(330, axis=0)
    whole = boundary.scan(volume)
    half = [boundary.scan(volume, within=((a, b), (0, 1290), (0, 1300))) for a, b in ((0, 601), (601, 1320))]
    total = half[0] + half[1]
    assert total.junctions == whole.junctions
    assert total.interfaces == whole.interfaces
    last = boundary.scan(volume[-2:], labels=(0, 1, 2)).junction_map[-1]
    np.testing.assert_array_equal(large_backend.get(whole.junction_map[-1]), large_backend.get(last))
