"""One pass over a label volume, 64 voxels to a machine word.

Each z-plane is packed into bit planes: one bit per voxel and label ("is it label a?"), per access bit
("is it connected for carrier c?") and per pair of both. A transition between two labels is then an AND
of one bit plane with the other one shifted, a triple-phase edge an AND of ORs of four rows, and counting
is a population count. Two planes are kept at a time, so the pass needs little memory beyond its result.

Rows are padded with at least one zero bit and planes with a zero row on either side. What would lie
outside the volume has no label, so that no loop needs to treat the border apart: a plane of rows is one
flat run of words, and a neighbour is an offset in it and a shift by one bit.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

CHUNK = 256
"""Words treated at a time, so that the bit planes at work stay in the first-level cache."""

_JIT = {"cache": True, "nogil": True, "error_model": "numpy"}


class Counts(NamedTuple):
    """What one pass over a volume counts.

    ``edges`` (triples, 3 axes, 3) and ``total`` (3 axes, 3): all, active, unknown. ``transitions`` and
    ``connected`` (pairs, 13 directions). ``junction_map`` uint8 of the box's shape, or None.
    """

    edges: np.ndarray
    total: np.ndarray
    transitions: np.ndarray
    connected: np.ndarray
    junction_map: np.ndarray | None


class _Plan(NamedTuple):
    """Which bit planes there are and what is counted on them; indices are those of bit planes."""

    labels: np.ndarray  # uint8: bit plane k < len(labels) is "voxel == labels[k]"
    bits: np.ndarray  # uint8: then "access & bits[k]", connected and other face in turn per carrier
    derived: np.ndarray  # (n, 2): then the AND of two bit planes, first those that judge edges
    pairs: np.ndarray  # (pairs, 2)
    routes: np.ndarray  # (n, 3): pair, bit plane on one side, bit plane on the other
    triples: np.ndarray  # (triples, 3)
    needs: np.ndarray  # (triples, judges) bool: the triple has this phase, which conducts this carrier
    mask: np.ndarray  # uint64: voxels of one plane that own what is counted


def scan(
    phases: np.ndarray,
    labels: tuple[int, ...],
    triples: tuple[tuple[int, int, int], ...],
    pairs: tuple[tuple[int, int], ...],
    *,
    access: np.ndarray | None,
    carriers: tuple[tuple[int, tuple[int, ...]], ...],
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]],
    junction_map: bool,
) -> Counts:
    """Count edges, transitions and connected transitions owned by the voxels of a box, in one pass.

    Parameters
    ----------
    phases : (z, y, x) uint8, any memory layout
    labels, triples, pairs
        The labels, and the triples and pairs of them that are counted.
    access : (z, y, x) uint8 or None
        Access bits, see :class:`tripoint.boundary.Access`.
    carriers
        Index and labels of each carrier that has a network.
    box : three (begin, end)
        Voxels that own what is counted. Their neighbours outside it are read.
    junction_map : bool
        Whether to mark the voxels of the box that touch an edge: 1 byte per voxel of the box.
    """
    plan = _plan(phases.shape, labels, triples, pairs, carriers if access is not None else (), box)
    (z0, z1), (y0, y1), (x0, x1) = box
    bounds = _slabs(z0, z1)
    n_slabs = len(bounds) - 1
    edges = np.zeros((n_slabs, len(triples), 3, 3), np.int64)
    total = np.zeros((n_slabs, 3, 3), np.int64)
    transitions = np.zeros((n_slabs, len(pairs), 13), np.int64)
    connected = np.zeros((n_slabs, len(pairs), 13), np.int64)
    marks = np.empty((z1 - z0, y1 - y0, x1 - x0) if junction_map else (0, 0, 0), np.uint8)
    volumes = _memory(phases), _memory(access), phases.shape
    box_array = np.array(box, np.int64)

    def work(k: int) -> None:
        counts = edges[k], total[k], transitions[k], connected[k]
        _scan_slab(*volumes, bounds[k], bounds[k + 1], box_array, *plan, *counts, marks)

    _on_threads(work, n_slabs)
    return Counts(
        edges.sum(axis=0),
        total.sum(axis=0),
        transitions.sum(axis=0),
        connected.sum(axis=0),
        marks if junction_map else None,
    )


def labels_present(phases: np.ndarray) -> tuple[int, ...]:
    """Return the distinct labels of a volume, ascending, in one pass without memory of its own."""
    bounds = _slabs(0, len(phases))
    present = np.zeros((len(bounds) - 1, 256), np.bool_)
    memory = _memory(phases)

    def work(k: int) -> None:
        _find_labels(memory, phases.shape, bounds[k], bounds[k + 1], present[k])

    _on_threads(work, len(present))
    return tuple(np.flatnonzero(present.any(axis=0)).tolist())


def _slabs(begin: int, end: int) -> np.ndarray:
    """Cut a range of planes into a few slabs per thread; no result depends on where."""
    return np.linspace(begin, end, max(1, min(end - begin, 4 * numba.get_num_threads())) + 1).astype(np.int64)


def _on_threads(work: Callable[[int], None], n: int) -> None:
    """Run compiled work, which holds no lock, on numba's number of threads.

    A third of the compile time of a parallel loop of numba's own, and callers may be threads themselves.
    """
    if n == 1 or numba.get_num_threads() == 1:
        for k in range(n):
            work(k)
        return
    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        for _ in pool.map(work, range(n)):
            pass


def _memory(volume: np.ndarray | None) -> tuple[int, int, int, int]:
    """Return address and strides: loops over them are compiled once for every layout, read-only or not."""
    return (0, 0, 0, 0) if volume is None else (volume.ctypes.data, *volume.strides)


def _plan(shape, labels, triples, pairs, carriers, box) -> _Plan:
    plane_of = {label: k for k, label in enumerate(labels)}
    bits = [bit for carrier, _ in carriers for bit in (1 << 2 * carrier, 2 << 2 * carrier)]
    connected_plane = {carrier: len(labels) + 2 * k for k, (carrier, _) in enumerate(carriers)}
    derived: dict[tuple[int, int], int] = {}

    def plane_of_both(one: int, other: int) -> int:
        return derived.setdefault((one, other), len(labels) + len(bits) + len(derived))

    judges = [
        (label, carrier)
        for carrier, network in carriers
        for label in sorted({label for triple in triples for label in triple})
        if label in network
    ]
    for label, carrier in judges:
        plane_of_both(plane_of[label], connected_plane[carrier])
        plane_of_both(plane_of[label], connected_plane[carrier] + 1)
    routes = []
    for number, (a, b) in enumerate(pairs):
        for first, conductors in carriers:
            for second, others in carriers:
                if first != second and a in conductors and b in others:
                    sides = ((plane_of[a], connected_plane[first]), (plane_of[b], connected_plane[second]))
                    routes.append((number, *(plane_of_both(*side) for side in sides)))
    needs = [[label in triple for label, _ in judges] for triple in triples]
    return _Plan(
        np.array(labels, np.uint8),
        np.array(bits, np.uint8),
        np.array(list(derived), np.int64).reshape(-1, 2),
        np.array([[plane_of[a] for a in pair] for pair in pairs], np.int64).reshape(-1, 2),
        np.array(routes, np.int64).reshape(-1, 3),
        np.array([[plane_of[a] for a in triple] for triple in triples], np.int64).reshape(-1, 3),
        np.array(needs, np.bool_).reshape(len(triples), len(judges)),
        _owners(shape, box),
    )


def _owners(shape, box) -> np.ndarray:
    """Return the bit plane of the voxels whose edges and transitions are counted."""
    words = shape[2] // 64 + 1
    x = np.zeros(words * 64, np.uint8)
    x[box[2][0] : box[2][1]] = 1
    row = np.packbits(x, bitorder="little").view("<u8").astype(np.uint64)
    mask = np.zeros((shape[1] + 2, words), np.uint64)
    mask[1 + box[1][0] : 1 + box[1][1]] = row
    return np.concatenate([[np.uint64(0)], mask.ravel(), [np.uint64(0)]]).astype(np.uint64)


# ---------------------------------------------------------------------------- words of 64 voxels


def _vector(bits):
    return ir.VectorType(ir.IntType(bits), 64)


def _splat(builder, value):
    vector = builder.insert_element(
        ir.Constant(_vector(8), ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
    )
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
    return builder.shuffle_vector(vector, ir.Constant(_vector(8), ir.Undefined), lanes)


def _bytes_at(builder, address):
    pointer = builder.inttoptr(address, _vector(8).as_pointer())
    loaded = builder.load(pointer)
    loaded.align = 1
    return loaded


@intrinsic
def popcount(typing, word):
    """Return the number of bits set in a uint64."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@intrinsic
