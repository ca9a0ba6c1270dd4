"""Trained networks with all that is needed to use them again, in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tripoint._version import __version__
from tripoint.errors import InputError
from tripoint.materials import Materials
from tripoint.segment.normalisation import Normalisation
from tripoint.segment.volumes import GreyVolume

SCHEMA = 1
"""Version of the form of a checkpoint."""

_SMOOTH = 0.7
"""S.d. of a Gaussian over the probabilities where no slice was held out, voxels."""

_KIND = "segmentation"
_OWN = "tripoint.segment."


@dataclass(frozen=True)
class Trained:
    """Networks that segment, of one configuration and several seeds, and what they take.

    Parameters
    ----------
    networks : tuple of Module
    configuration : mapping
        Plain values, from which a network is made.
    materials : Materials
        Phases in the order of the networks' channels.
    normalisation : Normalisation
        Of the grey values they were trained on.
    context : int
        Neighbouring slices on either side that they see.
    dtypes : tuple of str
        Type of the grey values of each channel.
    about : mapping
        What they were trained on and how well they do there, plain values.
    """

    networks: tuple[nn.Module, ...]
    configuration: Mapping[str, Any]
    materials: Materials
    normalisation: Normalisation
    context: int
    dtypes: tuple[str, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def smooth(self) -> float:
        """S.d. of a Gaussian over the probabilities that fits the slices held out best, voxels."""
        dice = self.about.get("smoothing") or {}
        return float(max(dice, key=lambda width: dice[width])) if dice else _SMOOTH

    def check(self, grey: GreyVolume, *, own_scale: bool = False) -> None:
        """Refuse grey volumes that the networks do not fit.

        Parameters
        ----------
        grey : GreyVolume
        own_scale : bool
            Whether grey values are normalised by the volume itself, so that their type does not matter.

        Raises
        ------
        InputError
            Another number of channels, another type of grey values.
        """
        if len(grey.channels) != len(self.dtypes):
            message = (
                f"the network was trained on {len(self.dtypes)} channels, and images has "
                f"{len(grey.channels)} "
                f"({', '.join(grey.names)}); give the same channels in the same order"
            )
            raise InputError(message)
        for name, found, known in zip(grey.names, grey.dtypes, self.dtypes, strict=True):
            if found != known and not own_scale:
                message = (
                    f"{name} holds {found} values, and the network was trained on {known}: the same number "
                    "means "
                    f"another grey there; give the volume as {known}, or set normalise=volume, which takes "
                    "the "
                    "range of grey values from the volume itself"
                )
                raise InputError(message)

    def save(self, path: str | Path) -> None:
        """Write it beside, and rename."""
        path = Path(path)
        beside = path.with_name(f".{path.name}")
        content = {
            "schema": SCHEMA,
            "kind": _KIND,
            "tripoint": __version__,
            "weights": [network.state_dict() for network in self.networks],
            "configuration": dict(self.configuration),
            "materials": self.materials.to_mapping(),
            "normalisation": self.normalisation.to_mapping(),
            "context": self.context,
            "dtypes": list(self.dtypes),
            "about": dict(self.about),
        }
        torch.save(content, beside)
        os.replace(beside, path)

    @classmethod
    def load(cls, path: str | Path) -> Trained:
        """Read what `save` wrote; a file can make nothing but networks of tripoint.

        Raises
        ------
        InputError
            A file that is no checkpoint, or one of another form.
        """
        content = _read(path)
        materials = Materials.from_mapping(content["materials"])
        dtypes, context = tuple(content["dtypes"]), int(content["context"])
        networks = []
        for weights in content["weights"]:
            network = make_network(
                content["configuration"], len(dtypes), context, len(materials.phases), path
            )
            network.load_state_dict(weights)
            networks.append(network.eval())
        normalisation = Normalisation.from_mapping(content["normalisation"])
        return cls(
            tuple(networks),
            content["configuration"],
            materials,
            normalisation,
            context,
            dtypes,
            content["about"],
        )


def make_network(
    configuration: Mapping[str, Any], channels: int, context: int, phases: int, source: Any = "the settings"
) -> nn.Module:
    """Make a network of its configuration, ``_target_`` and arguments.

    Raises
    ------
    InputError
        A target that is not of this room, arguments that it does not take.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    target = str(configuration.get("_target_", ""))
    if not target.startswith(_OWN):
        message = (
            f"{source} would call {target or 'nothing'}, which is no network of tripoint; do not trust it"
        )
        raise InputError(message)
    try:
        network: nn.Module = instantiate(
            dict(configuration), channels * (2 * context + 1), phases, _convert_="all"
        )
    except (InstantiationException, ValueError, TypeError) as error:
        said = (str(error).splitlines() or [""])[0]
        message = (
            f"the network cannot be made of {source} ({said}); see conf/algorithm/unet.yaml for what it takes"
        )
        raise InputError(message) from error
    return network


def _read(path: str | Path) -> dict[str, Any]:
    if not Path(path).is_file() and any(Path(path).parent.glob("**/last.ckpt")):
        message = (
            f"the training in {Path(path).parent} is not complete; give its command again, which goes on "
            "from where it was stopped"
        )
        raise InputError(message)
    if not Path(path).is_file():
        message = f"there is no checkpoint {path}; give the file that segment mode=train wrote, or its folder"
        raise InputError(message)
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # whatever a file that is no checkpoint makes of the reader
        message = f"{path} is no checkpoint of tripoint, or is damaged; give the file that training wrote"
        raise InputError(message) from error
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        message = f"{path} is no checkpoint of segment mode=train; give the model.pt that it wrote"
        raise InputError(message)
    if content.get("schema") != SCHEMA:
        message = (
            f"{path} has the form {content.get('schema')}, and this version of tripoint reads form {SCHEMA}; "
            "train "
            "again, or use the version that wrote it"
        )
        raise InputError(message)
    return content
