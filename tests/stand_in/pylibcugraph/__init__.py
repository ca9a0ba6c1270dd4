"""Stands in for pylibcugraph where no GPU is: SciPy behind the same names, parameters and result types.

It refuses what the library takes without a word and then computes nonsense from: host arrays, views that are
not contiguous, edges that are not symmetric though they are said to be.  What the library leaves open comes
out unlike what one might get used to: nodes out of order, labels of components that are no nodes.  What
tripoint does not use is not there: a name is added after looking at how pylibcugraph behaves.
"""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np
from cupy._array import wrap
from cupy._memory import record
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.sparse.csgraph import minimum_spanning_tree as spanning_tree

__version__ = "26.10.00"
__all__ = [
    "GraphProperties",
    "ResourceHandle",
    "SGGraph",
    "minimum_spanning_tree",
    "sssp",
    "weakly_connected_components",
]


class ResourceHandle:
    """A handle to the device."""

    def __init__(self, handle: Any = None) -> None:
        if handle is not None:
            message = "the stand-in makes its own handle"
            raise NotImplementedError(message)


class GraphProperties:
    """What is known of a graph's edges."""

    def __init__(self, is_symmetric: bool = False, is_multigraph: bool = False) -> None:
        self.is_symmetric, self.is_multigraph = bool(is_symmetric), bool(is_multigraph)


class SGGraph:
    """A graph on one GPU, of sources and destinations."""

    def __init__(
        self,
        resource_handle: ResourceHandle,
        graph_properties: GraphProperties,
        src_or_offset_array: Any,
        dst_or_index_array: Any,
        weight_array: Any = None,
        store_transposed: bool = False,
        renumber: bool = False,
        do_expensive_check: bool = False,
        edge_id_array: Any = None,
        edge_type_array: Any = None,
        edge_start_time_array: Any = None,
        edge_end_time_array: Any = None,
        input_array_format: str = "COO",
        vertices_array: Any = None,
        drop_self_loops: bool = False,
        drop_multi_edges: bool = False,
        symmetrize: bool = False,
    ) -> None:
        _check_types(resource_handle=(resource_handle, ResourceHandle))
        _check_types(graph_properties=(graph_properties, GraphProperties))
        for name, flag in (("store_transposed", store_transposed), ("renumber", renumber)):
            _check_types(**{name: (flag, int)})
        extra = (edge_id_array, edge_type_array, edge_start_time_array, edge_end_time_array)
        if any(part is not None for part in extra) or input_array_format != "COO":
            message = "the stand-in knows edges and weights in COO format alone"
            raise NotImplementedError(message)
        if not renumber or store_transposed or drop_self_loops or drop_multi_edges or symmetrize:
            message = "the stand-in renumbers, and neither transposes, drops nor adds edges"
            raise NotImplementedError(message)
        source, target = _ids(src_or_offset_array), _ids(dst_or_index_array)
        if len(source) != len(target):
            message = "Invalid input arguments: src size != dst size."
            raise ValueError(message)
        self.properties = graph_properties
        self.vertices = _vertices(source, target, vertices_array)
        self.source, self.target = (np.searchsorted(self.vertices, ends) for ends in (source, target))
        self.weight = None if weight_array is None else _weights(weight_array, len(source))
        self._check_edges()
        # The library sorts vertices by degree; results come in its order.
        self.order = np.argsort(-np.bincount(self.source, minlength=len(self.vertices)), kind="stable")[::-1]

    def _check_edges(self) -> None:
        pairs = np.stack([self.source, self.target], axis=1)
        if not self.properties.is_multigraph and len(np.unique(pairs, axis=0)) != len(pairs):
            message = "edges occur twice, but the graph is said to be no multigraph"
            raise ValueError(message)
        if not self.properties.is_symmetric:
            return
        weight = np.zeros(len(pairs)) if self.weight is None else self.weight
        there = np.lexsort((weight, self.target, self.source))
        back = np.lexsort((weight, self.source, self.target))
        if not (
            np.array_equal(pairs[there], pairs[back, ::-1]) and np.array_equal(weight[there], weight[back])
        ):
            message = (
                "the graph is said to be symmetric, but not every edge is there both ways with its weight"
            )
            raise ValueError(message)

    def _matrix(self, weight: np.ndarray) -> csr_array:
        return csr_array((weight, (self.source, self.target)), shape=(len(self.vertices),) * 2)


def weakly_connected_components(
    resource_handle: Any,
    graph: Any,
    offsets: Any,
    indices: Any,
    weights: Any,
    labels: Any,
    do_expensive_check: bool,
) -> tuple[Any, Any]:
    """Return vertices and an arbitrary label of each one's component."""
    _check_types(resource_handle=(resource_handle, ResourceHandle), graph=(graph, SGGraph))
    if any(part is not None for part in (offsets, indices, weights)):
        message = (
            "Invalid input combination: Must set either 'graph' or a combination of 'offsets', 'indices' ..."
        )
        raise TypeError(message)
    if labels is not None or not graph.properties.is_symmetric:
        message = "the stand-in labels symmetric graphs, into arrays of its own"
        raise NotImplementedError(message)
    members = connected_components(graph._matrix(np.ones(len(graph.source))), directed=False)[1]
    arbitrary = np.random.default_rng(len(members)).permutation(3 * len(members) + 1).astype(np.int32)
    return wrap(graph.vertices[graph.order]), wrap(arbitrary[members[graph.order]])