def _byte_at(typing, address):
    """Return the byte at an address."""

    def generate(context, builder, signature, arguments):
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(8).as_pointer()))

    return types.uint8(types.int64), generate


@intrinsic
def _equal(typing, address, label):
    """Return one bit per byte of the 64 at an address, set where it is this label."""

    def generate(context, builder, signature, arguments):
        match = builder.icmp_unsigned("==", _bytes_at(builder, arguments[0]), _splat(builder, arguments[1]))
        return builder.bitcast(match, ir.IntType(64))

    return types.uint64(types.int64, types.uint8), generate


@intrinsic
def _any_bit(typing, address, bits):
    """Return one bit per byte of the 64 at an address, set where it has any of these bits."""

    def generate(context, builder, signature, arguments):
        found = builder.and_(_bytes_at(builder, arguments[0]), _splat(builder, arguments[1]))
        zero = ir.Constant(_vector(8), [0] * 64)
        return builder.bitcast(builder.icmp_unsigned("!=", found, zero), ir.IntType(64))

    return types.uint64(types.int64, types.uint8), generate


@intrinsic
def _spread(typing, address, low, high):
    """Write 64 bytes of two bits each at an address: bit i of low and of high become byte i."""

    def generate(context, builder, signature, arguments):
        address, low, high = arguments
        lanes = [builder.zext(builder.bitcast(word, _vector(1)), _vector(8)) for word in (low, high)]
        values = builder.or_(lanes[0], builder.shl(lanes[1], ir.Constant(_vector(8), [1] * 64)))
        stored = builder.store(values, builder.inttoptr(address, _vector(8).as_pointer()))
        stored.align = 1
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64, types.uint64), generate


