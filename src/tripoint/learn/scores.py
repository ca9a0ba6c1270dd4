"""How far predictions are off, with intervals that know that particles of one sample belong together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tripoint.errors import InputError
from tripoint.learn.features import linear_activity, log_activity


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
    spread = ((truth - truth.mean()) ** 2).sum() if np.ptp(truth) else 0.0
    return {
        "mae": float(np.abs(truth - predicted).mean()),
        "r2": float(1 - ((truth - predicted) ** 2).sum() / spread) if spread > 0 else float("nan"),
        "linear_mae": float(np.abs(np.maximum(activity, 0) - linear_activity(predicted)).mean()),
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
    """
    _, number = np.unique(sample.astype(str), return_inverse=True)
    rows = [np.flatnonzero(number == at) for at in range(number.max() + 1)]
    random = np.random.default_rng(seed)
    found = [
        measure(np.concatenate([rows[at] for at in random.integers(0, len(rows), len(rows))]))
        for _ in range(draws)
    ]
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)
