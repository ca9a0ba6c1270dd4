"""Training networks on annotated slices of grey volumes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning

from tripoint._version import __version__
from tripoint.database.content import hash_settings
from tripoint.errors import InputError, OutputError
from tripoint.io.tables import plain
from tripoint.learn.epochs import (
    METRICS,
    RESUME,
    BestWeights,
    FiniteErrors,
    Metrics,
    OwnRandomNumbers,
    Resumable,
    Told,
)
from tripoint.learn.trainers import fitting, make_trainer
from tripoint.materials import Materials
from tripoint.record import Progress
from tripoint.segment import smoothing, volumes
from tripoint.segment.annotation import UNLABELLED, Annotation, read_annotation
from tripoint.segment.augmentation import Augmentation
from tripoint.segment.checkpoint import Trained, make_network
from tripoint.segment.module import SegmentationModule
from tripoint.segment.network import MULTIPLE
from tripoint.segment.normalisation import Normalisation
from tripoint.segment.patches import PatchData, Slices, load_slices
from tripoint.segment.splitting import split

log = logging.getLogger("tripoint")

WEIGHTS, RECORD = "model.pt", "run.json"

_ADVICE = (
    "try a smaller learning rate (train.optimiser.rate=1e-3), trainer.precision=32-true, and look for huge "
    "grey values"
)


def train(  # noqa: PLR0913  # each of them is one word on the command line
    images: str | Path | Sequence[str | Path],
    labels: str | Path,
    folder: str | Path,
    *,
    materials: Any,
    network: Mapping[str, Any],
    channels: Sequence[int] | None = None,
    slices: Sequence[int] | None = None,
    unlabelled: int | str | None = "auto",
    mask: str | Path | None = None,
    validation: float | Sequence[int] = 0.2,
    context: int = 2,
    emphasis: float = 3.0,
    class_weights: str | Mapping[str, float] | None = None,
    augmentation: Augmentation | None = None,
    optimiser: Mapping[str, Any] | None = None,
    epochs: int = 30,
    steps: int = 100,
    patch: int = 128,
    batch_size: int = 12,
    patience: int | None = 10,
    ensemble: int = 1,
    seed: int = 0,
    trainer: Mapping[str, Any] | None = None,
    spacing: Any = None,
    units: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a network on annotated slices, and keep the weights that fit those held out best.

    Parameters
    ----------
    images : path or sequence of paths
        Grey volumes of one sample, one per channel (`volumes.opened`).
    labels : path
        What somebody has drawn (`annotation.read_annotation`, with ``slices``, ``unlabelled`` and ``mask``).
    folder : path
        Gets ``model.pt`` (`checkpoint.Trained`), ``run.json``, and for each network ``metrics.csv`` and
        ``last.ckpt``, from which a training that was stopped goes on.
    materials : Materials, name, path or mapping
    network : mapping
        ``_target_`` and its arguments, as in ``conf/segment/unet.yaml``.
    validation : float or sequence of int
        See `splitting.split`.
    context : int
        Neighbouring slices on either side that the network sees as channels.
    emphasis : float
        What pixels at interfaces count besides, see `patches.boundary_weights`.
    class_weights : "balanced", mapping of phase to float, or None
        Of the cross-entropy; balanced: one over the square root of a phase's share.
    augmentation : Augmentation, optional
    optimiser : mapping, optional
        ``rate``, ``weight_decay``, ``dice`` of `module.SegmentationModule`.
    epochs, steps, patch, batch_size : int
        Epochs at most, steps of each, side of the patches in pixels, patches of a step.
    patience : int, optional
        Epochs without a better one after which training stops.
    ensemble : int
        Networks, from seeds that follow each other.
    trainer : mapping, optional
        Settings of Lightning's ``Trainer``; ``threads`` and ``tensorboard`` as in `learn.trainers`.
    spacing : (z, y, x), optional
        Voxel size in µm, which the checkpoint keeps; by default the files'.
    overwrite : bool
        Begin anew where there is a training, once all that is asked for has been checked.

    Returns
    -------
    dict
        What ``run.json`` holds.

    Raises
    ------
    InputError
        Images and labels that do not fit, a phase that nobody has drawn, settings that make no sense.
    """
    materials = Materials.load(materials)
    _check_whole(epochs=epochs, steps=steps, patch=patch, batch_size=batch_size, ensemble=ensemble)
    _check_whole(least=0, context=context, seed=seed)
    augmentation = augmentation or Augmentation()
    with volumes.opened(images, channels) as grey:
        annotation = read_annotation(grey, labels, materials, slices=slices, unlabelled=unlabelled, mask=mask)
        _check_patches(patch, batch_size, grey.shape)
        drawn, held = split(annotation, validation, context)
        _check_drawn(drawn, materials)
        own = np.concatenate(list(grey.blocks([(z, z + 1) for z in drawn.positions], 0)), axis=1)
        normalisation = Normalisation.of(own, grey.names)
        del own
        sides = [
            None if side is None else load_slices(grey, side, normalisation, context, emphasis)
            for side in (drawn, held)
        ]
        about: dict[str, Any] = {
            "images": [str(Path(name).resolve()) for name in grey.names],
            "labels": str(Path(labels).resolve()),
            "trained_on": list(drawn.numbers),
            "validated_on": [] if held is None else list(held.numbers),
            "channels": None if channels is None else list(channels),
            "spacing": grey.spacing(spacing, units),
            "labelled_pixels": int((drawn.classes != UNLABELLED).sum()),
        }
        dtypes = grey.dtypes
    if about["spacing"] is None:
        log.warning(
            "warning: %s does not state its voxel size, so that nobody will be warned where the network is "
            "applied to voxels of another size; give spacing=[z,y,x]",
            about["images"][0],
        )
    training, validating = sides
    assert training is not None
    weights = _class_weights(class_weights, drawn, materials)
    options = {**(optimiser or {}), "class_weights": weights}
    data = {"size": patch, "batch_size": batch_size, "steps": steps, "augmentation": augmentation}
    asked = plain(
        {
            "network": network, "materials": materials.to_mapping(), "dtypes": dtypes, "context": context,
            "emphasis": emphasis, "options": options, "data": {**data, "augmentation": vars(augmentation)},
            "epochs": epochs, "patience": patience, "seed": seed,
            "slices": _fingerprint(training, validating),
        }
    )  # fmt: skip
    target = Path(folder)
    if overwrite:
        _clear(target)
    _make(target)
    networks, rows, begun = [], [], time.perf_counter()
    for member in range(ensemble):
        lightning.seed_everything(seed + member, verbose=False)
        module = SegmentationModule(
            make_network(network, len(dtypes), context, len(materials.phases)), **options
        )
        patches = PatchData(training, validating, seed=seed + member, **data)  # type: ignore[arg-type]
        place = target if ensemble == 1 else target / f"network_{member}"
        rows.append(
            _fit(module, patches, place, hash_settings({**asked, "member": member}), epochs, patience,
                 seed + member, dict(trainer or {}), progress)
        )  # fmt: skip
        networks.append(module.network.eval())
    about |= {"validation": rows, "classes": [phase.name for phase in materials.phases]}
    trained = Trained(
        tuple(networks), plain(network), materials, normalisation, context, dtypes, plain(about)
    )
    if held is not None:
        with volumes.opened(images, channels) as grey:
            about["smoothing"] = smoothing.compare(trained, grey, held)
        trained = replace(trained, about=plain(about))
    trained.save(target / WEIGHTS)
    record = plain(
        {
            "schema": 1, "tripoint": __version__, "task": "segment", "mode": "train", **about, "settings":
            asked, "parameters": sum(values.numel() for values in networks[0].parameters()),
            "seconds": time.perf_counter() - begun,
        }
    )  # fmt: skip
    _write_json(target / RECORD, record)
    return record


