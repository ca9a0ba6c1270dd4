r"""What a circuit's predictions depend on: every link, by the adjoint, and the conductivities it learned.

For a particle p and a link k of conductance g the sensitivity is

.. math:: s_{pk} = \frac{\partial y_p}{\partial \ln g_k}

with y the predicted log-activity, by one further solution of Kirchhoff's equations per particle for all links
(`kirchhoff.Potentials`). Activities are relative: over all links they add up to 0, since what conducts better
everywhere changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from tripoint.graph import Graph
from tripoint.learn.checkpoint import Trained
from tripoint.learn.circuit import ION, KINDS, REACTION
from tripoint.learn.data import GraphDataset, Graphs
from tripoint.learn.explanation.groups import KIND_GROUPS
from tripoint.learn.kirchhoff import Potentials
from tripoint.learn.views import labels_of

TOP_OF_SAMPLE, TOP_OF_PARTICLE = 10, 5
"""Links that are listed."""

QUARTER = 0.25
"""Share of the particles that count as the least and as the most active."""


def link_sensitivities(
    trained: Trained, graphs: Graphs, samples: list[str], chosen: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Differentiate the predictions of a circuit by all its conductances.

    Parameters
    ----------
    trained : Trained
        With a `kirchhoff.CircuitView`.
    graphs : GraphDatabase or mapping of str to Graph
    samples : list of str
    chosen : DataFrame
        ``sample``, ``node``: particles whose own links are listed.

    Returns
    -------
    kinds : DataFrame
        Per kind of link: ``kind``, ``group``; mean over the particles of the sum over its links,
        ``elasticity`` (how log10 of activity moves when all of them conduct e times as well), and of the sum
        of sizes, ``size``; the elasticity of the quarter of the particles with the least and with the most
        activity, ``least_active`` and ``most_active``.
    links : DataFrame
        ``sample``, ``node`` (of the particle; −1 for all of the sample), ``source``, ``target`` (regions; −1
        for a terminal), ``kind`` and ``sensitivity``: signed for a particle, the mean size over all of a
        sample.
    """
    sums, sizes, activities, rows = [], [], [], []
    for sample in samples:
        graph = graphs[sample].to("cpu")
        data, labels = _circuit(trained, graph)
        matrix = _matrix(trained, data)
        kind = data.kind.numpy()
        known = labels["labelled"].numpy()
        by_kind = np.zeros((2, len(matrix), len(KINDS)))
        for number in range(len(KINDS)):
            of_kind = matrix[:, kind == number]
            by_kind[:, :, number] = of_kind.sum(axis=1), np.abs(of_kind).sum(axis=1)
        sums.append(by_kind[0][known])
        sizes.append(by_kind[1][known])
        activities.append(labels["activity"].numpy()[known])
        rows += _listed(graph, data, sample, -1, np.abs(matrix[known]).mean(axis=0), TOP_OF_SAMPLE)
        nodes = labels["node"].numpy()
        for node in chosen.loc[chosen["sample"] == sample, "node"]:
            row = int(np.flatnonzero(nodes == node)[0])
            rows += _listed(graph, data, sample, int(node), matrix[row], TOP_OF_PARTICLE)
    elasticity, size, activity = (np.concatenate(parts) for parts in (sums, sizes, activities))
    low, high = np.quantile(activity, (QUARTER, 1 - QUARTER))
    kinds = pd.DataFrame(
        {
            "kind": KINDS,
            "group": KIND_GROUPS,
            "elasticity": elasticity.mean(axis=0),
            "size": size.mean(axis=0),
            "least_active": elasticity[activity <= low].mean(axis=0),
            "most_active": elasticity[activity >= high].mean(axis=0),
        }
    )
    return kinds, pd.DataFrame(rows)


