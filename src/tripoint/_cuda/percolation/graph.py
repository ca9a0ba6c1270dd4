"""Components, least paths, bottlenecks and bridges of a graph, by pylibcugraph and array algebra."""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np
from pylibcugraph import (
    GraphProperties,
    ResourceHandle,
    SGGraph,
    minimum_spanning_tree,
    sssp,
    weakly_connected_components,
)

FARTHEST = np.finfo(np.float64).max  # what sssp gives to a node that it does not reach


def graph_roots(source: Any, target: Any, count: int) -> Any:
    """Return for each of ``count`` nodes the smallest node of its weakly connected component."""
    nodes = cp.arange(count, dtype=cp.int32)
    if len(source) == 0:
        return nodes.astype(cp.int64)
    handle = ResourceHandle()
    members, component = weakly_connected_components(
        handle, _graph(handle, source, target, count), None, None, None, None, False
    )
    _, number = cp.unique(component, return_inverse=True)  # labels are any numbers
    first = cp.full(count, count, cp.int32)
    cp.minimum.at(first, number, members)
    roots = nodes.astype(cp.int64)
    roots[members] = first[number]
    return roots


def least_paths(source: Any, target: Any, weight: Any, count: int, root: int) -> Any:
    """Weight of the least-weight path from one node to every other, inf where there is none.

    Weights are positive.  The least sum of float64 that any path gives when it is added up from the root
    on: whatever the order in which paths are tried, the same bits.
    """
    total = cp.full(count, cp.inf)
    total[root] = 0.0
    if len(source) == 0:
        return total
    handle = ResourceHandle()
    graph = _graph(handle, source, target, count, weight)
    nodes, distance, _ = sssp(handle, graph, root, FARTHEST, True, False)
    total[nodes] = cp.where(distance == FARTHEST, cp.inf, distance)
    return total


def bottlenecks(source: Any, target: Any, width: Any, count: int, root: int) -> tuple[Any, Any]:
    """Width of the widest path from one node to every other, and the bridges of its component.

    Both follow from the maximum spanning forest.  The widest path runs along it.  A bridge is an edge of it
    that no other edge passes by: the nodes beyond it, which are consecutive when the tree is numbered in
    preorder, have no edge to a node outside that stretch (Tarjan 1974; Tarjan & Vishkin 1985).

    Returns
    -------
    width : (count,) float64
        0 where there is no path, inf for the root.
    bridge : (edges,) bool

    Notes
    -----
    Every step is logarithmic in the depth of the tree, which may be thousands.  Memory: some 200 bytes per
    node and per edge, half of it pylibcugraph's own.
    """
    widest, bridge = cp.zeros(count), cp.zeros(len(source), bool)
    widest[root] = cp.inf
    if len(source) == 0:
        return widest, bridge
    order = cp.argsort(-width)  # stable
    rank = cp.empty(len(order), cp.int64)
    rank[order] = cp.arange(len(order))
    tree = order[_spanning_forest(source, target, rank, count)]
    parent, child, size, edge = _preorder(source[tree], target[tree], count, root)
    edge = tree[edge]

    narrowest = cp.full(count, -1)
    narrowest[child] = rank[edge]
    above = cp.arange(count)
    above[child] = parent
    for _ in range(count.bit_length()):  # each round looks twice as far up
        narrowest = cp.maximum(narrowest, narrowest[above])
        above = above[above]
    widest[child] = width[order[narrowest[child]]]

    is_tree = cp.zeros(len(source), bool)
    is_tree[edge] = True
    bridge[edge] = _passed_by_none(source[~is_tree], target[~is_tree], child, size, count, root)
    return widest, bridge


def _graph(handle: Any, source: Any, target: Any, count: int, weight: Any = None) -> Any:
    """Return an undirected graph, which pylibcugraph takes as edges both ways, with its lone nodes."""
    source, target = source.astype(cp.int32), target.astype(cp.int32)
    return SGGraph(
        handle,
        GraphProperties(is_symmetric=True, is_multigraph=False),
        cp.concatenate([source, target]),
        cp.concatenate([target, source]),
        weight_array=None if weight is None else cp.concatenate([weight, weight]),
        store_transposed=False,
        renumber=True,
        do_expensive_check=False,
        vertices_array=cp.arange(count, dtype=cp.int32),
    )


