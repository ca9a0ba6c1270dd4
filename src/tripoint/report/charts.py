"""Charts as inline SVG: sharp in print, no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from tripoint.report.wording import short

_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 14, 44
_GUIDE = "#7d8796"
_FEWEST = 8  # points of which a median is drawn
LINE_NEEDS = 2 * _FEWEST
"""Points from which on a running median is drawn: a line has two ends."""


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis over a range of data, with the share ``before`` of it left free."""

    low: float
    high: float
    label: str
    log: bool = False
    before: float = 0.0
    ticks: list[float] = field(init=False)

    def __post_init__(self) -> None:
        """Choose round ticks within the range."""
        object.__setattr__(
            self, "ticks", _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)
        )

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        """Return positions from 0 to 1."""
        values = np.asarray(values, np.float64)
        if self.log:
            place = (np.log(values) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        else:
            place = (values - self.low) / (self.high - self.low)
        return self.before + (1 - self.before) * place


def axis_for(values: np.ndarray, label: str, *, from_zero: bool = False) -> Axis:
    """Return an axis that holds positive finite values, logarithmic where they span more than 1:12."""
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > 12:
        return Axis(low / 1.05, high * 1.05, label, log=True)
    low = 0.0 if from_zero else low
    if high <= low:
        low, high = (0.0, 2 * high) if high > 0 else (low - 1, low + 1)
    return Axis(low, high + 0.03 * (high - low), label)


def histogram(
    all_values: np.ndarray,
    interior: np.ndarray,
    weights: np.ndarray | None,
    axis: Axis,
    title: str,
    bins: int = 28,
) -> Markup:
    """Draw the shares of values per bin: all as an outline, the interior ones filled, each of sum 1.

    Parameters
    ----------
    all_values : (n,) float
    interior : (n,) bool
    weights : (n,) float, optional
        Such as volumes; None counts each value once.
    axis : Axis
    title : str
    bins : int
    """
    edges = np.linspace(0, 1, _bins(len(all_values), bins) + 1)
    share = []
    for chosen in (np.ones(len(all_values), bool), interior):
        heights, _ = np.histogram(
            axis(all_values[chosen]), edges, weights=None if weights is None else weights[chosen]
        )
        share.append(heights / heights.sum() if heights.sum() else heights * 0.0)
    upper = Axis(0.0, 100 * max(s.max() for s in share) * 1.08 or 1.0, "share, %")
    frame = _Frame(axis, upper, 420, 230, title)
    frame.steps(edges, 100 * share[1], "bars")
    frame.steps(edges, 100 * share[0], "outline")
    return frame.svg()


def histogram_beside(
    values: np.ndarray, apart: Sequence[tuple[str, int]], axis: Axis, apart_label: str, title: str
) -> Markup:
    """Draw the shares of values per bin, and those that are none of them as a stacked column before the axis.

    Parameters
    ----------
    values : (n,) float
        Those beyond the axis are drawn in its first or last bin.
    apart : sequence of (str, int)
        Colour and number of each kind that stands apart; shares are of them and the values together.
    axis : Axis
        With room ``before``.
    apart_label : str
        What stands below the column.
    title : str
    """
    total = max(1, len(values) + sum(n for _, n in apart))
    edges = np.linspace(axis.before, 1, _bins(len(values), 32) + 1)
    heights, _ = np.histogram(np.clip(axis(values), axis.before, 1), edges)
    column = sum(n for _, n in apart)
    highest = max([*heights.tolist(), column, 1])
    frame = _Frame(axis, Axis(0.0, 108 * highest / total, "share of particles, %"), 420, 250, title)
    frame.steps(edges, 100 * heights / total, "bars")
    if apart:
        frame.stack(
            0.25 * axis.before, 0.7 * axis.before, [(c, 100 * n / total) for c, n in apart], apart_label
        )
    return frame.svg()


def scatter(
    groups: Sequence[tuple[str, np.ndarray, np.ndarray]],
    across: Axis,
    up: Axis,
    title: str,
    *,
    quartiles: bool = False,
) -> Markup:
    """Draw points of some groups (colour, x, y), at most 2500 of each, and the median along x of each.

    Every n-th point is drawn, the median is of all of them, in groups of equal number; with fewer than
    `LINE_NEEDS` there is none. With ``quartiles`` there is a band from the lower to the upper one in the same
    groups. Points beyond the axes are drawn at their ends.
    """
    frame = _Frame(across, up, 420, 250, title)
    places = [(colour, np.clip(across(x), 0, 1), np.clip(up(y), 0, 1)) for colour, x, y in groups]
    for colour, x, y in places if quartiles else ():
        middle, (low, high) = running(x, y, (0.25, 0.75))
        frame.band(middle, low, high, colour)
    for colour, x, y in places:
        step = max(1, math.ceil(len(x) / 2500))
        frame.points(x[::step], y[::step], colour)
    for colour, x, y in places:
        middle, (median,) = running(x, y, (0.5,))
        frame.line(middle, median, colour)
    return frame.svg()


def against(
    groups: Sequence[tuple[str, np.ndarray, np.ndarray]], axis: Axis, upward: str, title: str, factor: float
) -> Markup:
    """Draw points of some groups (colour, x, y) about the line on which both are equal, and a band around it.

    Parameters
    ----------
    groups : sequence
    axis : Axis
        Logarithmic, of both directions.
    upward : str
        Label of the axis upwards.
    title : str
    factor : float
        From the line to the edges of the band.
    """
    frame = _Frame(axis, replace(axis, label=upward), 420, 320, title)
    ends = np.array([0.0, 1.0])
    off = math.log(factor) / math.log(axis.high / axis.low)
    around = np.array([0.0, off, 1.0, 1.0, 1 - off, 0.0]), np.array([0.0, 0.0, 1 - off, 1.0, 1.0, off])
    frame.area(*around, _GUIDE)
    frame.guide(ends, ends)
    for colour, x, y in groups:
        step = max(1, math.ceil(len(x) / 2500))
        frame.points(np.clip(axis(x[::step]), 0, 1), np.clip(axis(y[::step]), 0, 1), colour)
    return frame.svg()


class _Frame:
    """The axes of one chart, and marks within."""

    def __init__(self, across: Axis, up: Axis, width: int, height: int, title: str) -> None:
        self._across, self._up, self._title = across, up, title
        self._width, self._height = width, height
        self._inner = (width - _LEFT - _RIGHT, height - _TOP - _BOTTOM)
        self._marks: list[str] = []

    def steps(self, edges: np.ndarray, heights: np.ndarray, kind: str) -> None:
        x = self._x(np.repeat(edges, 2))
        y = self._y(self._up(np.concatenate([[0], np.repeat(heights, 2), [0]])))
        self._marks.append(f'<path class="{kind}" d="M{_pairs(x, y)}"/>')

    def stack(self, left: float, right: float, pieces: Sequence[tuple[str, float]], label: str) -> None:
        x, width = float(self._x(left)), self._inner[0] * (right - left)
        top = 0.0
        for colour, height in pieces:
            upper, lower = (float(self._y(self._up(value))) for value in (top + height, top))
            self._marks.append(
                f'<rect x="{x:.1f}" y="{upper:.1f}" width="{width:.1f}" height="{lower - upper:.1f}" '
                f'fill="{colour}"/>'
            )
            top += height
        base = _TOP + self._inner[1] + 17
        self._marks.append(
            f'<text x="{x + width / 2:.1f}" y="{base}" text-anchor="middle">{escape(label)}</text>'
        )

    def band(self, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> None:
        if len(x) > 1:
            self.area(np.concatenate([x, x[::-1]]), np.concatenate([low, high[::-1]]), colour)

    def area(self, x: np.ndarray, y: np.ndarray, colour: str) -> None:
        self._marks.append(f'<path class="band" fill="{colour}" d="M{_pairs(self._x(x), self._y(y))}Z"/>')

    def guide(self, x: np.ndarray, y: np.ndarray) -> None:
        self._marks.append(f'<path class="guide" d="M{_pairs(self._x(x), self._y(y))}"/>')

    def points(self, x: np.ndarray, y: np.ndarray, colour: str) -> None:
        size = 3.4 if len(x) > 200 else 6
        dots = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(self._x(x), self._y(y), strict=True))
        self._marks.append(f'<path class="dots" stroke="{colour}" stroke-width="{size}" d="{dots}"/>')

    def line(self, x: np.ndarray, y: np.ndarray, colour: str) -> None:
        if len(x) > 1:
            path = _pairs(self._x(x), self._y(y))
            self._marks.append(
                f'<path class="halo" d="M{path}"/><path class="line" stroke="{colour}" d="M{path}"/>'
            )

    def svg(self) -> Markup:
        width, height = self._inner
        box = f"0 0 {self._width} {self._height}"
        middle = f'text-anchor="middle" x="{_LEFT + width / 2}" y="{self._height - 8}"'
        turned = f'text-anchor="middle" transform="translate(13 {_TOP + height / 2}) rotate(-90)"'
        parts = [
            f'<svg class="chart" viewBox="{box}" role="img" aria-label="{escape(self._title)}">',
            *self._ticks(),
            *self._marks,
            f'<path class="axis" d="M{_LEFT} {_TOP}v{height}h{width}"/>',
            f"<text {middle}>{escape(self._across.label)}</text>",
            f"<text {turned}>{escape(self._up.label)}</text>",
            "</svg>",
        ]
        return Markup("".join(parts))

    def _ticks(self) -> list[str]:
        width, height = self._inner
        parts = []
        for tick in self._across.ticks:
            x = float(self._x(self._across(tick)))
            parts.append(f'<path class="tick" d="M{x:.1f} {_TOP + height}v4"/>')
            parts.append(
                f'<text x="{x:.1f}" y="{_TOP + height + 17}" text-anchor="middle">{_tick_text(tick)}</text>'
            )
        for tick in self._up.ticks:
            y = float(self._y(self._up(tick)))
            parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}h{width}"/>')
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_tick_text(tick)}</text>')
        return parts

    def _x(self, position: np.ndarray | float) -> Any:
        return _LEFT + self._inner[0] * position

    def _y(self, position: np.ndarray | float) -> Any:
        return _TOP + self._inner[1] * (1 - position)


