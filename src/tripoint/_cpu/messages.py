"""Messages between the nodes of a graph, edge by edge, in numba: none of them is kept in memory."""

from __future__ import annotations

import numpy as np

from tripoint._cpu.compiled import compiled


@compiled()
def mean_messages(hidden, edge, source, target, share):
    """Add up share[t] · ReLU(hidden[s] + edge) over the edges s → t.

    Parameters
    ----------
    hidden : (nodes, width) float
    edge : (edges, width) float
    source, target : (edges,) int64
    share : (nodes,) float
        Weight of each message at the node that it comes to.
    """
    received = np.zeros_like(hidden)
    width = hidden.shape[1]
    zero = hidden.dtype.type(0)
    for e in range(len(source)):
        s, t = source[e], target[e]
        weight = share[t]
        for k in range(width):
            received[t, k] += weight * max(hidden[s, k] + edge[e, k], zero)
    return received


@compiled()
def mean_messages_gradient(gradient, hidden, edge, source, target, share):
    """Return the gradients to hidden and edge, for that to the result of `mean_messages`."""
    of_hidden = np.zeros_like(hidden)
    of_edge = np.empty_like(edge)
    width = hidden.shape[1]
    zero = hidden.dtype.type(0)
    for e in range(len(source)):
        s, t = source[e], target[e]
        weight = share[t]
        for k in range(width):
            value = weight * gradient[t, k] if hidden[s, k] + edge[e, k] > zero else zero
            of_edge[e, k] = value
            of_hidden[s, k] += value
    return of_hidden, of_edge
