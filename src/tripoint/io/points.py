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
        writer.writerow(("index", "axis-0", "axis-1", "axis-2", "carrier", "number", "phases", *_COLUMNS))
        for index, (carrier, number, contact) in enumerate(_contacts(network)):
            phases = "|".join(contact["phases"])
            rest = (contact[name] for name in _COLUMNS)
            writer.writerow((index, *contact["centroid"], carrier, number, phases, *rest))


def _contacts(network: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """Yield the critical contacts with their numbers in the report, then other bridges, numbered 0."""
    for carrier, figures in network.items():
        pairs = {(contact["source"], contact["target"]) for contact in figures["critical"]}
        for number, contact in enumerate(figures["critical"], start=1):
            yield carrier, number, contact
        for contact in figures["critical_bridges"]:
            if (contact["source"], contact["target"]) not in pairs:
                yield carrier, 0, contact
