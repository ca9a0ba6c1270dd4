"""A run: fitted, tested, recorded; known again, not done twice, not mixed with another."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from learning import graph_of, graphs
from tripoint.errors import InputError, OutputError
from tripoint.learn import records, table
from tripoint.learn.assessment import assess, summarise
from tripoint.learn.features import targets
from tripoint.learn.fitting import fit
from tripoint.learn.labels import MeasuredLabels
from tripoint.learn.splitting import Split
from tripoint.learn.trial import Trial, carry_out

FOLDER = Path(__file__).parents[1] / "conf" / "model"
SPLIT = Split(("made_0", "made_1", "made_2"), ("made_3",), ("made_4", "made_5"))


def model(name, **changes):
    return {**yaml.safe_load((FOLDER / f"{name}.yaml").read_text()), **changes}


def median(**changes):
    return Trial(model("median"), SPLIT, **changes)


# ------------------------------------------------------------------------------------------- runs and folders


def test_a_run_is_recorded_and_known_again(tmp_path):
    record = carry_out(median(), graphs(), tmp_path / "run")
    assert record["scores"]["test"]["samples"] == 2
    assert record["settings"]["split"]["test"] == ["made_4", "made_5"]
    predictions = pd.read_parquet(tmp_path / "run" / "predictions_test.parquet")
    assert set(predictions["sample"]) == {"made_4", "made_5"}
    error = np.abs(
        np.log10(predictions["activity"].clip(lower=0) + 0.03) - predictions["predicted_log_activity"]
    )
    assert record["scores"]["test"]["mae"] == pytest.approx(error.mean())
    before = (tmp_path / "run" / "run.json").stat().st_mtime_ns
    assert carry_out(median(), graphs(), tmp_path / "run") == record
    assert (tmp_path / "run" / "run.json").stat().st_mtime_ns == before


def test_another_run_is_refused_or_replaces(tmp_path):
    carry_out(median(), graphs(), tmp_path / "run")
    with pytest.raises(OutputError, match="overwrite=true"):
        carry_out(median(seed=1), graphs(), tmp_path / "run")
    record = carry_out(median(seed=1), graphs(), tmp_path / "run", overwrite=True)
    assert record["settings"]["seed"] == 1


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError):
        carry_out(median(), graphs(), tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_what_is_refused_leaves_nothing(tmp_path):
    wrong = replace(median(), target={"name": "activity", "column": "nothing"})
    with pytest.raises(InputError, match="no column nothing"):
        carry_out(wrong, graphs(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.json").write_text('{"key": "of a run that was killed at once"}')
    assert carry_out(median(), graphs(), tmp_path / "run")["scores"]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        carry_out(median(), graphs(), tmp_path / "file")


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json is damaged"):
        carry_out(median(), graphs(), tmp_path)


def test_further_sets_of_samples(tmp_path):
    others = {"other": graph_of(7)}
    record = carry_out(median(), graphs(), tmp_path / "run", tests={"others": (others, ["other"])})
    assert list(record["scores"]) == ["test", "others"]
    frame = records.collect([tmp_path / "run", tmp_path / "nothing"])
    assert frame["tested_on"].tolist() == ["test", "others"]
    assert frame["model"].tolist() == ["median", "median"]


def test_table_of_runs(tmp_path):
    folders = [tmp_path / f"run_{seed}" for seed in range(2)]
    for seed, folder in enumerate(folders):
        carry_out(median(seed=seed), graphs(), folder)
    frame = records.collect(folders)
    assert "training.epochs" not in frame.columns
    page = table.write(frame, tmp_path / "table")
    assert "median" in page.read_text()
    assert len(pd.read_csv(tmp_path / "table" / "runs.csv")) == 2
    assert "Mean and s.d. over seeds" in page.read_text()
    other = replace(median(), share=0.5, training={"epochs": 3})
    carry_out(other, graphs(), tmp_path / "other")
    frame = records.collect([*folders, tmp_path / "other"])
    assert frame["training.epochs"].tolist()[-1] == 3
    assert table.over_seeds(frame, ["mae"])["seeds"].tolist() == [2, 1]
    with pytest.raises(InputError, match="no complete run"):
        table.write(records.collect([]), tmp_path / "table")


# --------------------------------------------------------------------------------------- labels, as measured


def test_labels_as_measured():
    noisy = MeasuredLabels(graphs(), SPLIT.train, noise=0.1, share=0.5, seed=3)
    clean, found = graph_of(0).nodes["activity"], noisy["made_0"].nodes["activity"]
    assert found.notna().sum() < clean.notna().sum()
    ratio = (found / clean)[clean > 0].dropna()
    assert 0.03 < ratio.std() < 0.2
    pd.testing.assert_series_equal(found, noisy["made_0"].nodes["activity"])
    pd.testing.assert_series_equal(noisy["made_4"].nodes["activity"], graph_of(4).nodes["activity"])


@pytest.mark.parametrize(("noise", "share"), [(-0.1, 1.0), (0.0, 0.0), (0.0, 1.5), (float("nan"), 1.0)])
def test_labels_that_are_refused(noise, share):
    with pytest.raises(InputError, match="expected"):
        MeasuredLabels(graphs(), (), noise, share)


def test_tests_are_made_on_labels_without_noise(tmp_path):
    carry_out(median(noise=0.5, share=0.5), graphs(), tmp_path / "run")
    found = pd.read_parquet(tmp_path / "run" / "predictions_test.parquet")
    known = targets(graph_of(4))
    np.testing.assert_array_equal(found.loc[found["sample"] == "made_4", "activity"], known.activity)


# ------------------------------------------------------------------------------------------ targets, scores


@pytest.mark.parametrize("target", ["activity", "inactive", "mean_activity"])
def test_scores_of_every_target(target):
    fitted = fit(graphs(), model("ridge", features="own"), SPLIT, target=target)
    found = assess(fitted, graphs(), SPLIT.test)
    scores = summarise(found, fitted.target)
    name = {"activity": "mae", "inactive": "brier", "mean_activity": "mae"}[target]
    assert np.isnan(scores[f"{name}_low"])  # two samples have no interval
    assert scores["samples"] == 2
    assert len(found) == (2 if target == "mean_activity" else scores["particles"])
    scores = summarise(assess(fitted, graphs(), list(graphs())), fitted.target)
    assert scores[f"{name}_low"] <= scores[name] <= scores[f"{name}_high"]


def test_nothing_to_test_on():
    fitted = fit(graphs(), model("median"), SPLIT)
    with pytest.raises(InputError, match="no samples to test on"):
        assess(fitted, graphs(), [])


def test_other_features_are_named():
    fitted = fit(graphs(), model("ridge", features="own"), SPLIT)
    graph = graph_of(0)
    mapping = json.loads(json.dumps(graph.metadata["materials"]).replace("carbon", "graphite"))
    nodes = graph.nodes.rename(columns=lambda name: name.replace("carbon", "graphite"))
    nodes["phase"] = nodes["phase"].replace("carbon", "graphite")
    other = replace(graph, nodes=nodes, metadata={**graph.metadata, "materials": mapping})
    with pytest.raises(InputError, match="graphite"):
        fitted.predict(other)
