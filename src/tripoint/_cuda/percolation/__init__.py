"""Connected components of a volume and paths through a graph, by cuCIM, pylibcugraph and kernels."""

from tripoint._cuda.percolation.components import (
    join_components,
    label_components,
    outer_planes,
    paint,
)
from tripoint._cuda.percolation.graph import bottlenecks, graph_roots, least_paths

__all__ = [
    "bottlenecks",
    "graph_roots",
    "join_components",
    "label_components",
    "least_paths",
    "outer_planes",
    "paint",
]
