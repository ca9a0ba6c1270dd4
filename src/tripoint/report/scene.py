"""What the interactive 3D view shows: particles, their contacts and the properties to colour them by."""

from __future__ import annotations

import base64
import gzip
import math
from typing import Any

import numpy as np
import pandas as pd

from tripoint.materials import CARRIERS
from tripoint.report.activity_source import activity_name
from tripoint.report.fields import activity_scale, dead_particles, prediction_scale
from tripoint.report.palette import CARRIER, DEAD, MISSING, phase_colours
from tripoint.report.scales import Scale, about_one, sequential
from tripoint.report.surfaces import surfaces
from tripoint.report.wording import minus

_TRIANGLES_PER_PARTICLE = 60  # fewer no longer look like a particle
_CONTACTS_AT_MOST = 12_000

# column, what to call it, unit; carriers' columns are added where a table has them
_PROPERTIES = (
    ("predicted_activity", "predicted activity", ""),
    ("activity", "activity", ""),
    ("predicted_ratio", "predicted / known activity", ""),
    ("phase", "phase", ""),
    ("equivalent_diameter", "equivalent diameter", "µm"),
    ("volume", "volume", "µm³"),
    ("surface_area", "surface area", "µm²"),
    ("sphericity", "sphericity", ""),
    ("aspect_ratio", "aspect ratio", ""),
    ("inscribed_radius", "inscribed radius", "µm"),
    ("coordination_number", "coordination number", "contacts"),
    ("degree", "contacts with any region", "contacts"),
    ("junction_length", "TPB length", "µm"),
    ("active_junction_length", "active TPB length", "µm"),
    ("reaction_current", "reaction current", "µA"),
    ("touches_border", "cut by the border of the volume", ""),
)
_PREDICTED = ("predicted_activity", "predicted_ratio")
_PER_CARRIER = (
    ("reaches_", "reaches the {} terminal", ""),
    ("path_resistance_", "{} path: resistance", None),  # depends on whether conductivities are given
    ("path_tortuosity_", "{} path: length / depth", ""),
    ("path_length_", "{} path: length", "µm"),
    ("bottleneck_radius_", "{} path: bottleneck radius", "µm"),
    ("depth_", "depth from the {} terminal", "µm"),
)


