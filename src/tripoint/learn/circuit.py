r"""The circuit of ions and electrons: regions joined by contacts, on some of which charge is transferred.

Ions flow through the regions that conduct them, from their terminal at potential 1; electrons flow through
active material and additives to theirs at 0; on every contact of active material with an ion conductor
the one turns into the other. Kirchhoff's first law at every region,

.. math:: \sum_j g_{ij} (\varphi_i - \varphi_j) = 0,

is the two-potential problem of `tripoint.transport.activity` with regions in the place of voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tripoint.errors import InputError
from tripoint.graph import CORNERS, Graph
from tripoint.learn.features import materials_of
from tripoint.learn.solution import CircuitSolution
from tripoint.materials import Materials
from tripoint.percolation import contact_resistances
from tripoint.percolation.carriers import conductivities, depths, touches
from tripoint.percolation.conduits import contact_rows, duct, neck_radii
from tripoint.sample import Spacing
from tripoint.tables import column
from tripoint.transport import Kinetics, contact_shares

KINDS = (
    "ion",  # between ion conductors
    "active",  # electrons between particles of active material
    "mixed",  # electrons between active material and an additive
    "additive",  # electrons between additives
    "reaction",  # charge transfer
    "ion_terminal",
    "active_terminal",
    "additive_terminal",
)
ION, ACTIVE, MIXED, ADDITIVE, REACTION, ION_TERMINAL, ACTIVE_TERMINAL, ADDITIVE_TERMINAL = range(len(KINDS))

LINK_FEATURES = (
    "log_area",
    "log_neck_radius",
    "log_resistance_first",
    "log_resistance_second",
    "log_share_first",
    "log_share_second",
    "log_volume_first",
    "log_volume_second",
    "junction_per_area",
    "additive_junction_per_area",
)

MICRO = 1e-6  # S/m² · µm² and S/m · µm are µS


@dataclass(frozen=True)
class ReactionCircuit:
    """Links between the regions of a sample, and what is known of each.

    Parameters
    ----------
    count : int
        Nodes: a row of ``graph.nodes`` each, then the terminal of ions, then that of electrons.
    source, target : (links,) int64
        For charge transfer, and from active material to an additive, the source is the active region. The
        target of a link to a terminal is the terminal.
    kind : (links,) int64
        Of `KINDS`.
    features : (links, `LINK_FEATURES`) float64
        Lengths in µm. The halves of a link, ``first`` and ``second``, are source and target where these
        differ in role, and larger and smaller resistance where they do not.
    geometric : (links,) float64
        Conductance for unit conductivity, µm; of charge transfer, the area in µm².
    known : (links,) float64
        Conductance with the conductivities and kinetics of the materials, µS; NaN where they are unknown.
    free : (count,) bool
        Where Kirchhoff's law holds: in regions that are connected to the terminal of their carrier.
    particles : (particles,) int64
        Nodes of the regions of active material.
    volume : (particles,) float64
        Theirs, µm³.
    """

    count: int
    source: np.ndarray
    target: np.ndarray
    kind: np.ndarray
    features: np.ndarray
    geometric: np.ndarray
    known: np.ndarray
    free: np.ndarray
    particles: np.ndarray
    volume: np.ndarray

    @property
    def fixed_potential(self) -> np.ndarray:
        """Potential of every node at which it is held: 1 at the terminal of ions, 0 elsewhere."""
        potential = np.zeros(self.count)
        potential[-2] = 1.0
        return potential

    def known_activity(self) -> np.ndarray:
        """Solve the circuit with known conductances: the activity of every particle, without any learning.

        Raises
        ------
        InputError
            The materials do not give conductivities and kinetics.
        """
        if np.isnan(self.known).any():
            message = (
                "the materials of this graph give no conductivities or no kinetics, so that its circuit is "
                "not known; analyse it with a regime, transport=NAME"
            )
            raise InputError(message)
        ends = self.source, self.target
        potential = CircuitSolution.of(self.known, *ends, self.fixed_potential, self.free).potential
        reaction = self.kind == REACTION
        flow = self.known * (potential[self.target] - potential[self.source])
        current = np.bincount(self.source[reaction], flow[reaction], self.count)[self.particles]
        whole = current.sum() / self.volume.sum()
        return current / self.volume / whole if whole else np.zeros(len(current))


def reaction_circuit(graph: Graph) -> ReactionCircuit:
    """Make the circuit of both carriers from the tables of a graph.

    Regions that are not connected to the terminal of their carrier take no part, as on voxels.

    Raises
    ------
    InputError
        A carrier without a terminal, a phase that conducts both, no active material.
    """
    graph = graph.to("cpu")
    materials = materials_of(graph)
    _check(materials)
    kinetics = Kinetics.of(materials) if materials.kinetics is not None else None
    if kinetics is not None:
        materials = kinetics.applied(materials)
    return _Maker(graph, materials, kinetics).make()


class _Maker:
    """What the links of one graph are computed from."""

    def __init__(self, graph: Graph, materials: Materials, kinetics: Kinetics | None) -> None:
        self.graph, self.materials, self.kinetics = graph, materials, kinetics
        self.nodes, self.contacts = graph.nodes, graph.contacts
        self.spacing: Spacing = tuple(graph.metadata["spacing"])
        self.volume = column(self.nodes, "volume", np.float64)
        self.active = self._of_phases(lambda phase: phase.active)
        self.ion = self._of_phases(lambda phase: "ion" in phase.conducts) & self._reaches("ion")
        self.electron = self._of_phases(lambda phase: "electron" in phase.conducts) & self._reaches(
            "electron"
        )
        known = all(
            carrier in phase.conductivity
            for phase in materials.phases
            for carrier in phase.conducts
            if carrier in ("ion", "electron")
        )
        self.sigma = conductivities(self.nodes, materials, "ion") + conductivities(
            self.nodes, materials, "electron"
        )
        self.known = known and kinetics is not None

    def make(self) -> ReactionCircuit:
        """Put contacts and links to terminals together."""
        parts = [self._contact_links(), *(self._terminal_links(carrier) for carrier in ("ion", "electron"))]
        source, target, kind, features, geometric, known = (
            np.concatenate(columns) for columns in zip(*parts, strict=True)
        )
        particles = np.flatnonzero(self.active)
        return ReactionCircuit(
            count=len(self.nodes) + 2,
            source=source,
            target=target,
            kind=kind,
            features=features,
            geometric=geometric,
            known=known if self.known else np.full(len(known), np.nan),
            free=np.append(self.ion | self.electron, [False, False]),
            particles=particles,
            volume=self.volume[particles],
        )

    def _of_phases(self, test: Any) -> np.ndarray:
        names = [phase.name for phase in self.materials.phases if test(phase)]
        return self.nodes["phase"].isin(names).to_numpy(np.bool_)

    def _reaches(self, carrier: str) -> np.ndarray:
        return self.nodes[f"reaches_{carrier}"].to_numpy(np.bool_)

    def _contact_links(self) -> tuple[np.ndarray, ...]:
        ends = np.stack(contact_rows(self.nodes, self.contacts))
        kind = self._kinds(*ends)
        at = np.flatnonzero(kind >= 0)
        halves = np.stack(contact_resistances(self.nodes, self.contacts, self.spacing))
        shares = self._shares(kind, np.ones(len(self.nodes)))
        sigma = np.where(self.sigma > 0, self.sigma, 1.0)
        widths = self._shares(kind, sigma)
        apart = np.stack(contact_resistances(self.nodes, self.contacts, self.spacing, (widths[0], widths[1])))
        resistance = (apart / sigma[ends]).sum(axis=0)[at]
        active = self.active[ends]
        swap = np.where(active[0] == active[1], halves[0] < halves[1], active[1])
        ends, halves, shares = (np.where(swap, pair[::-1], pair)[:, at] for pair in (ends, halves, shares))
        kind = kind[at]
        area = column(self.contacts, "area", np.float64)[at]
        lengths = self._junction_lengths(at)
        neck = np.maximum(neck_radii(self.contacts)[at], min(self.spacing) / 2)
        logarithms = np.log10([area, neck, *halves, *shares, *self.volume[ends]])
        features = np.column_stack([*logarithms, *(length / area for length in lengths)])
        geometric = np.where(kind == REACTION, area, 1 / halves.sum(axis=0))
        known = self._known(kind, area, lengths, resistance, sigma[ends[0]])
        return ends[0], ends[1], kind, features, geometric, known

    def _kinds(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return the kind of every contact, −1 for those that are no link."""
        both_ion = self.ion[source] & self.ion[target]
        both_electron = self.electron[source] & self.electron[target]
        actives = self.active[source].astype(int) + self.active[target]
        reacting = (self.electron & self.active)[source] & self.ion[target]
        reacting |= (self.electron & self.active)[target] & self.ion[source]
        conditions = [both_ion, both_electron & (actives == 2), both_electron & (actives == 1)]
        conditions += [both_electron, reacting]
        return np.select(conditions, [ION, ACTIVE, MIXED, ADDITIVE, REACTION], -1)

    def _shares(self, kind: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """Shares of the cross-sections among the contacts of each carrier; 1 for charge transfer."""
        shares = np.ones((2, len(kind)))
        for kinds in ((ION,), (ACTIVE, MIXED, ADDITIVE)):
            inside = np.isin(kind, kinds)
            shares[:, inside] = np.stack(contact_shares(self.nodes, self.contacts, sigma, inside))[:, inside]
        return shares

    def _known(
        self,
        kind: np.ndarray,
        area: np.ndarray,
        lengths: tuple[np.ndarray, np.ndarray],
        resistance: np.ndarray,
        sigma: np.ndarray,
    ) -> np.ndarray:
        """Return the conductance of every link with the constants of the simulation, µS."""
        if self.kinetics is None:
            return np.full(len(kind), np.nan)
        of = self.kinetics
        boundary = of.voxel_size / sigma * (1 / of.boundary_factor - 1) / area
        conductance = 1 / (resistance + np.where(kind == ACTIVE, boundary, 0.0))
        if of.reaction == "junction":
            transfer = of.exchange * lengths[0]
        else:
            # What lies within the decay length of a line of contact with an additive is enhanced.
            near = np.minimum(area, of.enhancement_length * lengths[1])
            enhanced = of.enhancement_floor * area + (1 - of.enhancement_floor) * near
            transfer = of.exchange * MICRO * (enhanced if of.enhancement_length else area)
        return np.where(kind == REACTION, transfer / (1 + transfer * resistance), conductance)

    def _junction_lengths(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Active length of the junctions on each contact, and of those with an additive; µm."""
        junctions = self.graph.junctions
        index = pd.Index(self.nodes["node"])
        corners = np.stack([index.get_indexer(junctions[corner]) for corner in CORNERS])
        length = column(junctions, "active_length", np.float64)
        additive = (self.electron & ~self.active)[corners].any(axis=0)
        source, target = contact_rows(self.nodes, self.contacts)
        count = len(self.nodes)
        key = np.minimum(source, target)[at] * count + np.maximum(source, target)[at]
        order = np.argsort(key)
        found = np.zeros((2, len(at)))
        for one, two in ((0, 1), (0, 2), (1, 2)):
            pair = np.minimum(corners[one], corners[two]) * count + np.maximum(corners[one], corners[two])
            place = np.searchsorted(key[order], pair)
            place = order[np.minimum(place, len(order) - 1)] if len(order) else place
            hit = key[place] == pair if len(order) else np.zeros(len(pair), bool)
            found[0] += np.bincount(place[hit], length[hit], len(at))
            found[1] += np.bincount(place[hit], (length * additive)[hit], len(at))
        return found[0], found[1]

    def _terminal_links(self, carrier: str) -> tuple[np.ndarray, ...]:
        face = self.materials.terminals[carrier]
        at = np.flatnonzero(touches(self.nodes, face) & (self.ion if carrier == "ion" else self.electron))
        depth = depths(self.nodes, face, self.graph.metadata["shape"], self.spacing)[at]
        volume = self.volume[at]
        resistance = duct(depth, volume, self.spacing)
        area = volume / (2 * np.maximum(depth, min(self.spacing) / 2))
        one = np.ones(len(at))
        logarithms = np.log10([area, np.sqrt(area / np.pi), resistance, resistance, one, one, volume, volume])
        features = np.column_stack([*logarithms, np.zeros((len(at), 2))])
        if carrier == "ion":
            terminal, kind = len(self.nodes), np.full(len(at), ION_TERMINAL)
        else:
            terminal = len(self.nodes) + 1
            kind = np.where(self.active[at], ACTIVE_TERMINAL, ADDITIVE_TERMINAL)
        ends = at, np.full(len(at), terminal)
        return *ends, kind, features, 1 / resistance, self.sigma[at] / resistance


def _check(materials: Materials) -> None:
    for carrier in ("ion", "electron"):
        if carrier not in materials.terminals:
            message = f"the {carrier} has no terminal; name its face, such as terminals.{carrier}=z-"
            raise InputError(message)
    both = [phase.name for phase in materials.phases if {"ion", "electron"} <= set(phase.conducts)]
    if both:
        message = f"phase '{both[0]}' conducts ions and electrons at once, which this circuit does not hold"
        raise InputError(message)
    if not any(phase.active for phase in materials.phases):
        message = "no phase is active, so there is nothing that reacts; mark one with active: true"
        raise InputError(message)
