"""Kirchhoff's equations of a network: factorised if small, else conjugate gradients with multigrid."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import cg, splu

#: Regions up to which a factorisation is quicker and its fill small.
DIRECT = 3000
RESIDUAL = 1e-12
LIMIT = 300


def solve(source, target, conductance, diagonal, right):
    """Potential of every region of a network whose every component is linked to a held potential.

    Parameters
    ----------
    source, target : (n,) int64
        Regions that each contact joins; every pair once.
    conductance : (n,) float64
        Positive.
    diagonal : (regions,) float64
        Sum of the conductances of each region's contacts and links.
    right : (regions,) float64
        Sum over its links of conductance times held potential.

    Returns
    -------
    potential : (regions,) float64
    iterations : int
        0 for a factorisation.
    residual : float
        Of the system scaled by its diagonal, relative to the right-hand side.
    """
    return prepare(source, target, conductance, diagonal, DIRECT)(right)


def prepare(source, target, conductance, diagonal, direct):
    """Factorise the network, or make its multigrid where it has more regions than ``direct``.

    Returns
    -------
    callable
        ``potential, iterations, residual`` of a right-hand side, as `solve` gives them.
    """
    scale = 1 / np.sqrt(diagonal)
    matrix = _scaled(source, target, conductance, scale)
    if len(diagonal) <= direct:
        options = {"SymmetricMode": True}
        factors = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
        hierarchy = None
    else:
        hierarchy = _multigrid(matrix, 1 / scale)

    def answer(right):
        right = scale * right
        if hierarchy is None:
            scaled, iterations = factors.solve(right), 0
        else:
            scaled, iterations = _conjugate_gradients(matrix, right, hierarchy)
        norm = np.linalg.norm(right)
        residual = np.linalg.norm(right - matrix @ scaled) / norm if norm else 0.0
        return scale * scaled, iterations, float(residual)

    return answer


def _scaled(source, target, conductance, scale):
    """Return the matrix with ones on its diagonal."""
    count = len(scale)
    links = -conductance * scale[source] * scale[target]
    links = csr_matrix((links, (source, target)), shape=(count, count))
    return (links + links.T + diags(np.ones(count))).tocsr()


def _multigrid(matrix, constant):
    """Return smoothed aggregation (Vaněk, Mandel & Brezina 1996), the preconditioner.

    Weak links, below 0.03 of the diagonal, do not aggregate: without that the iterations grow with the
    contrast of conductivities.  Weighting by rows needs no spectral radius, which pyamg estimates from random
    vectors: two runs give the same bits.
    """
    from pyamg import smoothed_aggregation_solver

    return smoothed_aggregation_solver(
        matrix,
        B=constant[:, None],
        strength=("symmetric", {"theta": 0.03}),
        smooth=("jacobi", {"omega": 4 / 3, "weighting": "local"}),
        max_coarse=300,
    )


def _conjugate_gradients(matrix, right, hierarchy):
    """Solve with multigrid as preconditioner, and count the steps."""
    steps = []
    solution, _ = cg(
        matrix,
        right,
        rtol=RESIDUAL,
        maxiter=LIMIT,
        M=hierarchy.aspreconditioner(),
        callback=lambda _: steps.append(None),
    )
    return solution, len(steps)
