"""Groups taken from circuits: links move to other regions, and what loses its terminal drops out."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import torch
from scipy import sparse
from scipy.sparse import csgraph
from torch_geometric.data import Data

from tripoint.graph import Graph
from tripoint.learn.circuit import KINDS, LINK_FEATURES, REACTION
from tripoint.learn.explanation.absence import Permutations, exchanged, inverse
from tripoint.learn.explanation.groups import (
    CONTACTS,
    ELECTRON_PATH,
    ION_PATH,
    JUNCTIONS,
    KIND_GROUPS,
    SIZE,
    columns_of,
)
from tripoint.learn.kirchhoff import CircuitView
from tripoint.learn.views import Names

_PARTS = (ION_PATH, ELECTRON_PATH, CONTACTS)
_ABOUT_JUNCTIONS = [at for at, name in enumerate(LINK_FEATURES) if "junction" in name]
_OTHERS = [at for at in range(len(LINK_FEATURES)) if at not in _ABOUT_JUNCTIONS]


def open_circuit(graph: Graph, view: CircuitView) -> Data:
    """Return the circuit of a sample with the links of all regions, also of those without a terminal.

    A particle without an electron path has contacts on which it would react if it were given one.
    """
    data, _ = view.build(graph)
    reached = {f"reaches_{carrier}": True for carrier in ("ion", "electron")}
    whole, _ = view.build(replace(graph, nodes=graph.nodes.assign(**reached)))
    whole.x = data.x
    return whole


def from_circuit(data: Data, names: Names, absent: Collection[str], draw: Permutations) -> Data:
    """Take groups from an open circuit, as `kirchhoff.CircuitView` shows it, and drop what is not connected.

    With the electron path every particle gets the electronic links of another one, with the ion path every
    ion conductor gets the ionic links of another one; with contacts and TPB every contact of charge transfer
    gets the features of another one.
    """
    other = draw.of("particles", len(data.x))
    data = copy.copy(data)
    data.x = exchanged(data.x, columns_of(names["particles"], absent), other)
    if SIZE in absent:
        data.volume = data.volume[other]
    part = torch.tensor([_PARTS.index(g) for g in KIND_GROUPS])[data.kind]
    if ELECTRON_PATH in absent:
        data.link_index = _moved(
            data.link_index, part == _PARTS.index(ELECTRON_PATH), data.particle_index, other
        )
    if ION_PATH in absent:
        ionic = data.link_index[:, part == _PARTS.index(ION_PATH)]
        regions = torch.unique(ionic[ionic < data.num_nodes - 2])
        data.link_index = _moved(
            data.link_index, part == _PARTS.index(ION_PATH), regions, draw.of("ion conductors", len(regions))
        )
    for kind in range(len(KINDS)):
        links = torch.nonzero(data.kind == kind).squeeze(1)
        another = links[draw.of(KINDS[kind], len(links))]
        if JUNCTIONS in absent:
            data.link_attr = _columns(data.link_attr, links, another, _ABOUT_JUNCTIONS)
        if CONTACTS in absent and kind == REACTION:
            data.link_attr = _columns(data.link_attr, links, another, _OTHERS)
            for name in ("log_geometric", "log_known"):
                values = data[name].clone()
                values[links] = data[name][another]
                data[name] = values
    return connected(data)


def connected(data: Data) -> Data:
    """Return a circuit of the links alone that are connected to the terminals of their carriers."""
    index, kind = data.link_index.numpy(), data.kind.numpy()
    of_ions = np.array([group == ION_PATH for group in KIND_GROUPS])[kind]
    reaction = kind == REACTION
    ion = _reached(index[:, of_ions], data.num_nodes, data.num_nodes - 2)
    electron = _reached(index[:, ~of_ions & ~reaction], data.num_nodes, data.num_nodes - 1)
    source, target = index
    kept = np.where(of_ions, ion[source] & ion[target], electron[source] & electron[target])
    kept[reaction] = (electron[source] & ion[target])[reaction]
    chosen = torch.from_numpy(np.flatnonzero(kept))
    data = copy.copy(data)
    data.link_index = data.link_index[:, chosen]
    for name in ("link_attr", "kind", "log_geometric", "log_known"):
        data[name] = data[name][chosen]
    free = ion | electron
    free[-2:] = False
    data.free = torch.from_numpy(free)
    return data


def _moved(
    index: torch.Tensor, chosen: torch.Tensor, regions: torch.Tensor, other: torch.Tensor
) -> torch.Tensor:
    """Return links of which those that are chosen lead to other ones of some regions."""
    place = torch.arange(int(index.max()) + 1)
    place[regions] = regions[inverse(other)]
    return torch.where(chosen, place[index], index)


def _columns(
    values: torch.Tensor, rows: torch.Tensor, others: torch.Tensor, columns: list[int]
) -> torch.Tensor:
    result = values.clone()
    result[rows[:, None], columns] = values[others][:, columns]
    return result


def _reached(ends: np.ndarray, count: int, terminal: int) -> np.ndarray:
    links = sparse.coo_matrix((np.ones(ends.shape[1]), tuple(ends)), (count, count))
    _, part = csgraph.connected_components(links, directed=False)
    return part == part[terminal]
