"""Split labels into their 6-connected pieces, in place, by a union–find over runs along x."""

from __future__ import annotations

import numpy as np
from numba import prange

from tripoint._cpu.compiled import compiled


def split(labels, into, borders):
    """Replace labels by the 6-connected pieces of equal labels, 1..n in raster order of their first voxels.

    Positive labels are first renamed to ``into[label]``; 0 stays 0 and joins nothing.
    Memory: 4 bytes per run of equal labels along x, beside the labels.
    """
    planes, rows, _ = labels.shape
    first = np.zeros(planes * rows + 1, np.int64)
    _count_runs(labels, into, first)
    np.cumsum(first, out=first)
    parents = np.arange(first[-1], dtype=np.int32 if first[-1] < 2**31 else np.int64)
    _join_rows(labels, first, borders, parents)
    _join_slabs(labels, first, borders, parents)
    count = _number(parents)
    _write(labels, first, parents)
    return count


@compiled(parallel=True)
def _count_runs(labels, into, first):
    planes, rows, columns = labels.shape
    for z in prange(planes):
        for y in range(rows):
            row = labels[z, y]
            runs = 0
            previous = 0
            for x in range(columns):
                label = row[x]
                if label > 0:
                    label = into[label]
                    row[x] = label
                runs += (label != 0) & (label != previous)
                previous = label
            first[np.int64(z) * rows + y + 1] = runs


@compiled(parallel=True)
def _join_rows(labels, first, borders, parents):
    """Join the runs of a slab; a slab's runs only ever point to runs of the same slab."""
    rows = labels.shape[1]
    for slab in prange(borders.size - 1):
        for z in range(borders[slab], borders[slab + 1]):
            for y in range(rows):
                here = z * rows + y
                if y > 0:
                    _join(labels[z, y - 1], labels[z, y], first[here - 1], first[here], parents)
                if z > borders[slab]:
                    _join(labels[z - 1, y], labels[z, y], first[here - rows], first[here], parents)


@compiled()
def _join_slabs(labels, first, borders, parents):
    rows = labels.shape[1]
    for z in borders[1:-1]:
        for y in range(rows):
            here = z * rows + y
            _join(labels[z - 1, y], labels[z, y], first[here - rows], first[here], parents)


@compiled()
def _join(row_a, row_b, first_a, first_b, parents):
    """Join the runs of two neighbouring rows where their labels are equal."""
    run_a, run_b = first_a - 1, first_b - 1
    previous_a = previous_b = 0
    for x in range(row_a.size):
        a, b = row_a[x], row_b[x]
        new_a, new_b = a != previous_a, b != previous_b
        run_a += new_a & (a != 0)
        run_b += new_b & (b != 0)
        if (new_a | new_b) and a == b and a != 0:
            _unite(parents, run_a, run_b)
        previous_a, previous_b = a, b


@compiled()
def _unite(parents, a, b):
    """Join two runs under the earlier of their roots, so that a parent never comes after its child."""
    while parents[a] != a:
        parents[a] = parents[parents[a]]
        a = parents[a]
    while parents[b] != b:
        parents[b] = parents[parents[b]]
        b = parents[b]
    if a < b:
        parents[b] = a
    else:
        parents[a] = b


@compiled()
def _number(parents):
    """Replace parents by −number of the piece; the root of a piece is its first run in raster order."""
    count = 0
    for run in range(parents.size):
        if parents[run] == run:
            count += 1
            parents[run] = -count
        else:
            parents[run] = parents[parents[run]]
    return count


@compiled(parallel=True)
def _write(labels, first, pieces):
    planes, rows, columns = labels.shape
    for z in prange(planes):
        for y in range(rows):
            row = labels[z, y]
            run = first[np.int64(z) * rows + y] - 1
            previous = 0
            for x in range(columns):
                label = row[x]
                run += (label != 0) & (label != previous)
                previous = label
                if label != 0:
                    row[x] = -pieces[run]
