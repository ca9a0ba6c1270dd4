"""Scales that turn numbers into colours, and the bars that explain them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tripoint.report.palette import DIVERGING, RAMP
from tripoint.report.wording import number, short


@dataclass(frozen=True)
class Scale:
    """Numbers from ``low`` to ``high`` as positions on a row of colours; those beyond take its ends.

    Parameters
    ----------
    low, high : float
    middle : float, optional
        The value in the middle of the colours, either side linear for itself; by default the mean of both
        ends.
    log : bool
        Logarithmic between the ends, which are positive then.
    """

    low: float
    high: float
    middle: float | None = None
    log: bool = False

    @property
    def stops(self) -> tuple[str, ...]:
        """Colours from low to high at equal steps."""
        return RAMP if self.middle is None else DIVERGING

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return positions from 0 to 1, NaN where there is no value."""
        known = [self.low, self.high] if self.middle is None else [self.low, self.middle, self.high]
        if known[-1] <= known[0]:
            return np.where(np.isnan(values), np.nan, 0.5)
        if self.log:
            known, values = np.log(known).tolist(), np.log(values)
        places = np.interp(values, known, np.linspace(0, 1, len(known)))
        return np.where(np.isnan(values), np.nan, places)

    @property
    def ends(self) -> tuple[str, str, str]:
        """The values at both ends and in the middle, with as many digits as tell them apart."""
        middle = (self.low + self.high) / 2 if self.middle is None else self.middle
        if self.log and self.middle is not None:
            return number(self.low, 2), short(middle), number(self.high, 2)
        reach, span = max(abs(self.low), abs(self.high)), self.high - self.low
        digits = max(3, 2 + math.ceil(math.log10(reach / span))) if span > 0 else 3
        # what is noise about zero next to the others is zero
        low, middle, high = (0.0 if abs(v) < 1e-9 * reach else v for v in (self.low, middle, self.high))
        return number(low, digits), short(middle, digits), number(high, digits)

    @property
    def gradient(self) -> str:
        """The colours as a CSS gradient."""
        return f"linear-gradient(90deg, {', '.join(self.stops)})"


def sequential(values: np.ndarray, tails: float = 0.0, *, may_be_log: bool = False) -> Scale:
    """Return a scale over the finite values but the share ``tails`` at either end; without any, from 0 to 1.

    ``may_be_log`` makes it logarithmic where all are positive and the ends a factor of 30 apart.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Scale(0.0, 1.0)
    low, high = (float(v) for v in np.quantile(finite, [tails, 1 - tails]))
    return Scale(low, high, log=bool(may_be_log and finite.min() > 0 and high / low > 30))


def about_mean(values: np.ndarray) -> Scale:
    """Return the scale of an activity: 1 in the middle, from 0 or less to 2 or more."""
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.02, 0.98]) if len(finite) else (0.0, 2.0)
    return Scale(min(0.0, float(low)), max(2.0, float(high)), middle=1.0)


def about_one(ratios: np.ndarray) -> Scale:
    """Return the scale of a ratio: 1 in the middle, logarithmic, to a factor of 2 or more on either side."""
    known = ratios[np.isfinite(ratios) & (ratios > 0)]
    far = float(np.quantile(np.abs(np.log(known)), 0.95)) if len(known) else 0.0
    factor = max(2.0, math.exp(far))
    return Scale(1 / factor, factor, middle=1.0, log=True)
