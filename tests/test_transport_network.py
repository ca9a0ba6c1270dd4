"""Currents through the network of regions: known answers, references, both backends."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.linalg import cg

import packings
from small_graphs import chain, contacts_of, nodes_of, put, regions_of
from tripoint import boundary, distance, particles
from tripoint.errors import ConvergenceError, InputError
from tripoint.io import tables
from tripoint.materials import Materials, Phase
from tripoint.percolation import contact_resistances, paths
from tripoint.transport import contact_shares, critical_contacts, network, tortuosity

ONE = (1.0, 1.0, 1.0)
ELECTRON = Materials((Phase(1, "solid", ("electron",)),), terminals={"electron": "z+"})


def solved(backend, nodes, contacts, materials, shape, spacing=ONE):
    """Return nodes, contacts and figures of the network, on the host."""
    found = network(put(backend, nodes), put(backend, contacts), materials, shape, spacing)
    return backend.get(found.nodes), backend.get(found.contacts), found.carriers


def metal(**conductivity):
    """Return materials of the phases 1 and 2 with these conductivities of electrons, S/m."""
    phases = [
        Phase(label, name, ("electron",), conductivity={"electron": value})
        for label, (name, value) in enumerate(conductivity.items(), start=1)
    ]
    return Materials(tuple(phases), terminals={"electron": "z-"})


# -------------------------------------------------------------------------------------------- known answers


@pytest.mark.parametrize("spacing", [ONE, (0.5, 0.2, 0.2)])
def test_straight_bar_is_exact_however_it_is_cut(backend, spacing):
    lengths, side = [4, 9, 1, 20], 6
    nodes, contacts = chain(lengths, side, spacing)
    nodes["inscribed_radius"] = contacts["neck_radius"] = side / 2 * spacing[1]
    # twice as wide and high as the bar, so that the volume conducts a quarter
    shape = (sum(lengths), 2 * side, 2 * side)
    of_nodes, of_contacts, carriers = solved(backend, nodes, contacts, metal(a=3.0), shape, spacing)
    figures = carriers["electron"]
    length = sum(lengths) * spacing[0]
    assert figures.spans
    assert figures.faces == ("z-", "z+")
    assert figures.effective_conductivity == pytest.approx(3.0 / 4, rel=1e-12)
    assert figures.current == pytest.approx(3.0 * (side * spacing[1]) ** 2 / length, rel=1e-12)
    assert figures.factor == pytest.approx(1, rel=1e-12)
    assert figures.imbalance < 1e-12
    potential = of_nodes["network_potential_electron"].to_numpy()
    np.testing.assert_allclose(potential, 1 - nodes["centroid_z"].to_numpy() / length, rtol=1e-10)
    np.testing.assert_allclose(of_contacts["current_share_electron"], 1)
    np.testing.assert_allclose(of_contacts["current_electron"], figures.current)
    steps = -np.diff(nodes["centroid_z"]) / length
    np.testing.assert_allclose(of_contacts["dissipation_share_electron"], -steps)


def test_two_phases_in_series_are_their_harmonic_mean(backend):
    nodes, contacts = chain([5, 5, 10], 4)
    nodes["label"] = np.array([1, 1, 2], np.uint8)
    _, _, carriers = solved(backend, nodes, contacts, metal(a=1.0, b=1e-7), (20, 4, 4))
    assert carriers["electron"].effective_conductivity == pytest.approx(2 / (1 + 1e7), rel=1e-9)


def test_wheatstone_bridge(backend):
    """Four equal arms: nothing flows across; unequal ones: the current that textbooks give."""
    nodes = pd.DataFrame(
        {
            "node": np.arange(1, 5, dtype=np.int32),
            "label": np.ones(4, np.uint8),
            "volume": 1e6,  # links to the faces conduct so well that they do not count
            "inscribed_radius": 10.0,
            "centroid_z": [0.5, 5.0, 5.0, 9.5],
            "centroid_y": [5.0, 2.0, 8.0, 5.0],
            "centroid_x": 5.0,
        }
    )
    for face in ("z_min", "z_max", "y_min", "y_max", "x_min", "x_max"):
        nodes[f"touches_{face}"] = False
    nodes.loc[0, "touches_z_min"] = nodes.loc[3, "touches_z_max"] = True
    source, target = np.array([1, 1, 2, 2, 3]), np.array([2, 3, 3, 4, 4])
    contacts = pd.DataFrame({"source": source, "target": target}).astype(np.int32)
    for axis in "zyx":
        place = nodes[f"centroid_{axis}"].to_numpy()
        contacts[f"centroid_{axis}"] = (place[source - 1] + place[target - 1]) / 2
    materials = Materials((Phase(1, "solid", ("electron",)),), terminals={"electron": "z-"})
    for radii, balanced in ([[0.1] * 5, True], [[0.1, 0.2, 0.1, 0.1, 0.1], False]):
        contacts["neck_radius"] = np.array(radii) * 10
        contacts["area"] = np.pi * contacts["neck_radius"] ** 2
        _, found, carriers = solved(backend, nodes, contacts, materials, (10, 10, 10))
        current = found["current_electron"].to_numpy()
        assert (abs(current[2]) < 1e-9) == balanced
        # Kirchhoff's first law, and currents run down the potential
        assert current[0] + current[1] == pytest.approx(carriers["electron"].current)
        assert current[0] == pytest.approx(current[2] + current[3])
    assert current[2] < 0  # through the wider arm, 1–3, and back to 2


def test_other_faces_than_the_terminals_carry_nothing(backend):
    nodes, contacts = chain([5, 5], 4)
    for carrier_face, spans in (("z-", True), ("y-", True)):
        materials = Materials((Phase(1, "bar", ("ion",)),), terminals={"ion": carrier_face})
        _, found, carriers = solved(backend, nodes, contacts, materials, (10, 4, 4))
        assert carriers["ion"].spans == spans
        assert carriers["ion"].effective_conductivity == pytest.approx(1, rel=1e-9)
    np.testing.assert_array_equal(found["current_share_ion"], 0)  # across, either piece conducts alone


def test_parts_that_touch_one_face_are_left_out(backend):
    phases = np.zeros((9, 3, 5), np.uint8)
    phases[:, :, 0] = 1  # spans
    phases[:4, :, 2] = 1  # hangs from one face
    phases[3:6, :, 4] = 1  # floats
    regions = regions_of(phases)
    nodes, contacts = nodes_of(regions, phases, ONE), contacts_of(regions, ONE)
    nodes["inscribed_radius"] = 0.5
    contacts["neck_radius"] = 0.5
    of_nodes, of_contacts, carriers = solved(backend, nodes, contacts, ELECTRON, phases.shape)
    figures = carriers["electron"]
    spanning = (nodes["label"] == 1) & (nodes["centroid_x"] == 0.5)
    assert figures.regions == spanning.sum()
    potential = of_nodes["network_potential_electron"]
    np.testing.assert_array_equal(potential.notna(), spanning)
    assert figures.effective_conductivity == pytest.approx(1 / 5, rel=0.05)
    carries = of_contacts["current_share_electron"] > 0
    assert set(of_contacts.loc[carries, "source"]) <= set(nodes.loc[spanning, "node"])
    assert sorted(of_contacts.loc[carries, "current_rank_electron"]) == list(range(1, carries.sum() + 1))


def test_a_network_that_does_not_span_is_said_so_and_not_solved(backend):
    nodes, contacts = chain([5, 5], 4)
    of_nodes, of_contacts, carriers = solved(backend, nodes, contacts[:0], ELECTRON, (10, 4, 4))
    figures = carriers["electron"]
    assert not figures.spans
    assert figures.effective_conductivity == 0
    assert figures.imbalance is None
    assert of_nodes["network_potential_electron"].isna().all()
    assert len(critical_contacts(of_contacts, "electron")) == 0


# ------------------------------------------------------------------------------- shares of a cross-section


def star(directions, areas):
    """Return a region with contacts in these directions, whose other sides are regions of their own."""
    directions = np.asarray(directions, float)
    centres = np.concatenate([[[0.0, 0.0, 0.0]], 2 * directions])
    nodes = pd.DataFrame({"node": np.arange(1, len(centres) + 1, dtype=np.int32)})
    contacts = pd.DataFrame(
        {"source": np.int32(1), "target": nodes["node"].to_numpy()[1:], "area": np.asarray(areas, float)}
    )
    for i, axis in enumerate("zyx"):
        nodes[f"centroid_{axis}"], contacts[f"centroid_{axis}"] = centres[:, i], directions[:, i]
    return nodes, contacts


def shares(backend, directions, areas, beyond=None, inside=None):
    """Return the shares of a region of conductivity 1 and of those beyond its contacts."""
    nodes, contacts = star(directions, areas)
    conductivity = np.concatenate([[1.0], np.ones(len(areas)) if beyond is None else beyond])
    inside = np.ones(len(areas), bool) if inside is None else inside
    found = contact_shares(
        put(backend, nodes), put(backend, contacts), backend.put(conductivity), backend.put(inside)
    )
    return backend.get(found)


def test_contacts_share_a_side_and_not_a_region(backend):
    cube = np.concatenate([np.eye(3), -np.eye(3)])
    np.testing.assert_allclose(shares(backend, cube, [2.0] * 6)[0], 1)
    split, areas = [[1, 0, 0], [1, 0, 0], [1, 0, 0], [-1, 0, 0]], [1.0, 1.0, 2.0, 4.0]
    source, target = shares(backend, split, areas)
    np.testing.assert_allclose(source, [0.25, 0.25, 0.5, 1])
    np.testing.assert_allclose(target, 1)
    some = np.array([True, True, False, True])
    np.testing.assert_allclose(shares(backend, split, areas, inside=some)[0], [0.5, 0.5, 1, 1])


def test_what_hardly_conducts_takes_no_share(backend):
    split = [[1, 0, 0], [1, 0, 0]]
    np.testing.assert_allclose(shares(backend, split, [1.0, 1.0], [1.0, 1e-9])[0], [1, 0.5])
    np.testing.assert_allclose(shares(backend, split, [1.0, 1.0], [5.0, 1e9])[0], [0.5, 0.5])
    np.testing.assert_allclose(shares(backend, split, [1.0, 1.0], [1e-9, 1e-9])[0], 1)


def test_shares_widen_no_path(backend):
    nodes, contacts = chain([5, 7], 4)
    nodes, contacts = put(backend, nodes), put(backend, contacts)
    whole = backend.get(contact_resistances(nodes, contacts, ONE))
    half = backend.put(np.array([0.5]))
    shared = backend.get(contact_resistances(nodes, contacts, ONE, (half, half)))
    assert shared[0] > whole[0]
    assert shared[1] == pytest.approx(2 * whole[1])


# ------------------------------------------------------------------------------------- properties, oracles


@st.composite
def volumes(draw):
    shape = draw(st.tuples(*[st.integers(2, 7)] * 3))
    seed = draw(st.integers(0, 2**16))
    return np.random.default_rng(seed).choice(3, shape, p=[0.3, 0.4, 0.3]).astype(np.uint8)


@given(volumes(), st.sampled_from(["z-", "y+", "x-"]), st.floats(1e-6, 1e6))
@settings(max_examples=25, deadline=None)
def test_against_a_dense_solution(phases, face, contrast):
    materials = Materials(
        (
            Phase(1, "a", ("electron",), conductivity={"electron": 1.0}),
            Phase(2, "b", ("electron",), conductivity={"electron": contrast}),
        ),
        terminals={"electron": face},
    )
    regions = regions_of(phases)
    nodes, contacts = nodes_of(regions, phases, ONE), contacts_of(regions, ONE)
    axis, end = "zyx".index(face[0]), {"-": "min", "+": "max"}[face[1]]
    if not (nodes[f"touches_{face[0]}_{end}"] & (nodes["label"] > 0)).any():
        with pytest.raises(InputError, match="no region conducts"):
            network(nodes, contacts, materials, phases.shape, ONE)
        return
    nodes, contacts = paths(nodes, contacts, materials, phases.shape, ONE)
    found = network(nodes, contacts, materials, phases.shape, ONE)
    figures = found.carriers["electron"]
    made = nx.Graph()
    g = found.contacts["network_conductance_electron"]
    for row in np.flatnonzero(g > 0):
        made.add_edge(contacts["source"][row], contacts["target"][row], g=g[row])
    sigma = np.array([0, 1.0, contrast])[nodes["label"]]
    for side, name in (("min", "low"), ("max", "high")):
        depth = nodes[f"centroid_{face[0]}"]
        depth = depth if side == "min" else phases.shape[axis] - depth
        link = sigma * nodes["volume"] / (2 * np.maximum(depth, 0.5) ** 2)
        for row in np.flatnonzero(nodes[f"touches_{face[0]}_{side}"] & (sigma > 0)):
            if np.isfinite(found.nodes["network_potential_electron"][row]):
                made.add_edge(name, nodes["node"][row], g=link[row])
    if not figures.spans:
        assert "low" not in made
        assert figures.current == 0
        return
    order = list(made)
    laplacian = nx.laplacian_matrix(made, order, weight="g").toarray()
    inverse = np.linalg.pinv(laplacian, rcond=1e-14, hermitian=True)
    ends = np.zeros(len(order))
    ends[order.index("low")], ends[order.index("high")] = 1, -1
    if contrast < 1e3 and contrast > 1e-3:  # what a pseudo-inverse can resolve
        assert figures.current == pytest.approx(1 / (ends @ inverse @ ends), rel=1e-6)
    assert figures.imbalance < 1e-6
    potential = found.nodes["network_potential_electron"].dropna()
    assert potential.between(-1e-9, 1 + 1e-9).all()
    assert found.contacts["current_share_electron"].between(0, 1).all()
    assert found.contacts["dissipation_share_electron"].sum() <= 1 + 1e-9


def test_dissipation_is_what_a_contact_adds_to_the_whole_resistance():
    phases = np.ones((8, 8, 8), np.uint8)
    regions = regions_of(phases, block=2)
    nodes, contacts = nodes_of(regions, phases, ONE), contacts_of(regions, ONE)
    contacts["neck_radius"] = np.random.default_rng(0).uniform(0.5, 0.9, len(contacts))
    before = network(nodes, contacts, ELECTRON, phases.shape, ONE)
    row = int(before.contacts["dissipation_share_electron"].argmax())
    g = before.contacts["network_conductance_electron"][row]
    share = before.contacts["dissipation_share_electron"][row]
    # Sherman–Morrison: by one conductance less, the network's conductance falls by the square of the drop
    drop = abs(before.contacts["current_electron"][row]) / g
    assert share == pytest.approx(g * drop**2 / before.carriers["electron"].current)


def lattice(side, spread, seed=0):
    """Return a cubic lattice of regions, 10 µm apart, with necks of any width."""
    phases = np.ones((side,) * 3, np.uint8)
    regions = np.arange(1, side**3 + 1, dtype=np.int32).reshape(phases.shape)
    random = np.random.default_rng(seed)
    index = regions.astype(np.int64) - 1
    cells = np.argwhere(phases)
    pairs = [
        (index[:-1].ravel(), index[1:].ravel()),
        (index[:, :-1].ravel(), index[:, 1:].ravel()),
        (index[:, :, :-1].ravel(), index[:, :, 1:].ravel()),
    ]
    source, target = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    nodes = pd.DataFrame({"node": regions.ravel(), "volume": 500.0, "inscribed_radius": 5.0})
    nodes["label"] = random.choice(np.array([1, 2], np.uint8), side**3)
    contacts = pd.DataFrame({"source": source + 1, "target": target + 1}).astype(np.int32)
    contacts["neck_radius"] = random.uniform(5 / spread, 5, len(contacts))
    contacts["area"] = np.pi * contacts["neck_radius"] ** 2
    for i, axis in enumerate("zyx"):
        nodes[f"centroid_{axis}"] = 10 * (cells[:, i] + 0.5)
        contacts[f"centroid_{axis}"] = 10 * ((cells[source, i] + cells[target, i]) / 2 + 0.5)
        nodes[f"touches_{axis}_min"] = cells[:, i] == 0
        nodes[f"touches_{axis}_max"] = cells[:, i] == side - 1
    return nodes, contacts, (10 * side,) * 3


@pytest.mark.parametrize("contrast", [1.0, 1e6])
def test_multigrid_gives_what_factors_give(monkeypatch, contrast):
    from tripoint._cpu import transport_network

    nodes, contacts, shape = lattice(12, 5)
    materials = metal(a=1.0, b=contrast)
    direct = network(nodes, contacts, materials, shape, ONE)
    monkeypatch.setattr(transport_network, "DIRECT", 0)
    iterated = [network(nodes, contacts, materials, shape, ONE) for _ in range(2)]
    assert direct.carriers["electron"].iterations == 0 < iterated[0].carriers["electron"].iterations < 60
    assert iterated[0].carriers["electron"].imbalance < 1e-9
    for table in ("nodes", "contacts"):
        one, other = getattr(iterated[0], table), getattr(iterated[1], table)
        pd.testing.assert_frame_equal(one, other, check_exact=True)
        columns = [name for name in one if name.endswith(("share_electron", "potential_electron"))]
        np.testing.assert_allclose(getattr(direct, table)[columns], one[columns], rtol=1e-7, atol=1e-8)


def test_both_sides_agree(backend):
    nodes, contacts, shape = lattice(6, 5)
    materials = metal(a=1.0, b=1e-4)
    here = network(nodes, contacts, materials, shape, ONE)
    of_nodes, of_contacts, carriers = solved(backend, nodes, contacts, materials, shape)
    assert carriers["electron"].effective_conductivity == pytest.approx(
        here.carriers["electron"].effective_conductivity, rel=1e-9
    )
    np.testing.assert_allclose(
        of_nodes["network_potential_electron"], here.nodes["network_potential_electron"], atol=1e-9
    )
    np.testing.assert_allclose(
        of_contacts["current_share_electron"], here.contacts["current_share_electron"], atol=1e-9
    )


def test_not_converged_is_an_error(monkeypatch):
    from tripoint._cpu import transport_network

    nodes, contacts, shape = lattice(12, 5)
    monkeypatch.setattr(transport_network, "DIRECT", 0)
    monkeypatch.setattr(transport_network, "LIMIT", 1)
    with pytest.raises(ConvergenceError, match="did not converge in 1 iterations"):
        network(nodes, contacts, metal(a=1.0, b=1e6), shape, ONE)


# ------------------------------------------------------------------------------------ against voxels


def voxel_conductivity(mask):
    """Effective conductivity of a mask along z in units of the solid's, faces held at 1 and 0."""
    index = np.full(mask.shape, -1)
    index[mask] = np.arange(mask.sum())
    count = int(mask.sum())
    links = [
        (index[:-1], index[1:]),
        (index[:, :-1], index[:, 1:]),
        (index[:, :, :-1], index[:, :, 1:]),
    ]
    links = [(a[(a >= 0) & (b >= 0)], b[(a >= 0) & (b >= 0)]) for a, b in links]
    a, b = (np.concatenate(ends) for ends in zip(*links, strict=True))
    first, last = index[0][index[0] >= 0], index[-1][index[-1] >= 0]
    diagonal = np.bincount(np.concatenate([a, b]), minlength=count).astype(float)
    diagonal += 2 * (np.bincount(first, minlength=count) + np.bincount(last, minlength=count))
    off = sparse.csr_matrix((-np.ones(len(a)), (a, b)), shape=(count, count))
    matrix = off + off.T + sparse.diags(diagonal)
    potential, info = cg(
        matrix, 2.0 * np.bincount(first, minlength=count), rtol=1e-6, M=sparse.diags(1 / diagonal)
    )
    assert info == 0
    return (2 * (1 - potential[first])).sum() * mask.shape[0] / (mask.shape[1] * mask.shape[2])


