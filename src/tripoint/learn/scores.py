"""How far predictions are off, with intervals that know that particles of one sample belong together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tripoint.errors import InputError
from tripoint.learn.features import linear_activity, log_activity

HALF = 0.5


FEW = 5
"""Fewer samples than these have no interval."""


def scores(activity: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Score predicted log-activity.

    Parameters
    ----------
    activity : (particles,)
        True activity.
    predicted : (particles,)
        Log-activity (`features.log_activity`).

    Returns
    -------
    dict
        ``mae`` and ``r2`` of log-activity, ``linear_mae`` of activity itself, which counts as 0 where it is
        negative. ``r2`` is NaN where the truth does not vary.

    Raises
    ------
    InputError
        Arrays of two lengths, or empty ones.
    """
    if len(activity) != len(predicted) or not len(activity):
        message = f"{len(predicted)} predictions for {len(activity)} particles; expected one for each"
        raise InputError(message)
    truth = log_activity(activity)
    return {
        "mae": float(np.abs(truth - predicted).mean()),
        "r2": _determination(truth, predicted),
        "linear_mae": float(np.abs(np.maximum(activity, 0) - linear_activity(predicted)).mean()),
    }


def classification_scores(inactive: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Score predicted probabilities of being inactive.

    Parameters
    ----------
    inactive : (particles,) bool
    probability : (particles,)

    Returns
    -------
    dict
        ``average_precision``, ``roc_auc``, ``f1`` (of those above 0.5), ``brier`` (mean square of the error
        of the probability) and ``share`` of inactive particles, which is the average precision of guessing.
        The first three are NaN where only one class is there.

    Raises
    ------
    InputError
        Arrays of two lengths, or empty ones.
    """
    from sklearn import metrics

    if len(inactive) != len(probability) or not len(inactive):
        message = f"{len(probability)} predictions for {len(inactive)} particles; expected one for each"
        raise InputError(message)
    truth = np.asarray(inactive, np.bool_)
    measures = {
        "average_precision": lambda: metrics.average_precision_score(truth, probability),
        "roc_auc": lambda: metrics.roc_auc_score(truth, probability),
        "f1": lambda: metrics.f1_score(truth, np.asarray(probability) > HALF, zero_division=0.0),
    }
    both = 0 < truth.sum() < len(truth)
    return {
        **{name: float(measure()) if both else float("nan") for name, measure in measures.items()},
        "brier": float(((truth - probability) ** 2).mean()),
        "share": float(truth.mean()),
    }


def logarithmic_scores(known: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Score predicted log10 of a positive figure, one per sample.

    Returns
    -------
    dict
        ``mae`` and ``r2`` of the logarithm, and ``relative_mae``, the mean of abs(predicted / known − 1).
        ``r2`` is NaN where the truth does not vary.

    Raises
    ------
    InputError
        Arrays of two lengths, or empty ones.
    """
    if len(known) != len(predicted) or not len(known):
        message = f"{len(predicted)} predictions for {len(known)} samples; expected one for each"
        raise InputError(message)
    error = np.asarray(predicted) - known
    return {
        "mae": float(np.abs(error).mean()),
        "r2": _determination(known, predicted),
        "relative_mae": float(np.abs(10.0**error - 1).mean()),
    }


def bootstrap(
    sample: np.ndarray, measure: Callable[[np.ndarray], float], *, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a measure when whole samples are drawn with replacement.

    Parameters
    ----------
    sample : (particles,)
        Name of each particle's sample.
    measure : callable
        Of row numbers, such as ``lambda rows: np.abs(error[rows]).mean()``.
    draws : int
    seed : int

    Returns
    -------
    (low, high)
        NaN of fewer than `FEW` samples, which do not tell how samples scatter.
    """
    _, number = np.unique(sample.astype(str), return_inverse=True)
    rows = [np.flatnonzero(number == at) for at in range(number.max() + 1)]
    if len(rows) < FEW:
        return float("nan"), float("nan")
    random = np.random.default_rng(seed)
    found = [
        measure(np.concatenate([rows[at] for at in random.integers(0, len(rows), len(rows))]))
        for _ in range(draws)
    ]
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def _determination(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return R², NaN where the truth does not vary."""
    spread = ((truth - truth.mean()) ** 2).sum() if np.ptp(truth) else 0.0
    return float(1 - ((truth - predicted) ** 2).sum() / spread) if spread > 0 else float("nan")
