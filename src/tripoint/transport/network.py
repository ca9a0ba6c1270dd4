"""Currents through the network of regions: how well it conducts, and which contacts carry how much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tripoint import _cpu, _cuda
from tripoint.errors import ConvergenceError, InputError
from tripoint.materials import CARRIERS, Materials
from tripoint.percolation.conduits import contact_resistances, contact_rows, duct
from tripoint.sample import Spacing
from tripoint.tables import column, namespace, on_gpu, sums, to_host

AXES = "zyx"
OPPOSITE = {"-": "+", "+": "-"}
#: Shares of the current below this are the solver's error and count as none.
NOISE = 1e-9
#: Current in and current out may differ by this share.
BALANCE = 1e-6
#: Columns of a contact that `critical_contacts` keeps.
_PLACE = ("source", "target", "source_phase", "target_phase", "centroid_z", "centroid_y", "centroid_x")
_SIZE = ("area", "neck_radius")


@dataclass(frozen=True)
class CarrierCurrents:
    """What the network of one carrier conducts between two faces of the volume.

    Parameters
    ----------
    carrier : str
    faces : (str, str)
        The terminal's face, which is held at potential 1, and the opposite one, held at 0.
    spans : bool
        Whether the network joins the two. Where it does not, nothing was solved.
    effective_conductivity : float
        Of the volume between the faces, S/m, or relative to the conductivity 1 where the materials give
        none; 0 where the network does not span.
    factor : float
        Tortuosity factor Σ ε σ / effective conductivity, with ε the fraction of the volume of every
        phase that conducts, σ its conductivity; infinite where the network does not span.
    current : float
        Current for the potential difference 1, µm times the unit of conductivity: with S/m, µA for 1 V.
    imbalance : float or None
        abs(current in − current out) / current in; None where the network does not span.
    regions, contacts : int
        Those of components that touch both faces; all others carry no current and are left out.
    bridges : int or None
        Contacts that carry current and are bridges (``bridge_<carrier>``); None without that column.
    iterations : int
        Of conjugate gradients; 0 where the system was factorised.
    """

    carrier: str
    faces: tuple[str, str]
    spans: bool
    effective_conductivity: float
    factor: float
    current: float
    imbalance: float | None
    regions: int
    contacts: int
    bridges: int | None
    iterations: int


@dataclass(frozen=True)
class NetworkTransport:
    """Currents of every carrier: the tables with their columns, and the figures of each network."""

    nodes: Any = field(repr=False)
    contacts: Any = field(repr=False)
    carriers: Mapping[str, CarrierCurrents]


def network(
    nodes: Any, contacts: Any, materials: Materials, shape: tuple[int, int, int], spacing: Spacing
) -> NetworkTransport:
    r"""Solve Kirchhoff's equations on the network of every carrier that has a terminal.

    The plane of the terminal's face is held at potential 1 and that of the opposite face at 0; the other
    four faces are closed. The network is that of `percolation.paths`: the regions that conduct the
    carrier, joined by their contacts, and linked to a face that they touch through a duct from the centroid
    to its plane. In every region i the currents add up to zero,

    .. math:: \sum_j g_{ij} (\phi_i - \phi_j) + g_i^- (\phi_i - 1) + g_i^+ \phi_i = 0,
              \qquad g_{ij} = 1 / (R_i / \sigma_i + R_j / \sigma_j)

    with R the halves of a contact from `percolation.contact_resistances` and σ the conductivity of each
    region's phase. Where several contacts leave a region towards one side they share its cross-section
    (`contact_shares`); for a single path they would not, so that ``resistance_<carrier>`` is less.

    Parameters
    ----------
    nodes : DataFrame
        ``node, label, volume, centroid_*, inscribed_radius, touches_*``; pandas, or cuDF as the contacts.
    contacts : DataFrame
        ``source, target, area, centroid_*`` and, where there are any, ``neck_radius, bridge_<carrier>``.
    materials : Materials
        Conductivities per phase and carrier, S/m; 1 where no phase of the network has one.
    shape : (z, y, x)
        Voxels of the volume.
    spacing : (z, y, x)
        Voxel size, µm.

    Returns
    -------
    NetworkTransport
        ``carriers`` has the figures of each. ``nodes`` is a copy with

        - ``network_potential_<carrier>``: 1 at the terminal's face, 0 at the opposite one; NaN for regions
          that do not conduct the carrier or whose component does not touch both faces;

        ``contacts`` is a copy with, 0 where nothing flows,

        - ``network_conductance_<carrier>``: g, µm times the unit of conductivity (µS with S/m);
        - ``current_<carrier>``: from source to target for the potential difference 1, positive where it flows
          that way, µm times the unit of conductivity (µA for 1 V);
        - ``current_share_<carrier>``: its size / the whole current, 0 to 1;
        - ``current_rank_<carrier>``: 1 for the contact with the largest share, 0 where nothing flows;
        - ``dissipation_share_<carrier>``: g (φ_i − φ_j)² / whole current. With those of the links to the
          faces they add up to 1. It is d ln R / d ln (1/g): by how many per cent the resistance of
          the whole network grows when that of this contact grows by one.

    Raises
    ------
    InputError
        Conductivities that are not positive or that only some phases of a network have; a terminal that no
        conductor touches; contacts of regions that are not nodes.
    ConvergenceError
        The solver did not converge, or currents in and out differ by more than 1e-6.

    Notes
    -----
    Components that do not touch both faces are removed first. On the host up to 3,000 regions are solved by
    factorisation, more by conjugate gradients with smoothed aggregation (pyamg), whose iterations hardly grow
    with size or with the contrast of conductivities; on the GPU by conjugate gradients of cupyx, scaled
    by the diagonal. Bits may differ between runs on the GPU only. Memory beyond the tables: at most
    450 bytes per contact on the host.
    """
    ends = contact_rows(nodes, contacts)
    node_columns: dict[str, Any] = {}
    contact_columns: dict[str, Any] = {}
    found = {}
    for carrier in (c for c in CARRIERS if c in materials.terminals):
        circuit = _circuit(nodes, contacts, ends, materials, carrier, shape, spacing)
        figures, of_nodes, of_contacts = _solve(circuit, contacts, ends, shape, spacing)
        found[carrier] = figures
        node_columns |= of_nodes
        contact_columns |= of_contacts
    return NetworkTransport(nodes.assign(**node_columns), contacts.assign(**contact_columns), found)


def critical_contacts(
    contacts: Any,
    carrier: str,
    number: int = 10,
    by: str = "dissipation_share",
    *,
    only_bridges: bool = False,
) -> pd.DataFrame:
    """Return the contacts on which a carrier's current depends most, for a table and a 3D view.

    Parameters
    ----------
    contacts : DataFrame
        With the columns that `network` adds.
    carrier : str
    number : int
    by : {"dissipation_share", "current_share"}
        On which the network's resistance depends most, or which carry most.
    only_bridges : bool
        Leave out contacts that others could stand in for.

    Returns
    -------
    pandas.DataFrame
        At most ``number`` rows, the largest first: the contact's columns of place and size (centroid in µm),
        ``current_share, current_rank, dissipation_share`` and ``kind``, "bridge" where all that lies
        beyond has no other way to the terminal, else "bottleneck". Contacts without current are not listed.

    Raises
    ------
    InputError
        A carrier without currents, another ranking, bridges that were not sought.
    """
    measured = ("current_share", "current_rank", "dissipation_share")
    needed = [f"current_share_{carrier}", f"{by}_{carrier}", *([f"bridge_{carrier}"] if only_bridges else [])]
    missing = [name for name in needed if name not in contacts.columns]
    if missing or by not in measured:
        message = (
            f"there is no column {(missing or [by])[0]} to rank contacts by; solve the network of a graph "
            f"first, with a terminal for {carrier}"
        )
        raise InputError(message)
    kept = [name for name in (*_PLACE, *_SIZE) if name in contacts.columns]
    columns = [f"{name}_{carrier}" for name in measured]
    bridge = f"bridge_{carrier}"
    marked = [bridge] if bridge in contacts.columns else []
    rows = to_host(contacts[[*kept, *columns, *marked]])
    rows = rows.rename(columns=dict(zip(columns, measured, strict=True)))
    rows = rows[rows["current_rank"] > 0].sort_values(by, ascending=False, kind="stable")
    if only_bridges:
        rows = rows[rows[bridge]]
    rows = rows.head(number).reset_index(drop=True)
    kind = np.where(rows[bridge], "bridge", "bottleneck") if marked else "bottleneck"
    return rows.drop(columns=marked).assign(kind=kind)


def contact_shares(nodes: Any, contacts: Any, conductivity: Any, inside: Any) -> tuple[Any, Any]:
    r"""Share of a region's cross-section that each contact has, on either of its sides.

    A duct that ends in two contacts has not two cross-sections, unless one of them leads into what hardly
    conducts. For contact k of region i, in direction **u**\_k from its centroid, with area A,

    .. math:: s_k = \frac{A_k}{\max(A_k, (1 - h_k) A_k + \sum_j h_j A_j \, w(u_j \cdot u_k))}, \qquad
              w(c) = \frac{c (1 + c)}{2}, \qquad h_j = \min(1, \frac{2 \sigma_j}{\sigma_i + \sigma_j})

    w is 1 for contacts in the same direction and 0 for those beside and behind, so that a bar, or a
    cube with six neighbours, has s = 1, and n equal contacts at the end of a bar have s = 1 / n. It is the
    polynomial of second degree that does so, and only sums over a region's contacts are needed. h is
    what the neighbour's conductivity lets through, compared with the region's own.

    Parameters
    ----------
    nodes, contacts : DataFrame
    conductivity : (nodes,) float64
        Of every region; positive where its contacts take part.
    inside : (contacts,) bool
        Contacts that take part; the others have s = 1.

    Returns
    -------
    (source, target) : two (contacts,) float64
        Above 0 and up to 1.
    """
    xp = namespace(inside)
    kept = xp.nonzero(inside)[0]
    source, target = (end[kept] for end in contact_rows(nodes, contacts))
    rows = xp.concat((source, target))
    own, beyond = conductivity[rows], conductivity[xp.concat((target, source))]
    passing = xp.minimum(2 * beyond / (own + beyond), xp.ones(1))
    area = column(contacts, "area", np.float64)[kept]
    area = xp.concat((area, area))
    weight = area * passing
    unit = _directions(nodes, rows, contacts, kept)
    count = len(conductivity)
    total = xp.zeros(len(rows))
    for a in range(3):
        total = total + unit[a] * sums(rows, weight * unit[a], count)[rows]
        for b in range(3):
            total = total + unit[a] * unit[b] * sums(rows, weight * unit[a] * unit[b], count)[rows]
    share = area / xp.maximum(area - weight + total / 2, area)
    both = xp.ones((2, len(inside)))
    both[0, kept], both[1, kept] = share[: len(kept)], share[len(kept) :]
    return both[0], both[1]


@dataclass(frozen=True)
class _Circuit:
    """The part of a carrier's network that joins the two faces; regions are numbered anew."""

    carrier: str
    faces: tuple[str, str]
    regions: Any  # (nodes,) bool
    at: Any  # rows of its contacts
    source: Any
    target: Any
    conductance: Any
    inlet: Any  # (its regions,) conductance to the terminal's face, 0 where it is not touched
    outlet: Any
    conducting: float  # Σ V σ of all regions


