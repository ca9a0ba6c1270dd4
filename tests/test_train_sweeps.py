"""Sweeps of `tripoint train`: one table at the end, whoever runs them, and what fails is said."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import tripoint as tp
from learning import graph_of
from tripoint import cli

GIVEN = ("database=db", "training.epochs=2", "trainer.tensorboard=false", "split.validation=0.25")
NUMBERED = "output='o_${hydra:job.num}'"
OPTUNA = ("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1", NUMBERED)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Return a folder that holds a database of six small composites, and nothing else."""
    folder = tmp_path_factory.mktemp("sweeps")
    graphs = tp.GraphDatabase(folder / "db")
    for seed in range(6):
        graphs.add(graph_of(seed), f"made_{seed}")
    return folder / "db"


@pytest.fixture
def train(database, tmp_path, capfd, monkeypatch):
    """Run `tripoint train` in a folder with the database; return exit code, standard output and error."""
    (tmp_path / "db").symlink_to(database)
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = cli.main(["train", *GIVEN, *map(str, words)])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


def complaints(err):
    return [line.removeprefix("tripoint: ") for line in err.splitlines() if line.startswith("tripoint: ")]


def test_a_sweep_ends_with_a_table(train):
    code, out, err = train("-m", "model=ridge,gine", "seed=1,2", "jobs=1")
    assert code == 0, err
    page = Path(out.splitlines()[-1])
    assert page == Path("runs/runs.html").resolve()
    runs = pd.read_csv("runs/runs.csv")
    assert sorted(runs["run"]) == [f"runs/{model}_{seed}" for model in ("gine", "ridge") for seed in (1, 2)]
    assert (runs["mae"] > 0).all()
    written = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/run.json")}
    code, _, err = train("-m", "model=ridge,gine", "seed=1,2", "jobs=1", "table=all")
    assert code == 0, err
    assert pd.read_csv("all/runs.csv").equals(runs)
    assert {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/run.json")} == written


def test_a_run_that_fails_leaves_the_others(train):
    code, _, err = train("-m", "model=ridge,median", "model.features=own,none", NUMBERED, "jobs=1")
    assert code == 1
    assert len(complaints(err)) == 2
    assert len(pd.read_csv("runs.csv")) == 2


@pytest.mark.slow
def test_runs_in_processes_of_their_own(train):
    code, _, err = train("-m", "model=ridge", "model.features=own,none,size", NUMBERED, "jobs=2")
    assert code == 1
    assert len(complaints(err)) == 1
    assert len(pd.read_csv("runs.csv")) == 2


@pytest.mark.slow
def test_the_joblib_launcher(train):
    """What fails in its processes reaches the screen and the exit code; outputs are not shared."""
    joblib = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "model=ridge")
    code, out, err = train(*joblib, "model.features=own,none,size", "output='o_${model.features}'")
    assert code == 1
    (sentence,) = complaints(err)
    assert "none" in sentence
    assert Path(out.splitlines()[-1]).is_file()
    assert sorted(pd.read_csv("runs.csv")["run"]) == ["o_own", "o_size"]
    code, _, err = train(*joblib, "model.features=own,size", "output=same")
    assert code == 1
    assert "two runs of this sweep would write to" in complaints(err)[0]
    code, _, err = train(*joblib, "seed=1,2", "jobs=2")
    assert code == 1
    assert "hydra.launcher.n_jobs=2" in complaints(err)[0]


def test_optuna_makes_the_error_of_the_validation_split_small(train, tmp_path):
    settings = ("model=ridge,median", "model.features=own,size", "hydra.sweeper.sampler.seed=1")
    code, _, err = train(*OPTUNA, *settings, f"hydra.sweep.dir={tmp_path}/study")
    assert code == 0, err
    runs = pd.read_csv("runs.csv")
    assert len(runs) == 3
    validation = [json.loads(Path(run, "run.json").read_text())["validation"]["mae"] for run in runs["run"]]
    best = (tmp_path / "study/optimization_results.yaml").read_text()
    assert f"best_value: {min(validation)}" in best


def test_trials_of_optuna_that_fail_are_said(train):
    code, _, err = train(*OPTUNA, "model=ridge", "model.features=none,other")
    assert code == 1
    assert len(complaints(err)) == 3
    assert all("features" in sentence for sentence in complaints(err))


@pytest.mark.parametrize("choice", ["sweeper=ax", "launcher=ray"])
def test_a_sweeper_that_is_not_there_is_said(train, choice):
    code, _, err = train("-m", f"hydra/{choice}", "seed=1,2")
    assert code == 1
    assert "pip install" in complaints(err)[0]


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on(train, tmp_path):
    """Ctrl-C, and the same command again: the weights are those of a training that was not stopped."""
    words = ("model=gine", "training.epochs=40", "trainer.threads=1")
    command = [sys.executable, "-m", "tripoint.cli", "train", *GIVEN, *words, "output=part"]
    training = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    while not (tmp_path / "part/last.ckpt").exists() and training.poll() is None:
        os.sched_yield()
    training.send_signal(signal.SIGINT)
    _, err = training.communicate(timeout=120)
    assert training.returncode == 130, err
    assert "the same command goes on" in complaints(err)[0]
    assert not (tmp_path / "part/run.json").exists()
    for output in ("part", "whole"):
        code, _, err = train(*words, f"output={output}")
        assert code == 0, err
    assert Path("part/metrics.csv").read_text() == Path("whole/metrics.csv").read_text()
    one, two = (json.loads(Path(output, "run.json").read_text())["scores"] for output in ("part", "whole"))
    assert one == two
