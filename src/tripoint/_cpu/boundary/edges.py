"""Triple-phase edges on bit planes: where they are, how many, and which of them work.

The loops are one thought each, with few arrays, because compilers vectorise those.
"""

from __future__ import annotations

import numpy as np

from tripoint._cpu.boundary.bits import popcount
from tripoint._cpu.compiled import compiled


@compiled()
def find_edges(
    here, above, n_labels, n_bits, triples, needs, mask, start, stop, words, counted,
    ors, found, meeting, edges, total,
):  # fmt: skip
    """Find the edges of every triple and axis, count them, and collect them over all triples."""
    n = stop - start
    own = mask[start:stop] if counted else np.zeros(n, np.uint64)
    for k in range(ors.shape[1]):
        plane = k if k < n_labels else k + n_bits
        around_edges(here[plane], above[plane], start, n, words, found, ors[:, k])
    edge, works, doubtful = found[0, :n], found[1, :n], found[2, :n]
    for axis in range(3):
        reached = meeting[axis, :, start:stop]
        reached[:] = 0
        for t in range(len(triples)):
            a, b, c = ors[axis, triples[t, 0]], ors[axis, triples[t, 1]], ors[axis, triples[t, 2]]
            for i in range(n):
                edge[i] = a[i] & b[i] & c[i]
            edges[t, axis, 0] += _collect(edge, own, reached[0])
            if len(reached) == 3:
                judge(edge, ors[axis, n_labels:], needs[t], works, doubtful)
                edges[t, axis, 1] += _collect(works, own, reached[1])
                edges[t, axis, 2] += _collect(doubtful, own, reached[2])
        total[axis, 0] += _count(reached[0], own)
        if len(reached) == 3:
            total[axis, 1] += _count(reached[1], own)
            for i in range(n):  # where triples differ in one lattice edge, its best one counts
                doubtful[i] = reached[2, i] & ~reached[1, i]
            total[axis, 2] += _count(doubtful, own)


@compiled()
def around_edges(here, above, start, n, words, pairs, around):
    """OR a bit plane over the four voxels around the edges along each axis."""
    flat, wall = pairs[0, : n + 1], pairs[1, : n + 1]
    a, b = here[start : start + n + 1], here[start + words : start + words + n + 1]
    c, d = above[start : start + n + 1], above[start + words : start + words + n + 1]
    for i in range(n + 1):
        flat[i] = a[i] | b[i]
    for i in range(n + 1):
        wall[i] = a[i] | c[i]
    _or_next(flat, around[0, :n])
    _or_next(wall, around[1, :n])
    along_x = around[2, :n]
    for i in range(n):
        along_x[i] = flat[i] | c[i] | d[i]


@compiled()
def _or_next(bits, out):
    one, most = np.uint64(1), np.uint64(63)
    for i in range(len(out)):
        out[i] = bits[i] | (bits[i] >> one) | (bits[i + 1] << most)


@compiled()
def _collect(bits, own, into):
    count = np.int64(0)
    for i in range(len(bits)):
        into[i] |= bits[i]
        count += popcount(bits[i] & own[i])
    return count


@compiled()
def _count(bits, own):
    count = np.int64(0)
    for i in range(len(bits)):
        count += popcount(bits[i] & own[i])
    return count


@compiled()
def judge(edge, around, needs, works, doubtful):
    """Keep the edges where all that is needed is connected, and those where it is at least unknown.

    Needed are the phases of the triple, each for every carrier that it conducts.
    """
    judged = np.uint64(0)
    for k in range(len(needs)):
        if needs[k]:
            judged = ~np.uint64(0)
    for i in range(len(edge)):
        doubtful[i] = edge[i]
        works[i] = edge[i] & judged
    for k in range(len(needs)):
        if needs[k]:
            terminal, other = around[2 * k], around[2 * k + 1]
            for i in range(len(edge)):
                works[i] &= terminal[i]
            for i in range(len(edge)):
                doubtful[i] &= terminal[i] | other[i]
    for i in range(len(edge)):
        doubtful[i] &= ~works[i]
