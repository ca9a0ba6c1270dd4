"""A trained network with all that is needed to use it again, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from tripoint._version import __version__
from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.data import GraphDataset, Scalings
from tripoint.learn.features import linear_activity
from tripoint.learn.scaling import Scaling
from tripoint.learn.splitting import Split
from tripoint.learn.views import Names, View, labels_of

SCHEMA = 1
"""Version of the form of a checkpoint."""


@dataclass(frozen=True)
class Trained:
    """A network, what it takes, and what it was trained on.

    Parameters
    ----------
    network : Module
    view : View
        Makes a graph into what the network takes.
    names : mapping
        Columns of each table of its data.
    scalings : mapping
        Statistics of the training split.
    split : Split
        Names of the samples it was trained on, chosen by and tested on.
    configuration : mapping
        Plain values, from which the network is made again.
    """

    network: nn.Module
    view: View
    names: Names
    scalings: Scalings
    split: Split
    configuration: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, graph: Graph) -> pd.DataFrame:
        """Predict the activity of every region of active material.

        Returns
        -------
        DataFrame
            ``node``, ``predicted_log_activity`` and ``predicted_activity``, a row per region.

        Raises
        ------
        InputError
            A graph whose columns are not those of the training, which of them differ.
        """
        sample = str(graph.metadata.get("name", ""))
        data = GraphDataset({sample: graph}, (sample,), self.view, self.names, self.scalings)[0]
        self.network.eval()
        with torch.no_grad():
            found = self.network(data).cpu().double().numpy()
        return pd.DataFrame(
            {
                "node": labels_of(data)["node"].numpy(),
                "predicted_log_activity": found,
                "predicted_activity": linear_activity(found),
            }
        )

    def save(self, path: str | Path) -> None:
        """Write all of it but the code: tensors and plain values."""
        torch.save(
            {
                "schema": SCHEMA,
                "tripoint": __version__,
                "weights": self.network.state_dict(),
                "names": {key: list(names) for key, names in self.names.items()},
                "scalings": {key: scaling.to_mapping() for key, scaling in self.scalings.items()},
                "split": self.split.to_mapping(),
                "configuration": dict(self.configuration),
            },
            path,
        )

    @classmethod
    def load(cls, path: str | Path) -> Trained:
        """Read what `save` wrote; a file can make nothing but networks and views of tripoint.

        Raises
        ------
        InputError
            A file that is no checkpoint, or one of another form.
        """
        from hydra.utils import instantiate

        content = _read(path)
        _check_targets(content["configuration"], path)
        parts = instantiate(content["configuration"], _convert_="all")
        names = {key: tuple(columns) for key, columns in content["names"].items()}
        network = parts["network"](names)
        network.load_state_dict(content["weights"])
        return cls(
            network,
            parts["view"],
            names,
            {key: Scaling.from_mapping(mapping) for key, mapping in content["scalings"].items()},
            Split.from_mapping(content["split"]),
            content["configuration"],
        )


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
