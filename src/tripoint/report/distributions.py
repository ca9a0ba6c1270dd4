"""Distributions over particles: sizes, and paths to the terminals against depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tripoint.materials import CARRIERS
from tripoint.report.charts import LINE_NEEDS, axis_for, histogram, scatter
from tripoint.report.scene import particulate_nodes, without_fragments
from tripoint.report.wording import count, number

_INKS = ("#3d6a96", "#a8761a", "#4f8a3c", "#86559b", "#b0553a", "#2f8a84")


def size_charts(result: Any) -> list[dict[str, Any]]:
    """Return, per particulate phase, the distributions of diameters by number and by volume."""
    nodes = without_fragments(particulate_nodes(result))
    charts = []
    for phase in result.sample.materials.phases:
        mine = nodes[nodes["phase"].astype(str) == phase.name]
        diameter, volume = numbers(mine, "equivalent_diameter"), numbers(mine, "volume")
        known = np.isfinite(diameter) & (diameter > 0) & np.isfinite(volume)
        if not known.any():
            continue
        diameter, volume = diameter[known], volume[known]
        cut = (
            mine["touches_border"].astype(bool).to_numpy()[known]
            if "touches_border" in mine
            else np.zeros(len(volume), bool)
        )
        axis = axis_for(diameter, "equivalent diameter, µm", from_zero=True)
        charts.append(
            {
                "phase": phase.name,
                "number": histogram(diameter, ~cut, None, axis, f"{phase.name}: diameters by number"),
                "volume": histogram(diameter, ~cut, volume, axis, f"{phase.name}: diameters by volume"),
                "count": count(len(diameter)),
                "interior": count((~cut).sum()),
                "median": number(np.median(diameter)),
                "median_volume": number(_weighted_median(diameter, volume)),
            }
        )
    return charts


def path_charts(result: Any) -> list[dict[str, Any]]:
    """Return, per carrier, path tortuosity and bottleneck radius against depth of all that have a path.

    ``line`` says whether a chart has a running median.
    """
    nodes = without_fragments(particulate_nodes(result))
    inks = {phase.name: ink for phase, ink in zip(_particulate(result), _INKS * 50, strict=False)}
    charts = []
    for carrier in CARRIERS:
        for column, label in (
            (f"path_tortuosity_{carrier}", "path length / depth"),
            (f"bottleneck_radius_{carrier}", "bottleneck radius, µm"),
        ):
            groups = _groups(nodes, f"depth_{carrier}", column, inks)
            if groups:
                charts.append(_path_chart(carrier, label, groups))
    return charts


def _path_chart(
    carrier: str, label: str, groups: dict[str, tuple[str, np.ndarray, np.ndarray]]
) -> dict[str, Any]:
    points = list(groups.values())
    across = axis_for(
        np.concatenate([x for _, x, _ in points]), f"depth from the {carrier} terminal, µm", from_zero=True
    )
    if across.log:
        across = type(across)(0.0, across.high, across.label)
    up = axis_for(np.concatenate([y for _, _, y in points]), label, from_zero=label.startswith("bottleneck"))
    return {
        "carrier": carrier,
        "chart": scatter(points, across, up, f"{carrier}: {label} against depth"),
        "legend": [
            {"name": name, "colour": ink, "count": count(len(x))} for name, (ink, x, _) in groups.items()
        ],
        "line": any(len(x) >= LINE_NEEDS for _, x, _ in points),
    }


def _groups(
    nodes: pd.DataFrame, across: str, up: str, inks: dict[str, str]
) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    if across not in nodes or up not in nodes:
        return {}
    groups = {}
    for name, ink in inks.items():
        mine = nodes[nodes["phase"].astype(str) == name]
        x, y = numbers(mine, across), numbers(mine, up)
        known = np.isfinite(x) & np.isfinite(y) & (y > 0)
        if known.any():
            groups[name] = (ink, x[known], y[known])
    return groups


def _particulate(result: Any) -> list[Any]:
    return [phase for phase in result.sample.materials.phases if phase.particulate]


def numbers(nodes: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column as float64, NaN where there is no number or no such column."""
    if column not in nodes:
        return np.full(len(nodes), np.nan)
    return pd.to_numeric(nodes[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(below, below[-1] / 2)])
