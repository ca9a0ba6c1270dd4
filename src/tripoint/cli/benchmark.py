"""tripoint train experiment=…: make samples, train all models, hold the outcomes against each other."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tripoint._version import __version__
from tripoint.cli.messages import complain, explained, say
from tripoint.cli.progress import shown
from tripoint.cli.settings import check_section, check_text
from tripoint.cli.sweep import Runs, cores, count_jobs
from tripoint.errors import InputError
from tripoint.io.tables import plain
from tripoint.learn.benchmark import page
from tripoint.learn.benchmark.plan import Condition, carry_out_run, conditions_of, title
from tripoint.learn.benchmark.samples import Sets, make_sample
from tripoint.learn.benchmark.verdict import gains, outcomes

SLOW = ("hetero", "kirchhoff", "gatv2", "gine")
"""Models that take long, which begin first so that the cores end together."""


def run(settings: dict[str, Any]) -> dict[str, Any]:
    """Carry a benchmark out, or go on with one that was stopped; return what it came to."""
    root = check_text(settings, "output")
    section = check_section(settings, "benchmark")
    sets = Sets.of(section["common"], section["sets"])
    models = [composed(dict(entry)) for entry in section["models"]]
    conditions = conditions_of(section["conditions"], sets, models, section["seeds"])
    jobs = count_jobs(settings["jobs"], parallel=True)
    begun = time.perf_counter()
    Path(root).mkdir(parents=True, exist_ok=True)
    making = [
        (make_sample, one, seed, root)
        for one in sets.sets.values()
        for seed in range(one.first, one.first + one.count)
    ]
    training = [
        (carry_out_run, condition, model, seed, root) for condition, model, seed in _ordered(conditions)
    ]
    spent = {
        "making": _all("making samples", making, jobs),
        "training": _all("training", training, jobs),
    }
    return _conclude(root, conditions, spent, time.perf_counter() - begun, jobs)


def composed(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a model of ``conf/model`` with what a benchmark changes in it.

    ``features`` is the set of a model that sees no graph; ``epochs`` and ``batch_size`` go to the training;
    the rest are values of the file.
    """
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    name = entry.pop("model")
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("tripoint.conf", version_base="1.3"):
            composed = compose("train", overrides=[f"model={name}"])
    finally:
        GlobalHydra.instance().hydra = before
    train = {key: entry.pop(key) for key in ("epochs", "patience", "batch_size") if key in entry}
    settings = OmegaConf.to_container(OmegaConf.merge(composed.model, entry), resolve=True)
    assert isinstance(settings, dict)
    defaults = {key: composed.training[key] for key in ("epochs", "patience", "batch_size")}
    return {**{str(key): value for key, value in settings.items()}, "train": {**defaults, **train}}


def _ordered(conditions: Iterable[Condition]) -> list[tuple[Condition, Any, int]]:
    """Return all runs of one condition after the other, in each those first that take long."""
    place = {name: at for at, name in enumerate(SLOW)}
    return [
        (condition, model, seed)
        for condition in conditions
        for model, seed in sorted(condition.runs(), key=lambda run: place.get(str(run[0]["name"]), len(SLOW)))
    ]


def _all(what: str, tasks: list[tuple[Any, ...]], jobs: int) -> float:
    """Do all tasks, several at a time; return the seconds of processor time that they took.

    Raises
    ------
    InputError
        Some of them failed; the others are done.
    """
    runs = Runs(jobs)
    failures: list[str] = []
    spent = 0.0
    try:
        for task in tasks:
            runs.submit(_apart, *task)
        with shown() as progress:
            for seconds, failure in runs.results(lambda _, done, total: progress(what, done, total)):
                spent += seconds
                if failure is not None:
                    failures.append(failure)
                    complain(failure)
    finally:
        runs.close()
    if failures:
        message = (
            f"{len(failures)} of {len(tasks)} parts failed; the others stay, start again when it is mended"
        )
        raise InputError(message)
    return spent


def _apart(task: Callable[..., float], *arguments: Any) -> tuple[float, str | None]:
    """Do a task in a process of its own; return the seconds it took, and the sentence where it failed."""
    logging.getLogger("tripoint").setLevel(logging.ERROR)
    try:
        return task(*arguments), None
    except Exception as error:
        return 0.0, explained(error)


def _conclude(
    root: str, conditions: list[Condition], spent: dict[str, float], wall: float, jobs: int
) -> dict[str, Any]:
    """Write the table and the figures, and say where they are."""
    found = outcomes(conditions, root)
    lower = gains(found, conditions, root)
    times = _times(Path(root) / "times.json", {**spent, "wall": wall})
    folder = Path(root)
    found.to_csv(folder / "benchmark.csv", index=False)
    record = {
        "benchmark": "activity",
        "tripoint": __version__,
        "machine": {"cores": cores(), "jobs": jobs, "load": os.getloadavg()},
        "seconds": times,
        "conditions": {
            one.name: {
                "train": one.train,
                "validation": one.validation,
                "test": one.test,
                "noise": one.noise,
                "share": one.share,
                "seeds": list(one.seeds),
                "models": [title(model) for model in one.models],
            }
            for one in conditions
        },
        "outcomes": found.to_dict("records"),
        "gains": lower.to_dict("records"),
    }
    (folder / "benchmark.json").write_text(json.dumps(plain(record), indent=1) + "\n")
    say(str(page.write(found, lower, folder)))
    return {"scores": {}, **record}


def _times(path: Path, spent: dict[str, float]) -> dict[str, float]:
    """Add up what a benchmark took, over all times that it was started."""
    before = json.loads(path.read_text()) if path.is_file() else {}
    total = {name: seconds + before.get(name, 0.0) for name, seconds in spent.items()}
    path.write_text(json.dumps(total) + "\n")
    return total
