"""Which features and which contacts a network looks at, through the explainers of PyTorch Geometric."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.explain import CaptumExplainer, Explainer, GNNExplainer
from torch_geometric.explain.config import ModelConfig

from tripoint.graph import Graph
from tripoint.learn.checkpoint import Trained
from tripoint.learn.data import GraphDataset, Graphs
from tripoint.learn.explanation.groups import group_of, in_order
from tripoint.learn.kirchhoff import CircuitView
from tripoint.learn.views import HeteroView, ParticleView, labels_of

CONTACTS_LISTED = 5
"""Contacts that are listed per particle."""


class _Homogeneous(nn.Module):
    """A network of particles as PyTorch Geometric calls it: with features and edges, the rest kept."""

    def __init__(self, network: nn.Module, data: Data) -> None:
        super().__init__()
        self.network, self.data = network, data

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor, edge_attr: torch.Tensor) -> torch.Tensor:
        """Return the log-activity of every particle."""
        data = copy.copy(self.data)
        data.x, data.edge_index, data.edge_attr = x, edge_index, edge_attr
        return self.network(data).unsqueeze(-1)


class _Heterogeneous(nn.Module):
    """A network of regions as PyTorch Geometric calls it."""

    def __init__(self, network: nn.Module, data: HeteroData) -> None:
        super().__init__()
        self.network, self.data = network, data

    def forward(
        self, x_dict: dict[str, torch.Tensor], edge_index_dict: dict[Any, torch.Tensor]
    ) -> torch.Tensor:
        """Return the log-activity of every particle; edges are those of the data."""
        data = copy.copy(self.data)
        for kind, values in x_dict.items():
            data[kind].x = values
        return self.network(data).unsqueeze(-1)


def feature_attributions(
    trained: Trained, graphs: Graphs, particles: pd.DataFrame, *, steps: int = 32
) -> pd.DataFrame:
    """Attribute predictions to features by integrated gradients (Sundararajan, Taly and Yan 2017).

    From regions with the mean of every feature to those that there are. What a particle owes to its own
    features and to those of all other regions is told apart.

    Parameters
    ----------
    trained : Trained
        With a `views.ParticleView` or a `views.HeteroView`; there are none for others.
    graphs : GraphDatabase or mapping of str to Graph
    particles : DataFrame
        ``sample``, ``node``.
    steps : int
        Of the integral.

    Returns
    -------
    DataFrame
        ``sample``, ``node``, ``group``, ``own``, ``others``: log10 of activity.  Over all groups they add up
        to the difference between the prediction and that for mean features, as far as the steps go.
    """
    rows: list[dict[str, Any]] = []
    for sample, group in particles.groupby("sample", sort=False):
        data, explain = _explainer(trained, graphs[str(sample)], _integrated_gradients(steps), None)
        if explain is None:
            continue
        nodes = labels_of(data)["node"].numpy()
        for node in group["node"]:
            at = int(np.flatnonzero(nodes == node)[0])
            own, others = _sums(trained, data, explain(at), at)
            rows += [
                {"sample": sample, "node": int(node), "group": name, "own": own[name], "others": others[name]}
                for name in in_order(own)
            ]
    return pd.DataFrame(rows, columns=["sample", "node", "group", "own", "others"])


def contact_masks(
    trained: Trained, graphs: Graphs, particles: pd.DataFrame, *, epochs: int = 100, seed: int = 0
) -> pd.DataFrame:
    """Find the contacts that a particle's prediction needs, by GNNExplainer (Ying et al. 2019).

    Parameters
    ----------
    trained : Trained
        With a `views.ParticleView`; other networks pass messages in a way that has no masks, and have none.
    graphs : GraphDatabase or mapping of str to Graph
    particles : DataFrame
        ``sample``, ``node``.
    epochs, seed : int
        Of the search for the mask.

    Returns
    -------
    DataFrame
        ``sample``, ``node``, ``source``, ``target`` (regions), ``weight`` from 0 to 1: the
        `CONTACTS_LISTED` contacts of most weight among those of the particle and of its neighbours. Those
        further away reach the prediction too, through the mean of the sample, but too weakly to be told.
    """
    rows: list[dict[str, Any]] = []
    if isinstance(trained.view, ParticleView):
        for sample, group in particles.groupby("sample", sort=False):
            with torch.random.fork_rng(devices=()):
                torch.manual_seed(seed)
                data, explain = _explainer(
                    trained, graphs[str(sample)], GNNExplainer(epochs=epochs), "object"
                )
                assert explain is not None
                nodes = labels_of(data)["node"].numpy()
                for node in group["node"]:
                    found = explain(int(np.flatnonzero(nodes == node)[0]))
                    rows += _heaviest(data, found.edge_mask.numpy(), nodes, str(sample), int(node))
    return pd.DataFrame(rows, columns=["sample", "node", "source", "target", "weight"])


def _integrated_gradients(steps: int) -> CaptumExplainer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will look at one graph at a time, which is what is wanted
        return CaptumExplainer("IntegratedGradients", n_steps=steps)


def _explainer(
    trained: Trained, graph: Graph, algorithm: Any, edge_mask: str | None
) -> tuple[Any, Callable[[int], Any] | None]:
    """Return the data of a sample, and what explains the prediction of the particle of a row."""
    if isinstance(trained.view, CircuitView):
        return None, None
    sample = str(graph.metadata.get("name", ""))
    data = GraphDataset({sample: graph}, (sample,), trained.view, trained.names, trained.scalings)[0]
    network = trained.network.eval()
    of_regions = isinstance(trained.view, HeteroView)
    explainer = Explainer(
        _Heterogeneous(network, data) if of_regions else _Homogeneous(network, data),
        algorithm,
        explanation_type="model",
        model_config=ModelConfig(mode="regression", task_level="node", return_type="raw"),
        node_mask_type="attributes",
        edge_mask_type=edge_mask,
    )

    def explain(row: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that inputs without gradients are given one
            if of_regions:
                return explainer(data.x_dict, data.edge_index_dict, index=torch.tensor([row]))
            return explainer(data.x, data.edge_index, edge_attr=data.edge_attr, index=torch.tensor([row]))

    return data, explain


def _sums(trained: Trained, data: Any, found: Any, row: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the attributions of the particle's own features and of all others by group."""
    own: dict[str, float] = {}
    others: dict[str, float] = {}
    if isinstance(data, HeteroData):
        tables = {kind: mask for kind, mask in found.node_mask_dict.items() if kind in trained.names}
        for mine in (kind for kind in data.node_types if "y" in data[kind]):
            if row < data[mine].num_nodes:
                break
            row -= data[mine].num_nodes
    else:
        tables, mine = {"particles": found.node_mask}, "particles"
    for kind, mask in tables.items():
        values = mask.detach().double().numpy()
        for at, name in enumerate(trained.names[kind]):
            group = group_of(name)
            alone = float(values[row, at]) if kind == mine else 0.0
            own[group] = own.get(group, 0.0) + alone
            others[group] = others.get(group, 0.0) + float(values[:, at].sum()) - alone
    return own, others


def _heaviest(
    data: Data, mask: np.ndarray, nodes: np.ndarray, sample: str, node: int
) -> list[dict[str, Any]]:
    """Return the contacts of most weight, each once, with the larger weight of its two directions."""
    half = data.edge_index.shape[1] // 2
    weight = np.maximum(mask[:half], mask[half:])
    source, target = nodes[data.edge_index[:, :half].numpy()]
    around = np.unique(np.stack([source, target])[:, (source == node) | (target == node)])
    weight = np.where(np.isin(source, around) | np.isin(target, around), weight, 0)
    order = np.argsort(-weight, kind="stable")[:CONTACTS_LISTED]
    return [
        {
            "sample": sample,
            "node": node,
            "source": int(source[at]),
            "target": int(target[at]),
            "weight": float(weight[at]),
        }
        for at in order
        if weight[at] > 0
    ]
