"""The benchmark in little, from nothing to its table."""

import json

import pytest

from tripoint.cli import main
from tripoint.database import GraphDatabase
from tripoint.database.content import hash_voxels
from tripoint.errors import InputError
from tripoint.learn.benchmark.plan import conditions_of
from tripoint.learn.benchmark.samples import SampleSet, Sets, made_again, make_sample

VARY = {"particles": {"active": {"fraction": [0.45, 0.5], "diameter": [2.4, 3.0]}}}


def small(name="made", **changes):
    return SampleSet(name, first=0, count=2, vary=VARY, shape=(28, 28, 28), **changes)


def test_samples_are_made_once(tmp_path):
    assert make_sample(small(), 1, str(tmp_path)) > 0
    assert make_sample(small(), 1, str(tmp_path)) == 0
    graph = GraphDatabase(tmp_path / "graphs_made")["made_0001"]
    assert graph.nodes["activity"].notna().any()


def test_measured_samples_have_the_activity_of_true_particles(tmp_path):
    make_sample(small(), 0, str(tmp_path))
    make_sample(small("measured", measured=True), 0, str(tmp_path))
    simulated = GraphDatabase(tmp_path / "graphs_made")["made_0000"].nodes
    measured = GraphDatabase(tmp_path / "graphs_measured")["measured_0000"].nodes
    # The same separation of the same volume; what was simulated differs by where particles were really cut.
    assert simulated["volume"].tolist() == measured["volume"].tolist()
    both = simulated["activity"].notna()
    assert simulated["activity"][both].corr(measured["activity"][both]) > 0.9
    assert not simulated["activity"][both].equals(measured["activity"][both])


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match="'odd' does not fit"):
        Sets.of({"vary": {}}, {"odd": {"first": 0, "count": 1, "colour": "red"}})
    sets = Sets({"made": small()})
    with pytest.raises(InputError, match="no set of samples 'lost'"):
        conditions_of({"c": {"learn": "lost"}}, sets, [], [0])
    few = conditions_of({"c": {"learn": "made", "train": 2, "validation": 1, "test": 1}}, sets, [], [0])
    with pytest.raises(InputError, match="splits 4 samples"):
        _ = few[0].split


@pytest.mark.slow
def test_from_nothing_to_the_table(tmp_path, capsys):
    words = ["train", "experiment=activity_benchmark_tiny", f"output={tmp_path / 'out'}"]
    assert main(words) == 0
    record = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    models = {row["model"] for row in record["outcomes"]}
    assert {
        "median",
        "gradient_boosting own",
        "gine",
        "gatv2",
        "hetero",
        "kirchhoff",
        "corrected",
        "known",
    } <= models
    assert {row["tested_on"] for row in record["outcomes"]} >= {
        "test",
        "shifted",
        "nonlinear",
        "tpb_enhanced",
    }
    assert {row["condition"] for row in record["gains"]} == {"simulated", "measured"}
    assert "below" in (tmp_path / "out" / "benchmark.html").read_text()
    spent = record["seconds"]["training"]
    assert main(words) == 0  # everything is there already
    again = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert again["seconds"]["training"] == spent
    assert again["outcomes"] == record["outcomes"]
    capsys.readouterr()
    graphs = GraphDatabase(tmp_path / "out" / "graphs_simulated")
    row = graphs.row(next(iter(graphs)))
    sample, analysis = made_again(json.loads(row["configuration"]))
    assert hash_voxels(sample.phases) == row["input_hash"]
    assert analysis["kinetics"] == "mixed"
    measured = GraphDatabase(tmp_path / "out" / "graphs_measured")
    assert made_again(json.loads(measured.row(next(iter(measured)))["configuration"])) is None