# ---------------------------------------------------------------------------- the pass


@njit(**_JIT)
def _scan_slab(
    phases, access, shape, first, last, box, labels, bits, derived, pairs, routes, triples, needs, mask,
    edges, total, transitions, connected, marks,
):  # fmt: skip
    """Scan the planes first to last; counts go to the slab's own arrays, so that threads never meet."""
    words = shape[2] // 64 + 1
    begin, end = 1 + words, 1 + (shape[1] + 1) * words
    marking = marks.size > 0
    statuses = 3 if access[0] != 0 else 1
    n_planes = len(labels) + len(bits) + len(derived)
    here = np.zeros((n_planes, len(mask)), np.uint64)
    above = np.zeros((n_planes, len(mask)), np.uint64)
    meeting = np.zeros((3, statuses, len(mask)), np.uint64)
    rising = np.zeros((statuses, len(mask)), np.uint64)
    ors = np.zeros((3, len(labels) + 2 * needs.shape[1], CHUNK), np.uint64)
    touched = np.zeros((statuses, len(mask)), np.uint64)
    found = np.zeros((3, CHUNK + 1), np.uint64)
    row = np.zeros(words * 64, np.uint8)

    # Edges owned by the plane below also touch voxels of the first one: it is read for the map alone.
    start = first - 1 if marking and first > 0 else first
    _pack(phases, access, shape, start, labels, bits, derived, words, row, here)
    for z in range(start, last):
        _pack(phases, access, shape, z + 1, labels, bits, derived, words, row, above)
        counted = z >= first
        for chunk in range(begin, end, CHUNK):
            stop = min(chunk + CHUNK, end)
            if counted:
                _count_transitions(here, above, pairs, routes, mask, chunk, stop, words, found[0],
                                   transitions, connected)  # fmt: skip
            if len(triples) > 0:
                _find_edges(here, above, len(labels), len(bits), triples, needs, mask, chunk, stop, words,
                            counted, ors, found, meeting, edges, total)  # fmt: skip
        if marking:
            for status in range(statuses):
                _touch(meeting[:, status], words, rising[status], touched[status])
            if counted:
                _write_marks(touched, z, box, words, row, marks)
        here, above = above, here


