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
    scale = 1 / np.sqrt(diagonal)
    matrix = _scaled(source, target, conductance, scale)
    right = scale * right
    if len(diagonal) <= DIRECT:
        options = {"SymmetricMode": True}
        factors = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
        scaled, iterations = factors.solve(right), 0
    else:
        scaled, iterations = _conjugate_gradients(matrix, right, 1 / scale)
    residual = np.linalg.norm(right - matrix @ scaled) / np.linalg.norm(right)
    return scale * scaled, iterations, float(residual)


def _scaled(source, target, conductance, scale):
    """Return the matrix with ones on its diagonal."""
    count = len(scale)
    links = -conductance * scale[source] * scale[target]
    links = csr_matrix((links, (source, target)), shape=(count, count))
    return (links + links.T + diags(np.ones(count))).tocsr()


def _conjugate_gradients(matrix, right, constant):
    """Solve with smoothed aggregation (Vaněk, Mandel & Brezina 1996) as preconditioner.

    Weak links, below 0.03 of the diagonal, do not aggregate: without that the iterations grow with the
    contrast of conductivities.  Weighting by rows needs no spectral radius, which pyamg estimates from random
    vectors: two runs give the same bits.
    """
    from pyamg import smoothed_aggregation_solver

    hierarchy = smoothed_aggregation_solver(
        matrix,
        B=constant[:, None],
        strength=("symmetric", {"theta": 0.03}),
        smooth=("jacobi", {"omega": 4 / 3, "weighting": "local"}),
        max_coarse=300,
    )
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
