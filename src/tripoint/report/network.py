"""Currents through the network of regions: what the report says of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tripoint.physics import doubtful_networks, network_over_voxels
from tripoint.report.palette import CARRIER
from tripoint.report.scene import pack
from tripoint.report.wording import count, minus, number, percent, short


def network_rows(summary: dict[str, Any], materials: Any) -> list[dict[str, str]]:
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
                "over_voxels": number(network_over_voxels(summary, materials, carrier)),
                "regions": count(entry["regions"]),
                "contacts": count(entry["contacts"]),
                "bridges": count(entry["bridges"]),
            }
        )
    return rows


def doubts(summary: dict[str, Any], materials: Any) -> dict[str, str]:
    """Return how many times as tortuous as the voxels a carrier's network is, where they are not alike."""
    return {carrier: short(ratio, 2) for carrier, ratio in doubtful_networks(summary, materials).items()}


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
