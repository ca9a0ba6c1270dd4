"""Models that see no graph: what the numbers of a particle, or of a sample, tell of its activity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.data import Graphs
from tripoint.learn.features import active_rows, materials_of, region_features
from tripoint.learn.scaling import Scaling
from tripoint.learn.targets import (
    Activity,
    Figure,
    FiguredGraphs,
    Inactive,
    ParticleTarget,
    Target,
    target_of,
)

ACTIVITY = Activity()


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
    def of(
        cls,
        graphs: Graphs,
        samples: Iterable[str],
        which: str = "surroundings",
        target: ParticleTarget = ACTIVITY,
    ) -> Self:
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
            wanted = target.of(graph)
            found = region_features(graph, which, wanted.rows)
            names = _same(names, found.names, sample)
            parts.append(
                (
                    found.values,
                    wanted.log_activity,
                    wanted.activity,
                    wanted.inactive,
                    np.full(len(wanted.rows), sample, object),
                )
            )
        if names is None:
            raise InputError(NOTHING)
        return cls(names, *(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def wanted(self, target: Target) -> np.ndarray:
        """Return what is fitted: log-activity, or whether inactive."""
        return self.inactive if isinstance(target, Inactive) else self.log_activity


@dataclass(frozen=True)
class SampleTable:
    """Some samples, a row each.

    Parameters
    ----------
    names : tuple of str
        Of the features (`pooled_features`).
    features : (samples, features) float64
    logarithm : (samples,) float64
        log10 of the figure that is predicted.
    sample : (samples,) str
    """

    names: tuple[str, ...]
    features: np.ndarray
    logarithm: np.ndarray
    sample: np.ndarray

    @classmethod
    def of(cls, graphs: Graphs, samples: Iterable[str], which: str, target: Figure) -> Self:
        """Collect samples with their figures.

        Raises
        ------
        InputError
            No samples, samples with other features than the first, or one without the figure.
        """
        graphs, chosen = FiguredGraphs(graphs), list(samples)
        names: tuple[str, ...] | None = None
        rows, logarithms = [], []
        for sample in chosen:
            graph = graphs[sample]
            found = pooled_features(graph, which)
            names = _same(names, tuple(found), sample)
            rows.append(list(found.values()))
            logarithms.append(target.of(graph))
        if names is None:
            raise InputError(NOTHING)
        return cls(names, np.array(rows), np.array(logarithms), np.array(chosen, object))

    def wanted(self, target: Target) -> np.ndarray:
        """Return what is fitted."""
        return self.logarithm


NOTHING = "there is no sample to take particles from; the training split is empty"


def table_of(
    graphs: Graphs, samples: Iterable[str], which: str, target: str | Mapping[str, Any] | Target = ACTIVITY
) -> ParticleTable | SampleTable:
    """Return the table that a target is learnt from: of particles, or of samples."""
    target = target_of(target)
    if isinstance(target, Figure):
        return SampleTable.of(graphs, samples, which, target)
    return ParticleTable.of(graphs, samples, which, target)


def pooled_features(graph: Graph, which: str = "surroundings") -> dict[str, float]:
    """Return what is known of a sample without its graph.

    Returns
    -------
    dict
        Mean and s.d. of every feature over the particles of active material that are no fragments, NaN where
        none has a value, and the volume fraction of every phase.
    """
    found = region_features(graph, which, active_rows(graph))
    particles = pd.DataFrame(found.values, columns=list(found.names))
    volume = graph.to("cpu").nodes.groupby("phase")["volume"].sum()
    phases = [phase.name for phase in materials_of(graph).phases]
    return {
        **{f"mean_{name}": float(value) for name, value in particles.mean().items()},
        **{f"sd_{name}": float(value) for name, value in particles.std(ddof=0).items()},
        **{f"fraction_{name}": float(volume.get(name, 0.0) / volume.sum()) for name in phases},
    }


def _same(names: tuple[str, ...] | None, found: tuple[str, ...], sample: str) -> tuple[str, ...]:
    if names is not None and found != names:
        message = f"sample '{sample}' has other features than those before it; leave it out"
        raise InputError(message)
    return found


@dataclass(frozen=True)
class Rows:
    """What a baseline is made for.

    Parameters
    ----------
    seed : int
    scaling : Scaling
        Of the features.
    count : int
        Rows of the table.
    """

    seed: int
    scaling: Scaling
    count: int

    @property
    def leaf(self) -> int:
        """Rows in a leaf of a tree at least: 20, or fewer where there are few."""
        return max(2, min(20, self.count // 10))

    def scaled(self, model: Any) -> Any:
        """Return a model that is given scaled features."""
        return make_pipeline(FunctionTransformer(self.scaling), model)


def median(rows: Rows, *, classify: bool) -> Any:
    """Return the median of the training split, or the share of its inactive particles, for all alike."""
    return DummyClassifier(strategy="prior") if classify else DummyRegressor(strategy="median")


def ridge(rows: Rows, *, classify: bool) -> Any:
    """Return ridge regression, its penalty chosen by leaving one out; or logistic regression."""
    if classify:
        return rows.scaled(LogisticRegression(max_iter=2000))
    return rows.scaled(RidgeCV(np.logspace(-2, 4, 13)))


def gradient_boosting(rows: Rows, *, classify: bool) -> Any:
    """Return gradient-boosted trees on the absolute error, or on the logarithm of the probability.

    What is not defined takes a branch of its own.
    """
    settings = {"learning_rate": 0.05, "min_samples_leaf": rows.leaf, "random_state": rows.seed}
    settings |= {"early_stopping": False}  # which would hold out particles of samples that are learned from
    if classify:
        return HistGradientBoostingClassifier(max_iter=150, **settings)
    return HistGradientBoostingRegressor(loss="absolute_error", max_iter=400, **settings)


def mlp(rows: Rows, *, classify: bool) -> Any:
    """Return a multilayer perceptron of two layers of 64, trained until its error falls no more."""
    make = MLPClassifier if classify else MLPRegressor
    network = make(hidden_layer_sizes=(64, 64), alpha=1e-3, max_iter=100, random_state=rows.seed)
    return rows.scaled(network)


BASELINES: dict[str, Callable[..., Any]] = {
    "median": median,
    "ridge": ridge,
    "gradient_boosting": gradient_boosting,
    "mlp": mlp,
}


def fit_baseline(
    name: str,
    table: ParticleTable | SampleTable,
    seed: int = 0,
    target: str | Mapping[str, Any] | Target = ACTIVITY,
) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a baseline.

    Parameters
    ----------
    name : {"median", "ridge", "gradient_boosting", "mlp"}
    table : ParticleTable or SampleTable
        Of the training split, as `table_of` makes it for the target.
    seed : int
    target : str, mapping or Target

    Returns
    -------
    callable
        Log-activity, the probability of being inactive, or the logarithm of a figure, of (rows, features).

    Raises
    ------
    InputError
        No such baseline, a feature that is infinite, or particles that are all inactive, or none of them.
    """
    target = target_of(target)
    if name not in BASELINES:
        message = f"there is no baseline {name!r}; the baselines are {', '.join(BASELINES)}"
        raise InputError(message)
    rows = Rows(seed, Scaling.fit(table.names, [table.features]), len(table.features))
    model, wanted = BASELINES[name](rows, classify=isinstance(target, Inactive)), table.wanted(target)
    if isinstance(target, Inactive):
        if len(np.unique(wanted)) == 1:
            message = (
                f"{'all' if wanted[0] else 'none'} of the {len(wanted)} training particles are inactive, "
                f"below {target.threshold:g} of the mean; choose another threshold"
            )
            raise InputError(message)
        model.fit(table.features, wanted)
        return lambda features: np.asarray(model.predict_proba(features)[:, 1])
    # Logarithms of figures lie far from 0, where perceptrons begin.
    centre, scale = (wanted.mean(), wanted.std() or 1.0) if isinstance(target, Figure) else (0.0, 1.0)
    model.fit(table.features, (wanted - centre) / scale)
    return lambda features: np.asarray(model.predict(features)) * scale + centre
