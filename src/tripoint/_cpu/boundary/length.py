"""Triple-phase edges as a list, each with the length of junction it stands for.

Per edge, the directed edges of its own triple that are connected to it within a few steps along the
lattice are summed, the near ones with more weight, which gives the direction of the line; the edge's
length is its signed projection on it. Steps are counted along the lattice, not in a ball: what passes
close by but belongs to another stretch of line, such as the far side of a thin film, stays out, and a
line along an axis, whose staircase has long treads, is seen over more of them.

The volume is treated in slabs of planes. What an edge gets depends on its neighbourhood alone, not on
slabs or threads.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import intrinsic

from tripoint._cpu.boundary.bits import byte_at, memory, on_threads, pack, popcount
from tripoint._cpu.boundary.edges import around_edges, judge
from tripoint._cpu.boundary.scan import plan_planes
from tripoint._cpu.compiled import compiled
from tripoint.sides import Edges

SLAB = 16
"""Planes treated at a time: bounds the memory for neighbours, 24 bytes per edge of a slab and its halo."""

CRUMB = 8
"""Corners of the largest ring that is looked at together with what is beside it."""


def junction_edges(
    phases: np.ndarray,
    spacing: tuple[float, float, float],
    triples: tuple[tuple[int, int, int], ...],
    *,
    weights: np.ndarray,
    access: np.ndarray | None,
    carriers: tuple[tuple[int, tuple[int, ...]], ...],
) -> Edges:
    """List the edges of every triple, sorted by (index, axis, triple), with their lengths.

    Parameters are those of :func:`tripoint._cpu.boundary.scan.scan`, and the weight of edges 0, 1, ... steps
    away.
    """
    labels = tuple(sorted({label for triple in triples for label in triple}))
    box = tuple((0, n) for n in phases.shape)
    plan = plan_planes(phases.shape, labels, triples, (), carriers if access is not None else (), box)
    volumes = memory(phases), memory(access), phases.shape
    search = plan.labels, plan.bits, plan.derived, plan.triples, plan.needs
    bounds = np.append(np.arange(0, len(phases), SLAB), len(phases))
    n_slabs = len(bounds) - 1
    counts = np.zeros(n_slabs, np.int64)

    nothing = (*_columns(0)[:4], np.empty(0, np.int8))

    def count(k: int) -> None:
        counts[k] = _find_records(*volumes, bounds[k], bounds[k + 1], *search, False, *nothing)

    on_threads(count, n_slabs)
    starts = np.concatenate([[0], np.cumsum(counts)])
    edges = _columns(int(starts[-1]))
    signs = np.empty(len(edges.index), np.int8)

    def find(k: int) -> None:
        columns = (column[starts[k] : starts[k + 1]] for column in (*edges[:4], signs))
        _find_records(*volumes, bounds[k], bounds[k + 1], *search, True, *columns)

    on_threads(find, n_slabs)
    scale = np.array(spacing, np.float64)
    halo = -(-len(weights) // SLAB)  # slabs

    def measure(k: int) -> None:
        first, last = starts[max(k - halo, 0)], starts[min(k + 1 + halo, n_slabs)]
        _measure_slab(
            edges.index[first:last], edges.axis[first:last], edges.triple[first:last], signs[first:last],
            edges.own_length[first:last], edges.edge_length[first:last],
            starts[k] - first, starts[k + 1] - first,
            bounds[k], bounds[k + 1], phases.shape, len(triples), scale, weights,
        )  # fmt: skip

    on_threads(measure, n_slabs)
    return edges


def _columns(n: int) -> Edges:
    small = [np.empty(n, np.uint8) for _ in range(3)]
    return Edges(np.empty(n, np.int64), *small, np.empty(n, np.float32), np.empty(n, np.float32))


@intrinsic
def _lowest_bit(typing, word):
    """Return the position of the lowest bit set in a uint64 that is not 0."""

    def generate(context, builder, signature, arguments):
        from llvmlite import ir

        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


# ---------------------------------------------------------------------------- from voxels to a list


@compiled()
def _find_records(
    phases, access, shape, first, last, labels, bits, derived, triples, needs, writing,
    index, axes, triple, status, signs,
):  # fmt: skip
    """Write the records of the planes first to last, or only count them."""
    words = shape[2] // 64 + 1
    n = shape[1] * words
    start = 1 + words
    judged = access[0] != 0
    n_triples, n_labels, n_bits = len(triples), len(labels), len(bits)
    n_planes = n_labels + n_bits + len(derived)
    here = np.zeros((n_planes, n + 2 * words + 2), np.uint64)
    above = np.zeros((n_planes, n + 2 * words + 2), np.uint64)
    ors = np.zeros((3, n_labels + 2 * needs.shape[1], n), np.uint64)
    pairs = np.zeros((2, n + 1), np.uint64)
    edge = np.zeros((3 * n_triples, n), np.uint64)
    works = np.zeros((3 * n_triples, n if judged else 0), np.uint64)
    doubtful = np.zeros((3 * n_triples, n if judged else 0), np.uint64)
    anything = np.zeros(n, np.uint64)
    row = np.zeros(words * 64, np.uint8)
    found = 0
    pack(phases, access, shape, first, labels, bits, derived, words, row, here)
    for z in range(first, last):
        pack(phases, access, shape, z + 1, labels, bits, derived, words, row, above)
        for k in range(ors.shape[1]):
            plane = k if k < n_labels else k + n_bits
            around_edges(here[plane], above[plane], start, n, words, pairs, ors[:, k])
        for i in range(n):
            anything[i] = np.uint64(0)
        for k in range(3 * n_triples):
            axis, t = k // n_triples, k % n_triples
            a, b, c = ors[axis, triples[t, 0]], ors[axis, triples[t, 1]], ors[axis, triples[t, 2]]
            line = edge[k]
            for i in range(n):
                line[i] = a[i] & b[i] & c[i]
            for i in range(n):
                anything[i] |= line[i]
            if not writing:
                for i in range(n):
                    found += popcount(line[i])
            elif judged:
                judge(line, ors[axis, n_labels:], needs[t], works[k], doubtful[k])
        if writing:
            found = _write_records(
                phases, labels, triples, anything, edge, works, doubtful, judged, words, z, shape, found,
                index, axes, triple, status, signs,
            )  # fmt: skip
        here, above = above, here
    return found


@compiled()
def _write_records(
    phases, labels, triples, anything, edge, works, doubtful, judged, words, z, shape, found,
    index, axes, triple, status, signs,
):  # fmt: skip
    for i in range(len(anything)):
        left = anything[i]
        y, x0 = i // words, (i % words) * 64
        while left != 0:
            x = x0 + _lowest_bit(left)
            one = left & (~left + np.uint64(1))
            left &= ~one
            for k in range(len(edge)):
                if edge[k, i] & one == 0:
                    continue
                axis, t = k // len(triples), k % len(triples)
                index[found] = (z * shape[1] + y) * shape[2] + x
                axes[found] = axis
                triple[found] = t
                a, b, c = labels[triples[t, 0]], labels[triples[t, 1]], labels[triples[t, 2]]
                signs[found] = _sense(phases, z, y, x, axis, a, b, c)
                if not judged:
                    status[found] = 255
                elif works[k, i] & one != 0:
                    status[found] = 2
                else:
                    status[found] = 1 if doubtful[k, i] & one != 0 else 0
                found += 1
    return found


@compiled()
def _sense(phases, z, y, x, axis, a, b, c):
    """Return the sense in which a, b, c follow each other around an edge: 1, -1, or 0 for a, b, a, c."""
    place = phases[0] + z * phases[1] + y * phases[2] + x * phases[3]
    one, two = phases[1 + (axis + 1) % 3], phases[1 + (axis + 2) % 3]
    before = byte_at(place + two)
    turns = 0
    for step in (0, one, one + two, two):
        label = byte_at(place + step)
        turns += (before == a and label == b) or (before == b and label == c) or (before == c and label == a)
        turns -= (before == b and label == a) or (before == c and label == b) or (before == a and label == c)
        before = label
    return (turns > 0) - (turns < 0)


# ---------------------------------------------------------------------------- from a list to lengths


@compiled()
def _measure_slab(
    index, axes, triple, signs, own_length, edge_length, begin, end,
    first, last, shape, n_triples, spacing, weights,
):  # fmt: skip
    """Measure the records begin to end, those of the planes first to last; the others are their halo."""
    low = max(first - len(weights), 0)
    high = min(last + len(weights), shape[0])
    # Lattice corners, one more than voxels along each axis; corner (z, y, x) is the lower end of voxel z. One
    # row and column more stay empty: a step beyond the last one meets nothing.
    rows, width = shape[1] + 2, shape[2] + 1
    words = width // 64 + 1
    occupied = np.zeros((high - low + 1) * rows * words, np.uint64)
    ranks = np.zeros(len(occupied) + 1, np.int32)
    strides = (np.int64(rows * words * 64), np.int64(words * 64), np.int64(1))
    for t in range(n_triples):
        n_corners = _mark_corners(index, axes, triple, t, shape, low, high, strides, occupied, ranks)
        neighbours = np.full((n_corners, 6), -1, np.int32)
        senses = np.zeros((n_corners, 3), np.int8)
        _link_corners(index, axes, triple, signs, t, shape, low, high, strides, occupied, ranks,
                      neighbours, senses)  # fmt: skip
        _measure_triple(index, axes, triple, signs, own_length, begin, end, t, shape, low, strides, occupied,
                        ranks, neighbours, senses, spacing, weights)  # fmt: skip
    i = begin
    while i < end:
        stop = i
        total = np.float64(0)
        while stop < end and index[stop] == index[i] and axes[stop] == axes[i]:
            total += own_length[stop]
            stop += 1
        for j in range(i, stop):
            edge_length[j] = total / (stop - i)
        i = stop


@compiled()
def _corner(index, shape, low, strides):
    """Return the place of the upper end of an edge, (z + 1, y + 1, x + 1) for voxel (z, y, x)."""
    x = index % shape[2]
    rest = index // shape[2]
    y, z = rest % shape[1], rest // shape[1]
    return (z + 1 - low) * strides[0] + (y + 1) * strides[1] + x + 1


@compiled()
def _is_within(index, low, high, shape):
    plane = np.int64(shape[1]) * shape[2]
    return index >= low * plane and index < high * plane


@compiled()
def _mark_corners(index, axes, triple, t, shape, low, high, strides, occupied, ranks):
    """Mark the corners that edges of a triple end at, and number them in raster order."""
    for i in range(len(occupied)):
        occupied[i] = np.uint64(0)
    for i in range(len(index)):
        if triple[i] == t and _is_within(index[i], low, high, shape):
            upper = _corner(index[i], shape, low, strides)
            lower = upper - strides[axes[i]]
            occupied[upper >> 6] |= np.uint64(1) << np.uint64(upper & 63)
            occupied[lower >> 6] |= np.uint64(1) << np.uint64(lower & 63)
    total = 0
    for i in range(len(occupied)):
        ranks[i] = total
        total += popcount(occupied[i])
    return total


@compiled()
def _rank(corner, occupied, ranks):
    below = (np.uint64(1) << np.uint64(corner & 63)) - np.uint64(1)
    return ranks[corner >> 6] + popcount(occupied[corner >> 6] & below)


@compiled()
def _link_corners(
    index, axes, triple, signs, t, shape, low, high, strides, occupied, ranks, neighbours, senses
):  # fmt: skip
    """Link the corners at both ends of every edge: slot axis is upwards, slot 3 + axis downwards."""
    for i in range(len(index)):
        if triple[i] == t and _is_within(index[i], low, high, shape):
            place = _corner(index[i], shape, low, strides)
            upper = _rank(place, occupied, ranks)
            lower = _rank(place - strides[axes[i]], occupied, ranks)
            neighbours[lower, axes[i]] = upper
            senses[lower, axes[i]] = signs[i]
            neighbours[upper, 3 + axes[i]] = lower
    # Corners side by side that no edge joins are remembered as -2 - corner, see _current.
    for word in range(len(occupied)):
        left = occupied[word]
        corner = ranks[word]
        while left != 0:
            place = word * 64 + _lowest_bit(left)
            left &= left - np.uint64(1)
            for axis in range(3):
                beside = place + strides[axis]
                if neighbours[corner, axis] >= 0 or beside >= 64 * len(occupied):
                    continue
                if (occupied[beside >> 6] >> np.uint64(beside & 63)) & np.uint64(1) != 0:
                    other = _rank(beside, occupied, ranks)
                    neighbours[corner, axis] = -2 - other
                    neighbours[other, 3 + axis] = -2 - corner
            corner += 1


@compiled()
def _measure_triple(
    index, axes, triple, signs, own_length, begin, end, t, shape, low, strides, occupied, ranks,
    neighbours, senses, spacing, weights,
):  # fmt: skip
    seen = np.full(len(neighbours), -1, np.int32)
    queue = np.empty((2 * (len(weights) + 1) ** 3, 2), np.int32)
    for i in range(begin, end):
        if triple[i] != t:
            continue
        if signs[i] == 0:
            own_length[i] = 0.0
            continue
        upper = _rank(_corner(index[i], shape, low, strides), occupied, ranks)
        n, z, y, x = _current(upper, axes[i], i - begin, False, neighbours, senses, seen, queue, weights)
        if n <= CRUMB:
            again = end - begin + i - begin
            n, z, y, x = _current(upper, axes[i], again, True, neighbours, senses, seen, queue, weights)
        z, y, x = z * spacing[0], y * spacing[1], x * spacing[2]
        along = z if axes[i] == 0 else (y if axes[i] == 1 else x)
        size = np.sqrt(z * z + y * y + x * x)
        own_length[i] = spacing[axes[i]] * (signs[i] * along / size if size > 0.0 else 1.0)


@compiled()
def _current(upper, axis, stamp, leaping, neighbours, senses, seen, queue, weights):
    """Sum the directed edges a few steps from one, the near ones with more weight.

    Leaping steps across gaps of one corner too. Where a wedge is thin single voxels come off it, and the
    rings around them count for nothing in the line that they came off, once seen together with it.
    """
    lower = neighbours[upper, 3 + axis]
    queue[0, 0], queue[0, 1] = upper, 1
    queue[1, 0], queue[1, 1] = lower, 1
    seen[upper] = stamp
    seen[lower] = stamp
    done, queued = 0, 2
    sums = np.zeros(3)
    sums[axis] = senses[lower, axis] * weights[0]
    while done < queued:
        corner, steps = queue[done, 0], queue[done, 1]
        # A corner is met before all that are farther, so an edge is summed from its nearer end.
        seen[corner] = -2 - stamp
        done += 1
        weight = weights[steps]
        for slot in range(6):
            other = neighbours[corner, slot]
            joined = other >= 0
            if leaping and other < -1:
                other = -2 - other
            if other < 0 or seen[other] == -2 - stamp:
                continue
            along = slot if slot < 3 else slot - 3
            if joined and (done > 2 or (other != upper and other != lower)):
                sums[along] += weight * senses[corner if slot < 3 else other, along]
            if steps + 1 < len(weights) and seen[other] != stamp:
                seen[other] = stamp
                queue[queued, 0], queue[queued, 1] = other, steps + 1
                queued += 1
    return queued, sums[0], sums[1], sums[2]
