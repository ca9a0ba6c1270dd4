"""Local activity: which particles react how much, from a simulation on the very voxels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tripoint import _cpu, percolation
from tripoint.boundary import Access, contacts, junction_edges
from tripoint.boundary.regions import check_regions
from tripoint.distance import transform
from tripoint.errors import ConvergenceError, InputError
from tripoint.materials import CARRIERS, FACES, Materials
from tripoint.sample import Spacing, check_phases, check_spacing
from tripoint.transport.host import check_host
from tripoint.transport.kinetics import Kinetics

ION, ELECTRON = 1, 2

NEWTON_STEPS = 50
INNER = 1e-4
"""Residual to which the linear system of a Newton step is solved."""
SMALLEST = 1 / 64
"""Share of a Newton step that is taken even where it does not help."""


@dataclass(frozen=True)
class Activity:
    """Potentials, reaction currents and activity, with what the solver says of itself.

    Parameters
    ----------
    table : DataFrame
        A row per region of active material: ``region``, ``phase`` (label), ``volume`` (µm³),
        ``reaction_current`` (µA, from ions to electrons), ``activity`` and ``inactive_because`` (str, empty
        where it reacts): no interface, no electron path, no ion path, no gas path.
    ion_potential, electron_potential : (z, y, x) float32
        V; NaN outside the voxels that are connected to the carrier's terminal.
    current : float
        From terminal to terminal, µA.
    current_in, current_out, reaction : float
        Through the ion terminal, through the electron terminal, and the sum over all reacting faces, µA.
    imbalance : float
        Largest difference of these three, relative to the current.
    residual : float
        Of the last linear system, relative to its right-hand side.
    iterations : int
        Of conjugate gradients, in all Newton steps together.
    newton_steps : int
        0 for linear kinetics.
    """

    table: pd.DataFrame
    ion_potential: Any = field(repr=False)
    electron_potential: Any = field(repr=False)
    current: float
    current_in: float
    current_out: float
    reaction: float
    imbalance: float
    residual: float
    iterations: int
    newton_steps: int = 0

    def summary(self) -> dict[str, Any]:
        """Return the figures of ``summary.json``: particles, dead fraction, CV, reasons, balance."""
        values = self.table["activity"].to_numpy()
        reasons = self.table["inactive_because"]
        counts = reasons[reasons != ""].value_counts()
        mean = float(values.mean()) if len(values) else math.nan
        return {
            "particles": len(values),
            "dead_fraction": float((reasons != "").mean()) if len(values) else 0.0,
            "cv": float(values.std() / mean) if mean else None,
            "by_reason": {str(reason): int(n) for reason, n in sorted(counts.items())},
            "current": self.current,
            "current_balance": self.imbalance,
            "residual": self.residual,
            "iterations": self.iterations,
        }


def activity(
    phases: Any,
    materials: Materials,
    kinetics: Kinetics,
    spacing: Any = (1.0, 1.0, 1.0),
    regions: Any = None,
    *,
    voltage: float = 1.0,
    nonlinear: bool = False,
    tolerance: float = 1e-7,
    limit: int = 500,
) -> Activity:
    r"""Solve for the ionic and the electronic potential and the charge transfer between them.

    .. math:: \nabla\cdot\sigma_i\nabla\phi_i = j, \qquad \nabla\cdot\sigma_e\nabla\phi_e = -j, \qquad
              j = g \, (\phi_i - \phi_e)

    Steady and linear, by finite volumes: the ion terminal's outer face is held at ``voltage``, the electron
    terminal's at 0, nothing flows through the other faces. Each voxel is an unknown of the one carrier it
    conducts, so that both potentials make a single symmetric positive definite system. Between two voxels
    that react, half a voxel's resistance on either side is in series with the charge transfer.

    The activity of a particle is (its reaction current / its volume) / (total current / total volume of
    active material), dead particles included: 1 where all react alike.

    Parameters
    ----------
    phases : (z, y, x) uint8
    materials : Materials
        What conducts ions and electrons, which phase is active, and the terminals of both.
    kinetics : Kinetics
    spacing : (z, y, x)
        Voxel size, µm.
    regions : (z, y, x) int32, optional
        Particles, and the regions of other phases whose contacts are scaled each by its own Crofton area
        / face area; each phase as a whole by default.
    voltage : float
        Between the terminals, V; only scales the result unless ``nonlinear``.
    nonlinear : bool
        Butler–Volmer kinetics, ``j = 2 g V_T sinh((φ_i − φ_e) / 2 V_T)``, by Newton's method.
    tolerance : float
        Residual relative to the right-hand side, and imbalance of the currents.
    limit : int
        Iterations of conjugate gradients at most, per linear system.

    Returns
    -------
    Activity

    Raises
    ------
    InputError
        A phase that conducts ions and electrons at once, no active material, conductivities or terminals that
        are missing, a terminal that touches no conductor.
    ConvergenceError
        The residual is above the tolerance after ``limit`` iterations.
    DeviceError
        Phases on a GPU: there is no such solver there yet.

    Notes
    -----
    Components of a network without its terminal are left out before the system is made: their particles get
    exactly 0. Along junctions, an edge's conductance is shared among the faces of ion with electron
    conductors around it, the latter active material; the few edges where these only meet diagonally give
    theirs to all others. Memory
    beyond the input: about 100 bytes per voxel, 4 more without regions.
    """
    check_phases(phases)
    check_host(phases, "local activity")
    spacing = check_spacing(spacing)
    model = _Model(np.ascontiguousarray(phases), materials, kinetics, spacing, regions, voltage)
    thermal = kinetics.thermal_voltage if nonlinear else 0.0
    x, report = _newton(model, thermal, tolerance, limit) if nonlinear else _linear(model, tolerance, limit)
    return model.result(x, thermal, report)


class _Model:
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
        self.active = _mask([p.label for p in materials.phases if p.active])
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
        self.edges: dict[str, np.ndarray] | None = None
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
            far = transform(_mask(additive)[self.phases].view(np.uint8), self.spacing)
            far /= -np.float32(kinetics.enhancement_length)
            np.exp(far, out=far)
            far *= np.float32(kinetics.exchange * (1 - kinetics.enhancement_floor))
            far += np.float32(kinetics.exchange * kinetics.enhancement_floor)
            exchange = far
        _cpu.transport.reaction_faces(
            self.faces, self.phases, self.carrier, self.table, self.active, self.spacing, exchange,
            self.regions, pairs, scales,
        )  # fmt: skip

    def _react_on_edges(
        self, materials: Materials, kinetics: Kinetics, access: Access
    ) -> dict[str, np.ndarray]:
        """Spread the conductance of every active junction edge over the faces around it."""
        triples = [
            triple
            for triple in materials.junction_labels
            if _conducts(materials, triple, "ion") and _conducts(materials, triple, "electron")
        ]
        edges = junction_edges(self.phases, self.spacing, triples, access=access)
        first = np.ones(len(edges), bool)
        first[1:] = (np.diff(edges.index) != 0) | (np.diff(edges.axis) != 0)
        first = _best_record(first, edges.status)
        steps = np.array([self.guard, self.phases.shape[2], 1])
        rings = _rings(edges.index, edges.axis, steps)
        live = first & (edges.status == 2)
        lengths = float(edges.edge_length[live].sum(dtype=np.float64))
        reacting = np.where((self.carrier == ELECTRON) & ~self.active[self.phases], 0, self.carrier)
        axis, index, raw = _ring_faces(
            rings[live], edges.axis[live], reacting.reshape(-1), np.array(self.spacing)
        )
        if raw.size and lengths > 0:
            # Conductance per raw length so that the whole is exchange times the unbiased length.
            raw *= kinetics.exchange * lengths / raw.sum()
            key, where = np.unique(3 * index + axis, return_inverse=True)
            sums = np.bincount(where, raw)
            _cpu.transport.junction_faces(
                self.faces, self.phases, self.table, self.spacing, key % 3, key // 3, sums
            )
        return {"rings": rings, "status": edges.status}

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

    def result(self, x: np.ndarray, thermal: float, report: dict[str, Any]) -> Activity:
        """Sum what reacts per region and say why the others do not."""
        ions = _mask(self.labels["ion"])
        count = int(self.regions.max())
        current, voxels, reached, touching = _cpu.transport.reacting_regions(
            self.faces, self.phases, self.carrier, self.table, self.active, ions, self.spacing, x, thermal,
            self.regions, count,
        )  # fmt: skip
        owner = np.zeros(count + 1, np.int64)
        owner[self.regions.reshape(-1)] = self.phases.reshape(-1)
        gas = np.zeros(count + 1, bool)
        if self.edges is not None:
            touching, gas = self._edge_counts(count)
        mine = np.flatnonzero(self.active[owner] & (voxels > 0))
        mine = mine[mine > 0]
        reason = _reasons(current[mine], touching[mine], reached[mine], gas[mine])
        volume = voxels[mine] * math.prod(self.spacing)
        entering, leaving = self.currents(x)
        reacted = float(current.sum())
        whole = reacted / volume.sum() if volume.size else 0.0
        rate = np.divide(current[mine], volume)
        table = pd.DataFrame(
            {
                "region": mine.astype(np.int32),
                "phase": owner[mine].astype(np.uint8),
                "volume": volume,
                "reaction_current": current[mine],
                "activity": rate / whole if whole else np.zeros(len(mine)),
                "inactive_because": reason,
            }
        )
        spread = max(entering, leaving, reacted) - min(entering, leaving, reacted)
        potential = x[self.guard : -self.guard].reshape(self.phases.shape)
        return Activity(
            table=table,
            ion_potential=np.where(self.carrier == ION, potential, np.nan).astype(np.float32),
            electron_potential=np.where(self.carrier == ELECTRON, potential, np.nan).astype(np.float32),
            current=0.5 * (entering + leaving),
            current_in=entering,
            current_out=leaving,
            reaction=reacted,
            imbalance=spread / abs(entering) if entering else 0.0,
            **report,
        )

    def _edge_counts(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the junction edges at every region's active material, and where only the gas is missing."""
        assert self.edges is not None
        rings, status = self.edges["rings"], self.edges["status"]
        flat = self.phases.reshape(-1)[rings]
        held = self.carrier.reshape(-1)[rings]
        mine = self.active[flat]
        regions = self.regions.reshape(-1)[rings]
        touching = np.bincount(regions[mine], minlength=count + 1)
        both = (held == ION).any(axis=1) & (held == ELECTRON).any(axis=1) & (status != 2)
        gas = np.bincount(regions[both][mine[both]], minlength=count + 1) > 0
        return touching, gas


