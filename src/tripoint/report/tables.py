"""The tables of the report: what stands in the summary, in words and round numbers.

What is missing becomes a dash, so that an odd sample still has a report.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tripoint.report.palette import phase_colours
from tripoint.report.scene import particulate_nodes
from tripoint.report.wording import (
    NOTHING,
    as_float,
    count,
    interval,
    minus,
    number,
    percent,
    quantity,
    short,
)


def phase_rows(result: Any) -> list[dict[str, str]]:
    """Return a row per phase: colour, label, role, voxels, volume fraction and its interval."""
    materials = result.sample.materials
    colours = phase_colours([phase.name for phase in materials.phases])
    found = result.summary.get("sample", {}).get("phases", {})
    intervals = result.summary.get("representativity", {}).get("volume_fraction", {})
    return [
        {
            "colour": colours[phase.name],
            "name": phase.name,
            "label": str(phase.label),
            "role": _role(phase),
            "voxels": count(found.get(phase.name, {}).get("voxels")),
            "fraction": percent(found.get(phase.name, {}).get("volume_fraction")),
            "interval": interval(intervals.get(phase.name), as_percent=True),
        }
        for phase in materials.phases
    ]


def uncertainty_rows(result: Any) -> dict[str, Any] | None:
    """Return the figures that draws from the probabilities of phases move; None where none were made."""
    found = result.summary.get("uncertainty")
    if not found:
        return None
    rows = [
        {
            "name": f"{_QUANTITIES[row['quantity']]}, {row['of'].replace('|', ' – ')}",
            "value": quantity(row["value"], row["unit"]) if row["unit"] else number(row["value"]),
            "mean": number(row["mean"]),
            "interval": interval({"low": row["low"], "high": row["high"], "value": row["mean"]}),
            "outside": not as_float(row["low"]) <= as_float(row["value"]) <= as_float(row["high"]),
        }
        for row in found["figures"]
        if as_float(row["sd"]) > 0
    ]
    return {
        "draws": count(found["draws"]),
        "correlation": number(found["correlation"]),
        "temperature": number(found["temperature"]) if "temperature" in found else None,
        "rows": rows,
    }


_QUANTITIES = {
    "volume_fraction": "volume fraction",
    "tpb_density": "TPB density",
    "active_tpb_density": "active TPB density",
    "interface_area": "interface area per volume",
    "spanning_fraction": "spanning fraction",
    "terminal_fraction": "share that reaches the terminals",
    "utilization": "utilization",
    "particles": "number of particles",
}


def junction_rows(result: Any) -> list[dict[str, Any]]:
    """Return a row per junction triple, and one of all distinct edges where there are several."""
    summary = result.summary
    intervals = _by_members(summary.get("representativity", {}).get("tpb_density", {}))
    rows: list[dict[str, Any]] = []
    for entry in summary.get("junctions", []):
        length = as_float(entry.get("length"))
        shares = {name: part / length if length else math.nan for name, part in parts(entry).items()}
        rows.append(
            {
                "name": " – ".join(entry.get("phases", [])),
                "edges": _edges(entry.get("edges")),
                "raw": number(entry.get("raw_length")),
                "length": number(length),
                "density": number(entry.get("density")),
                "interval": interval(intervals.get(frozenset(entry.get("phases", [])))),
                "active_density": number(entry.get("active_density") if entry.get("active_edges") else None),
                "shares": {name: percent(share) for name, share in shares.items()},
                "bar": _bar(shares),
            }
        )
    total = summary.get("junctions_total")
    if len(rows) > 1 and total:
        rows.append(
            {
                "name": "all distinct edges",
                "edges": _edges(total.get("edges")),
                "raw": "",
                "total": True,
                "length": number(total.get("length")),
                "density": number(total.get("density")),
                "interval": "",
                "active_density": number(total.get("active_density") if total.get("active_edges") else None),
                "shares": {},
                "bar": [],
            }
        )
    return rows


def interface_rows(result: Any) -> list[dict[str, str]]:
    """Return a row per pair of phases that touch."""
    intervals = _by_members(result.summary.get("representativity", {}).get("specific_area", {}))
    return [
        {
            "name": " | ".join(entry.get("phases", [])),
            "faces": _edges(entry.get("faces")),
            "area": number(entry.get("area")),
            "specific": number(entry.get("specific_area")),
            "interval": interval(intervals.get(frozenset(entry.get("phases", [])))),
            "active": number(entry.get("active_specific_area")),
        }
        for entry in result.summary.get("interfaces", [])
    ]


def active_area(result: Any) -> str:
    """Return the area per volume where active material can react with an ion conductor; empty without one."""
    value = result.summary.get("active_area")
    return "" if value is None else quantity(value, "µm⁻¹")


def percolation_rows(result: Any) -> dict[str, list[dict[str, Any]]]:
    """Return rows of the phases and of the carriers' networks."""
    materials = result.sample.materials
    phases = result.summary.get("percolation", {})
    carriers = result.summary.get("carriers", {})
    return {
        "phases": [_percolation_row(name, "", entry) for name, entry in phases.items()],
        "carriers": [
            _percolation_row(
                carrier,
                " + ".join(p.name for p in materials.phases if carrier in p.conducts),
                entry,
                materials.terminals.get(carrier, ""),
            )
            for carrier, entry in carriers.items()
        ],
    }


