"""Percolation of a graph: which regions reach a terminal, along which path, through which neck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tripoint import _cpu, _cuda
from tripoint.materials import CARRIERS, Materials
from tripoint.percolation.carriers import conductivities, depths, touched_faces, touches
from tripoint.percolation.conduits import (
    contact_resistances,
    contact_rows,
    duct,
    neck_radii,
    separations,
)
from tripoint.percolation.fractions import Percolation, Pieces, summarize
from tripoint.percolation.trees import first_of_each, least_path_tree, sums_to_root
from tripoint.sample import Spacing
from tripoint.tables import column, namespace, on_gpu, table, to_host


def measure_graph(nodes: Any, contacts: Any, materials: Materials) -> Percolation:
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
    source, target = contact_rows(nodes, contacts)
    label = column(nodes, "label", np.uint8)
    xp, side = namespace(label), _side(nodes)
    same = label[source] == label[target]
    roots = {"phase": side.graph_roots(source[same], target[same], len(label))}
    for carrier in materials.carriers:
        conducts = xp.isin(label, xp.asarray(materials.network(carrier), dtype=xp.uint8))
        both = conducts[source] & conducts[target]
        roots[carrier] = side.graph_roots(source[both], target[both], len(label))
    # Regions are summed up where pieces of volumes are: a few bytes of each come to the host.
    voxels, faces = column(nodes, "voxels", np.int64), touched_faces(nodes)
    regions = to_host(table({"label": label, "voxels": voxels, "faces": faces, **roots}))
    pieces = Pieces(*(regions[name].to_numpy() for name in ("label", "voxels", "faces")))
    carrier_roots = {carrier: regions[carrier].to_numpy() for carrier in materials.carriers}
    return summarize(pieces, regions["phase"].to_numpy(), carrier_roots, materials)


def paths(
    nodes: Any, contacts: Any, materials: Materials, shape: tuple[int, int, int], spacing: Spacing
) -> tuple[Any, Any]:
    """Least-resistance paths, bottlenecks and bridges from every region to every terminal.

    A carrier's network is made of the regions that conduct it, joined by their contacts, and of one
    node for its terminal, joined to the network's regions that touch the terminal's face. A region that
    does not conduct the carrier is reached when one of its contacts leads to a region that is, and
    takes the best such contact; its path starts at its centroid, its resistance at the contact.  Of several
    paths of the same resistance the one is taken whose next region has the lowest row.

    Parameters
    ----------
    nodes : DataFrame
        ``node, label, volume, centroid_*, inscribed_radius, touches_*``; pandas, or cuDF as the contacts.
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
    xp = namespace(total)
    node_columns: dict[str, Any] = {}
    contact_columns: dict[str, Any] = {"resistance": total, "conductance": 1 / total}
    for carrier in (c for c in CARRIERS if c in materials.terminals):
        network = _network(nodes, contacts, halves, materials, carrier, shape, spacing)
        reaches, resistance, length, bottleneck, bridge = _to_terminal(network, _side(nodes))
        node_columns |= {
            f"depth_{carrier}": network.depth,
            f"reaches_{carrier}": reaches,
            f"path_resistance_{carrier}": resistance,
            f"path_length_{carrier}": length,
            f"path_tortuosity_{carrier}": length / network.depth,
            f"bottleneck_radius_{carrier}": bottleneck,
        }
        contact_columns |= {
            f"resistance_{carrier}": xp.where(network.inside, _whole(network.resistance), xp.nan),
            f"bridge_{carrier}": bridge,
        }
    return nodes.assign(**node_columns), contacts.assign(**contact_columns)


def utilization(nodes: Any, materials: Materials) -> float | None:
    """Volume fraction of active material with an electron path and a connected ion contact.

    A region of active material counts when ``reaches_electron`` and ``reaches_ion``, the columns of
    `paths`: all its voxels are connected among themselves, and so all or none has the path.

    Returns
    -------
    float or None
        0 to 1; None when no phase is active, none of it is in the sample, or when ions or electrons
        have no terminal.
    """
    label = column(nodes, "label", np.uint8)
    xp = namespace(label)
    active = xp.isin(label, xp.asarray([p.label for p in materials.phases if p.active], dtype=xp.uint8))
    if not bool(active.any()) or not {"ion", "electron"} <= set(materials.terminals):
        return None
    voxels = column(nodes, "voxels", np.int64)
    used = active & column(nodes, "reaches_ion", np.bool_) & column(nodes, "reaches_electron", np.bool_)
    return int(voxels[used].sum()) / int(voxels[active].sum())


