"""Currents through the network of regions: how well it conducts, and which contacts carry how much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tripoint import _cpu, _cuda
from tripoint.errors import ConvergenceError
from tripoint.materials import AXES, CARRIERS, Materials
from tripoint.percolation.conduits import contact_rows
from tripoint.sample import Spacing
from tripoint.tables import column, namespace, on_gpu, sums
from tripoint.transport.circuit import Circuit, spanning_circuit

#: Shares of the current below this are the solver's error and count as none.
NOISE = 1e-9
#: Current in and current out may differ by this share.
BALANCE = 1e-6


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
    nodes, contacts, shape, spacing
        As for `percolation.paths`; bridges are counted where its ``bridge_<carrier>`` is there.
    materials : Materials
        Conductivities per phase and carrier, S/m; 1 where no phase of the network has one.

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
        circuit = spanning_circuit(nodes, contacts, ends, materials, carrier, shape, spacing)
        figures, of_nodes, of_contacts = _solve(circuit, contacts, ends, shape, spacing)
        found[carrier] = figures
        node_columns |= of_nodes
        contact_columns |= of_contacts
    return NetworkTransport(nodes.assign(**node_columns), contacts.assign(**contact_columns), found)


def _solve(
    circuit: Circuit,
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
    circuit: Circuit, potential: Any, current: float, count: int
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
