"""The two-potential problem on voxels: unknowns, conductances and terminals, from phases and kinetics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tripoint import _cpu, percolation
from tripoint.boundary import Access, contacts
from tripoint.boundary.regions import check_regions
from tripoint.distance import transform
from tripoint.errors import InputError
from tripoint.materials import CARRIERS, FACES, Materials
from tripoint.sample import Spacing
from tripoint.transport.edges import RingEdges, reacting_edges
from tripoint.transport.kinetics import Kinetics

ION, ELECTRON = 1, 2


class Model:
    """The conductances of one problem, and what its solution means."""

    def __init__(
        self,
        phases: Any,
        materials: Materials,
        kinetics: Kinetics,
        spacing: Spacing,
        regions: Any,
        voltage: float,
    ) -> None:
        self.phases, self.spacing, self.voltage = phases, spacing, voltage
        self.labels = _roles(phases, materials)
        self.table = _conductivity(phases, materials, kinetics)
        self.active = mask([p.label for p in materials.phases if p.active])
        if regions is None:
            self.regions = _mask_numbers(materials)[phases]
        else:
            check_regions(regions)
            if regions.shape != phases.shape:
                message = (
                    f"regions have the shape {regions.shape}, the phases {phases.shape}; expected the same"
                )
                raise InputError(message)
            self.regions = np.ascontiguousarray(regions)
        access = percolation.access(phases, materials)
        self.carrier = _unknowns(phases, access, self.labels)
        boundary = _boundary(self.table, self.active, kinetics)
        self.faces = _cpu.transport.conduction_faces(
            phases,
            self.carrier,
            self.table,
            spacing,
            self.regions if boundary is not None else None,
            boundary,
        )
        self.guard = phases.shape[1] * phases.shape[2]
        self.entry, self.entry_values = self._terminal(materials.terminals["ion"], ION, "ion")
        self.leave, self.leave_values = self._terminal(materials.terminals["electron"], ELECTRON, "electron")
        self.ends = np.concatenate([self.entry, self.leave])
        self.values = np.concatenate([self.entry_values, self.leave_values])
        self.edges: RingEdges | None = None
        if kinetics.reaction == "interface":
            self._react_on_faces(materials, kinetics)
        else:
            self.edges = self._react_on_edges(materials, kinetics, access)

    def _terminal(self, face: str, carrier: int, name: str) -> tuple[np.ndarray, np.ndarray]:
        axis, last = divmod(FACES.index(face), 2)
        plane = np.take(np.arange(self.phases.size).reshape(self.phases.shape), -last, axis).ravel()
        plane = plane[self.carrier.reshape(-1)[plane] == carrier]
        if plane.size == 0:
            message = (
                f"the {name} terminal {face} touches no {name} conductor; choose another face or "
                "check the labels"
            )
            raise InputError(message)
        area = math.prod(self.spacing) / self.spacing[axis]
        sigma = self.table[self.phases.reshape(-1)[plane]]
        return plane + self.guard, 2 * area * sigma / self.spacing[axis]

    def _react_on_faces(self, materials: Materials, kinetics: Kinetics) -> None:
        pairs, scales = _area_scales(self.regions, self.spacing)
        exchange: Any = kinetics.exchange
        if kinetics.enhancement_length > 0:
            additive = [p.label for p in materials.phases if "electron" in p.conducts and not p.active]
            far = transform(mask(additive)[self.phases].view(np.uint8), self.spacing)
            far /= -np.float32(kinetics.enhancement_length)
            np.exp(far, out=far)
            far *= np.float32(kinetics.exchange * (1 - kinetics.enhancement_floor))
            far += np.float32(kinetics.exchange * kinetics.enhancement_floor)
            exchange = far
        _cpu.transport.reaction_faces(
            self.faces, self.phases, self.carrier, self.table, self.active, self.spacing, exchange,
            self.regions, pairs, scales,
        )  # fmt: skip

    def _react_on_edges(self, materials: Materials, kinetics: Kinetics, access: Access) -> RingEdges:
        """Spread the conductance of every active junction edge over the faces around it."""
        edges = reacting_edges(self.phases, self.spacing, materials, access)
        electrons = (self.carrier == ELECTRON) & ~self.active[self.phases]
        reacting = np.where(electrons, 0, self.carrier).reshape(-1)
        axis, index, length = edges.faces(reacting, self.spacing)
        if index.size:
            _cpu.transport.junction_faces(
                self.faces, self.phases, self.table, self.spacing, axis, index, kinetics.exchange * length
            )
        return edges

    def source(self) -> np.ndarray:
        """Return the currents into the voxels at the ion terminal."""
        source = np.zeros(self.phases.size + 2 * self.guard)
        source[self.entry] = self.voltage * self.entry_values
        return source

    def currents(self, x: np.ndarray) -> tuple[float, float]:
        """Return what enters and what leaves at the terminals."""
        entering = float((self.entry_values * (self.voltage - x[self.entry])).sum())
        return entering, float((self.leave_values * x[self.leave]).sum())

    def balanced(self, tolerance: float) -> Any:
        """Return the test of a potential: what is lost on either side is a small part of the current."""
        kind = self.carrier.reshape(-1)

        def test(x: np.ndarray, residual: np.ndarray) -> bool:
            entering, leaving = self.currents(x)
            left = np.bincount(kind, residual[self.guard : -self.guard], 3)[1:]
            return bool(np.abs(left).sum() <= tolerance * max(abs(entering), abs(leaving)))

        return test

    def edge_counts(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the junction edges at every region's active material, and where only the gas is missing."""
        assert self.edges is not None
        rings, status = self.edges.rings, self.edges.status
        flat = self.phases.reshape(-1)[rings]
        held = self.carrier.reshape(-1)[rings]
        mine = self.active[flat]
        regions = self.regions.reshape(-1)[rings]
        touching = np.bincount(regions[mine], minlength=count + 1)
        both = (held == ION).any(axis=1) & (held == ELECTRON).any(axis=1) & (status != 2)
        gas = np.bincount(regions[both][mine[both]], minlength=count + 1) > 0
        return touching, gas


