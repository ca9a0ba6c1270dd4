"""What is known of each region, as named numbers, and what of each particle is to be predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.surroundings import PhaseDensity
from tripoint.materials import AXES, Materials
from tripoint.percolation.carriers import touches

SETS = ("size", "own", "surroundings")
"""Sets of features; each one contains those before it."""

FLOOR = 0.03
"""What is added to an activity before its logarithm is taken: a particle that does not react has −1.52."""

WINDOW = 3.0
"""Edge of the window around a region, in mean diameters of the particles of active material."""

CELLS_PER_WINDOW = 6


@dataclass(frozen=True)
class Features:
    """Named numbers of the regions of one sample.

    Parameters
    ----------
    names : tuple of str
    values : (regions, features) float64
        In the order of ``graph.nodes``; NaN where a number is not defined, as a path that does not exist.
    """

    names: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True)
class Targets:
    """What is to be predicted of the particles of one sample.

    Parameters
    ----------
    rows : (particles,) int64
        Rows of ``graph.nodes``: regions of active material that are no fragments, and have a value.
    activity : (particles,) float64
        1 where all react alike, signed.
    log_activity : (particles,) float64
        log10(max(activity, 0) + `FLOOR`).
    inactive : (particles,) bool
        Whether it does not react at all.
    """

    rows: np.ndarray
    activity: np.ndarray
    log_activity: np.ndarray
    inactive: np.ndarray


def region_features(graph: Graph, which: str = "surroundings", rows: np.ndarray | None = None) -> Features:
    """Return the features of every region, or of some.

    Parameters
    ----------
    graph : Graph
    which : {"size", "own", "surroundings"}
        ``size``: size and shape. ``own``: also what else belongs to the region itself, contact areas by
        phase, triple-phase boundary, coordination, depths, whether it touches a terminal's face.
        ``surroundings``: also its reach, paths and bottlenecks to the terminals, and the phase fractions of a
        window around it and of the columns from it to the terminals (`PhaseDensity`).
    rows : (regions,) int64, optional
        Of ``graph.nodes``; by default all.

    Returns
    -------
    Features

    Raises
    ------
    InputError
        No such set, a graph without the columns, a number that is infinite.

    Notes
    -----
    Lengths are in µm. Mirroring a sample, turning it by 90° about the terminals' axis or numbering its
    regions anew changes none of them. Volumes, areas and resistances enter by their logarithms.
    """
    if which not in SETS:
        message = f"there is no set of features {which!r}; the sets are {', '.join(SETS)}"
        raise InputError(message)
    graph = graph.to("cpu")
    nodes = graph.nodes if rows is None else graph.nodes.iloc[rows]
    columns: dict[str, Any] = {}
    for name, make in zip(SETS, (_size, _own, _surroundings), strict=True):
        columns |= _found(nodes, graph, make)
        if name == which:
            break
    values = np.column_stack([np.asarray(column, np.float64) for column in columns.values()])
    names = tuple(columns)
    infinite = np.isinf(values)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        message = (
            f"feature {names[column]} of region {nodes['node'].iloc[row]} of "
            f"{_name(graph)} is infinite; look at the columns that it is computed from"
        )
        raise InputError(message)
    return Features(names, values)


def active_rows(graph: Graph) -> np.ndarray:
    """Rows of ``graph.nodes`` that are particles of active material, fragments left out.

    Raises
    ------
    InputError
        The sample has none.
    """
    nodes = graph.to("cpu").nodes
    active = [phase.name for phase in materials_of(graph).phases if phase.active]
    chosen = nodes["phase"].isin(active).to_numpy()
    if "fragment" in nodes.columns:
        chosen = chosen & ~nodes["fragment"].to_numpy(np.bool_)
    if not chosen.any():
        message = f"{_name(graph)} has no particle of active material, so there is nothing to predict in it"
        raise InputError(message)
    return np.flatnonzero(chosen)


def targets(graph: Graph, column: str = "activity") -> Targets:
    """Return what is to be predicted of each particle.

    Parameters
    ----------
    graph : Graph
    column : str
        Of ``graph.nodes``: simulated or measured activity.

    Raises
    ------
    InputError
        The column is not there or holds no value, or what was measured has no positive mean.

    Notes
    -----
    A simulated activity is relative to the sample already. What was measured is divided by its mean over the
    particles with a value, by volume, so that its unit does not matter.
    """
    nodes = graph.to("cpu").nodes
    if column not in nodes.columns:
        message = (
            f"{_name(graph)} has no column {column}; analyse it with activity=simulate or with a map, or "
            "name another target"
        )
        raise InputError(message)
    rows = active_rows(graph)
    rows = rows[np.isfinite(nodes[column].to_numpy(np.float64)[rows])]
    if not len(rows):
        message = f"no particle of {_name(graph)} has a value of {column}; leave this sample out"
        raise InputError(message)
    values = nodes[column].to_numpy(np.float64)[rows]
    simulated = column == "activity" and "reaction_current" in nodes.columns
    if not simulated:
        values = values / _mean(values, nodes["volume"].to_numpy(np.float64)[rows], column, graph)
    inactive = values == 0
    if "inactive_because" in nodes.columns:
        inactive = (nodes["inactive_because"].fillna("") != "").to_numpy(np.bool_)[rows]
    return Targets(rows, values, log_activity(values), inactive)


def log_activity(activity: Any) -> Any:
    """Return log10(max(activity, 0) + `FLOOR`)."""
    return np.log10(np.maximum(activity, 0) + FLOOR)


def linear_activity(logarithm: Any) -> Any:
    """Return the activity of a logarithm, 0 at least."""
    return np.maximum(10.0 ** np.asarray(logarithm) - FLOOR, 0)


def materials_of(graph: Graph) -> Materials:
    """Return the materials of a graph, with the conductivities that it was analysed with.

    Raises
    ------
    InputError
        A graph whose metadata do not hold them.
    """
    missing = [name for name in ("materials", "shape", "spacing") if name not in graph.metadata]
    if missing:
        message = f"the metadata of {_name(graph)} lack {missing[0]}; take a graph that tripoint analysed"
        raise InputError(message)
    return Materials.from_mapping(graph.metadata["materials"])


def _found(
    nodes: pd.DataFrame, graph: Graph, make: Callable[[pd.DataFrame, Graph], Mapping[str, Any]]
) -> Mapping[str, Any]:
    try:
        return make(nodes, graph)
    except KeyError as error:
        message = (
            f"{_name(graph)} has no column {error.args[0]}, which the features need; analyse the sample "
            "with this version of tripoint"
        )
        raise InputError(message) from error


def _size(nodes: pd.DataFrame, graph: Graph) -> dict[str, Any]:
    surface = nodes["surface_area"] + nodes["cut_area"]
    return {
        "log_volume": np.log10(nodes["volume"]),
        "log_surface_area": np.log10(surface.where(surface > 0)),
        "sphericity": nodes["sphericity"],
        "aspect_ratio": nodes["aspect_ratio"],
        "flatness": _ratio(nodes["axis_minor_length"], nodes["axis_middle_length"]),
        "compactness": 2 * nodes["inscribed_radius"] / nodes["equivalent_diameter"],
        "cut_share": _ratio(nodes["cut_area"], surface),
    }


def _own(nodes: pd.DataFrame, graph: Graph) -> dict[str, Any]:
    materials = materials_of(graph)
    columns: dict[str, Any] = {}
    for phase in materials.phases:
        area = nodes[f"area_{phase.name}"]
        columns[f"area_share_{phase.name}"] = _ratio(area, nodes["surface_area"])
        columns[f"specific_area_{phase.name}"] = area / nodes["volume"]
    for name in ("junction_length", "active_junction_length"):
        columns[f"specific_{name}"] = nodes[name] / nodes["volume"]
    for name in ("coordination_number", "degree"):
        columns[name] = nodes[name]
    for carrier, face in materials.terminals.items():
        columns[f"depth_{carrier}"] = nodes[f"depth_{carrier}"]
        columns[f"touches_{carrier}_terminal"] = touches(nodes, face)
    return columns


def _surroundings(nodes: pd.DataFrame, graph: Graph) -> dict[str, Any]:
    materials = materials_of(graph)
    columns: dict[str, Any] = {}
    for carrier in materials.terminals:
        columns[f"reaches_{carrier}"] = nodes[f"reaches_{carrier}"]
        columns[f"log_path_resistance_{carrier}"] = np.log10(nodes[f"path_resistance_{carrier}"])
        columns[f"path_length_{carrier}"] = nodes[f"path_length_{carrier}"]
        columns[f"log_path_tortuosity_{carrier}"] = np.log10(nodes[f"path_tortuosity_{carrier}"])
        columns[f"bottleneck_radius_{carrier}"] = nodes[f"bottleneck_radius_{carrier}"]
    return columns | _fractions(nodes, graph, materials)


def _fractions(nodes: pd.DataFrame, graph: Graph, materials: Materials) -> dict[str, Any]:
    """Phase fractions of the window around each region, and of the columns from it to the terminals."""
    spacing, phases = graph.metadata["spacing"], [phase.name for phase in materials.phases]
    diameter = graph.nodes["equivalent_diameter"].to_numpy()[active_rows(graph)]
    window = WINDOW * float(diameter.mean())
    density = PhaseDensity(graph.nodes, phases, graph.metadata["shape"], spacing, window / CELLS_PER_WINDOW)
    centre = nodes[[f"centroid_{axis}" for axis in AXES]].to_numpy(np.float64)
    boxes = {"window_fraction": (centre - window / 2, centre + window / 2)}
    for carrier, face in materials.terminals.items():
        axis = AXES.index(face[0])
        low, high = centre - window / 2, centre + window / 2
        if face[1] == "-":
            low[:, axis], high[:, axis] = 0, centre[:, axis]
        else:
            low[:, axis], high[:, axis] = centre[:, axis], density.extent[axis]
        boxes[f"column_fraction_{carrier}"] = (low, high)
    columns: dict[str, Any] = {}
    for name, (low, high) in boxes.items():
        shares = density.fractions(low, high)
        columns |= {f"{name}_{phase}": shares[:, at] for at, phase in enumerate(phases)}
    return columns


def _mean(values: np.ndarray, volume: np.ndarray, column: str, graph: Graph) -> float:
    mean = float((values * volume).sum() / volume.sum())
    if not mean > 0:
        message = (
            f"the mean of {column} over the particles of {_name(graph)} is {mean:g}, to which none can be "
            "relative; take a quantity that is positive where particles react"
        )
        raise InputError(message)
    return mean


def _ratio(a: pd.Series, b: pd.Series) -> pd.Series:
    return a / b.where(b > 0)


def _name(graph: Graph) -> str:
    return f"sample '{graph.metadata.get('name', '')}'"
