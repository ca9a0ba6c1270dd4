"""Which unknowns are joined on the next coarser level, and the conductances between what they become.

Voxels are joined as on the host, in blocks of 2x2x2; see kernels/transport_aggregates.cu.  Rows are joined in
pairs as there, twice per level and by the same criterion, but not one after the other: every row points at
the one it is bound to best, those that point at each other join, and that is repeated some times.  The matrix
of the pairs is made of all entries, sorted by the pairs of their row and column.

References
----------
Notay, *Electronic Transactions on Numerical Analysis* 37 (2010) 123-146; Naumov et al., *SIAM Journal on
Scientific Computing* 37 (2015) S602-S626, for the handshakes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cupy as cp
import numpy as np

from tripoint._cuda import tables
from tripoint._cuda.transport.launch import launch

STRONG = 0.1
"""Conductance, relative to the geometric mean of two voxels' sums, from which they are joined; 1/6 inside."""

GOOD = 0.1, 0.2
"""Conductance of a pair, relative to the harmonic mean of its sums, from which it may be made: of rows, and
of pairs."""

HELD = 0.4
"""Share of a single row's sum from which it joins a pair that is made already."""

ROUNDS = 6
"""Handshakes until the rows that are left stay alone or are held."""

PARTS, LEAST = 8, 1 << 20
"""Into how many parts the entries of a matrix are cut for sorting, and how many a part has at least."""


class Rows(NamedTuple):
    """A symmetric matrix of conductances without its diagonal, and what leads to the terminals.

    ``ptr`` (n + 1) int64, ``col`` int32, ``val`` float32, ``terminal`` (n) float32, ``inverse`` (n) float32:
    1 / diagonal. 20 bytes per row and 8 per entry.
    """

    ptr: Any
    col: Any
    val: Any
    terminal: Any
    inverse: Any


class Aggregates(NamedTuple):
    """What became of the rows of a level.

    ``owner`` (n): the aggregate of each; ``members`` (n): the rows in the order of their aggregates, of
    which those of aggregate a begin at ``first[a]``; all int32.
    """

    owner: Any
    members: Any
    first: Any


