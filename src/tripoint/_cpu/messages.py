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


@compiled()
def diffused(start, keep, weight, source, target, steps, every):
    """Repeat u[t] ← keep[t] · start[t] + Σ weight · u[s] over the edges s → t, channel by channel.

    Parameters
    ----------
    start, keep : (nodes, width) float
    weight : (edges, width) float
    source, target : (edges,) int64
    steps : int
    every : bool
        Whether all states are kept, for the gradient.

    Returns
    -------
    (steps + 1 or 2, nodes, width)
        u before all steps and after each; without ``every`` u after the last step stands at steps % 2.
    """
    nodes, width = start.shape
    kept = steps + 1 if every else 2
    states = np.empty((kept, nodes, width), start.dtype)
    states[0] = start
    for step in range(steps):
        before, after = states[step % kept], states[(step + 1) % kept]
        for t in range(nodes):
            for k in range(width):
                after[t, k] = keep[t, k] * start[t, k]
        for e in range(len(source)):
            s, t = source[e], target[e]
            for k in range(width):
                after[t, k] += weight[e, k] * before[s, k]
    return states


@compiled()
def diffused_gradient(gradient, states, keep, weight, source, target):
    """Return the gradients to start, keep and weight, for that to the last state of `diffused`."""
    steps = len(states) - 1
    start = states[0]
    nodes, width = start.shape
    of_start, of_keep, of_weight = np.zeros_like(start), np.zeros_like(keep), np.zeros_like(weight)
    after, before = gradient.copy(), np.empty_like(start)
    for step in range(steps - 1, -1, -1):
        state = states[step]
        for t in range(nodes):
            for k in range(width):
                of_start[t, k] += keep[t, k] * after[t, k]
                of_keep[t, k] += start[t, k] * after[t, k]
                before[t, k] = 0
        for e in range(len(source)):
            s, t = source[e], target[e]
            for k in range(width):
                before[s, k] += weight[e, k] * after[t, k]
                of_weight[e, k] += state[s, k] * after[t, k]
        after, before = before, after
    return of_start + after, of_keep, of_weight
