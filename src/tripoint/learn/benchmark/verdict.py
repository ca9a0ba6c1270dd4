"""The outcomes of a benchmark held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tripoint.learn import records
from tripoint.learn.assessment import errors
from tripoint.learn.benchmark.plan import Condition, title
from tripoint.learn.scores import bootstrap

GRAPH_FREE = ("median", "ridge", "gradient_boosting", "mlp")
MESSAGE_PASSING = ("gine", "gatv2", "hetero")
CIRCUIT, CORRECTED = ("kirchhoff",), ("corrected",)


def outcomes(conditions: Sequence[Condition], root: str) -> pd.DataFrame:
    """Return a row per condition, set of samples and model.

    Returns
    -------
    DataFrame
        ``condition``, ``tested_on``, ``model`` (title), ``kind``, ``seeds``; ``mae``, ``linear_mae``, ``r2``:
        mean over seeds, with ``_sd``; ``mae_low``, ``mae_high``: 95 % interval when samples are drawn anew,
        of the error averaged over seeds; ``parameters``, ``seconds`` (mean).
    """
    rows = []
    for condition in conditions:
        for model in condition.models:
            seeds = [seed for other, seed in condition.runs() if other is model]
            folders = [condition.folder(root, model, seed) for seed in seeds]
            done = [(folder, record) for folder in folders if (record := records.read(folder)) is not None]
            for tested in done[0][1]["scores"] if done else ():
                rows.append(_row(condition.name, model, tested, done))
    return pd.DataFrame(rows)


def gains(found: pd.DataFrame, conditions: Sequence[Condition], root: str) -> pd.DataFrame:
    """Return how far the best graph models lie below the strongest models that see no graph.

    Returns
    -------
    DataFrame
        Per condition and set of samples, a row for message passing and each circuit against the strongest
        graph-free model on the set of features ``own`` and on any: ``lower``, 1 − ratio of the mean absolute
        errors of log-activity, with its 95 % interval over samples (the same draws for both), and
        ``linear_lower``.
    """
    rows = []
    by_name = {condition.name: condition for condition in conditions}
    for (name, tested), part in found.groupby(["condition", "tested_on"], sort=False):
        graph_free = part[part["kind"] == "graph-free"]
        sets = {"own": graph_free[graph_free["features"].isin(["size", "own"])], "any": graph_free}
        for kind in ("message passing", "kirchhoff", "corrected circuit"):
            mine = part[part["kind"] == kind]
            for which, others in sets.items():
                if mine.empty or others.empty:
                    continue
                best, rival = (str(one.sort_values("mae")["model"].iloc[0]) for one in (mine, others))
                pair = [_errors(by_name[str(name)], model, str(tested), root) for model in (best, rival)]
                rows.append(
                    {
                        "condition": name,
                        "tested_on": tested,
                        "kind": kind,
                        "model": best,
                        "against": which,
                        "rival": rival,
                        **_lower(*pair),
                    }
                )
    return pd.DataFrame(rows)


def _row(condition: str, model: Any, tested: str, done: list[tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    scores = pd.DataFrame([record["scores"][tested] for _, record in done])
    frames = [pd.read_parquet(folder / f"predictions_{tested}.parquet") for folder, _ in done]
    error = np.mean([errors(frame, "mae") for frame in frames], axis=0)
    sample = frames[0]["sample"].to_numpy()
    low, high = bootstrap(sample, lambda rows: float(error[rows].mean()))
    row: dict[str, Any] = {
        "condition": condition,
        "tested_on": tested,
        "model": title(model),
        "features": model.get("features", model.get("view", {}).get("features")),
        "kind": _kind(str(model["name"])),
        "seeds": len(done),
    }
    for name in ("mae", "linear_mae", "r2"):
        values = scores[name].astype(float)
        row |= {name: values.mean(), f"{name}_sd": values.std(ddof=1) if len(values) > 1 else None}
    row |= {"mae_low": low, "mae_high": high, "samples": int(scores["samples"].iloc[0])}
    row |= {"particles": int(scores["particles"].iloc[0])}
    parameters = done[0][1].get("parameters")
    return row | {
        "parameters": parameters,
        "seconds": float(np.mean([record["seconds"] for _, record in done])),
    }


def _kind(name: str) -> str:
    if name in GRAPH_FREE:
        return "graph-free"
    if name in MESSAGE_PASSING:
        return "message passing"
    if name in CORRECTED:
        return "corrected circuit"
    return "kirchhoff" if name in CIRCUIT else "no learning"


def _errors(condition: Condition, model: str, tested: str, root: str) -> pd.DataFrame:
    """Return each particle's error, averaged over seeds."""
    frames = [
        pd.read_parquet(condition.folder(root, other, seed) / f"predictions_{tested}.parquet")
        for other, seed in condition.runs()
        if title(other) == model
    ]
    return pd.DataFrame(
        {
            "sample": frames[0]["sample"],
            "node": frames[0]["node"],
            **{
                name: np.mean([errors(frame, name) for frame in frames], axis=0)
                for name in ("mae", "linear_mae")
            },
        }
    )


def _lower(mine: pd.DataFrame, rival: pd.DataFrame) -> dict[str, float]:
    both = mine.merge(rival, on=["sample", "node"], suffixes=("", "_rival"), validate="one_to_one")
    a, b = both["mae"].to_numpy(), both["mae_rival"].to_numpy()
    low, high = bootstrap(both["sample"].to_numpy(), lambda rows: float(1 - a[rows].mean() / b[rows].mean()))
    return {
        "lower": float(1 - a.mean() / b.mean()),
        "low": low,
        "high": high,
        "linear_lower": float(1 - both["linear_mae"].mean() / both["linear_mae_rival"].mean()),
    }
