"""Kirchhoff's equations of a circuit, solved once for its potentials and again for gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tripoint import _cpu
from tripoint.errors import ConvergenceError

WORK = 2e10
"""Multiplications up to which the matrix is factorised, some 20 s; circuits of 80,000 regions take 2e8."""

RESIDUAL = 1e-8

Answer = Callable[[np.ndarray], tuple[np.ndarray, int, float]]


@dataclass(frozen=True)
class CircuitSolution:
    """Potentials of a circuit, and what solves its equations for further right-hand sides."""

    potential: np.ndarray
    order: np.ndarray
    answer: Answer

    @classmethod
    def of(
        cls,
        conductance: np.ndarray,
        source: np.ndarray,
        target: np.ndarray,
        fixed: np.ndarray,
        free: np.ndarray,
        *,
        order: np.ndarray | None = None,
        work: float = WORK,
    ) -> CircuitSolution:
        """Solve Kirchhoff's equations, by elimination or by conjugate gradients with multigrid.

        Parameters
        ----------
        conductance : (links,) float64
        source, target : (links,) int64
        fixed : (nodes,) float64
            Potential at which nodes are held that are not free.
        free : (nodes,) bool
            Each connected to a node that is held.
        order : (free nodes,) int64, optional
            Of `elimination_order`, which is then not looked for again. Any order gives the same potentials.
        work : float
            Multiplications up to which the matrix is factorised.

        Raises
        ------
        ConvergenceError
            Conductances that are not finite, or too far apart for the solver.
        """
        if not np.isfinite(conductance).all():
            raise not_finite()
        if order is None or not _covers(order, free):
            order = elimination_order(source, target, free)
        place = np.full(len(free), -1)
        place[order] = np.arange(len(order))
        kept = source != target
        conductance, ends = conductance[kept], np.stack([source[kept], target[kept]])
        held = np.where(free, 0, fixed)
        diagonal, flow = np.zeros(len(free)), np.zeros(len(free))
        for end, other in (ends, ends[::-1]):
            diagonal += np.bincount(end, conductance, len(free))
            flow += np.bincount(end, conductance * held[other], len(free))
        inner = free[ends].all(axis=0)
        answer = _prepared(place[ends[:, inner]], conductance[inner], diagonal[order], work)
        potential = fixed.astype(np.float64)
        potential[order] = _checked(*answer(flow[order]))
        return cls(potential, order, answer)

    def adjoint(self, gradient: np.ndarray) -> np.ndarray:
        """Solve with the same matrix, which is symmetric, for the gradient of a number to the potentials."""
        solved = np.zeros(len(self.potential))
        solved[self.order] = _checked(*self.answer(np.asarray(gradient[self.order], np.float64)))
        return solved


def elimination_order(source: np.ndarray, target: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return in which order the free nodes of a circuit are best eliminated, whatever the conductances.

    Parameters
    ----------
    source, target : (links,) int64
    free : (nodes,) bool

    Returns
    -------
    (free nodes,) int64
        Orders of several circuits one after the other are an order of all together.
    """
    nodes = np.flatnonzero(free)
    number = np.cumsum(free) - 1
    inner = free[source] & free[target] & (source != target)
    return nodes[_cpu.solution.elimination_order(number[source[inner]], number[target[inner]], len(nodes))]


def _prepared(ends: np.ndarray, conductance: np.ndarray, diagonal: np.ndarray, work: float) -> Answer:
    """Factorise a system, or make its multigrid where that would be too much work."""
    first, row, value = _cpu.solution.columns(*ends, conductance, len(diagonal))
    parent, start, needed = _cpu.solution.fill(first, row)
    if needed > work:
        return _cpu.transport_network.prepare(*ends, conductance, diagonal, 0)
    factors = _cpu.solution.factorise(first, row, value, diagonal, parent, start)

    def answer(right: np.ndarray) -> tuple[np.ndarray, int, float]:
        solution = _cpu.solution.solve(start, *factors, right)
        residual = _cpu.solution.residual(first, row, value, diagonal, solution, right)
        return solution, 0, float(residual)

    return answer


def _covers(order: np.ndarray, free: np.ndarray) -> bool:
    """Return whether an order names every free node once."""
    times = np.bincount(order, minlength=len(free)) if len(order) else np.zeros(len(free))
    return bool(np.array_equal(times, free))


def not_finite() -> ConvergenceError:
    """Return the error of conductances that are no numbers."""
    return ConvergenceError(
        "conductances are not finite; where they are learned, train again with a lower rate"
    )


def not_converged(iterations: int, residual: float) -> ConvergenceError:
    """Return the error of a residual above `RESIDUAL`."""
    return ConvergenceError(
        f"the currents of the circuit did not converge in {iterations} iterations: relative residual "
        f"{residual:.1e}; look for conductances that are many orders of magnitude apart"
    )


def _checked(solution: Any, iterations: int, residual: float) -> np.ndarray:
    if not residual <= RESIDUAL:
        raise not_converged(iterations, residual)
    return np.asarray(solution)