def _circuit(
    nodes: Any,
    contacts: Any,
    ends: tuple[Any, Any],
    materials: Materials,
    carrier: str,
    shape: tuple[int, int, int],
    spacing: Spacing,
) -> _Circuit:
    terminal = materials.terminals[carrier]
    faces = (terminal, terminal[0] + OPPOSITE[terminal[1]])
    label = column(nodes, "label", np.uint8)
    xp = namespace(label)
    conductivity = xp.asarray(_conductivities(materials, carrier))[label]
    links = [_links(nodes, conductivity, face, shape, spacing) for face in faces]
    if not bool((links[0] > 0).any()):
        message = (
            f"the terminal of {carrier} is {terminal}, where no region conducts it; choose another face or "
            f"say which phases conduct {carrier}"
        )
        raise InputError(message)
    source, target = ends
    inside = (conductivity[source] > 0) & (conductivity[target] > 0)
    side = (_cuda if on_gpu(nodes) else _cpu).percolation
    roots = side.graph_roots(source[inside], target[inside], len(label))
    touched = [xp.zeros(len(label), dtype=xp.bool) for _ in faces]
    for marks, link in zip(touched, links, strict=True):
        marks[roots[link > 0]] = True
    spanning = (touched[0] & touched[1])[roots]
    inside = inside & spanning[source]
    at = xp.nonzero(inside)[0]
    shares = contact_shares(nodes, contacts, conductivity, inside)
    halves = contact_resistances(nodes, contacts, spacing, shares)
    resistance = (
        halves[0][at] / conductivity[source[at]] + halves[1][at] / conductivity[target[at]]
    )  # both conduct
    number = xp.cumulative_sum(xp.astype(spanning, xp.int64)) - 1
    return _Circuit(
        carrier,
        faces,
        spanning,
        at,
        number[source[at]],
        number[target[at]],
        1 / resistance,
        links[0][spanning],
        links[1][spanning],
        float((column(nodes, "volume", np.float64) * conductivity).sum()),
    )


