"""Places in a sample as a table of points, which napari and ParaView open."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_COLUMNS = ("source", "target", "kind", "neck_radius", "current_share", "dissipation_share")


def write_critical_contacts(path: Path, network: Mapping[str, Any]) -> None:
    """Write the critical contacts of every carrier as CSV, a row per contact.

    Parameters
    ----------
    path : Path
    network : mapping
        ``summary["transport"]["network"]``.

    Notes
    -----
    ``index, axis-0, axis-1, axis-2`` is how napari writes points, here z, y, x in µm, as the scale of
    volume.zarr has it; ParaView's filter *Table To Points* takes the same columns.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("index", "axis-0", "axis-1", "axis-2", "carrier", "phases", *_COLUMNS))
        for index, (carrier, contact) in enumerate(_contacts(network)):
            rest = (contact[name] for name in _COLUMNS)
            writer.writerow((index, *contact["centroid"], carrier, "|".join(contact["phases"]), *rest))


def _contacts(network: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each contact once, also where it is among the worst and among the bridges."""
    for carrier, figures in network.items():
        pairs = set()
        for contact in [*figures["critical"], *figures["critical_bridges"]]:
            pair = contact["source"], contact["target"]
            if pair not in pairs:
                pairs.add(pair)
                yield carrier, contact
