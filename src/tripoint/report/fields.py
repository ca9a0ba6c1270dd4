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

PARTICLES_NOTE = "Grey is no active material; grey lines are contacts between particles."
DEAD_TEXT = "dead: does not react"
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


def prediction_scale(nodes: Any) -> Scale:
    """Return the scale of predicted activity, that of the known activity where there is one."""
    if "activity" not in nodes or nodes["activity"].isna().all():
        return about_mean(nodes["predicted_activity"].to_numpy(np.float64))
    return about_mean(nodes["activity"].to_numpy(np.float64)[~dead_particles(nodes)])


def _activity(result: Any) -> Field:
    nodes = result.graph.nodes
    values = nodes["activity"].to_numpy(np.float64)
    dead = dead_particles(nodes)
    scale = activity_scale(result, values[~dead])
    simulated = "inactive_because" in nodes
    return Field(
        name="activity",
        label="activity" if simulated else f"{activity_name(result.summary)} of each particle",
        unit="",
        note=PARTICLES_NOTE,
        scale=scale,
        pictures=particle_pictures(result.regions, nodes["node"], values, scale, dead),
        entries=[(DEAD, DEAD_TEXT)] if simulated else [],
    )


def particle_pictures(
    regions: Any, labels: Any, values: np.ndarray, scale: Scale, dead: np.ndarray | None = None
) -> list[str]:
    """Return the three middle planes with every region in the colour of its value.

    Parameters
    ----------
    regions : (z, y, x) int
        May be a zarr array, or on the GPU.
    labels : (n,) int
        Of the regions that have a value.
    values : (n,) float
        NaN where there is none after all.
    scale : Scale
    dead : (n,) bool, optional
        Those in the colour of particles that do not react.
    """
    planes = [thin(plane) for plane in middle_planes(regions)]
    count = 1 + max(int(found.max()) for found in (np.asarray(labels), *planes))
    of_region, is_dead = np.full(count, np.nan), np.zeros(count, bool)
    of_region[labels] = values
    if dead is not None:
        is_dead[labels] = dead
    pictures = []
    for plane in planes:
        image = _indices(of_region[plane], scale)
        image[is_dead[plane]] = _DEAD
        image[meetings(plane, image != _NO_VALUE)] = _NO_VALUE
        pictures.append(indexed(image, _table(scale)))
    return pictures


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
