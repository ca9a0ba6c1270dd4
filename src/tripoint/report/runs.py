"""The table of many runs as one HTML page: errors drawn beside each other, and every figure below."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from tripoint._version import __version__
from tripoint.report.page import write_page
from tripoint.report.palette import MISSING
from tripoint.report.wording import NOTHING, short

_LEFT, _RIGHT, _ROW, _WIDTH = 210, 60, 22, 760


@dataclass(frozen=True)
class Bar:
    """One row of a chart: what several seeds came to, and the interval of their mean."""

    label: str
    values: tuple[float, ...]
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its ends; None where it has none."""
        if self.low is None or self.high is None or pd.isna(self.low) or pd.isna(self.high):
            return None
        return self.low, self.high


@dataclass(frozen=True)
class Section:
    """A part of the page: a heading, some sentences, a chart and a table, each of which may be missing."""

    heading: str
    sentences: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()
    axis: str = ""
    frame: pd.DataFrame | None = None


def write(path: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """Write the page, which is there whole or not at all, and asks nothing of the network.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    parts = [
        {
            "heading": section.heading,
            "sentences": section.sentences,
            "chart": chart(section.bars, section.axis) if section.bars else "",
            "columns": [] if section.frame is None else list(section.frame.columns),
            "rows": []
            if section.frame is None
            else [[shown(v) for v in row] for row in section.frame.values],
        }
        for section in sections
    ]
    page = _template().render(
        title=title,
        sections=parts,
        version=__version__,
        date=datetime.date.today().isoformat(),
        style=Markup(resources.files("tripoint.report").joinpath("report.css").read_text("utf-8")),
        missing=MISSING,
    )
    return write_page(page, path)


def chart(bars: Sequence[Bar], axis: str) -> Markup:
    """Draw a dot per seed, their mean and its interval, from 0 on: one row per label."""
    highest = max(max([*bar.values, *(bar.interval or ())]) for bar in bars) or 1.0
    height = _ROW * len(bars) + 44

    def place(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / highest

    parts = [
        f'<svg class="runs" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(axis)}">',
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height - 34}" y2="{height - 34}"/>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = place(tick * highest)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 34}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{height - 20}" text-anchor="middle">{short(tick * highest)}</text>'
        )
    for number, bar in enumerate(bars):
        y = 4 + _ROW * (number + 0.5)
        mean = sum(bar.values) / len(bar.values)
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(bar.label)}</text>')
        parts.append(
            f'<rect class="mean" x="{_LEFT}" y="{y - 6:.1f}" width="{place(mean) - _LEFT:.1f}" height="12"/>'
        )
        if bar.interval is not None:
            parts.append(
                f'<line class="interval" x1="{place(bar.interval[0]):.1f}" x2="{place(bar.interval[1]):.1f}" '
                f'y1="{y:.1f}" y2="{y:.1f}"/>'
            )
        parts += [f'<circle cx="{place(value):.1f}" cy="{y:.1f}" r="2.5"/>' for value in bar.values]
        parts.append(f'<text x="{_WIDTH - _RIGHT + 8}" y="{y + 4:.1f}">{short(mean)}</text>')
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{height - 4}" text-anchor="middle">'
        f"{escape(axis)}</text></svg>"
    )
    return Markup("".join(parts))


def shown(value: Any) -> str:
    """Return a cell of a table: round numbers, a dash where there is none."""
    if value is None or pd.isna(value):
        return NOTHING
    return short(value) if isinstance(value, float) else str(value)


def _cells(frame: pd.DataFrame | None) -> dict[str, Any]:
    if frame is None:
        return {"columns": [], "rows": []}
    return {
        "columns": list(frame.columns),
        "rows": [[shown(value) for value in row] for row in frame.to_numpy()],
    }


@lru_cache
def _template() -> Any:
    from jinja2 import Environment

    text = resources.files("tripoint.report").joinpath("runs.html").read_text("utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
