"""Which unknowns are joined on the next coarser level, and the conductances between what they become.

Voxels are joined as on the host, in blocks of 2x2x2; see kernels/transport_aggregates.cu.  Rows are gathered
around roots by the criterion of the host, and what lies between goes to the aggregate that it is bound to
most strongly; but where the host takes roots one after the other, here they are a maximal set of rows more
than two strong connections apart.  The matrix of the aggregates is made of all entries, sorted by the
aggregates of their row and column.

References
----------
Vaněk, Mandel & Brezina, *Computing* 56 (1996) 179-196; Bell, Dalton & Olson, *SIAM Journal on Scientific
Computing* 34 (2012) C123-C152, for the roots.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cupy as cp
import numpy as np

from tripoint._cuda import tables
from tripoint._cuda.transport.launch import launch
from tripoint.levels import HELD, STRONG, Rows

OPEN = 1 << 62
"""State of a row in its key that is not known to be a root or to be near one."""

PARTS, LEAST = 8, 1 << 20
"""Into how many parts the entries of a matrix are cut for sorting, and how many a part has at least."""


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
    """Return the aggregates of the rows and their matrix; ``ease`` lowers the bar for what is strong."""
    n = rows.terminal.size
    matrix = *rows[:3], rows.inverse, np.int64(n), np.float32(ease * STRONG), np.float32(HELD)
    keys, highest = _drawn(n), cp.empty(n, cp.uint64)
    while bool((keys >> np.uint64(62) == 1).any()):
        launch("aggregates", "spread_keys", n, *matrix, keys, highest)
        launch("aggregates", "choose_roots", n, *matrix, highest, keys)
    roots, owner = cp.empty(n, cp.int32), cp.empty(n, cp.int32)
    launch("aggregates", "join_roots", n, *matrix, keys, roots)
    launch("aggregates", "attach_rows", n, *matrix, roots, owner)
    number = cp.cumsum(owner == cp.arange(n, dtype=cp.int32), dtype=cp.int32) - 1
    aggregates = _aggregates(number[owner], int(number[-1]) + 1)
    return aggregates, _sum_rows(rows, aggregates)


def _drawn(n: int) -> Any:
    """Return the keys of rows that are open: a number that looks drawn, then the row; (n,) uint64."""
    row = cp.arange(n, dtype=cp.uint64)
    drawn = (row * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(34)  # of Fibonacci hashing the highest 30 bits
    return np.uint64(OPEN) | drawn << np.uint64(32) | row


def _aggregates(owner: Any, count: int) -> Aggregates:
    members = cp.argsort(owner)
    first = cp.searchsorted(owner[members], cp.arange(count + 1, dtype=cp.int32))
    return Aggregates(owner, members.astype(cp.int32), first.astype(cp.int32))


def _sum_rows(rows: Rows, joined: Aggregates) -> Rows:
    """Return the matrix of aggregates, part by part.

    Memory: what comes back, 24 bytes per row, and some 60 per entry of a part.
    """
    n = joined.first.size - 1
    starts = cp.zeros(joined.members.size + 1, cp.int64)
    starts[1:] = cp.cumsum((rows.ptr[1:] - rows.ptr[:-1])[joined.members])
    of_aggregates = starts[joined.first]
    step = max(LEAST, rows.col.size // PARTS)
    cuts = cp.searchsorted(of_aggregates, cp.arange(0, rows.col.size + 1, step)).tolist()
    parts = [
        _sum_part(rows, joined, starts, int(begin), int(end))
        for begin, end in zip(cuts, [*cuts[1:], n], strict=True)
    ]
    counts, cols, vals = zip(*parts, strict=True)
    ptr = cp.zeros(n + 1, cp.int64)
    ptr[1:] = cp.cumsum(cp.concatenate(counts))
    val = cp.concatenate(vals)
    terminal = cp.empty(n, cp.float32)
    launch("rows", "gather_rows", n, joined.members, joined.first, np.int64(n), rows.terminal, terminal)
    return Rows(ptr, cp.concatenate(cols), val, terminal, _invert_rows(ptr, val, terminal))


def _sum_part(rows: Rows, joined: Aggregates, starts: Any, begin: int, end: int) -> tuple[Any, Any, Any]:
    """Return the entries per row, the columns and the values of the aggregates from begin to end."""
    first, last = int(joined.first[begin]), int(joined.first[end])
    places = starts[first : last + 1] - starts[first]
    entries = int(places[-1])
    keys, values = cp.empty(entries, cp.int64), cp.empty(entries, cp.float32)
    launch(
        "aggregates", "list_entries", last - first, *rows[:3], joined.members, np.int64(first),
        np.int64(last), places, joined.owner, keys, values,
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
