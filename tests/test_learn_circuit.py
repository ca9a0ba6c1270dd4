"""The circuit of ions and electrons that the tables of a graph make."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tripoint as tp
from learning import graph_of, mirrored, renumbered, turned
from tripoint.errors import ConvergenceError, InputError
from tripoint.learn import circuit as circuits
from tripoint.learn.circuit import KINDS, LINK_FEATURES, REACTION, reaction_circuit
from tripoint.learn.features import log_activity, targets
from tripoint.learn.solution import CircuitSolution, elimination_order
from tripoint.materials import Materials, Phase
from tripoint.sample import Sample


def test_resistors_in_series_and_parallel():
    """1 – 2 Ω – a – (3 Ω ∥ 6 Ω) – 0: half of the potential at a."""
    source, target = np.array([0, 0, 0]), np.array([1, 2, 2])
    conductance = np.array([1 / 2, 1 / 3, 1 / 6])
    free = np.array([True, False, False])
    found = CircuitSolution.of(conductance, source, target, np.array([0.0, 1.0, 0.0]), free)
    np.testing.assert_allclose(found.potential, [0.5, 1, 0])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_solution_is_that_of_the_dense_system(seed):
    random = np.random.default_rng(seed)
    nodes, links = 12, 40
    chain = np.arange(nodes - 1)
    source = np.append(chain, random.integers(0, nodes, links))
    target = np.append(chain + 1, random.integers(0, nodes, links))
    conductance = 10 ** random.uniform(-3, 3, len(source)) * (source != target)
    conductance[: nodes - 1] += 1e-3
    fixed = random.random(nodes)
    free = np.arange(nodes) < 9
    found = CircuitSolution.of(conductance, source, target, fixed, free)
    laplacian = np.zeros((nodes, nodes))
    for i, j, g in zip(source, target, conductance, strict=True):
        laplacian[[i, j], [i, j]] += g
        laplacian[[i, j], [j, i]] -= g
    inner, held = laplacian[:9, :9], laplacian[:9, 9:] @ fixed[9:]
    np.testing.assert_allclose(found.potential[:9], np.linalg.solve(inner, -held), atol=1e-8)
    np.testing.assert_array_equal(found.potential[9:], fixed[9:])
    wanted = random.normal(size=nodes)
    solved = np.linalg.solve(inner, wanted[:9])
    np.testing.assert_allclose(found.adjoint(wanted)[:9], solved, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(found.adjoint(wanted)[9:], 0)


def test_large_circuits_are_solved_by_conjugate_gradients():
    graph = graph_of()
    circuit = reaction_circuit(graph)
    given = circuit.known, circuit.source, circuit.target, circuit.fixed_potential, circuit.free
    factorised, iterated = (CircuitSolution.of(*given, work=limit) for limit in (1e9, 0))
    np.testing.assert_allclose(iterated.potential, factorised.potential, atol=1e-9)
    wanted = np.random.default_rng(0).normal(size=circuit.count)
    expected = factorised.adjoint(wanted)
    np.testing.assert_allclose(iterated.adjoint(wanted), expected, atol=1e-8 * np.abs(expected).max())


def test_any_order_of_elimination_gives_the_same_potentials():
    circuit = reaction_circuit(graph_of())
    given = circuit.known, circuit.source, circuit.target, circuit.fixed_potential, circuit.free
    order = elimination_order(circuit.source, circuit.target, circuit.free)
    np.testing.assert_array_equal(np.sort(order), np.flatnonzero(circuit.free))
    expected = CircuitSolution.of(*given).potential
    random = np.random.default_rng(0)
    for other in (order, order[::-1], random.permutation(order), order[:-1], np.zeros_like(order)):
        found = CircuitSolution.of(*given, order=other)  # what is no order is replaced
        np.testing.assert_allclose(found.potential, expected, atol=1e-10)
    np.testing.assert_array_equal(CircuitSolution.of(*given, order=order).potential, expected)


def test_a_circuit_that_cannot_be_solved_is_said_so(monkeypatch):
    ends = np.array([0, 1]), np.array([1, 2])
    fixed, free = np.array([0.0, 0, 1]), np.array([True, True, False])
    with pytest.raises(ConvergenceError, match="not finite; where they are learned, train again"):
        CircuitSolution.of(np.array([1.0, np.nan]), *ends, fixed, free)
    monkeypatch.setattr("tripoint.learn.solution.RESIDUAL", -1)
    with pytest.raises(ConvergenceError, match="did not converge in 0 iterations"):
        CircuitSolution.of(np.ones(2), *ends, fixed, free)


def test_nothing_free_is_nothing_to_solve():
    found = CircuitSolution.of(
        np.ones(1), np.array([0]), np.array([1]), np.array([1.0, 0.0]), np.zeros(2, bool)
    )
    np.testing.assert_array_equal(found.potential, [1, 0])
    np.testing.assert_array_equal(found.adjoint(np.ones(2)), 0)


def test_slabs_of_electrolyte_and_active_material_are_in_series():
    """Both ducts and the interface between them, whose area is known."""
    phases = np.ones((24, 12, 12), np.uint8)
    phases[:10] = 2
    sample = Sample(phases, (0.5,) * 3, Materials.load("solid_state_cathode"), name="slabs")
    graph = tp.analyze(sample, activity="simulate", kinetics="mixed", subvolumes=0, device="cpu").graph
    circuit = reaction_circuit(graph)
    ends = circuit.source, circuit.target
    found = CircuitSolution.of(circuit.known, *ends, circuit.fixed_potential, circuit.free)
    leaving = circuit.target == circuit.count - 1
    current = (circuit.known * found.potential[circuit.source])[leaving].sum()
    contact = graph.contacts["area"].iloc[0]
    resistance = 5 / (0.1 * 36) + 1 / (250e-6 * contact) + 7 / (0.01 * 36)
    # less by the constriction that a duct so wide is taken to have
    assert current == pytest.approx(1 / resistance, rel=0.03)
    assert graph.nodes["reaction_current"].sum() == pytest.approx(1 / resistance, rel=1e-3)
    np.testing.assert_allclose(circuit.known_activity(), 1)


def test_links_are_the_contacts_between_conductors():
    graph = graph_of()
    circuit = reaction_circuit(graph)
    nodes, contacts = graph.nodes.set_index("node"), graph.contacts
    connected = (nodes["phase"] == "electrolyte") & nodes["reaches_ion"]
    connected |= nodes["phase"].isin(["active", "carbon"]) & nodes["reaches_electron"]
    np.testing.assert_array_equal(circuit.free, np.append(connected, [False, False]))
    kept = contacts[contacts[["source", "target"]].isin(nodes.index[connected]).all(axis=1)]
    pairs = kept.apply(lambda row: tuple(sorted((row["source_phase"], row["target_phase"]))), axis=1)
    expected = {
        "ion": ("electrolyte", "electrolyte"),
        "active": ("active", "active"),
        "mixed": ("active", "carbon"),
        "additive": ("carbon", "carbon"),
        "reaction": ("active", "electrolyte"),
    }
    for kind, pair in expected.items():
        assert (circuit.kind == KINDS.index(kind)).sum() == (pairs == pair).sum()
    number = graph.nodes["phase"].to_numpy()
    for kind in ("mixed", "reaction"):
        assert set(number[circuit.source[circuit.kind == KINDS.index(kind)]]) == {"active"}
    ion_links = circuit.kind == KINDS.index("ion_terminal")
    assert ion_links.sum() == (connected & (nodes["phase"] == "electrolyte") & nodes["touches_z_min"]).sum()
    assert (circuit.target[ion_links] == circuit.count - 2).all()
    assert np.isfinite(circuit.features).all()
    assert circuit.features.shape == (len(circuit.kind), len(LINK_FEATURES))
    assert (circuit.known > 0).all()
    assert (circuit.geometric > 0).all()


def test_junctions_of_a_contact_are_added_up():
    graph = graph_of()
    circuit = reaction_circuit(graph)
    reaction = np.flatnonzero(circuit.kind == REACTION)
    per_area = circuit.features[:, LINK_FEATURES.index("junction_per_area")]
    area = 10 ** circuit.features[:, LINK_FEATURES.index("log_area")]
    additive = circuit.features[:, LINK_FEATURES.index("additive_junction_per_area")]
    ids = graph.nodes["node"].to_numpy()
    phase = graph.nodes.set_index("node")["phase"]
    junctions = graph.junctions
    for row in reaction[::25]:
        one, two = ids[circuit.source[row]], ids[circuit.target[row]]
        here = junctions[(junctions["a"] == one) & (junctions["b"] == two)]
        assert per_area[row] * area[row] == pytest.approx(here["active_length"].sum())
        near = here[here["c"].map(phase) == "carbon"]
        connected = near["c"].map(graph.nodes.set_index("node")["reaches_electron"])
        assert additive[row] * area[row] == pytest.approx(near["active_length"][connected].sum())
    assert per_area[reaction].max() > 0


@pytest.mark.parametrize("kinetics", ["mixed", "tpb_enhanced", "ion_limited", "electron_limited"])
def test_known_circuit_is_close_to_the_simulation_on_voxels(kinetics):
    graph = graph_of(1, kinetics)
    circuit = reaction_circuit(graph)
    found = circuit.known_activity()
    assert (found * circuit.volume).sum() / circuit.volume.sum() == pytest.approx(1)
    whole = np.full(len(graph.nodes), np.nan)
    whole[circuit.particles] = found
    truth = targets(graph)
    np.testing.assert_array_equal(whole[truth.rows[truth.inactive]], 0)
    error = np.abs(log_activity(whole[truth.rows]) - truth.log_activity)
    nothing = np.abs(truth.log_activity - np.median(truth.log_activity))
    assert error.mean() < 0.6 * nothing.mean()


def test_reaction_along_junctions_goes_by_their_length():
    graph = graph_of(0, "fuel_electrode")
    circuit = reaction_circuit(graph)
    reaction = circuit.kind == REACTION
    per_area = circuit.features[reaction, LINK_FEATURES.index("junction_per_area")]
    np.testing.assert_array_equal(circuit.known[reaction] > 0, per_area > 0)
    assert np.isfinite(circuit.known_activity()).all()


@pytest.mark.parametrize("change", [lambda g: mirrored(g, "x"), turned])
def test_circuit_does_not_change_when_the_volume_is_mirrored_or_turned(change):
    graph = graph_of()
    before, after = reaction_circuit(graph), reaction_circuit(change(graph))
    np.testing.assert_allclose(after.features, before.features, atol=1e-9)
    np.testing.assert_allclose(after.known, before.known, rtol=1e-9)
    np.testing.assert_allclose(after.known_activity(), before.known_activity(), rtol=1e-6, atol=1e-9)


def test_circuit_does_not_change_with_the_numbers_of_regions():
    graph = graph_of()
    other, numbers = renumbered(graph)
    before, after = reaction_circuit(graph), reaction_circuit(other)
    ids = graph.nodes["node"].to_numpy()[before.particles]
    index = pd.Index(other.nodes["node"].to_numpy()[after.particles])
    rows = index.get_indexer([numbers[one] for one in ids])
    np.testing.assert_allclose(after.known_activity()[rows], before.known_activity(), rtol=1e-6, atol=1e-9)


def test_cutting_a_particles_electron_paths_takes_its_current():
    graph = graph_of()
    circuit = reaction_circuit(graph)
    before = circuit.known_activity()
    strong = int(np.argmax(before))
    node = circuit.particles[strong]
    electrons = (circuit.kind != REACTION) & ((circuit.source == node) | (circuit.target == node))
    known = np.where(electrons, circuit.known * 1e-9, circuit.known)
    after = replace(circuit, known=known).known_activity()
    assert abs(after[strong]) < 1e-3 * before[strong]


def test_what_the_circuit_does_not_hold_is_said():
    graph = graph_of()

    def with_materials(**changes):
        materials = {**graph.metadata["materials"], **changes}
        return replace(graph, metadata={**graph.metadata, "materials": materials})

    unknown = reaction_circuit(with_materials(kinetics=None))
    assert np.isnan(unknown.known).all()
    assert np.isfinite(unknown.geometric).all()
    with pytest.raises(InputError, match="circuit is not known; analyse it with a regime"):
        unknown.known_activity()
    with pytest.raises(InputError, match="ion has no terminal"):
        reaction_circuit(with_materials(terminals={"electron": "z+"}))
    phases = (Phase(1, "active", ("electron",), active=True), Phase(2, "electrolyte", ("ion", "electron")))
    mixed = Materials(phases, terminals={"ion": "z-", "electron": "z+"})
    with pytest.raises(InputError, match="phase 'electrolyte' conducts ions and electrons at once"):
        circuits._check(mixed)
    passive = Materials(
        (Phase(2, "electrolyte", ("ion",)), Phase(3, "carbon", ("electron",))), (), mixed.terminals
    )
    with pytest.raises(InputError, match="no phase is active"):
        circuits._check(passive)
