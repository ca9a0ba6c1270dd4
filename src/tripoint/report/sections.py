"""The head and the foot of the report: key figures, facts of the sample, provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tripoint.materials import AXES
from tripoint.report import activity
from tripoint.report.tables import spanning
from tripoint.report.wording import (
    NOTHING,
    as_float,
    count,
    memory,
    minus,
    number,
    percent,
    plural,
    seconds,
    short,
    size,
)

_FIGURES = 6  # that a reader takes in at a glance


def headline(result: Any) -> list[dict[str, str]]:
    """Return the four to six figures that matter: ``value``, ``unit``, ``label``, ``note``.

    Where activity is known, its figures take the place of the last of the others.
    """
    summary = result.summary
    figures: list[dict[str, str]] = [_junction_figure(summary, result.sample.materials.terminals)]
    for carrier, entry in summary.get("carriers", {}).items():
        face = result.sample.materials.terminals.get(carrier)
        figures.append(_carrier_figure(carrier, face, entry))
    if summary.get("utilization") is not None:
        figures.append(
            {
                "value": percent(summary["utilization"]),
                "label": "utilization",
                "note": "of the active material has electrons and ions within reach",
            }
        )
    figures.append(_particle_figure(summary))
    reacting = activity.headline(summary)
    return [*figures[: _FIGURES - len(reacting)], *reacting]


def sample_facts(result: Any) -> list[tuple[str, str]]:
    """Return what the sample is, as pairs of term and description."""
    sample = result.sample
    extent = [n * s for n, s in zip(sample.shape, sample.spacing, strict=True)]
    same = len(set(sample.spacing)) == 1
    spacing = f"{short(sample.spacing[0])}\u00a0µm" if same else f"{size(sample.spacing)}\u00a0µm"
    run = result.summary.get("run", {})
    facts = [
        ("Volume", f"{size(sample.shape)} voxels (z, y, x)"),
        ("Extent", f"{size(extent)}\u00a0µm"),
        ("Voxel", spacing),
        ("Materials", sample.materials.name.replace("_", " ")),
        ("Terminals", _terminals_text(sample.materials.terminals)),
        ("Run", f"{seconds(_total_seconds(run))} on {_device(run)}"),
    ]
    return [(term, text) for term, text in facts if text]


def provenance(result: Any) -> dict[str, Any]:
    """Return seconds per step with their share, memory, and the configuration as text."""
    run = result.summary.get("run", {})
    steps = {name: as_float(value) for name, value in run.get("seconds", {}).items()}
    longest = max(steps.values(), default=0.0) or 1.0
    return {
        "steps": [
            {"name": name, "seconds": seconds(value), "share": f"{100 * value / longest:.1f}"}
            for name, value in steps.items()
            if name != "total" and math.isfinite(value)
        ],
        "total": seconds(_total_seconds(run)),
        "device": _device(run),
        "memory": memory(run.get("peak_memory_bytes")),
        "per_voxel": number(run.get("bytes_per_voxel")),
        "device_memory": memory(run.get("device_peak_bytes")) if run.get("device_peak_bytes") else "",
        "device_per_voxel": number(run.get("device_bytes_per_voxel")),
        "configuration": _configuration(result),
    }


def _junction_figure(summary: Mapping[str, Any], terminals: Mapping[str, str]) -> dict[str, str]:
    """Density and active share over distinct edges; a sum over triples counts those they share twice."""
    if not summary.get("junctions"):
        return {"value": NOTHING, "label": "TPB density", "note": "no junction: it takes three phases"}
    total = summary.get("junctions_total", {})
    length = as_float(total.get("length"))
    if length == 0:
        note = "the three phases meet nowhere"
    elif terminals:
        note = f"{percent(as_float(total.get('active_length')) / length)} of it active"
    else:
        note = "what is active needs terminals"
    return {"value": number(total.get("density")), "unit": "µm⁻²", "label": "TPB density", "note": note}


def _particle_figure(summary: Mapping[str, Any]) -> dict[str, str]:
    particles = summary.get("particles", {})
    total = sum(int(entry.get("count", 0)) for entry in particles.values())
    inside = sum(int(entry.get("interior_count", 0)) for entry in particles.values())
    note = f"{count(inside)} of them inside, not cut by the border"
    if not total:
        note = "none in the volume" if particles else "no phase is particulate"
    return {"value": count(total), "label": "particles", "note": note}


def _carrier_figure(carrier: str, face: str | None, entry: Mapping[str, Any]) -> dict[str, str]:
    terminal = as_float(entry.get("terminal_fraction"))
    label = f"{plural(carrier)} connected"
    if face and math.isfinite(terminal):
        note = f"share of the network that reaches its terminal, {minus(face)}"
        along = AXES.index(face[0])
        note += "; it does not span the volume" if spanning(entry)[along] == 0 else ""
        return {"value": percent(terminal), "label": label, "note": note}
    shares = spanning(entry)
    best = max(range(3), key=lambda axis: -1.0 if math.isnan(shares[axis]) else shares[axis])
    return {
        "value": percent(shares[best]),
        "label": label,
        "note": f"share that spans the volume along {AXES[best]}",
    }


def _terminals_text(terminals: Mapping[str, str]) -> str:
    return ", ".join(f"{carrier} {minus(face)}" for carrier, face in terminals.items()) or "none given"


def _device(run: Mapping[str, Any]) -> str:
    device = str(run.get("device", NOTHING))
    return str(run.get("device_name") or {"cpu": "the CPU", "cuda": "the GPU"}.get(device, device))


def _total_seconds(run: Mapping[str, Any]) -> float:
    steps = run.get("seconds", {})
    if "total" in steps:
        return as_float(steps["total"])
    return float(np.nansum([as_float(value) for value in steps.values()])) if steps else math.nan


def _configuration(result: Any) -> str:
    import yaml

    given = getattr(result, "configuration", None) or result.summary.get("run", {}).get("configuration")
    shown = {"materials": result.sample.materials.to_mapping()} | (dict(given) if given else {})
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, default_flow_style=None)
