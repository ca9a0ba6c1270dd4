"""The Lightning module: how a network learns phases from patches."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import nn
from torch.nn import functional

from tripoint.segment.annotation import UNLABELLED


class SegmentationModule(LightningModule):
    """Train on cross-entropy, weighted towards interfaces, and Dice, by Adam.

    The rate rises in the first tenth of the steps and falls in the rest.

    Parameters
    ----------
    network : Module
    rate : float
        Highest learning rate.
    weight_decay : float
    dice : float
        Weight of the Dice loss, beside 1 of the cross-entropy.
    class_weights : (phases,), optional
        Of each phase in the cross-entropy.

    Notes
    -----
    Logs ``train_loss``, ``validation_loss`` and ``validation_dice``, the mean over the phases.
    """

    measure = "validation_loss"

    def __init__(
        self,
        network: nn.Module,
        *,
        rate: float = 3e-3,
        weight_decay: float = 1e-4,
        dice: float = 1.0,
        class_weights: Any = None,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.rate, self.weight_decay, self.dice = rate, weight_decay, dice
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)
        self.sums: torch.Tensor | None = None

    def forward(self, grey: torch.Tensor) -> torch.Tensor:
        """Return the scores of the phases."""
        return self.network(grey.contiguous(memory_format=torch.channels_last))

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        """Return the loss of a batch."""
        grey, classes, weights = batch
        loss, _ = self._loss(self(grey), classes, weights)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(grey), sync_dist=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Begin to count."""
        self.sums = None

    def validation_step(self, batch: Any, _: int) -> None:
        """Log the loss of a batch, and count what the Dice of all of them needs."""
        grey, classes, weights = batch
        scores = self(grey)
        loss, _ = self._loss(scores, classes, weights)
        self.log(self.measure, loss, on_step=False, on_epoch=True, batch_size=len(grey), sync_dist=True)
        found = functional.one_hot(scores.argmax(1), scores.shape[1])
        truth, known = _one_hot(classes, scores.shape[1])
        found = found.movedim(-1, 1) * known
        sums = torch.stack([part.sum((0, 2, 3)) for part in (found * truth, found, truth)])
        self.sums = sums if self.sums is None else self.sums + sums

    def on_validation_epoch_end(self) -> None:
        """Log the mean Dice of the phases that are there."""
        if self.sums is not None:
            both, found, truth = self.sums
            there = truth > 0
            dice = (2 * both[there] / (found + truth)[there]).mean()
            self.log("validation_dice", dice, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Return Adam, and the course of its rate over all steps."""
        optimizer = torch.optim.AdamW(self.parameters(), self.rate, weight_decay=self.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.rate, total_steps=steps, pct_start=0.1)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def _loss(
        self, scores: torch.Tensor, classes: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss: Σ w · −log p / Σ w, and 1 − mean Dice over the labelled pixels."""
        scores = scores.float()
        logs = functional.log_softmax(scores, 1)
        truth, known = _one_hot(classes, scores.shape[1])
        if self.class_weights is not None:
            weights = weights * (truth * self.class_weights[:, None, None]).sum(1)
        entropy = -(logs * truth).sum(1)
        entropy = (entropy * weights).sum() / weights.sum().clamp(min=1e-6)
        found = logs.exp() * known
        both, total = (found * truth).sum((0, 2, 3)), (found + truth).sum((0, 2, 3))
        dice = 1 - ((2 * both + 1) / (total + 1)).mean()
        return entropy + self.dice * dice, dice


def _one_hot(classes: torch.Tensor, phases: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (batch, phases, y, x) of 0 and 1, and (batch, 1, y, x) where something is labelled."""
    known = classes != UNLABELLED
    truth = functional.one_hot(classes.where(known, 0), phases).movedim(-1, 1)
    known = known[:, None]
    return (truth * known).float(), known.float()
