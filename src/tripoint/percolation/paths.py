"""Percolation of a graph: which regions reach a terminal, along which path, through which neck."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tripoint.errors import InputError
from tripoint.materials import CARRIERS, FACES, Materials
from tripoint.percolation.conduits import (
    contact_resistances,
    contact_rows,
    duct,
    neck_radii,
    separations,
)
from tripoint.percolation.fractions import AXES, Percolation, Pieces, summarize
from tripoint.sample import Spacing

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]


def measure_graph(nodes: pd.DataFrame, contacts: pd.DataFrame, materials: Materials) -> Percolation:
    """Percolation of every phase and every carrier, from the tables of a graph.

    The same numbers as `measure` with 6-connectivity gives for the volume, since every region is
    6-connected and contacts are faces.

    Parameters
    ----------
    nodes : DataFrame
        ``node, label, voxels, touches_z_min … touches_x_max``.
    contacts : DataFrame
        ``source, target``.
    materials : Materials

    Returns
    -------
    Percolation
        Without ``.access``.
    """
    from tripoint._cpu import percolation as implementation

    source, target = contact_rows(nodes, contacts)
    label = nodes["label"].to_numpy(np.uint8)
    pieces = Pieces(label, nodes["voxels"].to_numpy(np.int64), _faces(nodes))
    same = label[source] == label[target]
    phase_roots = implementation.graph_roots(source[same], target[same], len(nodes))
    carrier_roots = {}
    for carrier in materials.carriers:
        conducts = pieces.of(materials.network(carrier))
        both = conducts[source] & conducts[target]
        carrier_roots[carrier] = implementation.graph_roots(source[both], target[both], len(nodes))
    return summarize(pieces, phase_roots, carrier_roots, materials)


def paths(
    nodes: pd.DataFrame,
    contacts: pd.DataFrame,
    materials: Materials,
    shape: tuple[int, int, int],
    spacing: Spacing,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Least-resistance paths, bottlenecks and bridges from every region to every terminal.

    A carrier's network is made of the regions that conduct it, joined by their contacts, and of one
    node for its terminal, joined to the network's regions that touch the terminal's face. A region that
    does not conduct the carrier is reached when one of its contacts leads to a region that is, and
    takes the best such contact; its path starts at its centroid, its resistance at the contact.

    Parameters
    ----------
    nodes : DataFrame
        ``node, label, volume, centroid_*, inscribed_radius, touches_*``.
    contacts : DataFrame
        ``source, target, area, centroid_*`` and, if there is one, ``neck_radius``.
    materials : Materials
    shape : (z, y, x)
        Voxels of the volume.
    spacing : (z, y, x)
        Voxel size, µm.

    Returns
    -------
    nodes : DataFrame
        A copy, with for every carrier that has a terminal

        - ``depth_<carrier>``: distance from the centroid to the terminal plane, µm;
        - ``reaches_<carrier>``: whether the region is connected to the terminal;
        - ``path_resistance_<carrier>``: least sum of resistances to the terminal, µm⁻¹ (MΩ where
          conductivities are given in S/m); NaN where the terminal is not reached;
        - ``path_length_<carrier>``: length of that path from centroid over contact centroid to
          centroid and at last straight to the terminal plane, µm; NaN likewise;
        - ``path_tortuosity_<carrier>``: path length / depth, at least 1; NaN likewise;
        - ``bottleneck_radius_<carrier>``: radius of the largest sphere that passes every neck on
          some path to the terminal, µm; the last step counts with the inscribed radius of the
          region at the terminal; 0 where the terminal is not reached.
    contacts : DataFrame
        A copy, with ``resistance`` (µm⁻¹, see `contact_resistances`) and ``conductance`` (µm), both for
        unit conductivity, and for every carrier that has a terminal ``resistance_<carrier>`` (as
        ``path_resistance``; NaN where a side does not conduct) and ``bridge_<carrier>``: whether regions
        of the network that reach the terminal would not without this contact.

    Raises
    ------
    InputError
        Contacts of regions that are not nodes, or a conductivity that is not positive.
    """
    halves = contact_resistances(nodes, contacts, spacing)
    total = halves[0] + halves[1]
    node_columns: dict[str, NDArray] = {}
    contact_columns: dict[str, NDArray] = {"resistance": total, "conductance": 1 / total}
    for carrier in (c for c in CARRIERS if c in materials.terminals):
        network = _network(nodes, contacts, halves, materials, carrier, shape, spacing)
        reaches, resistance, length, bottleneck = _to_terminal(network)
        node_columns |= {
            f"depth_{carrier}": network.depth,
            f"reaches_{carrier}": reaches,
            f"path_resistance_{carrier}": resistance,
            f"path_length_{carrier}": length,
            f"path_tortuosity_{carrier}": length / network.depth,
            f"bottleneck_radius_{carrier}": bottleneck,
        }
        contact_columns |= {
            f"resistance_{carrier}": np.where(network.inside, network.resistance.sum(axis=0), np.nan),
            f"bridge_{carrier}": _bridges(network),
        }
    return nodes.assign(**node_columns), contacts.assign(**contact_columns)


