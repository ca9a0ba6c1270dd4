"""The section on local activity: how it is spread over the particles, and what it goes with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tripoint.report.activity_source import activity_name, source_facts
from tripoint.report.charts import LINE_NEEDS, Axis, axis_for, histogram_beside, scatter
from tripoint.report.correlation import Correlation, in_words, spearman
from tripoint.report.distributions import numbers
from tripoint.report.fields import dead_particles
from tripoint.report.palette import MISSING, REASONS
from tripoint.report.scene import resistance_unit, without_fragments
from tripoint.report.wording import NOTHING, as_float, count, number, percent

_INK = "#3d6a96"


def section(result: Any) -> dict[str, Any] | None:
    """Return what the page says of local activity, or None where there is none.

    Charts and correlations are of particles of active material that are not fragments.

    Returns
    -------
    dict
        ``simulated``, ``facts`` (pairs), ``histogram``, ``reasons`` (rows), ``panels`` (charts of activity
        against depth, TPB length and path resistance, each with its correlation), ``correlations`` (rows),
        ``beyond`` (how many points lie beyond the charts), ``source`` (pairs).
    """
    figures = result.summary.get("activity")
    nodes = result.graph.nodes
    if not figures or "activity" not in nodes or nodes["activity"].isna().all():
        return None
    nodes = without_fragments(nodes[nodes["activity"].notna()])
    simulated = figures.get("source") == "simulation"
    name = activity_name(result.summary)
    values, dead = numbers(nodes, "activity"), dead_particles(nodes)
    up = _range(values[~dead] if (~dead).any() else values, name, from_zero=simulated)
    quantities = _quantities(nodes, result.sample.materials)
    correlations = [_compared(nodes, values, dead, *entry) for entry in quantities]
    return {
        "simulated": simulated,
        "name": name,
        "facts": _facts(figures, values, dead),
        "histogram": _histogram(values, dead, nodes, up),
        "reasons": _reason_rows(nodes, dead),
        "panels": [
            _panel(values, dead, up, entry, row) for entry, row in zip(quantities, correlations, strict=True)
        ],
        "correlations": correlations,
        "any_dead": bool(dead.any()),
        "beyond": _beyond(values[~dead], up),
        "source": source_facts(result),
    }


def headline(summary: dict[str, Any]) -> list[dict[str, str]]:
    """Return the key figures of activity: the share of dead particles and the coefficient of variation."""
    found = summary.get("activity")
    if not found:
        return []
    simulated = found.get("source") == "simulation"
    figures = []
    if found.get("dead_fraction") is not None:
        dead = sum(found.get("by_reason", {}).values())
        figures.append(
            {
                "value": percent(found["dead_fraction"]),
                "label": "dead particles",
                "note": f"{count(dead)} of {count(found.get('particles'))} of active material do not react",
            }
        )
    figures.append(
        {
            "value": number(found.get("cv")),
            "label": f"CV of {activity_name(summary)}",
            "note": "s.d. / mean over particles" + (", dead ones included" if simulated else ""),
        }
    )
    return figures


def _quantities(nodes: pd.DataFrame, materials: Any) -> list[tuple[str, str, np.ndarray]]:
    """Return what activity is compared with: name, unit, values."""
    carriers = [c for c in materials.carriers if f"depth_{c}" in nodes]
    at: dict[str, list[str]] = {}
    for carrier in carriers:
        at.setdefault(materials.terminals.get(carrier, carrier), []).append(carrier)
    found = [
        (f"depth from the {' and '.join(names)} terminal", "µm", numbers(nodes, f"depth_{names[0]}"))
        for names in at.values()
    ]
    if "junction_length" in nodes:
        length = numbers(nodes, "junction_length")
        found.append(("TPB length per particle volume", "µm⁻²", length / numbers(nodes, "volume")))
        found.append(("TPB length", "µm", length))
    found += [
        (f"{c} path resistance", resistance_unit(materials, c), numbers(nodes, f"path_resistance_{c}"))
        for c in carriers
        if f"path_resistance_{c}" in nodes
    ]
    found.append(("equivalent diameter", "µm", numbers(nodes, "equivalent_diameter")))
    return [entry for entry in found if np.isfinite(entry[2]).any()]


def _compared(
    nodes: pd.DataFrame, values: np.ndarray, dead: np.ndarray, name: str, unit: str, quantity: np.ndarray
) -> dict[str, Any]:
    """Return a row of the table: the correlation of those that react, at equal size, and of all."""
    alive = ~dead
    diameter = numbers(nodes, "equivalent_diameter")
    mine = spearman(quantity[alive], values[alive])
    size_fixed = None
    if name != "equivalent diameter":
        size_fixed = replace(spearman(quantity[alive], values[alive], diameter[alive]), bend=mine.bend)
    return {
        "name": name,
        "unit": unit,
        "n": count(mine.n),
        "rho": _coefficient(mine),
        "words": in_words(mine),
        "seen": mine.seen,
        "size_fixed": NOTHING if size_fixed is None else _coefficient(size_fixed),
        "size_words": "" if size_fixed is None else in_words(size_fixed),
        "all": _coefficient(whole := spearman(quantity, values)),
        "all_n": count(whole.n),
    }


def _panel(
    values: np.ndarray,
    dead: np.ndarray,
    up: Axis,
    entry: tuple[str, str, np.ndarray],
    row: dict[str, Any],
) -> dict[str, Any]:
    name, unit, quantity = entry
    known = np.isfinite(quantity)
    shown = quantity[known & (quantity <= np.quantile(quantity[known], 0.99))]
    across = axis_for(shown, f"{name}, {unit}", from_zero=True)
    if across.log and name.startswith("depth"):
        across = Axis(0.0, across.high, across.label)
    groups = [(_INK, quantity[known & ~dead], values[known & ~dead])]
    chart = scatter(groups, across, up, f"{up.label} against {name}", quartiles=True)
    return {"name": name, "chart": chart, "row": row, "line": len(groups[0][1]) >= LINE_NEEDS}


def _histogram(values: np.ndarray, dead: np.ndarray, nodes: pd.DataFrame, up: Axis) -> Any:
    apart = [(colour, n) for _, colour, n in _reasons(nodes, dead)]
    axis = Axis(up.low, up.high, up.label, before=0.18 if apart else 0.0)
    return histogram_beside(values[~dead], apart, axis, "dead", f"distribution of {up.label}")


def _reason_rows(nodes: pd.DataFrame, dead: np.ndarray) -> list[dict[str, str]]:
    """Return a row per reason: how many do not react for it, and their share by number and by volume."""
    volume = numbers(nodes, "volume")
    because = nodes["inactive_because"].astype(str).to_numpy() if dead.any() else np.zeros(0, object)
    rows = []
    for reason, colour, n in _reasons(nodes, dead):
        rows.append(
            {
                "name": reason,
                "colour": colour,
                "count": count(n),
                "share": percent(n / len(nodes)),
                "volume": percent(volume[because == reason].sum() / volume.sum()),
            }
        )
    return rows


def _reasons(nodes: pd.DataFrame, dead: np.ndarray) -> list[tuple[str, str, int]]:
    """Return why particles are dead: reason, colour, how many."""
    if not dead.any():
        return []
    counts = nodes["inactive_because"].astype(str)[dead].value_counts()
    order = [*(name for name in REASONS if name in counts), *sorted(set(counts.index) - set(REASONS))]
    return [(name, REASONS.get(name, MISSING), int(counts[name])) for name in order]


def _range(values: np.ndarray, label: str, *, from_zero: bool) -> Axis:
    """Return an axis that holds all but the outermost hundredth of the values."""
    low, high = (float(q) for q in np.quantile(values, [0.005, 0.99]))
    if from_zero:
        low, high = min(0.0, low), max(0.0, high)
    return Axis(low, high + 0.05 * (high - low) if high > low else low + 1.0, label)


def _beyond(values: np.ndarray, axis: Axis) -> str:
    """Return which values the charts draw at their edge, empty where there are none."""
    outside = values[(values < axis.low) | (values > axis.high)]
    if not len(outside):
        return ""
    ends = " to ".join(dict.fromkeys(number(end) for end in (outside.min(), outside.max())))
    return f"{count(len(outside))} beyond the axis ({ends}) drawn at its end"


def _facts(figures: dict[str, Any], values: np.ndarray, dead: np.ndarray) -> list[tuple[str, str]]:
    alive = values[~dead]
    quartiles = [number(q) for q in np.quantile(alive, [0.25, 0.5, 0.75])] if len(alive) else [NOTHING] * 3
    facts = [
        (
            "particles of active material",
            _particles_text(figures, len(values)),
        ),
        (
            "dead",
            f"{percent(figures.get('dead_fraction'))}" if figures.get("dead_fraction") is not None else "",
        ),
        ("coefficient of variation", number(figures.get("cv"))),
        ("quartiles of those that react" if dead.any() else "quartiles", " · ".join(quartiles)),
        ("below 0", f"{count((alive < 0).sum())} particles" if (alive < 0).any() else ""),
    ]
    return [(term, text) for term, text in facts if text]


def _particles_text(figures: dict[str, Any], known: int) -> str:
    """Return how many particles there are, and which of them the figures do not hold."""
    without = as_float(figures.get("without_value"))
    parts = [count(known + without), f"{count(without)} without a value"] if without > 0 else [count(known)]
    return "; ".join([*parts, f"fragments apart: {count(figures.get('fragments'))}"])


def _coefficient(found: Correlation) -> str:
    """Return ``−0.42 (−0.55 to −0.27)``."""
    if np.isnan(found.rho):
        return NOTHING
    rho, low, high = (f"{value:.2f}".replace("-", "−") for value in (found.rho, found.low, found.high))
    return rho if np.isnan(found.low) else f"{rho} ({low} to {high})"
