"""The cycle over levels that preconditions the conjugate gradients; see kernels/transport_stencil.cu.

As on the host: between a Jacobi step before and one after, each coarse level takes two steps of conjugate
gradients that are themselves preconditioned so (K-cycle).  float32 throughout, the coarsest level apart.

References
----------
Notay & Vassilevski, *Numerical Linear Algebra with Applications* 15 (2008) 473-487.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cupy as cp
import numpy as np

from tripoint import levels
from tripoint._cuda.transport.aggregates import coarsen_rows, coarsen_voxels
from tripoint._cuda.transport.launch import launch, launch_sums
from tripoint.levels import OMEGA, Rows, descend

SLOW = 0.5
"""Ratio of rows above which one step is taken, as two would visit ever more small levels."""

SWEEPS = 20
"""Jacobi steps on a last level that has more rows because nothing in it is bound to anything else."""


class _Scratch(NamedTuple):
    """Vectors of a level, float32."""

    r: Any
    found: Any
    first: Any
    image: Any
    second: Any
    rest: Any
    x: Any


class Multigrid:
    """Approximate inverse of the conduction on a grid.

    Parameters
    ----------
    faces : (3, plane + n + plane) float32
        Conductances; see kernels/transport_stencil.cu.
    shape : (z, y, x)
    ends, values : (k,) int64 and float64
        Voxels (with guard) that a terminal touches, each once, and the conductances there.

    Notes
    -----
    Memory: 12 bytes per voxel, and about 150 per aggregate of the first level, of which there is one per
    some 7 voxels that conduct; 16 bytes per voxel more while it is made. A cycle asks the host nothing: both
    steps are always taken, and their lengths computed where they are needed.
    """

    def __init__(self, faces: Any, shape: Any, ends: Any, values: Any) -> None:
        self.faces, self.shape = faces, tuple(map(np.int32, shape))
        self.n = int(np.prod(shape, dtype=np.int64))
        self.plane, self.row = np.int64(shape[1] * shape[2]), np.int64(shape[2])
        self.inverse = cp.zeros(faces.shape[1], cp.float32)
        self.inverse[ends] = values.astype(cp.float32)
        grid = faces, self.plane, self.row, np.int64(self.n)
        launch("stencil", "invert_diagonal", self.n, *grid, self.inverse)
        self.aggregates, rows = coarsen_voxels(faces, shape, self.inverse, ends, values)
        self.levels, self.owners = descend(rows, coarsen_rows)
        last = self.levels[-1]
        self.direct = cp.linalg.inv(_dense(last)) if last.terminal.size <= levels.DIRECT else None
        self.scratch = [
            _Scratch(*(cp.empty(level.terminal.size, cp.float32) for _ in _Scratch._fields))
            for level in self.levels
        ]
        self.x = cp.zeros(faces.shape[1], cp.float32)
        self.sums = cp.empty((len(self.levels), 2, 3), cp.float64)

    def __call__(self, r: Any, q: Any, out: Any, sums: Any) -> None:
        """Write the approximate solution for r (float64) to ``out`` (float32), and r, q times it to sums."""
        top, n = self.scratch[0], np.int64(self.n)
        owned = self.inverse, r, self.aggregates
        launch("stencil", "restrict_residual", -(-self.n // 8), self.faces, *self.shape, OMEGA, *owned, top.r)
        self._solve(0, top.r, top.found)
        launch("stencil", "prolong", self.n, self.plane, n, OMEGA, *owned, top.found, self.x)
        grid = self.faces, self.plane, self.row, n
        launch_sums("stencil", "relax", self.n, *grid, OMEGA, self.inverse, r, q, self.x, out, sums=sums)

    def _solve(self, depth: int, r: Any, out: Any) -> None:
        """Take two steps of conjugate gradients on a coarse level, or solve it."""
        if depth == len(self.levels) - 1:
            self._solve_last(r, out)
            return
        _, _, first, image, second, rest, spare = self.scratch[depth]
        n, (one, two) = np.int64(r.size), self.sums[depth]
        self._smooth(depth, r, first)
        self._apply(depth, first, r, r, image, one)
        steps = 1 if self.levels[depth + 1].terminal.size > SLOW * r.size else 2
        if steps == 2:
            launch("rows", "leave_rows", r.size, n, one, r, image, rest)
            self._smooth(depth, rest, second)
            self._apply(depth, second, rest, image, spare, two)
        launch("rows", "step_rows", r.size, n, one, two, np.int32(steps), first, second, out)

    def _solve_last(self, r: Any, out: Any) -> None:
        if self.direct is not None:
            out[...] = cp.dot(self.direct, r.astype(cp.float64))
            return
        rows, x = self.levels[-1], self.scratch[-1].x
        out[...] = 0
        for _ in range(SWEEPS // 2):
            for before, after in ((out, x), (x, out)):
                launch(
                    "rows", "relax_rows", r.size, *rows[:3], rows.inverse, np.int64(r.size), OMEGA, r,
                    before, after,
                )  # fmt: skip

    def _apply(self, depth: int, x: Any, u: Any, v: Any, out: Any, sums: Any) -> None:
        """Write A x, and its product with x, and x u and x v to ``sums``."""
        rows = self.levels[depth]
        matrix = *rows[:3], rows.terminal, np.int64(x.size)
        launch_sums("rows", "apply_rows", x.size, *matrix, x, u, v, out, sums=sums)

    def _smooth(self, depth: int, r: Any, out: Any) -> None:
        rows, owner, below = self.levels[depth], self.owners[depth], self.scratch[depth + 1]
        matrix, n, x = (*rows[:3], rows.inverse), np.int64(r.size), self.scratch[depth].x
        size = below.r.size
        members = owner.members, owner.first, np.int64(size)
        launch("rows", "reduce_rows", size, *matrix, *members, OMEGA, r, below.r)
        self._solve(depth + 1, below.r, below.found)
        launch("rows", "spread_rows", r.size, owner.owner, rows.inverse, n, OMEGA, r, below.found, x)
        launch("rows", "relax_rows", r.size, *matrix, n, OMEGA, r, x, out)


def _dense(rows: Rows) -> Any:
    """Return a matrix in float64, with its diagonal."""
    n = rows.terminal.size
    matrix = cp.zeros((n, n), cp.float64)
    row = cp.searchsorted(rows.ptr, cp.arange(rows.col.size, dtype=cp.int64), side="right") - 1
    matrix[row, rows.col] = -rows.val.astype(cp.float64)
    every = cp.arange(n)
    # A trifle more on the diagonal keeps what float32 cut off from making it singular.
    matrix[every, every] = (rows.terminal - matrix.sum(axis=1)) * (1 + 1e-7)
    return matrix
