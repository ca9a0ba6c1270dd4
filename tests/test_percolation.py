"""Percolation: components, spanning and terminals of volumes; reach, paths and bridges of graphs."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from array_api_compat import array_namespace
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import spsolve

from backends import Backend
from small_graphs import chain, contacts_of, nodes_of, put, regions_of
from strategies import phase_volumes
from tripoint import _cpu, _cuda, percolation
from tripoint.errors import InputError
from tripoint.materials import CARRIERS, FACES, Materials, Phase
from tripoint.percolation.trees import least_path_tree, sums_to_root

LABELS = (0, 128, 255)
# One phase conducts two carriers, one none; gas has no terminal.
MIXED = Materials(
    phases=(
        Phase(0, "pore", ("gas", "ion")),
        Phase(128, "active", ("electron", "ion"), active=True),
        Phase(255, "inert"),
    ),
    terminals={"ion": "y-", "electron": "z+"},
)
CATHODE = Materials(
    phases=(
        Phase(0, "pore", ("ion",)),
        Phase(128, "active", ("electron",), active=True),
        Phase(255, "binder", ("electron",)),
    ),
    terminals={"ion": "z-", "electron": "z+"},
)


# Volumes


def pieces_of(mask, connectivity):
    structure = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    return ndimage.label(mask, structure)


def touching(pieces, face):
    ids = np.unique(np.take(pieces, 0 if face[1] == "-" else -1, "zyx".index(face[0])))
    return np.isin(pieces, ids[ids > 0])


def expected(mask, connectivity, terminals):
    """Components, spanning and terminal fraction of a mask by scipy's labels."""
    pieces, count = pieces_of(mask, connectivity)
    total = mask.sum()
    share = lambda voxels: float(voxels.sum() / total) if total else 0.0  # noqa: E731
    spanning = tuple(share(touching(pieces, a + "-") & touching(pieces, a + "+")) for a in "zyx")
    connected = np.logical_and.reduce([mask, *[touching(pieces, face) for face in terminals]])
    return percolation.PhasePercolation(count, spanning, share(connected) if terminals else None)


@pytest.mark.parametrize("materials", [MIXED, CATHODE])
@given(phases=phase_volumes(LABELS), connectivity=st.sampled_from([6, 18, 26]))
@settings(max_examples=100, deadline=None)
def test_measure_is_what_scipy_labels_say(backend, materials, phases, connectivity):
    found = percolation.measure(backend.put(phases), materials, connectivity)
    for phase in materials.phases:
        terminals = [materials.terminals[c] for c in phase.conducts if c in materials.terminals]
        assert found.phases[phase.name] == expected(phases == phase.label, connectivity, terminals)
    assert set(found.carriers) == set(materials.carriers)
    for carrier in materials.carriers:
        network = np.isin(phases, materials.network(carrier))
        terminals = [materials.terminals[carrier]] if carrier in materials.terminals else []
        assert found.carriers[carrier] == expected(network, connectivity, terminals)


@pytest.mark.parametrize("materials", [MIXED, CATHODE])
@given(phases=phase_volumes(LABELS), connectivity=st.sampled_from([6, 18, 26]))
@settings(max_examples=100, deadline=None)
def test_access_bits_are_what_scipy_labels_say(backend, materials, phases, connectivity):
    access = percolation.access(backend.put(phases), materials, connectivity)
    volume = np.zeros(phases.shape, np.uint8)
    for carrier, terminal in materials.terminals.items():
        pieces, _ = pieces_of(np.isin(phases, materials.network(carrier)), connectivity)
        bit = 2 * CARRIERS.index(carrier)
        volume |= touching(pieces, terminal).astype(np.uint8) << bit
        for face in set(FACES) - {terminal}:
            volume |= touching(pieces, face).astype(np.uint8) << (bit + 1)
    np.testing.assert_array_equal(backend.get(access.volume), volume)
    assert access.networks == {c: materials.network(c) for c in materials.terminals}


@given(phases=phase_volumes(LABELS), order=st.permutations([0, 1, 2]))
@settings(max_examples=50, deadline=None)
def test_turning_the_axes_turns_the_spanning_fractions(backend, phases, order):
    straight = percolation.components(backend.put(phases))
    turned = percolation.components(backend.put(phases).transpose(order))  # not contiguous either
    assert set(turned) == set(np.unique(phases))
    for label, phase in straight.items():
        assert turned[label].components == phase.components
        assert turned[label].spanning_fraction == tuple(phase.spanning_fraction[a] for a in order)


