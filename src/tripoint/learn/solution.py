"""Kirchhoff's equations of a circuit, solved once for its potentials and again for gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tripoint import _cpu
from tripoint.errors import ConvergenceError

DIRECT = 20_000
"""Nodes up to which the matrix is factorised; samples of a batch do not fill in one another."""

RESIDUAL = 1e-8


@dataclass(frozen=True)
class CircuitSolution:
    """Potentials of a circuit, and what solves its equations for further right-hand sides."""

    potential: np.ndarray
    free: np.ndarray
    answer: Callable[[np.ndarray], tuple[np.ndarray, int, float]] | None

    @classmethod
    def of(
        cls,
        conductance: np.ndarray,
        source: np.ndarray,
        target: np.ndarray,
        fixed: np.ndarray,
        free: np.ndarray,
        direct: int = DIRECT,
    ) -> CircuitSolution:
        """Solve Kirchhoff's equations, by factorisation or by conjugate gradients with multigrid.

        Parameters
        ----------
        conductance : (links,) float64
        source, target : (links,) int64
        fixed : (nodes,) float64
            Potential at which nodes are held that are not free.
        free : (nodes,) bool
            Each connected to a node that is held.
        direct : int
            Free nodes up to which the matrix is factorised.

        Raises
        ------
        ConvergenceError
            Conductances that are not finite, or too far apart for the solver.
        """
        if not np.isfinite(conductance).all():
            message = "conductances are not finite; where they are learned, train again with a lower rate"
            raise ConvergenceError(message)
        number = np.cumsum(free) - 1
        diagonal = np.bincount(source, conductance, len(free)) + np.bincount(target, conductance, len(free))
        inner = free[source] & free[target]
        ends = number[source[inner]], number[target[inner]]
        flow = np.bincount(source, conductance * fixed[target] * ~free[target], len(free))
        flow += np.bincount(target, conductance * fixed[source] * ~free[source], len(free))
        potential = fixed.astype(np.float64)
        if not free.any():
            return cls(potential, free, None)
        answer = _cpu.transport_network.prepare(*ends, conductance[inner], diagonal[free], direct)
        potential[free] = _checked(*answer(flow[free]))
        return cls(potential, free, answer)

    def adjoint(self, gradient: np.ndarray) -> np.ndarray:
        """Solve with the same matrix, which is symmetric, for the gradient of a number to the potentials."""
        solved = np.zeros(len(self.free))
        if self.answer is not None:
            solved[self.free] = _checked(*self.answer(np.asarray(gradient[self.free], np.float64)))
        return solved


def _checked(solution: Any, iterations: int, residual: float) -> np.ndarray:
    if not residual <= RESIDUAL:
        message = (
            f"the currents of the circuit did not converge in {iterations} iterations: relative residual "
            f"{residual:.1e}; look for conductances that are many orders of magnitude apart"
        )
        raise ConvergenceError(message)
    return np.asarray(solution)