@dataclass(frozen=True)
class _Network:
    """A carrier's regions, contacts and links to its terminal, which is the node after the last."""

    conducts: Any  # (nodes,) bool
    depth: Any  # (nodes,)
    ends: tuple[Any, Any]  # row of the source and of the target of every contact
    resistance: tuple[Any, Any]  # of either half
    length: Any  # from centroid over contact to centroid
    neck: Any
    inside: Any  # contacts whose sides both conduct
    entry: Any  # regions of the network on the terminal's face
    entry_resistance: Any
    entry_radius: Any


def _network(
    nodes: Any,
    contacts: Any,
    halves: tuple[Any, Any],
    materials: Materials,
    carrier: str,
    shape: tuple[int, int, int],
    spacing: Spacing,
) -> _Network:
    face = materials.terminals[carrier]
    depth = depths(nodes, face, shape, spacing)
    conductivity = conductivities(nodes, materials, carrier)
    conducts = conductivity > 0
    source, target = contact_rows(nodes, contacts)
    entry = namespace(depth).nonzero(conducts & touches(nodes, face))[0]
    with np.errstate(divide="ignore"):
        resistance = halves[0] / conductivity[source], halves[1] / conductivity[target]
    return _Network(
        conducts=conducts,
        depth=depth,
        ends=(source, target),
        resistance=resistance,
        length=separations(nodes, source, contacts) + separations(nodes, target, contacts),
        neck=neck_radii(contacts),
        inside=conducts[source] & conducts[target],
        entry=entry,
        entry_resistance=duct(depth[entry], column(nodes, "volume", np.float64)[entry], spacing)
        / conductivity[entry],
        entry_radius=column(nodes, "inscribed_radius", np.float64)[entry],
    )


def _to_terminal(network: _Network, side: Any) -> tuple[Any, ...]:
    """Reach, path resistance, path length and bottleneck of every node; whether each contact is a bridge."""
    xp = namespace(network.depth)
    count = len(network.depth)  # and so the row of the terminal
    inside = xp.nonzero(network.inside)[0]
    source = xp.concat((network.ends[0][inside], network.entry))
    target = xp.concat((network.ends[1][inside], xp.full(len(network.entry), count, dtype=xp.int64)))
    weight = xp.concat((_whole(network.resistance)[inside], network.entry_resistance))
    step = xp.concat((network.length[inside], network.depth[network.entry]))
    width = xp.concat((network.neck[inside], network.entry_radius))

    resistance = side.least_paths(source, target, weight, count + 1, count)
    previous, edge = least_path_tree(source, target, weight, resistance, count)
    length = sums_to_root(previous, xp.concat((step, xp.zeros(1)))[edge])
    bottleneck, cut = side.bottlenecks(source, target, width, count + 1, count)
    bridge = xp.zeros(len(network.inside), dtype=xp.bool)
    bridge[inside] = cut[: len(inside)]

    resistance, length, bottleneck = resistance[:-1], length[:-1], bottleneck[:-1]
    reaches = xp.isfinite(resistance)
    _enter(network, reaches, resistance, length, bottleneck)
    return (
        reaches,
        xp.where(reaches, resistance, xp.nan),
        xp.where(reaches, length, xp.nan),
        bottleneck,
        bridge,
    )


def _enter(network: _Network, reaches: Any, resistance: Any, length: Any, bottleneck: Any) -> None:
    """Fill in the regions outside the network from their best contact with it."""
    xp = namespace(resistance)
    # Every contact twice, seen from either end; kept where it leads from outside into the reached network.
    source, target = network.ends
    node, neighbour = xp.concat((source, target)), xp.concat((target, source))
    inward = xp.concat((network.resistance[1], network.resistance[0]))
    keep = xp.nonzero(~network.conducts[node] & reaches[neighbour])[0]
    node, neighbour, inward = node[keep], neighbour[keep], inward[keep]
    at = keep % max(len(source), 1)
    least, resistances = _least_of_each(node, resistance[neighbour] + inward)
    widest, radii = _least_of_each(node, -xp.minimum(network.neck[at], bottleneck[neighbour]))
    bottleneck[node[widest]] = -radii
    lengths = (network.length[at] + length[neighbour])[least]
    reaches[node[least]] = True
    resistance[node[least]] = resistances
    length[node[least]] = lengths


def _least_of_each(rows: Any, values: Any) -> tuple[Any, Any]:
    """Return, for every row that occurs, where its least value stands, and that value."""
    xp = namespace(values)
    order = xp.argsort(values)  # stable, as the next
    order = order[xp.argsort(rows[order])]
    order = order[first_of_each(rows[order])]
    return order, values[order]


def _whole(halves: tuple[Any, Any]) -> Any:
    return halves[0] + halves[1]


def _side(nodes: Any) -> Any:
    """Return the side that searches the graph of a table: the host's or the GPU's."""
    return (_cuda if on_gpu(nodes) else _cpu).percolation
