"""Pairs of regions that meet, counted on the GPU; see kernels/boundary_pairs.cu.

The volume is taken in slabs whose rows fit a list; every slab's rows are sorted by pair and summed before the
next one.  Counts are integers and belong to the lowest of their voxels, so where slabs begin changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import cupy as cp
import numpy as np

from tripoint._cuda.compiled import kernel
from tripoint.blocks import Box
from tripoint.sides import PairCounts

ROW = 10  # int64 words of a pair's row, see PairCounts.rows
TILE = {"TILE_Z": 64, "TILE_Y": 16, "TILE_X": 32}  # voxels that a block of threads counts
FULL = TILE | {"THREADS": 512, "DIRECTIONS": 13, "NECKS": 1, "SAME_PHASE": 1}  # what an analysis counts
LARGEST_SLAB = 2**30  # voxels, so that a slab's counts fit 32 bits
VOXELS_PER_ROW = 160  # of room in the list
LEAST_ROOM = 2**16  # rows
SEGMENT = 64  # rows that one thread sums up
THREADS = 256
MOST_BLOCKS = 2**16


def count(
    regions: Any,
    distance: Any = None,
    phases: Any = None,
    areas: bool = True,
    box: Box | None = None,
    origin: Sequence[int] = (0, 0, 0),
) -> PairCounts:
    """Count the pairs whose lowest voxel lies in a box; neighbours beyond it are read where there are any.

    Parameters are those of the host side's ``count``; the volumes may be views with any strides.

    Returns
    -------
    PairCounts
        A pair may have several rows; :func:`merge` sums them.

    Notes
    -----
    Memory: 88 bytes per row that comes back, twice while slabs are joined, and 1 byte per voxel of the box
    while it works, for the list and its sorting. Only where one plane of voxels overflows the list is it made
    larger: at most 13 rows for each of the plane's voxels.
    """
    (z, z1), y, x = box or tuple((0, n) for n in regions.shape)
    plane = prod(end - begin for begin, end in (y, x))
    rows = _List(max(LEAST_ROOM, plane * (z1 - z) // VOXELS_PER_ROW))
    most = max(1, LARGEST_SLAB // plane)
    planes, parts = min(TILE["TILE_Z"], most), []
    while z < z1:
        planes = min(planes, z1 - z)
        found = rows.fill(regions, distance, phases, areas, ((z, z + planes), y, x), origin)
        if found <= rows.room:
            parts.append(_summed(rows.keys[:found], rows.rows[:found]))
            z += planes
        elif planes == 1:  # how many rows there are depends a little on scheduling
            rows = _List(found + found // 8)
        planes = min(max(1, int(0.8 * rows.room * planes / max(1, found))), most)
        planes -= planes % TILE["TILE_Z"] if planes > TILE["TILE_Z"] else 0
    del rows
    return _joined(parts)


class _List:
    """Room for rows, written in no order and a pair more than once."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.keys, self.rows = cp.empty(room, cp.int64), cp.empty((room, ROW), cp.int64)

    def fill(
        self, regions: Any, distance: Any, phases: Any, areas: bool, box: Box, origin: Sequence[int]
    ) -> int:
        """Write the rows of a box, if they fit, and return how many there are."""
        necks = distance is not None
        wanted = {"DIRECTIONS": 13 if areas else 3, "NECKS": int(necks)}
        wanted["SAME_PHASE"] = int(necks and phases is not None)
        if distance is None:
            distance = cp.empty((0, 0, 0), cp.float32)
        if phases is None:
            phases = cp.empty((0, 0, 0), cp.uint8)
        used = cp.zeros(1, cp.int64)
        tiles = prod(-(-(end - begin) // size) for (begin, end), size in zip(box, TILE.values(), strict=True))
        kernel("boundary_pairs", "count_pairs", **FULL | wanted)(
            (tiles,),
            (FULL["THREADS"],),
            (
                *(part for volume in (regions, distance, phases) for part in (volume, *_steps(volume))),
                *(np.int32(n) for n in regions.shape),
                *(np.int32(end) for ends in box for end in ends),
                *(np.int64(start) for start in origin),
                *(np.int64(self.room), used, self.keys, self.rows),
            ),
        )
        return int(used[0])


def _steps(volume: Any) -> list[np.int64]:
    """Return how many elements apart neighbours along each axis are."""
    return [np.int64(stride // volume.itemsize) for stride in volume.strides]


def _summed(keys: Any, rows: Any) -> PairCounts:
    """Sum the rows of each pair; a pair of very many rows keeps one for every few of them."""
    order = cp.argsort(keys)
    keys = keys[order]
    begins = _begins(keys)
    begins[::SEGMENT] = True
    first = cp.flatnonzero(begins)
    sums = cp.empty((len(first), ROW), cp.int64)
    _launch(
        "sum_rows", len(first) * ROW, (order, first, np.int64(len(first)), np.int64(len(keys)), rows, sums)
    )
    return PairCounts(keys[first], sums)


def _begins(keys: Any) -> Any:
    """Flag the first of equal keys."""
    begins = cp.ones(len(keys), cp.bool_)
    begins[1:] = keys[1:] != keys[:-1]
    return begins


def _joined(parts: Sequence[PairCounts]) -> PairCounts:
    if len(parts) == 1:
        return parts[0]
    keys, rows = (cp.concatenate([getattr(part, name) for part in parts]) for name in ("keys", "rows"))
    return PairCounts(keys, rows)


def merge(parts: Sequence[PairCounts], n_regions: int, factors: np.ndarray) -> dict[str, Any]:
    """Sum the rows of every pair, in 64 bits, in whatever order and parts they come.

    Returns
    -------
    dict
        The columns of the host side's ``merge``, on the GPU. The surface area of a region comes from the sum
        of its transitions, which are integers: the order in which threads add them changes nothing.

    Notes
    -----
    Memory: 48 bytes per row for sorting, of several parts 88 more, 68 per pair that comes back and 104 per
    region.
    """
    whole = _joined(parts)
    order = cp.argsort(whole.keys)
    keys = whole.keys[order]
    first = cp.flatnonzero(_begins(keys))
    pairs = (order, first, np.int64(len(first)), np.int64(len(keys)), keys, whole.rows)
    touch = cp.empty(len(first), cp.uint8)
    _launch("find_contacts", len(first), (*pairs, touch))
    place = cp.cumsum(touch, dtype=cp.int64)
    n = int(place[-1]) if len(first) else 0
    sums = {
        "source": cp.empty(n, cp.int32),
        "target": cp.empty(n, cp.int32),
        "faces": cp.empty((n, 3), cp.int64),
        "position": cp.empty((n, 3), cp.int64),
        "area": cp.empty(n, cp.float64),
        "radius": cp.empty(n, cp.float32),
    }
    transitions = cp.zeros((n_regions + 1, 13), cp.int64)
    weights = cp.asarray(factors, cp.float64)
    _launch("sum_pairs", len(first), (*pairs, place, weights, *sums.values(), transitions))
    surface = cp.zeros(n_regions + 1, cp.float64)
    for direction, factor in enumerate(factors.tolist()):  # one after the other: always the same rounding
        surface += transitions[:, direction] * factor
    return sums | {"surface_area": surface}


def _launch(function: str, threads: int, arguments: tuple[Any, ...]) -> None:
    if threads:
        blocks = min(-(-threads // THREADS), MOST_BLOCKS)
        kernel("boundary_pairs", function, **FULL)((blocks,), (THREADS,), arguments)
