"""A run: a model fitted with some settings, tested, and recorded in a folder."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tripoint._version import __version__
from tripoint.errors import OutputError
from tripoint.learn import records
from tripoint.learn.assessment import assess, summarise
from tripoint.learn.checkpoint import Trained
from tripoint.learn.data import Graphs
from tripoint.learn.fitting import fit
from tripoint.learn.labels import MeasuredLabels
from tripoint.learn.splitting import Split
from tripoint.record import Progress

STARTED = "settings.json"


@dataclass(frozen=True)
class Trial:
    """What is fitted to what, and how.

    Parameters
    ----------
    model : mapping
        As the files of ``conf/model``.
    split : Split
    seed : int
    noise, share : float
        Of the labels of the training and the validation split (`labels.MeasuredLabels`).
    training : mapping
        Arguments of `training.train`: epochs, patience, batch_size, trainer.
    data : mapping
        What tells the graphs apart from others, such as the path of their database.
    """

    model: Mapping[str, Any]
    split: Split
    seed: int = 0
    noise: float = 0.0
    share: float = 1.0
    training: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values: two trials with the same ones have the same outcome."""
        return {**asdict(self), "split": self.split.to_mapping(), "tripoint": __version__}


def carry_out(
    trial: Trial,
    graphs: Graphs,
    folder: str | Path,
    *,
    tests: Mapping[str, tuple[Graphs, Sequence[str]]] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fit, test and record; what was stopped goes on, and what is complete is not done again.

    Parameters
    ----------
    trial : Trial
    graphs : GraphDatabase or mapping of str to Graph
    folder : path
    tests : mapping, optional
        Further samples to test on, by the name of the set: graphs and the names of samples in them.
    overwrite : bool
        Whether another run that the folder holds may be replaced.
    progress : callable, optional
        Told ``(step, done, total)`` as each epoch begins.

    Returns
    -------
    dict
        The record, as ``run.json`` holds it.

    Raises
    ------
    InputError
        What fitting refuses.
    OutputError
        The folder holds another run, or cannot be written to.
    """
    folder, tests = Path(folder), dict(tests or {})
    key = {**trial.to_mapping(), "tests": {name: list(samples) for name, (_, samples) in tests.items()}}
    done = _claimed(folder, key, overwrite)
    if done is not None:
        return done
    begun = time.perf_counter()
    held = (*trial.split.train, *trial.split.validation)
    labelled = MeasuredLabels(graphs, held, trial.noise, trial.share, trial.seed)
    fitted = fit(
        labelled,
        trial.model,
        trial.split,
        seed=trial.seed,
        folder=folder,
        progress=progress,
        **trial.training,
    )
    seconds = time.perf_counter() - begun
    validation = None
    if trial.split.validation:
        validation = summarise(assess(fitted, labelled, trial.split.validation))
    if trial.split.test:
        tests = {"test": (graphs, trial.split.test), **tests}
    found = {name: assess(fitted, among, samples) for name, (among, samples) in tests.items()}
    parameters = None
    if isinstance(fitted, Trained):
        parameters = sum(values.numel() for values in fitted.network.parameters())
    figures = {"validation": validation, "seconds": seconds, "parameters": parameters}
    return records.write(folder, key, found, **figures, tripoint=__version__)


def _claimed(folder: Path, settings: Mapping[str, Any], overwrite: bool) -> dict[str, Any] | None:
    """Return the record where this very run is complete; else make its folder ready."""
    key = records.key_of(settings)
    record = records.read(folder)
    if record is not None and record["key"] == key:
        return record
    if folder.exists() and _key_in(folder) != key and (record is not None or any(folder.iterdir())):
        if not overwrite:
            message = (
                f"{folder} holds something else than a run with these settings; choose another output=, or "
                "set overwrite=true"
            )
            raise OutputError(message)
        if _key_in(folder) is None:
            message = f"{folder} holds no run of tripoint, so it is not replaced; choose another output="
            raise OutputError(message)
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{STARTED}"
        beside.write_text(json.dumps({"key": key}) + "\n")
        os.replace(beside, folder / STARTED)
    except OSError as error:
        message = f"cannot write to {folder}: {error.strerror}; choose another output="
        raise OutputError(message) from error
    return None


def _key_in(folder: Path) -> str | None:
    """Return which run was begun in a folder."""
    try:
        return str(json.loads((folder / STARTED).read_text())["key"])
    except (OSError, ValueError, KeyError):
        return None
