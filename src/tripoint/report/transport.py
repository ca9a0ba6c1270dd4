"""The section on transport: tortuosity factors, effective conductivities, currents through the network."""

from __future__ import annotations

from typing import Any

from tripoint.materials import AXES
from tripoint.report.network import critical_rows, doubts, network_rows
from tripoint.report.wording import NOTHING, as_float, number

NO_WAY = "does not span"


def section(result: Any) -> dict[str, Any] | None:
    """Return what the page says of transport, or None where it was not asked for.

    Returns
    -------
    dict
        ``axes``, ``rows`` (of phases and networks), ``network`` (rows per carrier), ``doubts`` (per carrier
        whose network and voxels are not alike, their ratio), ``units`` of their conductivity, ``critical``
        (per carrier, its rows), ``bridges`` (the one that carries most).
    """
    found = result.summary.get("transport")
    if not found:
        return None
    factors = found.get("tortuosity", {})
    axes = [axis for axis in AXES if any(axis in along for along in factors.values())]
    carriers = list(found.get("network", {}))
    return {
        "axes": axes,
        "rows": [
            _row(
                result.sample.materials,
                name,
                along,
                found.get("effective_conductivity", {}).get(name, {}),
                axes,
            )
            for name, along in factors.items()
        ],
        "network": network_rows(result.summary, result.sample.materials),
        "doubts": doubts(result.summary, result.sample.materials),
        "units": {carrier: _unit(result.sample.materials, carrier) for carrier in carriers},
        "critical": {
            carrier: rows for carrier in carriers if (rows := critical_rows(result.summary, carrier))
        },
        "bridges": {
            carrier: rows[0]
            for carrier in carriers
            if (rows := critical_rows(result.summary, carrier, "critical_bridges"))
        },
    }


def _row(
    materials: Any, name: str, along: dict[str, Any], conductivity: dict[str, Any], axes: list[str]
) -> dict[str, Any]:
    """Return the factors and conductivities of a phase alone or of a carrier's network."""
    phase = next((phase for phase in materials.phases if phase.name == name), None)
    members = [p.name for p in materials.phases if name in p.conducts]
    return {
        "name": name,
        "made_of": "this phase alone" if phase else " + ".join(members),
        "factors": [NO_WAY if along.get(axis) is None else number(along[axis]) for axis in axes],
        "conductivities": [
            number(conductivity.get(axis)) if axis in conductivity else NOTHING for axis in axes
        ],
        "unit": "of its own σ" if phase else _unit(materials, name),
        "nowhere": all(along.get(axis) is None for axis in axes),
    }


def _unit(materials: Any, carrier: str) -> str:
    """Return S/m where conductivities are given; without them the network is relative to 1."""
    given = any(as_float(phase.conductivity.get(carrier)) > 0 for phase in materials.phases)
    return "S/m" if given else "relative"
