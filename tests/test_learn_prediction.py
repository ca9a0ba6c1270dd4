"""Predictions of a database and of a result: what is written, what is refused, and what the report says."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import object_store
import tripoint as tp
from learning import CHANGES, EDGE, graph_of, graphs
from test_report import Page, browse, view_of
from tripoint import cli, synth
from tripoint.errors import InputError
from tripoint.learn import comparison, prediction
from tripoint.learn.ensemble import Ensemble
from tripoint.learn.features import log_activity
from tripoint.learn.foreign import foreign_features
from tripoint.learn.splitting import Split
from tripoint.learn.training import train
from tripoint.physics import Simulation
from tripoint.synth import Composite

MODELS = Path(__file__).parents[1] / "conf" / "model"


@pytest.fixture(scope="session")
def trained():
    known = graphs(3)
    model = yaml.safe_load((MODELS / "gine.yaml").read_text())
    names = tuple(known)
    return train(known, model, Split(names[:2], names[2:], ()), epochs=2, seed=0)


@pytest.fixture(scope="session")
def result():
    sample = synth.make(Composite.load("solid_state_cathode", CHANGES), (EDGE,) * 3, (0.4,) * 3, seed=7)
    sample = replace(sample, name="held <out>")
    asked = {"activity": "simulate", "kinetics": "mixed", "simulation": Simulation(axes=())}
    return tp.analyze(sample, **asked, subvolumes=0, device="cpu")


@pytest.fixture(scope="session")
def unknown(result):
    """The same without a simulation."""
    return tp.analyze(result.sample, subvolumes=0, device="cpu")


@pytest.fixture
def place(tmp_path, monkeypatch, trained):
    """A folder with a checkpoint and a database of three samples."""
    monkeypatch.chdir(tmp_path)
    trained.save(tmp_path / "model.pt")
    database = tp.GraphDatabase("graphs")
    for name, graph in graphs(3).items():
        database.add(graph, name)
    return tmp_path


@pytest.fixture
def run(place, capsys):
    def command(*words):
        code = cli.main(["predict", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def test_database(place, run, trained):
    code, out, err = run("checkpoint=model.pt", "database=graphs", "output=found")
    assert code == 0
    assert out.strip() == str(Path("found") / "report.html")
    assert "Of samples of the training" in err
    table = pd.read_parquet("found/predictions.parquet")
    assert list(table["sample"].unique()) == ["made_0", "made_1", "made_2"]
    one = table[table["sample"] == "made_1"].set_index("node")
    graph = graph_of(1)
    expected = trained.predict(graph).set_index("node").loc[one.index]
    np.testing.assert_allclose(one["predicted_activity"], expected["predicted_activity"], rtol=1e-5)
    nodes = graph.nodes.set_index("node")
    assert set(one.index) == set(nodes.index[(nodes["phase"] == "active") & ~nodes["fragment"]])
    np.testing.assert_allclose(one["activity"], nodes.loc[one.index, "activity"])
    summary = json.loads(Path("found/summary.json").read_text())
    off = np.abs(table["predicted_log_activity"] - log_activity(table["activity"]))
    assert summary["scores"]["mae"] == pytest.approx(off.mean(), rel=1e-5)
    assert summary["scores"]["mae_low"] is None  # of three samples there is no interval
    assert summary["by_split"]["train"]["samples"] == 2
    assert [entry["split"] for entry in summary["by_sample"]] == ["train", "train", "validation"]
    words = Page(Path("found/report.html").read_text()).words
    assert "made_2" in words
    assert f"{summary['scores']['within_factor_2'] * 100:.1f}" in words
    assert "samples it was trained on" in words


def test_processes_beside_each_other_predict_the_same(place, run):
    for jobs in (1, 2):
        code, _, err = run("checkpoint=model.pt", "database=graphs", f"jobs={jobs}", f"output=with_{jobs}")
        assert code == 0, err
    one, two = (pd.read_parquet(f"with_{jobs}/predictions.parquet") for jobs in (1, 2))
    pd.testing.assert_frame_equal(one, two)
    code, _, err = run("checkpoint=model.pt", "database=graphs", "jobs=none", "output=other")
    assert code == 1
    assert "jobs is 'none'; expected auto or a whole number" in err


def test_processes_read_from_an_object_store(place, run):
    """Filesystems of object stores refuse to be used in a fork of the process that made them."""
    address = object_store.address(place / "graphs")
    code, _, err = run("checkpoint=model.pt", f"database={address}", "jobs=2", "output=found")
    assert code == 0, err
    table = pd.read_parquet("found/predictions.parquet")
    assert list(table["sample"].unique()) == ["made_0", "made_1", "made_2"]


def test_scores_are_of_samples_that_training_did_not_see(place, run, trained):
    replace(trained, split=Split(("made_0",), ("made_1",), ())).save("model.pt")
    code, _, err = run("checkpoint=model.pt", "database=graphs", "output=found")
    assert code == 0
    assert "samples that training did not see" in err
    summary = json.loads(Path("found/summary.json").read_text())
    assert summary["scores"]["samples"] == summary["by_split"]["new"]["samples"] == 1
    assert summary["scores"]["mae"] == summary["by_split"]["new"]["mae"]
    assert summary["samples"] == 3


def test_features_unlike_those_of_training_are_told(trained):
    graph = graph_of(5)
    assert {entry["feature"] for entry in foreign_features(trained, graph)} <= {"depth_ion", "depth_electron"}
    nodes = graph.nodes.assign(sphericity=100 * graph.nodes["sphericity"])
    told = foreign_features(trained, replace(graph, nodes=nodes))[0]
    assert told["feature"] == "sphericity"
    assert told["shift"] > 100  # not cut where the network's features are


def test_infinite_contacts_are_refused(trained):
    graph = graph_of(5)
    for wrong in (np.inf, 0.0, -1.0):
        contacts = graph.contacts.copy()
        contacts.loc[3, "area"] = wrong
        with pytest.raises(
            InputError, match=f"area of the contact of regions .* is {wrong:g}; expected a pos"
        ):
            trained.predict(replace(graph, contacts=contacts))


def test_where_chooses(place, run):
    code, *_ = run("checkpoint=model.pt", "database=graphs", "where=sample = 'made_1'", "output=found")
    assert code == 0
    assert set(pd.read_parquet("found/predictions.parquet")["sample"]) == {"made_1"}
    code, _, err = run("checkpoint=model.pt", "database=graphs", "where=nodes < 0", "output=none")
    assert code == 1
    assert "has no sample where nodes < 0" in err
    assert not Path("none").exists()


def test_result_folder(place, run, result):
    result.save("out")
    code, _, err = run("checkpoint=model.pt", "input=out", "output=found")
    assert code == 0
    table = pd.read_parquet("found/predictions.parquet")
    summary = json.loads(Path("found/summary.json").read_text())
    assert summary["sample"] == "held <out>"
    assert len(table) == summary["particles"] == summary["scores"]["particles"]
    weak = summary["weak"]
    assert sum(sum(row.values()) for row in weak.values()) == len(table)
    assert sum(entry["particles"] for entry in summary["by_depth"]) == len(table)
    text = Path("found/report.html").read_text()
    page = Page(text)
    assert "held <out>" in page.words
    assert "constants of the simulation" in page.words
    assert "median of this sample's simulated activity" in page.words
    assert text.count('<image class="layer') == 9
    assert re.search(r"So it tells|So the prediction", err)
    columns = [entry["column"] for entry in view_of(text)["properties"]]
    assert columns[:3] == ["predicted_activity", "activity", "predicted_ratio"]


def test_report_opens(place, run, result, tmp_path):
    result.save("out")
    assert run("checkpoint=model.pt", "input=out", "output=found")[0] == 0
    ran = browse((tmp_path / "found" / "report.html"), tmp_path, "--dump-dom")
    assert not [line for line in ran.stderr.splitlines() if "CONSOLE" in line and "rror" in line]
    assert 'data-view="drawn"' in ran.stdout


def test_without_activity_there_is_the_prediction_alone(place, run, unknown):
    unknown.save("out")
    code, _, err = run("checkpoint=model.pt", "input=out", "output=found")
    assert code == 0
    assert "No activity is known" in err
    summary = json.loads(Path("found/summary.json").read_text())
    assert "scores" not in summary
    assert pd.read_parquet("found/predictions.parquet")["activity"].isna().all()
    text = Path("found/report.html").read_text()
    assert text.count('<image class="layer') == 3
    assert "No activity is known" in Page(text).words


@pytest.mark.parametrize("jobs", [1, 2])
def test_damaged_sample_is_named_and_the_others_served(place, run, jobs):
    file = next(Path("graphs/nodes/sample=made_1").glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:500])
    code, _, err = run("checkpoint=model.pt", "database=graphs", f"jobs={jobs}", "output=found")
    assert code == 0
    assert "made_1" in err
    summary = json.loads(Path("found/summary.json").read_text())
    assert [entry["sample"] for entry in summary["left_out"]] == ["made_1"]
    assert summary["samples"] == 2
    words = Page(Path("found/report.html").read_text()).words
    assert "Left out" in words
    assert "made_1" in words


@pytest.mark.parametrize("jobs", [1, 2])
def test_another_form_is_refused_before_anything_is_written(place, run, jobs):
    graph = graph_of(0)
    fewer = replace(graph, nodes=graph.nodes.drop(columns="aspect_ratio"))
    tp.GraphDatabase("graphs").add(fewer, "aaa")
    code, _, err = run("checkpoint=model.pt", "database=graphs", f"jobs={jobs}", "output=found")
    assert code == 1
    assert "aspect_ratio" in err
    assert "where=" in err
    assert not Path("found").exists()
    assert not list(place.glob(".found*"))


def test_other_materials_are_refused(place, run):
    graph = graph_of(0)
    metadata = json.loads(json.dumps(graph.metadata).replace("carbon", "binder"))
    tables = {name: getattr(graph, name).copy() for name in ("nodes", "contacts", "junctions")}
    for table in tables.values():
        table.columns = [column.replace("carbon", "binder") for column in table.columns]
        for column in table.select_dtypes(["object", "category", "string"]):
            table[column] = table[column].astype(str).str.replace("carbon", "binder")
    tp.GraphDatabase("graphs").add(replace(graph, **tables, metadata=metadata), "aaa")
    code, _, err = run("checkpoint=model.pt", "database=graphs", "output=found")
    assert code == 1
    assert "binder" in err
    assert not Path("found").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("checkpoint=none.pt", "database=graphs"), "there is no checkpoint none.pt"),
        (("checkpoint=model.pt", "database=none"), "there is no database none"),
        (("checkpoint=model.pt", "input=none"), "is not a result of tripoint"),
        (("checkpoint=model.pt",), "give database=PATH"),
        (("checkpoint=model.pt", "database=graphs", "input=out"), "both are given"),
        (("checkpoint=model.pt", "input=out", "where=true"), "where chooses samples of a database"),
        (("database=graphs",), "the setting 'checkpoint' is missing"),
    ],
)
def test_what_is_missing_is_said(run, words, told):
    code, _, err = run(*words, "output=found")
    assert code == 1
    assert told in err
    assert not Path("found").exists()


def test_empty_database(place, run):
    tp.GraphDatabase("empty").create()
    code, _, err = run("checkpoint=model.pt", "database=empty", "output=found")
    assert code == 1
    assert "is empty" in err


def test_older_prediction_is_replaced_when_asked(place, run):
    words = ("checkpoint=model.pt", "database=graphs", "output=found")
    assert run(*words)[0] == 0
    code, _, err = run(*words)
    assert code == 1
    assert "overwrite=true" in err
    Path("found/summary.json").write_text("{}")
    assert run(*words, "overwrite=true", "where=sample = 'made_0'")[0] == 0
    assert json.loads(Path("found/summary.json").read_text())["samples"] == 1


def test_ensembles_are_read_too(place, run, trained):
    Ensemble((trained, trained)).save("model.pt")
    assert run("checkpoint=model.pt", "database=graphs", "output=found")[0] == 0
    summary = json.loads(Path("found/summary.json").read_text())
    assert summary["networks"] == 2


def test_checkpoints_of_other_targets_are_refused(place, trained):
    model = yaml.safe_load((MODELS / "gine.yaml").read_text())
    names = tuple(graphs(2))
    other = train(graphs(2), model, Split(names, (), ()), epochs=1, target="inactive")
    other.save("other.pt")
    with pytest.raises(InputError, match="predicts inactive"):
        prediction.load("other.pt")


def test_perfect_predictions_compare_as_such():
    activity = np.array([0.0, 0.05, 0.5, 1.0, 2.0, 4.0])
    frame = pd.DataFrame(
        {
            "activity": activity,
            "inactive": activity == 0,
            "predicted_log_activity": log_activity(activity),
            "predicted_activity": activity,
            "depth": np.arange(6.0),
            "low_activity": activity - 0.1,
            "high_activity": [0.1, 0.1, 0.6, 0.7, 2.1, 4.1],
        }
    )
    found = comparison.compare(frame)
    assert [found[name] for name in ("mae", "bias", "linear_mae")] == pytest.approx([0, 0, 0], abs=1e-12)
    assert found["r2"] == found["within_factor_2"] == 1
    assert found["covered"] == pytest.approx(5 / 6)
    assert comparison.weak_particles(frame) == {
        "dead": {"predicted_weak": 1, "predicted_reacting": 0},
        "weak": {"predicted_weak": 1, "predicted_reacting": 0},
        "reacting": {"predicted_weak": 0, "predicted_reacting": 4},
    }
    twice = frame.assign(predicted_log_activity=log_activity(activity) + np.log10(2))
    assert comparison.compare(twice)["factor"] == pytest.approx(2)
    off = pytest.approx(np.log10(2))
    first = {"low": 0.0, "high": 1.0, "particles": 2, "bias": off, "mae": off}
    assert comparison.by_depth(twice)[0] == first


def test_yardsticks_are_those_of_the_circuit_and_of_the_median(result):
    frame = comparison.particles_of(result.graph)
    found = comparison.yardsticks(result.graph, frame)
    truth = log_activity(frame["activity"])
    assert found["median"]["mae"] == pytest.approx(np.abs(truth - truth.median()).mean())
    assert found["circuit"]["mae"] < found["median"]["mae"]
    materials = {key: value for key, value in result.graph.metadata["materials"].items() if key != "kinetics"}
    bare = replace(result.graph, metadata={**result.graph.metadata, "materials": materials})
    assert "not known" in comparison.yardsticks(bare, frame)["circuit"]["absent"]


@pytest.mark.parametrize("name", ["lithium_ion_cathode", "solid_oxide_electrode"])
def test_ranges_hold_the_real_electrodes(name):
    """Volume fractions of the volumes that networks trained on these are applied to."""
    ranges = yaml.safe_load((MODELS.parent / "vary" / f"{name}.yaml").read_text())
    real = {
        "lithium_ion_cathode": {("particles", "active"): 0.499, ("fill", "binder"): 0.100},
        "solid_oxide_electrode": {("particles", "YSZ"): 0.430, ("particles", "Ni"): 0.286},
    }
    for (kind, phase), fraction in real[name].items():
        low, high = ranges[kind][phase]["fraction"]
        assert low < fraction < high
