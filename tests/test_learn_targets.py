"""What models are asked for: names, labels, scores, readouts, and what is said where it is not there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from sklearn import metrics

from learning import graph_of, graphs
from tripoint.errors import InputError
from tripoint.learn import features, targets
from tripoint.learn.fitting import fit
from tripoint.learn.readout import (
    ActivityReadout,
    Evidence,
    InactiveReadout,
    PooledReadout,
    TotalCurrentReadout,
    readout_of,
)
from tripoint.learn.scores import classification_scores, logarithmic_scores
from tripoint.learn.splitting import Split
from tripoint.learn.targets import (
    Activity,
    EffectiveConductivity,
    FiguredGraphs,
    Inactive,
    MeanActivity,
    target_of,
)

FOLDER = Path(__file__).parents[1] / "conf" / "model"
SPLIT = Split(("made_0", "made_1"), ("made_2",), ("made_3",))
ION = "effective_conductivity_ion_z"


def model(name):
    return OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))


@pytest.mark.parametrize(
    "target",
    [Activity(), Activity("activity_q50"), Inactive(0.05), MeanActivity(), EffectiveConductivity("ion", "z")],
)
def test_targets_are_made_again_from_plain_values(target):
    assert target_of(targets.to_mapping(target)) == target
    assert target_of(target) is target


def test_targets_have_names():
    assert target_of("inactive") == Inactive(0.1)
    assert target_of({"name": "activity", "column": "activity_mean"}) == Activity("activity_mean")
    assert target_of(ION).name == ION
    for name, message in (
        ("capacity", "no target 'capacity'; the targets are activity, inactive, mean_activity"),
        ("effective_conductivity_ion_w", "no target"),
        ({"name": "activity", "threshold": 1}, "target activity has no setting threshold"),
        ({"name": "inactive", "threshold": -1}, "threshold of inactivity is -1; expected 0 or more"),
    ):
        with pytest.raises(InputError, match=message):
            target_of(name)


def test_inactive_particles_are_those_below_the_threshold():
    graph = graph_of()
    found = Inactive(0.3).of(graph)
    np.testing.assert_array_equal(found.inactive, found.activity < 0.3)
    assert 0 < found.inactive.sum() < len(found.inactive)
    np.testing.assert_array_equal(Inactive(0).of(graph).inactive, features.targets(graph).inactive)


def test_a_measured_column_is_relative_to_its_mean():
    graph = graph_of()
    known = features.targets(graph)
    nodes = graph.nodes.assign(measured=graph.nodes["activity"] * 250)
    found = Activity("measured").of(replace(graph, nodes=nodes))
    volume = nodes["volume"].to_numpy()[found.rows]
    assert (found.activity * volume).sum() / volume.sum() == pytest.approx(1)
    ratio = found.activity.sum() / known.activity.sum()
    np.testing.assert_allclose(found.activity, ratio * known.activity)
    none = replace(graph, nodes=nodes.assign(measured=-nodes["activity"]))
    with pytest.raises(InputError, match=r"the mean of measured over the particles of .* is -"):
        Activity("measured").of(none)


def test_mean_activity_is_the_current_per_volume():
    graph = graph_of()
    active = graph.nodes[graph.nodes["phase"] == "active"]
    expected = active["reaction_current"].sum() / active["volume"].sum()
    assert 10 ** MeanActivity().of(graph) == pytest.approx(expected)
    given = FiguredGraphs({"a": graph}, {"a": {"activity_current": 3.0}})["a"]
    assert 10 ** MeanActivity().of(given) == pytest.approx(3 / active["volume"].sum())


class Database(dict):
    """What knows rows, as a database does."""

    def row(self, sample):
        return {ION: 0.02}


def test_figures_come_from_the_rows_of_a_database_or_from_a_mapping():
    graph, target = graph_of(), target_of(ION)
    assert target.of(FiguredGraphs(Database(a=graph))["a"]) == pytest.approx(np.log10(0.02))
    assert target.of(FiguredGraphs({"a": graph}, {"a": {ION: 0.1}})["a"]) == pytest.approx(-1)
    for figures, message in (
        ({}, f"has no {ION}; analyse it with transport=on"),
        ({ION: 0.0}, f"{ION} of sample .* is 0, which has no logarithm"),
    ):
        with pytest.raises(InputError, match=message):
            target.of(FiguredGraphs({"a": graph}, {"a": figures})["a"])


def test_scores_of_a_classification_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    truth, probability = random.random(80) < 0.3, random.random(80)
    found = classification_scores(truth, probability)
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(truth, probability))
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, probability))
    assert found["average_precision"] == pytest.approx(metrics.average_precision_score(truth, probability))
    assert found["f1"] == pytest.approx(metrics.f1_score(truth, probability > 0.5))
    one = classification_scores(np.zeros(3, bool), np.full(3, 0.2))
    assert np.isnan([one["roc_auc"], one["average_precision"], one["f1"]]).all()
    assert one["brier"] == pytest.approx(0.04)
    for score in (classification_scores, logarithmic_scores):
        with pytest.raises(InputError, match="2 predictions for 3"):
            score(np.ones(3), np.ones(2))
    assert logarithmic_scores(np.zeros(2), np.log10([2, 1]))["relative_mae"] == pytest.approx(0.5)


def evidence(hidden=None):
    """Return two samples of two particles, of volume 1; one of them has no current."""
    sample = torch.tensor([0, 0, 1, 1])
    current = torch.tensor([0.0, 2.0, 3.0, 5.0])
    return Evidence(current, torch.ones(4), sample, hidden, None if hidden is None else sample)


def test_readouts_make_of_currents_what_is_asked_for():
    activity = torch.tensor([0, 2, 0.75, 1.25])
    torch.testing.assert_close(ActivityReadout()(evidence()), torch.log10(activity + 0.03))
    assert not list(ActivityReadout().parameters())
    readout = InactiveReadout(Inactive(0.75))
    probability = readout.answer(readout(evidence()))
    assert probability[0] > 0.9 > 0.5 > probability[3] > probability[1]
    assert probability[2].item() == pytest.approx(0.5)
    total = TotalCurrentReadout(MeanActivity())(evidence())
    np.testing.assert_allclose(total.detach(), np.log10([1, 4]), atol=1e-6)
    assert PooledReadout(MeanActivity(), 3)(evidence(torch.randn(4, 3))).shape == (2,)
    with pytest.raises(InputError, match=f"does not tell {ION}; predict it with a network that passes"):
        readout_of(target_of(ION))


@pytest.mark.parametrize("name", ["gine", "kirchhoff", "gradient_boosting", "ridge"])
def test_models_learn_which_particles_are_inactive(name):
    known = graphs(4)
    training = {"epochs": 6, "batch_size": 1} if "network" in model(name) else {}
    fitted = fit(known, model(name), SPLIT, target={"name": "inactive", "threshold": 0.5}, **training)
    found = fitted.target.of(known["made_0"])
    predicted = fitted.predict(known["made_0"])
    assert list(predicted) == ["node", "predicted_inactive"]
    assert predicted["predicted_inactive"].between(0, 1).all()
    nodes = known["made_0"].nodes["node"].to_numpy()[found.rows]
    probability = predicted.set_index("node")["predicted_inactive"].loc[nodes].to_numpy()
    assert fitted.target.scores(found.inactive, probability)["roc_auc"] > 0.65


@pytest.mark.parametrize("name", ["hetero", "kirchhoff", "ridge"])
def test_models_tell_a_figure_of_the_sample(name):
    known = graphs(4)
    training = {"epochs": 4, "batch_size": 1} if "network" in model(name) else {}
    fitted = fit(known, model(name), SPLIT, target="mean_activity", **training)
    predicted = fitted.predict(known["made_0"])
    assert list(predicted) == ["predicted_log_mean_activity", "predicted_mean_activity"]
    # four samples that are alike: it begins at their mean, and does not leave it far
    assert predicted["predicted_log_mean_activity"][0] == pytest.approx(
        MeanActivity().of(known["made_0"]), abs=0.2
    )


@pytest.mark.parametrize("name", ["gine", "gradient_boosting"])
def test_a_target_that_is_not_there_is_said(name):
    known = graphs(4)
    for target, message in (
        ({"name": "activity", "column": "measured"}, "'solid_state_cathode_0' has no column measured"),
        (ION, f"has no {ION}"),
    ):
        with pytest.raises(InputError, match=message):
            fit(known, model(name), SPLIT, target=target)
    bare = {name: replace(graph, nodes=graph.nodes.assign(activity=np.nan)) for name, graph in known.items()}
    with pytest.raises(InputError, match=r"no particle of sample .* has a value of activity"):
        fit(bare, model(name), SPLIT)


def test_one_class_alone_cannot_be_learnt_by_classifiers():
    with pytest.raises(InputError, match=r"all of the .* training particles are inactive, below 1e"):
        fit(graphs(3), model("ridge"), SPLIT, target={"name": "inactive", "threshold": 1e9})