def sssp(
    resource_handle: Any,
    graph: Any,
    source: int,
    cutoff: float,
    compute_predecessors: bool,
    do_expensive_check: bool,
) -> tuple[Any, Any, Any]:
    """Return vertices, their distances from the source and their predecessors."""
    _check_types(resource_handle=(resource_handle, ResourceHandle), graph=(graph, SGGraph))
    if not isinstance(source, int | np.integer) or source < 0:
        message = "an unsigned integer is required for the source"
        raise TypeError(message)
    record("to_host", 1)  # whether the source is a vertex
    if source not in graph.vertices:
        message = f"vertex {source} is not valid."
        raise ValueError(message)
    if compute_predecessors is False:
        message = "compute_predecessors must be True for the current release."
        raise ValueError(message)
    if graph.weight is None or (graph.weight < 0).any():
        message = "shortest paths want weights, and none that is negative"
        raise ValueError(message)
    place = int(np.searchsorted(graph.vertices, source))
    total, previous = dijkstra(graph._matrix(graph.weight), indices=place, return_predecessors=True)
    near = total < cutoff
    distance = np.where(near, total, np.finfo(graph.weight.dtype).max).astype(graph.weight.dtype)
    predecessor = np.full_like(graph.vertices, -1)
    predecessor[near & (previous >= 0)] = graph.vertices[previous[near & (previous >= 0)]]
    return tuple(wrap(part[graph.order]) for part in (graph.vertices, distance, predecessor))


def minimum_spanning_tree(
    resource_handle: Any, graph: Any, do_expensive_check: bool = False
) -> tuple[Any, Any, Any, Any]:
    """Return sources, destinations and weights of the forest's edges, each both ways, and (0, edges)."""
    _check_types(resource_handle=(resource_handle, ResourceHandle), graph=(graph, SGGraph))
    if graph.vertices.dtype != np.int32 or not graph.properties.is_symmetric:
        message = "spanning trees are of symmetric graphs with int32 vertices"
        raise NotImplementedError(message)
    if len(graph.source) == 0:
        message = (
            "non-success value returned from cugraph_minimum_spanning_tree: CUGRAPH_UNKNOWN_ERROR 0 edges"
        )
        raise RuntimeError(message)
    tree = spanning_tree(graph._matrix(_altered(graph))).tocoo()
    rows, columns = np.concatenate([tree.row, tree.col]), np.concatenate([tree.col, tree.row])
    weight = graph._matrix(graph.weight)[rows, columns]
    mixed = np.random.default_rng(len(rows)).permutation(len(rows))
    return (
        wrap(graph.vertices[rows[mixed]]),
        wrap(graph.vertices[columns[mixed]]),
        wrap(np.asarray(weight)[mixed]),
        wrap(np.array([0, len(rows)], np.int64)),
    )


def _altered(graph: SGGraph) -> np.ndarray:
    """Return the weights with noise below their smallest difference, by which RAFT tells equal ones apart."""
    distinct = np.unique(graph.weight)
    gap = np.diff(np.abs(distinct))
    most = np.abs(gap).min() / 2 if len(gap) else 1
    noise = 1 - np.random.default_rng(1234567).random(len(graph.vertices))
    altered = graph.weight + most * (noise[graph.source] + noise[graph.target])
    if len(np.unique(altered)) < len(altered) / 2:
        message = (
            "Number of edges found by MST is invalid. This may be due to loss in precision. Try increasing "
            "precision of weights."
        )
        raise RuntimeError(message)
    return altered


def _check_types(**values: tuple[Any, type]) -> None:
    for name, (value, kind) in values.items():
        if not isinstance(value, kind):
            message = (
                f"Argument '{name}' has incorrect type (expected {kind.__name__}, got {type(value).__name__})"
            )
            raise TypeError(message)


def _on_device(values: Any) -> np.ndarray:
    """Return the memory of a device array, of which the library takes the address and the length alone."""
    if not isinstance(values, cp.ndarray):
        message = f"{type(values)} does not support __cuda_array_interface__"
        raise TypeError(message)
    if values.ndim != 1 or not values.flags.c_contiguous:
        message = "the library would read past a view that is not contiguous"
        raise ValueError(message)
    return values._values.copy()


def _ids(values: Any) -> np.ndarray:
    ids = _on_device(values)
    if ids.dtype not in (np.int32, np.int64):
        message = f"Internal error: got invalid data type enum value from Numpy: {ids.dtype}"
        raise RuntimeError(message)
    return ids


def _weights(values: Any, edges: int) -> np.ndarray:
    weights = _on_device(values)
    if weights.dtype not in (np.float32, np.float64) or len(weights) != edges:
        message = (
            f"{len(weights)} weights of {weights.dtype} for {edges} edges: one float32 or float64 for each"
        )
        raise RuntimeError(message)
    return weights


def _vertices(source: np.ndarray, target: np.ndarray, given: Any) -> np.ndarray:
    """Return all vertices, sorted; one without an edge is there only where it is among those given."""
    found = np.unique(np.concatenate([source, target]))
    vertices = found if given is None else np.sort(_ids(given))
    if len({source.dtype, target.dtype, vertices.dtype}) > 1:
        message = (
            "The graph requires 'src_or_offset_array', 'dst_or_index_array' and 'vertices_array' to match."
        )
        raise TypeError(message)
    if len(np.unique(vertices)) != len(vertices) or not np.isin(found, vertices).all():
        message = "vertices_array holds every vertex once, also those of edges"
        raise ValueError(message)
    return vertices