def scene(result: Any, budget: int = 150_000) -> dict[str, Any] | None:
    """Return all that the page's script needs to draw the particles, or None where there are none.

    Parameters
    ----------
    result : Result
    budget : int
        Triangles at most; the largest particles come first and each has some tens of triangles.

    Returns
    -------
    dict
        ``payload`` (JSON-ready: arrays compressed and base64-encoded), ``shown``, ``particles`` (how many
        there are, fragments apart), ``volume_share`` of the shown among all, ``triangles``,
        ``contacts_shown``, ``contacts``.
    """
    nodes = without_fragments(particulate_nodes(result))
    if nodes.empty:
        return None
    chosen = nodes.nlargest(max(1, budget // _TRIANGLES_PER_PARTICLE), "voxels").sort_values("node")
    mesh = surfaces(result.regions, result.sample.spacing, chosen["node"].to_numpy(np.int64), budget)
    contacts, among = _contacts(result.graph.contacts, chosen)
    colours = phase_colours([phase.name for phase in result.sample.materials.phases])
    payload = {
        "vertices": pack(mesh.positions[:, ::-1], np.float32),
        "triangles": pack(mesh.triangles, np.int32),
        "owner": pack(mesh.owner, np.int32),
        "node": pack(chosen["node"], np.int32),
        "centre": pack(chosen[["centroid_x", "centroid_y", "centroid_z"]], np.float32),
        "diameter": pack(chosen["equivalent_diameter"], np.float32),
        "contacts": pack(contacts, np.int32),
        "extent": [n * s for n, s in zip(result.sample.shape, result.sample.spacing, strict=True)][::-1],
        "terminals": _terminals(result.sample),
        "missing": MISSING,
        "dead": DEAD,
        "properties": [
            _property(result, chosen, *entry, colours)
            for entry in _available(chosen, result.sample.materials)
        ],
    }
    volumes = nodes["voxels"].sum()
    return {
        "payload": payload,
        "shown": len(chosen),
        "particles": len(nodes),
        "volume_share": float(chosen["voxels"].sum() / volumes) if volumes else math.nan,
        "triangles": len(mesh.triangles),
        "contacts_shown": len(contacts),
        "contacts": among,
    }


def particulate_nodes(result: Any) -> pd.DataFrame:
    """Return the rows of the nodes table that are particles: regions of particulate phases."""
    nodes = result.graph.nodes
    names = [phase.name for phase in result.sample.materials.phases if phase.particulate]
    return nodes[nodes["phase"].astype(str).isin(names)]


def resistance_unit(materials: Any, carrier: str) -> str:
    """Return the unit of a carrier's path resistance: with conductivities in S/m it is MΩ."""
    return "MΩ" if any(carrier in phase.conductivity for phase in materials.phases) else "µm⁻¹"


def _terminals(sample: Any) -> list[dict[str, str]]:
    """Return which outer faces are terminals, of which carriers, and in which colour to frame them."""
    carriers: dict[str, list[str]] = {}
    for carrier, face in sample.materials.terminals.items():
        carriers.setdefault(face, []).append(carrier)
    return [
        {"face": face, "text": f"{', '.join(names)} terminal, {minus(face)}", "colour": CARRIER[names[0]]}
        for face, names in carriers.items()
    ]


def without_fragments(nodes: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are not flagged as fragments; all where every row is."""
    if "fragment" not in nodes or nodes["fragment"].all():
        return nodes
    return nodes[~nodes["fragment"].astype(bool)]


def pack(values: Any, dtype: type) -> str:
    """Return an array as base64 of gzip of its bytes, little-endian."""
    little = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    return base64.b64encode(gzip.compress(little.tobytes(), 6, mtime=0)).decode("ascii")


def _available(nodes: pd.DataFrame, materials: Any) -> list[tuple[str, str, str]]:
    columns = [entry for entry in _PROPERTIES if entry[0] in nodes and nodes[entry[0]].notna().any()]
    for carrier in CARRIERS:
        columns += [
            (
                prefix + carrier,
                label.format(carrier),
                resistance_unit(materials, carrier) if unit is None else unit,
            )
            for prefix, label, unit in _PER_CARRIER
            if prefix + carrier in nodes
        ]
    return columns


def _property(
    result: Any, nodes: pd.DataFrame, column: str, label: str, unit: str, colours: dict[str, str]
) -> dict[str, Any]:
    """Return one entry of the drop-down: its values, range and the kind of colour scale it needs."""
    if column == "activity":
        label = activity_name(result.summary)
    entry: dict[str, Any] = {"column": column, "label": label, "unit": unit}
    if column == "phase":
        names = [name for name in colours if (nodes[column].astype(str) == name).any()]
        places = nodes[column].astype(str).map({name: i for i, name in enumerate(names)})
        return entry | {
            "kind": "category",
            "names": names,
            "colours": [colours[name] for name in names],
            "values": pack(places, np.float32),
        }
    values = pd.to_numeric(nodes[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    values = np.where(np.isfinite(values), values, np.nan)
    if column.startswith("bottleneck_radius_"):
        values[values <= 0] = np.nan  # the terminal is not reached
    entry["values"] = pack(values, np.float32)
    if column.startswith(("reaches_", "touches_")):
        return entry | {"kind": "category", "names": ["no", "yes"], "colours": ["#d55e00", "#93aecb"]}
    return entry | _continuous(result, nodes, column, values)


def _continuous(result: Any, nodes: pd.DataFrame, column: str, values: np.ndarray) -> dict[str, Any]:
    """Return the scale of a property; for activity also which particles are dead, and why."""
    entry: dict[str, Any] = {"kind": "continuous", "missing": int(np.isnan(values).sum())}
    dead = dead_particles(nodes)
    reacting = column in ("activity", "reaction_current")
    if reacting or column in _PREDICTED:
        measured = "inactive_because" not in nodes
        entry["without"] = "not measured or no active material" if measured else "no active material"
    if reacting and dead.any():
        because = nodes["inactive_because"].astype(str).to_numpy()
        reasons = sorted(set(because[dead]))
        places = {reason: i for i, reason in enumerate(reasons)}
        entry |= {"reasons": reasons, "dead": pack([places.get(b, -1) for b in because], np.int32)}
        values = values[~dead]
    scale = _scale(result, column, values)
    return entry | {
        "low": scale.low,
        "high": scale.high,
        "middle": scale.middle,
        "log": scale.log,
        "stops": list(scale.stops),
    }


def _scale(result: Any, column: str, values: np.ndarray) -> Scale:
    if column == "activity":
        return activity_scale(result, values)
    if column == "predicted_activity":
        return prediction_scale(result.graph.nodes)
    if column == "predicted_ratio":
        return about_one(values)
    return sequential(values, 0.02, may_be_log=True)


def _contacts(contacts: pd.DataFrame, chosen: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Return the widest contacts of shown particles, as pairs of their positions, and how many there are."""
    position = pd.Series(np.arange(len(chosen)), index=chosen["node"].to_numpy())
    if contacts is None or contacts.empty:
        return np.zeros((0, 2), np.int32), 0
    both = contacts["source"].isin(position.index) & contacts["target"].isin(position.index)
    among = contacts[both]
    widest = among.nlargest(_CONTACTS_AT_MOST, "area" if "area" in among else "faces")
    pairs = np.stack([position.reindex(widest[end]).to_numpy() for end in ("source", "target")], axis=1)
    return pairs.astype(np.int32), len(among)
