"""Every model of conf/model is made, predicts each particle, learns, and knows no direction of its own."""

import logging
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from learning import graph_of, graphs, mirrored, renumbered, turned
from tripoint.learn.baselines import ParticleTable
from tripoint.learn.data import GraphDataModule, GraphDataset
from tripoint.learn.module import evaluate, predict
from tripoint.learn.splitting import Split
from tripoint.learn.views import labels_of

FOLDER = Path(__file__).parents[1] / "conf" / "model"
CONFIGS = {path.stem: OmegaConf.load(path) for path in sorted(FOLDER.glob("*.yaml"))}
NETWORKS = sorted(name for name, config in CONFIGS.items() if "network" in config)
TRAINED = sorted(name for name, config in CONFIGS.items() if "training" in config)


def made(name):
    """Return the network of a configuration, and three samples to train it on, one to test."""
    config = instantiate(CONFIGS[name], _convert_="all")
    known = graphs(4)
    names = tuple(known)
    data = GraphDataModule(known, config["view"], Split(names[:2], names[2:3], names[3:]), batch_size=2)
    torch.manual_seed(0)
    return config, config["network"](data.names), data


def trainer(epochs):
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    return pytorch_lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip


def test_names_are_those_of_the_files():
    assert all(config.name == name for name, config in CONFIGS.items())
    assert set(NETWORKS) >= {"gine", "gatv2", "hetero", "kirchhoff", "corrected", "known"}
    assert {"median", "ridge", "gradient_boosting", "mlp"} == set(CONFIGS) - set(NETWORKS)


@pytest.mark.parametrize("name", sorted(set(CONFIGS) - set(NETWORKS)))
def test_baselines_are_fitted_to_a_table(name):
    config = instantiate(CONFIGS[name], _convert_="all")
    known = graphs(2)
    table = ParticleTable.of(known, list(known), config["features"])
    predicted = config["fit"](table=table, seed=0)(table.features)
    assert predicted.shape == table.activity.shape
    assert np.isfinite(predicted).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_particle_is_predicted(name):
    _, network, data = made(name)
    batch = next(iter(data.train_dataloader()))
    predicted, labels = network(batch), labels_of(batch)
    assert predicted.shape == labels["y"].shape == labels["sample"].shape
    assert predicted.isfinite().all()
    assert labels["sample"].unique().tolist() == [0, 1]
    active = sum(int((graph_of(seed).nodes["phase"] == "active").sum()) for seed in (0, 1))
    assert len(predicted) == active


@pytest.mark.parametrize("name", TRAINED)
def test_training_lowers_the_error_and_is_the_same_for_a_seed(name):
    errors = []
    for _ in range(2):
        config, network, data = made(name)
        before = evaluate(network, data.train_dataloader())["mae"]
        trainer(15).fit(config["training"](network), data)
        errors.append((before, evaluate(network, data.train_dataloader())["mae"]))
    assert errors[0] == errors[1]
    assert errors[0][1] < 0.9 * errors[0][0]


@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_do_not_change_when_the_sample_is_mirrored_turned_or_renumbered(name):
    _, network, data = made(name)
    for parameter in network.parameters():  # as if it had learned something
        torch.nn.init.normal_(parameter, std=0.2)
    graph = graph_of(3)
    other, numbers = renumbered(graph)

    def predicted(sample):
        dataset = GraphDataset({"a": sample}, ("a",), data.view, data.names, data.scalings)
        with torch.no_grad():
            found = network.eval()(dataset[0]).double().numpy()
        active = (sample.nodes["phase"] == "active").to_numpy()
        return dict(zip(sample.nodes["node"].to_numpy()[active].tolist(), found, strict=True))

    before = predicted(graph)
    for change in (mirrored(graph, "x"), mirrored(graph, "y"), turned(graph)):
        after = predicted(change)
        assert all(after[node] == pytest.approx(value, abs=1e-3) for node, value in before.items())
    after = predicted(other)
    assert all(after[numbers[node]] == pytest.approx(value, abs=1e-3) for node, value in before.items())


def test_predictions_of_a_loader_are_those_of_labelled_particles():
    _, network, data = made("known")
    predicted, activity, sample = predict(network, data.train_dataloader())
    assert len(predicted) == len(activity) == len(sample)
    assert set(sample) == {0, 1}
    assert evaluate(network, data.test_dataloader())["mae"] < 0.2
