"""How a sample is analysed, whether it was read or made, as ``conf/analysis.yaml`` says."""

from __future__ import annotations

from typing import Any

from tripoint.cli.settings import check_section
from tripoint.materials import Materials
from tripoint.physics import Simulation
from tripoint.transport.kinetics import SWITCHES, Kinetics


def analysis_of(settings: dict[str, Any], materials: Materials) -> dict[str, Any]:
    """Return how a sample is analysed, but for the activity."""
    particles = check_section(settings, "particles")
    return {
        **_flow(settings, materials),
        "neck_ratio": particles["neck_ratio"],
        "min_voxels": particles["min_voxels"],
        "connectivity": settings["connectivity"],
        "subvolumes": settings["subvolumes"],
        "device": settings["device"],
        "device_memory": settings["device_memory"],
    }


def activity_of(settings: dict[str, Any]) -> str | None:
    """Return what the activity comes from, None where it is switched off."""
    given = str(settings["activity"] or "").strip()
    return None if given.lower() in ("", "off", "none", "false", "null") else given


def _flow(settings: dict[str, Any], materials: Materials) -> dict[str, Any]:
    """Return whether transport is measured, with which kinetics, and how it is solved."""
    given = check_section(settings, "transport")
    switch = given.get("name")
    changes = {key: value for key, value in given.items() if key != "name"}
    kinetics = None
    if switch not in SWITCHES:
        kinetics = Kinetics.load(given)
    elif changes:
        kinetics = Kinetics.of(materials, changes)
    return {
        "transport": switch != "off",
        "kinetics": kinetics,
        "simulation": Simulation(**check_section(settings, "simulation")),
    }
