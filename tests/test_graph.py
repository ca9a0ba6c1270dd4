"""The graph: assembling its tables, and its views for networkx and PyG."""

import builtins

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from backends import Backend
from small_graphs import contacts_of, nodes_of, put, regions_of
from strategies import phase_volumes
from tripoint import boundary, distance, graph, particles, percolation
from tripoint.errors import InputError, TripointError
from tripoint.materials import Materials, Phase
from tripoint.sample import Sample

MATERIALS = Materials(
    phases=(
        Phase(0, "pore", ("ion",)),
        Phase(128, "active", ("electron",), active=True),
        Phase(255, "binder", ("electron",)),
    ),
    terminals={"ion": "z-", "electron": "z+"},
)
SPACING = (1.0, 0.5, 2.0)
HOST = Backend("cpu")


class Surfaces:
    """What ``boundary.contacts`` returns."""

    def __init__(self, table, surface_area):
        self.table, self.surface_area = table, surface_area


def made(phases, block=2, seed=0, junctions=True, backend=HOST):
    """Return a graph with invented surfaces and junctions, brought to the host."""
    regions = regions_of(phases, block)
    nodes = nodes_of(regions, phases, SPACING)
    contacts = contacts_of(regions, SPACING)
    random = np.random.default_rng(seed)
    surface = np.append(0, random.uniform(10, 20, len(nodes)))
    ids = [nodes.loc[nodes["label"] == label, "node"].to_numpy() for label in (0, 128, 255)]
    count = random.integers(1, 9) if junctions and all(map(len, ids)) else 0
    corners = zip("abc", ids, strict=True)
    table = pd.DataFrame({name: random.choice(choice, count) if count else [] for name, choice in corners})
    table = table.astype(np.int32)
    table["junction"] = np.int32(0)
    table["length"] = random.uniform(1, 5, count)
    table["active_length"] = table["length"] * random.random(count)
    sample = Sample(phases, SPACING, MATERIALS, name="made")
    touching = Surfaces(put(backend, contacts), backend.put(surface))
    built = graph.build(put(backend, nodes), touching, put(backend, table), sample)
    assert built.device == backend.name
    return built.to("cpu"), surface


def composite(seed=3, shape=(6, 5, 4)):
    return np.random.default_rng(seed).choice([0, 128, 255], shape).astype(np.uint8)