def learned_conductivities(trained: Trained, graphs: Graphs, samples: list[str]) -> pd.DataFrame:
    """Read the conductivities that a circuit learned, beside those of the simulation.

    The conductance of a link over that of unit conductivity, as a geometric mean over all links of a kind,
    weighted by their dissipation: what carries nothing was not learned. Relative activities tell
    conductivities up to a common factor, which is chosen so that ion conductors have theirs.

    Returns
    -------
    DataFrame
        Per kind that occurs: ``kind``, ``unit`` (S/m; of charge transfer S/m²), ``learned``, ``known`` (with
        the constants of the materials; NaN where they give none), ``ratio``, ``spread`` (factor: exp of the
        s.d. of the logarithm of learned over known, over the links), ``links``.
    """
    parts: list[np.ndarray] = []
    for sample in samples:
        data, _ = _circuit(trained, graphs[sample].to("cpu"))
        with torch.no_grad():
            logarithm = trained.network.log_conductance(data)
            conductance = torch.exp(logarithm)
            potential = Potentials.apply(conductance, data.link_index, data.fixed, data.free)
        source, target = data.link_index
        dissipation = conductance * (potential[source] - potential[target]) ** 2
        dissipation = dissipation / dissipation.sum()
        learned, known = logarithm - data.log_geometric, data.log_known - data.log_geometric
        parts.append(torch.stack([data.kind.double(), learned, known, dissipation]).numpy())
    kind, learned, known, weight = np.concatenate(parts, axis=1)
    rows = [_of_kind(number, learned, known, weight, kind == number) for number in range(len(KINDS))]
    table = pd.DataFrame([row for row in rows if row is not None])
    ionic = table[table["kind"] == KINDS[ION]]
    factor = float((ionic["known"] / ionic["learned"]).iloc[0]) if len(ionic) else 1.0
    table["learned"] *= factor if np.isfinite(factor) else 1.0
    table.insert(4, "ratio", table["learned"] / table["known"])
    return table


def _of_kind(
    number: int, learned: np.ndarray, known: np.ndarray, weight: np.ndarray, mine: np.ndarray
) -> dict[str, Any] | None:
    mine = mine & ~np.isneginf(known)  # contacts that kinetics along junctions do not let react
    if not weight[mine].sum() > 0:
        return None
    weights = weight[mine] / weight[mine].sum()
    means = [float(weights @ values[mine]) for values in (learned, known)]
    apart = learned[mine] - known[mine] - (means[0] - means[1])
    unit, scale = ("S/m²", 1e6) if number == REACTION else ("S/m", 1.0)  # of µS/µm² and µS/µm
    return {
        "kind": KINDS[number],
        "unit": unit,
        "learned": scale * float(np.exp(means[0])),
        "known": scale * float(np.exp(means[1])),
        "spread": float(np.exp(np.sqrt(weights @ apart**2))),
        "links": int(mine.sum()),
    }


def _circuit(trained: Trained, graph: Graph) -> tuple[Any, dict[str, torch.Tensor]]:
    sample = str(graph.metadata.get("name", ""))
    data = GraphDataset({sample: graph}, (sample,), trained.view, trained.names, trained.scalings)[0]
    return data, labels_of(data)


def _matrix(trained: Trained, data: Any) -> np.ndarray:
    """Return the sensitivity of every particle to every link: (particles, links)."""
    # Whatever is learned is added to this logarithm, so that its gradient is that of the conductance's own.
    name = trained.network.base
    data = data.clone()
    data[name] = data[name].clone().requires_grad_()
    predicted = trained.network.eval()(data)
    gradients = [
        torch.autograd.grad(one, data[name], retain_graph=True)[0] if one.requires_grad else None
        for one in predicted
    ]
    nothing = torch.zeros_like(data[name])
    return torch.stack([nothing if one is None else one for one in gradients]).detach().numpy()


def _listed(
    graph: Graph, data: Any, sample: str, node: int, values: np.ndarray, count: int
) -> list[dict[str, Any]]:
    """Return rows of the links with the largest values."""
    ids = np.append(graph.nodes["node"].to_numpy(), [-1, -1])
    source, target = ids[data.link_index.numpy()]
    order = np.argsort(-np.abs(values), kind="stable")[:count]
    return [
        {
            "sample": sample,
            "node": node,
            "source": int(source[at]),
            "target": int(target[at]),
            "kind": KINDS[int(data.kind[at])],
            "sensitivity": float(values[at]),
        }
        for at in order
    ]