def utilization(nodes: pd.DataFrame, materials: Materials) -> float | None:
    """Volume fraction of active material with an electron path and a connected ion contact.

    A region of active material counts when ``reaches_electron`` and ``reaches_ion``, the columns of
    `paths`: all its voxels are connected among themselves, and so all or none has the path.

    Returns
    -------
    float or None
        0 to 1; None when no phase is active, none of it is in the sample, or when ions or electrons
        have no terminal.
    """
    active = nodes["label"].isin([p.label for p in materials.phases if p.active]).to_numpy()
    if not active.any() or not {"ion", "electron"} <= set(materials.terminals):
        return None
    voxels = nodes["voxels"].to_numpy(np.int64)
    used = active & nodes["reaches_ion"].to_numpy(bool) & nodes["reaches_electron"].to_numpy(bool)
    return int(voxels[used].sum()) / int(voxels[active].sum())


@dataclass(frozen=True)
class _Network:
    """A carrier's regions, contacts and links to its terminal, which is the node after the last."""

    conducts: Flags  # per node
    depth: Floats
    ends: Rows  # (2, contacts): row of the source and of the target
    resistance: Floats  # (2, contacts), of either half
    length: Floats  # (2, contacts), from either centroid to the contact's
    neck: Floats
    inside: Flags  # contacts whose sides both conduct
    entry: Rows  # regions of the network on the terminal's face
    entry_resistance: Floats
    entry_radius: Floats


def _network(
    nodes: pd.DataFrame,
    contacts: pd.DataFrame,
    halves: tuple[Floats, Floats],
    materials: Materials,
    carrier: str,
    shape: tuple[int, int, int],
    spacing: Spacing,
) -> _Network:
    face = materials.terminals[carrier]
    axis = AXES.index(face[0])
    depth = nodes[f"centroid_{face[0]}"].to_numpy(float)
    if face[1] == "+":
        depth = shape[axis] * spacing[axis] - depth
    conductivity = _conductivity(nodes, materials, carrier)
    conducts = conductivity > 0
    ends = np.stack(contact_rows(nodes, contacts))
    with np.errstate(divide="ignore"):
        resistance = np.stack(halves) / conductivity[ends]
    entry = np.flatnonzero(conducts & (_faces(nodes) & (1 << FACES.index(face)) > 0))
    return _Network(
        conducts=conducts,
        depth=depth,
        ends=ends,
        resistance=resistance,
        length=np.stack([separations(nodes, rows, contacts) for rows in ends]),
        neck=neck_radii(contacts),
        inside=conducts[ends[0]] & conducts[ends[1]],
        entry=entry,
        entry_resistance=duct(depth[entry], nodes["volume"].to_numpy(float)[entry], spacing)
        / conductivity[entry],
        entry_radius=nodes["inscribed_radius"].to_numpy(float)[entry],
    )