def _roles(phases: Any, materials: Materials) -> dict[str, tuple[int, ...]]:
    """Return the labels of the ion and of the electron conductors."""
    labels = {carrier: materials.network(carrier) for carrier in ("ion", "electron")}
    for carrier, members in labels.items():
        if not members:
            message = (
                f"no phase conducts the {carrier}; say so in the materials, such as conducts: [{carrier}]"
            )
            raise InputError(message)
        if carrier not in materials.terminals:
            message = f"the {carrier} has no terminal; name its face, such as terminals.{carrier}=z-"
            raise InputError(message)
    both = set(labels["ion"]) & set(labels["electron"])
    if both:
        message = (
            f"phases with labels {sorted(both)} conduct ions and electrons at once, which this model does "
            "not hold; let each conduct the one that limits"
        )
        raise InputError(message)
    if not any(phase.active for phase in materials.phases):
        message = "no phase is active, so there is nothing that reacts; mark one with active: true"
        raise InputError(message)
    return labels


def _conductivity(phases: Any, materials: Materials, kinetics: Kinetics) -> np.ndarray:
    """Return S/m of every label for the carrier it conducts; 1 where it conducts none."""
    table = np.ones(256)
    present = np.bincount(phases.reshape(-1), minlength=256) > 0
    for phase in materials.phases:
        for carrier in ("ion", "electron"):
            if carrier not in phase.conducts:
                continue
            role = "ion" if carrier == "ion" else "active" if phase.active else "additive"
            value = getattr(kinetics, role)
            value = phase.conductivity.get(carrier) if value is None else value
            if value is None and present[phase.label]:
                message = (
                    f"phase '{phase.name}' has no conductivity for the {carrier}; give it in the materials, "
                    f"such as conductivity: {{{carrier}: 0.1}} in S/m, or choose a regime"
                )
                raise InputError(message)
            table[phase.label] = value or 1.0
    return table


def _boundary(table: np.ndarray, active: np.ndarray, kinetics: Kinetics) -> np.ndarray | None:
    if kinetics.boundary_factor == 1:
        return None
    return np.where(active, kinetics.voxel_size / table * (1 / kinetics.boundary_factor - 1), 0.0)


def _unknowns(phases: Any, access: Access, labels: dict[str, tuple[int, ...]]) -> np.ndarray:
    """Return ION and ELECTRON where a voxel's component reaches the carrier's terminal, 0 elsewhere."""
    unknowns = np.zeros(phases.shape, np.uint8)
    for value, carrier in ((ION, "ion"), (ELECTRON, "electron")):
        bit = np.uint8(1 << (2 * CARRIERS.index(carrier)))
        unknowns[mask(labels[carrier])[phases] & ((access.volume & bit) > 0)] = value
    return unknowns


def _area_scales(regions: Any, spacing: Spacing) -> tuple[np.ndarray, np.ndarray]:
    """Return every pair of regions as lower · 2³² + higher, sorted, and Crofton area / area of the faces."""
    table = contacts(regions, spacing).table
    faces = table[["faces_z", "faces_y", "faces_x"]].to_numpy() @ (math.prod(spacing) / np.array(spacing))
    pairs = (table["source"].to_numpy().astype(np.int64) << 32) | table["target"].to_numpy()
    order = np.argsort(pairs, kind="stable")
    return pairs[order], (table["area"].to_numpy() / faces)[order]


def mask(labels: Sequence[int]) -> np.ndarray:
    """Return which of the 256 labels are among these."""
    chosen = np.zeros(256, bool)
    chosen[list(labels)] = True
    return chosen


def _mask_numbers(materials: Materials) -> np.ndarray:
    """Return the region 1, 2, … of every phase, where the phases themselves are the regions."""
    numbers = np.zeros(256, np.int32)
    numbers[list(materials.labels)] = np.arange(1, len(materials.labels) + 1)
    return numbers