def _fit(
    module: SegmentationModule,
    patches: PatchData,
    place: Path,
    settings: str,
    epochs: int,
    patience: int | None,
    seed: int,
    trainer: dict[str, Any],
    progress: Progress | None,
) -> dict[str, float]:
    """Train one network; return the figures of its best epoch."""
    _make(place)
    threads = trainer.pop("threads", None)
    metrics, resumable = Metrics(place), Resumable(place, settings)
    callbacks: list[Any] = [OwnRandomNumbers(seed), FiniteErrors(_ADVICE), Told(progress)]
    validate = patches.validation is not None
    if validate:
        callbacks.append(BestWeights(patience))
    callbacks += [metrics, resumable]
    trainer = {**trainer, "reload_dataloaders_every_n_epochs": 1}
    made = make_trainer(trainer, callbacks, epochs=epochs, folder=place, validate=validate)
    try:
        fitting(made, module, patches, resumable, threads)
    except OSError as error:
        message = (
            f"{place} cannot be written ({error.strerror or error}); what was done stays, free some space"
        )
        raise OutputError(message) from error
    key = module.measure if validate else "train_loss"
    best = min(metrics.rows, key=lambda row: row[key])
    return {name: float(value) for name, value in best.items()}


def _check_patches(patch: int, batch_size: int, shape: Sequence[int]) -> None:
    """Refuse what the deepest level of the network cannot see as a plane of pixels."""
    least = min(shape[1:])
    if least < MULTIPLE:
        message = (
            f"the slices have {shape[1]} × {shape[2]} pixels; expected at least {MULTIPLE} × {MULTIPLE}, "
            "which the network halves four times"
        )
        raise InputError(message)
    if patch < MULTIPLE:
        message = f"patch is {patch}; expected at least {MULTIPLE} pixels, such as 128"
        raise InputError(message)
    if min(patch, least) // MULTIPLE == 1 and batch_size == 1:
        message = "a step of one patch of so few pixels cannot be normalised; set train.batch_size=2 or more"
        raise InputError(message)


