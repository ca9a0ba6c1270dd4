"""The report of an explanation: what governs activity in a data set, and how well a model knows it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tripoint.report.explanation_charts import Bar, against, bars
from tripoint.report.html import rendered
from tripoint.report.page import write_page
from tripoint.report.palette import MISSING
from tripoint.report.wording import NOTHING, as_float, count, number, percent

GROUPS = {
    "size and shape": "#7f7f7f",
    "TPB": "#d55e00",
    "ion path": "#b5179e",
    "electron path": "#1c2330",
    "gas path": "#0b7a4b",
    "depth": "#0072b2",
    "contacts": "#e69f00",
    "surroundings": "#56b4e9",
}
"""Colours of the groups; carriers have those of the other reports."""

EDITS = {"junctions": "#d55e00", "electron path": "#1c2330", "ion path": "#b5179e", "additive": "#e69f00"}

_MEANINGS = {
    "size and shape": "volume, surface, sphericity, axes, how much the border cuts off",
    "TPB": "length of triple-phase boundary, and where it lies",
    "ion path": "reach, least resistance, length, tortuosity and bottleneck to the terminal of the ions; "
    "phase fractions of the column towards it; contacts between ion conductors",
    "electron path": "the same to the terminal of the electrons; contacts between electron conductors",
    "gas path": "the same to the terminal of the gas",
    "depth": "distance to the terminals, whether it touches one",
    "contacts": "areas of contact by phase, number of contacts",
    "surroundings": "phase fractions of the window around it",
}


def write(summary: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Write the report to an HTML file, which is there whole or not at all.

    Parameters
    ----------
    summary : mapping
        What ``summary.json`` of the explanation holds.
    tables : mapping of str to DataFrame
        ``importance``, ``shares``, ``attributions``, ``contacts``, ``link_kinds``, ``links``,
        ``conductivities`` and ``counterfactuals``, as far as they were asked for.
    path : path
    """
    context = {
        "name": str(summary["model"]),
        "version": summary["tripoint"],
        "date": datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "view": None,
        "facts": _facts(summary),
        "headline": _headline(summary),
        "groups": [(name, GROUPS[name], _MEANINGS[name]) for name in summary["groups"]],
        "shares": _shares(summary),
        "importance": _importance(tables.get("importance")),
        "attributions": _attributions(tables.get("attributions")),
        "contacts": _contacts(tables.get("contacts")),
        "kinds": _kinds(tables.get("link_kinds")),
        "links": _links(tables.get("links")),
        "conductivities": _conductivities(tables.get("conductivities")),
        "counterfactuals": _counterfactuals(summary, tables.get("counterfactuals")),
    }
    return write_page(rendered("explanation.html", context), path)


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    samples = summary["samples"]
    shown = ", ".join(samples[:4]) + (" …" if len(samples) > 4 else "")
    facts = [
        ("Model", str(summary["model"])),
        ("Samples", f"{count(len(samples))} held out: {shown}"),
        ("Particles", count(summary["particles"])),
    ]
    return facts + [
        (key.capitalize(), str(summary[key]))
        for key in ("checkpoint", "database", "input")
        if summary.get(key)
    ]