def test_components_take_chosen_labels_and_know_absent_ones(backend):
    phases = np.zeros((3, 4, 5), np.uint8)
    phases[:, 1, 2] = 7
    found = percolation.components(backend.put(phases), [7, 9])
    assert found[7] == percolation.PhasePercolation(1, (1.0, 0.0, 0.0), None)
    assert found[9] == percolation.PhasePercolation(0, (0.0, 0.0, 0.0), None)
    assert set(found) == {7, 9}


def test_every_label_can_be_a_phase(backend):
    phases = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    found = percolation.components(backend.put(phases))
    assert len(found) == 256
    assert all(phase.components == 1 for phase in found.values())


def test_labels_that_are_no_phase_connect_nothing(backend):
    phases = np.full((3, 2, 2), 128, np.uint8)
    phases[1] = 7
    found = percolation.measure(backend.put(phases), CATHODE)
    assert found.phases["active"] == percolation.PhasePercolation(2, (0.0, 1.0, 1.0), 0.5)
    assert set(np.unique(backend.get(found.access.volume[1]))) == {0}


def test_carriers_of_one_network_connect_each_others_phases(backend):
    """Active material alone reaches nothing, carbon alone nothing, together they carry electrons."""
    phases = np.zeros((4, 3, 3), np.uint8)
    phases[:2, 1, 1] = 128
    phases[2:, 1, 1] = 255
    found = percolation.measure(backend.put(phases), CATHODE)
    assert found.phases["active"].terminal_fraction == 0.0
    assert found.phases["binder"].terminal_fraction == 1.0
    assert found.carriers["electron"] == percolation.PhasePercolation(1, (1.0, 0.0, 0.0), 1.0)
    assert backend.get(found.access.volume)[0, 1, 1] == 0b1100


def test_notes_say_what_is_absent_and_where_terminals_miss():
    phases = np.full((4, 3, 3), 128, np.uint8)
    phases[2:] = 0
    notes = percolation.measure(phases, CATHODE).notes
    assert any("'binder' is not in the volume" in note for note in notes)
    assert any("terminal of ion is at z-, where there is no pore" in note for note in notes)
    assert any("terminal of electron is at z+" in note for note in notes)
    found = percolation.measure(phases, CATHODE)
    assert found.carriers["ion"].terminal_fraction == 0.0
    assert found.phases["binder"] == percolation.PhasePercolation(0, (0.0, 0.0, 0.0), 0.0)
    lonely = Materials((Phase(0, "pore"), Phase(128, "active")), terminals={"gas": "x+"})
    assert any("no phase conducts it" in note for note in percolation.measure(phases, lonely).notes)


def test_a_network_that_ends_inside_is_noted():
    phases = np.full((6, 3, 3), 128, np.uint8)
    phases[:3] = 0
    phases[3] = 255
    notes = percolation.measure(phases, CATHODE).notes
    assert any("ion network (pore) does not percolate along z" in note for note in notes)


def test_access_can_be_dropped():
    found = percolation.measure(np.zeros((2, 2, 2), np.uint8), CATHODE)
    del found.access
    assert found.access is None


@pytest.mark.parametrize(
    ("phases", "connectivity", "match"),
    [
        (np.zeros((2, 2, 2), np.float32), 6, "uint8"),
        (np.zeros((2, 2), np.uint8), 6, "3D"),
        (np.zeros((0, 2, 2), np.uint8), 6, "empty"),
        (np.zeros((2, 2, 2), np.uint8), 8, "connectivity is 8"),
    ],
)
def test_bad_input_is_named(phases, connectivity, match):
    with pytest.raises(InputError, match=match):
        percolation.measure(phases, CATHODE, connectivity)


