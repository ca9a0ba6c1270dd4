"""Triple-phase edges as a list, each with the length of junction it stands for.

A digital line is a staircase that also thickens: in places several edges run side by side. Per edge, the
connected edges of its own triple nearby give the tangent of the line; the edge's length is its projection
on the tangent, shared with all edges whose projections overlap it. For a straight line the sum is the
length of the union of the projections, which is the length of the line however thick it became.

Everything is computed on the index lattice, where an anisotropic voxel is a cube like any other and a
straight line is straight too, and stretched by the voxel size along the tangent at the end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from tripoint._cpu.boundary.scan import (
    _JIT,
    _around_edges,
    _byte_at,
    _judge,
    _memory,
    _on_threads,
    _pack,
    _plan,
    popcount,
)

import os
REACH = int(os.environ.get("TREACH","4"))
"""Radius, in voxels, of the ball in which connected edges give the tangent."""

HALO = REACH + 1
SLAB = 16
"""Planes treated at a time: bounds the memory for neighbours, 24 bytes per edge of a slab and its halo."""

import os
POWER = float(os.environ.get("TPOW","2"))


class Edges(NamedTuple):
    """Columns of :class:`tripoint.boundary.JunctionEdges`."""

    index: np.ndarray
    axis: np.ndarray
    triple: np.ndarray
    status: np.ndarray
    own_length: np.ndarray
    edge_length: np.ndarray


def junction_edges(
    phases: np.ndarray,
    spacing: tuple[float, float, float],
    triples: tuple[tuple[int, int, int], ...],
    *,
    access: np.ndarray | None,
    carriers: tuple[tuple[int, tuple[int, ...]], ...],
) -> Edges:
    """List the edges of every triple, sorted by (index, axis, triple), with their lengths.

    Parameters are those of :func:`tripoint._cpu.boundary.scan.scan`.
    """
    labels = tuple(sorted({label for triple in triples for label in triple}))
    box = tuple((0, n) for n in phases.shape)
    plan = _plan(phases.shape, labels, triples, (), carriers if access is not None else (), box)
    volumes = _memory(phases), _memory(access), phases.shape
    search = plan.labels, plan.bits, plan.derived, plan.triples, plan.needs
    bounds = np.append(np.arange(0, len(phases), SLAB), len(phases))
    n_slabs = len(bounds) - 1
    counts = np.zeros(n_slabs, np.int64)

    def count(k: int) -> None:
        counts[k] = _find_records(*volumes, bounds[k], bounds[k + 1], *search, False, *_columns(0)[:4], np.empty(0, np.int8))

    _on_threads(count, n_slabs)
    starts = np.concatenate([[0], np.cumsum(counts)])
    edges = _columns(int(starts[-1]))
    signs = np.empty(len(edges.index), np.int8)

    def find(k: int) -> None:
        columns = (column[starts[k] : starts[k + 1]] for column in (*edges[:4], signs))
        _find_records(*volumes, bounds[k], bounds[k + 1], *search, True, *columns)

    _on_threads(find, n_slabs)
    scale = np.array(spacing, np.float64)
    halo = -(-HALO // SLAB)  # slabs

    def measure(k: int) -> None:
        first, last = starts[max(k - halo, 0)], starts[min(k + 1 + halo, n_slabs)]
        _measure_slab(
            edges.index[first:last], edges.axis[first:last], edges.triple[first:last], signs[first:last],
            edges.own_length[first:last], edges.edge_length[first:last],
            starts[k] - first, starts[k + 1] - first,
            bounds[k], bounds[k + 1], phases.shape, len(triples), scale,
        )  # fmt: skip

    _on_threads(measure, n_slabs)
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


@njit(**_JIT)
def _find_records(
    phases, access, shape, first, last, labels, bits, derived, triples, needs, writing,
    index, axes, triple, status, signs,
):  # fmt: skip
    """Write the records of the planes first to last, or only count them."""
    words = shape[2] // 64 + 1
    n = shape[1] * words
    start = 1 + words
    judged = access[0] != 0
    n_triples, n_planes = len(triples), len(labels) + len(bits)
    here = np.zeros((n_planes, n + 2 * words + 2), np.uint64)
    above = np.zeros((n_planes, n + 2 * words + 2), np.uint64)
    ors = np.zeros((3, n_planes, n), np.uint64)
    pairs = np.zeros((2, n + 1), np.uint64)
    edge = np.zeros((3 * n_triples, n), np.uint64)
    works = np.zeros((3 * n_triples, n if judged else 0), np.uint64)
    doubtful = np.zeros((3 * n_triples, n if judged else 0), np.uint64)
    anything = np.zeros(n, np.uint64)
    row = np.zeros(words * 64, np.uint8)
    found = 0
    _pack(phases, access, shape, first, labels, bits, derived, words, row, here)
    for z in range(first, last):
        _pack(phases, access, shape, z + 1, labels, bits, derived, words, row, above)
        for k in range(n_planes):
            _around_edges(here[k], above[k], start, n, words, pairs, ors[:, k])
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
                _judge(line, ors[axis, len(labels) :], needs[t], works[k], doubtful[k])
        if writing:
            found = _write_records(
                phases, labels, triples, anything, edge, works, doubtful, judged, words, z, shape, found,
                index, axes, triple, status, signs,
            )  # fmt: skip
        here, above = above, here
    return found


@njit(**_JIT)
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


@njit(**_JIT)
def _sense(phases, z, y, x, axis, a, b, c):
    """Return the sense in which a, b, c follow each other around an edge: 1, -1, or 0 for a, b, a, c."""
    place = phases[0] + z * phases[1] + y * phases[2] + x * phases[3]
    one, two = phases[1 + (axis + 1) % 3], phases[1 + (axis + 2) % 3]
    before = _byte_at(place + two)
    turns = 0
    for step in (0, one, one + two, two):
        label = _byte_at(place + step)
        turns += (before == a and label == b) or (before == b and label == c) or (before == c and label == a)
        turns -= (before == b and label == a) or (before == c and label == b) or (before == a and label == c)
        before = label
    return (turns > 0) - (turns < 0)


# ---------------------------------------------------------------------------- from a list to lengths


@njit(**_JIT)
def _measure_slab(
    index, axes, triple, signs, own_length, edge_length, begin, end, first, last, shape, n_triples, spacing
):  # fmt: skip
    """Measure the records begin to end, those of the planes first to last; the others are their halo."""
    low = max(first - HALO, 0)
    high = min(last + HALO, shape[0])
    # Lattice corners, one more than voxels along each axis; corner (z, y, x) is the lower end of voxel z.
    rows, width = shape[1] + 1, shape[2] + 1
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
                        ranks, neighbours, senses, spacing)  # fmt: skip
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


@njit(**_JIT)
def _corner(index, shape, low, strides):
    """Return the place of the upper end of an edge, (z + 1, y + 1, x + 1) for voxel (z, y, x)."""
    x = index % shape[2]
    rest = index // shape[2]
    y, z = rest % shape[1], rest // shape[1]
    return (z + 1 - low) * strides[0] + (y + 1) * strides[1] + x + 1


@njit(**_JIT)
def _is_within(index, low, high, shape):
    plane = np.int64(shape[1]) * shape[2]
    return index >= low * plane and index < high * plane


@njit(**_JIT)
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


@njit(**_JIT)
def _rank(corner, occupied, ranks):
    below = (np.uint64(1) << np.uint64(corner & 63)) - np.uint64(1)
    return ranks[corner >> 6] + popcount(occupied[corner >> 6] & below)


@njit(**_JIT)
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


@njit(**_JIT)
def _measure_triple(
    index, axes, triple, signs, own_length, begin, end, t, shape, low, strides, occupied, ranks,
    neighbours, senses, spacing,
):  # fmt: skip
    seen = np.full(len(neighbours), -1, np.int32)
    queue = np.empty((16 * (REACH + 1) ** 3, 4), np.int32)
    weights = np.empty(4 * REACH * REACH + 1)
    for d in range(len(weights)):
        weights[d] = (1.0 - d / (4.0 * REACH * REACH)) ** POWER
    for i in range(begin, end):
        if triple[i] != t:
            continue
        if signs[i] == 0:
            own_length[i] = 0.0
            continue
        upper = _rank(_corner(index[i], shape, low, strides), occupied, ranks)
        z, y, x = _current(upper, axes[i], i, neighbours, senses, seen, queue, weights)
        z, y, x = z * spacing[0], y * spacing[1], x * spacing[2]
        along = z if axes[i] == 0 else (y if axes[i] == 1 else x)
        size = np.sqrt(z * z + y * y + x * x)
        own_length[i] = spacing[axes[i]] * (signs[i] * along / size if size > 0.0 else 1.0)


@njit(**_JIT)
def _current(upper, axis, stamp, neighbours, senses, seen, queue, weights):
    """Sum the directed edges connected to one within REACH, the near ones with more weight.

    Offsets are twice those of corners and midpoints from the edge's midpoint, hence integers.
    """
    queue[0, 0] = upper
    for k in range(3):
        queue[0, 1 + k] = 1 if k == axis else 0
    seen[upper] = stamp
    done, queued = 0, 1
    sum_z = sum_y = sum_x = 0.0
    while done < queued:
        corner, z, y, x = queue[done, 0], queue[done, 1], queue[done, 2], queue[done, 3]
        done += 1
        for slot in range(6):
            other = neighbours[corner, slot]
            if other < 0:
                continue
            along = slot if slot < 3 else slot - 3
            step = 1 if slot < 3 else -1
            dz, dy, dx = step * (along == 0), step * (along == 1), step * (along == 2)
            mz, my, mx = z + dz, y + dy, x + dx
            distance = mz * mz + my * my + mx * mx
            if distance >= len(weights):
                continue
            if step == 1:
                directed = weights[distance] * senses[corner, along]
                sum_z += dz * directed
                sum_y += dy * directed
                sum_x += dx * directed
            if seen[other] != stamp:
                seen[other] = stamp
                queue[queued, 0] = other
                queue[queued, 1], queue[queued, 2], queue[queued, 3] = mz + dz, my + dy, mx + dx
                queued += 1
    return sum_z, sum_y, sum_x