def coarsen_voxels(faces: Any, shape: Any, inverse: Any, ends: Any, values: Any) -> tuple[Any, Rows]:
    """Return the aggregate of every voxel (int32, -1 for none; with guards) and their matrix."""
    sizes = tuple(map(np.int32, shape))
    aggregates = cp.full(inverse.size, -1, cp.int32)
    blocks = int(np.prod([-(-n // 2) for n in shape], dtype=np.int64))
    counts, strong = cp.empty(blocks, cp.uint8), np.float64(STRONG)
    launch("aggregates", "join_voxels", blocks, faces, *sizes, inverse, strong, aggregates, counts)
    base = cp.zeros(blocks + 1, cp.int32)
    base[1:] = cp.cumsum(counts, dtype=cp.int32)
    n = int(base[-1])
    launch("aggregates", "number_voxels", blocks, *sizes, base, aggregates)
    ptr = cp.zeros(n + 1, cp.int64)
    grid = (faces, *sizes, base, aggregates)
    nothing = cp.empty(0, cp.int32), cp.empty(0, cp.float32)
    launch("aggregates", "sum_voxels", blocks, *grid, np.int32(0), ptr, *nothing)
    ptr = cp.cumsum(ptr)
    entries = int(ptr[-1])
    col, val = cp.empty(entries, cp.int32), cp.empty(entries, cp.float32)
    launch("aggregates", "sum_voxels", blocks, *grid, np.int32(1), ptr, col, val)
    terminal = tables.sums(aggregates[ends], values, n).astype(cp.float32)
    return aggregates, Rows(ptr, col, val, terminal, _invert_rows(ptr, val, terminal))


def coarsen_rows(rows: Rows, ease: float = 1.0) -> tuple[Aggregates, Rows]:
    """Return the aggregates of the rows and their matrix, after two rounds of pairs."""
    owner = None
    for good in GOOD:
        pairs = _pair_rows(rows, ease * good)
        rows = _sum_rows(rows, pairs)
        owner = pairs.owner if owner is None else pairs.owner[owner]
    return _aggregates(owner, rows.terminal.size), rows


def _pair_rows(rows: Rows, good: float) -> Aggregates:
    n = rows.terminal.size
    pairs, target = cp.full(n, -1, cp.int32), cp.empty(n, cp.int32)
    matrix = *rows[:3], rows.inverse, np.int64(n)
    for _ in range(ROUNDS):
        launch("aggregates", "point_rows", n, *matrix, np.float64(good), pairs, target)
        launch("aggregates", "shake_rows", n, target, np.int64(n), pairs)
    roots = target
    launch("aggregates", "hold_rows", n, *matrix, np.float64(HELD), pairs, roots)
    number = cp.cumsum(roots == cp.arange(n, dtype=cp.int32), dtype=cp.int32) - 1
    return _aggregates(number[roots], int(number[-1]) + 1)


def _aggregates(owner: Any, count: int) -> Aggregates:
    members = cp.argsort(owner)
    first = cp.searchsorted(owner[members], cp.arange(count + 1, dtype=cp.int32))
    return Aggregates(owner, members.astype(cp.int32), first.astype(cp.int32))


def _sum_rows(rows: Rows, pairs: Aggregates) -> Rows:
    """Return the matrix of aggregates, part by part.

    Memory: what comes back, 24 bytes per row, and some 60 per entry of a part.
    """
    n = pairs.first.size - 1
    starts = cp.zeros(pairs.members.size + 1, cp.int64)
    starts[1:] = cp.cumsum((rows.ptr[1:] - rows.ptr[:-1])[pairs.members])
    of_aggregates = starts[pairs.first]
    step = max(LEAST, rows.col.size // PARTS)
    cuts = cp.searchsorted(of_aggregates, cp.arange(0, rows.col.size + 1, step)).tolist()
    parts = [
        _sum_part(rows, pairs, starts, int(begin), int(end))
        for begin, end in zip(cuts, [*cuts[1:], n], strict=True)
    ]
    counts, cols, vals = zip(*parts, strict=True)
    ptr = cp.zeros(n + 1, cp.int64)
    ptr[1:] = cp.cumsum(cp.concatenate(counts))
    val = cp.concatenate(vals)
    terminal = cp.empty(n, cp.float32)
    launch("rows", "gather_rows", n, pairs.members, pairs.first, np.int64(n), rows.terminal, terminal)
    return Rows(ptr, cp.concatenate(cols), val, terminal, _invert_rows(ptr, val, terminal))


def _sum_part(rows: Rows, pairs: Aggregates, starts: Any, begin: int, end: int) -> tuple[Any, Any, Any]:
    """Return the entries per row, the columns and the values of the aggregates from begin to end."""
    first, last = int(pairs.first[begin]), int(pairs.first[end])
    places = starts[first : last + 1] - starts[first]
    entries = int(places[-1])
    keys, values = cp.empty(entries, cp.int64), cp.empty(entries, cp.float32)
    launch(
        "aggregates", "list_entries", last - first, *rows[:3], pairs.members, np.int64(first),
        np.int64(last), places, pairs.owner, keys, values,
    )  # fmt: skip
    order = cp.argsort(keys)
    keys = keys[order]
    begins = cp.ones(entries, cp.bool_)
    begins[1:] = keys[1:] != keys[:-1]
    begins = cp.flatnonzero(begins)
    ends = cp.concatenate([begins[1:], cp.full(min(entries, 1), entries, cp.int64)])
    row = keys[begins] >> 32
    between = row != (keys[begins] & 0xFFFFFFFF)
    begins, ends, row = begins[between], ends[between], row[between]
    col, val = cp.empty(begins.size, cp.int32), cp.empty(begins.size, cp.float32)
    launch(
        "aggregates", "sum_entries", begins.size, keys, order, values, begins, ends, np.int64(begins.size),
        col, val,
    )  # fmt: skip
    counts = cp.diff(cp.searchsorted(row, cp.arange(begin, end + 1, dtype=cp.int64)))
    return counts, col, val


def _invert_rows(ptr: Any, val: Any, terminal: Any) -> Any:
    inverse = cp.empty(terminal.size, cp.float32)
    launch("aggregates", "invert_rows", terminal.size, ptr, val, terminal, np.int64(terminal.size), inverse)
    return inverse
