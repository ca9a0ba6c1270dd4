"""Intervals that hold for particles of samples that were never seen: conformal prediction in two layers."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.scores import bootstrap
from tripoint.learn.targets import Activity, Figure, Inactive, ParticleTarget, Target

LEVEL = 0.9
"""Share of particles that an interval is to hold, by default."""

LEVELS = (0.5, 0.8, 0.9, 0.95)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Estimate:
    """What a model, or an ensemble of models, says of one sample.

    Parameters
    ----------
    node : (particles,) int64, optional
        Regions of active material; None where the target is of the sample.
    predicted : (particles,) or (1,)
        In the units of what is fitted: log-activity, probability, logarithm of a figure.
    spread : like ``predicted``
        Standard deviation over the models; 0 of a single one.
    """

    node: np.ndarray | None
    predicted: np.ndarray
    spread: np.ndarray

    @property
    def width(self) -> np.ndarray:
        """By how much an error is to be expected to vary, up to a factor.

        The spread of each particle and its mean over the sample, so that models which agree by chance are not
        believed; 1 where models do not differ at all. No truth is needed for it.
        """
        width = self.spread + self.spread.mean()
        return np.where(width > 0, width, 1.0)


class Estimating(Protocol):
    """A network or an ensemble."""

    @property
    def target(self) -> Target:
        """What it predicts."""

    def estimate(self, graph: Graph) -> Estimate:
        """Predict one sample."""


@dataclass(frozen=True)
class Conformal:
    r"""How large errors are, relative to what was to be expected, on samples set aside for that.

    Particles of one sample resemble one another, so that a thousand of them are not a thousand errors. Each
    of the K samples has the same say, divided among its particles, and the sample that is asked for has one
    too, with an error that may be anything:

    .. math:: q_\alpha = \mathrm{quantile}_{1-\alpha} \Bigl( \sum_{k=1}^{K} \frac{1}{K+1} \frac{1}{n_k}
              \sum_{i=1}^{n_k} \delta_{s_{ki}} + \frac{1}{K+1} \delta_\infty \Bigr), \qquad
              s = \frac{|y - \hat y|}{w}

    Then :math:`\hat y \pm q_\alpha w` holds a particle drawn from a new sample with a probability of at least
    1 − α, whatever the model, as long as the new sample comes from where the K came from (Lee, Barber and
    Willett 2023, *Distribution-free inference with hierarchical data*; the pooled distribution functions of
    Dunn, Wasserman and Ramdas 2022, *Distribution-free prediction sets for two-layer hierarchical models*,
    with a term for the new sample).

    Parameters
    ----------
    errors : (particles,) float64
        s, ascending.
    weights : (particles,) float64
        1 / n of the sample of each; they add up to K.
    samples : int
        K.

    Notes
    -----
    Of K samples no level above K / (K + 1) can be promised. There the quantile is that without the last term,
    which is right only for many samples, and a warning says so.
    """

    errors: np.ndarray
    weights: np.ndarray
    samples: int

    @classmethod
    def of(cls, parts: Iterable[np.ndarray]) -> Conformal:
        """Collect the relative errors of samples, an array each.

        Raises
        ------
        InputError
            There is no sample, or one without particles.
        """
        found = [np.asarray(part, np.float64) for part in parts]
        if not found or not all(map(len, found)):
            message = "there are no samples to calibrate intervals on; give the split a share for calibration"
            raise InputError(message)
        errors = np.concatenate(found)
        weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in found])
        order = np.argsort(errors, kind="stable")
        return cls(errors[order], weights[order], len(found))

    def promised(self, level: float) -> bool:
        """Return whether there are samples enough to promise a level."""
        return level <= self.samples / (self.samples + 1)

    def quantile(self, level: float) -> float:
        """Return how many widths hold a share of the errors.

        Raises
        ------
        InputError
            A level that is not between 0 and 1.
        """
        if not 0 < level < 1:
            message = f"the level of an interval is {level}; expected one between 0 and 1, such as 0.9"
            raise InputError(message)
        held = level * (self.samples + 1) if self.promised(level) else level * self.samples
        # What was added up is a hair off.
        at = np.searchsorted(np.cumsum(self.weights), held * (1 - 1e-12))
        return float(self.errors[min(int(at), len(self.errors) - 1)])

    def interval(self, estimate: Estimate, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of the intervals that hold the given share: low and high."""
        reach = self.quantile(level) * estimate.width
        return estimate.predicted - reach, estimate.predicted + reach

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values, which a checkpoint holds."""
        return {"errors": self.errors.tolist(), "weights": self.weights.tolist(), "samples": self.samples}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Conformal:
        """Return what `to_mapping` told."""
        return cls(np.array(mapping["errors"]), np.array(mapping["weights"]), int(mapping["samples"]))


def calibrate(fitted: Estimating, graphs: Any, samples: Sequence[str]) -> Conformal | None:
    """Look how far off predictions are on samples that training did not see.

    Returns
    -------
    Conformal or None
        None for a classification, whose probabilities are what it knows of its error.

    Raises
    ------
    InputError
        No samples, or one without a value of the target.
    """
    target = fitted.target
    if isinstance(target, Inactive):
        return None
    found = Conformal.of(_relative_errors(fitted, graphs[sample]) for sample in samples)
    if not found.promised(LEVEL):
        log.warning(
            "intervals rest on %d samples, which can promise no level above %.2f; set at least %d aside for "
            "calibration to have %.0f %% promised", found.samples, found.samples / (found.samples + 1),
            math.ceil(LEVEL / (1 - LEVEL) - 1e-9), 100 * LEVEL,
        )  # fmt: skip
    return found


def answer(
    target: Target, estimate: Estimate, conformal: Conformal | None, level: float = LEVEL
) -> pd.DataFrame:
    """Return a prediction as users see it.

    Returns
    -------
    DataFrame
        ``node``, unless the target is of the sample, and the columns of the target; with intervals ``spread``
        and the ends of the interval besides.
    """
    nodes = {} if estimate.node is None else {"node": estimate.node}
    found = pd.DataFrame({**nodes, **target.columns(estimate.predicted)})
    if conformal is None or isinstance(target, Inactive):
        return found
    ends = target.bounds(*conformal.interval(estimate, level))
    return found.assign(spread=estimate.spread, **ends)


def coverage(
    fitted: Estimating,
    conformal: Conformal,
    graphs: Any,
    samples: Sequence[str],
    levels: Sequence[float] = LEVELS,
) -> pd.DataFrame:
    """Check on held-out samples whether intervals hold what they promise.

    Returns
    -------
    DataFrame
        A row per level: ``level``; ``coverage``, the mean over samples of the share of particles that are
        inside, with ``coverage_low`` and ``coverage_high``, its 95 % interval when whole samples are drawn
        anew; ``width``, the mean width in the units of what is fitted (of log-activity, decades), and of
        activity ``linear_width``; ``promised``.
    """
    target = fitted.target
    if isinstance(target, Inactive):
        message = "probabilities of being inactive have no intervals; score them instead"
        raise InputError(message)
    known = [(fitted.estimate(graphs[sample]), _truth(target, graphs[sample])) for sample in samples]
    rows = [_covered(target, conformal, known, level) for level in levels]
    return pd.DataFrame(rows)


def _covered(
    target: Activity | Figure,
    conformal: Conformal,
    known: Sequence[tuple[Estimate, pd.Series]],
    level: float,
) -> dict[str, Any]:
    shares, widths, linear = [], [], []
    for estimate, truth in known:
        found = answer(target, estimate, conformal, level)
        if estimate.node is not None:
            found = found.set_index("node").loc[truth.index]
        low, high, *others = (found[name].to_numpy() for name in target.bounds(np.zeros(1), np.zeros(1)))
        inside = (truth.to_numpy() >= low - EPSILON) & (truth.to_numpy() <= high + EPSILON)
        shares.append(inside.mean())
        widths.append((high - low).mean())
        if isinstance(target, Activity):
            linear.append((others[1] - others[0]).mean())
    names, share = np.arange(len(shares)), np.array(shares)
    low_end, high_end = bootstrap(names, lambda rows: float(share[rows].mean()))
    return {
        "level": level,
        "coverage": float(share.mean()),
        "coverage_low": low_end,
        "coverage_high": high_end,
        "width": float(np.mean(widths)),
        **({"linear_width": float(np.mean(linear))} if linear else {}),
        "promised": conformal.promised(level),
    }


EPSILON = 1e-6
"""What float32 takes from a value at the end of its interval."""


def _relative_errors(fitted: Estimating, graph: Graph) -> np.ndarray:
    estimate, truth = fitted.estimate(graph), _truth(fitted.target, graph)
    found = pd.DataFrame({"predicted": estimate.predicted, "width": estimate.width}, index=_index(estimate))
    found = found.loc[truth.index]
    return np.asarray(np.abs(truth - found["predicted"]) / found["width"])


def _index(estimate: Estimate) -> pd.Index:
    return pd.RangeIndex(1) if estimate.node is None else pd.Index(estimate.node)


def _truth(target: Target, graph: Graph) -> pd.Series:
    """Return what is fitted, by node, or of the sample."""
    if not isinstance(target, ParticleTarget):
        return pd.Series([target.of(graph)])
    found = target.of(graph)
    nodes = graph.to("cpu").nodes["node"].to_numpy()[found.rows]
    return pd.Series(target.wanted(found), index=nodes)
