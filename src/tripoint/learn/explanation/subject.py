"""What is explained: a model on held-out samples, asked again with some groups taken away."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch_geometric.loader import DataLoader

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.checkpoint import Trained
from tripoint.learn.data import GraphDataset, Graphs, scale
from tripoint.learn.ensemble import Ensemble
from tripoint.learn.explanation.absence import Permutations, from_particles, from_regions
from tripoint.learn.explanation.circuits import from_circuit, open_circuit
from tripoint.learn.explanation.groups import (
    ELECTRON_PATH,
    JUNCTIONS,
    KIND_GROUPS,
    SIZE,
    columns_of,
    contact_group,
    group_of,
    in_order,
)
from tripoint.learn.features import log_activity, materials_of, region_features, targets
from tripoint.learn.fitting import Fitted, FittedBaseline
from tripoint.learn.kirchhoff import CircuitView, KnownCircuit
from tripoint.learn.views import HeteroView, labels_of

BATCH = 4
"""Samples that are predicted at a time."""


class Subject(Protocol):
    """A model on samples whose activity is known.

    Parameters
    ----------
    groups : tuple of str
        Those of `groups.GROUPS` that the model knows something of.
    activity, truth : (particles,) float64
        Activity, and its logarithm.
    sample : (particles,) str
    """

    groups: tuple[str, ...]
    activity: np.ndarray
    truth: np.ndarray
    sample: np.ndarray

    def predict(self, absent: Collection[str] = (), seed: int = 0) -> np.ndarray:
        """Return the log-activity predicted without some groups: (particles,)."""


class BaselineSubject:
    """A model that sees each particle's own numbers alone."""

    def __init__(self, fitted: FittedBaseline, graphs: Graphs, samples: Iterable[str]) -> None:
        self.fitted = fitted
        self._parts: list[np.ndarray] = []
        activity, name = [], []
        for sample in samples:
            graph = graphs[sample]
            known = targets(graph)
            self._parts.append(region_features(graph, fitted.features).values[known.rows])
            activity.append(known.activity)
            name.append(np.full(len(known.rows), sample, object))
        _check_samples(activity)
        self.activity, self.sample = np.concatenate(activity), np.concatenate(name)
        self.truth = log_activity(self.activity)
        self.groups = in_order(map(group_of, fitted.names))

    def predict(self, absent: Collection[str] = (), seed: int = 0) -> np.ndarray:
        """Return the log-activity predicted without some groups: (particles,)."""
        columns = columns_of(self.fitted.names, absent)
        parts = []
        for number, values in enumerate(self._parts):
            other = Permutations((seed, number)).of("particles", len(values)).numpy()
            changed = values.copy()
            changed[:, columns] = values[other][:, columns]
            parts.append(changed)
        return self.fitted.model(np.concatenate(parts))


class NetworkSubject:
    """A network, whichever view it takes."""

    def __init__(self, trained: Trained, graphs: Graphs, samples: Iterable[str]) -> None:
        self.network = trained.network.eval()
        self._parts: list[tuple[Any, Callable[..., Any]]] = []
        activity, name = [], []
        found: set[str] = set()
        for sample in samples:
            graph = graphs[sample].to("cpu")
            data, groups, without = _prepared(trained, graph)
            found |= groups
            self._parts.append((data, without))
            # In the order of the network's predictions, which is that of its labels.
            labels = labels_of(data)
            values = labels["activity"][labels["labelled"]].numpy().astype(np.float64)
            activity.append(values)
            name.append(np.full(len(values), sample, object))
        _check_samples(activity)
        self.activity, self.sample = np.concatenate(activity), np.concatenate(name)
        self.truth = log_activity(self.activity)
        self.groups = in_order(found)

    def predict(self, absent: Collection[str] = (), seed: int = 0) -> np.ndarray:
        """Return the log-activity predicted without some groups: (particles,)."""
        changed = [
            without(data, absent=absent, draw=Permutations((seed, number)))
            for number, (data, without) in enumerate(self._parts)
        ]
        predicted = []
        with torch.no_grad():
            for batch in DataLoader(changed, BATCH):
                predicted.append(self.network(batch)[labels_of(batch)["labelled"]].double().numpy())
        return np.concatenate(predicted)


class EnsembleSubject:
    """The mean of several networks."""

    def __init__(self, ensemble: Ensemble, graphs: Graphs, samples: Iterable[str]) -> None:
        names = list(samples)
        self.members = [NetworkSubject(member, graphs, names) for member in ensemble.members]
        first = self.members[0]
        self.groups, self.sample = first.groups, first.sample
        self.activity, self.truth = first.activity, first.truth

    def predict(self, absent: Collection[str] = (), seed: int = 0) -> np.ndarray:
        """Return the log-activity predicted without some groups: (particles,)."""
        return np.mean([member.predict(absent, seed) for member in self.members], axis=0)


def subject_of(fitted: Fitted, graphs: Graphs, samples: Iterable[str]) -> Subject:
    """Return what is asked of a fitted model, network or not.

    Raises
    ------
    InputError
        No samples, samples whose activity is not known, or a model that nothing can be taken from.
    """
    if isinstance(fitted, FittedBaseline):
        return BaselineSubject(fitted, graphs, samples)
    if isinstance(fitted, Ensemble):
        return EnsembleSubject(fitted, graphs, samples)
    if isinstance(fitted, Trained):
        return NetworkSubject(fitted, graphs, samples)
    message = f"a {type(fitted).__name__} cannot be explained; give a trained network or a fitted baseline"
    raise InputError(message)


def _prepared(trained: Trained, graph: Graph) -> tuple[Any, set[str], Callable[..., Any]]:
    """Return the data of a sample, the groups that the network sees in it, and what takes them away."""
    sample, names, view = str(graph.metadata.get("name", "")), trained.names, trained.view
    data = GraphDataset({sample: graph}, (sample,), view, names, trained.scalings)[0]
    if isinstance(view, CircuitView):
        head = getattr(trained.network, "head", None) is not None
        # One without a head, or with known conductances, sees nothing of particles but their volume.
        sees = set(map(group_of, names["particles"])) if head else {SIZE}
        learned = set() if isinstance(trained.network, KnownCircuit) else {JUNCTIONS}
        circuit = scale(open_circuit(graph, view), view, trained.scalings)
        return circuit, sees | learned | set(KIND_GROUPS), partial(from_circuit, names=names)
    if isinstance(view, HeteroView):
        materials = materials_of(graph)
        phases = [phase.name for phase in materials.phases]
        sees = {group_of(name) for phase in phases for name in names[phase]}
        joined = {contact_group(a, b) for a in materials.phases for b in materials.phases}
        return data, sees | joined | {JUNCTIONS}, partial(from_regions, names=names, materials=materials)
    sees = set(map(group_of, names["particles"])) | {ELECTRON_PATH}
    return data, sees, partial(from_particles, names=names)


def _check_samples(parts: list[np.ndarray]) -> None:
    if not parts:
        message = "there are no samples to explain predictions of; name some with samples=[…]"
        raise InputError(message)
