"""A graph as PyTorch Geometric takes it: all regions by phase, or the particles of active material alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch_geometric.data import Data, HeteroData

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.features import materials_of, region_features
from tripoint.learn.targets import Activity, ParticleTarget, Target
from tripoint.materials import CARRIERS, Materials
from tripoint.percolation.carriers import depths, touches
from tripoint.percolation.conduits import contact_rows, duct, neck_radii
from tripoint.tables import column

CONTACT_FEATURES = ("log_area", "log_distance", "log_neck_radius", "log_conductance")
JUNCTION_FEATURES = ("length", "active_length")
LINK_FEATURES = ("log_conductance",)

ACTIVITY = Activity()

LABELS = ("y", "activity", "volume", "inactive", "labelled", "node")

Names = Mapping[str, tuple[str, ...]]


class View(Protocol):
    """Makes a graph into what a model takes, with what is to be predicted."""

    @property
    def target(self) -> Target:
        """What the labels are of."""

    def build(self, graph: Graph) -> tuple[Any, Names]:
        """Return the data of a sample, not scaled, and the names of the columns of each of its tables."""

    def tables(self, data: Any) -> Iterator[tuple[str, Any, str]]:
        """Go through the tables that are scaled: whose statistics, the store, the attribute in it."""


@dataclass(frozen=True)
class ParticleView:
    """The particles of active material and the contacts between them, as ``torch_geometric.data.Data``.

    ``x`` (particles, features), ``pos`` (µm), ``edge_index`` both ways with ``edge_attr``
    (`CONTACT_FEATURES`), and the targets of `label_rows`.

    Parameters
    ----------
    features : {"size", "own", "surroundings"}
    target : Target
    """

    features: str = "surroundings"
    target: Target = ACTIVITY

    def build(self, graph: Graph) -> tuple[Data, Names]:
        """Return the particles of a sample."""
        graph = graph.to("cpu")
        active = [phase.name for phase in materials_of(graph).phases if phase.active]
        rows = np.flatnonzero(graph.nodes["phase"].isin(active))
        found = region_features(graph, self.features, rows)
        number = np.full(len(graph.nodes), -1)
        number[rows] = np.arange(len(rows))
        ends = np.stack([number[end] for end in contact_rows(graph.nodes, graph.contacts)])
        kept = (ends >= 0).all(axis=0)
        attributes = contact_features(graph).to_numpy()[kept]
        data = Data(
            x=_float(found.values),
            pos=_float(graph.nodes[["centroid_z", "centroid_y", "centroid_x"]].to_numpy()[rows]),
            edge_index=torch.from_numpy(np.concatenate([ends[:, kept], ends[::-1, kept]], axis=1)),
            edge_attr=_float(np.concatenate([attributes, attributes])),
            **label_rows(graph, rows, self.target),
            **label_sample(graph, self.target),
        )
        return data, {"particles": found.names, "contacts": CONTACT_FEATURES}

    def tables(self, data: Data) -> Iterator[tuple[str, Any, str]]:
        """Go through the particles and the contacts."""
        yield "particles", data, "x"
        yield "contacts", data, "edge_attr"


@dataclass(frozen=True)
class HeteroView:
    """All regions, junctions and terminals, as ``torch_geometric.data.HeteroData``.

    Node types: one per phase, ``junction``, and ``terminal`` (one node per carrier that has one). Edge types,
    both ways: ``(phase, "touches", phase)`` with `CONTACT_FEATURES`, ``(phase, "meets", "junction")``,
    ``(phase, "borders", "terminal")`` with `LINK_FEATURES`: from regions that conduct a carrier and touch its
    terminal's face. Types that a sample has none of are there and empty. Phases that are active have the
    targets of `label_rows`.

    Parameters
    ----------
    features : {"size", "own", "surroundings"}
        Of all regions.
    target : Target
    """

    features: str = "surroundings"
    target: Target = ACTIVITY

    def build(self, graph: Graph) -> tuple[HeteroData, Names]:
        """Return the regions of a sample."""
        graph = graph.to("cpu")
        materials = materials_of(graph)
        found = region_features(graph, self.features)
        places = graph.nodes[["node", "phase", "centroid_z", "centroid_y", "centroid_x"]]
        numbers = pd.DataFrame(found.values, columns=list(found.names), index=places.index)
        ends = graph.contacts[["source", "target"]]
        view = replace(
            graph,
            nodes=pd.concat([places, numbers], axis=1),
            contacts=pd.concat([ends, contact_features(graph).set_axis(ends.index)], axis=1),
        )
        data = view.to_pyg(found.names, CONTACT_FEATURES, JUNCTION_FEATURES)
        phases = [phase.name for phase in materials.phases]
        _complete(data, phases, len(found.names))
        for phase in materials.phases:
            if phase.active:
                rows = np.flatnonzero(graph.nodes["phase"] == phase.name)
                data[phase.name].update(label_rows(graph, rows, self.target))
        for name, values in label_sample(graph, self.target).items():
            data[name] = values
        _add_terminals(data, graph, materials)
        return data, {
            **dict.fromkeys(phases, found.names),
            "junction": JUNCTION_FEATURES,
            "contacts": CONTACT_FEATURES,
            "links": LINK_FEATURES,
        }

    def tables(self, data: HeteroData) -> Iterator[tuple[str, Any, str]]:
        """Go through nodes by type, then all contacts, then the links to terminals."""
        for kind in data.node_types:
            if kind != "terminal":
                yield kind, data[kind], "x"
        for edges in data.edge_types:
            if edges[1] == "touches":
                yield "contacts", data[edges], "edge_attr"
            elif edges[1] == "borders":
                yield "links", data[edges], "edge_attr"


def label_rows(graph: Graph, rows: np.ndarray, target: Target = ACTIVITY) -> dict[str, Any]:
    """Return the targets of these rows of ``graph.nodes`` as tensors.

    Returns
    -------
    dict
        ``y`` (what is fitted, such as log-activity), ``activity``, ``volume`` (µm³): float32;
        ``inactive``, ``labelled``: bool; ``node``: int64. Fragments and particles without a value are not
        labelled, and have 0; where the target is of samples, no particle is.
    """
    nodes = graph.nodes
    columns = {"y": np.zeros(len(nodes)), "activity": np.zeros(len(nodes))}
    flags = {"inactive": np.zeros(len(nodes), bool), "labelled": np.zeros(len(nodes), bool)}
    if isinstance(target, ParticleTarget) and nodes.get(target.column, pd.Series()).notna().any():
        found = target.of(graph)
        columns["y"][found.rows], columns["activity"][found.rows] = target.wanted(found), found.activity
        flags["inactive"][found.rows], flags["labelled"][found.rows] = found.inactive, True
    columns["volume"] = nodes["volume"].to_numpy(np.float64)
    numbers = {name: _float(values[rows]) for name, values in columns.items()}
    tensors = {name: torch.from_numpy(values[rows]) for name, values in flags.items()}
    return {**numbers, **tensors, "node": torch.from_numpy(nodes["node"].to_numpy(np.int64)[rows])}


def label_sample(graph: Graph, target: Target) -> dict[str, torch.Tensor]:
    """Return what is to be predicted of a whole sample: ``figure`` (1,) float64, NaN where it is not known.

    Of a target that is of particles there is none.
    """
    if isinstance(target, ParticleTarget):
        return {}
    try:
        figure = target.of(graph)
    except InputError:  # a sample is predicted whether its figure is known or not; training asks for it
        figure = float("nan")
    return {"figure": torch.tensor([figure], dtype=torch.float64)}


def labels_of(data: Any) -> dict[str, torch.Tensor]:
    """Return the targets of all particles of a batch, in the order in which networks predict them.

    Returns
    -------
    dict
        What `label_rows` gave, and ``sample``: int64, which graph of the batch each particle is of.
    """
    if not isinstance(data, HeteroData):
        stores = [data]
        particle = getattr(data, "particle_index", slice(None))
        samples = [batch_of(data)[particle]]
    else:
        stores = [data[kind] for kind in data.node_types if "y" in data[kind]]
        samples = [batch_of(store) for store in stores]
    labels = {name: torch.cat([store[name] for store in stores]) for name in LABELS}
    return labels | {"sample": torch.cat(samples)}


def batch_of(store: Any) -> torch.Tensor:
    """Return which sample of a batch each node of a store is of; 0 where there is one sample alone."""
    if "batch" in store:
        return store.batch
    return torch.zeros(store.num_nodes, dtype=torch.int64, device=store.x.device)


def contact_features(graph: Graph) -> pd.DataFrame:
    """Return `CONTACT_FEATURES` of every contact: area, distance of centroids, neck radius, conductance.

    Raises
    ------
    InputError
        One that is infinite, or not positive.
    """
    nodes, contacts = graph.nodes, graph.contacts
    place = nodes[["centroid_z", "centroid_y", "centroid_x"]].to_numpy(np.float64)
    source, target = contact_rows(nodes, contacts)
    least = min(graph.metadata["spacing"]) / 2
    distance = np.sqrt(((place[source] - place[target]) ** 2).sum(axis=1))
    with np.errstate(invalid="ignore"):  # of a negative area, which is refused below
        neck = neck_radii(contacts)
    columns = (
        column(contacts, "area", np.float64),
        np.maximum(distance, least),
        np.maximum(neck, least),
        column(contacts, "conductance", np.float64),
    )
    for name, values in zip(CONTACT_FEATURES, columns, strict=True):
        wrong = np.flatnonzero((values <= 0) | np.isinf(values))
        if len(wrong):
            ends = contacts[["source", "target"]].iloc[wrong[0]].tolist()
            message = (
                f"sample '{graph.metadata.get('name', '')}': {name.removeprefix('log_')} of the contact of "
                f"regions {ends[0]} and {ends[1]} is {values[wrong[0]]:g}; expected a positive number, look "
                "at the table of contacts"
            )
            raise InputError(message)
    return pd.DataFrame(dict(zip(CONTACT_FEATURES, map(np.log10, columns), strict=True)))


def _complete(data: HeteroData, phases: list[str], features: int) -> None:
    """Add what a sample has none of, so that all samples have the same types."""
    for phase in phases:
        if phase not in data.node_types:
            data[phase].x = torch.zeros(0, features)
            data[phase].pos = torch.zeros(0, 3)
            data[phase].node = torch.zeros(0, dtype=torch.int64)
    if "junction" not in data.node_types:
        data["junction"].x = torch.zeros(0, len(JUNCTION_FEATURES))
    present = set(data.edge_types)
    for a in phases:
        for b in phases:
            if (a, "touches", b) not in present:
                data[a, "touches", b].edge_index = torch.zeros(2, 0, dtype=torch.int64)
                data[a, "touches", b].edge_attr = torch.zeros(0, len(CONTACT_FEATURES))
                data[a, "touches", b].contact = torch.zeros(0, dtype=torch.int64)
        for edges in ((a, "meets", "junction"), ("junction", "meets", a)):
            if edges not in present:
                data[edges].edge_index = torch.zeros(2, 0, dtype=torch.int64)


def _add_terminals(data: HeteroData, graph: Graph, materials: Materials) -> None:
    """Add a node for each carrier's terminal, linked with the regions that it feeds."""
    nodes, metadata = graph.nodes, graph.metadata
    carriers = [carrier for carrier in CARRIERS if carrier in materials.terminals]
    data["terminal"].x = torch.eye(len(CARRIERS))[[CARRIERS.index(carrier) for carrier in carriers]]
    of_phase = nodes["phase"].to_numpy(object)
    for phase in materials.phases:
        mine = of_phase == phase.name
        within = np.cumsum(mine) - 1
        ends, attributes = [np.zeros((2, 0), np.int64)], [np.zeros(0)]
        for number, carrier in enumerate(carriers):
            if carrier not in phase.conducts:
                continue
            face = materials.terminals[carrier]
            chosen = touches(nodes, face) & mine
            depth = depths(nodes, face, metadata["shape"], metadata["spacing"])
            resistance = duct(depth, column(nodes, "volume", np.float64), metadata["spacing"])
            ends.append(np.stack([within[chosen], np.full(chosen.sum(), number)]))
            attributes.append(-np.log10(resistance[chosen]))
        pair = torch.from_numpy(np.concatenate(ends, axis=1))
        attribute = _float(np.concatenate(attributes)[:, None])
        for edges, index in (
            ((phase.name, "borders", "terminal"), pair),
            (("terminal", "borders", phase.name), pair.flip(0)),
        ):
            data[edges].edge_index, data[edges].edge_attr = index, attribute


def _float(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float32))