def test_nmc_cathode(large_backend, nmc_cathode):
    """Figures of an independent program; the fractions hold along every axis."""
    materials = Materials.load("lithium_ion_cathode")
    found = percolation.measure(large_backend.put(nmc_cathode), materials)
    figures = {"pore": (226, 0.995000), "active": (144, 0.998143), "binder": (64441, 0.659597)}
    for name, (components, fraction) in figures.items():
        assert found.phases[name].components == components
        assert found.phases[name].spanning_fraction == pytest.approx([fraction] * 3, abs=5e-7)
    edges = junction_edges(nmc_cathode, large_backend.get(found.access.volume))
    assert edges == {
        "all": 1_104_560,
        # each phase of the triple has, among the four voxels, one connected in its network
        "each phase connected": 1_094_927,
        # each carrier has, among the four voxels, one connected in its network
        "each carrier connected": 1_095_019,
    }


def junction_edges(phases, access):
    """Count lattice edges with all of 0, 1, 2 around them, and those that both carriers reach."""
    conducted = np.array([0b01, 0b0100, 0b0100], np.uint8)  # the connected bit of ion and of electron
    reached = np.left_shift(1, phases, dtype=np.uint8) * ((access & conducted[phases]) > 0)
    present = np.left_shift(1, phases, dtype=np.uint8)
    counts = {"all": 0, "each phase connected": 0, "each carrier connected": 0}
    for axis in range(3):
        around = [around_edges(volume, axis) for volume in (present, reached, access)]
        edge = around[0] == 7
        counts["all"] += int(edge.sum())
        counts["each phase connected"] += int((edge & (around[1] == 7)).sum())
        counts["each carrier connected"] += int((edge & (around[2] & 0b0101 == 0b0101)).sum())
    return counts


def around_edges(volume, axis):
    """Bitwise or of the four voxels around every interior lattice edge along an axis."""
    for other in {0, 1, 2} - {axis}:
        length = volume.shape[other]
        volume = np.take(volume, range(1, length), other) | np.take(volume, range(length - 1), other)
    return volume


# What the two sides do by the same name


SIDES = {"cpu": _cpu, "cuda": _cuda}
# Around the 32 lanes, 128 and 256 threads and 16384 voxels that the kernels take at a time.
AWKWARD = ((1, 1, 1), (1, 1, 33), (5, 1, 3), (3, 5, 7), (2, 3, 129), (7, 31, 64), (17, 32, 33))


def volume_of(shape, seed=0):
    """Return five labels, in blobs and in dust."""
    random = np.random.default_rng(seed)
    noise = ndimage.uniform_filter(random.standard_normal(shape), 3) + 0.3 * random.standard_normal(shape)
    return np.array([0, 7, 8, 128, 255], np.uint8)[np.digitize(noise, [-0.5, -0.2, 0.1, 0.4])]


def pieces_and_roots(backend, phases, connectivity, labels=(0, 7, 128, 255)):
    """Return all that is found of the components, on the host: every label conducts, and two networks mix."""
    conducted = np.zeros(256, np.uint8)
    conducted[[0, 7, 128, 255]] = 0b001, 0b011, 0b110, 0b110
    side = SIDES[backend.name].percolation
    image, *table = side.label_components(phases, labels, connectivity)
    table[0][0] = 0  # no component
    roots = side.join_components(phases, image, len(table[0]) - 1, conducted, 3, connectivity)
    bits = np.random.default_rng(1).integers(0, 256, len(table[0])).astype(np.uint8)
    planes = side.outer_planes(image, [True, False, True, True, True, True])
    return backend.get((image, *table, roots, side.paint(image, bits), planes))


def check_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, tuple):
            check_equal(one, other)
        elif other is None:
            assert one is None
        else:
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", AWKWARD)
@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_both_sides_find_the_same_components_and_roots(backend, shape, connectivity):
    phases = volume_of(shape)
    expected = pieces_and_roots(Backend("cpu"), phases, connectivity)
    check_equal(pieces_and_roots(backend, backend.put(phases), connectivity), expected)
    assert expected[1].dtype == np.uint8
    assert expected[2].dtype == np.int64


@pytest.mark.parametrize("connectivity", [6, 26])
def test_crops_and_turned_volumes_are_read_where_they_are(backend, connectivity):
    whole = volume_of((12, 14, 40))
    for crop in (np.s_[3:9, 2:13, 5:38], np.s_[:, ::2, ::-1]):
        expected = pieces_and_roots(Backend("cpu"), np.ascontiguousarray(whole[crop]), connectivity)
        check_equal(pieces_and_roots(backend, backend.put(whole)[crop], connectivity), expected)
    expected = pieces_and_roots(Backend("cpu"), np.ascontiguousarray(whole.T), connectivity)
    check_equal(pieces_and_roots(backend, backend.put(whole).T, connectivity), expected)


