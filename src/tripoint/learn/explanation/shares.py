r"""Which share of the explained variance each group of features carries.

The coefficient of determination that a model reaches is shared among the groups by their Shapley values
(Lipovetsky and Conklin 2001, Appl. Stoch. Models Bus. Ind. 17, 319; Covert, Lundberg and Lee 2020, *SAGE*):

.. math:: \varphi_g = \sum_{S \not\ni g} \frac{|S|! \, (n - |S| - 1)!}{n!} \, [R^2(S \cup g) - R^2(S)], \qquad
          R^2 = R^2(\emptyset) + \sum_g \varphi_g

R²(S) is that of the model's prediction averaged over what is not in S, all of which is permuted together
within each sample. R²(∅), the remainder, is what is known then: how samples differ, and what no group holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from tripoint.learn.explanation.subject import Subject
from tripoint.learn.scores import FEW


@dataclass(frozen=True)
class Shares:
    """Shapley values of R² over groups.

    Parameters
    ----------
    table : DataFrame
        Per group: ``group``, ``value`` (part of R²), ``low``, ``high`` (95 % when whole samples are drawn
        anew, NaN of fewer samples than `scores.FEW`) and ``share`` of R², ``share_low``, ``share_high``, NaN
        where R² is not positive. The last row is the remainder.
    r2 : float
        Of the held-out samples, log-activity; the sum of the values.
    coalitions : DataFrame
        R² of every set of groups that are known: ``known`` (names, joined by +), ``r2``.
    """

    table: pd.DataFrame
    r2: float
    coalitions: pd.DataFrame


REMAINDER = "remainder"


def explained_shares(
    subject: Subject,
    *,
    draws: int = 2,
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Shares:
    """Share R² among all groups, exactly: 2^groups predictions.

    Parameters
    ----------
    subject : Subject
    draws : int
        Permutations of what is absent, 2 at least. With f_i the predictions of each, the square of
        (truth − mean prediction) is estimated without bias by the mean of (truth − f_i) (truth − f_j), i ≠ j.
    resamples : int
        Of samples, for the intervals.
    seed : int
    progress : callable, optional
        Told how many of how many predictions are done.
    """
    sets = _coalitions(len(subject.groups))
    errors = _squared_errors(subject, sets, draws, seed, progress)
    weights = np.vstack([_shapley_weights(sets, len(subject.groups)), [not known for known in sets]])
    spread = _Spread(subject)
    once = np.ones((1, len(spread.count)))
    r2 = spread.r2(errors, once)
    values = (weights @ r2)[:, 0]
    drawn = spread.r2(errors, spread.draws(resamples, seed))
    many = weights @ drawn
    whole = float(r2[sets.index(frozenset(range(len(subject.groups)))), 0])
    if len(spread.count) < FEW:
        many = np.full_like(many, np.nan)
    low, high = np.quantile(many, (0.025, 0.975), axis=1)
    share_low, share_high = np.quantile(many / many.sum(axis=0), (0.025, 0.975), axis=1)
    if whole <= 0:  # nothing is explained, of which there could be shares
        share_low = share_high = np.full(len(values), np.nan)
    table = pd.DataFrame(
        {
            "group": [*subject.groups, REMAINDER],
            "value": values,
            "low": low,
            "high": high,
            "share": values / whole if whole > 0 else np.full(len(values), np.nan),
            "share_low": share_low,
            "share_high": share_high,
        }
    )
    names = [" + ".join(subject.groups[at] for at in sorted(known)) or "none" for known in sets]
    return Shares(table, whole, pd.DataFrame({"known": names, "r2": r2[:, 0]}))


class _Spread:
    """Sums by sample, from which R² of any draw of samples is had."""

    def __init__(self, subject: Subject) -> None:
        _, self.number = np.unique(subject.sample.astype(str), return_inverse=True)
        self.count = np.bincount(self.number).astype(np.float64)
        self.sums = np.bincount(self.number, subject.truth)
        self.squares = np.bincount(self.number, subject.truth**2)

    def draws(self, resamples: int, seed: int) -> np.ndarray:
        """Return how often each sample is drawn: (resamples, samples)."""
        samples = len(self.count)
        return np.random.default_rng(seed).multinomial(samples, np.full(samples, 1 / samples), resamples)

    def r2(self, errors: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return R² of squared errors (sets, samples) for samples taken so often: (sets, draws)."""
        count, sums, squares = (times @ values for values in (self.count, self.sums, self.squares))
        return 1 - errors @ times.T / (squares - sums**2 / count)


def _squared_errors(
    subject: Subject,
    sets: list[frozenset[int]],
    draws: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> np.ndarray:
    """Return the sum of the squared errors of mean predictions by set of known groups and sample."""
    _, number = np.unique(subject.sample.astype(str), return_inverse=True)
    everything = frozenset(range(len(subject.groups)))
    found = np.zeros((len(sets), number.max() + 1))
    for at, known in enumerate(sets):
        if progress is not None:
            progress(at, len(sets))
        absent = [subject.groups[group] for group in sorted(everything - known)]
        errors = np.stack([subject.truth - subject.predict(absent, seed + draw) for draw in range(draws)])
        pairs = errors.sum(axis=0) ** 2 - (errors**2).sum(axis=0)
        found[at] = np.bincount(number, pairs) / (draws * (draws - 1))
    return found


def _coalitions(groups: int) -> list[frozenset[int]]:
    return [frozenset(chosen) for size in range(groups + 1) for chosen in combinations(range(groups), size)]


def _shapley_weights(sets: list[frozenset[int]], groups: int) -> np.ndarray:
    """Return by which weights the values of all sets make the Shapley value of each group."""
    place = {known: at for at, known in enumerate(sets)}
    weights = np.zeros((groups, len(sets)))
    for group in range(groups):
        for known in sets:
            if group in known:
                continue
            weight = 1 / (groups * math.comb(groups - 1, len(known)))
            weights[group, place[known | {group}]] += weight
            weights[group, place[known]] -= weight
    return weights
