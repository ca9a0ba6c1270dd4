"""Kirchhoff's equations, solved by sparse factorisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu


@dataclass(frozen=True)
class CircuitSolution:
    """Potentials of a circuit, and its factorised matrix for further right-hand sides."""

    potential: np.ndarray
    free: np.ndarray
    factors: Any

    @classmethod
    def of(
        cls,
        conductance: np.ndarray,
        source: np.ndarray,
        target: np.ndarray,
        fixed: np.ndarray,
        free: np.ndarray,
    ) -> CircuitSolution:
        """Solve Kirchhoff's equations by sparse factorisation.

        Parameters
        ----------
        conductance : (links,) float64
        source, target : (links,) int64
        fixed : (nodes,) float64
            Potential at which nodes are held that are not free.
        free : (nodes,) bool
            Each connected to a node that is held.
        """
        number = np.cumsum(free) - 1
        count = int(free.sum())
        diagonal = np.bincount(source, conductance, len(free)) + np.bincount(target, conductance, len(free))
        inner = free[source] & free[target]
        i, j, g = number[source[inner]], number[target[inner]], conductance[inner]
        own = np.arange(count)
        matrix = sparse.csc_matrix(
            (
                np.concatenate([diagonal[free], -g, -g]),
                (np.concatenate([own, i, j]), np.concatenate([own, j, i])),
            ),
            shape=(count, count),
        )
        flow = np.bincount(source, conductance * fixed[target] * ~free[target], len(free))
        flow += np.bincount(target, conductance * fixed[source] * ~free[source], len(free))
        factors = None
        potential = fixed.astype(np.float64)
        if count:
            # Symmetric and diagonally dominant: no pivoting, and an order for that.
            factors = splu(
                matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
            )
            potential[free] = factors.solve(flow[free])
        return cls(potential, free, factors)

    def adjoint(self, gradient: np.ndarray) -> np.ndarray:
        """Solve with the same matrix, which is symmetric, for the gradient of a number to the potentials."""
        solved = np.zeros(len(self.free))
        if self.factors is not None:
            solved[self.free] = self.factors.solve(np.asarray(gradient[self.free], np.float64))
        return solved
