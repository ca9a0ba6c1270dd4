"""The folder of a run: what was fitted, how, to what, and how far off it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tripoint.database.content import hash_settings
from tripoint.errors import InputError
from tripoint.io.tables import plain
from tripoint.learn.assessment import ACTIVITY, summarise
from tripoint.learn.targets import Target

RECORD = "run.json"
FORM = 1

CHOSEN_BY = "validation"
"""Column of the error on the samples that runs are to be chosen by, never on those that are tested on."""


def write(
    folder: str | Path,
    settings: Mapping[str, Any],
    found: Mapping[str, pd.DataFrame],
    target: Target = ACTIVITY,
    **figures: Any,
) -> dict[str, Any]:
    """Write predictions, scores and settings of a run; with ``run.json``, written last, it is complete.

    Parameters
    ----------
    folder : path
    settings : mapping
        All that decides what comes out: by their hash a run is known again.
    found : mapping of str to DataFrame
        What `assessment.assess` found, by the name of the set of samples.
    target : Target
        What was predicted.
    **figures
        Further entries, such as the split and the seconds it took.

    Returns
    -------
    dict
        The record.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "form": FORM,
        "key": key_of(settings),
        "settings": plain(settings),
        "scores": {name: plain(summarise(frame, target)) for name, frame in found.items()},
        **plain(figures),
    }
    for name, frame in found.items():
        frame.to_parquet(folder / f"predictions_{name}.parquet", index=False)
    beside = folder / f".{RECORD}"
    beside.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(beside, folder / RECORD)
    return record


def key_of(settings: Mapping[str, Any]) -> str:
    """Return the hash by which a run is known again."""
    return hash_settings(plain(settings))


def read(folder: str | Path) -> dict[str, Any] | None:
    """Return the record of a run; None where there is none, or one that is not complete.

    Raises
    ------
    InputError
        A record that is damaged, or of another form.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        message = f"{path} is damaged; remove its folder and train again"
        raise InputError(message) from error
    if not isinstance(record, dict) or record.get("form") != FORM:
        message = f"{path} is no record of a run of this version; remove its folder and train again"
        raise InputError(message)
    return record


def collect(folders: Iterable[str | Path]) -> pd.DataFrame:
    """Put runs into one table, those that are not complete left out.

    Returns
    -------
    DataFrame
        A row per run and set of samples that it was tested on: ``run`` (folder), ``model``, ``features``,
        ``target``, ``seed``, every other setting that is not the same in all runs (``training.epochs``),
        ``parameters``, ``seconds``, `CHOSEN_BY`, ``tested_on``, and its scores.
    """
    rows, settings_of = [], {}
    for folder in folders:
        record = read(folder)
        if record is None:
            continue
        settings = record["settings"]
        model = settings.get("model", {})
        same = {
            "run": str(folder),
            "model": model.get("name"),
            "features": model.get("features") or model.get("view", {}).get("features"),
            "target": _name(settings.get("target")),
            "seed": settings.get("seed"),
        }
        settings_of[str(folder)] = flat({**settings, "split": None})
        same |= {
            "parameters": record.get("parameters"),
            "seconds": record.get("seconds"),
            CHOSEN_BY: first_score(record.get("validation") or {}),
        }
        rows += [{**same, "tested_on": name, **scores} for name, scores in record["scores"].items()]
    frame = pd.DataFrame(rows)
    differing = pd.DataFrame(settings_of.values(), index=list(settings_of), dtype=object)
    for name in reversed([name for name, one in differing.items() if len(set(map(str, one))) > 1]):
        frame.insert(list(frame.columns).index("seed") + 1, name, frame["run"].map(differing[name]))
    return frame


def first_score(scores: Mapping[str, Any]) -> float | None:
    """Return the score that says how good a run is, the less the better; None where there is none."""
    return next((scores[name] for name in ("mae", "brier") if scores.get(name) is not None), None)


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return settings within settings by their names with dots, those at the top left out."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{name}.")
        elif above and f"{above}{name}" not in ("model.name", "model.features", "target.name"):
            found[f"{above}{name}"] = value
    return found


def _name(target: Any) -> Any:
    return target.get("name") if isinstance(target, Mapping) else target
