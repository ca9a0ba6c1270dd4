"""Currents between the voxels of a grid, and the finest level of the multigrid.

A volume lies flat, in C order, between two guards of one plane.  The face between voxel i and the next along
an axis has the conductance ``faces[axis, i]``, and those at the far ends of rows and planes are 0: so a loop
over the flat volume needs no branch, and what it reads beyond a row's end is multiplied by 0.

Each function works on the voxels ``begin`` to ``end`` and returns their part of a sum, so that the
caller spreads parts of fixed size over threads and adds them in order: no bit depends on the threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from tripoint._cpu.compiled import compiled

PART = 1 << 17
"""Voxels or rows of one part."""


def parts(function, begin, end, *arguments, size=PART):
    """Run a function over the parts of a range, on threads where there are several; return the sum."""
    starts = range(begin, end, size)
    if len(starts) <= 1 or numba.get_num_threads() == 1:
        return sum([function(k, min(k + size, end), *arguments) for k in starts])
    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        return sum(list(pool.map(lambda k: function(k, min(k + size, end), *arguments), starts)))


@compiled()
def _conductances(begin, end, faces, plane, row):
    """Return those of the faces after and before each voxel, along z, y and x, as views."""
    z, y, x = faces[0], faces[1], faces[2]
    return (
        z[begin:end], z[begin - plane : end - plane],
        y[begin:end], y[begin - row : end - row],
        x[begin:end], x[begin - 1 : end - 1],
    )  # fmt: skip


@compiled()
def _neighbours(begin, end, x, plane, row):
    """Return the values after and before each voxel, along z, y and x, as views."""
    return (
        x[begin + plane : end + plane], x[begin - plane : end - plane],
        x[begin + row : end + row], x[begin - row : end - row],
        x[begin + 1 : end + 1], x[begin - 1 : end - 1],
    )  # fmt: skip


@compiled()
def apply(begin, end, faces, plane, row, x, out):
    """Write the net current out of every voxel, sum of c (x_i - x_j), and return its product with x.

    The differences are taken first: in a good conductor potentials differ in their last digits alone.
    """
    z, z0, y, y0, w, w0 = _conductances(begin, end, faces, plane, row)
    here, result = x[begin:end], out[begin:end]
    up, down, back, front, right, left = _neighbours(begin, end, x, plane, row)
    total = 0.0
    for i in range(end - begin):
        value = (
            z[i] * (here[i] - up[i])
            + z0[i] * (here[i] - down[i])
            + y[i] * (here[i] - back[i])
            + y0[i] * (here[i] - front[i])
            + w[i] * (here[i] - right[i])
            + w0[i] * (here[i] - left[i])
        )
        result[i] = value
        total += value * here[i]
    return total


@compiled()
def dot(begin, end, a, b):
    """Return the sum of products, in float64."""
    u, v = a[begin:end], b[begin:end]
    total = 0.0
    for i in range(end - begin):
        total += np.float64(u[i]) * np.float64(v[i])
    return total


@compiled()
def advance(begin, end, alpha, p, q, x, r):
    """Move x by alpha p and r by -alpha q; return the squared norm of r."""
    total = 0.0
    for i in range(begin, end):
        x[i] += alpha * p[i]
        value = r[i] - alpha * q[i]
        r[i] = value
        total += value * value
    return total


@compiled()
def turn(begin, end, beta, z, p):
    """Set p to z + beta p."""
    for i in range(begin, end):
        p[i] = z[i] + beta * p[i]
    return 0.0


@compiled()
def invert_diagonal(begin, end, faces, plane, row, out):
    """Write 1 / (sum of a voxel's face conductances + what ``out`` held), 0 where that is 0."""
    for i in range(begin, end):
        value = (
            faces[0, i]
            + faces[0, i - plane]
            + faces[1, i]
            + faces[1, i - row]
            + faces[2, i]
            + faces[2, i - 1]
            + out[i]
        )
        out[i] = 1 / value if value > 0 else 0
    return 0.0


@compiled()
def restrict(begin, end, faces, plane, row, omega, inverse, r, aggregates, coarse):
    """Add to each aggregate what is left of r after one Jacobi step from 0."""
    z, z0, y, y0, w, w0 = _conductances(begin, end, faces, plane, row)
    x, owner = r[begin:end], aggregates[begin:end]
    up, down, back, front, right, left = _neighbours(begin, end, r, plane, row)
    dup, ddown, dback, dfront, dright, dleft = _neighbours(begin, end, inverse, plane, row)
    for i in range(end - begin):
        a = owner[i]
        if a < 0:
            continue
        # The step is x = omega r / d, so that its own part of A x is omega r.
        around = (
            z[i] * dup[i] * up[i]
            + z0[i] * ddown[i] * down[i]
            + y[i] * dback[i] * back[i]
            + y0[i] * dfront[i] * front[i]
            + w[i] * dright[i] * right[i]
            + w0[i] * dleft[i] * left[i]
        )
        coarse[a] += np.float32(x[i] + omega * (around - x[i]))
    return 0.0


@compiled()
def prolong(begin, end, omega, inverse, r, aggregates, coarse, x):
    """Set x to the Jacobi step from 0 plus the coarse correction."""
    for i in range(begin, end):
        a = aggregates[i]
        if a >= 0:
            x[i] = np.float32(omega * inverse[i] * r[i]) + coarse[a]
    return 0.0


@compiled()
def relax(begin, end, faces, plane, row, omega, inverse, r, x, out):
    """Set out to a Jacobi step from x; return its product with r."""
    z, z0, y, y0, w, w0 = _conductances(begin, end, faces, plane, row)
    d, b = inverse[begin:end], r[begin:end]
    here, result = x[begin:end], out[begin:end]
    up, down, back, front, right, left = _neighbours(begin, end, x, plane, row)
    total = 0.0
    for i in range(end - begin):
        around = (
            z[i] * up[i]
            + z0[i] * down[i]
            + y[i] * back[i]
            + y0[i] * front[i]
            + w[i] * right[i]
            + w0[i] * left[i]
        )
        new = here[i] + omega * (d[i] * (np.float32(b[i]) + around) - here[i])
        result[i] = new
        total += np.float64(new) * b[i]
    return total