@njit(**_JIT)
def _pack(phases, access, shape, z, labels, bits, derived, words, row, planes):
    """Fill the bit planes of one z; beyond the volume they are empty."""
    if z >= shape[0]:
        planes[:] = 0
        return
    n_labels = len(labels)
    for y in range(shape[1]):
        offset = 1 + (y + 1) * words
        _pack_row(phases, z, y, shape[2], labels, True, words, offset, row, planes[:n_labels])
        if len(bits) > 0:
            _pack_row(access, z, y, shape[2], bits, False, words, offset, row, planes[n_labels:])
    for k in range(len(derived)):
        one, other = planes[derived[k, 0]], planes[derived[k, 1]]
        both = planes[n_labels + len(bits) + k]
        for i in range(len(both)):
            both[i] = one[i] & other[i]


@njit(**_JIT)
def _pack_row(volume, z, y, size, values, equal, words, offset, row, planes):
    """Pack one row of voxels; a row that is short or not contiguous goes through a buffer."""
    line = volume[0] + z * volume[1] + y * volume[2]
    if volume[3] != 1 or size < 64:
        row[size:] = 0
        for x in range(size):
            row[x] = _byte_at(line + x * volume[3])
        line = row.ctypes.data
    whole, rest = size // 64, size % 64
    for k in range(len(values)):
        value, plane = values[k], planes[k, offset : offset + words]
        for word in range(whole):
            plane[word] = _match(line + word * 64, value, equal)
        plane[whole] = np.uint64(0)
        if rest > 0 and whole > 0:  # the last 64 voxels, less those that were in the word before
            plane[whole] = _match(line + size - 64, value, equal) >> np.uint64(64 - rest)
        elif rest > 0:
            plane[0] = _match(line, value, equal) & ((np.uint64(1) << np.uint64(rest)) - np.uint64(1))


@njit(**_JIT)
def _match(address, value, equal):
    return _equal(address, value) if equal else _any_bit(address, value)


@njit(**_JIT)
def _count_transitions(here, above, pairs, routes, mask, start, stop, words, found, transitions, connected):
    """Count pairs of voxels (p, p + d) of two phases along the 13 directions, p owning them."""
    own = mask[start:stop]
    for d in range(13):
        dz, dy, dx = _step(d)
        there = above if dz == 1 else here
        shift = start + dy * words
        for k in range(len(pairs)):
            a, b = pairs[k, 0], pairs[k, 1]
            transitions[k, d] += _count_pair(here[a], here[b], there[a], there[b], own, start, shift, dx)
        for k in range(len(routes)):
            a, b = routes[k, 1], routes[k, 2]
            fresh = k == 0 or routes[k, 0] != routes[k - 1, 0]
            done = k + 1 == len(routes) or routes[k, 0] != routes[k + 1, 0]
            if fresh and done:
                count = _count_pair(here[a], here[b], there[a], there[b], own, start, shift, dx)
                connected[routes[k, 0], d] += count
                continue
            # Several pairs of carriers may connect the same transition: collect first, then count.
            if fresh:
                found[:] = 0
            _find_pair(here[a], here[b], there[a], there[b], start, shift, dx, found[: stop - start])
            if done:
                for i in range(stop - start):
                    connected[routes[k, 0], d] += popcount(found[i] & own[i])