def _linear(model: _Model, tolerance: float, limit: int) -> tuple[np.ndarray, dict[str, Any]]:
    found = _cpu.transport.solve(
        model.faces, model.phases.shape, model.ends, model.values, model.source(),
        tolerance=tolerance, limit=limit, balance=model.balanced(tolerance),
    )  # fmt: skip
    if not found.balanced:
        raise ConvergenceError(_not_converged(found.residual, found.iterations, tolerance))
    return found.potential, {"residual": found.residual, "iterations": found.iterations}


def _newton(model: _Model, thermal: float, tolerance: float, limit: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Solve Butler-Volmer kinetics: linear systems about one potential after the other."""
    source, start = model.source(), float(np.linalg.norm(model.source()))
    tangent = model.faces.copy()
    test = model.balanced(tolerance)

    def residual_at(x: np.ndarray) -> np.ndarray:
        left: np.ndarray = _cpu.transport.butler_volmer_residual(
            model.faces, tangent, model.phases, model.carrier, model.table, model.spacing, x, thermal,
            model.ends, model.values, source,
        )  # fmt: skip
        return left

    x, residual = np.zeros_like(source), source.copy()
    norm, iterations = start, 0
    for step in range(1, NEWTON_STEPS + 1):
        found = _cpu.transport.solve(
            tangent, model.phases.shape, model.ends, model.values, residual.copy(),
            tolerance=INNER, limit=limit,
        )  # fmt: skip
        iterations += found.iterations
        if not found.balanced:
            raise ConvergenceError(_not_converged(found.residual, found.iterations, INNER))
        size = 1.0
        while True:
            trial = x + size * found.potential
            residual = residual_at(trial)
            ahead = float(np.linalg.norm(residual))
            if ahead < norm or size < SMALLEST:
                break
            size /= 2
        x, norm = trial, ahead
        if norm <= tolerance * start and test(x, residual):
            return x, {"residual": norm / start, "iterations": iterations, "newton_steps": step}
    raise ConvergenceError(_not_converged(norm / start, iterations, tolerance))


def _not_converged(residual: float, iterations: int, tolerance: float) -> str:
    return (
        f"the residual is {residual:.2g} of the start after {iterations} iterations, expected "
        f"{tolerance:.2g}; raise the limit or the tolerance, or check the ratio of the conductivities"
    )


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
        unknowns[_mask(labels[carrier])[phases] & ((access.volume & bit) > 0)] = value
    return unknowns


def _area_scales(regions: Any, spacing: Spacing) -> tuple[np.ndarray, np.ndarray]:
    """Return every pair of regions as lower · 2³² + higher, sorted, and Crofton area / area of the faces."""
    table = contacts(regions, spacing).table
    faces = table[["faces_z", "faces_y", "faces_x"]].to_numpy() @ (math.prod(spacing) / np.array(spacing))
    pairs = (table["source"].to_numpy().astype(np.int64) << 32) | table["target"].to_numpy()
    order = np.argsort(pairs, kind="stable")
    return pairs[order], (table["area"].to_numpy() / faces)[order]


def _rings(index: np.ndarray, axis: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the four voxels around every edge, in turn, (n, 4) int64."""
    others = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    a, b = steps[others[:, 0]], steps[others[:, 1]]
    return np.stack([index, index + a, index + a + b, index + b], axis=1)


def _ring_faces(
    rings: np.ndarray, axis: np.ndarray, carrier: np.ndarray, spacing: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the faces of ions with electrons around edges: axis, lower voxel, part of the length."""
    others = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    held = carrier[rings].astype(np.int64)
    # From each voxel of the ring to the next: along the first other axis, the second, and back.
    pairs = ((0, 1, 0), (1, 2, 1), (3, 2, 0), (0, 3, 1))
    reacts = np.stack([(held[:, i] * held[:, j]) == ION * ELECTRON for i, j, _ in pairs], axis=1)
    share = spacing[axis] / np.maximum(reacts.sum(axis=1), 1)
    edge, which = np.nonzero(reacts)
    lower = np.array([pair[0] for pair in pairs])[which]
    along = np.array([pair[2] for pair in pairs])[which]
    return others[edge, along], rings[edge, lower], share[edge]


def _best_record(first: np.ndarray, status: np.ndarray) -> np.ndarray:
    """Return one record per edge: the first among those of highest status."""
    group = np.cumsum(first) - 1
    best = np.zeros(group[-1] + 1 if len(group) else 0, np.uint8)
    np.maximum.at(best, group, status)
    candidates = np.flatnonzero(status == best[group])
    chosen = np.zeros(len(first), bool)
    chosen[candidates[np.unique(group[candidates], return_index=True)[1]]] = True
    return chosen


def _reasons(current: np.ndarray, touching: np.ndarray, reached: np.ndarray, gas: np.ndarray) -> np.ndarray:
    dead = current == 0
    reasons = [
        (dead & (touching == 0), "no interface"),
        (dead & (reached == 0), "no electron path"),
        (dead & gas, "no gas path"),
        (dead, "no ion path"),
    ]
    return np.select([r for r, _ in reasons], [name for _, name in reasons], "").astype(object)


def _conducts(materials: Materials, triple: Sequence[int], carrier: str) -> bool:
    return bool(set(triple) & set(materials.network(carrier)))


def _mask(labels: Sequence[int]) -> np.ndarray:
    mask = np.zeros(256, bool)
    mask[list(labels)] = True
    return mask


def _mask_numbers(materials: Materials) -> np.ndarray:
    """Return the region 1, 2, … of every phase, where the phases themselves are the regions."""
    numbers = np.zeros(256, np.int32)
    numbers[list(materials.labels)] = np.arange(1, len(materials.labels) + 1)
    return numbers