def _solve(
    circuit: _Circuit,
    contacts: Any,
    ends: tuple[Any, Any],
    shape: tuple[int, int, int],
    spacing: Spacing,
) -> tuple[CarrierCurrents, dict[str, Any], dict[str, Any]]:
    """Potentials and currents of a circuit: its figures, the columns of nodes and those of contacts."""
    xp = namespace(circuit.conductance)
    count = len(circuit.inlet)
    potential, iterations = circuit.inlet, 0
    if count:
        source, target, g = circuit.source, circuit.target, circuit.conductance
        diagonal = sums(xp.concat((source, target)), xp.concat((g, g)), count)
        side = (_cuda if on_gpu(contacts) else _cpu).transport_network
        potential, iterations, residual = side.solve(
            source, target, g, diagonal + circuit.inlet + circuit.outlet, circuit.inlet
        )
    current = float((circuit.inlet * (1 - potential)).sum())
    out = float((circuit.outlet * potential).sum())
    imbalance = abs(current - out) / current if count else None
    if imbalance is not None and not imbalance <= BALANCE:
        message = (
            f"the currents of {circuit.carrier} did not converge in {iterations} iterations: {current:.6g} "
            f"flow in and {out:.6g} out, relative residual {residual:.1e}; look for conductivities that are "
            "many orders of magnitude apart"
        )
        raise ConvergenceError(message)
    of_contacts, share = _contact_columns(circuit, potential, current, len(ends[0]))
    bridges = None
    if f"bridge_{circuit.carrier}" in contacts.columns:
        bridges = int((column(contacts, f"bridge_{circuit.carrier}", np.bool_) & (share > 0)).sum())
    axis = AXES.index(circuit.faces[0][0])
    edges = [n * step for n, step in zip(shape, spacing, strict=True)]
    effective = current * edges[axis] ** 2 / math.prod(edges)
    figures = CarrierCurrents(
        carrier=circuit.carrier,
        faces=circuit.faces,
        spans=count > 0,
        effective_conductivity=effective,
        factor=circuit.conducting / math.prod(edges) / effective if count else math.inf,
        current=current,
        imbalance=imbalance,
        regions=count,
        contacts=len(circuit.at),
        bridges=bridges,
        iterations=iterations,
    )
    potentials = xp.full(len(circuit.regions), xp.nan)
    potentials[xp.nonzero(circuit.regions)[0]] = potential
    return figures, {f"network_potential_{circuit.carrier}": potentials}, of_contacts


