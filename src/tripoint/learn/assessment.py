"""How far a fitted model is off on samples that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from tripoint.errors import InputError
from tripoint.learn.data import Graphs
from tripoint.learn.features import linear_activity, log_activity, targets
from tripoint.learn.fitting import Fitted
from tripoint.learn.scores import bootstrap, scores


def assess(fitted: Fitted, graphs: Graphs, samples: Iterable[str], column: str = "activity") -> pd.DataFrame:
    """Predict samples whose activity is known.

    Returns
    -------
    DataFrame
        A row per particle of active material that is no fragment and has a value: ``sample``, ``node``,
        ``activity`` and what the model predicts.

    Raises
    ------
    InputError
        No samples.
    """
    parts = []
    for sample in samples:
        graph = graphs[sample]
        known = targets(graph, column)
        truth = pd.DataFrame(
            {
                "sample": sample,
                "node": graph.nodes["node"].to_numpy()[known.rows],
                "activity": known.activity,
            }
        )
        parts.append(truth.merge(fitted.predict(graph), on="node", how="left", validate="one_to_one"))
    if not parts:
        message = "there are no samples to test on; give the split a share for test, or name test samples"
        raise InputError(message)
    return pd.concat(parts, ignore_index=True)


def summarise(found: pd.DataFrame) -> dict[str, Any]:
    """Return the scores of what `assess` found.

    Returns
    -------
    dict
        ``mae``, ``r2`` and ``linear_mae`` (`scores.scores`), ``mae_low`` and ``mae_high`` (95 % when whole
        samples are drawn anew), likewise of ``linear_mae``; numbers of ``samples`` and ``particles``.
    """
    activity = found["activity"].to_numpy(np.float64)
    predicted = found["predicted_log_activity"].to_numpy(np.float64)
    sample = found["sample"].to_numpy()
    summary: dict[str, Any] = dict(scores(activity, predicted))
    for name in ("mae", "linear_mae"):
        error = _errors(activity, predicted, name)
        low, high = bootstrap(sample, partial(_mean, error))
        summary |= {f"{name}_low": low, f"{name}_high": high}
    return summary | {"samples": len(set(sample)), "particles": len(found)}


def _mean(values: np.ndarray, rows: np.ndarray) -> float:
    return float(values[rows].mean())


def _errors(activity: np.ndarray, predicted: np.ndarray, name: str) -> np.ndarray:
    """Return what each particle adds to a score."""
    if name == "mae":
        return np.abs(log_activity(activity) - predicted)
    return np.abs(np.maximum(activity, 0) - linear_activity(predicted))
