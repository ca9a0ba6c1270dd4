"""Tortuosity factors: how much worse a network conducts than straight channels of the same volume would."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from array_api_compat import is_cupy_array

from tripoint import _cpu, _cuda
from tripoint.errors import InputError
from tripoint.materials import AXES, Materials, Phase
from tripoint.sample import check_phases, check_spacing
from tripoint.sides import FACE_SLICES
from tripoint.tables import namespace, sums
from tripoint.transport.convergence import not_converged
from tripoint.transport.planes import places_on_face


@dataclass(frozen=True)
class Tortuosity:
    """How a network conducts along an axis.

    Parameters
    ----------
    axis : str
    factor : float
        τ = (Σ ε σ) / σ_eff over the network's phases, which is ε D / D_eff for one phase; infinite where the
        network does not span the volume.
    effective_conductivity : float
        In the unit of the conductivities; 0 where the network does not span.
    fraction : float
        The network's share ε of the volume, all of its voxels counted.
    effective_fraction : float
        The share that spans: the voxels in components that touch both ends.
    effective_factor : float
        τ of these voxels alone, with their share in place of ε: what porespy reports.
    spans : bool
    iterations : int
    residual : float
        Of the linear system, relative to its right-hand side.
    imbalance : float
        Difference of the currents in and out, relative to them.
    """

    axis: str
    factor: float
    effective_conductivity: float
    fraction: float
    effective_fraction: float
    effective_factor: float
    spans: bool
    iterations: int = 0
    residual: float = 0.0
    imbalance: float = 0.0


def tortuosity(
    phases: Any,
    conductors: int | Sequence[int] | Mapping[int, float],
    axis: str | int = "z",
    spacing: Any = (1.0, 1.0, 1.0),
    *,
    plane: Literal["face", "centre"] = "face",
    tolerance: float = 1e-6,
    limit: int = 500,
) -> Tortuosity:
    r"""Solve Laplace's equation in a network and return its tortuosity factor along an axis.

    .. math:: \tau = \frac{\sum_k \varepsilon_k \sigma_k}{\sigma_\mathrm{eff}}, \qquad
              \sigma_\mathrm{eff} = \frac{I \, L}{A \, \Delta\phi}

    by finite volumes on the voxels, with harmonic means at faces, a fixed potential at both ends of the axis
    and no flux through the sides.

    Parameters
    ----------
    phases : (z, y, x) uint8
    conductors : int, sequence of int, or mapping of int to float
        The label that conducts, several that do alike, or the conductivity of each, S/m.
    axis : {"z", "y", "x"} or 0, 1, 2
    spacing : (z, y, x)
        Voxel size, µm.
    plane : {"face", "centre"}
        Where the potential is fixed: on the volume's outer faces, half a voxel outside the first and last
        centres, as TauFactor does, so that L is n voxels; or in the centres of the first and last voxels, as
        ``porespy.simulations.tortuosity_fd`` does, so that L is n − 1 voxels. They differ by O(1/n).
    tolerance : float
        Residual relative to the right-hand side, and difference of the currents in and out relative to them.
    limit : int
        Iterations at most.

    Returns
    -------
    Tortuosity
        With ``spans`` False, factor infinite and nothing solved where no component touches both ends.

    Raises
    ------
    InputError
        Labels that are absent, conductivities that are not positive, fewer than three planes along the axis.
    ConvergenceError
        The residual is above the tolerance after ``limit`` iterations.

    Notes
    -----
    Conjugate gradients, preconditioned by an aggregation multigrid; some 15 to 30 iterations at any size.
    Memory beyond the phases: at most 100 bytes per voxel. Definition as in Cooper et al., *SoftwareX* 5
    (2016) 203-210.
    """
    check_phases(phases)
    spacing = check_spacing(spacing)
    number = _axis(axis, phases.shape)
    table = conductivities(phases, conductors)
    if plane not in ("face", "centre"):
        message = f"plane is {plane!r}; expected 'face' or 'centre'"
        raise InputError(message)
    xp, side = namespace(phases), _side(phases)
    phases = xp.ascontiguousarray(phases)
    counts = side.boundary.label_counts(phases)
    fraction = float(counts[table > 0].sum()) / phases.size
    mean = float(table @ counts) / phases.size
    carrier = side.transport.spanning(xp.asarray(table > 0)[phases], number)
    carrier = xp.ascontiguousarray(carrier).view(np.uint8)
    counts = _counts_within(phases, carrier, np.flatnonzero(table))
    effective = float(counts.sum()) / phases.size
    if effective == 0:
        return Tortuosity(AXES[number], math.inf, 0.0, fraction, 0.0, math.inf, spans=False)
    spanning_mean = float(table @ counts) / phases.size
    found, conductance, imbalance = _conduct(phases, carrier, table, spacing, number, plane, tolerance, limit)
    planes = phases.shape[number] - (plane == "centre")
    area = math.prod(spacing) / spacing[number] * phases.size / phases.shape[number]
    conductivity = conductance * planes * spacing[number] / area
    return Tortuosity(
        axis=AXES[number],
        factor=mean / conductivity,
        effective_conductivity=conductivity,
        fraction=fraction,
        effective_fraction=effective,
        effective_factor=spanning_mean / conductivity,
        spans=True,
        iterations=found.iterations,
        residual=found.residual,
        imbalance=imbalance,
    )


def tortuosities(
    phases: Any,
    materials: Materials,
    spacing: Any = (1.0, 1.0, 1.0),
    *,
    axes: Sequence[str] = AXES,
    tolerance: float = 1e-6,
    limit: int = 500,
) -> dict[str, dict[str, Tortuosity]]:
    """Return the tortuosity factors of every phase that conducts and of every carrier's network.

    Parameters
    ----------
    phases : (z, y, x) uint8
    materials : Materials
        A carrier's network of several phases is solved with their conductivities, where all of them are
        given; that of one phase is the phase, times its conductivity.
    spacing : (z, y, x)
        Voxel size, µm.
    axes : sequence of str
    tolerance : float
    limit : int
        As for :func:`tortuosity`.

    Returns
    -------
    dict of name to dict of axis to Tortuosity
        By the phase's name, and by the carrier's. Labels that are absent are left out.
    """
    present = _side(phases).boundary.labels_present(phases)
    networks: dict[str, Any] = {
        phase.name: phase.label for phase in materials.phases if phase.conducts and phase.label in present
    }
    alone: dict[str, Phase] = {}
    for carrier in materials.carriers:
        members = [p for p in materials.phases if carrier in p.conducts and p.label in present]
        if len(members) == 1:
            alone[carrier] = members[0]
        elif members and all(carrier in phase.conductivity for phase in members):
            networks[carrier] = {phase.label: phase.conductivity[carrier] for phase in members}
    found = {
        name: {
            axis: tortuosity(phases, conductors, axis, spacing, tolerance=tolerance, limit=limit)
            for axis in axes
        }
        for name, conductors in networks.items()
    }
    for carrier, phase in alone.items():  # it is solved already, at a conductivity of 1
        conductivity = phase.conductivity.get(carrier, 1.0)
        found[carrier] = {
            axis: replace(one, effective_conductivity=one.effective_conductivity * conductivity)
            for axis, one in found[phase.name].items()
        }
    return found


def conductivities(phases: Any, conductors: Any) -> np.ndarray:
    """Return the conductivity of every label, 0 where it does not conduct, (256,) float64."""
    if isinstance(conductors, int | np.integer):
        conductors = (int(conductors),)
    values = dict(conductors) if isinstance(conductors, Mapping) else dict.fromkeys(conductors, 1.0)
    present = _side(phases).boundary.labels_present(phases)
    table = np.zeros(256)
    for label, value in values.items():
        if label not in present:
            message = f"label {label!r} is not in the volume; its labels are {list(present)}"
            raise InputError(message)
        if not (isinstance(value, int | float | np.number) and 0 < value < math.inf):
            message = f"label {label} has the conductivity {value!r}; expected a positive number in S/m"
            raise InputError(message)
        table[label] = value
    if not values:
        message = "no conductor is given; give a label of the volume, or conductivities such as {1: 0.1}"
        raise InputError(message)
    return table


def _axis(axis: str | int, shape: Sequence[int]) -> int:
    number = AXES.index(axis) if axis in AXES else axis
    if number not in (0, 1, 2):
        message = f"axis is {axis!r}; expected one of z, y, x"
        raise InputError(message)
    if shape[int(number)] < 3:
        message = (
            f"the volume is {shape[int(number)]} voxels long along {AXES[int(number)]}; expected 3 or more"
        )
        raise InputError(message)
    return int(number)


def _conduct(
    phases: Any, carrier: Any, table: Any, spacing: Any, axis: int, plane: str, tolerance: float, limit: int
) -> tuple[Any, float, float]:
    """Return the solution, the conductance from end to end (S·µm/m), and the imbalance of its currents."""
    xp = namespace(phases)
    resistivity = xp.asarray(np.where(table > 0, 1 / np.where(table > 0, table, 1), 0.0))
    faces = FACE_SLICES[2 * axis], FACE_SLICES[2 * axis + 1]
    outer = [(resistivity[phases[face]], carrier[face] > 0) for face in faces]
    if plane == "centre":
        # The outermost planes are at the potential of the terminals: what is solved lies between them.
        inner = tuple(slice(1, -1) if k == axis else slice(None) for k in range(3))
        phases, carrier = xp.ascontiguousarray(phases[inner]), xp.ascontiguousarray(carrier[inner])
    area, length = math.prod(spacing) / spacing[axis], spacing[axis]
    index, values = [], []
    for last, (face, (beyond, conducting)) in enumerate(zip(faces, outer, strict=True)):
        touching = (carrier[face] > 0) & conducting
        here = resistivity[phases[face]]
        resistance = 0.5 * length * (here if plane == "face" else here + beyond)
        index.append(places_on_face(phases, axis, bool(last))[touching])
        values.append(area / resistance[touching])
    return _solve_between(phases, carrier, table, spacing, index, values, tolerance, limit)


def _solve_between(
    phases: Any,
    carrier: Any,
    table: Any,
    spacing: Any,
    index: list[Any],
    values: list[Any],
    tolerance: float,
    limit: int,
) -> tuple[Any, float, float]:
    xp, side = namespace(phases), _side(phases)
    guard = phases.shape[1] * phases.shape[2]
    entry, leave = (places + guard for places in index)
    source = xp.zeros(phases.size + 2 * guard, dtype=xp.float64)
    source[entry] = values[0]
    currents = [0.0, 0.0]

    def balanced(x: Any, _: Any) -> bool:
        currents[0] = float((values[0] * (1 - x[entry])).sum())
        currents[1] = float((values[1] * x[leave]).sum())
        return abs(currents[0] - currents[1]) <= tolerance * abs(currents[0])

    faces = side.transport.conduction_faces(phases, carrier, table, spacing)
    # Of a single plane between the terminals, a voxel has both.
    ends, where = xp.unique(xp.concat([entry, leave]), return_inverse=True)
    conductances = sums(where, xp.concat(values), len(ends))
    found = side.transport.solve(
        faces, phases.shape, ends, conductances, source, tolerance=tolerance, limit=limit, balance=balanced
    )
    if not found.balanced:
        raise not_converged(found.residual, found.iterations, tolerance)
    mean = 0.5 * (currents[0] + currents[1])
    return found, mean, abs(currents[0] - currents[1]) / mean


def _counts_within(phases: Any, carrier: Any, labels: Any) -> np.ndarray:
    """Return how many voxels of each label are unknowns, (256,) int64, on the host."""
    counts = np.zeros(256, np.int64)
    for label in labels.tolist():
        counts[label] = int(((phases == label) & (carrier > 0)).sum())
    return counts


def _side(phases: Any) -> Any:
    return _cuda if is_cupy_array(phases) else _cpu
