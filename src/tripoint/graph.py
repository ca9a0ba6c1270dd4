"""Regions, contacts and junctions as one graph, with what its users want to make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from tripoint import percolation
from tripoint.errors import InputError, TripointError
from tripoint.particles import sphericity
from tripoint.sample import Sample

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
    """

    nodes: pd.DataFrame
    contacts: pd.DataFrame
    junctions: pd.DataFrame
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        phases = ", ".join(f"{phase} {n}" for phase, n in self.nodes["phase"].value_counts().items())
        return (
            f"Graph({self.metadata.get('name', '')!r}: {len(self.nodes)} regions ({phases}), "
            f"{len(self.contacts)} contacts, {len(self.junctions)} junctions)"
        )

    def subgraph(self, *phases: str) -> Graph:
        """Return the graph of the regions of these phases; columns keep their values.

        Contacts and junctions stay whose regions all stay.

        Raises
        ------
        InputError
            A phase that is not in the materials.
        """
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

        graph = nx.Graph(**self.metadata)
        for row in _records(self.nodes):
            graph.add_node(row.pop("node"), **row)
        for row in _records(self.contacts):
            graph.add_edge(row.pop("source"), row.pop("target"), **row)
        if junctions:
            nx.set_node_attributes(graph, "region", "kind")
            for number, row in enumerate(_records(self.junctions)):
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
        node_columns = list(node_columns or _features(self.nodes, ("node", "label")))
        contact_columns = list(contact_columns or _features(self.contacts, ENDS))
        data = HeteroData(
            node_columns=node_columns,
            contact_columns=contact_columns,
            junction_columns=list(junction_columns),
        )
        phase = self.nodes["phase"].to_numpy()
        within = self.nodes.groupby("phase").cumcount().to_numpy()  # row among the nodes of its phase
        for name, nodes in self.nodes.groupby("phase", sort=False):
            data[name].x = _tensor(nodes[node_columns])
            data[name].pos = _tensor(nodes[["centroid_z", "centroid_y", "centroid_x"]])
            data[name].node = _tensor(nodes["node"], np.int64)
        self._add_contacts(data, phase, within, contact_columns)
        self._add_junctions(data, phase, within, list(junction_columns))
        return data

    def _add_contacts(self, data: Any, phase: Any, within: Any, columns: list[str]) -> None:
        source, target = (self._rows(self.contacts[end]) for end in ENDS)
        both = pd.DataFrame(
            {
                "from": np.append(source, target),
                "to": np.append(target, source),
                "contact": np.tile(np.arange(len(source)), 2),
            }
        )
        for (a, b), edges in both.groupby([phase[both["from"]], phase[both["to"]]]):
            store = data[a, "touches", b]
            store.edge_index = _tensor(np.stack([within[edges["from"]], within[edges["to"]]]), np.int64)
            store.edge_attr = _tensor(self.contacts[columns].iloc[edges["contact"]])
            store.contact = _tensor(edges["contact"], np.int64)

    def _add_junctions(self, data: Any, phase: Any, within: Any, columns: list[str]) -> None:
        if not len(self.junctions):
            return
        data["junction"].x = _tensor(self.junctions[columns])
        rows = np.concatenate([self._rows(self.junctions[corner]) for corner in CORNERS])
        number = np.tile(np.arange(len(self.junctions)), 3)
        for name in pd.unique(phase[rows]):
            chosen = phase[rows] == name
            pair = np.stack([within[rows[chosen]], number[chosen]])
            data[name, "meets", "junction"].edge_index = _tensor(pair, np.int64)
            data["junction", "meets", name].edge_index = _tensor(pair[::-1], np.int64)

    def _rows(self, ids: pd.Series) -> Any:
        return pd.Index(self.nodes["node"]).get_indexer(ids)


