"""Kirchhoff's equations of a network on the GPU: conjugate gradients of cupyx, scaled by the diagonal."""

from __future__ import annotations

from typing import Any

import cupy as cp
from cupyx.scipy.sparse import csr_matrix
from cupyx.scipy.sparse.linalg import cg

RESIDUAL = 1e-12
LIMIT = 50_000


def solve(source: Any, target: Any, conductance: Any, diagonal: Any, right: Any) -> tuple[Any, int, float]:
    """Potential of every region of a network; as :func:`tripoint._cpu.transport_network.solve`.

    There is no multigrid in cupyx. Scaling alone takes some hundred iterations for 100,000 regions, some
    thousand where conductivities are many orders of magnitude apart.
    """
    scale = 1 / cp.sqrt(diagonal)
    count = len(diagonal)
    links = -conductance * scale[source] * scale[target]
    nodes = cp.arange(count)
    values = cp.concatenate([links, links, cp.ones(count)])
    rows = cp.concatenate([source, target, nodes]).astype(cp.int32)
    columns = cp.concatenate([target, source, nodes]).astype(cp.int32)
    matrix = csr_matrix((values, (rows, columns)), shape=(count, count))
    right = scale * right
    steps: list[None] = []
    scaled, _ = cg(matrix, right, rtol=RESIDUAL, maxiter=LIMIT, callback=lambda _: steps.append(None))
    residual = cp.linalg.norm(right - matrix @ scaled) / cp.linalg.norm(right)
    return scale * scaled, len(steps), float(residual)
