"""Rank correlations with their 95 % intervals, and what they allow one to say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

FEWEST = 10
"""With fewer pairs there is no interval: its normal approximation does not hold."""
BENT = 0.1
"""Beyond this share a relation is called not monotonic."""
_LIMITS, _STRENGTHS = (0.3, 0.6), ("weak", "moderate", "strong")
_BINS = 6
_NORMAL = 1.959963984540054  # 97.5 % quantile


@dataclass(frozen=True)
class Correlation:
    """A rank correlation over ``n`` pairs with its 95 % interval.

    ``rho`` is NaN where a quantity does not vary, ``low`` and ``high`` also where there are too few pairs.
    ``bend`` is the share of the variance of y's ranks that x explains, but not by rising or falling; 0 where
    there are too few pairs to tell.
    """

    rho: float
    low: float
    high: float
    n: int
    bend: float = 0.0

    @property
    def seen(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def spearman(x: Any, y: Any, given: Any = None) -> Correlation:
    r"""Return Spearman's rank correlation of two quantities, ties at their mean rank.

    With ``given`` it is the partial rank correlation: what is left between the ranks of both when those of
    the third are held fixed,

    .. math:: \rho_{xy \cdot z} = \frac{\rho_{xy} - \rho_{xz} \rho_{yz}}
              {\sqrt{(1 - \rho_{xz}^2) (1 - \rho_{yz}^2)}}

    The interval is that of Fisher's z, tanh(artanh ρ ± 1.96 s), with the variance of Bonett and Wright,
    s² = (1 + ρ²/2) / (n − 3 − k) and k the number of quantities held fixed.

    Parameters
    ----------
    x, y : (n,) float
        Pairs with a value that is not finite are left out.
    given : (n,) float, optional

    Notes
    -----
    Bonett and Wright, *Psychometrika* 65 (2000) 23-28. It takes pairs to be independent. Particles that share
    a current path are not quite, so that the interval is rather too narrow.
    """
    from scipy.stats import rankdata

    columns = [np.asarray(values, np.float64) for values in (x, y, *(() if given is None else (given,)))]
    known = np.logical_and.reduce([np.isfinite(values) for values in columns])
    ranks = [rankdata(values[known]) for values in columns]
    n, fixed = int(known.sum()), len(columns) - 2
    if n < 3 or any(np.ptp(rank) == 0 for rank in ranks):
        return Correlation(math.nan, math.nan, math.nan, n)
    between = np.corrcoef(ranks)
    rho = float(between[0, 1])
    if fixed:
        left = (1 - between[0, 2] ** 2) * (1 - between[1, 2] ** 2)
        # where the third determines one of them, nothing is left to correlate
        rho = float((rho - between[0, 2] * between[1, 2]) / math.sqrt(left)) if left > 1e-12 else math.nan
    if n < FEWEST + fixed or math.isnan(rho):
        return Correlation(rho, math.nan, math.nan, n)
    half = _NORMAL * math.sqrt((1 + rho**2 / 2) / (n - 3 - fixed))
    z = math.atanh(max(-1 + 1e-15, min(1 - 1e-15, rho)))
    bend = _explained(*ranks) - rho**2 if not fixed and n >= FEWEST * _BINS else 0.0
    return Correlation(rho, math.tanh(z - half), math.tanh(z + half), n, bend)


def _explained(x: np.ndarray, y: np.ndarray) -> float:
    """Return the share of y's variance between bins of x with as many pairs each, less what chance gives."""
    order = np.argsort(x, kind="stable")
    bins = np.array_split(y[order], _BINS)
    within = sum(float(((part - part.mean()) ** 2).sum()) for part in bins)
    return 1 - within / (len(y) - _BINS) / (float(((y - y.mean()) ** 2).sum()) / (len(y) - 1))


def in_words(found: Correlation) -> str:
    """Return what a correlation says, no more than its interval allows: ``falling, weak to moderate``."""
    if math.isnan(found.rho):
        return "not defined" if found.n >= FEWEST else "too few particles"
    if math.isnan(found.low):
        return "too few particles"
    if found.bend > BENT:
        return "not monotonic"
    if not found.seen:
        return "no correlation seen"
    nearest, farthest = sorted(np.searchsorted(_LIMITS, [abs(found.low), abs(found.high)], side="right"))
    named = " to ".join(dict.fromkeys((_STRENGTHS[nearest], _STRENGTHS[farthest])))
    return f"{'rising' if found.rho > 0 else 'falling'}, {named}"
