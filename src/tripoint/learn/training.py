"""Training a network on the graphs of many samples."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger

from tripoint.errors import InputError
from tripoint.learn.checkpoint import Trained
from tripoint.learn.data import GraphDataModule, Graphs
from tripoint.learn.splitting import Split

MEASURE = "validation_mae"
WEIGHTS, RESUME = "model.pt", "last.ckpt"


def train(
    graphs: Graphs,
    model: Mapping[str, Any],
    split: Split,
    *,
    epochs: int = 60,
    patience: int | None = None,
    batch_size: int = 4,
    seed: int = 0,
    folder: str | Path | None = None,
    trainer: Mapping[str, Any] | None = None,
) -> Trained:
    """Train a network, and keep the weights of the epoch that fits the validation split best.

    Parameters
    ----------
    graphs : GraphDatabase or mapping of str to Graph
    model : mapping
        As the files of ``conf/model``: ``view``, ``network`` and ``training``; without ``training``
        nothing is learned.
    split : Split
        Without validation samples all epochs are trained and the last weights kept.
    epochs : int
    patience : int, optional
        Epochs without a better one after which training stops; by default none stops it.
    batch_size : int
        Samples per step.
    seed : int
        Of the weights and of the order of samples. On the host the same seed gives the same weights.
    folder : path, optional
        Gets ``model.pt`` (`checkpoint.Trained`), ``metrics.csv`` (of this run) and ``last.ckpt``, from which
        a training that was stopped goes on.
    trainer : mapping, optional
        Further settings of Lightning's ``Trainer``, such as accelerator, devices, precision, strategy.

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        A model without a network; a split without training samples.
    """
    from hydra.utils import instantiate

    if "network" not in model or "view" not in model:
        name = model.get("name", "")
        message = f"the model {name!r} has no network to train; take one that has a view and a network"
        raise InputError(message)
    lightning.seed_everything(seed, verbose=False)
    parts = instantiate(dict(model), _convert_="all")
    data = GraphDataModule(graphs, parts["view"], split, batch_size=batch_size, seed=seed)
    network = parts["network"](data.names)
    if "training" in parts:
        _fit(parts["training"](network), data, epochs, patience, folder, dict(trainer or {}))
    trained = Trained(network, parts["view"], data.names, data.scalings, split, dict(model))
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        trained.save(Path(folder) / WEIGHTS)
    return trained


class BestWeights(Callback):
    """Keep the weights of the best epoch in memory, and put them back when training ends."""

    def __init__(self) -> None:
        self.least = float("inf")
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Look at the error of the validation split."""
        error = trainer.callback_metrics.get(MEASURE)
        if error is not None and float(error) < self.least:
            self.least = float(error)
            state = pl_module.network.state_dict()
            self.weights = {name: values.detach().clone() for name, values in state.items()}

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Put the best weights back."""
        if self.weights:
            pl_module.network.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it."""
        return {"least": self.least, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self.least, self.weights = state_dict["least"], state_dict["weights"]


def _fit(
    module: Any,
    data: GraphDataModule,
    epochs: int,
    patience: int | None,
    folder: str | Path | None,
    settings: dict[str, Any],
) -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    validated = bool(data.split.validation)
    callbacks: list[Any] = [BestWeights()] if validated else []
    if validated and patience is not None:
        callbacks.append(EarlyStopping(MEASURE, patience=patience))
    resume = None
    if folder is not None:
        callbacks.append(
            ModelCheckpoint(str(folder), save_last=True, save_top_k=0, enable_version_counter=False)
        )
        resume = str(Path(folder) / RESUME) if (Path(folder) / RESUME).is_file() else None
    chosen = {
        "accelerator": "cpu",
        "devices": 1,
        "deterministic": True,
        "gradient_clip_val": 1.0,
        "enable_progress_bar": False,
        "logger": CSVLogger(str(folder), name="", version="") if folder is not None else False,
        **settings,
    }
    with warnings.catch_warnings():
        # What Lightning advises of processes for loading: samples are in memory.
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        lightning.Trainer(
            max_epochs=epochs,
            callbacks=callbacks,
            enable_checkpointing=folder is not None,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=1.0 if validated else 0,
            log_every_n_steps=1,
            **chosen,
        ).fit(module, data, ckpt_path=resume)
