"""What governs predictions: groups, shares of explained variance, attributions, edits of graph and volume."""
# what is skipped without torch is imported after asking for it

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

import tripoint as tp
from learning import CHANGES, EDGE, graph_of, graphs
from tripoint import synth
from tripoint.errors import InputError
from tripoint.learn.circuit import KINDS, reaction_circuit
from tripoint.learn.ensemble import Ensemble
from tripoint.learn.explanation import counterfactuals, groups
from tripoint.learn.explanation.attribution import contact_masks, feature_attributions
from tripoint.learn.explanation.cutting import cut
from tripoint.learn.explanation.editing import EDITS, edited
from tripoint.learn.explanation.explaining import Asked, explain
from tripoint.learn.explanation.importance import permutation_importance
from tripoint.learn.explanation.sensitivity import learned_conductivities, link_sensitivities
from tripoint.learn.explanation.shares import REMAINDER, explained_shares
from tripoint.learn.explanation.subject import subject_of
from tripoint.learn.features import materials_of, region_features, targets
from tripoint.learn.fitting import fit
from tripoint.learn.splitting import Split
from tripoint.learn.views import JUNCTION_FEATURES
from tripoint.physics import Simulation
from tripoint.synth import Composite

CONF = Path(__file__).parent.parent / "conf" / "model"
HELD = ("made_3", "made_4")
MODELS = ("kirchhoff", "corrected", "known", "gine", "hetero", "ridge")


