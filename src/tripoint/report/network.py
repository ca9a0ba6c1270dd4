"""Currents through the network of regions: what the summary and the report say of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tripoint.percolation.conduits import neck_radii
from tripoint.report.palette import CARRIER
from tripoint.report.scene import pack
from tripoint.report.wording import count, minus, number, percent
from tripoint.transport import NetworkTransport, critical_contacts

CRITICAL = 10


def summary_entry(found: NetworkTransport, number_of_critical: int = CRITICAL) -> dict[str, Any]:
    """Return the figures of every carrier's network: ``summary["transport"]["network"]``.

    Returns
    -------
    dict
        Per carrier ``faces`` (held at 1 and at 0), ``spans``, ``effective_conductivity`` (S/m, or relative),
        ``tortuosity_factor`` (None where it does not span), ``current_balance``, ``regions``, ``contacts``,
        ``bridges`` (that carry current), ``iterations``; ``critical``, the contacts on which the
        resistance depends most, and ``critical_bridges``, the bridges that carry most. Of each of these:
        ``source``, ``target``, ``phases``, ``kind``, ``centroid`` (z, y, x in µm), ``neck_radius`` (µm),
        ``current_share`` and ``dissipation_share``.
    """
    return {
        carrier: {
            "faces": list(figures.faces),
            "spans": figures.spans,
            "effective_conductivity": figures.effective_conductivity,
            "tortuosity_factor": figures.factor if figures.spans else None,
            "current_balance": figures.imbalance,
            "regions": figures.regions,
            "contacts": figures.contacts,
            "bridges": figures.bridges,
            "iterations": figures.iterations,
            "critical": _listed(critical_contacts(found.contacts, carrier, number_of_critical)),
            "critical_bridges": _bridges(found.contacts, carrier, number_of_critical),
        }
        for carrier, figures in found.carriers.items()
    }


def network_rows(summary: dict[str, Any]) -> list[dict[str, str]]:
    """Return a row per carrier: which faces, what it conducts, how many regions and contacts take part."""
    rows = []
    for carrier, entry in summary.get("transport", {}).get("network", {}).items():
        rows.append(
            {
                "name": carrier,
                "between": " to ".join(minus(face) for face in entry["faces"]),
                "conductivity": number(entry["effective_conductivity"])
                if entry["spans"]
                else "does not span",
                "factor": number(entry["tortuosity_factor"]),
                "regions": count(entry["regions"]),
                "contacts": count(entry["contacts"]),
                "bridges": count(entry["bridges"]),
            }
        )
    return rows


def critical_rows(summary: dict[str, Any], carrier: str, which: str = "critical") -> list[dict[str, str]]:
    """Return a row per contact of ``critical`` or ``critical_bridges``, the one that matters most first."""
    entry = summary.get("transport", {}).get("network", {}).get(carrier, {})
    return [
        {
            "regions": f"{contact['source']} – {contact['target']}",
            "phases": " – ".join(contact["phases"]),
            "kind": contact["kind"],
            "place": ", ".join(number(x) for x in contact["centroid"]),
            "neck": number(contact["neck_radius"]),
            "current": percent(contact["current_share"]),
            "dissipation": percent(contact["dissipation_share"]),
        }
        for contact in entry.get(which, [])
    ]


def critical_markers(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return per carrier what the 3D view draws at the critical contacts, packed as the scene is.

    Returns
    -------
    dict
        ``count``, ``colour``, ``regions`` (which meet, as text), and float32 ``centre`` (x, y, z in µm),
        ``radius`` (µm) and ``share`` (of the dissipation).
    """
    markers = {}
    for carrier, entry in summary.get("transport", {}).get("network", {}).items():
        contacts = entry["critical"]
        markers[carrier] = {
            "count": len(contacts),
            "colour": CARRIER[carrier],
            "regions": [f"{contact['source']} – {contact['target']}" for contact in contacts],
            "centre": pack([contact["centroid"][::-1] for contact in contacts], np.float32),
            "radius": pack([contact["neck_radius"] for contact in contacts], np.float32),
            "share": pack([contact["dissipation_share"] for contact in contacts], np.float32),
        }
    return markers


def _bridges(contacts: Any, carrier: str, number_of_critical: int) -> list[dict[str, Any]]:
    if f"bridge_{carrier}" not in contacts.columns:
        return []
    return _listed(
        critical_contacts(contacts, carrier, number_of_critical, "current_share", only_bridges=True)
    )


def _listed(rows: pd.DataFrame) -> list[dict[str, Any]]:
    necks = neck_radii(rows)
    return [
        {
            "source": int(row["source"]),
            "target": int(row["target"]),
            "phases": [row[end] for end in ("source_phase", "target_phase") if end in rows],
            "kind": row["kind"],
            "centroid": [float(row[f"centroid_{axis}"]) for axis in "zyx"],
            "neck_radius": float(neck),
            "current_share": float(row["current_share"]),
            "dissipation_share": float(row["dissipation_share"]),
        }
        for row, neck in zip(rows.to_dict("records"), necks, strict=True)
    ]
