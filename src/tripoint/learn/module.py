"""The Lightning module: how a network is trained to predict log-activity."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import nn

from tripoint.learn.scores import scores
from tripoint.learn.views import labels_of


class ActivityModule(LightningModule):
    """Train a network on the mean absolute error of log-activity, by Adam with a rate that falls as a cosine.

    Parameters
    ----------
    network : Module
        Predicts the log-activity of every particle of a batch.
    rate : float
        Learning rate at the beginning.
    weight_decay : float
    constants_rate : float
        Learning rate of a parameter of the network called ``constants``, if it has one.

    Notes
    -----
    Logs ``train_mae`` and ``validation_mae``, per epoch and over particles with a label.
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

    def forward(self, data: Any) -> torch.Tensor:
        """Return the log-activity of every particle of a batch."""
        return self.network(data)

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        """Return the error of a batch."""
        return self._error(batch, "train_mae")

    def validation_step(self, batch: Any, _: int) -> None:
        """Log the error of a batch."""
        self._error(batch, "validation_mae")

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

    def _error(self, batch: Any, name: str) -> torch.Tensor:
        labels = labels_of(batch)
        known = labels["labelled"]
        predicted = self.network(batch)[known]
        error = (predicted - labels["y"][known].to(predicted)).abs().mean()
        self.log(name, error, on_step=False, on_epoch=True, batch_size=int(known.sum()))
        return error


def predict(network: nn.Module, loader: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predict all labelled particles of a loader.

    Returns
    -------
    predicted, activity, sample : (particles,)
        Log-activity, true activity, and the number of the sample in the loader's order.
    """
    training = network.training
    network.eval()
    parts: list[tuple[np.ndarray, ...]] = []
    before = 0
    with torch.no_grad():
        for batch in loader:
            labels = labels_of(batch)
            known = labels["labelled"]
            columns = (network(batch)[known], labels["activity"][known], labels["sample"][known] + before)
            parts.append(tuple(values.cpu().numpy().astype(np.float64) for values in columns))
            before += batch.num_graphs
    network.train(training)
    predicted, activity, sample = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return predicted, activity, sample.astype(np.int64)


def evaluate(network: nn.Module, loader: Any) -> dict[str, float]:
    """Return the `scores` of a network on the samples of a loader."""
    predicted, activity, _ = predict(network, loader)
    return scores(activity, predicted)
