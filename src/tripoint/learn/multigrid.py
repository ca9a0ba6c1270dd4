"""Kirchhoff's equations by conjugate gradients with multigrid, in PyTorch: wherever the conductances live."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tripoint.learn.solution import RESIDUAL, not_converged, not_finite

COARSEST = 300
"""Nodes of the level whose matrix is factorised."""

LIMIT = 1000
TOLERANCE = 1e-12
DAMPING = 0.7


@dataclass(frozen=True)
class Level:
    """A circuit, of which every node is linked to held potentials by ``outer``.

    Parameters
    ----------
    source, target : (links,) int64
    conductance : (links,)
        Positive.
    outer : (nodes,)
    diagonal : (nodes,)
        Of the matrix: sum of the conductances of each node.
    parent : (nodes,) int64
        Node of the next level, none of which is for the last one.
    """

    source: torch.Tensor
    target: torch.Tensor
    conductance: torch.Tensor
    outer: torch.Tensor
    diagonal: torch.Tensor
    parent: torch.Tensor | None

    @classmethod
    def of(
        cls, source: torch.Tensor, target: torch.Tensor, conductance: torch.Tensor, outer: torch.Tensor
    ) -> Level:
        """Find the diagonal, and which nodes become one on the next level."""
        diagonal = outer.index_add(0, source, conductance).index_add(0, target, conductance)
        last = len(outer) <= COARSEST or not len(source)
        parent = None if last else _trees(source, target, conductance, diagonal)
        return cls(source, target, conductance, outer, diagonal, parent)

    def coarser(self) -> Level:
        """Return the circuit in which all nodes of a parent have one potential; their links add up."""
        assert self.parent is not None
        count = int(self.parent.max()) + 1
        outer = self.outer.new_zeros(count).index_add(0, self.parent, self.outer)
        ends = torch.stack([self.parent[self.source], self.parent[self.target]]).sort(dim=0).values
        apart = ends[0] != ends[1]
        pairs, number = torch.unique(ends[0, apart] * count + ends[1, apart], return_inverse=True)
        conductance = outer.new_zeros(len(pairs)).index_add(0, number, self.conductance[apart])
        return Level.of(pairs // count, pairs % count, conductance, outer)

    def matvec(self, potential: torch.Tensor) -> torch.Tensor:
        """Return the current that leaves every node."""
        flow = self.conductance * (potential[self.source] - potential[self.target])
        leaving = (self.outer * potential).index_add(0, self.source, flow)
        return leaving.index_add(0, self.target, flow, alpha=-1)

    def factorised(self) -> torch.Tensor:
        """Return the Cholesky factor of the matrix."""
        matrix = torch.diag(self.diagonal)
        for ends in ((self.source, self.target), (self.target, self.source)):
            matrix = matrix.index_put(ends, -self.conductance, accumulate=True)
        return torch.linalg.cholesky(matrix)


@dataclass(frozen=True)
class IteratedSolution:
    """Potentials of a circuit, and what solves its equations for further right-hand sides.

    Tensors stay on their device; samples of a batch are solved together.
    """

    potential: torch.Tensor
    nodes: torch.Tensor
    levels: list[Level]
    factor: torch.Tensor | None

    @classmethod
    def of(
        cls,
        conductance: torch.Tensor,
        link_index: torch.Tensor,
        fixed: torch.Tensor,
        free: torch.Tensor,
        order: torch.Tensor | None = None,
    ) -> IteratedSolution:
        """Solve Kirchhoff's equations, as `solution.CircuitSolution.of` does by elimination.

        Parameters
        ----------
        conductance : (links,) float64
        link_index : (2, links) int64
        fixed : (nodes,) float64
            Potential at which nodes are held that are not free.
        free : (nodes,) bool
            Each connected to a node that is held.
        order : (free nodes,) int64, optional
            Not needed here.

        Raises
        ------
        ConvergenceError
            Conductances that are not finite, or too far apart for the solver.

        Notes
        -----
        Conjugate gradients, preconditioned by a V-cycle whose levels join every node with the neighbour that
        it is linked to most strongly: trees of Borůvka's algorithm, each at one potential. So a cluster of
        good conductors is one node soon, and contrasts of conductivities cost few iterations. Some 150 bytes
        per link.
        """
        if not bool(torch.isfinite(conductance).all()):
            raise not_finite()
        source, target = link_index
        held = torch.where(free, 0.0, fixed.to(conductance))
        outer, flow = torch.zeros_like(held), torch.zeros_like(held)
        for end, other in ((source, target), (target, source)):
            outer = outer.index_add(0, end, conductance * ~free[other])
            flow = flow.index_add(0, end, conductance * held[other])
        nodes = torch.nonzero(free).squeeze(-1)
        number = torch.cumsum(free, 0) - 1
        inner = free[source] & free[target] & (source != target) & (conductance > 0)
        levels = [Level.of(number[source[inner]], number[target[inner]], conductance[inner], outer[nodes])]
        while levels[-1].parent is not None:
            levels.append(levels[-1].coarser())
        factor = levels[-1].factorised() if len(levels[-1].source) else None
        solution = cls(held, nodes, levels, factor)
        return cls(held.index_copy(0, nodes, solution._solved(flow[nodes])), nodes, levels, factor)

    def adjoint(self, gradient: torch.Tensor) -> torch.Tensor:
        """Solve with the same matrix, which is symmetric, for the gradient of a number to the potentials."""
        solved = self._solved(gradient[self.nodes].to(self.potential))
        return torch.zeros_like(self.potential).index_copy(0, self.nodes, solved)

    def _solved(self, right: torch.Tensor) -> torch.Tensor:
        solution, iterations, residual = self._iterated(right)
        if not residual <= RESIDUAL:
            raise not_converged(iterations, residual)
        return solution

    def _iterated(self, right: torch.Tensor) -> tuple[torch.Tensor, int, float]:
        """Return the solution, the iterations and the relative residual, scaled by the diagonal."""
        finest = self.levels[0]
        whole = float((right * right / finest.diagonal).sum())
        solution, left = torch.zeros_like(right), right
        if not whole:
            return solution, 0, 0.0
        step = better = self._cycle(0, left)
        size = left @ better
        iterations = 0
        while iterations < LIMIT:
            iterations += 1
            change = finest.matvec(step)
            length = size / (step @ change)
            solution = solution + length * step
            left = left - length * change
            if not float((left * left / finest.diagonal).sum()) > TOLERANCE**2 * whole:
                break
            better = self._cycle(0, left)
            before, size = size, left @ better
            step = better + size / before * step
        left = right - finest.matvec(solution)
        return solution, iterations, (float((left * left / finest.diagonal).sum()) / whole) ** 0.5

    def _cycle(self, depth: int, right: torch.Tensor) -> torch.Tensor:
        """Return an approximate solution: damped Jacobi before and after the correction of the next level."""
        level = self.levels[depth]
        if level.parent is None:
            if self.factor is None:
                return right / level.diagonal
            return torch.cholesky_solve(right[:, None], self.factor)[:, 0]
        solution = DAMPING * right / level.diagonal
        coarse = right.new_zeros(len(self.levels[depth + 1].outer))
        coarse = coarse.index_add(0, level.parent, right - level.matvec(solution))
        solution = solution + self._cycle(depth + 1, coarse)[level.parent]
        return solution + DAMPING * (right - level.matvec(solution)) / level.diagonal


def _trees(
    source: torch.Tensor, target: torch.Tensor, conductance: torch.Tensor, diagonal: torch.Tensor
) -> torch.Tensor:
    """Join every node with its strongest neighbour, and number the trees that this makes."""
    count = len(diagonal)
    here, there = torch.cat([source, target]), torch.cat([target, source])
    strength = torch.cat([conductance, conductance]) / torch.sqrt(diagonal[here] * diagonal[there])
    best = torch.zeros_like(diagonal).scatter_reduce(0, here, strength, "amax")
    strongest = strength == best[here]
    itself = torch.arange(count, device=diagonal.device)
    # Of equally strong ones the first: ties cannot make a ring then.
    chosen = torch.full_like(itself, count)
    chosen = chosen.scatter_reduce(0, here[strongest], there[strongest], "amin")
    root = torch.where(chosen == count, itself, chosen)
    root = torch.where((root[root] == itself) & (itself < root), itself, root)
    while not torch.equal(root[root], root):
        root = root[root]
    return torch.unique(root, return_inverse=True)[1]
