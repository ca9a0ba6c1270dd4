"""Which unknowns are joined on the next coarser level, and the conductances between what they become.

Prolongation is piecewise constant, so the conductance between two aggregates is the sum of those between
their members.  Voxels are joined in blocks of 2x2x2, but only where they are strongly connected there: two
particles apart, or carbon in an electrolyte, stay apart.  From then on a row is joined with all that are
strongly connected to it, and what lies between such aggregates goes to the one it is bound to most
strongly: levels shrink four- to sixfold, so that a cycle that visits each twice costs little more than
the first.  Connections are judged relative to all that holds both ends: a weakly bound part
therefore waits until the levels are so coarse that it is bound by nothing stronger.

References
----------
Vaněk, Mandel & Brezina, *Computing* 56 (1996) 179-196.
"""

from __future__ import annotations

import numpy as np

from tripoint._cpu.compiled import compiled
from tripoint._cpu.percolation import find, unite
from tripoint.levels import HELD, STRONG, Rows


def coarsen_voxels(faces, shape, inverse, ends, values):
    """Return the aggregate of every voxel (int32, -1 for none; with guards) and their matrix."""
    plane, row = shape[1] * shape[2], shape[2]
    aggregates = np.full(inverse.size, -1, np.int32)
    n = _join_voxels(faces, plane, row, shape, inverse, STRONG, aggregates)
    ptr = np.zeros(n + 1, np.int64)
    nothing = np.empty(0, np.int32), np.empty(0, np.float32)
    _sum_voxels(faces, plane, row, shape, aggregates, ptr, *nothing, False)
    ptr = np.cumsum(ptr)
    col, val = np.empty(ptr[-1], np.int32), np.empty(ptr[-1], np.float32)
    _sum_voxels(faces, plane, row, shape, aggregates, ptr, col, val, True)
    terminal = np.bincount(aggregates[ends], values, n).astype(np.float32)
    return aggregates, Rows(ptr, col, val, terminal, _invert_rows(ptr, val, terminal))


def coarsen_rows(rows, ease=1.0):
    """Return the aggregate of every row and their matrix; ``ease`` lowers the bar for what is strong."""
    gathered = np.full(rows.terminal.size, -1, np.int32)
    matrix = rows.ptr, rows.col, rows.val, rows.inverse
    n = _gather_rows(*matrix, ease * STRONG, HELD, gathered)
    owner = gathered.copy()
    n = _attach_rows(*matrix, ease * STRONG, HELD, gathered, n, owner)
    ptr, col, val, terminal = _sum_rows(rows.ptr, rows.col, rows.val, rows.terminal, owner, n)
    return owner, Rows(ptr, col, val, terminal, _invert_rows(ptr, val, terminal))