def running(
    x: np.ndarray, y: np.ndarray, shares: Sequence[float], groups: int = 12
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the medians of x and the quantiles of y in groups along x that hold equally many points.

    Groups of equal width would be empty where points are rare, and a line would bridge what it does not know.

    Parameters
    ----------
    x, y : (n,) float
    shares : sequence of float
        Which quantiles of y, from 0 to 1.
    groups : int
        At most; each has eight points or more. With fewer than `LINE_NEEDS` points there are none.

    Returns
    -------
    (m,) float
        Medians of x, rising.
    list of (m,) float
        Per share the quantiles of y.
    """
    if len(x) < LINE_NEEDS:
        return np.zeros(0), [np.zeros(0) for _ in shares]
    chosen = np.array_split(np.argsort(x, kind="stable"), min(groups, len(x) // _FEWEST))
    middle = np.array([np.median(x[points]) for points in chosen])
    return middle, [np.array([np.quantile(y[points], q) for points in chosen]) for q in shares]


def _bins(values: int, at_most: int) -> int:
    return int(min(at_most, max(6, 2 * math.ceil(values**0.4))))


def _ticks(low: float, high: float) -> list[float]:
    step = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(step))
    step = min((m for m in (1, 2, 2.5, 5, 10)), key=lambda m: abs(m * power - step)) * power
    first = math.ceil(low / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < 300 else (1,)
    ticks = [float(f"{m}e{d}") for d in decades for m in factors if low <= m * 10.0**d <= high]
    return ticks[:: max(1, len(ticks) // 7)]


def _tick_text(tick: float) -> str:
    return str(escape(short(tick, 4)))


def _pairs(x: np.ndarray, y: np.ndarray) -> str:
    return "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