def _clear(folder: Path) -> None:
    """Remove the trainings of a folder, and nothing else."""
    for name in (WEIGHTS, RECORD, METRICS, RESUME):
        (folder / name).unlink(missing_ok=True)
    for place in folder.glob("network_*"):
        shutil.rmtree(place, ignore_errors=True)


def _check_drawn(drawn: Annotation, materials: Materials) -> None:
    present = set(np.unique(drawn.classes).tolist())
    missing = [phase.name for k, phase in enumerate(materials.phases) if k not in present]
    if missing:
        message = (
            f"no pixel of the slices to train on is labelled {' or '.join(missing)}; annotate some, or leave "
            "the "
            "phase out of the materials"
        )
        raise InputError(message)


def _class_weights(given: Any, drawn: Annotation, materials: Materials) -> list[float] | None:
    """Return the weight of each phase in the cross-entropy, 1 on average."""
    if given is None:
        return None
    names = [phase.name for phase in materials.phases]
    if given == "balanced":
        counts = np.bincount(drawn.classes[drawn.classes != UNLABELLED], minlength=len(names))
        weights = 1 / np.sqrt(counts / counts.sum())
    elif (
        isinstance(given, Mapping) and set(given) <= set(names) and all(float(v) > 0 for v in given.values())
    ):
        weights = np.array([float(given.get(name, 1.0)) for name in names])
    else:
        message = f"class_weights is {given!r}; expected balanced, or positive weights of {', '.join(names)}"
        raise InputError(message)
    return [float(weight) for weight in weights / weights.mean()]


def _fingerprint(*sides: Slices | None) -> str:
    """Return a hash of all that is trained on and chosen by."""
    digest = hashlib.sha256()
    for side in sides:
        for array in () if side is None else (side.planes, side.around, side.classes, side.weights):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _check_whole(least: int = 1, **given: Any) -> None:
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            message = f"{name} is {value!r}; expected a whole number of at least {least}"
            raise InputError(message)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{folder} cannot be made ({error.strerror}); choose another output"
        raise OutputError(message) from error


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    beside = path.with_name(f".{path.name}")
    beside.write_text(
        json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    os.replace(beside, path)
