"""What is done beside the steps of a training: random numbers, the best weights, the record of its epochs."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint

from tripoint.errors import InputError
from tripoint.record import Progress

METRICS, RESUME = "metrics.csv", "last.ckpt"


class OwnRandomNumbers(Callback):
    """Give every step random numbers of its own, so that a training goes on as if it had not been stopped.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Begin anew, by seed, epoch, step and process."""
        of_step = np.random.SeedSequence([self.seed, trainer.current_epoch, batch_idx, trainer.global_rank])
        torch.manual_seed(int(of_step.generate_state(1)[0]))


class BestWeights(Callback):
    """Keep the weights of the best epoch in memory, put them back when training ends, and end it.

    Parameters
    ----------
    patience : int, optional
        Epochs without a better one after which training stops.
    """

    def __init__(self, patience: int | None = None) -> None:
        self.patience = patience
        self.least = float("inf")
        self.waited = 0
        self.weights: dict[str, torch.Tensor] = {}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Stop a training that goes on after it had ended."""
        self._stop_if_patience_ends(trainer)

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Look at the error of the validation split."""
        error = trainer.callback_metrics.get(pl_module.measure)
        if error is None:
            return
        self.waited += 1
        if float(error) < self.least:
            self.least, self.waited = float(error), 0
            state = pl_module.network.state_dict()
            self.weights = {name: values.detach().clone() for name, values in state.items()}
        self._stop_if_patience_ends(trainer)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Put the best weights back."""
        if self.weights:
            pl_module.network.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it."""
        return {"least": self.least, "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self.least, self.waited = state_dict["least"], state_dict["waited"]
        self.weights = state_dict["weights"]

    def _stop_if_patience_ends(self, trainer: Any) -> None:
        if self.patience is not None and self.waited >= self.patience:
            trainer.should_stop = True


class FiniteErrors(Callback):
    """End a training whose error is no number any more.

    Parameters
    ----------
    advice : str
        What to try.

    Raises
    ------
    InputError
        At the end of such an epoch, before it is recorded.
    """

    def __init__(self, advice: str) -> None:
        self.advice = advice

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Look at all that was logged."""
        for name, value in trainer.callback_metrics.items():
            if not math.isfinite(float(value)):
                message = f"{name} is {float(value)} in epoch {trainer.current_epoch}; {self.advice}"
                raise InputError(message)


class Metrics(Callback):
    """Write ``metrics.csv``: a row per epoch, with the learning rate and all that was logged.

    Parameters
    ----------
    folder : path
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / METRICS
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the rows so far."""
        logged = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.rows.append({"epoch": trainer.current_epoch, "rate": rate, **logged})
        if trainer.is_global_zero:
            beside = self.path.with_name(f".{METRICS}")
            pd.DataFrame(self.rows).to_csv(beside, index=False)
            os.replace(beside, self.path)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self.rows = list(state_dict["rows"])


class Resumable(Checkpoint):
    """Write ``last.ckpt`` after each epoch, from which a training goes on as if it had not been stopped.

    Parameters
    ----------
    folder : path
    settings : str
        Hash of all that the training does; it goes on with the same only.
    """

    def __init__(self, folder: str | Path, settings: str) -> None:
        self.path, self.settings = Path(folder) / RESUME, settings

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Write beside and rename, as Lightning does."""
        trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it."""
        return {"settings": self.settings}

    def where_it_stopped(self) -> str | None:
        """Return the file to go on from, None where there is none.

        Raises
        ------
        InputError
            One of another training, or a damaged one.
        """
        if not self.path.is_file():
            return None
        try:
            content = torch.load(self.path, weights_only=True, map_location="cpu")
            settings = content["callbacks"][self.state_key]["settings"]
        except Exception as error:  # whatever a file that is no checkpoint makes of the reader
            message = f"{self.path} is damaged, or not of this version; remove it, and training begins anew"
            raise InputError(message) from error
        if settings != self.settings:
            message = (
                f"{self.path} is of a training with other settings, samples or seed; choose another folder, "
                "or remove it, and training begins anew"
            )
            raise InputError(message)
        return str(self.path)


class Told(Callback):
    """Tell how far a training is.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(step, done, total)``; other processes of the training tell nothing.
    """

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Say which epoch begins, and how far off the best one was."""
        if self.progress is not None:
            error = trainer.callback_metrics.get(pl_module.measure)
            reached = "" if error is None else f", validation {float(error):.3f}"
            self.progress(f"training{reached}", trainer.current_epoch, trainer.max_epochs)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Say that it is over."""
        if self.progress is not None:
            self.progress("training", trainer.max_epochs, trainer.max_epochs)

    def __getstate__(self) -> dict[str, Any]:
        """Return what other processes know of it."""
        return {"progress": None}
