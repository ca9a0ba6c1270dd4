"""A run: a model fitted with some settings, tested, and recorded in a folder."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tripoint._version import __version__
from tripoint.errors import OutputError, TripointError
from tripoint.learn import records
from tripoint.learn.assessment import assess, summarise
from tripoint.learn.checkpoint import Trained
from tripoint.learn.conformal import coverage
from tripoint.learn.data import Graphs
from tripoint.learn.ensemble import Ensemble
from tripoint.learn.fitting import fit
from tripoint.learn.labels import MeasuredLabels
from tripoint.learn.splitting import Split
from tripoint.learn.targets import Figure, FiguredGraphs, ParticleTarget, target_of
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
    target : str or mapping
        What is predicted, as `targets.target_of` takes it.
    ensemble : int
        Networks that are trained.
    noise, share : float
        Of the labels of all samples but those that are tested on (`labels.MeasuredLabels`).
    training : mapping
        Arguments of `training.train`: epochs, patience, batch_size, trainer.
    data : mapping
        What tells the graphs apart from others, such as the path of their database.
    """

    model: Mapping[str, Any]
    split: Split
    seed: int = 0
    target: str | Mapping[str, Any] = "activity"
    ensemble: int = 1
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
    split, target = trial.split, target_of(trial.target)
    held = (*split.train, *split.validation, *split.calibration)
    column = target.column if isinstance(target, ParticleTarget) else "activity"
    labelled = MeasuredLabels(graphs, held, trial.noise, trial.share, trial.seed, column)
    try:
        fitted = fit(
            labelled,
            trial.model,
            split,
            seed=trial.seed,
            target=target,
            members=trial.ensemble,
            folder=folder,
            progress=progress,
            **trial.training,
        )
    except TripointError:
        _withdraw(folder)
        raise
    figures: dict[str, Any] = {"seconds": time.perf_counter() - begun, "parameters": _parameters(fitted)}
    if split.validation:
        figures["validation"] = summarise(assess(fitted, labelled, split.validation), target)
    if split.test:
        tests = {"test": (graphs, split.test), **tests}
        figures["coverage"] = _coverage(fitted, graphs, split.test)
    found = {name: assess(fitted, among, samples) for name, (among, samples) in tests.items()}
    return records.write(folder, key, found, target, **figures, tripoint=__version__)


def _parameters(fitted: Any) -> int | None:
    """Return how many numbers were learned; None of a model that is no network."""
    members = fitted.members if isinstance(fitted, Ensemble) else (fitted,)
    if not all(isinstance(member, Trained) for member in members):
        return None
    return sum(values.numel() for member in members for values in member.network.parameters())


def _coverage(fitted: Any, graphs: Graphs, samples: Sequence[str]) -> list[dict[Hashable, Any]] | None:
    """Return whether intervals hold what they promise (`conformal.coverage`); None where there are none."""
    conformal = getattr(fitted, "conformal", None)
    if conformal is None:
        return None
    graphs = FiguredGraphs(graphs) if isinstance(fitted.target, Figure) else graphs
    return coverage(fitted, conformal, graphs, samples).to_dict("records")


def _claimed(folder: Path, settings: Mapping[str, Any], overwrite: bool) -> dict[str, Any] | None:
    """Return the record where this very run is complete; else make its folder ready."""
    key = records.key_of(settings)
    record = records.read(folder)
    if record is not None and record["key"] == key:
        return record
    if folder.is_file():
        message = f"{folder} is a file; choose a folder as output="
        raise OutputError(message)
    begun = folder.exists() and any(path.name != STARTED for path in folder.iterdir())
    if begun and _key_in(folder) != key:
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


def _withdraw(folder: Path) -> None:
    """Remove the folder of a run of which nothing was done."""
    if [path.name for path in folder.iterdir()] == [STARTED]:
        shutil.rmtree(folder)


def _key_in(folder: Path) -> str | None:
    """Return which run was begun in a folder."""
    try:
        return str(json.loads((folder / STARTED).read_text())["key"])
    except (OSError, ValueError, KeyError):
        return None