@pytest.fixture(autouse=True, scope="module")
def threads():
    """Put back the number of threads that `fitted` changes."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@cache
def fitted(name):
    """Return a model that has seen a little; what is tested holds whatever it learned."""
    model = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    training, known = {} if "fit" in model else {"epochs": 2}, graphs(5)
    # An analysis gives torch several threads, which only wait for one another on graphs as small as these.
    torch.set_num_threads(1)
    return fit(known, model, Split(("made_0", "made_1"), ("made_2",), HELD), **training)


@cache
def particle(rank=0.5):
    """Return a particle that reacts, away from the terminals, and touches carbon and electrolyte."""
    nodes = graph_of(3).nodes
    good = nodes[
        (nodes["activity"] > 0.05)
        & ~nodes["touches_z_max"]
        & (nodes["area_carbon"] > 0)
        & (nodes["area_electrolyte"] > 0)
        & (nodes["active_junction_length"] > 0)
    ].sort_values("activity")
    return int(good["node"].iloc[int(rank * (len(good) - 1))])


class Known:
    """A model whose prediction is a sum of independent groups, one of which it does not use."""

    groups = ("size and shape", "TPB", "depth")

    def __init__(self, count=3000, samples=6):
        random = np.random.default_rng(0)
        self.parts = random.normal(size=(3, count)) * [[1.0], [0.0], [2.0]]
        self.truth = self.parts.sum(axis=0) + 0.5 * random.normal(size=count)
        self.sample = np.repeat([f"s{n}" for n in range(samples)], count // samples)

    def predict(self, absent=(), seed=0):
        parts = self.parts.copy()
        other = np.random.default_rng(seed).permutation(parts.shape[1])
        for row, group in enumerate(self.groups):
            if group in absent:
                parts[row] = parts[row][other]
        return parts.sum(axis=0)


def test_every_feature_is_in_a_group():
    for name in (*region_features(graph_of()).names, *JUNCTION_FEATURES, "depth_gas", "path_length_gas"):
        assert groups.group_of(name) in groups.GROUPS
    assert groups.group_of("column_fraction_ion_void") == "ion path"
    assert groups.group_of("window_fraction_void") == "surroundings"
    assert groups.group_of("specific_active_junction_length") == "TPB"
    with pytest.raises(LookupError, match="colour"):
        groups.group_of("colour")


def test_contacts_and_links_are_in_the_path_of_the_carrier_that_both_conduct():
    phases = materials_of(graph_of())
    assert groups.contact_group(phases["active"], phases["carbon"]) == "electron path"
    assert groups.contact_group(phases["electrolyte"], phases["electrolyte"]) == "ion path"
    assert groups.contact_group(phases["active"], phases["electrolyte"]) == "contacts"
    found = dict(zip(KINDS, groups.KIND_GROUPS, strict=True))
    assert found["ion_terminal"] == "ion path"
    assert found["mixed"] == found["active_terminal"] == "electron path"


@pytest.mark.parametrize("name", MODELS)
def test_with_all_groups_the_prediction_is_the_models_own(name):
    model = fitted(name)
    subject = subject_of(model, graphs(5), HELD)
    expected = []
    for sample in HELD:
        graph = graph_of(int(sample[-1]))
        rows = targets(graph).rows
        by_node = model.predict(graph).set_index("node")["predicted_log_activity"]
        expected.append(by_node.loc[graph.nodes["node"].to_numpy()[rows]].to_numpy())
    np.testing.assert_allclose(subject.predict(), np.concatenate(expected), atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_taking_a_group_away_changes_predictions_and_is_the_same_each_time(name):
    subject = subject_of(fitted(name), graphs(5), HELD)
    for group in subject.groups:
        without = subject.predict([group], 1)
        assert np.isfinite(without).all()
        np.testing.assert_array_equal(without, subject.predict([group], 1))
        # Circuits carry how deep a particle lies in their links; a head of two epochs adds little to it.
        if group not in ("depth", "TPB"):
            assert np.abs(without - subject.predict()).max() > 1e-6, group
    everything = subject.predict(subject.groups)
    assert np.isfinite(everything).all()


def test_a_circuit_without_electron_paths_knows_nothing_of_who_has_one():
    subject = subject_of(fitted("known"), graphs(5), HELD)
    before, after = subject.predict(), subject.predict(["electron path"])
    dead = before < -1.5
    assert (after < -1.5)[~dead].any()  # some lost theirs, and
    assert (after > -1.5)[dead].any()  # some were given one


def test_shares_of_independent_groups_are_their_parts_of_the_variance():
    subject = Known()
    found = explained_shares(subject, draws=2)
    table = found.table.set_index("group")
    total = subject.truth.var()
    # Of an additive model the Shapley value of a group is its own variance; 0.1: of 3000 particles.
    assert table.loc["size and shape", "value"] == pytest.approx(1 / total, abs=0.05)
    assert table.loc["depth", "value"] == pytest.approx(4 / total, abs=0.05)
    assert table.loc["TPB", "value"] == pytest.approx(0, abs=1e-12)
    assert table.loc[REMAINDER, "value"] == pytest.approx(0, abs=0.05)
    assert table["value"].sum() == pytest.approx(found.r2, abs=1e-12)
    assert found.r2 == pytest.approx(1 - 0.25 / total, abs=0.02)
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()
    assert len(found.coalitions) == 8


def test_importance_of_a_group_that_is_not_used_is_nothing():
    table = permutation_importance(Known(), repeats=3).set_index("group")
    assert table.loc["TPB", "increase"] == 0
    assert table.loc["depth", "increase"] > table.loc["size and shape", "increase"] > 0.3
    assert (table["low"] <= table["increase"]).all()


def test_shares_add_up_to_r2_for_a_network():
    found = explained_shares(subject_of(fitted("gine"), graphs(5), HELD), resamples=20)
    assert found.table["value"].sum() == pytest.approx(found.r2, abs=1e-9)
    assert found.table["share"].sum() == (pytest.approx(1, abs=1e-9) if found.r2 > 0 else 0)


def test_an_edit_that_takes_nothing_gives_the_graph_as_it_was():
    graph = graph_of(3)
    same = edited(graph, particle(), None)
    for name in ("nodes", "contacts", "junctions"):
        after = getattr(same, name)
        pd.testing.assert_frame_equal(after, getattr(graph, name)[list(after.columns)], check_exact=False)
    assert "activity" not in same.nodes


@pytest.mark.parametrize("edit", EDITS)
def test_what_is_taken_is_gone_and_what_depends_on_it_follows(edit):
    graph, node = graph_of(3), particle()
    other = edited(graph, node, edit)
    before, after = (table.set_index("node").loc[node] for table in (graph.nodes, other.nodes))
    ends = other.contacts[["source", "target"]].to_numpy()
    mine = other.contacts[(ends == node).any(axis=1)]
    beside = set(mine["source_phase"]) | set(mine["target_phase"])
    assert not (other.junctions[["a", "b", "c"]] == node).any(axis=1).all()
    if edit == "junctions":
        assert after["junction_length"] == after["active_junction_length"] == 0
        assert len(mine) == before["degree"]
        assert before["reaches_electron"] == after["reaches_electron"]
    if edit == "electron path":
        assert not after["reaches_electron"]
        assert after["area_carbon"] == after["area_active"] == after["coordination_number"] == 0
    if edit == "ion path":
        assert not after["reaches_ion"]
        assert after["junction_length"] == 0
    if edit == "additive":
        assert "carbon" not in beside
        assert after["coordination_number"] == before["coordination_number"]
    areas = [f"area_{phase}" for phase in ("void", "active", "electrolyte", "carbon")]
    assert after[areas].sum() == pytest.approx(before[areas].sum())
    circuit = reaction_circuit(other)
    known = dict(
        zip(other.nodes["node"].to_numpy()[circuit.particles], circuit.known_activity(), strict=True)
    )
    if edit in ("electron path", "ion path"):
        assert known[node] == 0


def test_edits_that_cannot_be_are_refused():
    graph = graph_of(3)
    with pytest.raises(InputError, match="no region 99999"):
        edited(graph, 99999, "additive")
    with pytest.raises(InputError, match="no edit 'everything'"):
        edited(graph, particle(), "everything")
    at_terminal = graph.nodes[(graph.nodes["phase"] == "active") & graph.nodes["touches_z_max"]]
    with pytest.raises(InputError, match="stands on the terminal"):
        edited(graph, int(at_terminal["node"].iloc[0]), "electron path")


@cache
def volume():
    """Return the volume that `graph_of` 3 was made of, with what analyses it."""
    made = synth.make(Composite.load("solid_state_cathode", CHANGES), (EDGE,) * 3, (0.4,) * 3, seed=3)

    def analyze(sample):
        return tp.analyze(
            sample, activity="simulate", kinetics="mixed", simulation=Simulation(axes=()), subvolumes=0,
            device="cpu",
        )  # fmt: skip

    return counterfactuals.Volume(made, analyze(made).regions, analyze)


@pytest.mark.parametrize("edit", EDITS)
def test_the_volume_loses_the_same_contacts_as_the_graph(edit):
    node = particle()
    changed = cut(volume().sample, volume().regions, node, EDITS[edit])
    body = volume().regions == node
    assert (changed.phases == volume().sample.phases)[body].all()
    result = volume().analyze(changed)
    became = int(np.bincount(result.regions[body]).argmax())
    after = result.graph.nodes.set_index("node").loc[became]
    lost = {
        "junctions": ["junction_length"],
        "electron path": ["area_active", "area_carbon", "activity"],
        "ion path": ["area_electrolyte", "activity"],
        "additive": ["area_carbon"],
    }[edit]
    assert (after[lost] == 0).all()


def test_counterfactuals_hold_predictions_against_the_simulation():
    chosen = pd.DataFrame({"sample": ["made_3"], "node": [particle()]})
    model, known = fitted("known"), graphs(5)
    table = counterfactuals.counterfactuals(model, known, chosen, lambda _: volume()).set_index("edit")
    assert (table["overlap"] > 0.9).all()
    for edit in ("electron path", "ion path"):
        assert table.loc[edit, ["predicted_edited", "predicted_volume", "simulated_edited"]].eq(0).all()
        assert table.loc[edit, "simulated_change"] < 0
    # The model is the circuit itself: what it predicts on the edited graph is what the circuit gives.
    np.testing.assert_allclose(table["predicted_edited"], table["known_edited"], atol=1e-6)
    summary = counterfactuals.summarize(table.reset_index())
    assert [entry["edit"] for entry in summary] == list(EDITS)
    alone = counterfactuals.counterfactuals(model, known, chosen, edits=("additive",))
    assert alone["simulated_edited"].isna().all()
    assert counterfactuals.summarize(alone)[0]["mae"] is None


def test_particles_are_chosen_over_the_range_of_activity():
    chosen = counterfactuals.choose_particles(graphs(5), list(HELD), 8)
    assert len(chosen) == 8
    activity = [
        graph_of(int(sample[-1])).nodes.set_index("node")["activity"][node]
        for sample, node in chosen.itertuples(index=False)
    ]
    assert min(activity) < 0.5 < 1.2 < max(activity)


def test_sensitivities_are_those_of_finite_differences_and_cancel():
    model, known = fitted("known"), graphs(5)
    chosen = pd.DataFrame({"sample": ["made_3"], "node": [particle()]})
    kinds, links = link_sensitivities(model, known, ["made_3"], chosen)
    assert kinds["elasticity"].sum() == pytest.approx(0, abs=1e-6)
    graph, row = graph_of(3), links[links["node"] == particle()].iloc[0]
    circuit = reaction_circuit(graph)
    ids = np.append(graph.nodes["node"].to_numpy(), [-1, -1])
    at = np.flatnonzero((ids[circuit.source] == row["source"]) & (ids[circuit.target] == row["target"]))[0]
    moved = []
    for sign in (1, -1):
        changed = circuit.known.copy()
        changed[at] *= np.exp(sign * 1e-3)
        activity = type(circuit)(**vars(circuit) | {"known": changed}).known_activity()
        mine = ids[circuit.particles] == particle()
        moved.append(np.log10(activity[mine][0] + 0.03))
    assert row["sensitivity"] == pytest.approx((moved[0] - moved[1]) / 2e-3, rel=1e-3)


def test_learned_conductivities_stand_beside_those_of_the_simulation():
    table = learned_conductivities(fitted("kirchhoff"), graphs(5), list(HELD)).set_index("kind")
    assert table.loc["ion", "ratio"] == pytest.approx(1)
    assert table.loc["reaction", "unit"] == "S/m²"
    assert table.loc["reaction", "known"] == pytest.approx(250, rel=0.2)  # in series with half a voxel
    assert (table["learned"] > 0).all()


def test_integrated_gradients_add_up_and_masks_are_of_near_contacts():
    model, known = fitted("gine"), graphs(5)
    chosen = pd.DataFrame({"sample": ["made_3"], "node": [particle()]})
    table = feature_attributions(model, known, chosen, steps=200)
    data_mean = _mean_features(model, graph_of(3))
    predicted = model.predict(graph_of(3)).set_index("node")["predicted_log_activity"]
    total = table[["own", "others"]].to_numpy().sum()
    assert total == pytest.approx(predicted[particle()] - data_mean[particle()], abs=0.02)
    masks = contact_masks(model, known, chosen, epochs=5)
    assert len(masks)
    assert masks["weight"].between(0, 1).all()
    assert not len(contact_masks(fitted("hetero"), known, chosen))


def _mean_features(model, graph):
    """Predict a sample whose regions all have the mean of every feature."""
    from tripoint.learn.data import GraphDataset

    data = GraphDataset({"": graph}, ("",), model.view, model.names, model.scalings)[0]
    data.x = torch.zeros_like(data.x)
    with torch.no_grad():
        return dict(zip(data.node.tolist(), model.network(data).tolist(), strict=True))


@pytest.mark.parametrize("name", ["kirchhoff", "corrected", "gine", "ridge", "ensemble"])
def test_an_explanation_is_written_whole(name, tmp_path):
    model = Ensemble((fitted("gine"), fitted("gine"))) if name == "ensemble" else fitted(name)
    asked = Asked(repeats=2, attributions=2, counterfactuals=2, edits=("additive", "junctions"))
    found = explain(model, graphs(5), list(HELD), asked)
    found.save(tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "triple-phase boundary" in page
    assert "only the predictions move" in page
    for table in found.tables:
        assert (tmp_path / "out" / f"{table}.parquet").is_file()
    assert {"importance", "shares", "counterfactuals"} <= set(found.tables)
    assert ("conductivities" in found.tables) == (name in ("kirchhoff", "corrected"))
    assert ("attributions" in found.tables) == (name in ("gine", "ensemble"))


def test_where_nothing_is_explained_nothing_is_shared():
    model = Known()
    model.truth = model.truth[::-1].copy()
    shares = explained_shares(model)
    assert shares.r2 < 0
    assert shares.table["share"].isna().all()
    assert shares.table["value"].sum() == pytest.approx(shares.r2)
    few = explained_shares(Known(samples=3))
    assert few.table[["low", "high", "share_low", "share_high"]].isna().all(axis=None)
    assert few.table["share"].sum() == pytest.approx(1)


def test_report_of_a_model_that_explains_nothing(tmp_path):
    found = explain(fitted("ridge"), graphs(5), list(HELD), Asked(repeats=1, counterfactuals=0))
    shares = found.summary["shares"]
    shares["r2"] = -0.2
    shares["groups"] = [
        {**row, "share": None, "share_low": None, "share_high": None} for row in shares["groups"]
    ]
    found.save(tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "explains nothing of 2 held-out samples" in page
    assert "carried by" not in page


def test_a_measured_column_is_explained():
    known = {name: replace(graph, nodes=graph.nodes.assign(measured=3 * graph.nodes["activity"]))
             for name, graph in graphs(5).items()}  # fmt: skip
    without = {
        name: replace(graph, nodes=graph.nodes.drop(columns="activity")) for name, graph in known.items()
    }
    model = OmegaConf.to_container(OmegaConf.load(CONF / "ridge.yaml"))
    learned = fit(
        without,
        model,
        Split(("made_0", "made_1"), (), HELD),
        target={"name": "activity", "column": "measured"},
    )
    found = explain(learned, without, list(HELD), Asked(repeats=1, draws=0, counterfactuals=2))
    expected = explain(fitted("ridge"), graphs(5), list(HELD), Asked(repeats=1, draws=0, counterfactuals=2))
    assert found.summary["scores"]["mae"] == pytest.approx(expected.summary["scores"]["mae"], rel=1e-3)


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(InputError, match="draws is 1"):
        Asked(draws=1)
    with pytest.raises(InputError, match="repeats is -1"):
        Asked(repeats=-1)
    with pytest.raises(InputError, match="no edit 'carbon'"):
        Asked(edits=("carbon",))
    with pytest.raises(InputError, match="no samples"):
        subject_of(fitted("gine"), graphs(5), [])
