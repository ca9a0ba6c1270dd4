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
from tripoint.learn.baselines import ParticleTable
from tripoint.learn.data import Graphs
from tripoint.learn.features import linear_activity, materials_of, region_features
from tripoint.learn.splitting import Split
from tripoint.learn.training import train


class Fitted(Protocol):
    """What can be asked of a model that was fitted."""

    def predict(self, graph: Graph) -> pd.DataFrame:
        """Return ``node``, ``predicted_log_activity``, ``predicted_activity`` of active regions."""


@dataclass(frozen=True)
class FittedBaseline:
    """A model that sees each particle's own numbers alone.

    Parameters
    ----------
    features : {"size", "own", "surroundings"}
    names : tuple of str
        Columns of the features.
    model : callable
        Log-activity of (particles, features).
    """

    features: str
    names: tuple[str, ...]
    model: Callable[[np.ndarray], np.ndarray]

    def predict(self, graph: Graph) -> pd.DataFrame:
        """Predict the activity of every region of active material, as `checkpoint.Trained.predict`.

        Raises
        ------
        InputError
            A graph with other features than those of the training.
        """
        graph = graph.to("cpu")
        found = region_features(graph, self.features)
        if found.names != self.names:
            differing = sorted(set(found.names) ^ set(self.names))
            message = (
                f"sample '{graph.metadata.get('name', '')}' has other features than the model takes: "
                f"{', '.join(differing[:5])}; take samples of the same materials"
            )
            raise InputError(message)
        active = [phase.name for phase in materials_of(graph).phases if phase.active]
        rows = np.flatnonzero(graph.nodes["phase"].isin(active))
        predicted = self.model(found.values[rows])
        return pd.DataFrame(
            {
                "node": graph.nodes["node"].to_numpy()[rows],
                "predicted_log_activity": predicted,
                "predicted_activity": linear_activity(predicted),
            }
        )


def fit(
    graphs: Graphs,
    model: Mapping[str, Any],
    split: Split,
    *,
    seed: int = 0,
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
    if "fit" not in model:
        return train(graphs, model, split, seed=seed, folder=folder, **training)
    from hydra.utils import instantiate

    table = ParticleTable.of(graphs, split.train, str(model["features"]))
    fitted = instantiate(dict(model["fit"]), _convert_="all")(table=table, seed=seed)
    return FittedBaseline(str(model["features"]), table.names, fitted)
