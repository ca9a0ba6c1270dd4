"""The tree of least paths and sums along it, by array algebra: the same on either side."""

from __future__ import annotations

from typing import Any

from tripoint.tables import namespace


def least_path_tree(source: Any, target: Any, weight: Any, total: Any, root: int) -> tuple[Any, Any]:
    """Return from which neighbour the least path comes to every node, and along which edge.

    That is a neighbour whose total and the edge's weight add up, in float64, to the node's own; of several
    the lowest row, whatever search found the totals.

    Parameters
    ----------
    source, target : (edges,) int64
        Rows of the nodes that each edge joins.
    weight : (edges,) float64
        Positive.
    total : (nodes,) float64
        Weight of the least path to each node, inf where there is none.
    root : int
        Where the paths start.

    Returns
    -------
    previous, edge : (nodes,) int64
        −1 for the root and where there is no path.
    """
    xp = namespace(total)
    start, end = xp.concat((source, target)), xp.concat((target, source))
    meets = total[start] + xp.concat((weight, weight)) == total[end]
    edge = xp.nonzero(meets & xp.isfinite(total[end]))[0]
    start, end, edge = start[edge], end[edge], edge % max(len(source), 1)
    previous, along = xp.full((2, len(total)), -1, dtype=xp.int64)
    ready = total[start] < total[end]
    # Where rounding swallows a weight both ends have the same total; one follows once the other is joined.
    while bool(ready.any()):
        arcs = xp.nonzero(ready)[0]
        arcs = arcs[xp.argsort(end[arcs] * len(total) + start[arcs])]
        arcs = arcs[first_of_each(end[arcs])]
        previous[end[arcs]], along[end[arcs]] = start[arcs], edge[arcs]
        joined = previous >= 0
        joined[root] = True
        ready = joined[start] & ~joined[end]
    return previous, along


def sums_to_root(previous: Any, values: Any) -> Any:
    """Add up values of the nodes on the way to the root, whose own does not count.

    Every round sums twice as far, O(V log depth), in an order that only the tree decides.
    """
    xp = namespace(values)
    total = xp.where(previous >= 0, values, 0.0)
    above = xp.where(previous >= 0, previous, xp.arange(len(previous)))
    while True:
        further = above[above]
        if bool((further == above).all()):
            return total
        total = total + total[above]
        above = further


def first_of_each(values: Any) -> Any:
    """Return where, in a sorted array, each value is for the first time: (n,) bool."""
    xp = namespace(values)
    first = xp.ones(len(values), dtype=xp.bool)
    first[1:] = values[1:] != values[:-1]
    return first