@njit(**_JIT)
def _step(d):
    """Return direction d, in the order of ``tripoint.boundary.crofton.DIRECTIONS``."""
    if d == 0:
        return 1, 0, 0
    if d == 1:
        return 0, 1, 0
    if d == 2:
        return 0, 0, 1
    if d < 5:
        return 0, 1, 7 - 2 * d
    if d < 7:
        return 1, 0, 11 - 2 * d
    if d < 9:
        return 1, 15 - 2 * d, 0
    return 1, 1 if d < 11 else -1, 1 if d % 2 == 1 else -1


@njit(**_JIT)
def _count_pair(a, b, near_a, near_b, own, start, shift, dx):
    n = len(own)
    a, b = a[start : start + n], b[start : start + n]
    side_a, side_b = near_a[shift + dx : shift + dx + n], near_b[shift + dx : shift + dx + n]
    near_a, near_b = near_a[shift : shift + n], near_b[shift : shift + n]
    one, most = np.uint64(1), np.uint64(63)
    count = np.int64(0)
    if dx == 0:
        for i in range(n):
            count += popcount(((a[i] & near_b[i]) | (b[i] & near_a[i])) & own[i])
    elif dx == 1:
        for i in range(n):
            to_a = (near_a[i] >> one) | (side_a[i] << most)
            to_b = (near_b[i] >> one) | (side_b[i] << most)
            count += popcount(((a[i] & to_b) | (b[i] & to_a)) & own[i])
    else:
        for i in range(n):
            to_a = (near_a[i] << one) | (side_a[i] >> most)
            to_b = (near_b[i] << one) | (side_b[i] >> most)
            count += popcount(((a[i] & to_b) | (b[i] & to_a)) & own[i])
    return count


@njit(**_JIT)
def _find_pair(a, b, near_a, near_b, start, shift, dx, found):
    one, most = np.uint64(1), np.uint64(63)
    for i in range(len(found)):
        to_a, to_b = near_a[shift + i], near_b[shift + i]
        if dx == 1:
            to_a = (to_a >> one) | (near_a[shift + i + 1] << most)
            to_b = (to_b >> one) | (near_b[shift + i + 1] << most)
        elif dx == -1:
            to_a = (to_a << one) | (near_a[shift + i - 1] >> most)
            to_b = (to_b << one) | (near_b[shift + i - 1] >> most)
        found[i] |= (a[start + i] & to_b) | (b[start + i] & to_a)


@njit(**_JIT)
def _find_edges(
    here, above, n_labels, n_bits, triples, needs, mask, start, stop, words, counted,
    ors, found, meeting, edges, total,
):  # fmt: skip
    """Find the edges of every triple and axis, count them, and collect them over all triples."""
    n = stop - start
    own = mask[start:stop] if counted else np.zeros(n, np.uint64)
    for k in range(ors.shape[1]):
        plane = k if k < n_labels else k + n_bits
        _around_edges(here[plane], above[plane], start, n, words, found, ors[:, k])
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
                _judge(edge, ors[axis, n_labels:], needs[t], works, doubtful)
                edges[t, axis, 1] += _collect(works, own, reached[1])
                edges[t, axis, 2] += _collect(doubtful, own, reached[2])
        total[axis, 0] += _count(reached[0], own)
        if len(reached) == 3:
            total[axis, 1] += _count(reached[1], own)
            for i in range(n):  # where triples differ in one lattice edge, its best one counts
                doubtful[i] = reached[2, i] & ~reached[1, i]
            total[axis, 2] += _count(doubtful, own)


