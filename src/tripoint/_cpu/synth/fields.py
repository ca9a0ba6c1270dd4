"""Smooth random fields, made on a coarse grid and interpolated."""

import numpy as np
from numba import prange

from tripoint._cpu.compiled import compiled


@compiled(parallel=True)
def interpolate(coarse, size, factors, amplitude):
    """Return cubic B-splines of coefficients on a grid that is coarser by a factor per axis.

    The coarse grid reaches one node before the first voxel and two beyond the last one.
    """
    nz, ny, nx = size
    result = np.empty((nz, ny, nx), np.float32)
    xs, wx = _weights(nx, factors[2])
    ys, wy = _weights(ny, factors[1])
    zs, wz = _weights(nz, factors[0])
    for z in prange(nz):
        plane = np.zeros(coarse.shape[1:], np.float32)
        row = np.zeros(coarse.shape[2], np.float32)
        for k in range(4):
            for j in range(plane.shape[0]):
                for i in range(plane.shape[1]):
                    plane[j, i] += amplitude * wz[z, k] * coarse[zs[z] + k, j, i]
        for y in range(ny):
            for i in range(row.size):
                row[i] = (
                    wy[y, 0] * plane[ys[y], i]
                    + wy[y, 1] * plane[ys[y] + 1, i]
                    + wy[y, 2] * plane[ys[y] + 2, i]
                    + wy[y, 3] * plane[ys[y] + 3, i]
                )
            for x in range(nx):
                i = xs[x]
                result[z, y, x] = (
                    wx[x, 0] * row[i] + wx[x, 1] * row[i + 1] + wx[x, 2] * row[i + 2] + wx[x, 3] * row[i + 3]
                )
    return result


@compiled()
def _weights(n, factor):
    first = np.empty(n, np.int64)
    weights = np.empty((n, 4), np.float32)
    for i in range(n):
        first[i] = i // factor
        t = (i % factor) / factor
        weights[i, 0] = (1 - t) ** 3 / 6
        weights[i, 1] = (3 * t**3 - 6 * t**2 + 4) / 6
        weights[i, 2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
        weights[i, 3] = t**3 / 6
    return first, weights