def network_conductivity(phases, conductors):
    """Effective conductivity of the network of these labels, each with its conductivity."""
    to_wall = distance.transform(phases, ONE)
    regions = particles.separate(phases, ONE, distance=to_wall)
    nodes = particles.describe(regions, phases, ONE, to_wall)
    contacts = boundary.contacts(regions, ONE, distance=to_wall, phases=phases).table
    made_of = tuple(
        Phase(label, f"phase {label}", ("electron",), conductivity={"electron": value})
        for label, value in conductors.items()
    )
    materials = Materials(made_of, terminals={"electron": "z-"})
    return network(nodes, contacts, materials, phases.shape, ONE).carriers["electron"].effective_conductivity


@pytest.mark.parametrize("neck", [0.45, 0.58, 0.85])
def test_chain_of_equal_spheres(neck):
    """Spheres of radius 14, cut open at necks of this share of it; either end is cut through its centre."""
    radius = 14
    half = round(radius * np.sqrt(1 - neck**2))
    length, width = 6 * half, 2 * radius + 2
    z, y, x = np.indices((length, width, width)) + 0.5
    phases = np.zeros((length, width, width), np.uint8)
    for centre in range(0, length + 1, 2 * half):
        phases[(z - centre) ** 2 + (y - width / 2) ** 2 + (x - width / 2) ** 2 <= radius**2] = 1
    assert network_conductivity(phases, {1: 1.0}) == pytest.approx(voxel_conductivity(phases == 1), rel=0.06)


