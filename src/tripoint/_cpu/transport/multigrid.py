"""The cycle over levels that preconditions the conjugate gradients.

Between a Jacobi step before and one after, each coarse level takes up to two steps of conjugate gradients
that are themselves preconditioned so (K-cycle): that makes up for coarse operators that are too stiff, as
sums of conductances are, so that the number of iterations hardly depends on the size.  float32 throughout.

References
----------
Notay & Vassilevski, *Numerical Linear Algebra with Applications* 15 (2008) 473-487.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu

from tripoint._cpu.compiled import compiled
from tripoint._cpu.transport.aggregates import coarsen_rows, coarsen_voxels
from tripoint._cpu.transport.stencil import PART, dot, invert_diagonal, parts, prolong, relax, restrict
from tripoint.levels import OMEGA, descend

ENOUGH = 0.25
"""Residual after one inner step, relative to that before, at which a second is left out."""


class Multigrid:
    """Approximate inverse of the conduction on a grid.

    Parameters
    ----------
    faces : (3, plane + n + plane) float32
        Conductances; see :mod:`tripoint._cpu.transport.stencil`.
    shape : (z, y, x)
    ends, values : (k,) int64 and float64
        Voxels (with guard) that a terminal touches, and the conductances there.

    Notes
    -----
    Memory: 12 bytes per voxel, and about 160 per aggregate of the first level, of which there is one per
    5 to 7 voxels that conduct.
    """

    def __init__(self, faces, shape, ends, values):
        self.faces, self.plane, self.row = faces, shape[1] * shape[2], shape[2]
        self.range = self.plane, faces.shape[1] - self.plane
        self.inverse = np.zeros(faces.shape[1], np.float32)
        np.add.at(self.inverse, ends, values.astype(np.float32))
        parts(invert_diagonal, *self.range, faces, self.plane, self.row, self.inverse)
        self.aggregates, rows = coarsen_voxels(faces, shape, self.inverse, ends, values)
        self.levels, self.owners = descend(rows, coarsen_rows)
        self.direct = splu(_matrix(self.levels[-1]))
        self.scratch = [np.zeros((8, level.terminal.size), np.float32) for level in self.levels]
        self.x = np.zeros(faces.shape[1], np.float32)

    def __call__(self, r, out):
        """Write the approximate solution for r (float64) to ``out`` (float32); return their product."""
        grid = self.faces, self.plane, self.row
        coarse = self.scratch[0][7]
        coarse[:] = 0
        # No aggregate lies in two pairs of planes.
        pairs = 2 * self.plane * max(1, PART // (2 * self.plane))
        owned = self.inverse, r, self.aggregates, coarse
        parts(restrict, *self.range, *grid, OMEGA, *owned, size=pairs)
        found = self._solve(0, coarse)
        parts(prolong, *self.range, OMEGA, self.inverse, r, self.aggregates, found, self.x)
        return parts(relax, *self.range, *grid, OMEGA, self.inverse, r, self.x, out)

    def _solve(self, depth, r):
        """Return a new array: two steps of conjugate gradients on a coarse level, or the solution."""
        rows = self.levels[depth]
        if depth == len(self.levels) - 1:
            return self.direct.solve(r.astype(np.float64)).astype(np.float32)
        first, image, second, image2, rest = self.scratch[depth][2:7]
        n = r.size
        self._smooth(depth, r, first)
        parts(apply_rows, 0, n, rows.ptr, rows.col, rows.val, rows.terminal, first, image)
        stiffness, gain = parts(dot, 0, n, first, image), parts(dot, 0, n, first, r)
        if stiffness <= 0:
            return first.copy()
        np.multiply(image, np.float32(-gain / stiffness), out=rest)
        rest += r
        if parts(dot, 0, n, rest, rest) <= ENOUGH**2 * parts(dot, 0, n, r, r):
            return first * np.float32(gain / stiffness)
        self._smooth(depth, rest, second)
        parts(apply_rows, 0, n, rows.ptr, rows.col, rows.val, rows.terminal, second, image2)
        mixed, stiff, more = (parts(dot, 0, n, second, v) for v in (image, image2, rest))
        left = stiff - mixed * mixed / stiffness
        if left <= 0:
            return first * np.float32(gain / stiffness)
        found = first * np.float32(gain / stiffness - mixed * more / (stiffness * left))
        found += second * np.float32(more / left)
        return found

    def _smooth(self, depth, r, out):
        rows, owner, scratch = self.levels[depth], self.owners[depth], self.scratch[depth]
        matrix = rows.ptr, rows.col, rows.val, rows.inverse
        rest, x = scratch[0], scratch[1]
        parts(reduce_rows, 0, r.size, *matrix, OMEGA, r, rest)
        coarse = self.scratch[depth + 1][7]
        gather(owner, rest, coarse)
        found = self._solve(depth + 1, coarse)
        parts(spread, 0, r.size, owner, rows.inverse, OMEGA, r, found, x)
        parts(relax_rows, 0, r.size, *matrix, OMEGA, r, x, out)


def _matrix(rows):
    """Return the coarsest matrix in float64, with its diagonal."""
    n = rows.terminal.size
    row = np.repeat(np.arange(n), np.diff(rows.ptr))
    every = np.arange(n)
    diagonal = np.bincount(row, rows.val, n) + rows.terminal
    # A trifle more on the diagonal keeps what float32 cut off from making it singular.
    diagonal *= 1 + 1e-7
    entries = np.concatenate([-rows.val.astype(np.float64), diagonal])
    return csc_array(
        (entries, (np.concatenate([row, every]), np.concatenate([rows.col, every]))), shape=(n, n)
    )


@compiled()
def reduce_rows(begin, end, ptr, col, val, inverse, omega, r, out):
    """Write what is left of r after a Jacobi step from 0."""
    for i in range(begin, end):
        around = np.float32(0)
        for at in range(ptr[i], ptr[i + 1]):
            j = col[at]
            around += val[at] * inverse[j] * r[j]
        out[i] = r[i] + omega * (around - r[i])
    return 0.0


@compiled()
def relax_rows(begin, end, ptr, col, val, inverse, omega, r, x, out):
    """Write a Jacobi step from x."""
    for i in range(begin, end):
        total = r[i]
        for at in range(ptr[i], ptr[i + 1]):
            total += val[at] * x[col[at]]
        out[i] = x[i] + omega * (inverse[i] * total - x[i])
    return 0.0


@compiled()
def apply_rows(begin, end, ptr, col, val, terminal, x, out):
    """Write the net current out of every row."""
    for i in range(begin, end):
        total = terminal[i] * x[i]
        for at in range(ptr[i], ptr[i + 1]):
            total += val[at] * (x[i] - x[col[at]])
        out[i] = total
    return 0.0


@compiled()
def gather(owner, fine, coarse):
    """Sum over aggregates."""
    coarse[:] = 0
    for i in range(fine.size):
        coarse[owner[i]] += fine[i]


@compiled()
def spread(begin, end, owner, inverse, omega, r, coarse, x):
    """Set x to a Jacobi step from 0 plus the coarse correction."""
    for i in range(begin, end):
        x[i] = omega * inverse[i] * r[i] + coarse[owner[i]]
    return 0.0
