"""Host side of :mod:`tripoint.distance`: separable passes along the axes, or the ``edt`` package.

A pass along an axis takes, for every voxel, the least of ``squares at a voxel k further + (k · size)²``,
where a voxel of another phase counts 0.  Going outwards from k = 1 one may stop when (k · size)² is no less
than what is found.  Rows of voxels do this together, which suits the radii of particles, some tens of
voxels; where a volume has radii above ``FARTHEST`` voxels the parabolas of ``edt`` are quicker.
"""

from __future__ import annotations

import os

import edt
import numpy as np
from numba import get_num_threads, prange

from tripoint._cpu.compiled import compiled

FARTHEST = 256
TOGETHER = 128  # voxels of a row that look for their least together, and stop together


def transform(phases, spacing, squared=False, labels=None):
    """Return the distance to the nearest voxel of another phase; see :func:`tripoint.distance.transform`.

    Of phases other than ``labels``, if given, nothing is computed; their voxels get 0.
    """
    phases = np.ascontiguousarray(phases)
    isotropic = spacing[0] == spacing[1] == spacing[2]
    # At isotropic spacing the squares are integers to the end, so equal distances stay exactly equal.
    sizes = (1.0, 1.0, 1.0) if isotropic else spacing
    wanted = np.ones(256, np.bool_)
    if labels is not None:
        wanted[:] = False
        wanted[list(labels)] = True
    squares = np.empty(phases.shape, np.float32)
    _along_x(phases, wanted, sizes[2], squares)
    finished = _along_y(phases, _steps(sizes[1]), squares) and _along_z(
        phases, _steps(sizes[0]), _borders(phases.shape[1]), squares
    )
    if not finished:
        del squares
        squares = _by_parabolas(phases, sizes, wanted)
    _to_micrometres(squares.reshape(-1), spacing[0] if isotropic else 1.0, squared)
    return squares


def _steps(size):
    return ((np.arange(FARTHEST + 1) * size) ** 2).astype(np.float32)


def _borders(rows):
    return np.linspace(0, rows, max(1, min(rows, 4 * get_num_threads())) + 1).astype(np.int64)


def _by_parabolas(phases, sizes, wanted):
    """Return the squares by edt, which takes label 0 for background: 0 is renamed to an unused label."""
    counts = np.zeros(256, np.int64)
    for plane in phases:
        counts += np.bincount(plane.reshape(-1), minlength=256)
    names = np.arange(256, dtype=np.uint8)
    names[~wanted] = 0
    if wanted[0] and counts[0]:
        if counts.all() and wanted.all():
            phases, names = phases.astype(np.uint16) + np.uint16(1), None
        else:
            names[0] = np.flatnonzero((counts == 0) | ~wanted)[0]
    if names is not None and (names != np.arange(256)).any():
        phases = np.stack([names[plane] for plane in phases])
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return edt.edtsq(phases, anisotropy=sizes, black_border=False, order="C", parallel=threads)


@compiled(parallel=True)
def _along_x(phases, wanted, size, squares):
    """Write the square of the distance to the nearer end of each run of equal labels."""
    nz, ny, nx = phases.shape
    for z in prange(nz):
        for y in range(ny):
            begin = 0
            for x in range(1, nx + 1):
                if x < nx and phases[z, y, x] == phases[z, y, begin]:
                    continue
                if not wanted[phases[z, y, begin]]:
                    for inside in range(begin, x):
                        squares[z, y, inside] = np.float32(0)
                else:
                    for inside in range(begin, x):
                        left = np.inf if begin == 0 else (inside - begin + 1) * size
                        right = np.inf if x == nx else (x - inside) * size
                        squares[z, y, inside] = np.float32(min(left, right) ** 2)
                begin = x


@compiled(parallel=True)
def _along_y(phases, steps, squares):
    nz, ny, _ = phases.shape
    finished = np.ones(nz, np.bool_)
    for z in prange(nz):
        before = squares[z].copy()
        for y in range(ny):
            if finished[z]:
                finished[z] = _row(phases[z], before, steps, y, squares[z, y])
    return finished.all()


@compiled(parallel=True)
def _along_z(phases, steps, borders, squares):
    nz, _, nx = phases.shape
    finished = np.ones(borders.size - 1, np.bool_)
    for slab in prange(borders.size - 1):
        before = np.empty((nz, nx), np.float32)
        labels = np.empty((nz, nx), np.uint8)
        for y in range(borders[slab], borders[slab + 1]):
            for z in range(nz):
                for x in range(nx):
                    before[z, x] = squares[z, y, x]
                    labels[z, x] = phases[z, y, x]
            for z in range(nz):
                if finished[slab]:
                    finished[slab] = _row(labels, before, steps, z, squares[z, y])
    return finished.all()


@compiled()
def _row(labels, before, steps, row, result):
    """Write the least squares of one row, or return False where that takes too many steps."""
    rows, columns = before.shape
    bits = steps.view(np.int32)  # floats that are not negative are in the order of their bits
    for a in range(0, columns, TOGETHER):
        b = min(a + TOGETHER, columns)
        best = result[a:b]
        largest = _largest(best.view(np.int32))
        step = 1
        while step < rows and bits[step] < largest:
            if step == FARTHEST:
                return False
            if row >= step:
                _lower(before[row - step, a:b], labels[row - step, a:b], labels[row, a:b], steps[step], best)
            if row + step < rows:
                _lower(before[row + step, a:b], labels[row + step, a:b], labels[row, a:b], steps[step], best)
            largest = _largest(best.view(np.int32))
            step += 1
    return True


@compiled()
def _largest(bits):
    largest = np.int32(0)
    for x in range(bits.size):
        largest = max(largest, bits[x])
    return largest


@compiled()
def _lower(before, label_there, label, square, best):
    for x in range(best.size):
        found = (before[x] if label_there[x] == label[x] else np.float32(0)) + square
        best[x] = found if found < best[x] else best[x]


@compiled(parallel=True)
def _to_micrometres(squares, scale, squared):
    for i in prange(squares.size):
        if squared:
            squares[i] = np.float32(np.float64(squares[i]) * (scale * scale))
        else:
            squares[i] = np.float32(np.sqrt(np.float64(squares[i])) * scale)