@pytest.fixture(scope="module")
def packing():
    return packings.spheres((64, 64, 64), number=40, overlap=0.3, seed=3).phases


@pytest.mark.parametrize(
    "conductors", [{1: 1.0}, {0: 1.0}, {1: 1.0, 0: 1e-3}, {1: 1.0, 0: 1.0}, {1: 1.0, 0: 1e3}]
)
def test_packing_against_its_voxels(packing, conductors):
    voxels = tortuosity(packing, conductors, "z").effective_conductivity
    assert network_conductivity(packing, conductors) == pytest.approx(voxels, rel=0.25)


# ------------------------------------------------------------------------------------------- critical, units


def test_critical_contacts_are_ranked_and_named(backend):
    nodes, contacts = chain([5, 5, 10, 3], 4)
    contacts["source_phase"] = contacts["target_phase"] = 1.0
    nodes, contacts = paths(put(backend, nodes), put(backend, contacts), ELECTRON, (23, 4, 4), ONE)
    found = network(nodes, contacts, ELECTRON, (23, 4, 4), ONE)
    assert found.carriers["electron"].bridges == 3
    top = critical_contacts(found.contacts, "electron", 2)
    assert list(top["kind"]) == ["bridge", "bridge"]
    assert top["dissipation_share"].is_monotonic_decreasing
    assert top["centroid_z"].tolist() == [10.0, 20.0]
    assert len(critical_contacts(found.contacts, "electron", by="current_share")) == 3
    assert len(critical_contacts(found.contacts, "electron", only_bridges=True)) == 3
    for carrier, by in (("ion", "current_share"), ("electron", "area")):
        with pytest.raises(InputError, match="solve the network of a graph"):
            critical_contacts(found.contacts, carrier, by=by)


