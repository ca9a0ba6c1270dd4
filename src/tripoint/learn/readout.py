"""What every network ends with: from currents, or from hidden features, to what its target asks for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch_geometric.utils import scatter

from tripoint.errors import InputError
from tripoint.learn.features import FLOOR
from tripoint.learn.targets import Activity, EffectiveConductivity, Inactive, Target
from tripoint.learn.views import ACTIVITY, labels_of

STEEPNESS = 10.0
"""Slope of the logit in log-activity at the beginning: a decade is 10."""


@dataclass(frozen=True)
class Evidence:
    """What a network knows of a batch before it is asked for anything.

    Parameters
    ----------
    current : (particles,)
        Reaction current of every particle, in any unit.
    volume : (particles,)
    sample : (particles,) int64
        Which sample of the batch each is of.
    hidden : (nodes, width), optional
        Hidden features of all nodes; None of networks that have none.
    sample_of_hidden : (nodes,) int64, optional
    """

    current: torch.Tensor
    volume: torch.Tensor
    sample: torch.Tensor
    hidden: torch.Tensor | None = None
    sample_of_hidden: torch.Tensor | None = None


class Readout(nn.Module, ABC):
    """From what is known of a batch to a prediction, and its error.

    Parameters
    ----------
    target : Target
    """

    measure = "mae"
    """Name of the error in logs."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target

    @abstractmethod
    def forward(self, evidence: Evidence) -> torch.Tensor:
        """Return what is compared with the truth."""

    def truth(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the network is fitted to, and where it is known."""
        labels = labels_of(batch)
        return labels["y"], labels["labelled"]

    def known(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the prediction is scored against, and which sample of the batch each is of."""
        labels = labels_of(batch)
        return labels["activity"], labels["sample"]

    def error(self, predicted: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Return the mean absolute error."""
        return (predicted - wanted).abs().mean()

    def answer(self, predicted: torch.Tensor) -> torch.Tensor:
        """Return what users are told."""
        return predicted

    def begin(self, network: nn.Module, batches: Iterable[Any]) -> None:
        """Take what training starts from out of the training split, if anything."""


class ActivityReadout(Readout):
    """Log-activity of particles; there is nothing to learn in it."""

    def __init__(self, target: Target = ACTIVITY) -> None:
        super().__init__(target)

    def forward(self, evidence: Evidence) -> torch.Tensor:
        """Return the log-activity of every particle, as `features.log_activity`: (particles,)."""
        return log_activity(relative_activity(evidence.current, evidence.volume, evidence.sample))


class InactiveReadout(Readout):
    r"""Probability that a particle is inactive: logistic in the logarithm of its relative activity a.

    .. math:: \mathrm{logit}\, p = e^k (\log_{10} (t + f) - \log_{10}(\max(a, 0) + f)) + b, \qquad f = 0.3\, t

    for the threshold t, with k and b learned: how sure a prediction of the activity is near the threshold,
    and to which side it leans. A particle that no current reaches has the largest one.

    Parameters
    ----------
    target : Inactive
        With its threshold t; for t = 0, f is 0.0003.
    """

    measure = "log_loss"

    def __init__(self, target: Inactive) -> None:
        super().__init__(target)
        self.threshold, self.floor = target.threshold, 0.3 * max(target.threshold, 1e-3)
        self.steepness = nn.Parameter(torch.tensor(STEEPNESS).log())
        self.lean = nn.Parameter(torch.tensor(0.0))

    def forward(self, evidence: Evidence) -> torch.Tensor:
        """Return the logit of every particle: (particles,)."""
        activity = relative_activity(evidence.current, evidence.volume, evidence.sample).clamp(min=0)
        below = torch.log10((self.threshold + self.floor) / (activity + self.floor))
        return self.steepness.exp() * below + self.lean

    def error(self, predicted: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Return the mean negative logarithm of the probability given to what is true."""
        return nn.functional.binary_cross_entropy_with_logits(predicted, wanted)

    def answer(self, predicted: torch.Tensor) -> torch.Tensor:
        """Return the probability."""
        return torch.sigmoid(predicted)

    def known(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return whether every particle is inactive, and its sample."""
        labels = labels_of(batch)
        return labels["inactive"], labels["sample"]


class FigureReadout(Readout):
    """One logarithm per sample, which begins at the mean of the training split."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.register_buffer("offset", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(1.0, dtype=torch.float64))

    def truth(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logarithm of every sample, and where it is known."""
        figure = batch["figure"]
        return figure, ~figure.isnan()

    def known(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logarithm of every sample, and its number."""
        figure = batch["figure"]
        return figure, torch.arange(len(figure), device=figure.device)

    def forward(self, evidence: Evidence) -> torch.Tensor:
        """Return the logarithm of every sample of the batch: (samples,)."""
        return self.offset + self.scale * self.raw(evidence).double()

    @abstractmethod
    def raw(self, evidence: Evidence) -> torch.Tensor:
        """Return the logarithm but for an offset and a scale: (samples,)."""


class TotalCurrentReadout(FigureReadout):
    """All that reacts per volume, of networks whose currents have a scale."""

    def raw(self, evidence: Evidence) -> torch.Tensor:
        """Return log10(Σ current / Σ volume)."""
        total = _totals(evidence.current, evidence.volume, evidence.sample)
        return torch.log10(total[:, 0].clamp(min=torch.finfo(total.dtype).tiny) / total[:, 1])

    def begin(self, network: nn.Module, batches: Iterable[Any]) -> None:
        """Begin where the mean over the training split is right."""
        with torch.no_grad():
            apart = torch.cat([self.truth(batch)[0] - network(batch) for batch in batches])
        self.offset += apart[~apart.isnan()].mean()


class PooledReadout(FigureReadout):
    """A perceptron of the mean and the s.d. of the hidden features of a sample.

    Parameters
    ----------
    target : Target
    width : int
        Of the hidden features.
    """

    def __init__(self, target: Target, width: int) -> None:
        super().__init__(target)
        self.perceptron = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 1))

    def raw(self, evidence: Evidence) -> torch.Tensor:
        """Return what the perceptron makes of the pooled features."""
        assert evidence.hidden is not None
        assert evidence.sample_of_hidden is not None
        mean = scatter(evidence.hidden, evidence.sample_of_hidden, reduce="mean")
        apart = evidence.hidden - mean.index_select(0, evidence.sample_of_hidden)
        spread = torch.sqrt(scatter(apart.square(), evidence.sample_of_hidden, reduce="mean") + 1e-6)
        return self.perceptron(torch.cat([mean, spread], dim=1)).squeeze(-1)

    def begin(self, network: nn.Module, batches: Iterable[Any]) -> None:
        """Take mean and s.d. of the training split for offset and scale."""
        known = torch.cat([values[there] for values, there in map(self.truth, batches)])
        self.offset.fill_(known.mean())
        self.scale.fill_(known.std(correction=0).clamp(min=1e-3))


def readout_of(target: Target, width: int | None = None) -> Readout:
    """Return the readout for a target.

    Parameters
    ----------
    target : Target
    width : int, optional
        Of hidden features; None of networks that solve for currents alone.

    Raises
    ------
    InputError
        A target that the network has no way to.
    """
    if isinstance(target, Activity):
        return ActivityReadout(target)
    if isinstance(target, Inactive):
        return InactiveReadout(target)
    if width is not None:
        return PooledReadout(target, width)
    if isinstance(target, EffectiveConductivity):
        message = (
            f"a circuit in which charge is transferred does not tell {target.name}; predict it with a "
            "network that passes messages (gine, gatv2, hetero), or with a model without a graph"
        )
        raise InputError(message)
    return TotalCurrentReadout(target)


def relative_activity(current: torch.Tensor, volume: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
    r"""Return the activity of particles: what reacts per volume, relative to all of their sample.

    .. math:: a_p = \frac{I_p / V_p}{\sum_q I_q / \sum_q V_q}

    Parameters
    ----------
    current, volume : (particles,)
    sample : (particles,) int64
        Which sample of a batch each particle is of.
    """
    total = _totals(current, volume, sample)
    return current / volume / (total[:, 0] / total[:, 1])[sample]


def log_activity(activity: torch.Tensor) -> torch.Tensor:
    """Return log10(max(activity, 0) + floor), as `features.log_activity`."""
    return torch.log10(activity.clamp(min=0) + FLOOR)


def _totals(current: torch.Tensor, volume: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
    """Return Σ current and Σ volume of every sample: (samples, 2)."""
    count = int(sample.max()) + 1 if len(sample) else 0
    parts = torch.stack([current, volume.to(current)], dim=1)
    total = torch.zeros(count, 2, dtype=current.dtype, device=current.device)
    return total.index_add(0, sample, parts)
