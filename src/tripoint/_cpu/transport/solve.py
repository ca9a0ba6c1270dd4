"""Conjugate gradients for the conduction on a grid."""

from __future__ import annotations

import numpy as np

from tripoint._cpu.transport.multigrid import Multigrid
from tripoint._cpu.transport.stencil import advance, apply, dot, parts, turn
from tripoint.sides import Solution


def solve(faces, shape, ends, values, source, *, tolerance, limit, balance=None):
    """Solve sum_j c_ij (x_i - x_j) + t_i x_i = b_i.

    Parameters
    ----------
    faces, shape, ends, values
        As for :class:`tripoint._cpu.transport.multigrid.Multigrid`; no voxel has an end twice.
    source : (plane + n + plane) float64
        Currents b into the voxels; becomes the residual.
    tolerance : float
        Norm of the residual, relative to that of the source, at which it ends.
    limit : int
        Iterations after which it ends all the same.
    balance : function of (potential, residual), optional
        Asked once the residual is small enough; False goes on.

    Returns
    -------
    Solution

    Notes
    -----
    Flexible conjugate gradients in float64, as the preconditioner is no fixed matrix. The conductances take
    12 bytes per voxel, vectors 36 (the source among them) and the multigrid some 35.
    """
    x, r = np.zeros_like(source), source
    reach = shape[1] * shape[2], source.size - shape[1] * shape[2]
    target = np.sqrt(parts(dot, *reach, r, r))
    if target == 0:
        return Solution(x, 0, 0.0, True)
    start = target
    precondition = Multigrid(faces, shape, ends, values)
    q, z = np.zeros_like(source), np.zeros(source.size, np.float32)
    product = precondition(r, z)
    p = z.astype(np.float64)
    residual = 1.0
    for iteration in range(1, limit + 1):
        stiffness = parts(apply, *reach, faces, shape[1] * shape[2], shape[2], p, q)
        q[ends] += values * p[ends]
        stiffness += float((values * p[ends] ** 2).sum())
        alpha = product / stiffness
        norm = np.sqrt(parts(advance, *reach, alpha, p, q, x, r))
        residual = float(norm / start)
        if residual <= tolerance and (balance is None or balance(x, r)):
            return Solution(x, iteration, residual, True)
        new = precondition(r, z)
        # Polak-Ribière: r moved by -alpha q.
        beta = -alpha * parts(dot, *reach, z, q) / product
        product = new
        parts(turn, *reach, beta, z, p)
    return Solution(x, limit, residual, False)
