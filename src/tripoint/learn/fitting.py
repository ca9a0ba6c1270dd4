"""One way to fit what a file of ``conf/model`` describes: a network, or a model that sees no graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.baselines import ACTIVITY, pooled_features, table_of
from tripoint.learn.conformal import Estimate, answer
from tripoint.learn.data import Graphs
from tripoint.learn.ensemble import train_ensemble
from tripoint.learn.features import materials_of, region_features
from tripoint.learn.splitting import Split
from tripoint.learn.targets import Figure, Target, target_of
from tripoint.learn.training import train


class Fitted(Protocol):
    """What can be asked of a model that was fitted."""

    @property
    def target(self) -> Target:
        """What it predicts."""

    def predict(self, graph: Graph) -> pd.DataFrame:
        """Return ``node``, ``predicted_log_activity`` and ``predicted_activity``, or what the target has."""


@dataclass(frozen=True)
class FittedBaseline:
    """A model that sees each particle's own numbers alone.

    Parameters
    ----------
    features : {"size", "own", "surroundings"}
    names : tuple of str
        Columns of the features.
    model : callable
        Prediction of (rows, features), such as log-activity.
    target : Target
    """

    features: str
    names: tuple[str, ...]
    model: Callable[[np.ndarray], np.ndarray]
    target: Target = ACTIVITY

    def predict(self, graph: Graph) -> pd.DataFrame:
        """Predict every region of active material, or the sample, as `checkpoint.Trained.predict`.

        Raises
        ------
        InputError
            A graph with other features than those of the training.
        """
        return answer(self.target, self.estimate(graph), None)

    def estimate(self, graph: Graph) -> Estimate:
        """Predict one sample in the units of what is fitted."""
        graph = graph.to("cpu")
        node = None
        if isinstance(self.target, Figure):
            pooled = pooled_features(graph, self.features)
            names, values = tuple(pooled), np.array([list(pooled.values())])
        else:
            active = [phase.name for phase in materials_of(graph).phases if phase.active]
            rows = np.flatnonzero(graph.nodes["phase"].isin(active))
            node = graph.nodes["node"].to_numpy()[rows]
            found = region_features(graph, self.features, rows)
            names, values = found.names, found.values
        if names != self.names:
            differing = sorted(set(names) ^ set(self.names))
            message = (
                f"sample '{graph.metadata.get('name', '')}' has other features than the model takes: "
                f"{', '.join(differing[:5])}; take samples of the same materials"
            )
            raise InputError(message)
        predicted = self.model(values)
        return Estimate(node, predicted, np.zeros_like(predicted))


def fit(
    graphs: Graphs,
    model: Mapping[str, Any],
    split: Split,
    *,
    seed: int = 0,
    target: str | Mapping[str, Any] | Target = "activity",
    members: int = 1,
    folder: str | Path | None = None,
    **training: Any,
) -> Fitted:
    """Fit a model to the training split.

    Parameters
    ----------
    graphs : GraphDatabase or mapping of str to Graph
    model : mapping
        As the files of ``conf/model``: with ``fit`` and ``features`` a model that sees no graph, else a
        network.
    split : Split
    seed : int
    target : str, mapping or Target
        What is predicted, as `targets.target_of` takes it.
    members : int
        Networks of an ensemble (`ensemble.train_ensemble`).
    folder : path, optional
        Gets what `training.train` writes of a network.
    **training
        Further arguments of `training.train`, for networks.

    Returns
    -------
    Fitted

    Raises
    ------
    InputError
        A model that is neither, or what fitting it refuses.
    """
    given = {"seed": seed, "target": target, "folder": folder, **training}
    if "fit" not in model and members == 1:
        return train(graphs, model, split, **given)
    if "fit" not in model:
        return train_ensemble(graphs, model, split, members=members, **given)
    if members != 1:
        message = f"{model.get('name')} makes no ensemble; take a network, or leave ensemble at 1"
        raise InputError(message)
    from hydra.utils import instantiate

    target, features = target_of(target), str(model["features"])
    table = table_of(graphs, split.train, features, target)
    fitted = instantiate(dict(model["fit"]), _convert_="all")(table=table, seed=seed, target=target)
    return FittedBaseline(features, table.names, fitted, target)
