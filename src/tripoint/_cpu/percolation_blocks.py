"""Connected pieces of blocks, joined across the planes in which the blocks touch."""

from __future__ import annotations

import numpy as np

from tripoint._cpu.compiled import compiled
from tripoint._cpu.percolation import find, unite


def join(label, conducted, roots, seams, connectivity):
    """Join pieces that touch across seams; return the new number of every piece, and the new roots.

    Parameters
    ----------
    label : (n + 1,) uint8
        Phase of every piece; entry 0 stands for what is no piece.
    conducted : (256,) uint8
        Bit c is set where a label conducts carrier c.
    roots : (carriers, n + 1) int64
        Per carrier the root of every piece; changed.
    seams : iterable of (plane, members, plane, members, (rows, columns))
        Two planes of component numbers, one beyond the other, the piece of every component of each, and the
        place of the first plane's corner in the second.
    connectivity : {6, 18, 26}

    Returns
    -------
    (n + 1,) int64
        The joined piece, 1 … m, that every piece belongs to; 0 for 0.
    (carriers, m + 1) int64
        Per carrier the root of every joined piece.
    """
    parents = np.arange(len(label), dtype=np.int64)
    reach = {6: 0, 18: 1, 26: 2}[connectivity]
    steps = [(u, v) for u in (-1, 0, 1) for v in (-1, 0, 1) if abs(u) + abs(v) <= reach]
    for plane_a, members_a, plane_b, members_b, apart in seams:
        shifts = np.array(steps, np.int64) + np.array(apart, np.int64)
        _join_planes(plane_a, members_a, plane_b, members_b, shifts, label, conducted, parents, roots)
    return _renumber(parents, roots)


@compiled()
def _join_planes(plane_a, members_a, plane_b, members_b, shifts, label, conducted, parents, roots):
    last_a, last_b = np.int64(0), np.int64(0)
    for k in range(shifts.shape[0]):
        du, dv = shifts[k]
        for u in range(max(0, -du), min(plane_a.shape[0], plane_b.shape[0] - du)):
            for v in range(max(0, -dv), min(plane_a.shape[1], plane_b.shape[1] - dv)):
                a = members_a[np.int64(plane_a[u, v])]
                b = members_b[np.int64(plane_b[u + du, v + dv])]
                if a == 0 or b == 0 or (a == last_a and b == last_b):
                    continue
                last_a, last_b = a, b
                if label[a] == label[b]:
                    unite(parents, a, b)  # in every network that the phase belongs to as well, see _renumber
                    continue
                shared = conducted[label[a]] & conducted[label[b]]
                for c in range(roots.shape[0]):
                    if shared & (1 << c):
                        unite(roots[c], a, b)


@compiled()
def _renumber(parents, roots):
    """Give the joined pieces numbers; parents never come after their children, so one pass does."""
    number = np.zeros(parents.size, np.int64)
    count = 0
    for i in range(1, parents.size):
        root = find(parents, i)
        if root == i:
            count += 1
            number[i] = count
        else:
            number[i] = number[root]
    joined = np.empty((roots.shape[0], count + 1), np.int64)
    for c in range(roots.shape[0]):
        for i in range(count + 1):
            joined[c, i] = i
        for i in range(1, parents.size):
            unite(joined[c], number[i], number[find(roots[c], i)])
        for i in range(count + 1):
            joined[c, i] = find(joined[c], i)
    return number, joined