def _contact_columns(
    circuit: _Circuit, potential: Any, current: float, count: int
) -> tuple[dict[str, Any], Any]:
    xp = namespace(potential)
    drop = potential[circuit.source] - potential[circuit.target]
    flow = circuit.conductance * drop
    share = xp.abs(flow) / current if current else xp.abs(flow)
    share = xp.where(share > NOISE, xp.minimum(share, xp.ones(1)), 0)
    flow = xp.where(share > 0, flow, 0)
    order = xp.argsort(-share)  # stable
    rank = xp.empty(len(order), dtype=xp.int64)
    rank[order] = xp.arange(1, len(order) + 1)
    columns = {
        "network_conductance": circuit.conductance,
        "current": flow,
        "current_share": share,
        "current_rank": xp.where(share > 0, rank, 0),
        "dissipation_share": share * xp.abs(drop),  # = I² R / (whole I · 1)
    }
    whole = {}
    for name, values in columns.items():
        of_all = xp.zeros(count, dtype=values.dtype)
        of_all[circuit.at] = values
        whole[f"{name}_{circuit.carrier}"] = of_all
    return whole, whole[f"current_share_{circuit.carrier}"]


def _conductivities(materials: Materials, carrier: str) -> Any:
    """Conductivity of every label for a carrier: (256,) float64, 0 where it does not conduct it."""
    phases = [phase for phase in materials.phases if carrier in phase.conducts]
    given = [phase.name for phase in phases if carrier in phase.conductivity]
    if given and len(given) < len(phases):
        missing = next(phase.name for phase in phases if phase.name not in given)
        message = (
            f"phase '{missing}' conducts {carrier} but has no conductivity for it, and '{given[0]}' has one; "
            "give it to all phases of the network or to none"
        )
        raise InputError(message)
    by_label = np.zeros(256)
    for phase in phases:
        value = phase.conductivity.get(carrier, 1.0)
        if not 0 < value < np.inf:
            message = (
                f"phase '{phase.name}' conducts {carrier} with conductivity {value}; expected a positive "
                f"number of S/m, or take {carrier} out of what it conducts"
            )
            raise InputError(message)
        by_label[phase.label] = value
    return by_label