@given(phase_volumes((0, 128, 255), smallest=2, largest=5), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_columns_are_sums_over_contacts_and_junctions(backend, phases, seed):
    built, surface = made(phases, seed=seed, backend=backend)
    nodes, contacts, junctions = built.nodes, built.contacts, built.junctions
    phase = dict(zip(nodes["node"], nodes["phase"], strict=True))
    label = {p.name: p.label for p in MATERIALS.phases}
    assert [label[p] for p in nodes["phase"]] == nodes["label"].tolist()
    for row in nodes.itertuples():
        touching = [
            (c.target if c.source == row.node else c.source, c.area)
            for c in contacts.itertuples()
            if row.node in (c.source, c.target)
        ]
        for name in label:
            area = sum(area for other, area in touching if phase[other] == name)
            assert getattr(row, f"area_{name}") == pytest.approx(area)
        assert row.degree == len(touching)
        assert row.coordination_number == sum(phase[other] == row.phase for other, _ in touching)
        meets = [j for j in junctions.itertuples() if row.node in (j.a, j.b, j.c)]
        assert row.junction_length == pytest.approx(sum(j.length for j in meets))
        assert row.active_junction_length == pytest.approx(sum(j.active_length for j in meets))
        assert row.surface_area == surface[row.node]
    assert contacts["source_phase"].tolist() == [phase[n] for n in contacts["source"]]
    assert contacts["target_phase"].tolist() == [phase[n] for n in contacts["target"]]
    assert {"reaches_ion", "bottleneck_radius_electron"} <= set(nodes)
    assert {"resistance", "conductance", "bridge_ion"} <= set(contacts)


def test_sphericity_of_spheres_and_cubes(backend):
    radius = 3.0
    phases = np.zeros((2, 2, 4), np.uint8)
    phases[..., 2:] = 128
    nodes = nodes_of(regions_of(phases, 9), phases, SPACING)
    nodes["volume"] = [4 / 3 * np.pi * radius**3, 8.0]
    surface = np.array([0, 4 * np.pi * radius**2, 24.0])
    contacts = contacts_of(regions_of(phases, 9), SPACING)
    sample = Sample(phases, SPACING, MATERIALS)
    nodes, contacts, surface = put(backend, nodes), put(backend, contacts), backend.put(surface)
    built = graph.build(nodes, Surfaces(contacts, surface), None, sample).to("cpu")
    np.testing.assert_allclose(built.nodes["sphericity"], [1.0, (np.pi / 6) ** (1 / 3)])
    with pytest.raises(InputError, match="up to region 1, the nodes go up to 2"):
        graph.build(nodes, Surfaces(contacts, surface[:2]), None, sample)


def test_one_region_alone(backend):
    built, _ = made(np.zeros((2, 2, 2), np.uint8), block=9, backend=backend)
    assert len(built.nodes) == 1
    assert len(built.contacts) == len(built.junctions) == 0
    assert built.nodes.loc[0, ["degree", "area_pore", "junction_length"]].tolist() == [0, 0.0, 0.0]
    assert built.to_networkx(junctions=True).number_of_nodes() == 1


def test_a_plain_table_of_contacts_and_no_junctions_will_do(backend):
    phases = composite()
    regions = regions_of(phases)
    nodes, contacts = nodes_of(regions, phases, SPACING), contacts_of(regions, SPACING)
    sample = Sample(phases, SPACING, MATERIALS)
    built = graph.build(put(backend, nodes), put(backend, contacts), None, sample).to("cpu")
    assert "surface_area" not in built.nodes
    assert built.nodes["junction_length"].eq(0).all()
    assert len(built.junctions) == 0


def test_junctions_without_access_have_no_active_length(backend):
    phases = composite()
    regions = regions_of(phases)
    nodes, contacts = nodes_of(regions, phases, SPACING), contacts_of(regions, SPACING)
    first = [int(nodes.loc[nodes["label"] == label, "node"].iloc[0]) for label in (0, 128, 255)]
    junctions = pd.DataFrame([[*first, 2.0, np.nan]], columns=["a", "b", "c", "length", "active_length"])
    given = (put(backend, table) for table in (nodes, contacts, junctions))
    built = graph.build(*given, Sample(phases, SPACING, MATERIALS)).to("cpu")
    active = built.nodes.set_index("node")["active_junction_length"]
    assert active[first].isna().all()
    assert active.drop(first).eq(0).all()


def test_junctions_of_other_regions_are_refused(backend):
    phases = composite()
    regions = regions_of(phases)
    nodes, contacts = nodes_of(regions, phases, SPACING), contacts_of(regions, SPACING)
    junctions = pd.DataFrame({"a": [1], "b": [2], "c": [len(nodes) + 1], "length": [1.0]})
    given = (put(backend, table) for table in (nodes, contacts, junctions))
    with pytest.raises(InputError, match="junctions join regions that are not among the nodes"):
        graph.build(*given, Sample(phases, SPACING, MATERIALS))


def test_numbers_of_regions_may_have_gaps_and_any_order(backend):
    """Of the same regions under other numbers, in another order, every region has the same figures."""
    phases = composite()
    regions = regions_of(phases)
    nodes, contacts = nodes_of(regions, phases, SPACING), contacts_of(regions, SPACING)
    sample = Sample(phases, SPACING, MATERIALS)
    expected = graph.build(nodes, contacts, None, sample).nodes
    order = np.random.default_rng(0).permutation(len(nodes))
    shuffled = nodes.iloc[order].assign(node=nodes["node"].iloc[order] * 3).reset_index(drop=True)
    renumbered = contacts.assign(source=contacts["source"] * 3, target=contacts["target"] * 3)
    found = graph.build(put(backend, shuffled), put(backend, renumbered), None, sample).to("cpu").nodes
    assert found["node"].tolist() == (3 * expected["node"].iloc[order]).tolist()
    for name in ("phase", "area_active", "degree", "coordination_number", "reaches_ion", "depth_electron"):
        assert found[name].tolist() == pytest.approx(expected[name].iloc[order].tolist())


def test_repr_is_short():
    text = repr(made(composite())[0])
    assert text.startswith("Graph('made': ")
    assert "active" in text
    assert len(text) < 120


def test_subgraph_keeps_what_lies_within():
    built, _ = made(composite())
    part = built.subgraph("active", "binder")
    assert set(part.nodes["phase"]) == {"active", "binder"}
    kept = set(part.nodes["node"])
    whole = {tuple(pair) for pair in built.contacts[["source", "target"]].to_numpy()}
    assert {tuple(pair) for pair in part.contacts[["source", "target"]].to_numpy()} == {
        pair for pair in whole if set(pair) <= kept
    }
    assert len(part.junctions) == 0
    assert len(built.subgraph("pore", "active", "binder").junctions) == len(built.junctions) > 0
    with pytest.raises(InputError, match="no phase 'void'"):
        built.subgraph("void")


def test_to_networkx_has_every_region_contact_and_junction():
    built, _ = made(composite())
    plain = built.to_networkx()
    assert isinstance(plain, nx.Graph)
    assert plain.graph["name"] == "made"
    assert set(plain) == set(built.nodes["node"])
    edges = {tuple(pair) for pair in built.contacts[["source", "target"]].to_numpy().tolist()}
    assert {tuple(sorted(edge)) for edge in plain.edges} == edges
    row = built.contacts.iloc[5]
    assert plain.edges[row["source"], row["target"]]["area"] == row["area"]
    assert plain.nodes[1]["phase"] == built.nodes.loc[0, "phase"]

    full = built.to_networkx(junctions=True)
    assert full.number_of_nodes() == len(built.nodes) + len(built.junctions)
    for number, junction in enumerate(built.junctions.itertuples()):
        assert set(full.neighbors(("junction", number))) == {junction.a, junction.b, junction.c}
    assert {full.nodes[n]["kind"] for n in full} == {"region", "junction"}


def test_networkx_finds_the_same_components():
    built, _ = made(composite(5))
    electrons = built.subgraph("active", "binder").to_networkx()
    found = percolation.measure_graph(built.nodes, built.contacts, MATERIALS)
    assert nx.number_connected_components(electrons) == found.carriers["electron"].components


def test_to_pyg_says_what_is_missing(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("torch"):
            raise ModuleNotFoundError(name=name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TripointError, match=r"tripoint\[learn\]"):
        made(composite())[0].to_pyg()


def test_to_pyg_has_the_same_edges_as_the_tables():
    torch = pytest.importorskip("torch", reason="torch is not installed: PyG graphs are not tested")
    pytest.importorskip("torch_geometric", reason="torch-geometric is not installed")
    built, _ = made(composite())
    data = built.to_pyg()
    data.validate()
    assert set(data.node_types) == {"pore", "active", "binder", "junction"}
    nodes = built.nodes.set_index("node")
    found = set()
    for a, kind, b in data.edge_types:
        if kind != "touches":
            continue
        store = data[a, kind, b]
        source, target = data[a].node[store.edge_index[0]], data[b].node[store.edge_index[1]]
        assert set(nodes.loc[source.tolist(), "phase"]) == {a}
        column = data.contact_columns.index("area")
        areas = built.contacts["area"].to_numpy(np.float32)[store.contact.numpy()]
        np.testing.assert_array_equal(store.edge_attr[:, column].numpy(), areas)
        found |= set(zip(source.tolist(), target.tolist(), strict=True))
    pairs = {tuple(pair) for pair in built.contacts[["source", "target"]].to_numpy().tolist()}
    assert found == pairs | {pair[::-1] for pair in pairs}

    for phase in ("pore", "active", "binder"):
        rows = built.nodes[built.nodes["phase"] == phase]
        np.testing.assert_array_equal(data[phase].node.numpy(), rows["node"])
        assert data[phase].x.dtype == torch.float32
        column = data.node_columns.index("volume")
        np.testing.assert_allclose(data[phase].x[:, column].numpy(), rows["volume"], rtol=1e-6)
        corner = {"pore": "a", "active": "b", "binder": "c"}[phase]
        meets = data[phase, "meets", "junction"].edge_index
        np.testing.assert_array_equal(
            data[phase].node[meets[0]].numpy()[np.argsort(meets[1].numpy())], built.junctions[corner]
        )
        assert torch.equal(data["junction", "meets", phase].edge_index, meets.flip(0))


def test_real_rooms_percolate_alike_in_graph_and_voxels():
    """From separation to paths: the graph says what the voxels say, region by region."""
    random = np.random.default_rng(1)
    field = [ndimage.gaussian_filter(random.normal(size=(36, 30, 32)), 1.6) for _ in range(3)]
    phases = np.array([0, 128, 255], np.uint8)[np.argmax(field, axis=0)]
    to_wall = distance.transform(phases, SPACING)
    regions = particles.separate(phases, SPACING, distance=to_wall)
    nodes = particles.describe(regions, phases, SPACING, to_wall)
    table = boundary.contacts(regions, SPACING, distance=to_wall, phases=phases)
    built = graph.build(nodes, table, None, Sample(phases, SPACING, MATERIALS))
    nodes, contacts = built.nodes, built.contacts
    volume = percolation.measure(phases, MATERIALS)
    found = percolation.measure_graph(nodes, contacts, MATERIALS)
    assert (found.phases, found.carriers) == (volume.phases, volume.carriers)
    first = np.unique(regions, return_index=True)[1]
    access = volume.access.volume.ravel()[first]
    for carrier, bit in (("ion", 1), ("electron", 4)):
        conducts = nodes["label"].isin(MATERIALS.network(carrier)).to_numpy()
        reaches = nodes[f"reaches_{carrier}"].to_numpy()
        np.testing.assert_array_equal(reaches[conducts], (access & bit)[conducts] > 0)
        tortuosity = nodes[f"path_tortuosity_{carrier}"].dropna()
        assert len(tortuosity) == reaches.sum()
        assert (tortuosity >= 1 - 1e-9).all()
        bottleneck = nodes[f"bottleneck_radius_{carrier}"]
        assert (bottleneck[reaches] > 0).all()
        if carrier == "ion":  # within one phase nothing is reached through a neck wider than itself
            assert (bottleneck[conducts] <= nodes.loc[conducts, "inscribed_radius"] * (1 + 1e-6)).all()