def test_dust_overflows_the_table_that_a_block_shares(backend):
    """Every voxel a component of its own: more than a block can keep apart."""
    phases = (np.indices((26, 27, 28)).sum(axis=0) % 2 * 128).astype(np.uint8)
    image, label, voxels, faces = SIDES[backend.name].percolation.label_components(
        backend.put(phases), (0, 128), 6
    )
    assert len(label) == phases.size + 1
    assert (voxels[1:] == 1).all()
    np.testing.assert_array_equal(label[backend.get(image)], phases)
    inside = np.zeros(phases.shape, bool)
    inside[1:-1, 1:-1, 1:-1] = True
    np.testing.assert_array_equal(faces[backend.get(image)] == 0, inside)


def test_a_network_of_all_labels_joins_all(backend):
    """A chain of components that touch one after the other: every tree of the union is deep."""
    phases = np.zeros((1, 9, 211), np.uint8)
    phases[0, ::2, 1::2] = 128
    phases[0, 1::4, 0] = phases[0, 3::4, -1] = 7
    phases[0, 1::4, 1:] = phases[0, 3::4, :-1] = 255  # conducts nothing
    conducted = np.zeros(256, np.uint8)
    conducted[[0, 7, 128]] = 1
    side = SIDES[backend.name].percolation
    image, label, _, _ = side.label_components(backend.put(phases), (0, 7, 128, 255), 6)
    roots = side.join_components(backend.put(phases), image, len(label) - 1, conducted, 3, 6)
    assert set(roots[0][label != 255][1:].tolist()) == {1}
    np.testing.assert_array_equal(roots[1], np.arange(len(label)))


def test_threads_may_come_in_any_order(backend):
    phases = volume_of((9, 20, 41), seed=2)
    found = [pieces_and_roots(backend, backend.put(phases), 18)]
    found.append(pieces_and_roots(backend, backend.put(phases), 18))
    if backend.emulated:
        import cupy

        with cupy.emulator_order("reverse"):
            found.append(pieces_and_roots(backend, backend.put(phases), 18))
    for other in found[1:]:
        check_equal(other, found[0])


def test_components_of_64_bits(backend, monkeypatch):
    """From 2³¹ − 2 voxels on cuCIM numbers in int64; here it does so of few."""
    if backend.name == "cpu":
        pytest.skip("the host takes 64 bits from 2³² voxels on, by the same code")
    from tripoint._cuda.percolation import components

    def wide(*arguments):
        image, count = label(*arguments)
        return image.astype(np.int64), count

    phases = volume_of((7, 20, 33))
    expected = pieces_and_roots(backend, backend.put(phases), 18)
    label = components.label_equal
    monkeypatch.setattr(components, "label_equal", wide)
    found = pieces_and_roots(backend, backend.put(phases), 18)
    assert found[0].dtype == np.int64
    check_equal(found, expected)


def test_access_and_components_let_go_of_the_labels(backend):
    """Only the byte of access per voxel stays on the device."""
    phases = backend.put(volume_of((20, 30, 40)))
    if backend.name == "cpu":
        pytest.skip("the host's memory is measured over a whole analysis")
    import cupy

    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    access = percolation.measure(phases, CATHODE).access
    assert pool.used_bytes() - before <= access.volume.nbytes + 4096


# Graphs


def tables(phases, spacing=(1.0, 1.0, 1.0), block=3):
    regions = regions_of(phases, block)
    return regions, nodes_of(regions, phases, spacing), contacts_of(regions, spacing)


def paths(backend, nodes, contacts, *arguments):
    """Return the tables that a backend makes, on the host."""
    return backend.get(percolation.paths(put(backend, nodes), put(backend, contacts), *arguments))