def particle_rows(result: Any) -> list[dict[str, str]]:
    """Return a row per particulate phase."""
    nodes = particulate_nodes(result)
    rows = []
    for name, entry in result.summary.get("particles", {}).items():
        mine = nodes[nodes["phase"].astype(str) == name]
        whole = mine[~_flag(mine, "fragment")]
        rows.append(
            {
                "name": name,
                "count": count(entry.get("count")),
                "interior": count(entry.get("interior_count")),
                "fragments": count(entry.get("fragments", _flag(mine, "fragment").sum())),
                "mean": number(entry.get("equivalent_diameter_mean")),
                "weighted": number(entry.get("equivalent_diameter_volume_weighted")),
                "sphericity": number(_median(whole, "sphericity")),
                "aspect": number(_median(whole, "aspect_ratio")),
                "coordination": short(_median(whole, "coordination_number")),
            }
        )
    return rows


def _percolation_row(name: str, made_of: str, entry: Mapping[str, Any], face: str = "") -> dict[str, Any]:
    shares = spanning(entry)
    return {
        "name": name,
        "made_of": made_of,
        "components": count(entry.get("components")),
        "spanning": [_meter(share) for share in shares],
        "terminal": _meter(as_float(entry.get("terminal_fraction"))),
        "face": minus(face),
        "nowhere": all(f == 0 for f in shares),
    }


def _meter(fraction: float) -> dict[str, Any]:
    return {
        "text": percent(fraction),
        "width": f"{100 * fraction:.1f}" if fraction > 0 else "0",
        "zero": fraction == 0,
    }


def spanning(entry: Mapping[str, Any]) -> list[float]:
    """Return the spanning fractions along z, y, x; NaN where they are missing."""
    values = [as_float(v) for v in entry.get("spanning_fraction") or ()]
    return (values + [math.nan] * 3)[:3]


def parts(junction: Mapping[str, Any]) -> dict[str, float]:
    """Return the active, unknown and dead length; NaN where no terminals were given."""
    known = junction.get("active_edges") is not None
    return {
        name: as_float(junction.get(f"{name}_length")) if known else math.nan
        for name in ("active", "unknown", "dead")
    }


def _bar(shares: Mapping[str, float]) -> list[dict[str, str]]:
    return [
        {"kind": name, "width": f"{100 * share:.2f}"}
        for name, share in shares.items()
        if share > 0 and share < math.inf
    ]


def _edges(edges: Iterable[Any] | None) -> str:
    return " · ".join(count(n) for n in edges) if edges is not None else NOTHING


def _by_members(entries: Mapping[str, Any]) -> dict[frozenset[str], Any]:
    """Key by the set of the phases' names: ``a|b`` is ``b|a``."""
    return {frozenset(key.split("|")): entry for key, entry in entries.items()}


def _role(phase: Any) -> str:
    conducts = (
        f"conducts {_and([f'{c}s' if c != 'gas' else c for c in phase.conducts])}" if phase.conducts else ""
    )
    kind = "active material" if phase.active else "particulate" if phase.particulate else ""
    return ", ".join(part for part in (kind, conducts) if part) or "inert"


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _flag(nodes: pd.DataFrame, column: str) -> pd.Series:
    return nodes[column].astype(bool) if column in nodes else pd.Series(False, index=nodes.index)


def _median(nodes: pd.DataFrame, column: str) -> float:
    if column not in nodes:
        return math.nan
    values = pd.to_numeric(nodes[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else math.nan