def _conductivity(nodes: pd.DataFrame, materials: Materials, carrier: str) -> Floats:
    """Conductivity of every node for a carrier, 0 where its phase does not conduct it."""
    by_label = np.zeros(256)
    for phase in materials.phases:
        if carrier not in phase.conducts:
            continue
        value = phase.conductivity.get(carrier, 1.0)
        if not 0 < value < np.inf:
            message = (
                f"phase '{phase.name}' conducts {carrier} with conductivity {value}; expected a positive "
                f"number of S/m, or take {carrier} out of what it conducts"
            )
            raise InputError(message)
        by_label[phase.label] = value
    return by_label[nodes["label"].to_numpy(np.uint8)]


def _to_terminal(network: _Network) -> tuple[Flags, Floats, Floats, Floats]:
    """Reach, path resistance, path length and bottleneck of every node."""
    from tripoint._cpu import percolation as implementation

    source, target = _edges(network)
    terminal = len(network.conducts)
    weight = np.append(network.resistance.sum(axis=0)[network.inside], network.entry_resistance)
    step = np.append(network.length.sum(axis=0)[network.inside], network.depth[network.entry])
    width = np.append(network.neck[network.inside], network.entry_radius)
    resistance, length = implementation.least_paths(source, target, weight, step, terminal + 1, terminal)
    bottleneck = implementation.widest_paths(source, target, width, terminal + 1, terminal)
    resistance, length, bottleneck = resistance[:-1], length[:-1], bottleneck[:-1]
    reaches = np.isfinite(resistance)
    _enter(network, reaches, resistance, length, bottleneck)
    return reaches, np.where(reaches, resistance, np.nan), np.where(reaches, length, np.nan), bottleneck


def _enter(network: _Network, reaches: Flags, resistance: Floats, length: Floats, bottleneck: Floats) -> None:
    """Fill in the regions outside the network from their best contact with it."""
    # Every contact twice, seen from either end; kept where it leads from outside into the reached network.
    node, neighbour = network.ends.ravel(), network.ends[::-1].ravel()
    inward = network.resistance[::-1].ravel()
    keep = np.flatnonzero(~network.conducts[node] & reaches[neighbour])
    node, neighbour, inward = node[keep], neighbour[keep], inward[keep]
    at = keep % max(len(network.neck), 1)
    candidate = resistance[neighbour] + inward
    order = np.lexsort((candidate, node))
    first = order[np.unique(node[order], return_index=True)[1]]
    np.maximum.at(bottleneck, node, np.minimum(network.neck[at], bottleneck[neighbour]))
    reaches[node[first]] = True
    resistance[node[first]] = candidate[first]
    length[node[first]] = (network.length[:, at].sum(axis=0) + length[neighbour])[first]


def _bridges(network: _Network) -> Flags:
    from tripoint._cpu import percolation as implementation

    source, target = _edges(network)
    terminal = len(network.conducts)
    found = np.zeros(len(network.inside), bool)
    contacts = np.count_nonzero(network.inside)
    found[network.inside] = implementation.bridges(source, target, terminal + 1, terminal)[:contacts]
    return found


def _edges(network: _Network) -> tuple[Rows, Rows]:
    """Contacts within the network, then the links of the regions at the face to the terminal."""
    terminal = np.full(len(network.entry), len(network.conducts))
    source, target = network.ends[:, network.inside]
    return np.append(source, network.entry), np.append(target, terminal)


def _faces(nodes: pd.DataFrame) -> NDArray[np.uint8]:
    """Outer faces that each region touches, bit f for ``FACES[f]``."""
    faces = np.zeros(len(nodes), np.uint8)
    for bit, face in enumerate(FACES):
        end = "min" if face[1] == "-" else "max"
        faces |= nodes[f"touches_{face[0]}_{end}"].to_numpy(bool).astype(np.uint8) << bit
    return faces
