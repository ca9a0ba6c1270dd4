"""Basins that meet at a wide neck belong to one particle.

A kernel gathers the saddles between basins, and sorting reduces them to the highest of each pair. The host
side walks along them from the highest down, and each may merge the two regions that its basins are in by
then (``_cpu.particles.merge``). `_union` comes to the same regions in parallel, in rounds.

An edge is a saddle between two regions; it is *allowed* if its neck is at least ``ratio`` times the smaller
of their radii. Of two regions the *larger* has the larger radius, or the same and the smaller index; when
they merge, the new region has its radius and index.

1. Radii only grow. An edge that is not allowed will never be, and one within a region merges nothing: both
   are dropped.
2. Let region A be the smaller one at its own first edge e, which is allowed. Until the walk comes to e, A
   stays as it is, since it can only merge along an edge of its own, and the region at the other end of e
   can only become larger. So the walk merges A along e into whatever that region is by then.
3. To do so at once changes nothing before e: A gives no radius away, and all its other edges come after e.
   They become edges of the larger region, and the walk along the edges that are left comes to the same
   regions.
4. All regions as in 2 can go at the same time, as if one went after the other. Where A goes into B and B
   into C, the first edge of B comes before e, and so before all that B gets from A. Where C goes into A and
   A into B, the first edge of C stays its first, and the region at the other end becomes larger. There are
   no circles, since each goes into a larger one.

The very first edge is the first of both its regions, so that every round merges something; real volumes
take some ten rounds, each with a fraction of the edges of the round before.
"""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np

from tripoint._cuda.compiled import kernel
from tripoint._cuda.particles.climb import units

RIM = 0.75  # voxels from the centre of the nearest voxel of another phase back to where radii end
TILE = (16, 8, 32)  # voxels z, y, x of which a block gathers the saddles
SLOTS = 1024  # pairs of basins that it can hold
SLAB = 1 << 28  # voxels whose saddles are reduced at a time
VOXELS_PER_ROW = 64  # of a slab, at first: it has this much room for saddles; more where it finds more
LEAST_ROOM = 1 << 10  # rows, for small slabs
THREADS = 256


def merge(labels: Any, phases: Any, distance: Any, summits: Any, spacing: Any, neck_ratio: float) -> Any:
    """Return for each basin the basin it is merged into, which is the one with the highest summit.

    Parameters
    ----------
    labels : (z, y, x) int32
        Basins, 1..n; at most 0 where a phase is not separated.
    phases : (z, y, x) uint8
    distance : (z, y, x) float32
        µm.  All three contiguous.
    summits : pair of (n + 1,) float32 and int32
        Distance and height at the summit of every basin; entry 0 is unused.
    spacing : (z, y, x)
        µm.
    neck_ratio : float

    Returns
    -------
    (n + 1,) int32

    Notes
    -----
    Bytes moved: 5 per voxel at least; see kernels/particles_merge.cu.
    Memory: 12 bytes per 64 voxels of a slab, some 60 per pair of basins, counted in every tile of 16 × 8 × 32
    voxels where it touches (5 pairs per 1000 voxels in a cathode), and 40 per basin.
    """
    low, high, saddles = _saddles(labels, phases, distance)
    radii, heights = _radii(summits[0], spacing), summits[1]
    necks = _radii(saddles, spacing)
    # A region's summit only grows, so a saddle too low for its two basins stays too low for ever.
    wide = necks >= neck_ratio * cp.minimum(radii[low], radii[high])
    low, high, necks = low[wide], high[wide], necks[wide]
    # Saddles are often equal, summits hardly ever: they decide before the index, which rotation changes.
    lower, higher = cp.minimum(heights[low], heights[high]), cp.maximum(heights[low], heights[high])
    order = cp.lexsort(-cp.stack((lower, higher, necks), dtype=cp.float64))  # stable: low, high decide last
    return _union(low[order], high[order], necks[order], radii, neck_ratio)


def _radii(distance: Any, spacing: Any) -> Any:
    """Return radii in voxels, measured from inside the interface; see RIM."""
    unit, integer = units(spacing)
    voxels = distance.astype(cp.float64) * unit
    return (cp.sqrt(cp.rint(voxels * voxels)) if integer else voxels) - RIM


def _saddles(labels: Any, phases: Any, distance: Any) -> tuple[Any, Any, Any]:
    """Return the pairs of basins of one phase that touch, in their order, and the highest saddle of each."""
    planes = max(1, SLAB // labels[0].size)
    slabs = [(z, min(z + planes, len(labels))) for z in range(0, len(labels), planes)]
    parts = [_highest(*_find(labels, phases, distance, *slab)) for slab in slabs]
    keys, saddles = parts[0] if len(parts) == 1 else _highest(*map(cp.concatenate, zip(*parts, strict=True)))
    return (keys >> 32).astype(cp.int32), (keys & 0xFFFFFFFF).astype(cp.int32), saddles.view(cp.float32)


def _find(labels: Any, phases: Any, distance: Any, begin: int, end: int) -> tuple[Any, Any]:
    """Return keys (lower basin · 2³² + higher basin) and bits of saddles; a pair may have several rows."""
    shape = labels.shape
    tiles = [-(-n // size) for n, size in zip((end - begin, *shape[1:]), TILE, strict=True)]
    room = max(LEAST_ROOM, (end - begin) * labels[0].size // VOXELS_PER_ROW)
    while True:
        keys, saddles = cp.empty(room, cp.int64), cp.empty(room, cp.int32)
        found = cp.zeros(1, cp.uint64)
        _kernel("find_saddles")(
            (tiles[0] * tiles[1] * tiles[2],),
            (TILE[1] * TILE[2],),
            (
                labels,
                phases,
                distance.view(cp.int32),
                *(np.int32(n) for n in (*shape, begin, end)),
                keys,
                saddles,
                np.uint64(room),
                found,
            ),
        )
        rows = int(found[0])
        if rows <= room:
            return keys[:rows], saddles[:rows]
        room = rows + rows // 8  # chance decides which pairs find no place in a tile


def _highest(keys: Any, saddles: Any) -> tuple[Any, Any]:
    """Return every key once, ascending, with its highest saddle."""
    order = cp.argsort(saddles)
    order = order[cp.argsort(keys[order])]  # stable: the highest saddle of a key is its last
    keys, saddles = keys[order], saddles[order]
    last = cp.ones(keys.size, cp.bool_)
    last[:-1] = keys[1:] != keys[:-1]
    return keys[last], saddles[last]


def _union(low: Any, high: Any, necks: Any, radii: Any, ratio: float) -> Any:
    """Merge along edges, given in the order of the walk and all allowed, in rounds; see above."""
    into = cp.arange(radii.size, dtype=cp.int32)
    while edges := low.size:
        grid = (-(-edges // THREADS),), (THREADS,)
        first = cp.full(radii.size, edges, cp.int64)
        kept = cp.empty(edges, cp.bool_)
        count = np.int64(edges)
        _kernel("first_edges")(*grid, (low, high, count, first))
        _kernel("absorb")(*grid, (low, high, count, radii, first, into))
        _kernel("follow")(*grid, (low, high, necks, count, radii, np.float64(ratio), into, kept))
        low, high, necks = low[kept], high[kept], necks[kept]
    _kernel("flatten")((-(-into.size // THREADS),), (THREADS,), (into, np.int64(into.size)))
    return into


def _kernel(name: str) -> Any:
    return kernel("particles_merge", name, TILE_Z=TILE[0], TILE_Y=TILE[1], TILE_X=TILE[2], SLOTS=SLOTS)
