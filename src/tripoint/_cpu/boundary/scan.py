"""One pass over a label volume, 64 voxels to a machine word.

Each z-plane is packed into bit planes: one bit per voxel and label ("is it label a?"), per access bit
("is it connected for carrier c?") and per pair of both. A transition between two labels is then an AND
of one bit plane with the other one shifted, a triple-phase edge an AND of ORs of four rows, and counting
is a population count. Two planes are kept at a time, so the pass needs little memory beyond its result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tripoint._cpu.boundary.bits import memory, on_threads, pack, popcount, slabs, spread
from tripoint._cpu.boundary.edges import find_edges
from tripoint._cpu.compiled import compiled
from tripoint.sides import Counts

CHUNK = 256
"""Words treated at a time, so that the bit planes at work stay in the first-level cache."""


class Plan(NamedTuple):
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
    plan = plan_planes(phases.shape, labels, triples, pairs, carriers if access is not None else (), box)
    (z0, z1), (y0, y1), (x0, x1) = box
    bounds = slabs(z0, z1)
    n_slabs = len(bounds) - 1
    edges = np.zeros((n_slabs, len(triples), 3, 3), np.int64)
    total = np.zeros((n_slabs, 3, 3), np.int64)
    transitions = np.zeros((n_slabs, len(pairs), 13), np.int64)
    connected = np.zeros((n_slabs, len(pairs), 13), np.int64)
    marks = np.empty((z1 - z0, y1 - y0, x1 - x0) if junction_map else (0, 0, 0), np.uint8)
    volumes = memory(phases), memory(access), phases.shape
    box_array = np.array(box, np.int64)

    def work(k: int) -> None:
        counts = edges[k], total[k], transitions[k], connected[k]
        _scan_slab(*volumes, bounds[k], bounds[k + 1], box_array, *plan, *counts, marks)

    on_threads(work, n_slabs)
    return Counts(
        edges.sum(axis=0),
        total.sum(axis=0),
        transitions.sum(axis=0),
        connected.sum(axis=0),
        marks if junction_map else None,
    )


def plan_planes(shape, labels, triples, pairs, carriers, box) -> Plan:
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
    return Plan(
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


# ---------------------------------------------------------------------------- the pass


@compiled()
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
    pack(phases, access, shape, start, labels, bits, derived, words, row, here)
    for z in range(start, last):
        pack(phases, access, shape, z + 1, labels, bits, derived, words, row, above)
        counted = z >= first
        for chunk in range(begin, end, CHUNK):
            stop = min(chunk + CHUNK, end)
            if counted:
                _count_transitions(here, above, pairs, routes, mask, chunk, stop, words, found[0],
                                   transitions, connected)  # fmt: skip
            if len(triples) > 0:
                find_edges(here, above, len(labels), len(bits), triples, needs, mask, chunk, stop, words,
                            counted, ors, found, meeting, edges, total)  # fmt: skip
        if marking:
            for status in range(statuses):
                _touch(meeting[:, status], words, rising[status], touched[status])
            if counted:
                _write_marks(touched, z, box, words, row, marks)
        here, above = above, here


@compiled()
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


@compiled()
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


@compiled()
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


@compiled()
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


@compiled()
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


@compiled()
def _or_into(bits, into):
    for i in range(len(into)):
        into[i] |= bits[i]


@compiled()
def _or_before(bits, into):
    """OR bits, which start one word earlier, and the same moved up by one voxel."""
    one, most = np.uint64(1), np.uint64(63)
    for i in range(len(into)):
        into[i] |= bits[i + 1] | (bits[i + 1] << one) | (bits[i] >> most)


@compiled()
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
            spread(row.ctypes.data + word * 64, touched[0, offset + word], high)
        line = marks[z - box[0, 0], y - y0]
        for x in range(x1 - x0):
            line[x] = row[x0 + x]