def _spanning_forest(source: Any, target: Any, rank: Any, count: int) -> Any:
    """Return the ranks, ascending, of the edges of the spanning forest of least ranks.

    Ranks, 1, 2, …, are given as weights rather than widths: the solver tells equal weights apart by
    adding noise below their smallest difference, for which measured widths leave no room in float64; and
    with ranks there is one such forest only.
    """
    handle = ResourceHandle()
    graph = _graph(handle, source, target, count, (rank + 1).astype(cp.float64))
    weight = minimum_spanning_tree(handle, graph)[2]
    return cp.unique(weight.astype(cp.int64)) - 1  # each edge comes both ways


def _preorder(source: Any, target: Any, count: int, root: int) -> tuple[Any, Any, Any, Any]:
    """Root the tree that holds a node and number its nodes in preorder, the root 0, its first child 1.

    The tour around a tree passes every edge down and up again.  It is a linked list of arcs, in which
    every arc finds its distance to the end by doubling (Tarjan & Vishkin 1985).

    Parameters
    ----------
    source, target : (n,) int64
        The edges of a forest.

    Returns
    -------
    parent, child : (m,) int64
        Nodes of every edge of the tree, the children in preorder.
    size : (m,) int64
        Nodes of the child's subtree.
    edge : (m,) int64
        Place of the edge among those given.
    """
    edges = len(source)
    arc = cp.arange(2 * edges)  # an edge's arc back is as many places on
    start = cp.concatenate([source, target])
    order = cp.argsort(start)
    first = cp.searchsorted(start[order], cp.arange(count + 1))  # of the arcs that leave each node
    if int(first[root]) == int(first[root + 1]):
        none = arc[:0]
        return none, none, none, none
    around = cp.empty_like(arc)  # the next arc that leaves the same node; after the last comes the first
    around[order] = cp.where(
        arc + 1 < first[start[order] + 1], cp.roll(order, -1), order[first[start[order]]]
    )
    head = int(order[first[root]])
    following = around[(arc + edges) % len(arc)]
    last = int(cp.flatnonzero(following == head)[0])
    following[last] = last
    ahead = (following != arc).astype(cp.int64)
    for _ in range(len(arc).bit_length()):
        ahead = ahead + ahead[following]
        following = following[following]

    edge = cp.flatnonzero(following[:edges] == last)  # other trees' tours have no end
    forth, back = ahead[edge], ahead[edge + edges]
    edge = edge[cp.argsort(-cp.maximum(forth, back))]
    forth, back = ahead[edge], ahead[edge + edges]
    down = forth > back
    parent = cp.where(down, source[edge], target[edge])
    child = cp.where(down, target[edge], source[edge])
    return parent, child, (cp.abs(forth - back) + 1) // 2, edge


def _passed_by_none(source: Any, target: Any, child: Any, size: Any, count: int, root: int) -> Any:
    """Whether no edge but that of the tree leads out of the subtree of each child."""
    nodes = len(child) + 1
    position = cp.full(count, -1, cp.int32)
    position[root] = 0
    position[child] = cp.arange(1, nodes, dtype=cp.int32)
    a, b = position[source], position[target]
    a, b = a[a >= 0], b[a >= 0]
    low, high = cp.arange(nodes, dtype=cp.int32), cp.arange(nodes, dtype=cp.int32)
    for one, other in ((a, b), (b, a)):
        cp.minimum.at(low, one, other)
        cp.maximum.at(high, one, other)
    begin = cp.arange(1, nodes)
    least, most = low[1:], high[1:]
    step = 1
    while step < nodes:  # low and high are those of as many nodes as the step, from each one on
        at = cp.where(size >= step, begin + size - step, begin)
        least = cp.where(size >= step, cp.minimum(low[begin], low[at]), least)
        most = cp.where(size >= step, cp.maximum(high[begin], high[at]), most)
        low[:-step] = cp.minimum(low[:-step], low[step:])
        high[:-step] = cp.maximum(high[:-step], high[step:])
        step *= 2
    return (least >= begin) & (most < begin + size)
