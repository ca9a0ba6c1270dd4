"""Several networks that differ in their seeds alone: what they disagree about is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn import checkpoint
from tripoint.learn.checkpoint import Trained
from tripoint.learn.conformal import LEVEL, Conformal, Estimate, answer, calibrate
from tripoint.learn.data import Graphs
from tripoint.learn.splitting import Split
from tripoint.learn.targets import Target
from tripoint.learn.training import WEIGHTS, train

MEMBERS = 3


@dataclass(frozen=True)
class Ensemble:
    """Networks that were trained on the same samples from different seeds (Lakshminarayanan et al. 2017).

    Parameters
    ----------
    members : tuple of Trained
    conformal : Conformal, optional
        What intervals rest on, where samples were set aside for calibration.

    Raises
    ------
    InputError
        No members, or members of several targets or splits.
    """

    members: tuple[Trained, ...]
    conformal: Conformal | None = None

    def __post_init__(self) -> None:
        """Refuse what is no ensemble."""
        if len({(member.target, member.split) for member in self.members}) != 1:
            message = (
                f"an ensemble takes networks of one target and one split; found {len(self.members)} networks "
                "that do not agree in these"
            )
            raise InputError(message)

    @property
    def target(self) -> Target:
        """What it predicts."""
        return self.members[0].target

    @property
    def split(self) -> Split:
        """Names of the samples of each side."""
        return self.members[0].split

    def predict(self, graph: Graph, level: float = LEVEL) -> pd.DataFrame:
        """Predict a sample by the mean of all networks.

        Returns
        -------
        DataFrame
            As of `checkpoint.Trained.predict`, with ``spread``, the s.d. over the networks (of log-activity).
        """
        estimate = self.estimate(graph)
        return answer(self.target, estimate, self.conformal, level).assign(spread=estimate.spread)

    def estimate(self, graph: Graph) -> Estimate:
        """Predict one sample in the units of what is fitted."""
        found = [member.estimate(graph) for member in self.members]
        predicted = np.stack([one.predicted for one in found])
        return Estimate(found[0].node, predicted.mean(axis=0), predicted.std(axis=0))

    def save(self, path: str | Path) -> None:
        """Write all networks into one file."""
        checkpoint.write(path, {"networks": [member.to_mapping() for member in self.members]}, self.conformal)

    @classmethod
    def load(cls, path: str | Path) -> Ensemble:
        """Read what `save` wrote, or `Trained.save`: an ensemble of one.

        Raises
        ------
        InputError
            As of `checkpoint.Trained.load`.
        """
        members, conformal = checkpoint.read(path)
        return cls(tuple(members), conformal)


def load(path: str | Path) -> Trained | Ensemble:
    """Read a checkpoint, whether it is of one network or of several."""
    found = Ensemble.load(path)
    return found if len(found.members) > 1 else replace(found.members[0], conformal=found.conformal)


def train_ensemble(
    graphs: Graphs,
    model: Mapping[str, Any],
    split: Split,
    *,
    members: int = MEMBERS,
    seed: int = 0,
    folder: str | Path | None = None,
    **training: Any,
) -> Ensemble:
    """Train networks one after the other, and calibrate their intervals.

    Parameters
    ----------
    graphs, model, split
        As of `training.train`.
    members : int
        How many networks.
    seed : int
        Of the first; the others have the seeds that follow.
    folder : path, optional
        Gets ``model.pt`` with all of them, and a folder ``member_<seed>`` for each (`training.train`); what
        was stopped goes on.
    **training
        Further arguments of `training.train`.

    Raises
    ------
    InputError
        Fewer than one member, or what training refuses.
    """
    if members < 1:
        message = f"an ensemble of {members} networks was asked for; expected 1 or more, such as {MEMBERS}"
        raise InputError(message)
    folder = None if folder is None else Path(folder)
    # Calibrated as a whole, not one by one.
    apart = replace(split, calibration=())
    found = []
    for number in range(seed, seed + members):
        place = None if folder is None else folder / f"member_{number}"
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
        member = train(graphs, model, apart, seed=number, folder=place, **training)
        found.append(replace(member, split=split))
    ensemble = Ensemble(tuple(found))
    if split.calibration:
        ensemble = replace(ensemble, conformal=calibrate(ensemble, graphs, split.calibration))
    if folder is not None:
        ensemble.save(folder / WEIGHTS)
    return ensemble
