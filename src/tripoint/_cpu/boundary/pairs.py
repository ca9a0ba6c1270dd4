"""Pairs of regions that meet, counted on the host.

The volume is cut into slabs that threads count on their own; every count is an integer and belongs
to the lowest of its voxels, so the sum over slabs does not depend on how they were cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from tripoint._cpu.compiled import compiled
from tripoint.sides import PairCounts

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

ROW = 10  # int64 words of a pair's row, see PairCounts.rows
RADIUS = 13  # its neck radius, as 32-bit lane
SUMS = 7  # its first sum of positions, as 64-bit word
TILE = 64  # rows of y counted together: the pairs of a tile stay in the processor's cache
OUTSIDE = -1  # stands for the voxels beyond the volume

# The lowest bit that is set, for every set of lanes.
LOWEST = np.array([0] + [(m & -m).bit_length() - 1 for m in range(1, 1 << 13)], np.uint8)


def count(
    regions: np.ndarray,
    distance: np.ndarray | None = None,
    phases: np.ndarray | None = None,
    areas: bool = True,
    box: Box | None = None,
    origin: tuple[int, int, int] = (0, 0, 0),
) -> PairCounts:
    """Count the pairs whose lowest voxel lies in a box; neighbours beyond it are read where there are any.

    Parameters
    ----------
    regions, distance, phases
        As in :func:`tripoint.boundary.contacts`.
    areas : bool
        Count along all 13 directions, or along the three axes alone.
    box : ((z0, z1), (y0, y1), (x0, x1)), optional
        The whole array by default.
    origin : (z, y, x)
        Where the array's first voxel lies in the whole volume.

    Returns
    -------
    PairCounts
        A pair that several slabs met has several rows; :func:`merge` sums them.
    """
    (z0, z1), y, x = box or tuple((0, n) for n in regions.shape)
    threads = numba.get_num_threads()
    thickness = min(max(8, -(-(z1 - z0) // (4 * threads))), max(1, 2**30 // regions[0].size))
    if distance is None:
        distance = np.empty((0, 0, 0), np.float32)
    if phases is None:
        phases = np.empty((0, 0, 0), np.uint8)

    def slab(start: int) -> PairCounts:
        bounds = (start, min(start + thickness, z1), *y, *x)
        keys, rows = _count_box(regions, distance, phases, bounds, areas)
        if any(origin):
            faces = rows.view(np.int32)[:, :3].sum(axis=1, dtype=np.int64)
            rows[:, SUMS:] += faces[:, None] * np.array(origin)
        return PairCounts(keys, rows)

    with ThreadPoolExecutor(threads) as pool:
        return _joined(list(pool.map(slab, range(z0, z1, thickness))))


def merge(parts: Sequence[PairCounts], n_regions: int, factors: np.ndarray) -> dict[str, np.ndarray]:
    """Sum the rows of every pair, in 64 bits, in whatever order and parts they come.

    Returns
    -------
    dict
        Of the pairs of two regions with at least one face: ``source``, ``target`` (n,) int32, sorted;
        ``faces`` (n, 3) int64; ``position`` (n, 3) int64, the sum over faces of z, y, x of the lower voxel;
        ``area`` (n,) float64, transitions · factors; ``radius`` (n,) float32, 0 where no face lies
        within one phase. Of every region, and of 0: ``surface_area`` (n_regions + 1,) float64.
    """
    whole = parts[0] if len(parts) == 1 else _joined(list(parts))
    order = np.argsort(whole.keys)
    sums = _sum_pairs(order, whole.keys, whole.rows, n_regions, np.asarray(factors, np.float64))
    names = ("source", "target", "faces", "position", "area", "radius", "surface_area")
    return dict(zip(names, sums, strict=True))


def _joined(parts: list[PairCounts]) -> PairCounts:
    """Put parts one after the other and let go of each as it is copied."""
    n = sum(len(part.keys) for part in parts)
    keys, rows = np.empty(n, np.int64), np.empty((n, ROW), np.int64)
    while parts:
        part = parts.pop()
        first = n - len(part.keys)
        keys[first:n], rows[first:n] = part.keys, part.rows
        n = first
    return PairCounts(keys, rows)


@compiled()
def _sum_pairs(order, keys, rows, n_regions, factors):
    lanes, radii = rows.view(np.int32), rows.view(np.float32)
    # First how many pairs there are, then their sums: nothing is made that does not come back.
    n, faces_of_pair = 0, 0
    for i in range(order.size):
        row = order[i]
        faces_of_pair += lanes[row, 0] + lanes[row, 1] + lanes[row, 2]
        if i + 1 == order.size or keys[order[i + 1]] != keys[row]:
            n += faces_of_pair > 0 and keys[row] >> 32 > 0
            faces_of_pair = 0
    source, target = np.empty(n, np.int32), np.empty(n, np.int32)
    faces, position = np.zeros((n, 3), np.int64), np.zeros((n, 3), np.int64)
    area, radius = np.zeros(n, np.float64), np.zeros(n, np.float32)
    surface_area = np.zeros(n_regions + 1, np.float64)
    transitions, where, widest, pair = np.zeros(13, np.int64), np.zeros(3, np.int64), np.float32(0), 0
    for i in range(order.size):
        row = order[i]
        for d in range(13):
            transitions[d] += lanes[row, d]
        for axis in range(3):
            where[axis] += rows[row, SUMS + axis]
        widest = max(widest, radii[row, RADIUS])
        if i + 1 < order.size and keys[order[i + 1]] == keys[row]:
            continue
        a, b = keys[row] >> 32, keys[row] & 0xFFFFFFFF
        measured = 0.0
        for d in range(13):
            measured += transitions[d] * factors[d]
        surface_area[a] += measured
        surface_area[b] += measured
        if a > 0 and transitions[0] + transitions[1] + transitions[2] > 0:
            source[pair], target[pair] = a, b
            for axis in range(3):
                faces[pair, axis], position[pair, axis] = transitions[axis], where[axis]
            area[pair], radius[pair] = measured, widest
            pair += 1
        transitions[:], where[:], widest = 0, 0, np.float32(0)
    return source, target, faces, position, area, radius, surface_area


@compiled()
def _count_box(regions, distance, phases, bounds, areas):
    """Count every pair whose lowest voxel lies within the bounds; keys and rows of the pairs."""
    z0, z1, y0, y1, x0, x1 = bounds
    nx = x1 - x0
    low = np.full((TILE + 2, nx + 2), OUTSIDE, np.int32)
    high = np.full((TILE + 2, nx + 2), OUTSIDE, np.int32)
    differs = np.zeros(nx, np.int32)
    near = np.zeros(16, np.int32)
    keys, rows = np.empty(1024, np.int64), np.zeros((1024, ROW), np.int64)
    table = np.full(4096, -1, np.int32)
    lanes, radii = rows.view(np.int32), rows.view(np.float32)
    n = 0
    last, slot = np.int64(-1), np.int64(0)
    for y_tile in range(y0, y1, TILE):
        y_end = min(y_tile + TILE, y1)
        _load(regions, z0, y_tile, x0, high)
        for z in range(z0, z1):
            low, high = high, low
            _load(regions, z + 1, y_tile, x0, high)
            for y in range(y_tile, y_end):
                i = y - y_tile
                here, beside = low[i + 1], low[i + 2]
                up_left, up, up_right = high[i], high[i + 1], high[i + 2]
                if areas:
                    _differs_13(here, beside, up_left, up, up_right, differs)
                else:
                    _differs_3(here, beside, up, differs)
                for x in range(nx):
                    if differs[x] == 0:
                        continue
                    own = here[x + 1]
                    near[0], near[1], near[2] = up[x + 1], beside[x + 1], here[x + 2]
                    if areas:
                        near[3], near[4], near[5], near[6] = beside[x + 2], beside[x], up[x + 2], up[x]
                        near[7], near[8] = up_right[x + 1], up_left[x + 1]
                        near[9], near[10] = up_right[x + 2], up_right[x]
                        near[11], near[12] = up_left[x + 2], up_left[x]
                    else:
                        near[3:13] = own
                    rest = _others(near, own)
                    while rest:
                        lane = LOWEST[rest]
                        other = near[lane]
                        same = _equal(near, other)
                        rest &= ~same
                        key = (np.int64(min(own, other)) << 32) | np.int64(max(own, other))
                        if key != last:  # the next voxel along x most often meets the same pair
                            last = key
                            place = _find(table, keys, key)
                            if table[place] < 0:
                                if n == keys.size:
                                    table, keys, rows = _enlarge(table, keys, rows)
                                    lanes, radii = rows.view(np.int32), rows.view(np.float32)
                                    place = _find(table, keys, key)
                                table[place] = n
                                keys[n] = key
                                n += 1
                            slot = table[place]
                        for d in range(13):
                            lanes[slot, d] += (same >> np.int32(d)) & np.int32(1)
                        if lane < 3:
                            faces = np.int64((same & 1) + ((same >> 1) & 1) + ((same >> 2) & 1))
                            rows[slot, SUMS] += faces * z
                            rows[slot, SUMS + 1] += faces * y
                            rows[slot, SUMS + 2] += faces * (x + x0)
                            if distance.size:
                                radius = _widest(distance, phases, z, y, x + x0, same)
                                radii[slot, RADIUS] = max(radii[slot, RADIUS], radius)
    return keys[:n].copy(), rows[:n].copy()


@compiled()
def _load(regions, z, y0, x0, plane):
    """Copy a tile of one slice, one voxel wider on every side, with OUTSIDE beyond the volume."""
    nz, ny, nx = regions.shape
    plane[:] = OUTSIDE
    if z >= nz:
        return
    first, end = max(x0 - 1, 0), min(x0 - 1 + plane.shape[1], nx)
    for i in range(plane.shape[0]):
        y = y0 - 1 + i
        if 0 <= y < ny:
            row, out = regions[z, y, first:end], plane[i, first - x0 + 1 :]
            for x in range(end - first):
                out[x] = row[x]


# The two loops below have no branch, so that the compiler turns them into vector instructions.
@compiled()
def _differs_13(here, beside, up_left, up, up_right, out):
    """Not 0 where a voxel of a row differs from any of its 13 forward neighbours."""
    for x in range(out.size):
        c = here[x + 1]
        out[x] = (
            (here[x + 2] ^ c)
            | (beside[x] ^ c) | (beside[x + 1] ^ c) | (beside[x + 2] ^ c)
            | (up_left[x] ^ c) | (up_left[x + 1] ^ c) | (up_left[x + 2] ^ c)
            | (up[x] ^ c) | (up[x + 1] ^ c) | (up[x + 2] ^ c)
            | (up_right[x] ^ c) | (up_right[x + 1] ^ c) | (up_right[x + 2] ^ c)
        )  # fmt: skip


@compiled()
def _differs_3(here, beside, up, out):
    for x in range(out.size):
        c = here[x + 1]
        out[x] = (here[x + 2] ^ c) | (beside[x + 1] ^ c) | (up[x + 1] ^ c)


@compiled()
def _others(near, own):
    """Lanes, as bits, whose neighbour is another region, 0 included."""
    bits = np.int32(0)
    for d in range(13):
        bits |= np.int32((near[d] != own) & (near[d] != OUTSIDE)) << np.int32(d)
    return bits


@compiled()
def _equal(near, region):
    bits = np.int32(0)
    for d in range(13):
        bits |= np.int32(near[d] == region) << np.int32(d)
    return bits


@compiled()
def _widest(distance, phases, z, y, x, same):
    """Return the largest min(d_p, d_q) over those of a voxel's three faces that lie within one phase."""
    own, widest = distance[z, y, x], np.float32(0)
    for axis in range(3):
        if (same >> axis) & 1:
            p, q, r = z + (axis == 0), y + (axis == 1), x + (axis == 2)
            if phases.size == 0 or phases[p, q, r] == phases[z, y, x]:
                widest = max(widest, min(own, distance[p, q, r]))
    return widest


@compiled()
def _find(table, keys, key):
    """Return the place of a key in the open-addressing table, or the free place where it belongs."""
    mask = np.int64(table.size - 1)
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    place = np.int64(mixed ^ (mixed >> np.uint64(32))) & mask
    while table[place] >= 0 and keys[table[place]] != key:
        place = (place + 1) & mask
    return place


@compiled()
def _enlarge(table, keys, rows):
    n = keys.size
    more_keys, more_rows = np.empty(2 * n, np.int64), np.zeros((2 * n, ROW), np.int64)
    more_table = np.full(2 * table.size, -1, np.int32)
    for i in range(n):  # assigning arrays to slices would double the time to compile this file
        more_keys[i] = keys[i]
        for d in range(ROW):
            more_rows[i, d] = rows[i, d]
        more_table[_find(more_table, more_keys, keys[i])] = i
    return more_table, more_keys, more_rows