def build(nodes: pd.DataFrame, contacts: Any, junctions: pd.DataFrame | None, sample: Sample) -> Graph:
    """Assemble the graph of a sample from the tables of its regions, contacts and junctions.

    Parameters
    ----------
    nodes : DataFrame
        A row per region, from ``particles.describe``.
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

    Raises
    ------
    InputError
        Tables that do not belong together.
    """
    table = getattr(contacts, "table", contacts)
    if junctions is None:
        junctions = _no_junctions()
    nodes = _with_phases(nodes, sample)
    phase_of = nodes.set_index("node")["phase"]
    table = table.assign(**{f"{end}_phase": table[end].map(phase_of) for end in ENDS})
    nodes = _with_contacts(nodes, table, [phase.name for phase in sample.materials.phases])
    surface = getattr(contacts, "surface_area", None)
    if surface is not None:
        nodes = _with_surface(nodes, np.asarray(surface))
    nodes = _with_junctions(nodes, junctions)
    nodes, table = percolation.paths(nodes, table, sample.materials, sample.shape, sample.spacing)
    metadata = {
        "name": sample.name,
        "shape": list(sample.shape),
        "spacing": list(sample.spacing),
        "materials": sample.materials.to_mapping(),
    }
    return Graph(nodes, table, junctions, metadata)


def _with_phases(nodes: pd.DataFrame, sample: Sample) -> pd.DataFrame:
    """Name the phase of every region, in the column after its id."""
    names = nodes["label"].map({phase.label: phase.name for phase in sample.materials.phases}).astype(str)
    rest = [column for column in nodes.columns if column not in ("node", "phase")]
    return nodes.assign(phase=names)[["node", "phase", *rest]]


def _with_contacts(nodes: pd.DataFrame, contacts: pd.DataFrame, phases: Sequence[str]) -> pd.DataFrame:
    """Contact area by phase, contacts with regions of the same phase, all contacts."""
    sides = [
        contacts[[end, f"{end}_phase", f"{other}_phase", "area"]].set_axis(
            ["node", "own", "other", "area"], axis=1
        )
        for end, other in (ENDS, ENDS[::-1])
    ]
    ends = pd.concat(sides, ignore_index=True)
    ends["same"] = ends["own"] == ends["other"]
    ids = nodes["node"].to_numpy()
    areas = ends.pivot_table(index="node", columns="other", values="area", aggfunc="sum")
    areas = areas.reindex(index=ids, columns=list(phases)).fillna(0.0)
    counted = ends.groupby("node")["same"].agg(["sum", "count"]).reindex(ids, fill_value=0)
    columns = {f"area_{phase}": areas[phase].to_numpy(float) for phase in phases}
    columns["coordination_number"] = counted["sum"].to_numpy(np.int64)
    columns["degree"] = counted["count"].to_numpy(np.int64)
    return nodes.assign(**columns)


def _with_surface(nodes: pd.DataFrame, surface: Any) -> pd.DataFrame:
    """Surface area of every region, and the sphericity of the body that it and the cut enclose."""
    if len(surface) <= nodes["node"].max():
        message = (
            f"surface areas are given up to region {len(surface) - 1}, the nodes go up to "
            f"{nodes['node'].max()}; take both from the same regions"
        )
        raise InputError(message)
    area = surface[nodes["node"].to_numpy()]
    closed = area + nodes["cut_area"].to_numpy(float) if "cut_area" in nodes else area
    return nodes.assign(surface_area=area, sphericity=sphericity(nodes["volume"].to_numpy(float), closed))


def _with_junctions(nodes: pd.DataFrame, junctions: pd.DataFrame) -> pd.DataFrame:
    """Length of all junctions that a region takes part in."""
    lengths = ["length", *(["active_length"] if "active_length" in junctions else [])]
    parts = [junctions[[corner, *lengths]].rename(columns={corner: "node"}) for corner in CORNERS]
    summed = pd.concat(parts, ignore_index=True).groupby("node")[lengths].sum(min_count=1)
    summed = summed.reindex(nodes["node"].to_numpy(), fill_value=0.0)
    names = {"length": "junction_length", "active_length": "active_junction_length"}
    return nodes.assign(**{names[column]: summed[column].to_numpy(float) for column in lengths})


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def _no_junctions() -> pd.DataFrame:
    types = {"a": np.int32, "b": np.int32, "c": np.int32, "junction": np.int32, "length": float}
    types |= {"edges": np.int64, "active_length": float, "active": bool}
    return pd.DataFrame({name: np.empty(0, kind) for name, kind in types.items()})


def _features(table: pd.DataFrame, ids: Sequence[str]) -> list[str]:
    return [column for column in table.select_dtypes(["number", "bool"]).columns if column not in ids]


def _tensor(values: Any, kind: Any = np.float32) -> Any:
    import torch

    return torch.from_numpy(np.array(values, dtype=kind, order="C"))  # a copy, since tables may be read-only
