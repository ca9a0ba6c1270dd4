"""Training: the best weights, a folder from which it goes on, the same for a seed."""

import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from learning import graph_of, graphs
from tripoint.errors import DeviceError, InputError
from tripoint.learn.checkpoint import Trained
from tripoint.learn.data import GraphDataset
from tripoint.learn.module import evaluate
from tripoint.learn.splitting import Split
from tripoint.learn.training import train

FOLDER = Path(__file__).parents[1] / "conf" / "model"
SPLIT = Split(("made_0", "made_1", "made_2"), ("made_3",), ("made_4",))


def model(name="kirchhoff"):
    return OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))


def error(trained, sample="made_3"):
    data = GraphDataset(graphs(5), (sample,), trained.view, trained.names, trained.scalings)
    from torch_geometric.loader import DataLoader

    return evaluate(trained.network, DataLoader(data))["mae"]


def weights(trained):
    return torch.cat([values.flatten().double() for values in trained.network.state_dict().values()]).numpy()


def test_best_weights_are_kept_and_what_happened_is_written(tmp_path):
    trained = train(graphs(5), model(), SPLIT, epochs=6, batch_size=2, folder=tmp_path)
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    validation = metrics["validation_mae"].dropna()
    assert len(validation) == len(metrics["train_mae"].dropna()) == 6
    assert error(trained) == pytest.approx(validation.min(), rel=1e-5)
    assert validation.min() < 0.9 * validation.iloc[0]
    loaded = Trained.load(tmp_path / "model.pt")
    assert loaded.predict(graph_of(4)).equals(trained.predict(graph_of(4)))
    assert loaded.split == SPLIT


def test_the_same_seed_gives_the_same_weights():
    one, two, other = (
        train(graphs(5), model(), SPLIT, epochs=2, batch_size=2, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(weights(one), weights(two))
    assert np.abs(weights(one) - weights(other)).max() > 1e-3


def stopped_in(epoch):
    """Return what a training tells its progress to, and is stopped by as by Ctrl-C."""

    def progress(_, done, total):
        if done == epoch < total:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("name", ["kirchhoff", "gatv2"])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path, name):
    settings = {"epochs": 4, "batch_size": 2, "patience": 9}
    whole = train(graphs(5), model(name), SPLIT, **settings, folder=tmp_path / "whole")
    heard = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(graphs(5), model(name), SPLIT, **settings, folder=tmp_path / "part", progress=stopped_in(2))
    assert signal.getsignal(signal.SIGINT) is heard
    assert not (tmp_path / "part/model.pt").exists()
    resumed = train(graphs(5), model(name), SPLIT, **settings, folder=tmp_path / "part")
    np.testing.assert_array_equal(weights(resumed), weights(whole))
    written = [(tmp_path / folder / "metrics.csv").read_text() for folder in ("whole", "part")]
    assert written[0] == written[1]
    again = train(graphs(5), model(name), SPLIT, **settings, folder=tmp_path / "part")
    np.testing.assert_array_equal(weights(again), weights(whole))


def test_another_training_does_not_go_on_from_it(tmp_path):
    train(graphs(5), model(), SPLIT, epochs=1, folder=tmp_path)
    with pytest.raises(InputError, match="other settings, samples or seed"):
        train(graphs(5), model(), SPLIT, epochs=2, folder=tmp_path)
    (tmp_path / "last.ckpt").write_bytes(b"half a file")
    with pytest.raises(InputError, match="damaged"):
        train(graphs(5), model(), SPLIT, epochs=1, folder=tmp_path)


def test_patience_ends_it(tmp_path):
    settings = model("gine")
    settings["training"]["rate"] = 0.0
    for _ in range(2):  # what has ended does not go on
        train(graphs(5), settings, SPLIT, epochs=30, patience=2, folder=tmp_path)
        assert len(pd.read_csv(tmp_path / "metrics.csv")["validation_mae"].dropna()) == 3


def test_without_validation_the_last_weights_are_kept():
    split = Split(SPLIT.train, (), SPLIT.test)
    trained = train(graphs(5), model(), split, epochs=4, batch_size=2)
    assert error(trained, "made_0") < error(
        train(graphs(5), model("kirchhoff"), split, epochs=1, batch_size=2), "made_0"
    )


def test_where_nothing_is_learned_nothing_is_trained():
    trained = train(graphs(5), model("known"), SPLIT)
    assert error(trained) < 0.2
    with pytest.raises(InputError, match="'ridge' has no network to train"):
        train(graphs(5), model("ridge"), SPLIT)


def test_an_error_that_is_no_number_ends_it(tmp_path):
    settings = model("gine")
    settings["training"]["rate"] = 1e20
    with pytest.raises(InputError, match=r"_mae is (nan|inf) in epoch 0; try a smaller learning rate"):
        train(graphs(5), settings, SPLIT, epochs=3, folder=tmp_path)
    assert not list(tmp_path.glob("*.*"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", ["gpu", "multi_gpu"])
def test_a_gpu_that_is_not_there_is_said(name):
    trainer = OmegaConf.to_container(OmegaConf.load(FOLDER.parent / "trainer" / f"{name}.yaml"))
    with pytest.raises(DeviceError, match="sees none; take trainer=cpu"):
        train(graphs(5), model(), SPLIT, trainer=trainer)


@pytest.mark.parametrize(
    ("setting", "words"),
    [({"precision": 17}, "17"), ({"precison": 16}, "precison"), ({"devices": 0}, "devices")],
)
def test_settings_that_do_not_fit_are_said(setting, words):
    with pytest.raises(InputError, match=f"settings of the trainer do not fit.*{words}"):
        train(graphs(5), model("gine"), SPLIT, trainer=setting)


@pytest.mark.parametrize("setting", [{"epochs": -1}, {"patience": 2.5}, {"batch_size": 0}, {"seed": "one"}])
def test_numbers_that_are_none_are_said(setting):
    with pytest.raises(InputError, match=f"{next(iter(setting))} is .*; expected a whole number"):
        train(graphs(5), model("gine"), SPLIT, **setting)


@pytest.mark.parametrize("name", ["gine", "kirchhoff"])
def test_half_precision_and_tensorboard(tmp_path, name):
    trainer = OmegaConf.to_container(OmegaConf.load(FOLDER.parent / "trainer" / "cpu.yaml"))
    trainer["precision"] = "bf16-mixed"
    train(graphs(5), model(name), SPLIT, epochs=2, folder=tmp_path, trainer=trainer)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))
    assert np.isfinite(pd.read_csv(tmp_path / "metrics.csv")).all(axis=None)


@pytest.mark.slow
def test_processes_share_the_samples(tmp_path):
    """As GPUs do; the weights and the record come from one of them."""
    trainer = OmegaConf.to_container(OmegaConf.load(FOLDER.parent / "trainer" / "multi_gpu.yaml"))
    trainer |= {"accelerator": "cpu", "devices": 2}
    trained = train(graphs(5), model("gine"), SPLIT, epochs=2, folder=tmp_path, trainer=trainer)
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    assert metrics["epoch"].tolist() == [0, 1]
    assert error(trained) == pytest.approx(metrics["validation_mae"].min(), rel=1e-4)
    loaded = Trained.load(tmp_path / "model.pt")
    np.testing.assert_array_equal(weights(loaded), weights(trained))
