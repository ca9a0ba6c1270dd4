"""The Lightning module: how a network is trained to predict its target."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import nn

from tripoint.errors import InputError
from tripoint.learn.data import GraphDataModule


class ActivityModule(LightningModule):
    """Train a network on the error of its readout, by Adam with a rate that falls as a cosine.

    Parameters
    ----------
    network : Module
        Predicts a batch, and has a ``readout`` (`readout.Readout`), of log-activity the mean absolute error.
    rate : float
        Learning rate at the beginning.
    weight_decay : float
    constants_rate : float
        Learning rate of a parameter of the network called ``constants``, if it has one.

    Notes
    -----
    Logs ``train_mae`` and ``validation_mae``, per epoch and over what has a label; of a classification
    ``train_log_loss`` and ``validation_log_loss``.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        rate: float = 3e-3,
        weight_decay: float = 1e-4,
        constants_rate: float = 0.1,
    ) -> None:
        super().__init__()
        self.network = network
        self.rate, self.weight_decay, self.constants_rate = rate, weight_decay, constants_rate

    @property
    def measure(self) -> str:
        """Name of the error of the validation split, by which the best epoch is told."""
        return f"validation_{self.network.readout.measure}"

    def forward(self, data: Any) -> torch.Tensor:
        """Return what the network predicts of a batch."""
        return self.network(data)

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        """Return the error of a batch."""
        return self._error(batch, "train")

    def validation_step(self, batch: Any, _: int) -> None:
        """Log the error of a batch."""
        self._error(batch, "validation")

    def configure_optimizers(self) -> Any:
        """Return Adam, and the falling of its rate over all epochs."""
        named = dict(self.network.named_parameters())
        constants = [named.pop("constants")] if "constants" in named else []
        groups = [
            {"params": list(named.values()), "lr": self.rate, "weight_decay": self.weight_decay},
            {"params": constants, "lr": self.constants_rate},
        ]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]])
        epochs = max(self.trainer.max_epochs or 1, 1)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)]

    def _error(self, batch: Any, split: str) -> torch.Tensor:
        readout = self.network.readout
        wanted, known = readout.truth(batch)
        predicted = self.network(batch)[known]
        if not len(predicted):
            return predicted.sum()  # nothing to learn from: 0, where a mean would be no number
        error = readout.error(predicted, wanted[known].to(predicted))
        name = f"{split}_{readout.measure}"
        self.log(name, error, on_step=False, on_epoch=True, batch_size=len(predicted), sync_dist=True)
        return error


def check_labels(network: nn.Module, data: GraphDataModule) -> None:
    """Look whether every sample that is trained on or chosen by has a label.

    Raises
    ------
    InputError
        One has none: what its target lacks.
    """
    readout = network.readout
    for side in ("train", "validation"):
        dataset = data[side]
        for number, sample in enumerate(dataset.samples):
            if not readout.truth(dataset[number])[1].any():
                readout.target.of(data.graphs[sample])
                message = f"sample '{sample}' has no label; leave it out of training and validation"
                raise InputError(message)


def predict(network: nn.Module, loader: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predict all that is labelled in a loader.

    Returns
    -------
    predicted, truth, sample : (particles,) or (samples,)
        Log-activity and true activity; or the probability of being inactive and whether it is; or the
        logarithm of a figure of the sample and the true one. And the sample's number in the loader's order.
    """
    training = network.training
    network.eval()
    parts: list[tuple[np.ndarray, ...]] = []
    before = 0
    with torch.no_grad():
        for batch in loader:
            readout = network.readout
            _, known = readout.truth(batch)
            truth, sample = readout.known(batch)
            columns = (readout.answer(network(batch))[known], truth[known], sample[known] + before)
            parts.append(tuple(values.cpu().numpy().astype(np.float64) for values in columns))
            before += batch.num_graphs
    network.train(training)
    predicted, truth, sample = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return predicted, truth, sample.astype(np.int64)


def evaluate(network: nn.Module, loader: Any) -> dict[str, float]:
    """Return the scores of a network on the samples of a loader: those of its target."""
    predicted, truth, _ = predict(network, loader)
    return network.readout.target.scores(truth, predicted)
