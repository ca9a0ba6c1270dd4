"""A trained network as ``conf/applying.yaml`` applies it, in segmentation and before an analysis."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tripoint.cli.settings import check_number, check_section, check_switch, check_text, read_list, stem
from tripoint.errors import InputError, MaterialsError
from tripoint.materials import Materials
from tripoint.record import Progress
from tripoint.sample import Sample

log = logging.getLogger("tripoint")

_SHIFTED, _STRETCHED = 0.5, 1.5
"""By how much of their range grey values may lie elsewhere than in the training, and be spread wider."""


@dataclass(frozen=True)
class Network:
    """A network that makes the phases of an analysis of grey values, and what the analysis knows of them."""

    settings: dict[str, Any]
    images: list[str]
    method: Any
    origin: dict[str, Any]
    materials: Materials

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Network:
        """Load what the settings of ``tripoint analyze`` name.

        Raises
        ------
        InputError
            Settings that grey values do not have.
        MaterialsError
            Other phases than those of the network.
        """
        given = [key for key in _OF_PHASES if settings[key] is not None]
        if given:
            message = (
                f"{given[0]} is given, which only volumes of phases have; convert the grey values before, or "
                "choose channels with segment.channels"
            )
            raise InputError(message)
        images = images_of(settings, "input")
        method, origin = trained_method(check_section(settings, "segment"), images, settings)
        materials = _adopted(method.materials, check_section(settings, "materials"))
        return cls(settings, [images] if isinstance(images, str) else images, method, origin, materials)

    @property
    def checkpoint(self) -> str:
        """Path of its weights."""
        return str(self.origin["checkpoint"])

    def sample(self, progress: Progress) -> Sample:
        """Segment the volume, in memory and on the device of the network."""
        from tripoint.segment.resident import segmented

        how = check_section(self.settings, "segment")
        found = segmented(
            self.images,
            self.method,
            channels=read_list(how["channels"]),
            roi=read_list(self.settings["roi"]),
            smallest=smallest_of(how),
            spacing=read_list(self.settings["spacing"]),
            units=self.settings["units"],
            name=self.settings["name"] or stem(self.images),
            origin=self.origin,
            progress=progress,
        )
        return replace(found, materials=self.materials)


_OF_PHASES = ("shape", "dtype", "channel")
"""Settings that only volumes of phases have."""


def _adopted(known: Materials, given: dict[str, Any]) -> Materials:
    """Return the materials of a network with what is said otherwise, such as terminals."""
    filled = {key: value for key, value in given.items() if value and key != "name"}
    phases = filled.get("phases")
    if phases is None:
        merged = known.to_mapping()
        for key, value in filled.items():
            merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
        return Materials.from_mapping(merged)
    found = Materials.from_mapping(given)
    named, learnt = ({phase.name: phase.label for phase in one.phases} for one in (found, known))
    if named != learnt:
        message = (
            f"the network was trained on {known.name} with the phases {learnt}, and the materials name "
            f"{named}; leave materials out, or give some with the same phases"
        )
        raise MaterialsError(message)
    return found


def trained_method(
    settings: dict[str, Any], images: Any, sample: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Return a network, ready for some grey volumes, and what decides what it gives.

    Parameters
    ----------
    settings : dict
        Those of ``conf/applying.yaml``.
    images : path or list of paths
    sample : dict
        With ``device``, ``roi``, ``spacing`` and ``units``.
    """
    from tripoint.segment import volumes
    from tripoint.segment.checkpoint import Trained
    from tripoint.segment.normalisation import Normalisation
    from tripoint.segment.tiles import Tiled
    from tripoint.segment.training import WEIGHTS

    if settings["checkpoint"] is None:
        message = (
            "the checkpoint is missing; give checkpoint=FOLDER of a training, or a method that needs none: "
            "algorithm=multi_otsu, kmeans or watershed"
        )
        raise InputError(message)
    path = Path(check_text(settings, "checkpoint")).expanduser()
    path = path / WEIGHTS if path.is_dir() else path
    trained = Trained.load(path)
    own = settings["normalise"] == "volume"
    if settings["normalise"] not in ("training", "volume"):
        message = f"normalise is {settings['normalise']!r}; expected training or volume"
        raise InputError(message)
    with volumes.opened(images, read_list(settings["channels"]), read_list(sample["roi"])) as grey:
        trained.check(grey, own_scale=own)
        _check_order(trained.about, grey.names, read_list(settings["channels"]))
        seen = Normalisation.of_volume(grey)  # refuses what is constant
        if not own:
            _tell_scale(trained.normalisation, seen, grey.names)
        _tell_spacing(trained, grey.spacing(read_list(sample["spacing"]), sample["units"]))
    device = _device(sample["device"])
    half = device == "cuda" if settings["half"] == "auto" else check_switch(settings, "half")
    tiling = {key: settings[key] for key in ("tile", "overlap", "batch_size", "smooth")}
    method = Tiled(trained, **tiling, device=device, half=half, normalisation=seen if own else None)
    origin = {"checkpoint": str(path.resolve()), "networks": len(trained.networks), "half": half, **tiling,
              "smooth": method.width,
              "normalise": settings["normalise"], "trained_on": trained.about.get("trained_on"),
              "chosen_by": trained.about.get("validated_on")}  # fmt: skip
    return method, {**origin, "weights": _when(path)}


