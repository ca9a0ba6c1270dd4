"""Training: the best weights, a folder from which it goes on, the same for a seed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

torch = pytest.importorskip("torch", reason="torch is not installed: learning is not tested")
pytest.importorskip("torch_geometric", reason="torch-geometric is not installed")
pytest.importorskip("pytorch_lightning", reason="pytorch-lightning is not installed")

from learning import graph_of, graphs
from tripoint.errors import InputError
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


def test_a_stopped_training_goes_on(tmp_path):
    whole = train(graphs(5), model(), SPLIT, epochs=4, batch_size=2)
    stopped = train(
        graphs(5), model(), SPLIT, epochs=4, batch_size=2, folder=tmp_path, trainer={"max_steps": 4}
    )
    assert np.abs(weights(stopped) - weights(whole)).max() > 1e-3
    resumed = train(graphs(5), model(), SPLIT, epochs=4, batch_size=2, folder=tmp_path)
    assert error(resumed) == pytest.approx(error(whole), rel=0.05)  # the order of samples begins anew
    assert pd.read_csv(tmp_path / "metrics.csv")["epoch"].min() == 2
    again = train(graphs(5), model(), SPLIT, epochs=4, batch_size=2, folder=tmp_path)
    np.testing.assert_array_equal(weights(again), weights(resumed))


def test_patience_ends_it(tmp_path):
    settings = model("gine")
    settings["training"]["rate"] = 0.0
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
