"""Charts of an explanation: bars with intervals, and changes against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from tripoint.report.charts import Axis
from tripoint.report.wording import short

_LEFT, _RIGHT, _TOP, _BOTTOM = 128, 62, 8, 44
_ROW, _BAR = 30, 15
_WIDTH = 560
_SQUARE = 340


@dataclass(frozen=True)
class Bar:
    """A named value with its interval, and what is written beside it."""

    label: str
    value: float
    low: float
    high: float
    colour: str
    text: str


def bars(rows: Sequence[Bar], label: str, title: str) -> Markup:
    """Draw a horizontal bar from 0 per row, its interval on it, and its text at the right.

    Parameters
    ----------
    rows : sequence of Bar
        From top to bottom.
    label : str
        Of the axis.
    title : str
    """
    ends = [value for row in rows for value in (row.value, row.low, row.high) if np.isfinite(value)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    room = 0.04 * (high - low) or 1.0
    axis = Axis(low - room if low < 0 else 0.0, high + room, label)
    inner, height = _WIDTH - _LEFT - _RIGHT, _ROW * len(rows)

    def place(value: float) -> float:
        return float(_LEFT + inner * axis(value))

    parts = [_open(_WIDTH, _TOP + height + _BOTTOM, title)]
    for tick in axis.ticks:
        x = place(tick)
        parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}v{height}"/>')
        parts.append(_text(x, _TOP + height + 17, _number(tick), "middle"))
    for number, row in enumerate(rows):
        middle = _TOP + _ROW * (number + 0.5)
        start, end = sorted((place(0.0), place(row.value)))
        parts.append(_text(_LEFT - 8, middle + 4, row.label, "end"))
        parts.append(
            f'<rect x="{start:.1f}" y="{middle - _BAR / 2:.1f}" width="{end - start:.1f}" '
            f'height="{_BAR}" fill="{row.colour}"/>'
        )
        if np.isfinite(row.low) and np.isfinite(row.high):
            parts.append(
                f'<path d="M{place(row.low):.1f} {middle:.1f}H{place(row.high):.1f}" stroke="#1c2330" '
                'stroke-width="1.6"/>'
            )
        parts.append(_text(_WIDTH - _RIGHT + 6, middle + 4, row.text, "start"))
    parts.append(f'<path class="axis" d="M{place(0.0):.1f} {_TOP}v{height}"/>')
    parts.append(_text(_LEFT + inner / 2, _TOP + height + 38, label, "middle"))
    return Markup("".join([*parts, "</svg>"]))


def against(
    groups: Sequence[tuple[str, np.ndarray, np.ndarray, Sequence[str]]],
    across: str,
    upward: str,
    title: str,
) -> Markup:
    """Draw points of some groups (colour, x, y, what each is) on equal axes, and the line of equality.

    Whoever holds the pointer on a point reads what it is.
    """
    values = np.concatenate([np.concatenate([x, y]) for _, x, y, _ in groups])
    values = np.append(values[np.isfinite(values)], 0.0)
    room = 0.05 * float(np.ptp(values)) or 1.0
    axis = Axis(float(values.min()) - room, float(values.max()) + room, across)
    left, inner = 62, _SQUARE

    def x_of(value: float) -> float:
        return float(left + inner * axis(value))

    def y_of(value: float) -> float:
        return float(_TOP + inner * (1 - axis(value)))

    parts = [_open(left + inner + 14, _TOP + inner + _BOTTOM, title)]
    for tick in axis.ticks:
        parts.append(
            f'<path class="grid" d="M{x_of(tick):.1f} {_TOP}v{inner}M{left} {y_of(tick):.1f}h{inner}"/>'
        )
        parts.append(_text(x_of(tick), _TOP + inner + 17, _number(tick), "middle"))
        parts.append(_text(left - 6, y_of(tick) + 4, _number(tick), "end"))
    parts.append(
        f'<path d="M{left} {_TOP + inner}L{left + inner} {_TOP}" stroke="#9aa2ae" stroke-dasharray="4 4"/>'
    )
    for colour, xs, ys, names in groups:
        for x, y, name in zip(xs, ys, names, strict=True):
            if np.isfinite(x) and np.isfinite(y):
                parts.append(
                    f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="4.5" fill="{colour}" '
                    f'fill-opacity="0.65" stroke="#fff" stroke-width="0.7"><title>{escape(name)}</title>'
                    "</circle>"
                )
    parts.append(f'<path class="axis" d="M{left} {_TOP}v{inner}h{inner}"/>')
    parts.append(_text(left + inner / 2, _TOP + inner + 38, across, "middle"))
    turned = f'text-anchor="middle" transform="translate(14 {_TOP + inner / 2}) rotate(-90)"'
    parts.append(f"<text {turned}>{escape(upward)}</text>")
    return Markup("".join([*parts, "</svg>"]))


def _open(width: float, height: float, title: str) -> str:
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float) -> str:
    return short(value).replace("-", "−")
