"""Triples of regions that meet along edges, summed on the host."""

from __future__ import annotations

import numpy as np

from tripoint._cpu.boundary.bits import on_threads
from tripoint._cpu.compiled import compiled

CHUNKS = 8
ACTIVE = 2  # status of an edge that every carrier reaches


def junctions(regions, phases, edges, triples):
    """Sum the edges of every triple of regions; see :func:`tripoint.boundary.junctions`.

    Returns
    -------
    dict
        ``rows`` (n, 4) int32 of junction, a, b, c, sorted; ``lengths`` (n, 2) float64, all and active;
        ``counts`` (n, 5) int64: incidences, active ones, and the sums of z, y, x of the edges' middles in
        half voxels.
    """
    triples = np.asarray(triples, np.uint8).reshape(-1, 3)
    columns = edges.index, edges.axis, edges.triple, edges.status, edges.edge_length
    bounds = _chunks(edges.index, edges.axis)
    parts = [None] * (len(bounds) - 1)

    def work(k: int) -> None:
        chunk = (column[bounds[k] : bounds[k + 1]] for column in columns)
        parts[k] = _sum_triples(regions, phases, *chunk, triples)

    on_threads(work, len(parts))
    rows, lengths, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort(rows.T[::-1])  # stable: the chunks of a triple stay in their order
    rows, lengths, counts = rows[order], lengths[order], counts[order]
    first = np.flatnonzero(np.append(True, (rows[1:] != rows[:-1]).any(axis=1))[: len(rows)])
    if len(first) < len(rows):
        lengths, counts = np.add.reduceat(lengths, first), np.add.reduceat(counts, first)
    return {"rows": rows[first], "lengths": lengths, "counts": counts}


def _chunks(index, axis):
    """Cut the records where a lattice edge ends, always in the same places: sums do not depend on threads."""
    wanted = np.linspace(0, len(index), CHUNKS + 1).astype(np.int64)[1:-1]
    bounds = [0]
    for start in wanted.tolist():
        while 0 < start < len(index) and index[start] == index[start - 1] and axis[start] == axis[start - 1]:
            start += 1  # noqa: PLW2901
        bounds.append(max(start, bounds[-1]))
    return [*bounds, len(index)]


@compiled()
def _sum_triples(regions, phases, index, axis, triple, status, edge_length, triples):
    """Add every edge to its region triples, in the order of the edges: one order of sums."""
    rows, table = np.empty((1024, 4), np.int32), np.full(4096, -1, np.int32)
    lengths, counts = np.zeros((1024, 2), np.float64), np.zeros((1024, 5), np.int64)
    around_regions, around_phases = np.empty(4, np.int32), np.empty(4, np.uint8)
    found = np.empty((4 * max(1, len(triples)), 4), np.int32)
    record = np.empty(len(found), np.int64)
    middle = np.empty(3, np.int64)
    plane, width = regions.shape[1] * regions.shape[2], regions.shape[2]
    n, end = 0, 0
    while end < index.size:
        start = end
        while end < index.size and index[end] == index[start] and axis[end] == axis[start]:
            end += 1
        z, y, x = index[start] // plane, index[start] % plane // width, index[start] % width
        along = axis[start]
        for i in range(4):  # the two directions across the edge, each taken or not
            first, second = i & 1, i >> 1
            p = z + (0 if along == 0 else first)
            q = y + (first if along == 0 else (0 if along == 1 else second))
            r = x + (0 if along == 2 else second)
            around_regions[i], around_phases[i] = regions[p, q, r], phases[p, q, r]
        k = 0
        for i in range(start, end):
            more = _region_triples(around_regions, around_phases, triples, triple[i], found, k)
            record[k:more] = i
            k = more
        middle[0], middle[1], middle[2] = 2 * z + 2, 2 * y + 2, 2 * x + 2
        middle[along] -= 1
        for i in range(k):
            place = _find_row(table, rows, found[i])
            if table[place] < 0:
                if n == len(rows):
                    table, rows, lengths, counts = _enlarge_rows(table, rows, lengths, counts)
                    place = _find_row(table, rows, found[i])
                table[place] = n
                for d in range(4):
                    rows[n, d] = found[i, d]
                n += 1
            slot = table[place]
            active = status[record[i]] == ACTIVE
            share = np.float64(edge_length[record[i]]) / k
            lengths[slot, 0] += share
            counts[slot, 0] += 1
            if active:
                lengths[slot, 1] += share
                counts[slot, 1] += 1
            for d in range(3):
                counts[slot, 2 + d] += middle[d]
    return rows[:n], lengths[:n], counts[:n]


@compiled()
def _region_triples(regions, phases, triples, junction, found, k):
    """Append the distinct triples of regions, of the phases of a junction, among four voxels."""
    first = k
    for a in range(4):
        if phases[a] != triples[junction, 0] or regions[a] <= 0:
            continue
        for b in range(4):
            if phases[b] != triples[junction, 1] or regions[b] <= 0:
                continue
            for c in range(4):
                if phases[c] != triples[junction, 2] or regions[c] <= 0:
                    continue
                known = False
                for i in range(first, k):
                    known |= (
                        found[i, 1] == regions[a] and found[i, 2] == regions[b] and found[i, 3] == regions[c]
                    )
                if not known:
                    found[k, 0], found[k, 1] = junction, regions[a]
                    found[k, 2], found[k, 3] = regions[b], regions[c]
                    k += 1
    return k


@compiled()
def _find_row(table, rows, row):
    """Return the place of a row in the open-addressing table, or the free place where it belongs."""
    mask = np.int64(table.size - 1)
    mixed = np.uint64(0)
    for i in range(4):
        mixed = (mixed ^ np.uint64(row[i])) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
    place = np.int64(mixed) & mask
    while table[place] >= 0:
        other = rows[table[place]]
        if other[0] == row[0] and other[1] == row[1] and other[2] == row[2] and other[3] == row[3]:
            break
        place = (place + 1) & mask
    return place


@compiled()
def _enlarge_rows(table, rows, lengths, counts):
    n = len(rows)
    more_rows = np.empty((2 * n, 4), np.int32)
    more_lengths, more_counts = np.zeros((2 * n, 2), np.float64), np.zeros((2 * n, 5), np.int64)
    more_table = np.full(2 * table.size, -1, np.int32)
    for i in range(n):
        for d in range(4):
            more_rows[i, d] = rows[i, d]
        for d in range(2):
            more_lengths[i, d] = lengths[i, d]
        for d in range(5):
            more_counts[i, d] = counts[i, d]
        more_table[_find_row(more_table, more_rows, rows[i])] = i
    return more_table, more_rows, more_lengths, more_counts
