"""tripoint train: a model learns from a database of graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tripoint.cli import tabulating
from tripoint.cli.messages import say
from tripoint.cli.outcomes import Done
from tripoint.cli.progress import shown
from tripoint.cli.samples import open_database, samples_of
from tripoint.cli.settings import check_number, check_section, check_switch, check_text
from tripoint.database import GraphDatabase
from tripoint.database.content import hash_settings
from tripoint.errors import InputError
from tripoint.learn import records
from tripoint.learn.conformal import LEVEL
from tripoint.learn.records import first_score
from tripoint.learn.splitting import Split
from tripoint.learn.trial import Trial, carry_out

SAID = {
    "mae": "mean absolute error of log10",
    "linear_mae": "of activity itself",
    "relative_mae": "relative error",
    "r2": "R²",
    "brier": "Brier score",
    "average_precision": "average precision",
    "roc_auc": "area under the ROC curve",
}
"""Scores in the words of the command line."""

conclude = tabulating.conclude


def run(settings: dict[str, Any]) -> Done | None:
    """Train and test a model, as ``conf/train.yaml`` says; return what a sweep asks for."""
    if settings.get("benchmark") is not None:
        from tripoint.cli.benchmark import run as run_benchmark

        run_benchmark(settings)
        return None
    database = str(check_text(settings, "database"))
    graphs = open_database(database)
    names = samples_of(graphs, settings["where"])
    labels, training = check_section(settings, "labels"), dict(check_section(settings, "training"))
    data = {"database": database, "content": _content(graphs, names)}
    tests = {}
    for name, path in check_section(settings, "tests").items():
        others = open_database(str(path))
        tests[str(name)] = (others, samples_of(others, None))
        data[f"content of {name}"] = _content(*tests[str(name)])
    trial = Trial(
        model=check_section(settings, "model"),
        split=_split(check_section(settings, "split"), names),
        seed=settings["seed"],
        target=_target(settings),
        ensemble=settings["ensemble"],
        noise=check_number(labels["noise"], "labels.noise"),
        share=check_number(labels["share"], "labels.share"),
        training={**training, "trainer": check_section(settings, "trainer")},
        data=data,
    )
    folder = check_text(settings, "output")
    overwrite = check_switch(settings, "overwrite")
    with shown() as progress:
        record = carry_out(trial, graphs, folder, tests=tests, overwrite=overwrite, progress=progress)
    for name, scores in record["scores"].items():
        say(f"{name}: {sentence(scores)}")
    for entry in record.get("coverage") or ():
        if entry["level"] == LEVEL and entry["promised"]:
            say(f"intervals of {LEVEL:.0%} hold {entry['coverage']:.1%} of what was tested")
    say(folder)
    return Done(folder, first_score(record.get("validation") or {}), settings["table"])


def sentence(scores: dict[str, Any]) -> str:
    """Say how far off predictions are."""
    parts = []
    for key, words in SAID.items():
        if scores.get(key) is not None:
            part = f"{words} {scores[key]:.4f}"
            if scores.get(f"{key}_low") is not None:
                part += f" [{scores[f'{key}_low']:.4f}, {scores[f'{key}_high']:.4f}]"
            parts.append(part)
    rows = f"{scores['particles']} particles of " if "particles" in scores else ""
    samples = f"{scores['samples']} sample{'s' * (scores['samples'] != 1)}"
    return f"{', '.join(parts)}, on {rows}{samples}"


def _target(settings: dict[str, Any]) -> dict[str, Any]:
    """Return what is predicted, with what the settings say of it."""
    target: dict[str, Any] = {"name": check_text(settings, "target")}
    if target["name"] in ("activity", "inactive"):
        target["column"] = check_text(settings, "column")
    if target["name"] == "inactive":
        target["threshold"] = check_number(settings["threshold"], "threshold")
    return target


def _content(graphs: GraphDatabase, names: list[str]) -> str:
    """Return a hash of the samples as they are now: a run of others with the same names is another run."""
    keys = graphs.sql("select sample, key from samples").set_index("sample")["key"]
    return hash_settings({name: str(keys.get(name)) for name in names})


def _split(section: dict[str, Any], names: list[str]) -> Split:
    """Return the split of another run, or draw one."""
    file = section["file"]
    if file is None:
        shares = {
            side: check_number(section[side], f"split.{side}")
            for side in ("validation", "calibration", "test")
        }
        return Split.of(names, **shares, seed=section["seed"])
    path = Path(str(file))
    record = records.read(path.parent if path.name == records.RECORD else path)
    if record is None:
        message = f"there is no run in {file}; give the folder of a run, or its {records.RECORD}"
        raise InputError(message)
    split = Split.from_mapping(record["settings"]["split"])
    missing = sorted({name for side in split.to_mapping().values() for name in side} - set(names))
    if missing:
        message = f"the split of {file} names sample '{missing[0]}', which is not among those taken"
        raise InputError(message)
    return split
