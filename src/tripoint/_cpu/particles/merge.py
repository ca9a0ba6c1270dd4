"""Basins that meet at a wide neck belong to one particle."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
from numba import get_num_threads

from tripoint._cpu.compiled import compiled
from tripoint._cpu.particles.climb import units

NEIGHBOURS = np.array(
    [(dz, dy, dx) for dz in (0, 1) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dz, dy, dx) > (0, 0, 0)],
    dtype=np.int64,
)  # half of the 26, so that every pair is seen once


RIM = 0.75  # voxels from the centre of the nearest voxel of another phase back to where radii end


def merge(labels, phases, distance, summits, spacing, neck_ratio, borders):
    """Return for each basin the basin it is merged into, which is the one with the highest summit."""
    low, high, saddles = _saddles(labels, phases, distance, borders)
    radii, heights = _radii(summits[0], spacing), summits[1]
    necks = _radii(saddles, spacing)
    # A region's summit only grows, so a saddle too low for its two basins stays too low for ever.
    wide = necks >= neck_ratio * np.minimum(radii[low], radii[high])
    low, high, necks = low[wide], high[wide], necks[wide]
    # Saddles are often equal, summits hardly ever: they decide before the index, which rotation changes.
    lower, higher = np.minimum(heights[low], heights[high]), np.maximum(heights[low], heights[high])
    order = np.lexsort((high, low, -lower, -higher, -necks))
    return _union(low[order], high[order], necks[order], radii, neck_ratio)


def _radii(distance, spacing):
    """Return radii in voxels, measured from inside the interface; see RIM."""
    unit, integer = units(spacing)
    voxels = distance.astype(np.float64) * unit
    return (np.sqrt(np.rint(voxels**2)) if integer else voxels) - RIM


def _saddles(labels, phases, distance, borders):
    """Return the pairs of basins of one phase that touch, and the highest saddle of each pair."""
    scan = partial(_scan_slab, labels, phases, distance, NEIGHBOURS)
    with ThreadPoolExecutor(get_num_threads()) as pool:
        parts = list(pool.map(lambda slab: scan(*slab), pairwise(borders)))
    keys = np.concatenate([part[0] for part in parts])
    saddles = np.concatenate([part[1] for part in parts])
    order = np.argsort(keys)
    keys, saddles = keys[order], saddles[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    if first.size:
        keys, saddles = keys[first], np.maximum.reduceat(saddles, first)
    return keys >> 32, keys & 0xFFFFFFFF, saddles


@compiled()
def _scan_slab(labels, phases, distance, neighbours, begin, end):
    """Return the keys (lower basin · 2³² + higher basin) and highest saddles of the pairs seen in a slab."""
    nz, ny, nx = labels.shape
    keys = np.zeros(1 << 12, np.int64)
    saddles = np.zeros(1 << 12, np.float32)
    meets = np.empty(nx, np.bool_)
    used = slot = 0
    for z in range(begin, end):
        for y in range(ny):
            meets[:] = False  # few voxels lie where basins meet: find them by wide comparisons
            for n in range(neighbours.shape[0]):
                z_in, y_in, dx = z + neighbours[n, 0], y + neighbours[n, 1], neighbours[n, 2]
                if z_in < nz and 0 <= y_in < ny:
                    a, b = max(0, -dx), nx - max(0, dx)
                    _differ(
                        labels[z, y, a:b], labels[z_in, y_in, a + dx : b + dx],
                        phases[z, y, a:b], phases[z_in, y_in, a + dx : b + dx], meets[a:b],
                    )  # fmt: skip
            for x in range(nx):
                if not meets[x] or labels[z, y, x] <= 0:
                    continue
                for n in range(neighbours.shape[0]):
                    z_in, y_in, x_in = z + neighbours[n, 0], y + neighbours[n, 1], x + neighbours[n, 2]
                    if z_in >= nz or y_in < 0 or y_in >= ny or x_in < 0 or x_in >= nx:
                        continue
                    a, b = labels[z, y, x], labels[z_in, y_in, x_in]
                    if a == b or phases[z, y, x] != phases[z_in, y_in, x_in]:
                        continue
                    key = np.int64(min(a, b)) << 32 | np.int64(max(a, b))
                    saddle = min(distance[z, y, x], distance[z_in, y_in, x_in])
                    if keys[slot] != key:  # most often the pair is the one before
                        slot = _slot(keys, key)
                    if keys[slot] == 0:
                        keys[slot] = key
                        used += 1
                    saddles[slot] = max(saddles[slot], saddle)
                if 2 * used > keys.size:  # a voxel adds at most 13 pairs
                    keys, saddles = _grow(keys, saddles)
                    slot = 0
    filled = keys != 0
    return keys[filled], saddles[filled]


@compiled()
def _differ(label, neighbour_label, phase, neighbour_phase, meets):
    for x in range(meets.size):
        meets[x] |= (label[x] != neighbour_label[x]) & (phase[x] == neighbour_phase[x])


@compiled()
def _slot(keys, key):
    """Return where a key is, or the free place where it belongs."""
    mask = keys.size - 1
    slot = (key ^ key >> 29) * 0x9E3779B97F4A7C15 >> 20 & mask
    while keys[slot] != 0 and keys[slot] != key:
        slot = slot + 1 & mask
    return slot


@compiled()
def _grow(keys, saddles):
    new_keys = np.zeros(2 * keys.size, np.int64)
    new_saddles = np.zeros(2 * keys.size, np.float32)
    for old in range(keys.size):
        if keys[old] != 0:
            slot = _slot(new_keys, keys[old])
            new_keys[slot] = keys[old]
            new_saddles[slot] = saddles[old]
    return new_keys, new_saddles


@compiled()
def _union(low, high, necks, radii, ratio):
    """Merge along the saddles from the highest down, wherever the lower of two summits is near its saddle."""
    into = np.arange(radii.size)
    for i in range(low.size):
        a, b = _root(into, low[i]), _root(into, high[i])
        if a == b:
            continue
        if radii[a] < radii[b] or (radii[a] == radii[b] and b < a):
            a, b = b, a
        if necks[i] >= ratio * radii[b]:
            into[b] = a
    for i in range(into.size):
        into[i] = _root(into, i)
    return into


@compiled()
def _root(into, basin):
    while into[basin] != basin:
        into[basin] = into[into[basin]]
        basin = into[basin]
    return basin