@pytest.mark.parametrize("materials", [MIXED, CATHODE])
@given(phases=phase_volumes(LABELS, largest=5), block=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_graph_percolates_exactly_as_its_volume(backend, materials, phases, block):
    spacing = (1.0, 2.0, 0.5)
    regions, *made = tables(phases, spacing, block)
    nodes, contacts = (put(backend, frame) for frame in made)
    volume = percolation.measure(backend.put(phases), materials)
    graph = percolation.measure_graph(nodes, contacts, materials)
    assert graph == percolation.Percolation(volume.phases, volume.carriers, None, volume.notes)

    nodes = backend.get(percolation.paths(nodes, contacts, materials, phases.shape, spacing)[0])
    access = backend.get(volume.access.volume)
    for carrier in materials.terminals:
        bit = 1 << 2 * CARRIERS.index(carrier)
        connected = (access & bit) > 0
        conducts = np.isin(phases, materials.network(carrier))
        beside = ndimage.binary_dilation(connected)
        for node, reaches in zip(nodes["node"], nodes[f"reaches_{carrier}"], strict=True):
            own = regions == node
            if conducts[own].all():
                assert (connected[own] == reaches).all()
            else:
                assert reaches == beside[own].any()


@st.composite
def random_tables(draw):
    """Nodes and contacts with no volume behind them."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 14))
    position = random.uniform(0.5, 9.5, (count, 3))
    pairs = [(i, j) for i in range(1, count + 1) for j in range(i + 1, count + 1)]
    pairs = np.array(pairs, np.int32).reshape(-1, 2)
    pairs = pairs[random.random(len(pairs)) < draw(st.sampled_from([0.1, 0.25, 0.5]))]
    nodes = pd.DataFrame(
        {
            "node": np.arange(1, count + 1, dtype=np.int32),
            "label": random.choice(LABELS, count).astype(np.uint8),
            "voxels": random.integers(1, 50, count),
            "volume": random.uniform(1, 50, count),
            "inscribed_radius": random.integers(1, 5, count).astype(float),
        }
    )
    contacts = pd.DataFrame(
        {
            "source": pairs[:, 0],
            "target": pairs[:, 1],
            "area": random.uniform(0.1, 10, len(pairs)),
            "neck_radius": random.integers(1, 5, len(pairs)).astype(float),  # many ties
        }
    )
    for axis, name in enumerate("zyx"):
        nodes[f"centroid_{name}"] = position[:, axis]
        contacts[f"centroid_{name}"] = random.uniform(0, 10, len(pairs))
        nodes[f"touches_{name}_min"] = random.random(count) < 0.3
        nodes[f"touches_{name}_max"] = random.random(count) < 0.3
    return nodes, contacts


@given(random_tables())
@settings(max_examples=100, deadline=None)
def test_paths_bottlenecks_and_bridges_are_what_networkx_says(backend, made):
    nodes, contacts = made
    materials = CATHODE
    found, links = paths(backend, *made, materials, (10, 10, 10), (1.0, 1.0, 1.0))
    assert len(nodes.columns) < len(found.columns)
    halves = percolation.contact_resistances(nodes, contacts, (1.0, 1.0, 1.0))
    np.testing.assert_allclose(links["resistance"], halves[0] + halves[1])
    np.testing.assert_allclose(links["conductance"], 1 / links["resistance"])
    for carrier, face in materials.terminals.items():
        graph, outside = as_networkx(nodes, contacts, halves, materials.network(carrier), face)
        best = nx.single_source_dijkstra_path(graph, "terminal", weight="resistance")
        tree = nx.maximum_spanning_tree(graph, weight="width")
        bridges = {frozenset(pair) for pair in nx.bridges(graph.subgraph(best))}
        want = {}
        for node, path in best.items():
            wide = nx.shortest_path(tree, "terminal", node)
            want[node] = (
                nx.path_weight(graph, path, "resistance"),
                nx.path_weight(graph, path, "length"),
                min((tree.edges[pair]["width"] for pair in nx.utils.pairwise(wide)), default=np.inf),
            )
        for node, entries in outside.items():
            ways = [
                (want[n][0] + r, want[n][1] + d, min(want[n][2], w)) for n, r, d, w in entries if n in want
            ]
            if ways:
                want[node] = (*min(ways)[:2], max(way[2] for way in ways))
        for row in found.itertuples():
            values = [
                getattr(row, f"{name}_{carrier}")
                for name in ("path_resistance", "path_length", "bottleneck_radius")
            ]
            assert getattr(row, f"reaches_{carrier}") == (row.node in want)
            np.testing.assert_allclose(values, want.get(row.node, (np.nan, np.nan, 0)), rtol=1e-12)
            tortuosity = getattr(row, f"path_tortuosity_{carrier}")
            assert not tortuosity < 1 - 1e-12
            assert np.isnan(tortuosity) == (row.node not in want)
        for row in links.itertuples():
            expected = frozenset((row.source, row.target)) in bridges
            assert getattr(row, f"bridge_{carrier}") == expected


def as_networkx(nodes, contacts, halves, labels, face):
    """Return the network of a carrier with its terminal, and the ways into it from other regions."""
    table = nodes.set_index("node")
    centre = table[["centroid_z", "centroid_y", "centroid_x"]]
    graph = nx.Graph()
    graph.add_node("terminal")
    end = "min" if face[1] == "-" else "max"
    for node, row in table.iterrows():
        if row["label"] not in labels:
            continue
        graph.add_node(node)
        if row[f"touches_{face[0]}_{end}"]:
            depth = row[f"centroid_{face[0]}"]
            depth = depth if face[1] == "-" else 10 - depth
            resistance = 2 * depth**2 / row["volume"]
            graph.add_edge(
                node, "terminal", resistance=resistance, length=depth, width=row["inscribed_radius"]
            )
    outside = {}
    for index, row in contacts.iterrows():
        a, b = int(row["source"]), int(row["target"])
        neck = row[["centroid_z", "centroid_y", "centroid_x"]]
        length = sum(float(np.linalg.norm((centre.loc[n] - neck).astype(float))) for n in (a, b))
        half = {a: halves[0][index], b: halves[1][index]}
        inside = [n for n in (a, b) if n in graph]
        if len(inside) == 2:
            graph.add_edge(a, b, resistance=half[a] + half[b], length=length, width=row["neck_radius"])
        elif inside:
            way = (inside[0], half[inside[0]], length, row["neck_radius"])
            outside.setdefault(b if inside[0] == a else a, []).append(way)
    return graph, outside


ELECTRONS = Materials((Phase(1, "bar", ("electron",)),), terminals={"electron": "z+"})


@pytest.mark.parametrize("lengths", [(8, 8), (3, 9, 2, 6), (1, 1, 1), (20, 4)])
@pytest.mark.parametrize("conductivity", [1.0, 50.0])
def test_a_straight_bar_has_the_resistance_of_a_bar(backend, lengths, conductivity):
    spacing = (0.5, 0.4, 0.4)
    phase = Phase(1, "bar", ("electron",), conductivity={"electron": conductivity})
    materials = Materials((phase,), terminals={"electron": "z+"})
    nodes, contacts = chain(lengths, 6, spacing)
    nodes["inscribed_radius"] = contacts["neck_radius"] = 1.2
    nodes, contacts = paths(backend, nodes, contacts, materials, (sum(lengths), 6, 6), spacing)
    depth = nodes["depth_electron"]
    np.testing.assert_allclose(depth, sum(lengths) * 0.5 - nodes["centroid_z"])
    np.testing.assert_allclose(nodes["path_resistance_electron"], depth / 2.4**2 / conductivity)
    np.testing.assert_allclose(nodes["path_tortuosity_electron"], 1)
    np.testing.assert_allclose(contacts["resistance_electron"], contacts["resistance"] / conductivity)
    assert contacts["bridge_electron"].all()


@pytest.mark.parametrize("hole", [2, 4, 6, 8])
def test_a_constricted_bar_has_about_the_resistance_of_the_field(hole):
    """Two cubes of side 10 joined by a square hole: within 20 % of the finite-volume solution."""
    side = 10
    nodes, contacts = chain((side, side), side)
    contacts["area"] = hole**2
    contacts["neck_radius"] = hole / 2
    halves = percolation.contact_resistances(nodes, contacts, (1.0, 1.0, 1.0))
    assert halves[0][0] == pytest.approx(0.05 + (1 - hole / side) ** 1.5 / (2 * hole))
    # from centre to centre, and two half cubes at the ends, which are straight ducts
    model = float(halves[0][0] + halves[1][0]) + side / side**2
    assert model == pytest.approx(field_resistance(side, hole), rel=0.2)


def field_resistance(side, hole):
    """Resistance of two cubes with a thin wall between, open in a square hole, by finite volumes."""
    shape = (2 * side, side, side)
    index = np.arange(np.prod(shape)).reshape(shape)
    start = (side - hole) // 2
    rows, columns = [], []
    for axis in range(3):
        a = np.take(index, range(shape[axis] - 1), axis)
        b = np.take(index, range(1, shape[axis]), axis)
        open_ = np.ones(a.shape, bool)
        if axis == 0:
            open_[side - 1] = False
            open_[side - 1, start : start + hole, start : start + hole] = True
        rows.append(a[open_])
        columns.append(b[open_])
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    size = index.size
    links = csr_array((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    links = links + links.T
    ends = np.zeros(size)
    ends[index[0].ravel()] = ends[index[-1].ravel()] = 2  # half a voxel to the end faces
    source = np.zeros(size)
    source[index[0].ravel()] = 2
    matrix = diags_array(np.asarray(links.sum(axis=1)).ravel() + ends) - links
    potential = spsolve(matrix.tocsc(), source)
    return 1 / float((2 * (1 - potential[index[0].ravel()])).sum())


def random_graph(kind, count, seed):
    """Return rows of sources and targets, and random numbers: a chain, a tree, or edges at random."""
    random = np.random.default_rng(seed)
    mixed = random.permutation(count)
    if kind == "chain":
        source, target = mixed[:-1], mixed[1:]
    elif kind == "tree":
        source, target = mixed[[random.integers(0, i) for i in range(1, count)]], mixed[1:]
    else:
        pairs = np.sort(random.integers(0, count, (int(kind * count), 2)), axis=1)
        pairs = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)
        source, target = random.permutation(pairs).T
    return source.astype(np.int64), target.astype(np.int64), random


@pytest.mark.parametrize("kind", ["chain", "tree", 0.5, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("count", [2, 40, 1500])
@pytest.mark.parametrize("ties", [True, False])
def test_both_sides_find_the_same_bits_in_a_graph(backend, kind, count, ties):
    source, target, random = random_graph(kind, count, seed=count)
    draw = (lambda n: random.integers(1, 4, n).astype(float)) if ties else (lambda n: random.random(n) + 0.01)
    weight, width, root = draw(len(source)), draw(len(source)), int(random.integers(0, count))

    def results(on):
        side, (a, b, w, r) = SIDES[on.name].percolation, map(on.put, (source, target, weight, width))
        total = side.least_paths(a, b, w, count, root)
        previous, edge = least_path_tree(a, b, w, total, root)
        namespace = array_namespace(w)
        step = namespace.concat((w, namespace.zeros(1)))[edge]
        widest = side.bottlenecks(a, b, r, count, root)
        roots = side.graph_roots(a, b, count)
        return on.get((total, previous, edge, sums_to_root(previous, step), *widest, roots))

    expected = results(Backend("cpu"))
    check_equal(results(backend), expected)
    total, previous, edge, length, _, _, roots = expected
    reached = np.isfinite(total)
    np.testing.assert_allclose(length[reached], total[reached], rtol=1e-12)
    np.testing.assert_array_equal(reached, roots == roots[root])
    np.testing.assert_array_equal(previous >= 0, reached & (np.arange(count) != root))
    for node in np.flatnonzero(previous >= 0):
        assert {previous[node], node} == {source[edge[node]], target[edge[node]]}


def test_a_weight_lost_in_rounding_makes_no_circle(backend):
    """Beyond 1.0 every step adds less than float64 tells apart: all those totals are equal."""
    source, target = np.array([0, 1, 2, 3, 1, 5]), np.array([1, 2, 3, 4, 4, 0])
    weight = np.array([1.0, 1e-20, 1e-20, 1e-20, 1e-20, 2.0])
    arrays = [backend.put(part) for part in (source, target, weight)]
    total = SIDES[backend.name].percolation.least_paths(*arrays, 6, 0)
    previous, edge = backend.get(least_path_tree(*arrays, total, 0))
    np.testing.assert_array_equal(backend.get(total), [0, 1, 1, 1, 1, 2])
    np.testing.assert_array_equal(previous, [-1, 0, 1, 2, 1, 0])
    np.testing.assert_array_equal(edge, [-1, 0, 1, 2, 4, 5])


@given(made=random_tables(), flaw=st.sampled_from(["none", "infinite", "nan", "zero", "same place"]))
@settings(max_examples=60, deadline=None)
def test_resistances_are_positive_and_finite(backend, made, flaw):
    nodes, contacts = made
    if flaw == "infinite":  # a phase that fills the volume has no walls
        nodes["inscribed_radius"] = contacts["neck_radius"] = np.inf
    elif flaw == "nan":
        contacts["neck_radius"] = np.nan
    elif flaw == "zero":
        contacts["neck_radius"] = 0.0
    elif flaw == "same place":
        for axis in "zyx":
            nodes[f"centroid_{axis}"] = contacts[f"centroid_{axis}"] = 5.0
    nodes, contacts = put(backend, nodes), put(backend, contacts)
    for half in backend.get(percolation.contact_resistances(nodes, contacts, (1.0, 1.0, 1.0))):
        assert np.isfinite(half).all()
        assert (half > 0).all()


def test_a_hub_of_many_regions_is_no_obstacle(backend):
    count = 20_000
    nodes, contacts = chain((2, 2), 2)
    nodes = nodes.loc[[0] * count].reset_index(drop=True)
    nodes["node"] = np.arange(1, count + 1)
    nodes.loc[0, "touches_z_max"] = True
    contacts = contacts.loc[[0] * (count - 1)].reset_index(drop=True)
    contacts["target"] = np.arange(2, count + 1)
    nodes, contacts = paths(backend, nodes, contacts, ELECTRONS, (4, 2, 2), (1.0, 1.0, 1.0))
    assert nodes["reaches_electron"].all()
    assert contacts["bridge_electron"].all()
    assert np.ptp(nodes["path_length_electron"][1:]) == 0


def test_a_graph_without_contacts(backend):
    nodes, contacts = chain((2, 2), 2)
    nodes, contacts = paths(backend, nodes, contacts[:0], ELECTRONS, (4, 2, 2), (1.0, 1.0, 1.0))
    assert nodes["reaches_electron"].tolist() == [False, True]
    assert contacts.columns.isin(["resistance", "bridge_electron"]).sum() == 2
    assert nodes["bottleneck_radius_electron"].tolist() == [0.0, 1.0]


def test_contacts_of_other_regions_are_an_error(backend):
    nodes, contacts = chain((2, 2), 2)
    with pytest.raises(InputError, match="1 contacts join regions that are not among the 1 nodes"):
        paths(backend, nodes[:1], contacts, ELECTRONS, (4, 2, 2), (1.0, 1.0, 1.0))


def test_a_conductivity_of_zero_is_an_error():
    phase = Phase(1, "bar", ("electron",), conductivity={"electron": 0.0})
    materials = Materials((phase,), terminals={"electron": "z+"})
    with pytest.raises(InputError, match="expected a positive"):
        percolation.paths(*chain((2, 2), 2), materials, (4, 2, 2), (1.0, 1.0, 1.0))


# Utilization


def test_utilization_counts_voxels_with_an_electron_path_in_regions_with_an_ion_contact(backend):
    nodes = pd.DataFrame(
        {
            "label": np.array([128, 128, 128, 255, 0], np.uint8),
            "voxels": [10, 20, 30, 1000, 1000],
            "reaches_ion": [True, True, False, True, True],
            "reaches_electron": [True, False, True, True, False],
        }
    )
    assert percolation.utilization(put(backend, nodes), CATHODE) == 10 / 60
    assert percolation.utilization(put(backend, nodes[3:]), CATHODE) is None
    no_terminal = Materials(CATHODE.phases, terminals={"ion": "z-"})
    assert percolation.utilization(put(backend, nodes), no_terminal) is None


@given(phase_volumes(LABELS, largest=5))
@settings(max_examples=40, deadline=None)
def test_utilization_of_a_volume(backend, phases):
    regions, *made = tables(phases, block=2)
    nodes, contacts = (put(backend, frame) for frame in made)
    nodes, _ = percolation.paths(nodes, contacts, CATHODE, phases.shape, (1.0, 1.0, 1.0))
    active = phases == 128
    if not active.any():
        assert percolation.utilization(nodes, CATHODE) is None
        return
    volume = percolation.access(phases, CATHODE).volume
    beside_ions = ndimage.binary_dilation((volume & 0b1) > 0)
    particles = np.unique(regions[active & beside_ions])
    used = active & ((volume & 0b100) > 0) & np.isin(regions, particles)
    assert percolation.utilization(nodes, CATHODE) == used.sum() / active.sum()
