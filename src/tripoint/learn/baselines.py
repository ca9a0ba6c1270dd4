"""Models that see no graph: what a particle's own numbers tell of its activity."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tripoint.errors import InputError
from tripoint.learn.data import Graphs
from tripoint.learn.features import region_features, targets
from tripoint.learn.scaling import Scaling


@dataclass(frozen=True)
class ParticleTable:
    """The particles of some samples, one below the other.

    Parameters
    ----------
    names : tuple of str
        Of the features.
    features : (particles, features) float64
    log_activity, activity : (particles,) float64
    inactive : (particles,) bool
    sample : (particles,) str
    """

    names: tuple[str, ...]
    features: np.ndarray
    log_activity: np.ndarray
    activity: np.ndarray
    inactive: np.ndarray
    sample: np.ndarray

    @classmethod
    def of(cls, graphs: Graphs, samples: Iterable[str], which: str = "surroundings") -> ParticleTable:
        """Collect the particles that have a value.

        Raises
        ------
        InputError
            No samples, or samples with other features than the first.
        """
        names: tuple[str, ...] | None = None
        parts: list[tuple[np.ndarray, ...]] = []
        for sample in samples:
            graph = graphs[sample]
            found, wanted = region_features(graph, which), targets(graph)
            names = names or found.names
            if found.names != names:
                message = f"sample '{sample}' has other features than those before it; leave it out"
                raise InputError(message)
            parts.append(
                (
                    found.values[wanted.rows],
                    wanted.log_activity,
                    wanted.activity,
                    wanted.inactive,
                    np.full(len(wanted.rows), sample, object),
                )
            )
        if names is None:
            message = "there is no sample to take particles from"
            raise InputError(message)
        return cls(names, *(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def median(seed: int, scaling: Scaling) -> Any:
    """Return the median of the training split, whatever the particle."""
    return DummyRegressor(strategy="median")


def ridge(seed: int, scaling: Scaling) -> Any:
    """Return ridge regression, its penalty chosen by leaving one out."""
    return make_pipeline(FunctionTransformer(scaling), RidgeCV(np.logspace(-2, 4, 13)))


def gradient_boosting(seed: int, scaling: Scaling) -> Any:
    """Return gradient-boosted trees on the absolute error; what is not defined takes a branch of its own."""
    return HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=400, learning_rate=0.05, min_samples_leaf=20, random_state=seed
    )


def mlp(seed: int, scaling: Scaling) -> Any:
    """Return a multilayer perceptron of two layers of 64, stopped by a tenth of the particles."""
    network = MLPRegressor(
        hidden_layer_sizes=(64, 64), alpha=1e-3, early_stopping=True, max_iter=300, random_state=seed
    )
    return make_pipeline(FunctionTransformer(scaling), network)


BASELINES: dict[str, Callable[[int, Scaling], Any]] = {
    "median": median,
    "ridge": ridge,
    "gradient_boosting": gradient_boosting,
    "mlp": mlp,
}


def fit_baseline(name: str, table: ParticleTable, seed: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a baseline to log-activity.

    Parameters
    ----------
    name : {"median", "ridge", "gradient_boosting", "mlp"}
    table : ParticleTable
        Of the training split.
    seed : int

    Returns
    -------
    callable
        Log-activity of (particles, features).

    Raises
    ------
    InputError
        No such baseline, or a feature that is infinite.
    """
    if name not in BASELINES:
        message = f"there is no baseline {name!r}; the baselines are {', '.join(BASELINES)}"
        raise InputError(message)
    model = BASELINES[name](seed, Scaling.fit(table.names, [table.features]))
    model.fit(table.features, table.log_activity)
    return lambda features: np.asarray(model.predict(features))
