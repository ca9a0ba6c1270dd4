"""Ensembles: the mean of their networks, how far these differ, one file, intervals."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from learning import graph_of, graphs
from tripoint.errors import InputError
from tripoint.learn.checkpoint import Trained
from tripoint.learn.conformal import coverage
from tripoint.learn.ensemble import Ensemble, load, train_ensemble
from tripoint.learn.splitting import Split
from tripoint.learn.training import train

GINE = OmegaConf.to_container(OmegaConf.load(Path(__file__).parents[1] / "conf" / "model" / "gine.yaml"))
SPLIT = Split(("made_0", "made_1"), ("made_2",), ("made_3",), ("made_4", "made_5"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return an ensemble of two networks, and its folder."""
    folder = tmp_path_factory.mktemp("ensemble")
    return train_ensemble(graphs(6), GINE, SPLIT, members=2, seed=5, epochs=2, folder=folder), folder


def test_the_mean_is_told_with_the_spread_and_intervals(made):
    ensemble, _ = made
    graph = graph_of(3)
    found = ensemble.predict(graph)
    each = np.stack([member.predict(graph)["predicted_log_activity"] for member in ensemble.members])
    assert np.abs(each[0] - each[1]).max() > 1e-3
    np.testing.assert_allclose(found["predicted_log_activity"], each.mean(axis=0))
    np.testing.assert_allclose(found["spread"], each.std(axis=0))
    assert (found["low_activity"] <= found["predicted_activity"]).all()
    assert (found["predicted_activity"] <= found["high_activity"]).all()
    narrow = ensemble.predict(graph, level=0.5)
    assert (narrow["high_log_activity"] <= found["high_log_activity"]).all()


def test_all_of_it_is_one_file(made):
    ensemble, folder = made
    path = folder / "model.pt"
    loaded = load(path)
    assert isinstance(loaded, Ensemble)
    assert loaded.predict(graph_of(3)).equals(ensemble.predict(graph_of(3)))
    assert loaded.split == SPLIT
    with pytest.raises(InputError, match=r"holds an ensemble of 2 networks; read it with Ensemble.load"):
        Trained.load(path)
    member = load(folder / "member_5" / "model.pt")
    assert isinstance(member, Trained)
    assert member.predict(graph_of(3)).equals(ensemble.members[0].predict(graph_of(3)))


def test_coverage_is_checked_on_samples_that_are_held_out(made):
    ensemble, _ = made
    table = coverage(ensemble, ensemble.conformal, graphs(6), SPLIT.test, (0.2, 0.6))
    assert table["promised"].all()
    assert table["coverage"].is_monotonic_increasing
    assert table["width"].is_monotonic_increasing
    assert table["coverage"].between(0, 1).all()


def test_a_single_network_has_intervals_after_calibration(tmp_path):
    trained = train(graphs(6), GINE, SPLIT, epochs=1, folder=tmp_path)
    found = trained.predict(graph_of(3))
    assert (found["spread"] == 0).all()
    width = found["high_log_activity"] - found["predicted_log_activity"]
    np.testing.assert_allclose(width, width[0])
    assert Trained.load(tmp_path / "model.pt").predict(graph_of(3)).equals(found)


def test_what_is_no_ensemble_is_refused(made):
    ensemble, _ = made
    with pytest.raises(InputError, match="ensemble of 0 networks was asked for"):
        train_ensemble(graphs(6), GINE, SPLIT, members=0)
    with pytest.raises(InputError, match="found 0 networks"):
        Ensemble(())
    other = train(graphs(6), GINE, Split(("made_0",), (), ()), epochs=1)
    with pytest.raises(InputError, match="2 networks that do not agree"):
        Ensemble((ensemble.members[0], other))
