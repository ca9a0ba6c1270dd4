"""Local activity: which particles react how much, from a simulation on the very voxels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tripoint.materials import Materials
from tripoint.sample import check_phases, check_spacing
from tripoint.tables import namespace, on_host
from tripoint.transport.convergence import check_balance, not_converged
from tripoint.transport.kinetics import Kinetics
from tripoint.transport.model import ELECTRON, ION, Model, mask

NO_INTERFACE, NO_JUNCTION = "no interface", "no triple-phase boundary"
NO_ELECTRONS, NO_GAS, NO_IONS = "no electron path", "no gas path", "no ion path"
REASONS = (NO_INTERFACE, NO_JUNCTION, NO_ELECTRONS, NO_GAS, NO_IONS)
"""Why a particle does not react."""

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
        Of pandas, wherever the phases live. A row per region of active material: ``region``, ``phase``
        (label), ``volume`` (µm³), ``reaction_current`` (µA, from ions to electrons), ``activity`` and
        ``inactive_because`` (str, one of `REASONS`, empty where it reacts).
    ion_potential, electron_potential : (z, y, x) float32
        V; NaN outside the voxels that are connected to the carrier's terminal. Where the phases live.
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
        are missing, a terminal that touches no conductor, regions that are not where the phases are.
    ConvergenceError
        The residual is above the tolerance after ``limit`` iterations, or currents differ by more than 1e-6
        and ten times the tolerance.

    Notes
    -----
    Components of a network without its terminal are left out before the system is made: their particles get
    exactly 0. Along junctions, an edge's conductance is shared among the faces of ion with electron
    conductors around it, the latter active material; the few edges where these only meet diagonally give
    theirs to all others. Where nothing can react nothing is solved: potentials are those of the terminals,
    currents 0.

    Memory beyond the input: about 100 bytes per voxel, 4 more without regions, 44 more where ``nonlinear``.
    """
    check_phases(phases)
    spacing = check_spacing(spacing)
    contiguous = namespace(phases).ascontiguousarray(phases)
    model = Model(contiguous, materials, kinetics, spacing, regions, voltage)
    thermal = kinetics.thermal_voltage if nonlinear else 0.0
    if not model.reacts():
        return _result(model, model.at_rest(), thermal, {"residual": 0.0, "iterations": 0})
    x, report = _newton(model, thermal, tolerance, limit) if nonlinear else _linear(model, tolerance, limit)
    found = _result(model, x, thermal, report)
    check_balance(found.imbalance, tolerance)
    return found


def _linear(model: Model, tolerance: float, limit: int) -> tuple[Any, dict[str, Any]]:
    found = model.side.transport.solve(
        model.faces, model.phases.shape, model.ends, model.values, model.source(),
        tolerance=tolerance, limit=limit, balance=model.balanced(tolerance),
    )  # fmt: skip
    if not found.balanced:
        raise not_converged(found.residual, found.iterations, tolerance)
    return found.potential, {"residual": found.residual, "iterations": found.iterations}


def _newton(model: Model, thermal: float, tolerance: float, limit: int) -> tuple[Any, dict[str, Any]]:
    """Solve Butler-Volmer kinetics: linear systems about one potential after the other."""
    norm_of = model.xp.linalg.norm
    source = model.source()
    start = float(norm_of(source))
    tangent = model.faces.copy()
    test = model.balanced(tolerance)

    def residual_at(x: Any) -> Any:
        return model.side.transport.butler_volmer_residual(
            model.faces, tangent, model.phases, model.carrier, model.table, model.spacing, x, thermal,
            model.ends, model.values, source,
        )  # fmt: skip

    x, residual = model.xp.zeros_like(source), source.copy()
    norm, iterations = start, 0
    for step in range(1, NEWTON_STEPS + 1):
        found = model.side.transport.solve(
            tangent, model.phases.shape, model.ends, model.values, residual.copy(),
            tolerance=INNER, limit=limit,
        )  # fmt: skip
        iterations += found.iterations
        if not found.balanced:
            raise not_converged(found.residual, found.iterations, INNER)
        size = 1.0
        while True:
            trial = x + size * found.potential
            residual = residual_at(trial)
            ahead = float(norm_of(residual))
            if ahead < norm or size < SMALLEST:
                break
            size /= 2
        x, norm = trial, ahead
        if norm <= tolerance * start and test(x, residual):
            return x, {"residual": norm / start, "iterations": iterations, "newton_steps": step}
    raise not_converged(norm / start, iterations, tolerance)


def _result(model: Model, x: Any, thermal: float, report: dict[str, Any]) -> Activity:
    """Sum what reacts per region and say why the others do not."""
    ions = mask(model.labels["ion"])
    count = int(model.regions.max())
    sums = model.side.transport.reacting_regions(
        model.faces, model.phases, model.carrier, model.table, model.active, ions, model.spacing, x, thermal,
        model.regions, count,
    )  # fmt: skip
    current, voxels, reached, touching = map(on_host, sums)
    owner = _active_label(model, count)
    gas = np.zeros(count + 1, bool)
    if model.edges is not None:
        touching, gas = map(on_host, model.edge_counts(count))
    mine = np.flatnonzero(owner >= 0)
    mine = mine[mine > 0]
    lacks = NO_INTERFACE if model.edges is None else NO_JUNCTION
    reason = _reasons(current[mine], touching[mine], reached[mine], gas[mine], lacks)
    volume = voxels[mine] * math.prod(model.spacing)
    entering, leaving = model.currents(x)
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
    potential = x[model.guard : -model.guard].reshape(model.phases.shape).astype(np.float32)
    nowhere = np.float32(np.nan)
    return Activity(
        table=table,
        ion_potential=model.xp.where(model.carrier == ION, potential, nowhere),
        electron_potential=model.xp.where(model.carrier == ELECTRON, potential, nowhere),
        current=0.5 * (entering + leaving),
        current_in=entering,
        current_out=leaving,
        reaction=reacted,
        imbalance=spread / abs(entering) if entering else 0.0,
        **report,
    )


def _active_label(model: Model, count: int) -> np.ndarray:
    """Return the label of every region of active material, −1 for all others, on the host."""
    owner = np.full(count + 1, -1)
    for label in np.flatnonzero(model.active).tolist():
        regions = model.regions[model.phases == label]
        owner[on_host(model.xp.bincount(regions, minlength=count + 1)) > 0] = label
    return owner


def _reasons(
    current: np.ndarray, touching: np.ndarray, reached: np.ndarray, gas: np.ndarray, lacks: str
) -> np.ndarray:
    dead = current == 0
    reasons = [
        (dead & (touching == 0), lacks),
        (dead & (reached == 0), NO_ELECTRONS),
        (dead & gas, NO_GAS),
        (dead, NO_IONS),
    ]
    return np.select([r for r, _ in reasons], [name for _, name in reasons], "").astype(object)
