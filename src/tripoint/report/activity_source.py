"""Where local activity comes from: the simulation with how well it was solved, or the map."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from tripoint.report.wording import NOTHING, as_float, count, number, percent, quantity, short


def activity_name(summary: Mapping[str, Any]) -> str:
    """Return what to call the quantity: ``activity``, or a measured map's name without folder and ending."""
    figures = summary.get("activity") or {}
    if figures.get("source") != "map":
        return "activity"
    # as `maps/soc.tif` or `scan.h5:/entry/soc`
    return PurePath(str(figures.get("map") or "").rpartition(":")[2]).stem or "measured activity"


def source_facts(result: Any) -> list[tuple[str, str]]:
    """Return what was solved and how well, or which map was read; what is not known is left out."""
    figures = result.summary["activity"]
    if figures.get("source") != "simulation":
        covered = figures.get("covered_fraction")
        facts = [
            ("map", str(figures.get("map", ""))),
            ("covered", "" if covered is None else f"{percent(covered)} of the voxels of the particles"),
            ("voxels without a value", count(figures.get("missing_voxels"))),
            ("particles without a value", count(figures.get("without_value"))),
        ]
    else:
        steps = as_float(figures.get("newton_steps"))
        facts = [
            ("regime", str(figures.get("kinetics", "")).replace("_", " ")),
            *_conductivities(result.sample.materials),
            *_reaction(result.sample.materials.kinetics),
            ("voltage between the terminals", quantity(_voltage(result.summary), "V")),
            ("current", quantity(figures.get("current"), "µA")),
            ("balance", f"{number(figures.get('current_balance'), 2)} of the current"),
            ("residual", number(figures.get("residual"), 2)),
            ("iterations", count(figures.get("iterations"))),
            ("steps of Newton's method", count(steps) if steps > 0 else ""),
        ]
    return [(term, text) for term, text in facts if text and not text.startswith(NOTHING)]


def _conductivities(materials: Any) -> list[tuple[str, str]]:
    """Return what each phase conducts: a regime says it by role, the materials then by phase."""
    return [
        (f"{carrier} conductivity of {phase.name}", quantity(value, "S/m"))
        for phase in materials.phases
        for carrier, value in phase.conductivity.items()
    ]


def _reaction(kinetics: Any) -> list[tuple[str, str]]:
    """Return where and how fast charge is transferred."""
    if not isinstance(kinetics, Mapping):
        return []
    junction = kinetics.get("reaction") == "junction"
    where = "along triple-phase boundaries" if junction else "where active material meets ion conductors"
    boundary, decay = as_float(kinetics.get("boundary_factor")), as_float(kinetics.get("enhancement_length"))
    return [
        ("charge transfer", f"{quantity(kinetics.get('exchange'), 'S/m' if junction else 'S/m²')} {where}"),
        ("conductance between particles", f"× {short(boundary)}" if boundary < 1 else ""),
        ("enhanced near the additive", f"decays over {quantity(decay, 'µm')}" if decay > 0 else ""),
    ]


def _voltage(summary: dict[str, Any]) -> Any:
    return summary.get("run", {}).get("configuration", {}).get("simulation", {}).get("voltage")
