"""Conjugate gradients for the conduction on a grid of the GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy as cp
import numpy as np

from tripoint._cuda.transport.launch import launch, launch_sums
from tripoint._cuda.transport.multigrid import Multigrid
from tripoint.sides import Solution


def solve(
    faces: Any,
    shape: Any,
    ends: Any,
    values: Any,
    source: Any,
    *,
    tolerance: float,
    limit: int,
    balance: Callable[[Any, Any], bool] | None = None,
) -> Solution:
    """Solve sum_j c_ij (x_i - x_j) + t_i x_i = b_i; parameters are those of the host side.

    Notes
    -----
    Flexible conjugate gradients in float64, as the preconditioner is no fixed matrix. The conductances take
    12 bytes per voxel, vectors 36 (the source among them) and the multigrid some 35. The length of a step is
    computed on the GPU; once per iteration the host reads the norm of the residual, and nothing else.
    """
    x, r = cp.zeros_like(source), source
    start = float(cp.linalg.norm(r))
    if start == 0:
        return Solution(x, 0, 0.0, True)
    n, (plane, row) = r.size - 2 * shape[1] * shape[2], (np.int64(shape[1] * shape[2]), np.int64(shape[2]))
    precondition = Multigrid(faces, shape, ends, values)
    q, z = cp.zeros_like(source), cp.zeros(source.size, cp.float32)
    scalars = cp.zeros(5, cp.float64)  # z r, z q, p A p, its part at terminals, r r
    precondition(r, q, z, scalars[:2])
    p = z.astype(cp.float64)
    residual = 1.0
    for iteration in range(1, limit + 1):
        grid = faces, plane, row, np.int64(n)
        launch_sums("stencil", "apply", n, *grid, p, q, sums=scalars[2:3])
        terminals = ends, values, np.int64(len(ends))
        launch_sums("stencil", "apply_ends", len(ends), *terminals, p, q, sums=scalars[3:4])
        launch_sums("stencil", "advance", n, plane, np.int64(n), scalars, p, q, x, r, sums=scalars[4:])
        residual = float(scalars[4]) ** 0.5 / start
        if residual <= tolerance and (balance is None or balance(x, r)):
            return Solution(x, iteration, residual, True)
        precondition(r, q, z, scalars[:2])
        launch("stencil", "turn", n, plane, np.int64(n), scalars, z, p)
    return Solution(x, limit, residual, False)
