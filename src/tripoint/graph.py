"""Regions, contacts and junctions as one graph, with what its users want to make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from tripoint import percolation
from tripoint.errors import DeviceError, InputError, TripointError
from tripoint.particles import sphericity
from tripoint.percolation.conduits import contact_rows
from tripoint.sample import Sample
from tripoint.tables import column, find_rows, named, namespace, on_gpu, sums, table, to_host

ENDS = ("source", "target")
CORNERS = ("a", "b", "c")


@dataclass(frozen=True)
class Graph:
    """The regions of every phase of a sample and how they touch: three tables.

    Parameters
    ----------
    nodes : DataFrame
        A row per region.
    contacts : DataFrame
        A row per pair of regions that share voxel faces, ``source`` < ``target``.
    junctions : DataFrame
        A row per triple of regions ``a, b, c`` that meet along a triple-phase boundary.
    metadata : mapping
        ``name``, ``shape``, ``spacing`` and ``materials`` of the sample, plain values.

    Notes
    -----
    All columns, their units and equations are listed in docs/graph.md.

    An analysis on the GPU makes cuDF tables; ``to("cpu")`` gives pandas.  The views, ``subgraph``,
    ``to_networkx`` and ``to_pyg``, start from either and are on the host.
    """

    nodes: Any
    contacts: Any
    junctions: Any
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        named_phases = to_host(self.nodes[["phase"]])["phase"]
        phases = ", ".join(f"{phase} {n}" for phase, n in named_phases.value_counts().items())
        return (
            f"Graph({self.metadata.get('name', '')!r}: {len(self.nodes)} regions ({phases}), "
            f"{len(self.contacts)} contacts, {len(self.junctions)} junctions)"
        )

    @property
    def device(self) -> str:
        """``"cuda"`` or ``"cpu"``: where the tables live."""
        return "cuda" if on_gpu(self.nodes) else "cpu"

    def to(self, device: str) -> Graph:
        """Return the graph with pandas tables, ``to("cpu")``, which are brought over once.

        Raises
        ------
        DeviceError
            A device other than the host, which is where graphs go and the GPU where they are made.
        """
        if device == self.device:
            return self
        if device != "cpu":
            message = f"a graph cannot be moved to '{device}', only to cpu; analyse the sample on that device"
            raise DeviceError(message)
        return self._on_host

    @cached_property
    def _on_host(self) -> Graph:
        return Graph(to_host(self.nodes), to_host(self.contacts), to_host(self.junctions), self.metadata)

    def subgraph(self, *phases: str) -> Graph:
        """Return the graph of the regions of these phases; columns keep their values.

        Contacts and junctions stay whose regions all stay.

        Raises
        ------
        InputError
            A phase that is not in the materials.
        """
        if self.device != "cpu":
            return self.to("cpu").subgraph(*phases)
        known = set(self.nodes["phase"]) | set(self.metadata.get("materials", {}).get("phases", {}))
        unknown = [phase for phase in phases if phase not in known]
        if unknown:
            message = f"there is no phase {unknown[0]!r}; the phases are {sorted(known)}"
            raise InputError(message)
        nodes = self.nodes[self.nodes["phase"].isin(phases)]
        kept = [
            table[table[list(columns)].isin(nodes["node"].to_numpy()).all(axis=1)]
            for table, columns in ((self.contacts, ENDS), (self.junctions, CORNERS))
        ]
        contacts, junctions = (table.reset_index(drop=True) for table in kept)
        return replace(self, nodes=nodes.reset_index(drop=True), contacts=contacts, junctions=junctions)

    def to_networkx(self, junctions: bool = False) -> Any:
        """Return a ``networkx.Graph`` whose nodes are region ids and whose edges are contacts.

        Parameters
        ----------
        junctions : bool
            Add a node ``("junction", row)`` per junction, with an edge to each of its three regions.
            Every node then has ``kind``, ``"region"`` or ``"junction"``.

        Returns
        -------
        networkx.Graph
            All columns are attributes, the metadata are ``graph.graph``.
        """
        import networkx as nx

        host = self.to("cpu")
        graph = nx.Graph(**self.metadata)
        for row in _records(host.nodes):
            graph.add_node(row.pop("node"), **row)
        for row in _records(host.contacts):
            graph.add_edge(row.pop("source"), row.pop("target"), **row)
        if junctions:
            nx.set_node_attributes(graph, "region", "kind")
            for number, row in enumerate(_records(host.junctions)):
                graph.add_node(("junction", number), kind="junction", **row)
                graph.add_edges_from((("junction", number), row[corner]) for corner in CORNERS)
        return graph

    def to_pyg(
        self,
        node_columns: Sequence[str] | None = None,
        contact_columns: Sequence[str] | None = None,
        junction_columns: Sequence[str] = ("length", "active_length"),
    ) -> Any:
        """Return a ``torch_geometric.data.HeteroData`` with a node type per phase and one for junctions.

        Per phase: ``x`` (float32, the node columns), ``pos`` (centroid z, y, x in µm) and ``node`` (ids).
        Contacts are edges ``(phase, "touches", phase)`` in both directions with ``edge_attr`` (the
        contact columns) and ``contact`` (their rows). Node type ``junction`` has ``x`` (the junction
        columns) and edges ``(phase, "meets", "junction")`` and back. The names of the columns stand in
        ``node_columns``, ``contact_columns`` and ``junction_columns``. NaN stays NaN.

        Parameters
        ----------
        node_columns, contact_columns, junction_columns : sequence of str, optional
            Numeric or boolean columns to take; by default all that are no ids.

        Raises
        ------
        TripointError
            torch or torch-geometric is not installed.
        """
        try:
            from torch_geometric.data import HeteroData
        except ImportError as error:
            message = (
                f"Graph.to_pyg needs {error.name or 'torch_geometric'}, which is not installed; "
                "install tripoint[learn] or torch and torch-geometric"
            )
            raise TripointError(message) from error
        if self.device != "cpu":
            return self.to("cpu").to_pyg(node_columns, contact_columns, junction_columns)
        node_columns = list(node_columns or _features(self.nodes, ("node", "label")))
        contact_columns = list(contact_columns or _features(self.contacts, ENDS))
        data = HeteroData(
            node_columns=node_columns,
            contact_columns=contact_columns,
            junction_columns=list(junction_columns),
        )
        phase, names = pd.factorize(self.nodes["phase"])
        order, first = _groups(phase, len(names))
        within = np.empty(len(phase), np.int64)  # row among the nodes of its phase
        within[order] = np.arange(len(phase)) - first[phase[order]]
        x = _tensor(self.nodes[node_columns])
        place = _tensor(self.nodes[["centroid_z", "centroid_y", "centroid_x"]])
        node = _tensor(self.nodes["node"], np.int64)
        for number, name in enumerate(names):
            rows = order[first[number] : first[number + 1]]
            data[name].x, data[name].pos, data[name].node = x[rows], place[rows], node[rows]
        self._add_contacts(data, phase, list(names), within, contact_columns)
        self._add_junctions(data, phase, list(names), within, list(junction_columns))
        return data

    def _add_contacts(
        self, data: Any, phase: np.ndarray, names: list[str], within: np.ndarray, columns: list[str]
    ) -> None:
        source, target = (self._rows(self.contacts, end) for end in ENDS)
        ends = np.stack([np.append(source, target), np.append(target, source)])
        pair = phase[ends[0]] * len(names) + phase[ends[1]]
        order, first = _groups(pair, len(names) ** 2)
        index, attributes = within[ends], _tensor(self.contacts[columns])
        for a, b in product(sorted(names), repeat=2):
            number = names.index(a) * len(names) + names.index(b)
            rows = order[first[number] : first[number + 1]]
            if len(rows):
                store, contact = data[a, "touches", b], _tensor(rows % len(source), np.int64)
                store.edge_index = _tensor(index[:, rows], np.int64)
                store.edge_attr, store.contact = attributes[contact], contact

    def _add_junctions(
        self, data: Any, phase: np.ndarray, names: list[str], within: np.ndarray, columns: list[str]
    ) -> None:
        if not len(self.junctions):
            return
        data["junction"].x = _tensor(self.junctions[columns])
        rows = np.concatenate([self._rows(self.junctions, corner) for corner in CORNERS])
        number = np.tile(np.arange(len(self.junctions)), 3)
        for at in pd.unique(phase[rows]):
            chosen = np.flatnonzero(phase[rows] == at)
            pair = np.stack([within[rows[chosen]], number[chosen]])
            data[names[at], "meets", "junction"].edge_index = _tensor(pair, np.int64)
            data["junction", "meets", names[at]].edge_index = _tensor(pair[::-1], np.int64)

    def _rows(self, table: pd.DataFrame, ids: str) -> np.ndarray:
        return np.asarray(find_rows(column(self.nodes, "node", np.int64), column(table, ids, np.int64)))


def build(nodes: Any, contacts: Any, junctions: Any, sample: Sample) -> Graph:
    """Assemble the graph of a sample from the tables of its regions, contacts and junctions.

    Parameters
    ----------
    nodes : DataFrame
        A row per region, from ``particles.describe``; pandas or cuDF, as the other two.
    contacts : ContactTable or DataFrame
        From ``boundary.contacts``: the table, and the surface area of every region.
    junctions : DataFrame or None
        From ``boundary.junctions``.
    sample : Sample
        Gives materials, shape and spacing; its voxels are not read.

    Returns
    -------
    Graph
        Nodes with contact areas per phase, coordination, surface, junction lengths and, for every carrier
        with a terminal, the columns of `percolation.paths`; contacts with their phases and resistances.
        Its tables are where those given are.

    Raises
    ------
    InputError
        Tables that do not belong together.
    """
    surface = getattr(contacts, "surface_area", None)
    pairs = getattr(contacts, "table", contacts).reset_index(drop=True)
    nodes = nodes.reset_index(drop=True)
    names = {phase.label: phase.name for phase in sample.materials.phases}
    node, label = column(nodes, "node"), column(nodes, "label")
    ends = contact_rows(nodes, pairs)
    triples = _no_junctions(node) if junctions is None else junctions

    nodes = _with_phases(nodes, named(label, names))
    pairs = pairs.assign(
        **{f"{end}_phase": named(label[at], names) for end, at in zip(ENDS, ends, strict=True)}
    )
    columns = _contact_columns(label, ends, column(pairs, "area", np.float64), names)
    if surface is not None:
        columns |= _surface_columns(nodes, node, surface)
    columns |= _junction_columns(node, triples)
    nodes, pairs = percolation.paths(
        nodes.assign(**columns), pairs, sample.materials, sample.shape, sample.spacing
    )
    metadata = {
        "name": sample.name,
        "shape": list(sample.shape),
        "spacing": list(sample.spacing),
        "materials": sample.materials.to_mapping(),
    }
    return Graph(nodes, pairs, triples, metadata)


def _with_phases(nodes: Any, phase: Any) -> Any:
    """Put the phase of every region into the column after its id."""
    rest = [name for name in nodes.columns if name not in ("node", "phase")]
    return nodes.assign(phase=phase)[["node", "phase", *rest]]


def _contact_columns(
    label: Any, ends: tuple[Any, ...], area: Any, names: Mapping[int, str]
) -> dict[str, Any]:
    """Contact area by phase, contacts with regions of the same phase, all contacts."""
    xp = namespace(label)
    place = np.zeros(256, np.int64)
    place[list(names)] = np.arange(len(names))
    phase = xp.asarray(place)[label]
    count, phases = len(label), len(names)
    here, there = xp.concat(ends), xp.concat(ends[::-1])
    same = phase[here] == phase[there]
    areas = sums(here * phases + phase[there], xp.concat((area, area)), count * phases)
    areas = areas.reshape(count, phases)
    columns = {f"area_{name}": areas[:, i] for i, name in enumerate(names.values())}
    columns["coordination_number"] = sums(here, same.astype(np.float64), count).astype(np.int64)
    columns["degree"] = sums(here, xp.ones(len(here)), count).astype(np.int64)
    return columns


def _surface_columns(nodes: Any, node: Any, surface: Any) -> dict[str, Any]:
    """Surface area of every region, and the sphericity of the body that it and the cut enclose."""
    highest = int(node.max())
    if len(surface) <= highest:
        message = (
            f"surface areas are given up to region {len(surface) - 1}, the nodes go up to {highest}; "
            "take both from the same regions"
        )
        raise InputError(message)
    area = surface[node]
    closed = area + column(nodes, "cut_area", np.float64) if "cut_area" in nodes.columns else area
    volume = column(nodes, "volume", np.float64)
    return {"surface_area": area, "sphericity": sphericity(volume, closed)}


def _junction_columns(node: Any, junctions: Any) -> dict[str, Any]:
    """Length of all junctions that a region takes part in."""
    xp = namespace(node)
    corners = xp.concat([find_rows(node, column(junctions, corner, np.int64)) for corner in CORNERS])
    if bool((corners < 0).any()):
        message = "junctions join regions that are not among the nodes; take both from the same regions"
        raise InputError(message)
    columns = {}
    for name, of_node in (("length", "junction_length"), ("active_length", "active_junction_length")):
        if name in junctions.columns:
            length = column(junctions, name, np.float64)
            columns[of_node] = sums(corners, xp.concat((length, length, length)), len(node))
    return columns


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def _no_junctions(like: Any) -> Any:
    """Return an empty table of junctions on the side where this array is."""
    types: dict[str, Any] = {
        "a": np.int32,
        "b": np.int32,
        "c": np.int32,
        "junction": np.int32,
        "length": np.float64,
    }
    types |= {"edges": np.int64, "active_length": np.float64, "active": np.bool_}
    return table({name: namespace(like).empty(0, dtype=kind) for name, kind in types.items()})


def _groups(key: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows in the order of their group, and where each group begins and the last one ends."""
    order = np.argsort(key, kind="stable")
    return order, np.searchsorted(key[order], np.arange(count + 1))


def _features(table: pd.DataFrame, ids: Sequence[str]) -> list[str]:
    return [column for column in table.select_dtypes(["number", "bool"]).columns if column not in ids]


def _tensor(values: Any, kind: Any = np.float32) -> Any:
    import torch

    return torch.from_numpy(np.array(values, dtype=kind, order="C"))  # a copy, since tables may be read-only