@compiled()
def _join_voxels(faces, plane, row, shape, inverse, strong, aggregates):
    depth, height, width = shape
    where = np.empty(8, np.int64)
    parent = np.empty(8, np.int64)
    found = 0
    for bz in range((depth + 1) // 2):
        for by in range((height + 1) // 2):
            for bx in range((width + 1) // 2):
                for c in range(8):
                    z, y, x = 2 * bz + (c >> 2), 2 * by + ((c >> 1) & 1), 2 * bx + (c & 1)
                    parent[c] = -1
                    if z < depth and y < height and x < width:
                        where[c] = plane + z * plane + y * row + x
                        if inverse[where[c]] > 0:
                            parent[c] = c
                for c in range(8):
                    for axis in range(3):
                        other = c | (4 >> axis)
                        if other == c or parent[c] < 0 or parent[other] < 0:
                            continue
                        i, j = where[c], where[other]
                        a = faces[axis, i]
                        if a > 0 and a * a * inverse[i] * inverse[j] >= strong * strong:
                            unite(parent, c, other)
                for c in range(8):
                    if parent[c] < 0:
                        continue
                    root = find(parent, c)
                    if root == c:
                        aggregates[where[c]] = found
                        found += 1
                    else:
                        aggregates[where[c]] = aggregates[where[root]]
    return found


@compiled()
def _sum_voxels(faces, plane, row, shape, aggregates, ptr, col, val, writing):
    """Write the rows of the aggregates, or only count their entries into ``ptr``."""
    depth, height, width = shape
    names = np.empty((8, 48), np.int64)
    values = np.empty((8, 48), np.float64)
    sizes = np.empty(8, np.int64)
    owner = np.empty(8, np.int64)
    steps = np.array([plane, row, 1])
    for bz in range((depth + 1) // 2):
        for by in range((height + 1) // 2):
            for bx in range((width + 1) // 2):
                parts = 0
                for c in range(8):
                    z, y, x = 2 * bz + (c >> 2), 2 * by + ((c >> 1) & 1), 2 * bx + (c & 1)
                    if z >= depth or y >= height or x >= width:
                        continue
                    i = plane + z * plane + y * row + x
                    a = aggregates[i]
                    if a < 0:
                        continue
                    part = 0
                    while part < parts and owner[part] != a:
                        part += 1
                    if part == parts:
                        owner[part], sizes[part] = a, 0
                        parts += 1
                    for d in range(6):
                        step = steps[d >> 1]
                        j = i - step if d & 1 else i + step
                        g = faces[d >> 1, min(i, j)]
                        if g <= 0 or aggregates[j] == a:
                            continue
                        s = 0
                        while s < sizes[part] and names[part, s] != aggregates[j]:
                            s += 1
                        if s == sizes[part]:
                            names[part, s], values[part, s] = aggregates[j], 0.0
                            sizes[part] += 1
                        values[part, s] += g
                for part in range(parts):
                    if not writing:
                        ptr[owner[part] + 1] = sizes[part]
                        continue
                    at = ptr[owner[part]]
                    for s in range(sizes[part]):
                        col[at + s], val[at + s] = names[part, s], values[part, s]


@compiled()
def _bond(conductance, mine, other, strong, held):
    """Return how strongly two rows with these 1 / sum are connected, 0 where not strongly."""
    squared = conductance * conductance * mine * other
    share = conductance * max(mine, other)
    return squared if squared >= strong * strong or share > held else 0.0


@compiled()
def _gather_rows(ptr, col, val, inverse, strong, held, owner):
    """Join each row whose strong neighbours are all free with them; return the number of aggregates."""
    found = 0
    for i in range(ptr.size - 1):
        if owner[i] >= 0:
            continue
        free, bound = True, False
        for at in range(ptr[i], ptr[i + 1]):
            if _bond(val[at], inverse[i], inverse[col[at]], strong, held) > 0:
                bound = True
                free = free and owner[col[at]] < 0
        if not (free and bound):
            continue
        owner[i] = found
        for at in range(ptr[i], ptr[i + 1]):
            if _bond(val[at], inverse[i], inverse[col[at]], strong, held) > 0:
                owner[col[at]] = found
        found += 1
    return found


@compiled()
def _attach_rows(ptr, col, val, inverse, strong, held, gathered, found, owner):
    """Join what is left to the aggregate it is bound to most strongly; what is bound to none stays single."""
    for i in range(ptr.size - 1):
        if gathered[i] >= 0:
            continue
        best, whose = 0.0, -1
        for at in range(ptr[i], ptr[i + 1]):
            j = col[at]
            bond = _bond(val[at], inverse[i], inverse[j], strong, held)
            if gathered[j] >= 0 and bond > best:
                best, whose = bond, gathered[j]
        if whose < 0:
            whose = found
            found += 1
        owner[i] = whose
    return found


@compiled()
def _sum_rows(ptr, col, val, terminal, aggregates, n):
    fine = ptr.size - 1
    first = np.zeros(n + 1, np.int64)
    for i in range(fine):
        first[aggregates[i] + 1] += 1
    for a in range(n):
        first[a + 1] += first[a]
    members = np.empty(fine, np.int64)
    fill = first[:-1].copy()
    for i in range(fine):
        members[fill[aggregates[i]]] = i
        fill[aggregates[i]] += 1
    new_ptr = np.zeros(n + 1, np.int64)
    new_col = np.empty(col.size, np.int32)
    new_val = np.empty(col.size, np.float32)
    new_terminal = np.zeros(n, np.float32)
    place = np.full(n, -1, np.int64)
    at = 0
    for a in range(n):
        begin = at
        for m in range(first[a], first[a + 1]):
            i = members[m]
            new_terminal[a] += terminal[i]
            for e in range(ptr[i], ptr[i + 1]):
                b = aggregates[col[e]]
                if b == a:
                    continue
                if place[b] < begin:
                    place[b] = at
                    new_col[at], new_val[at] = b, val[e]
                    at += 1
                else:
                    new_val[place[b]] += val[e]
        new_ptr[a + 1] = at
    return new_ptr, new_col[:at].copy(), new_val[:at].copy(), new_terminal


@compiled()
def _invert_rows(ptr, val, terminal):
    out = np.empty(ptr.size - 1, np.float32)
    for i in range(out.size):
        total = np.float64(terminal[i])
        for at in range(ptr[i], ptr[i + 1]):
            total += val[at]
        out[i] = 1 / total if total > 0 else 0
    return out
