"""Which models learn from which samples, and what they are tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tripoint.database import GraphDatabase
from tripoint.errors import InputError
from tripoint.learn import records
from tripoint.learn.benchmark.samples import SampleSet, Sets
from tripoint.learn.splitting import Split
from tripoint.learn.trial import Trial, carry_out

UNSEEDED = ("median", "ridge", "gradient_boosting", "known")
"""Models in which nothing is drawn at random: one seed says all, unless the labels are noisy."""


@dataclass(frozen=True)
class Condition:
    """Labels that models learn from, and samples that they are tested on.

    Parameters
    ----------
    name : str
    learn : SampleSet
        Its samples are split in the order of their seeds: training, validation, test.
    train, validation, test : int
        Numbers of samples.
    noise, share : float
        Of the labels that are learned from (`labels.MeasuredLabels`).
    tests : tuple of SampleSet
        All of whose samples are tested on besides.
    models : tuple of mapping
        As the files of ``conf/model``, and ``training``'s arguments under ``train``.
    seeds : tuple of int
    """

    name: str
    learn: SampleSet
    train: int
    validation: int
    test: int
    noise: float
    share: float
    tests: tuple[SampleSet, ...]
    models: tuple[Mapping[str, Any], ...]
    seeds: tuple[int, ...]

    @property
    def split(self) -> Split:
        """The split of the samples that are learned from."""
        names = self.learn.samples
        ends = self.train, self.train + self.validation, self.train + self.validation + self.test
        if ends[2] > len(names):
            message = (
                f"'{self.name}' splits {ends[2]} samples, and the set '{self.learn.name}' has {len(names)}"
            )
            raise InputError(message)
        return Split(
            tuple(names[: ends[0]]), tuple(names[ends[0] : ends[1]]), tuple(names[ends[1] : ends[2]])
        )

    def runs(self) -> list[tuple[Mapping[str, Any], int]]:
        """Return every model with every seed."""
        exact = self.noise == 0 and self.share == 1
        return [
            (model, seed)
            for model in self.models
            for seed in (self.seeds[:1] if exact and model["name"] in UNSEEDED else self.seeds)
        ]

    def folder(self, root: str, model: Mapping[str, Any], seed: int) -> Path:
        """Return the folder of a run."""
        return Path(root) / "runs" / self.name / f"{title(model)}_{seed}".replace(" ", "_")


def title(model: Mapping[str, Any]) -> str:
    """Return the name of a model, with its features where it sees no graph."""
    name = str(model["name"])
    return f"{name} {model['features']}" if "fit" in model and name != "median" else name


def conditions_of(
    given: Mapping[str, Mapping[str, Any]],
    sets: Sets,
    models: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
) -> list[Condition]:
    """Return the conditions of some plain values.

    Raises
    ------
    InputError
        A set or a value that there is not.
    """
    found = []
    for name, values in given.items():
        known = {"noise": 0.0, "share": 1.0, "tests": (), **values}
        known["learn"] = sets[str(known["learn"])]
        known["tests"] = tuple(sets[str(test)] for test in known["tests"])
        only = known.pop("models", None)
        chosen = tuple(model for model in models if only is None or title(model) in only)
        try:
            found.append(Condition(name, models=chosen, seeds=tuple(seeds), **known))
        except TypeError as error:
            message = f"the condition '{name}' does not fit: {error}"
            raise InputError(message) from error
    return found


def carry_out_run(condition: Condition, model: Mapping[str, Any], seed: int, root: str) -> float:
    """Fit and test one model with one seed; return the seconds it took, 0 where it was done before."""
    trial = Trial(
        model={key: value for key, value in model.items() if key != "train"},
        split=condition.split,
        seed=seed,
        noise=condition.noise,
        share=condition.share,
        training=model.get("train", {}),
        data={"database": condition.learn.name, "key": condition.learn.key(condition.learn.first)},
    )
    folder = condition.folder(root, model, seed)
    before = records.read(folder)
    tests = {test.name: (GraphDatabase(test.database(root)), test.samples) for test in condition.tests}
    graphs = GraphDatabase(condition.learn.database(root))
    record = carry_out(trial, graphs, folder, tests=tests, overwrite=True)
    done = before is not None and before["key"] == record["key"]
    return 0.0 if done else float(record["seconds"])
