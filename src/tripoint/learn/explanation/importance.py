"""How much worse predictions become when a group is permuted among the particles."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from tripoint.learn.explanation.subject import Subject
from tripoint.learn.scores import bootstrap


def permutation_importance(subject: Subject, *, repeats: int = 5, seed: int = 0) -> pd.DataFrame:
    """Permute one group after the other among the particles of each sample (Breiman 2001).

    Parameters
    ----------
    subject : Subject
    repeats : int
        Permutations.
    seed : int

    Returns
    -------
    DataFrame
        Per group: ``group``, ``increase`` of the mean absolute error of log-activity, ``std`` of it over the
        permutations, ``low`` and ``high``: 95 % when whole samples are drawn anew.

    Notes
    -----
    What two groups both tell is missed in neither: correlated groups all appear unimportant. The shares of
    `shares.explained_shares` give each its part.
    """
    before = np.abs(subject.truth - subject.predict())
    rows = []
    for group in subject.groups:
        worse = np.stack(
            [
                np.abs(subject.truth - subject.predict([group], seed + number)) - before
                for number in range(repeats)
            ]
        )
        mean = worse.mean(axis=0)
        low, high = bootstrap(subject.sample, partial(_mean_of, mean))
        rows.append(
            {
                "group": group,
                "increase": float(mean.mean()),
                "std": float(worse.mean(axis=1).std(ddof=1)) if repeats > 1 else np.nan,
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)


def _mean_of(values: np.ndarray, rows: np.ndarray) -> float:
    return float(values[rows].mean())
