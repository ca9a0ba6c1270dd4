"""How much of each reference a spectrum holds: least squares for many spectra at once.

The normal equations of a few references are small, and the same for all voxels. With weights that may not be
negative, the solution is that of the references which it uses; for k references there are 2ᵏ − 1 such
supports, and each one's solution is a matrix applied to Aᵀy. So all voxels are solved by one matrix product
per support, and a voxel is done at the first support whose solution fulfils the conditions of Karush, Kuhn
and Tucker.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from tripoint.errors import InputError

#: 4095 supports; beyond that a fit of an energy stack is not determined anyway.
MOST = 12
#: Largest condition number of the references' matrix.
ALIKE = 1e6


class Mixture:
    """Least-squares weights of references, ready for many spectra.

        minimise |A w − y|²   with w ≥ 0 (non-negative) and Σ w = 1 (sum-to-one), where they are asked for

    Parameters
    ----------
    references : (e, k) float
        A, a column per reference.
    nonnegative, sum_to_one : bool
    names : sequence of str, optional
        Of the references, for messages.

    Raises
    ------
    InputError
        More references than energies or than 12, or references that are alike.
    """

    def __init__(
        self,
        references: np.ndarray,
        *,
        nonnegative: bool = True,
        sum_to_one: bool = False,
        names: Any = None,
    ) -> None:
        energies, k = references.shape
        if k > min(energies, MOST):
            message = (
                f"{k} references cannot be told apart by {energies} energies, or are more than {MOST}; "
                "choose those that can be in the sample"
            )
            raise InputError(message)
        _check_different(references, names or [str(n) for n in range(k)])
        self.references = references
        self.nonnegative, self.sum_to_one = nonnegative, sum_to_one
        self.gram = references.T @ references
        self.supports = _supports(k, nonnegative, sum_to_one)
        solved = [_solution(self.gram, support, sum_to_one) for support in self.supports]
        self.matrices = np.stack([matrix for matrix, _ in solved])
        self.offsets = np.stack([offset for _, offset in solved])

    def solve(self, xp: Any, spectra: Any) -> tuple[Any, Any, Any]:
        """Return weights, which support they use, and the sum of squared residuals.

        Parameters
        ----------
        xp : module
        spectra : (e, n) float64
            Finite.

        Returns
        -------
        weights : (k, n) float64
        support : (n,) int64
            Index into ``supports``.
        squares : (n,) float64
            |A w − y|², of the residuals themselves.
        """
        references, gram = xp.asarray(self.references), xp.asarray(self.gram)
        products = xp.dot(references.T, spectra)
        matrices, offsets = xp.asarray(self.matrices), xp.asarray(self.offsets)
        weights = xp.dot(matrices[0], products) + offsets[0][:, None]
        support = xp.zeros(spectra.shape[1], dtype=xp.int64)
        if len(self.supports) > 1:
            self._constrain(xp, gram, products, weights, support)
        # |y|² − 2 wᵀAᵀy + wᵀGw: a product of the references' size less, and exact to 1e-8 of |y|.
        fitted = (weights * (2 * products - xp.dot(gram, weights))).sum(axis=0)
        return weights, support, xp.maximum((spectra * spectra).sum(axis=0) - fitted, 0.0)

    def _constrain(self, xp: Any, gram: Any, products: Any, weights: Any, support: Any) -> None:
        """Replace solutions with negative weights by the best one without, in place.

        The best so far is kept by its objective, so that rounding cannot leave a voxel without a solution.
        """
        matrices, offsets = xp.asarray(self.matrices), xp.asarray(self.offsets)
        todo = xp.flatnonzero((weights < 0).any(axis=0))
        if not len(todo):
            return
        left = products[:, todo]
        best = xp.full(len(todo), xp.inf)
        done = xp.zeros(len(todo), dtype=bool)
        for number, used in enumerate(self.supports):
            w = xp.dot(matrices[number], left) + offsets[number][:, None]
            slope = left - xp.dot(gram, w)
            value = -0.5 * (w * (left + slope)).sum(axis=0)
            better = (w >= 0).all(axis=0) & (value < best) & ~done
            best = xp.where(better, value, best)
            chosen = todo[better]
            weights[:, chosen] = w[:, better]
            support[chosen] = number
            done |= better & self._optimal(xp, slope, used)
            if number % 16 == 15 and 2 * int(done.sum()) > len(todo):
                keep = ~done
                todo, left, best = todo[keep], left[:, keep], best[keep]
                done = xp.zeros(len(todo), dtype=bool)
            if not len(todo):
                return

    def _optimal(self, xp: Any, slope: Any, used: np.ndarray) -> Any:
        """Return where no reference left out would make the residual smaller."""
        level = slope[int(np.flatnonzero(used)[0])] if self.sum_to_one else 0.0
        outside = [k for k in range(len(used)) if not used[k]]
        good = xp.ones(slope.shape[1], dtype=bool)
        for k in outside:
            good &= slope[k] <= level
        return good


def _check_different(references: np.ndarray, names: Any) -> None:
    length = np.linalg.norm(references, axis=0)
    if not length.all():
        message = f"the reference {names[int(np.argmin(length))]} is zero at all energies; leave it out"
        raise InputError(message)
    condition = np.linalg.cond(references / length)
    if condition > ALIKE:
        alike = np.abs(np.corrcoef(references.T) if references.shape[1] > 1 else np.eye(1))
        i, j = np.unravel_index(np.argmax(alike - 2 * np.eye(len(alike))), alike.shape)
        message = (
            f"the references cannot be told apart (condition number {condition:.1e}); {names[int(i)]} and "
            f"{names[int(j)]} are most alike, leave one out"
        )
        raise InputError(message)


def _supports(k: int, nonnegative: bool, sum_to_one: bool) -> np.ndarray:
    """Return which references each support uses, (s, k) bool, the full one first, then ever smaller ones."""
    sizes = range(k, 0, -1) if nonnegative else [k]
    rows = [[n in chosen for n in range(k)] for size in sizes for chosen in combinations(range(k), size)]
    if nonnegative and not sum_to_one:
        rows.append([False] * k)
    return np.array(rows)


def _solution(gram: np.ndarray, used: np.ndarray, sum_to_one: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return M and m with w = M Aᵀy + m for the references that are used, zero for the others."""
    k = len(used)
    matrix, offset = np.zeros((k, k)), np.zeros(k)
    chosen = np.flatnonzero(used)
    if len(chosen):
        inverse = np.linalg.inv(gram[np.ix_(chosen, chosen)])
        if sum_to_one:
            row = inverse.sum(axis=0)
            offset[chosen] = row / row.sum()
            inverse = inverse - np.outer(row, row) / row.sum()
        matrix[np.ix_(chosen, chosen)] = inverse
    return matrix, offset
