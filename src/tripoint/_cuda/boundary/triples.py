"""Triples of regions that meet along edges, summed on the GPU; see kernels/boundary_triples.cu.

Three region ids do not fit 64 bits, so rows are sorted by two keys, junction and a, then b and c.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import cupy as cp
import numpy as np

from tripoint._cuda.compiled import kernel

TILE = 1 << 21
"""Records of edges treated at a time: bounds the scratch, about 170 bytes per record."""

THREADS = 256
ID = 0xFFFFFFFF


class Columns(NamedTuple):
    """Those of the edges that count here, as the kernels read them."""

    index: cp.ndarray
    axis: cp.ndarray
    triple: cp.ndarray
    status: cp.ndarray
    edge_length: cp.ndarray


class Sums(NamedTuple):
    """Rows sorted by their keys, and what was added to each.

    ``first`` and ``second`` (n,) int64: junction << 32 | a and b << 32 | c. ``values`` (7, n) int64: length
    and active length, in parts of a power of two, and the counts that are returned.
    """

    first: cp.ndarray
    second: cp.ndarray
    values: cp.ndarray


def junctions(
    regions: cp.ndarray, phases: cp.ndarray, edges: Any, triples: Sequence[Sequence[int]]
) -> dict[str, cp.ndarray]:
    """Sum the edges of every triple of regions; see :func:`tripoint.boundary.junctions`.

    Lengths are added up as whole numbers, parts of the longest edge so small that their sum just fits 64 bits
    (2⁻³⁵ of it for 10⁸ edges): the result does not depend on the order, nor on tiles. 72 bytes per row of the
    tables of tiles, which are merged when all others together are as long as the first one, and 0.35 GB for
    a tile.

    Returns
    -------
    dict
        As on the host: ``rows`` (n, 4) int32 of junction, a, b, c, sorted; ``lengths`` (n, 2) float64, all
        and active; ``counts`` (n, 5) int64.
    """
    types = zip(Columns._fields, (np.int64, np.uint8, np.uint8, np.uint8, np.float32), strict=True)
    columns = Columns(*(cp.ascontiguousarray(getattr(edges, name), dtype) for name, dtype in types))
    n, scale = len(columns.index), _scale(columns.edge_length)
    merged = Sums(cp.empty(0, cp.int64), cp.empty(0, cp.int64), cp.empty((7, 0), cp.int64))
    parts: list[Sums] = []
    labels = cp.asarray(np.array(triples, np.uint8).reshape(-1, 3))
    for begin in range(0, n, TILE):
        rows = _list_rows(regions, phases, columns, labels, (begin, min(begin + TILE, n)), scale)
        parts.append(_add_up(*rows))
        if sum(len(part.first) for part in parts) > len(merged.first):
            merged, parts = _merge([merged, *parts]), []
    first, second, values = _merge([merged, *parts]) if parts else merged
    return {
        "rows": cp.stack([first >> 32, first & ID, second >> 32, second & ID], axis=1).astype(cp.int32),
        "lengths": cp.ascontiguousarray(values[:2].T) / scale,
        "counts": cp.ascontiguousarray(values[2:].T),
    }


def _scale(lengths: cp.ndarray) -> float:
    """Return the power of two that makes whole numbers of lengths, whose sum is less than 2⁶³."""
    if not len(lengths):
        return 1.0
    longest = max(float(lengths.max()), -float(lengths.min()))
    return math.ldexp(1.0, 62 - len(lengths).bit_length() - math.frexp(longest)[1])


def _list_rows(
    regions: cp.ndarray,
    phases: cp.ndarray,
    edges: Columns,
    labels: cp.ndarray,
    tile: tuple[int, int],
    scale: float,
) -> Sums:
    """List the triples of regions of some edges, one after the other: not sorted yet, nor added up."""
    n = tile[1] - tile[0]
    common = (
        *_volume(regions), *_volume(phases), *map(np.int32, regions.shape[1:]), labels,
        edges.index, edges.axis, edges.triple, *map(np.int64, tile),
    )  # fmt: skip
    grid = (-(-n // THREADS),), (THREADS,)
    counts = cp.empty(n, cp.uint8)
    kernel("boundary_triples", "count_triples")(*grid, (*common, counts))
    starts = cp.zeros(n + 1, cp.int64)
    starts[1:] = cp.cumsum(counts, dtype=cp.int64)
    rows = int(starts[-1])
    listed = Sums(cp.empty(rows, cp.int64), cp.empty(rows, cp.int64), cp.empty((7, rows), cp.int64))
    lengths = np.int64(len(edges.index)), edges.status, edges.edge_length, np.float64(scale)
    kernel("boundary_triples", "list_triples")(*grid, (*common, *lengths, starts, *listed, np.int64(rows)))
    return listed


def _volume(volume: cp.ndarray) -> tuple[Any, ...]:
    return (volume, *map(np.int64, volume.strides))


def _merge(parts: list[Sums]) -> Sums:
    first, second = (cp.concatenate([part[k] for part in parts]) for k in range(2))
    return _add_up(first, second, cp.concatenate([part.values for part in parts], axis=1))


def _add_up(first: cp.ndarray, second: cp.ndarray, values: cp.ndarray) -> Sums:
    """Sort rows and add up those that are alike, by running sums of whole numbers, which are exact."""
    if not len(first):
        return Sums(first, second, values)
    order = cp.argsort(second)  # stable, by radix; a sort by both keys at once would be one by comparison
    order = order[cp.argsort(first[order])]
    first, second = first[order], second[order]
    last = cp.ones(len(first), cp.bool_)
    last[:-1] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    last = cp.flatnonzero(last)
    sums = cp.empty((len(values), len(last)), cp.int64)
    for k in range(len(values)):
        sums[k] = cp.cumsum(values[k][order])[last]
    sums[:, 1:] -= sums[:, :-1].copy()
    return Sums(first[last], second[last], sums)