# The loops below are one thought each, with few arrays, because compilers vectorise those.


@njit(**_JIT)
def _around_edges(here, above, start, n, words, pairs, around):
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


@njit(**_JIT)
def _or_next(bits, out):
    one, most = np.uint64(1), np.uint64(63)
    for i in range(len(out)):
        out[i] = bits[i] | (bits[i] >> one) | (bits[i + 1] << most)


@njit(**_JIT)
def _collect(bits, own, into):
    count = np.int64(0)
    for i in range(len(bits)):
        into[i] |= bits[i]
        count += popcount(bits[i] & own[i])
    return count


@njit(**_JIT)
def _count(bits, own):
    count = np.int64(0)
    for i in range(len(bits)):
        count += popcount(bits[i] & own[i])
    return count


@njit(**_JIT)
def _judge(edge, around, needs, works, doubtful):
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


@njit(**_JIT)
def _touch(meeting, words, rising, touched):
    """OR into touched the voxels of a plane that touch its edges or those of the plane below (rising)."""
    along_z, along_y, along_x = meeting[0], meeting[1], meeting[2]
    first, n = 1 + words, len(rising) - 2 - words
    for i in range(len(rising)):
        touched[i] = rising[i]
        rising[i] = along_x[i]
    _or_into(along_x[first - words :], rising[first : first + n])
    _or_before(along_y[first - 1 :], rising[first : first + n])
    _or_into(rising, touched)
    _or_before(along_z[first - 1 :], touched[first : first + n])
    _or_before(along_z[first - words - 1 :], touched[first : first + n])


@njit(**_JIT)
def _or_into(bits, into):
    for i in range(len(into)):
        into[i] |= bits[i]


@njit(**_JIT)
def _or_before(bits, into):
    """OR bits, which start one word earlier, and the same moved up by one voxel."""
    one, most = np.uint64(1), np.uint64(63)
    for i in range(len(into)):
        into[i] |= bits[i + 1] | (bits[i + 1] << one) | (bits[i] >> most)


@njit(**_JIT)
def _write_marks(touched, z, box, words, row, marks):
    """Write 1 dead, 2 unknown, 3 active per voxel; without access every edge is 1."""
    y0, x0, x1 = box[1, 0], box[2, 0], box[2, 1]
    if len(touched) == 3:
        anything, active, unknown = touched[0], touched[1], touched[2]
        for i in range(len(unknown)):
            unknown[i] |= active[i]  # now the high bit
        for i in range(len(anything)):
            anything[i] = active[i] | (anything[i] & ~unknown[i])  # now the low bit
    for y in range(y0, box[1, 1]):
        offset = 1 + (y + 1) * words
        for word in range(words):
            high = touched[2, offset + word] if len(touched) == 3 else np.uint64(0)
            _spread(row.ctypes.data + word * 64, touched[0, offset + word], high)
        line = marks[z - box[0, 0], y - y0]
        for x in range(x1 - x0):
            line[x] = row[x0 + x]


@njit(**_JIT)
def _find_labels(volume, shape, first, last, present):
    """Look closely only at words that hold a label not seen before."""
    known = np.zeros(256, np.uint8)
    n_known = 0
    size = shape[2]
    direct = size // 64 if volume[3] == 1 else 0
    for z in range(first, last):
        for y in range(shape[1]):
            line = volume[0] + z * volume[1] + y * volume[2]
            for word in range(direct + 1):
                begin, end = word * 64, word * 64 + 64
                if word == direct:
                    end = size
                else:
                    seen = np.uint64(0)
                    for k in range(n_known):
                        seen |= _equal(line + begin, known[k])
                    if seen == ~np.uint64(0):
                        continue
                for x in range(begin, end):
                    label = _byte_at(line + x * volume[3])
                    if not present[label]:
                        present[label] = True
                        known[n_known] = label
                        n_known += 1
