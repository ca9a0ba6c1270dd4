"""A trained network with all that is needed to use it again, in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from tripoint._version import __version__
from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.conformal import LEVEL, Conformal, Estimate, answer
from tripoint.learn.data import GraphDataset, Scalings
from tripoint.learn.features import materials_of
from tripoint.learn.scaling import Scaling
from tripoint.learn.splitting import Split
from tripoint.learn.targets import ParticleTarget, Target, target_of, to_mapping
from tripoint.learn.views import Names, View, labels_of
from tripoint.materials import Materials

SCHEMA = 2
"""Version of the form of a checkpoint."""


@dataclass(frozen=True)
class Trained:
    """A network, what it takes, and what it was trained on.

    Parameters
    ----------
    network : Module
    view : View
        Makes a graph into what the network takes, with its target.
    names : mapping
        Columns of each table of its data.
    scalings : mapping
        Statistics of the training split.
    split : Split
        Names of the samples it was trained on, chosen by, tested on and calibrated on.
    configuration : mapping
        Plain values, from which the network is made again.
    phases : mapping
        What each phase of the training samples was: `phases_of`. Without any, none are asked for.
    conformal : Conformal, optional
        What intervals rest on, where samples were set aside for calibration.
    """

    network: nn.Module
    view: View
    names: Names
    scalings: Scalings
    split: Split
    configuration: Mapping[str, Any] = field(default_factory=dict)
    phases: Mapping[str, str] = field(default_factory=dict)
    conformal: Conformal | None = None

    @property
    def target(self) -> Target:
        """What it predicts."""
        return self.view.target

    def predict(self, graph: Graph, level: float = LEVEL) -> pd.DataFrame:
        """Predict the target of every region of active material, or of the sample.

        Parameters
        ----------
        graph : Graph
        level : float
            Share of particles that intervals are to hold, where there are any.

        Returns
        -------
        DataFrame
            For activity ``node``, ``predicted_log_activity`` and ``predicted_activity``, a row per region;
            for inactivity ``node`` and ``predicted_inactive``, a probability; for a figure of the sample its
            value and logarithm in one row. After a calibration also ``spread``, 0 here, and ``low_…``,
            ``high_…`` of each.

        Raises
        ------
        InputError
            A graph that the network does not fit, in what it differs.
        """
        return answer(self.target, self.estimate(graph), self.conformal, level)

    def estimate(self, graph: Graph) -> Estimate:
        """Predict one sample in the units of what is fitted."""
        self._check(graph)
        sample = str(graph.metadata.get("name", ""))
        data = GraphDataset({sample: graph}, (sample,), self.view, self.names, self.scalings)[0]
        self.network.eval()
        with torch.no_grad():
            found = self.network.readout.answer(self.network(data)).cpu().double().numpy()
        node = labels_of(data)["node"].numpy() if isinstance(self.target, ParticleTarget) else None
        return Estimate(node, found, np.zeros_like(found))

    def to_mapping(self) -> dict[str, Any]:
        """Return all of it but the code: tensors and plain values."""
        return {
            "weights": self.network.state_dict(),
            "names": {key: list(names) for key, names in self.names.items()},
            "scalings": {key: scaling.to_mapping() for key, scaling in self.scalings.items()},
            "split": self.split.to_mapping(),
            "configuration": dict(self.configuration),
            "target": to_mapping(self.target),
            "phases": dict(self.phases),
        }

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any], path: str | Path) -> Trained:
        """Make a network of what `to_mapping` told, and nothing but networks and views of tripoint.

        Raises
        ------
        InputError
            A configuration that names anything else, or does not fit the weights; ``path`` is where it comes
            from.
        """
        from hydra.utils import instantiate

        _check_targets(content["configuration"], path)
        try:
            parts = instantiate(content["configuration"], _convert_="all")
            names = {key: tuple(columns) for key, columns in content["names"].items()}
            target = target_of(content["target"])
            network = parts["network"](names, target=target)
            network.load_state_dict(content["weights"])
        except (RuntimeError, KeyError, TypeError, AttributeError) as error:
            message = (
                f"{path} does not hold together: its weights are not those of the network that it describes "
                f"({str(error).splitlines()[0].rstrip(':')}); train anew"
            )
            raise InputError(message) from error
        return cls(
            network,
            replace(parts["view"], target=target),
            names,
            {key: Scaling.from_mapping(mapping) for key, mapping in content["scalings"].items()},
            Split.from_mapping(content["split"]),
            content["configuration"],
            content["phases"],
        )

    def save(self, path: str | Path) -> None:
        """Write it beside, and rename."""
        write(path, {"networks": [self.to_mapping()]}, self.conformal)

    @classmethod
    def load(cls, path: str | Path) -> Trained:
        """Read what `save` wrote; a file can make nothing but networks and views of tripoint.

        Raises
        ------
        InputError
            A file that is no checkpoint, or one of another form, or of more than one network.
        """
        members, conformal = read(path)
        if len(members) > 1:
            message = f"{path} holds an ensemble of {len(members)} networks; read it with Ensemble.load"
            raise InputError(message)
        return replace(members[0], conformal=conformal)

    def _check(self, graph: Graph) -> None:
        """Raise InputError where the phases of a graph are not those of the training."""
        found = phases_of(materials_of(graph)) if self.phases else {}
        differing = [name for name in (*self.phases, *found) if found.get(name) != self.phases.get(name)]
        if differing:
            told = "; ".join(
                f"'{name}' {_said(self.phases, name)} in training and {_said(found, name)} here"
                for name in dict.fromkeys(differing)
            )
            message = (
                f"sample '{graph.metadata.get('name', '')}' is of other materials than the model was trained "
                f"on: {told}; analyse it with the materials of the training samples"
            )
            raise InputError(message)


def phases_of(materials: Materials) -> dict[str, str]:
    """Return what a model takes each phase for, and which carriers have a terminal."""
    found = {}
    for phase in materials.phases:
        conducts = f"conducts {' and '.join(sorted(phase.conducts)) or 'nothing'}"
        found[phase.name] = f"is active and {conducts}" if phase.active else conducts
    return found | {f"terminal of {carrier}": "is there" for carrier in sorted(materials.terminals)}


def _said(phases: Mapping[str, str], name: str) -> str:
    return phases.get(name, "is missing")


def write(path: str | Path, content: Mapping[str, Any], conformal: Conformal | None) -> None:
    """Write a checkpoint beside, and rename it."""
    path = Path(path)
    beside = path.with_name(f".{path.name}")
    told = conformal.to_mapping() if conformal is not None else None
    torch.save({"schema": SCHEMA, "tripoint": __version__, **content, "conformal": told}, beside)
    os.replace(beside, path)


def read(path: str | Path) -> tuple[list[Trained], Conformal | None]:
    """Return the networks of a checkpoint, and what their intervals rest on.

    Raises
    ------
    InputError
        A file that is no checkpoint, or one of another form.
    """
    content = _read(path)
    members = [Trained.from_mapping(member, path) for member in content["networks"]]
    told = content["conformal"]
    return members, Conformal.from_mapping(told) if told is not None else None


def _check_targets(configuration: Any, path: str | Path) -> None:
    """Raise InputError where a configuration names anything that is not of this room."""
    from hydra.utils import get_object

    if isinstance(configuration, Mapping):
        for key, value in configuration.items():
            if key != "_target_":
                _check_targets(value, path)
            elif not (
                str(value).startswith("tripoint.learn.")
                and str(get_object(value).__module__).startswith("tripoint.learn.")
            ):
                message = f"{path} would call {value}, which is no part of tripoint; do not trust this file"
                raise InputError(message)
    elif isinstance(configuration, list | tuple):
        for value in configuration:
            _check_targets(value, path)


def _read(path: str | Path) -> dict[str, Any]:
    if not Path(path).is_file():
        message = f"there is no checkpoint {path}; give the file that training wrote"
        if (Path(path).parent / "run.json").is_file():
            message = (
                f"{path} was not written: of models that see no graph a run keeps the predictions alone; "
                "take a network (gine, gatv2, hetero, kirchhoff, corrected, known), or fit and predict from "
                "Python with tripoint.learn.fitting"
            )
        raise InputError(message)
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # whatever a file that is no checkpoint makes of the reader
        message = f"{path} is no checkpoint of tripoint, or is damaged; give the file that training wrote"
        raise InputError(message) from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        message = (
            f"{path} has the form {schema}, and this version of tripoint reads form {SCHEMA}; train again, "
            "or use the version that wrote it"
        )
        raise InputError(message)
    return content
