"""How far a fitted model is off on samples that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.data import Graphs
from tripoint.learn.features import linear_activity, log_activity
from tripoint.learn.fitting import Fitted
from tripoint.learn.scores import bootstrap
from tripoint.learn.targets import Activity, Figure, FiguredGraphs, Inactive, ParticleTarget, Target

ACTIVITY = Activity()


def assess(fitted: Fitted, graphs: Graphs, samples: Iterable[str]) -> pd.DataFrame:
    """Predict samples of which the target is known.

    Returns
    -------
    DataFrame
        ``sample``, what is known, and what the model predicts (`targets`). Of a particle's target a row per
        particle of active material that is no fragment and has a value: ``node``, ``activity`` and, where
        that is asked for, ``inactive``. Of a figure of the sample a row per sample: ``known``.

    Raises
    ------
    InputError
        No samples, or one without a value of the target.
    """
    target = fitted.target
    graphs = FiguredGraphs(graphs) if isinstance(target, Figure) else graphs
    parts = []
    for sample in samples:
        graph = graphs[sample]
        predicted = fitted.predict(graph)
        if isinstance(target, ParticleTarget):
            known = _known(target, graph)
            part = known.merge(predicted, on="node", how="left", validate="one_to_one")
        else:
            part = predicted.assign(known=10 ** target.of(graph))
        parts.append(part.assign(sample=sample))
    if not parts:
        message = "there are no samples to test on; give the split a share for test, or name test samples"
        raise InputError(message)
    return pd.concat(parts, ignore_index=True)


def summarise(found: pd.DataFrame, target: Target = ACTIVITY) -> dict[str, Any]:
    """Return the scores of what `assess` found.

    Returns
    -------
    dict
        The scores of the target (`scores`), with ``mae_low``, ``mae_high`` and likewise of ``linear_mae`` and
        ``brier``, where it has these: the 95 % interval when whole samples are drawn anew. The numbers of
        ``samples`` and, of a particle's target, of ``particles``.
    """
    known, predicted = columns(found, target)
    summary: dict[str, Any] = dict(target.scores(known, predicted))
    sample = found["sample"].to_numpy()
    for name in ("mae", "linear_mae", "brier"):
        if name in summary:
            low, high = bootstrap(sample, partial(_mean, errors(found, name, target)))
            summary |= {f"{name}_low": low, f"{name}_high": high}
    particles = {"particles": len(found)} if isinstance(target, ParticleTarget) else {}
    return summary | {"samples": len(set(sample)), **particles}


def columns(found: pd.DataFrame, target: Target = ACTIVITY) -> tuple[np.ndarray, np.ndarray]:
    """Return what is known and what is predicted, as the scores of the target take both."""
    if isinstance(target, Activity):
        names = "activity", "predicted_log_activity"
    elif isinstance(target, Inactive):
        names = "inactive", "predicted_inactive"
    else:
        names = "known", f"predicted_log_{target.name}"
    known, predicted = (found[name].to_numpy() for name in names)
    predicted = predicted.astype(np.float64)
    if isinstance(target, Inactive):
        return known.astype(np.bool_), predicted
    return (known if isinstance(target, Activity) else np.log10(known)), predicted


def errors(found: pd.DataFrame, name: str, target: Target = ACTIVITY) -> np.ndarray:
    """Return what each row adds to a score that is a mean: ``mae``, ``linear_mae`` or ``brier``."""
    known, predicted = columns(found, target)
    if name == "brier":
        return (predicted - known) ** 2
    if name == "linear_mae":
        return np.abs(np.maximum(known, 0) - linear_activity(predicted))
    logarithm = log_activity(known) if isinstance(target, Activity) else known
    return np.abs(logarithm - predicted)


def _known(target: ParticleTarget, graph: Graph) -> pd.DataFrame:
    found = target.of(graph)
    known = pd.DataFrame(
        {"node": graph.to("cpu").nodes["node"].to_numpy()[found.rows], "activity": found.activity}
    )
    return known.assign(inactive=found.inactive) if isinstance(target, Inactive) else known


def _mean(values: np.ndarray, rows: np.ndarray) -> float:
    return float(values[rows].mean())