def smallest_of(settings: dict[str, Any]) -> float | None:
    """Return the volume below which pieces go, µm³, None for what is usual."""
    given = settings["smallest"]
    if given == "auto":
        return None
    if (found := check_number(given, "smallest")) < 0:
        message = f"smallest is {given}; expected a volume in µm³, 0 or more"
        raise InputError(message)
    return found


def images_of(settings: dict[str, Any], key: str) -> Any:
    """Return the path of a grey volume, or those of several channels."""
    given = read_list(settings[key])
    if isinstance(given, list) and given:
        return [str(path) for path in given]
    return check_text(settings, key)


def _when(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def _check_order(about: Mapping[str, Any], names: Sequence[str], channels: Any) -> None:
    """Refuse the channels of the training in another order, as far as their names tell."""
    known = [Path(name).stem for name in about.get("images") or ()]
    given = [Path(name).stem for name in names]
    if known != given and sorted(known) == sorted(given) and len(set(known)) > 1:
        message = (
            f"the network was trained on the channels {', '.join(known)}, and images gives "
            f"{', '.join(given)}; give them in that order"
        )
        raise InputError(message)
    if len(known) > 1 and set(known) != set(given):
        log.warning(
            "warning: the network was trained on the channels %s, and images gives %s; they should show the "
            "same in the same order, and lie on one grid",
            ", ".join(known),
            ", ".join(given),
        )
    before = about.get("channels")
    if channels and before and channels != before and sorted(channels) == sorted(before):
        message = (
            f"the network was trained on channels={before}, and here channels={channels}; keep the order"
        )
        raise InputError(message)


def _tell_spacing(trained: Any, spacing: Any) -> None:
    """Warn where voxels are of another size than those of the training."""
    known = trained.about.get("spacing")
    if known and spacing and any(abs(a / b - 1) > 0.1 for a, b in zip(spacing, known, strict=True)):
        log.warning(
            "warning: the network was trained on voxels of %s µm, and these are of %s µm; what it knows of "
            "shapes and blur holds for the former",
            " × ".join(f"{size:g}" for size in known),
            " × ".join(f"{size:g}" for size in spacing),
        )


def _tell_scale(known: Any, seen: Any, names: Sequence[str]) -> None:
    """Warn where grey values lie elsewhere than in the training."""
    scales = zip(names, known.centre, known.scale, seen.centre, seen.scale, strict=True)
    for name, centre, scale, own_centre, own_scale in scales:
        if abs(own_centre - centre) > _SHIFTED * scale or not 1 / _STRETCHED < own_scale / scale < _STRETCHED:
            log.warning(
                "warning: most grey values of %s lie between %.4g and %.4g, and in the training between %.4g "
                "and %.4g; if the same phase has another grey here, set normalise=volume",
                name, own_centre - own_scale, own_centre + own_scale, centre - scale, centre + scale,
            )  # fmt: skip


def _device(given: Any) -> str:
    import torch

    if given not in ("auto", "cpu", "cuda"):
        message = f"there is no device {given!r}; use cpu, cuda or auto"
        raise InputError(message)
    return ("cuda" if torch.cuda.is_available() else "cpu") if given == "auto" else str(given)
