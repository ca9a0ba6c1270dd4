"""Fields in the three slices: potentials, a measured map, and each particle's activity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tripoint.report.activity_source import activity_name
from tripoint.report.palette import DEAD, MISSING, colour_table, rgb
from tripoint.report.pictures import indexed, meetings, thin
from tripoint.report.scales import Scale, about_mean, sequential
from tripoint.report.surfaces import host

_NO_VALUE, _DEAD, _FIRST = 0, 1, 2  # colours of a picture; those of the scale follow

# channel, what to call it (with the name of what was measured), unit, what is said of it
_CHANNELS = (
    (
        "ion_potential",
        "ion potential",
        "V",
        "Grey conducts no ions or is not connected to their terminal.",
    ),
    (
        "electron_potential",
        "electron potential",
        "V",
        "Grey conducts no electrons or is not connected to their terminal.",
    ),
    ("activity_map", "{} as measured", "", "Grey was not measured."),
)


@dataclass(frozen=True)
class Field:
    """A field over the three middle planes.

    Attributes
    ----------
    name : str
        Of its layer.
    label, unit, note : str
    scale : Scale
        From the lowest to the highest value in the three planes.
    pictures : list of str
        PNG data URIs of the planes that cut z, y and x.
    entries : list of (str, str)
        Colours apart from the scale, and what they stand for.
    """

    name: str
    label: str
    unit: str
    note: str
    scale: Scale
    pictures: list[str]
    entries: list[tuple[str, str]]


def fields(result: Any) -> list[Field]:
    """Return the fields that a result has; of their volumes only three planes are read."""
    nodes = result.graph.nodes
    found = [_activity(result)] if "activity" in nodes and nodes["activity"].notna().any() else []
    measured = activity_name(result.summary)
    for name, label, unit, note in _CHANNELS:
        if name in result.sample.channels:
            planes = [thin(plane) for plane in middle_planes(result.sample.channels[name])]
            scale = sequential(np.concatenate([plane.ravel() for plane in planes]))
            pictures = [_picture(plane, scale) for plane in planes]
            found.append(Field(name, label.format(measured), unit, note, scale, pictures, []))
    return found


def middle_planes(volume: Any) -> list[np.ndarray]:
    """Return the middle planes that cut z, y and x, on the host."""
    middles = [n // 2 for n in volume.shape]
    return [
        host(volume[tuple(middles[axis] if other == axis else slice(None) for other in range(3))])
        for axis in range(3)
    ]


def dead_particles(nodes: Any) -> np.ndarray:
    """Return which regions are active material that does not react; none where a map was measured."""
    if "inactive_because" not in nodes:
        return np.zeros(len(nodes), bool)
    return (nodes["inactive_because"].astype(object).fillna("") != "").to_numpy()


def activity_scale(result: Any, values: np.ndarray) -> Scale:
    """Return the scale of the particles' activity: about 1 from a simulation, sequential from a map."""
    if "inactive_because" in result.graph.nodes:
        return about_mean(values)
    return sequential(values, 0.02)


def _activity(result: Any) -> Field:
    nodes = result.graph.nodes
    values = nodes["activity"].to_numpy(np.float64)
    dead = dead_particles(nodes)
    scale = activity_scale(result, values[~dead])
    simulated = "inactive_because" in nodes
    count = int(nodes["node"].max()) + 1
    of_region, is_dead = np.full(count, np.nan), np.zeros(count, bool)
    of_region[nodes["node"]], is_dead[nodes["node"]] = values, dead
    pictures = []
    for plane in middle_planes(result.regions):
        regions = thin(plane)
        image = _indices(of_region[regions], scale)
        image[is_dead[regions]] = _DEAD
        image[meetings(regions, image != _NO_VALUE)] = _NO_VALUE
        pictures.append(indexed(image, _table(scale)))
    return Field(
        name="activity",
        label="activity" if simulated else f"{activity_name(result.summary)} of each particle",
        unit="",
        note="Grey is no active material; grey lines are contacts between particles.",
        scale=scale,
        pictures=pictures,
        entries=[(DEAD, "dead: does not react")] if simulated else [],
    )


def _picture(plane: np.ndarray, scale: Scale) -> str:
    return indexed(_indices(plane, scale), _table(scale))


def _indices(values: np.ndarray, scale: Scale) -> np.ndarray:
    places = scale(values)
    known = np.isfinite(places)
    image = np.full(values.shape, _NO_VALUE, np.uint8)
    image[known] = _FIRST + np.round(places[known] * (255 - _FIRST)).astype(np.uint8)
    return image


def _table(scale: Scale) -> np.ndarray:
    apart = np.array([rgb(MISSING), rgb(DEAD)], np.uint8)
    return np.concatenate([apart, colour_table(scale.stops, 256 - _FIRST)])
