"""What a model can be asked for: a particle's activity, whether it is inactive, a figure of a sample."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn import features
from tripoint.learn.scores import classification_scores, logarithmic_scores, scores
from tripoint.materials import AXES, CARRIERS
from tripoint.tables import column

FIGURES = "figures"
"""Key of a graph's metadata under which the figures of its sample stand while it is learnt from."""


@dataclass(frozen=True)
class Activity:
    """Log-activity of every particle, relative to its sample; regression.

    Parameters
    ----------
    column : str
        Of ``graph.nodes``: simulated or measured activity, such as ``activity_q50`` of a map.
    """

    column: str = "activity"
    name = "activity"

    def of(self, graph: Graph) -> features.Targets:
        """Return the particles that have a value, and theirs."""
        return features.targets(graph, self.column)

    def wanted(self, found: features.Targets) -> np.ndarray:
        """Return what is fitted: log-activity."""
        return found.log_activity

    def truth(self, found: features.Targets) -> np.ndarray:
        """Return what a prediction is scored against: the activity."""
        return found.activity

    def scores(self, truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
        """Score predicted log-activity (`scores.scores`)."""
        return scores(truth, predicted)

    def columns(self, predicted: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of a prediction."""
        return {
            "predicted_log_activity": predicted,
            "predicted_activity": features.linear_activity(predicted),
        }

    def bounds(self, low: np.ndarray, high: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of an interval; none reaches below an activity of 0."""
        least = float(features.log_activity(0.0))
        low, high = np.maximum(low, least), np.maximum(high, least)
        return {
            "low_log_activity": low,
            "high_log_activity": high,
            "low_activity": features.linear_activity(low),
            "high_activity": features.linear_activity(high),
        }


@dataclass(frozen=True)
class Inactive:
    """Whether a particle is inactive; classification, answered by a probability.

    Parameters
    ----------
    threshold : float
        Activity relative to the sample's mean below which a particle counts as inactive; 0 asks whether it
        does not react at all.
    column : str
        Of ``graph.nodes``.

    Raises
    ------
    InputError
        A threshold that is below 0.
    """

    threshold: float = 0.1
    column: str = "activity"
    name = "inactive"

    def __post_init__(self) -> None:
        """Refuse what is no threshold."""
        if not self.threshold >= 0:
            message = f"the threshold of inactivity is {self.threshold}; expected 0 or more, such as 0.1"
            raise InputError(message)

    def of(self, graph: Graph) -> features.Targets:
        """Return the particles that have a value, and theirs."""
        found = features.targets(graph, self.column)
        return replace(found, inactive=found.activity < self.threshold) if self.threshold else found

    def wanted(self, found: features.Targets) -> np.ndarray:
        """Return what is fitted: 1 where inactive."""
        return found.inactive.astype(np.float64)

    def truth(self, found: features.Targets) -> np.ndarray:
        """Return what a prediction is scored against: whether it is inactive."""
        return found.inactive

    def scores(self, truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
        """Score predicted probabilities (`scores.classification_scores`)."""
        return classification_scores(truth, predicted)

    def columns(self, predicted: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of a prediction."""
        return {"predicted_inactive": predicted}


class Figure(ABC):
    """Logarithm of a positive figure of a sample."""

    name: str

    @abstractmethod
    def of(self, graph: Graph) -> float:
        """Return its log10."""

    def scores(self, truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
        """Score predicted logarithms (`scores.logarithmic_scores`)."""
        return logarithmic_scores(truth, predicted)

    def columns(self, predicted: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of a prediction."""
        return {f"predicted_log_{self.name}": predicted, f"predicted_{self.name}": 10.0**predicted}

    def bounds(self, low: np.ndarray, high: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of an interval: its two ends as logarithms, then themselves."""
        return {
            f"low_log_{self.name}": low,
            f"high_log_{self.name}": high,
            f"low_{self.name}": 10.0**low,
            f"high_{self.name}": 10.0**high,
        }


@dataclass(frozen=True)
class MeanActivity(Figure):
    """Logarithm of what reacts per volume of active material, µA/µm³; regression, one number per sample.

    It is the figure ``activity_current`` of a sample, or where that is not given the sum of
    ``reaction_current``, by the volume of its active regions. Relative activity has the mean 1 anyway.
    """

    name = "mean_activity"

    def of(self, graph: Graph) -> float:
        """Return its log10.

        Raises
        ------
        InputError
            A sample whose current is not known, or is not positive.
        """
        nodes = graph.to("cpu").nodes
        active = [phase.name for phase in features.materials_of(graph).phases if phase.active]
        mine = nodes["phase"].isin(active).to_numpy(np.bool_)
        current = graph.metadata.get(FIGURES, {}).get("activity_current")
        if current is None and "reaction_current" in nodes.columns:
            current = np.nansum(column(nodes, "reaction_current", np.float64)[mine])
        if current is None:
            message = (
                f"{_name(graph)} has no activity_current; analyse it with activity=simulate, or give the "
                "current beside the graphs (targets.FiguredGraphs)"
            )
            raise InputError(message)
        volume = column(nodes, "volume", np.float64)[mine].sum()
        return _logarithm(float(current) / max(volume, np.finfo(float).tiny), graph, self.name)


@dataclass(frozen=True)
class EffectiveConductivity(Figure):
    """Logarithm of an effective conductivity, S/m or relative to 1; regression, one number per sample.

    Parameters
    ----------
    of_what : str
        A carrier or a phase, as in the names of the columns of ``samples``.
    axis : {"z", "y", "x"}
    """

    of_what: str = "ion"
    axis: str = "z"

    @property
    def name(self) -> str:  # type: ignore[override]
        """The column of ``samples`` that holds it."""
        return f"effective_conductivity_{self.of_what}_{self.axis}"

    def of(self, graph: Graph) -> float:
        """Return its log10.

        Raises
        ------
        InputError
            A sample whose figures lack it, or that does not conduct.
        """
        value = graph.metadata.get(FIGURES, {}).get(self.name)
        if value is None:
            message = (
                f"{_name(graph)} has no {self.name}; analyse it with transport=on, or give the figure beside "
                "the graphs (targets.FiguredGraphs)"
            )
            raise InputError(message)
        return _logarithm(float(value), graph, self.name)


ParticleTarget: TypeAlias = Activity | Inactive
Target: TypeAlias = ParticleTarget | Figure

SIMPLE: dict[str, type[Activity] | type[Inactive] | type[MeanActivity]] = {
    target.name: target for target in (Activity, Inactive, MeanActivity)
}


def target_of(what: str | Mapping[str, Any] | Target) -> Target:
    """Return a target by its name, or by its name and settings.

    Parameters
    ----------
    what : str or mapping
        ``activity``, ``inactive``, ``mean_activity``, ``effective_conductivity_<carrier or phase>_<axis>``;
        or such as ``{"name": "inactive", "threshold": 0.05}``.

    Raises
    ------
    InputError
        No such target, or no such setting of it.
    """
    if not isinstance(what, str | Mapping):
        return what
    settings = {"name": what} if isinstance(what, str) else dict(what)
    name = str(settings.pop("name", ""))
    conductivity = re.fullmatch(rf"effective_conductivity_(\w+)_([{''.join(AXES)}])", name)
    if name not in SIMPLE and conductivity is None:
        message = (
            f"there is no target {name!r}; the targets are {', '.join(SIMPLE)} and effective_conductivity_… "
            f"of a carrier ({', '.join(CARRIERS)}) or phase along an axis, such as …_ion_z"
        )
        raise InputError(message)
    try:
        return (
            EffectiveConductivity(*conductivity.groups(), **settings)
            if conductivity
            else SIMPLE[name](**settings)
        )
    except TypeError as error:
        message = f"the target {name} has no setting {', '.join(settings)}"
        raise InputError(message) from error


def to_mapping(target: Target) -> dict[str, Any]:
    """Return plain values, from which `target_of` makes it again."""
    settings = asdict(target) if isinstance(target, ParticleTarget) else {}
    return {"name": target.name, **settings}


@runtime_checkable
class _WithRows(Protocol):
    def row(self, sample: str) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class FiguredGraphs:
    """Graphs that carry the figures of their samples, for targets that are not of particles.

    Parameters
    ----------
    graphs : GraphDatabase or mapping of str to Graph
    figures : mapping, optional
        By sample, such as ``{"a": {"effective_conductivity_ion_z": 0.02}}``; by default the rows of
        ``samples`` of a database.
    """

    graphs: Any
    figures: Mapping[str, Mapping[str, Any]] | None = None

    def __iter__(self) -> Iterator[str]:
        return iter(self.graphs)

    def __getitem__(self, sample: str) -> Graph:
        """Return a graph with its figures under ``metadata["figures"]``."""
        graph = self.graphs[sample]
        if self.figures is not None:
            found = self.figures.get(sample, {})
        elif isinstance(self.graphs, _WithRows):
            found = self.graphs.row(sample)
        else:
            return graph
        return replace(graph, metadata={**graph.metadata, FIGURES: found})


def _logarithm(value: float, graph: Graph, name: str) -> float:
    if not (np.isfinite(value) and value > 0):
        message = (
            f"{name} of {_name(graph)} is {value:g}, which has no logarithm; leave this sample out, "
            "or look at why nothing flows in it"
        )
        raise InputError(message)
    return float(np.log10(value))


def _name(graph: Graph) -> str:
    return f"sample '{graph.metadata.get('name', '')}'"