def test_columns_have_units():
    nodes, contacts = chain([5, 5], 4)
    found = network(nodes, contacts, ELECTRON, (10, 4, 4), ONE)
    units = {name: tables.unit(name) for name in found.contacts if name.endswith("_electron")}
    assert units == {
        "network_conductance_electron": "µm",
        "current_electron": "µm",
        "current_share_electron": "1",
        "current_rank_electron": "1",
        "dissipation_share_electron": "1",
    }
    assert tables.unit("network_potential_electron") == "1"


# --------------------------------------------------------------------------------------------- bad input


def test_bad_input_is_named():
    nodes, contacts = chain([5, 5], 4)
    shape = (10, 4, 4)
    nodes["touches_y_min"] = False
    with pytest.raises(InputError, match="terminal of electron is y-, where no region conducts it"):
        network(nodes, contacts, ELECTRON.with_terminals(electron="y-"), shape, ONE)
    negative = Materials((Phase(1, "solid", ("ion",), conductivity={"ion": -1.0}),), terminals={"ion": "z-"})
    with pytest.raises(InputError, match="'solid' conducts ion with conductivity -1"):
        network(nodes, contacts, negative, shape, ONE)
    partly = Materials(
        (Phase(1, "a", ("ion",), conductivity={"ion": 1.0}), Phase(2, "b", ("ion",))),
        terminals={"ion": "z-"},
    )
    with pytest.raises(InputError, match="'b' conducts ion but has no conductivity"):
        network(nodes, contacts, partly, shape, ONE)
    with pytest.raises(InputError, match="regions that are not among"):
        network(nodes[:1], contacts, ELECTRON, shape, ONE)