def _links(nodes: Any, conductivity: Any, face: str, shape: tuple[int, int, int], spacing: Spacing) -> Any:
    """Conductance of every node to the plane of a face, 0 where it does not touch it or not conduct."""
    depth = column(nodes, f"centroid_{face[0]}", np.float64)
    if face[1] == "+":
        axis = AXES.index(face[0])
        depth = shape[axis] * spacing[axis] - depth
    xp = namespace(depth)
    touches = column(nodes, f"touches_{face[0]}_{'min' if face[1] == '-' else 'max'}", np.bool_)
    resistance = duct(depth, column(nodes, "volume", np.float64), spacing)
    return xp.where(touches, conductivity, 0) / resistance


def _directions(nodes: Any, rows: Any, contacts: Any, kept: Any) -> list[Any]:
    """Return unit vectors, as arrays z, y and x, from the regions in these rows to their contacts."""
    xp = namespace(rows)
    offsets = []
    for axis in AXES:
        place = column(contacts, f"centroid_{axis}", np.float64)[kept]
        offsets.append(xp.concat((place, place)) - column(nodes, f"centroid_{axis}", np.float64)[rows])
    length = xp.sqrt(offsets[0] ** 2 + offsets[1] ** 2 + offsets[2] ** 2)
    return [xp.where(length > 0, offset / xp.where(length > 0, length, 1), 0) for offset in offsets]
