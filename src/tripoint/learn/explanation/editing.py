"""A particle that lost something, on the graph: what follows from that is computed anew."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tripoint import graph as graphs
from tripoint.errors import InputError
from tripoint.graph import CORNERS, ENDS, Graph
from tripoint.learn.features import materials_of
from tripoint.materials import Materials, Phase
from tripoint.percolation.carriers import touches
from tripoint.sample import Sample

OUTCOMES = re.compile(
    "activity|activity_.*|reaction_current|inactive_because|network_.*|current_.*|dissipation_share_.*"
)
"""Columns that were simulated, measured or solved, and tell nothing of an edited graph."""


@dataclass(frozen=True)
class Edit:
    """Something that is taken from a particle.

    Parameters
    ----------
    name : str
    meaning : str
        In words.
    contacts : callable or None
        Whether contacts with a phase go; None leaves all contacts, and takes all junctions.
    carrier : str or None
        Whose path is cut by that.
    """

    name: str
    meaning: str
    contacts: Callable[[Phase], bool] | None
    carrier: str | None = None


EDITS = {
    edit.name: edit
    for edit in (
        Edit("junctions", "without its triple-phase boundaries", None),
        Edit(
            "electron path",
            "without contacts with electron conductors",
            lambda phase: "electron" in phase.conducts,
            "electron",
        ),
        Edit(
            "ion path", "without contacts with ion conductors", lambda phase: "ion" in phase.conducts, "ion"
        ),
        Edit(
            "additive",
            "without contacts with the conductive additive",
            lambda phase: "electron" in phase.conducts and not phase.active,
        ),
    )
}
"""What can be taken from a particle."""


def edit_of(name: str) -> Edit:
    """Return an edit by its name.

    Raises
    ------
    InputError
        There is none of this name.
    """
    if name not in EDITS:
        message = f"there is no edit {name!r}; the edits are {', '.join(EDITS)}"
        raise InputError(message)
    return EDITS[name]


def edited(graph: Graph, particle: int, edit: str | None) -> Graph:
    """Return the graph of a sample in which one particle lost something.

    Contacts and junctions go; areas, coordination, lengths of junctions, reach, paths, bottlenecks and
    bridges of all regions are those of what is left. The area of a lost contact then faces the phase that
    takes the place of what was there (`inert_phase`). What was simulated, measured or solved on the graph is
    left out.

    Parameters
    ----------
    graph : Graph
    particle : int
        Its ``node``.
    edit : str or None
        One of `EDITS`; None takes nothing away.

    Raises
    ------
    InputError
        No such particle or edit, or a particle that stands on the very terminal whose path would be cut.
    """
    graph = graph.to("cpu")
    materials = materials_of(graph)
    nodes, contacts, junctions = graph.nodes, graph.contacts, graph.junctions
    at = np.flatnonzero(nodes["node"] == particle)
    if not len(at):
        message = f"there is no region {particle} in sample '{graph.metadata.get('name', '')}'"
        raise InputError(message)
    taken = None if edit is None else edit_of(edit)
    if taken is not None and on_terminal(nodes, materials, taken)[at[0]]:
        message = (
            f"particle {particle} stands on the terminal of the {taken.carrier}, so that no contact is its "
            "path; take another particle"
        )
        raise InputError(message)
    nodes, contacts = (
        table.drop(columns=[name for name in table.columns if OUTCOMES.fullmatch(name)])
        for table in (nodes, contacts)
    )
    if taken is not None:
        lost = _lost_contacts(graph, materials, particle, taken)
        gone = contacts[lost]
        junctions = junctions[~_lost_junctions(graph, particle, taken, gone)].reset_index(drop=True)
        contacts = contacts[~lost].reset_index(drop=True)
    built = graphs.build(nodes, contacts, junctions, _without_voxels(graph, materials))
    return _facing_another(built, gone, materials) if taken is not None else built


def inert_phase(materials: Materials) -> Phase | None:
    """Return a phase that conducts neither ions nor electrons, such as void; None where there is none."""
    inert = (p for p in materials.phases if not p.active and not {"ion", "electron"} & set(p.conducts))
    return next(inert, None)


def on_terminal(nodes: Any, materials: Materials, edit: Edit) -> np.ndarray:
    """Whether each region stands on the terminal of the carrier whose path is cut, and conducts it."""
    if edit.carrier is None or edit.carrier not in materials.terminals:
        return np.zeros(len(nodes), bool)
    conduct = [phase.name for phase in materials.phases if edit.carrier in phase.conducts]
    touching = touches(nodes, materials.terminals[edit.carrier])
    return np.asarray(touching & nodes["phase"].isin(conduct).to_numpy(np.bool_))


def _lost_contacts(graph: Graph, materials: Materials, particle: int, edit: Edit) -> np.ndarray:
    contacts = graph.contacts
    if edit.contacts is None:
        return np.zeros(len(contacts), bool)
    names = [phase.name for phase in materials.phases if edit.contacts(phase)]
    source, target = ((contacts[end] == particle).to_numpy() for end in ENDS)
    phases = [contacts[f"{end}_phase"].isin(names).to_numpy(np.bool_) for end in ENDS]
    return np.asarray((source & phases[1]) | (target & phases[0]))


def _lost_junctions(graph: Graph, particle: int, edit: Edit, gone: Any) -> np.ndarray:
    """Junctions of the particle: all, or those with a region that it no longer touches."""
    corners = graph.junctions[list(CORNERS)].to_numpy()
    mine = (corners == particle).any(axis=1)
    if edit.contacts is None:
        return np.asarray(mine)
    partners = np.setdiff1d(gone[list(ENDS)].to_numpy(), [particle])
    return np.asarray(mine & np.isin(corners, partners).any(axis=1))


def _without_voxels(graph: Graph, materials: Materials) -> Sample:
    """Return a sample that gives materials, shape and spacing, and holds one voxel for all."""
    metadata = graph.metadata
    phases = np.broadcast_to(np.uint8(materials.labels[0]), metadata["shape"])
    return Sample(phases, tuple(metadata["spacing"]), materials, name=str(metadata.get("name", "")))


def _facing_another(built: Graph, gone: Any, materials: Materials) -> Graph:
    """Count the areas of lost contacts as areas towards the inert phase, at both ends."""
    inert = inert_phase(materials)
    if inert is None:
        return built
    area = built.nodes[f"area_{inert.name}"].to_numpy(np.float64).copy()
    rows = built.nodes["node"].to_numpy()
    order = np.argsort(rows)
    for end in ENDS:
        np.add.at(area, order[np.searchsorted(rows[order], gone[end])], gone["area"])
    return replace(built, nodes=built.nodes.assign(**{f"area_{inert.name}": area}))
