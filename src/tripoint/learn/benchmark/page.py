"""The outcomes of a benchmark as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tripoint.report import runs

PAGE = "benchmark.html"


def write(found: pd.DataFrame, lower: pd.DataFrame, folder: Path) -> Path:
    """Write a section per condition and set of samples, with a chart and a table; return the page."""
    sections = [
        _section(str(condition), str(tested), part.sort_values("mae"), lower)
        for (condition, tested), part in found.groupby(["condition", "tested_on"], sort=False)
    ]
    return runs.write(folder / PAGE, "Predicting local activity", sections)


def sentence(row: Mapping[Any, Any]) -> str:
    """Say how far a model lies below the strongest that sees no graph."""
    against = "the own features of a particle" if row["against"] == "own" else "any features"
    low, high = (f"{100 * row[key]:.0f}".replace("-", "−") for key in ("low", "high"))
    within = "" if pd.isna(row["low"]) else f" (95 % interval over samples {low} to {high} %)"
    return (
        f"{row['model']} is {_below(row['lower'])} the strongest model without a graph on {against}, "
        f"{row['rival']}{within}; on linear activity {_below(row['linear_lower'])} it."
    )


def _below(share: float) -> str:
    return f"{100 * abs(share):.0f} % {'below' if share >= 0 else 'above'}"


def _section(condition: str, tested: str, part: pd.DataFrame, lower: pd.DataFrame) -> runs.Section:
    bars = tuple(
        runs.Bar(str(row["model"]), (row["mae"],), row["mae_low"], row["mae_high"])
        for row in part.to_dict("records")
    )
    mine = lower[(lower["condition"] == condition) & (lower["tested_on"] == tested)]
    return runs.Section(
        f"Learned from {condition}, tested on {tested}",
        tuple(sentence(row) for row in mine.to_dict("records")),
        bars,
        "mean absolute error of log10 activity, mean over seeds; 95 % interval over samples",
        _table(part),
    )


def _table(part: pd.DataFrame) -> pd.DataFrame:
    def spread(name: str) -> pd.Series:
        return part.apply(lambda row: with_sd(row[name], row[f"{name}_sd"]), axis=1)

    return pd.DataFrame(
        {
            "model": part["model"],
            "kind": part["kind"],
            "MAE of log10 activity": spread("mae"),
            "95 % over samples": [
                "–" if pd.isna(a) else f"{a:.4f} – {b:.4f}"
                for a, b in zip(part["mae_low"], part["mae_high"], strict=True)
            ],
            "MAE of activity": spread("linear_mae"),
            "R²": spread("r2"),
            "seeds": part["seeds"],
            "samples": part["samples"],
            "particles": part["particles"],
            "parameters": ["–" if pd.isna(count) else str(int(count)) for count in part["parameters"]],
            "training, s": part["seconds"],
        }
    )


def with_sd(mean: float, sd: float | None) -> str:
    """Write a mean with its s.d. over seeds."""
    return f"{mean:.4f}" if sd is None or pd.isna(sd) else f"{mean:.4f} ± {sd:.4f}"
