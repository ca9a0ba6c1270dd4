"""Training a network on the graphs of many samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning

from tripoint.database.content import hash_settings
from tripoint.errors import InputError
from tripoint.io.tables import plain
from tripoint.learn.checkpoint import Trained, phases_of
from tripoint.learn.conformal import calibrate
from tripoint.learn.data import GraphDataModule, Graphs
from tripoint.learn.epochs import BestWeights, FiniteErrors, Metrics, OwnRandomNumbers, Resumable, Told
from tripoint.learn.features import materials_of
from tripoint.learn.module import check_labels
from tripoint.learn.splitting import Split
from tripoint.learn.targets import Figure, FiguredGraphs, Target, target_of, to_mapping
from tripoint.learn.trainers import fitting, make_trainer
from tripoint.record import Progress

WEIGHTS = "model.pt"

_ADVICE = (
    "try a smaller learning rate (model.training.rate=1e-3), trainer.precision=32-true, and look for huge "
    "values in the tables of the training samples"
)


def train(  # noqa: PLR0913  # each of them is one word on the command line
    graphs: Graphs,
    model: Mapping[str, Any],
    split: Split,
    *,
    epochs: int = 60,
    patience: int | None = None,
    batch_size: int = 4,
    seed: int = 0,
    target: str | Mapping[str, Any] | Target = "activity",
    folder: str | Path | None = None,
    trainer: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
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
        Of the weights and of the order of samples. On the host the same seed gives the same weights, on the
        same number of threads.
    target : str, mapping or Target
        What is predicted, as `targets.target_of` takes it.
    folder : path, optional
        Gets ``model.pt`` (`checkpoint.Trained`), ``metrics.csv`` (a row per epoch) and ``last.ckpt``, from
        which a training that was stopped goes on to the same weights as if it had not been.
    trainer : mapping, optional
        Settings of Lightning's ``Trainer``, such as accelerator, devices, precision, strategy;
        ``tensorboard``, whether the folder gets what TensorBoard reads; ``threads``, of PyTorch.
    progress : callable, optional
        Told ``(step, done, total)`` as each epoch begins.

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        Numbers that are none; a model without a network; a split without training samples; settings that
        do not fit, or are not those with which the folder's training was stopped; an error that is no
        number any more.
    DeviceError
        A GPU is asked for that is not there.
    """
    from hydra.utils import instantiate

    if "network" not in model or "view" not in model:
        name = model.get("name", "")
        message = f"the model {name!r} has no network to train; take one that has a view and a network"
        raise InputError(message)
    _check_whole(epochs=(epochs, 1), batch_size=(batch_size, 1), seed=(seed, 0))
    if patience is not None:
        _check_whole(patience=(patience, 1))
    lightning.seed_everything(seed, verbose=False)
    parts = instantiate(dict(model), _convert_="all")
    target = target_of(target)
    graphs = FiguredGraphs(graphs) if isinstance(target, Figure) else graphs
    view = replace(parts["view"], target=target)
    data = GraphDataModule(graphs, view, split, batch_size=batch_size, seed=seed)
    network = parts["network"](data.names, target=target)
    if "training" in parts:
        check_labels(network, data)
        network.readout.begin(network, data.train_dataloader())
        callbacks: list[Any] = [OwnRandomNumbers(seed), FiniteErrors(_ADVICE), Told(progress)]
        if split.validation:
            callbacks.append(BestWeights(patience))
        settings = dict(trainer or {})
        threads = settings.pop("threads", None)
        if threads is not None:
            _check_whole(threads=(threads, 1))
        resumable = None
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
            asked = (model, split.to_mapping(), to_mapping(target), epochs, patience, batch_size, seed)
            resumable = Resumable(folder, hash_settings(plain({"asked": asked})))
            callbacks += [Metrics(folder), resumable]
        fitting(
            make_trainer(settings, callbacks, epochs=epochs, folder=folder, validate=bool(split.validation)),
            parts["training"](network),
            data,
            resumable,
            threads,
        )
    phases = phases_of(materials_of(graphs[split.train[0]]))
    trained = Trained(network, view, data.names, data.scalings, split, dict(model), phases)
    if split.calibration:
        trained = replace(trained, conformal=calibrate(trained, graphs, split.calibration))
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        trained.save(Path(folder) / WEIGHTS)
    return trained


def _check_whole(**given: tuple[Any, int]) -> None:
    """Refuse what is no whole number, or below the least one that makes sense."""
    for name, (value, least) in given.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            message = f"{name} is {value!r}; expected a whole number of at least {least}"
            raise InputError(message)