def _headline(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    found = summary["scores"]
    figures = [
        {
            "label": "explained variance R²",
            "value": number(found["r2"]),
            "note": "of log-activity, on samples that training did not see",
        },
        {"label": "mean absolute error", "value": number(found["mae"]), "note": "of log10 of activity"},
    ]
    shares = summary.get("shares")
    if shares and shares["r2"] > 0:
        entries = {entry["group"]: entry for entry in shares["groups"]}
        most = max(summary["groups"], key=lambda name: entries[name]["value"])
        for name, label in ((most, f"carried by {most}"), ("TPB", "carried by the TPB")):
            if name in entries and (name != most or label.startswith("carried by " + most)):
                entry = entries[name]
                figures.append(
                    {
                        "label": label,
                        "value": percent(entry["share"]),
                        "note": f"of R²{_within(entry)}",
                    }
                )
    return figures


def _shares(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    found = summary.get("shares")
    if not found:
        return None
    few = count(len(found["samples"]))
    if found["r2"] <= 0:
        nothing = f"The model explains nothing of {few} held-out samples (R² = {number(found['r2'])})"
        return {"chart": None, "tpb": f"{nothing}: there is nothing to share. Train it longer or on more."}
    rows = [
        Bar(
            entry["group"],
            100 * entry["share"],
            100 * as_float(entry["share_low"]),
            100 * as_float(entry["share_high"]),
            GROUPS.get(entry["group"], MISSING),
            percent(entry["share"]) if entry["share"] >= 0 else f"−{percent(-entry['share'])}",
        )
        for entry in found["groups"]
    ]
    return {
        "chart": bars(rows, "share of the explained variance, %", "Shares of the explained variance"),
        "r2": number(found["r2"]),
        "samples": few,
        "negative": any(_below(entry, 0) for entry in found["groups"][:-1]),
        "tpb": _verdict(next((e for e in found["groups"] if e["group"] == "TPB"), None)),
    }


def _verdict(entry: Mapping[str, Any] | None) -> str:
    """Say in a sentence how much the triple-phase boundary matters to the model."""
    if entry is None:
        return "The model knows nothing of the triple-phase boundary."
    sign = "−" if entry["share"] < 0 else ""
    shown = f"{sign}{percent(abs(entry['share']))}{_within(entry)}"
    if _unknown(entry["share_low"]):
        return f"The triple-phase boundary carries {shown} of what is explained, of too few samples to tell."
    if _below(entry, 0.02):
        return f"The triple-phase boundary hardly matters here: it carries {shown} of what is explained."
    if entry["share_low"] <= 0:
        return f"Whether the triple-phase boundary matters here cannot be told: {shown} of what is explained."
    return f"The triple-phase boundary carries {shown} of what is explained."


def _within(entry: Mapping[str, Any]) -> str:
    """Return the interval of a share in words; nothing where too few samples leave none."""
    low, high = entry["share_low"], entry["share_high"]
    return "" if _unknown(low) else f" (95 %: {_interval(low, high)})"


def _below(entry: Mapping[str, Any], limit: float) -> bool:
    return not _unknown(entry["share_high"]) and entry["share_high"] < limit


def _unknown(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _importance(table: pd.DataFrame | None) -> Any:
    if table is None:
        return None
    rows = [
        Bar(
            row["group"],
            row["increase"],
            row["low"],
            row["high"],
            GROUPS[row["group"]],
            number(row["increase"], 2),
        )
        for row in table.to_dict("records")
    ]
    return bars(rows, "increase of the mean absolute error of log10 of activity", "Permutation importance")


def _attributions(table: pd.DataFrame | None) -> dict[str, Any] | None:
    if table is None or not len(table):
        return None
    rows = []
    for (sample, node), group in table.groupby(["sample", "node"], sort=False):
        total = group["own"] + group["others"]
        values = dict(zip(group["group"], zip(total, group["own"], strict=True), strict=True))
        rows.append(
            {
                "particle": f"{node} of {sample}",
                "activity": number(group["activity"].iloc[0], 2),
                "values": [_signed(values[name][0]) for name in values],
                "own": _signed(group["own"].sum()),
                "others": _signed(group["others"].sum()),
            }
        )
    return {"groups": list(dict.fromkeys(table["group"])), "rows": rows}


def _contacts(table: pd.DataFrame | None) -> list[dict[str, str]]:
    if table is None:
        return []
    return [
        {
            "particle": f"{row['node']} of {row['sample']}, {row['particle']}",
            "contact": f"{row['source']}–{row['target']}",
            "weight": number(row["weight"], 2),
        }
        for row in table.to_dict("records")
    ]


def _kinds(table: pd.DataFrame | None) -> list[dict[str, str]]:
    if table is None:
        return []
    return [
        {
            "kind": str(row["kind"]).replace("_", " "),
            "group": row["group"],
            "size": number(row["size"], 2),
            **{name: _signed(row[name]) for name in ("elasticity", "least_active", "most_active")},
        }
        for row in table.to_dict("records")
    ]


def _links(table: pd.DataFrame | None) -> list[dict[str, str]]:
    if table is None:
        return []
    rows = []
    for row in table.to_dict("records"):
        whole = row["node"] == -1
        ends = "–".join("terminal" if row[end] == -1 else str(row[end]) for end in ("source", "target"))
        rows.append(
            {
                "of": f"all of {row['sample']}"
                if whole
                else f"{row['node']} of {row['sample']}, {row['particle']}",
                "link": ends,
                "kind": str(row["kind"]).replace("_", " "),
                "value": number(row["sensitivity"], 2) if whole else _signed(row["sensitivity"]),
            }
        )
    return rows


def _conductivities(table: pd.DataFrame | None) -> list[dict[str, str]]:
    if table is None:
        return []
    return [
        {
            "kind": str(row["kind"]).replace("_", " "),
            "learned": number(row["learned"], 2),
            "known": number(row["known"], 2),
            "ratio": number(row["ratio"], 2),
            "spread": number(row["spread"], 2),
            "unit": row["unit"],
            "links": count(row["links"]),
        }
        for row in table.to_dict("records")
    ]


def _counterfactuals(summary: Mapping[str, Any], table: pd.DataFrame | None) -> dict[str, Any] | None:
    if table is None:
        return None
    simulated = table["simulated_change"].notna().any()
    on_graph: list[Any] = []
    on_volume: list[Any] = []
    for edit, group in table.groupby("edit", sort=False):
        names = [
            f"{node} of {sample}, {edit}" for sample, node in zip(group["sample"], group["node"], strict=True)
        ]
        across = group["simulated_change"].to_numpy()
        for groups, upward in ((on_graph, "predicted_change"), (on_volume, "predicted_volume_change")):
            groups.append((EDITS[str(edit)], across, group[upward].to_numpy(), names))
    label = "simulated change of log10 of activity"
    return {
        "simulated": bool(simulated),
        "chart": against(on_graph, label, "predicted, on the edited graph", "Counterfactuals")
        if simulated
        else "",
        "volume": against(
            on_volume, label, "predicted, on the edited volume's graph", "Counterfactuals on volumes"
        )
        if simulated
        else "",
        "rows": [
            {
                "edit": entry["edit"],
                "colour": EDITS[entry["edit"]],
                "particles": count(entry["particles"]),
                **{
                    name: _signed(entry[name])
                    for name in ("simulated", "predicted", "predicted_volume", "known")
                },
                **{name: number(entry[name], 2) for name in ("mae", "mae_volume")},
                "same_direction": percent(entry["same_direction"], 0),
            }
            for entry in summary["counterfactuals"]
        ],
    }


def _signed(value: Any) -> str:
    value = as_float(value)
    if not np.isfinite(value):
        return NOTHING
    text = f"{abs(value):.3f}"
    return f"−{text}" if value < 0 and float(text) else text


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f} %".replace("-", "−")
