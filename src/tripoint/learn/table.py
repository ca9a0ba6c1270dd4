"""One table of many runs: as CSV for other programs, as a page to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tripoint.errors import InputError
from tripoint.learn import records
from tripoint.report import runs

CSV, PAGE = "runs.csv", "runs.html"
MEASURES = {
    "mae": "mean absolute error",
    "brier": "Brier score",
}
"""Scores by which runs are drawn, what there is of them first."""


def write(frame: pd.DataFrame, folder: str | Path, title: str = "Runs") -> Path:
    """Write ``runs.csv``, a row per run and set of samples, and ``runs.html``.

    Parameters
    ----------
    frame : DataFrame
        As `records.collect` returns it.
    folder : path
    title : str

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        There are no runs.
    OutputError
        The folder cannot be written to.
    """
    if frame.empty:
        message = "there is no complete run to put into a table"
        raise InputError(message)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / CSV, index=False)
    sections = [_section(str(name), part) for name, part in frame.groupby("tested_on", sort=False)]
    scores = [name for name in (*MEASURES, "linear_mae", "r2", records.CHOSEN_BY) if name in frame.columns]
    if scores and len(set(frame["seed"])) > 1:
        sections.append(runs.Section("Mean and s.d. over seeds", frame=over_seeds(frame, scores)))
    every = runs.Section("All runs", frame=frame)
    return runs.write(folder / PAGE, title, [*sections, every])


def over_seeds(frame: pd.DataFrame, scores: Sequence[str]) -> pd.DataFrame:
    """Return mean and s.d. over seeds of some scores: a row per model, settings that differ, and samples."""
    same = ["model", "features", *(name for name in frame.columns if "." in name), "tested_on"]
    frame = frame.assign(**{name: frame[name].astype(object).where(frame[name].notna(), "") for name in same})
    grouped = frame.groupby(same, sort=False)[list(scores)]
    both = grouped.mean().join(grouped.std(ddof=1), lsuffix="", rsuffix="_sd")
    return both.join(grouped.size().rename("seeds")).reset_index()


def _section(name: str, part: pd.DataFrame) -> runs.Section:
    score = next(
        (column for column in MEASURES if column in part.columns and part[column].notna().any()), None
    )
    if score is None:
        return runs.Section(f"Tested on {name}")
    bars = []
    for (model, features), rows in part.fillna({"features": ""}).groupby(["model", "features"], sort=False):
        low, high = (rows.get(f"{score}_{end}") for end in ("low", "high"))
        bars.append(
            runs.Bar(
                f"{model} {features}".strip(),
                tuple(rows[score].astype(float)),
                None if low is None else float(low.mean()),
                None if high is None else float(high.mean()),
            )
        )
    bars.sort(key=lambda bar: sum(bar.values) / len(bar.values))
    axis = f"{MEASURES[score]}; a dot per run, the line is the 95 % interval over samples"
    return runs.Section(f"Tested on {name}", (), tuple(bars), axis)
