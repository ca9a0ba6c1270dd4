"""tripoint segment: grey values become phases, by a network trained on a few slices or without one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tripoint.cli.messages import say
from tripoint.cli.output import output_of
from tripoint.cli.progress import shown
from tripoint.cli.settings import check_section, check_switch, check_text, read_list
from tripoint.cli.trained import images_of, smallest_of, trained_method
from tripoint.errors import InputError, MaterialsError
from tripoint.materials import Materials, shipped

log = logging.getLogger("tripoint")


def run(settings: dict[str, Any]) -> None:
    """Train, predict or evaluate, as ``conf/segment.yaml`` says."""
    modes: dict[str, Callable[[dict[str, Any]], None]] = {
        "train": _train,
        "predict": _predict,
        "evaluate": _evaluate,
    }
    mode = settings["mode"]
    if mode not in modes:
        message = f"mode is {mode!r}; expected {', '.join(modes)}"
        raise InputError(message)
    if settings["roi"] is not None and mode != "predict":
        message = f"roi is given, and mode={mode} has none; name the slices, or leave out regions by a mask"
        raise InputError(message)
    modes[mode](settings)


def _train(settings: dict[str, Any]) -> None:
    from tripoint.segment.augmentation import Augmentation
    from tripoint.segment.training import WEIGHTS, train

    how = dict(check_section(settings, "train"))
    method = check_section(settings, "algorithm")
    if "network" not in method:
        message = (
            f"algorithm={method['name']} needs no training; use it with mode=predict, or train algorithm=unet"
        )
        raise InputError(message)
    images, labels = images_of(settings, "images"), check_text(settings, "labels")
    materials = _materials(settings)
    folder = Path(check_text(settings, "output"))
    try:
        augmentation = Augmentation(**how.pop("augmentation"))
    except TypeError as error:
        message = f"train.augmentation does not fit ({error}); see --help for what it takes"
        raise InputError(message) from error
    how["validation"] = read_list(how["validation"])
    with shown() as progress:
        record = train(
            images,
            labels,
            folder,
            materials=materials,
            network=method["network"],
            channels=read_list(settings["channels"]),
            slices=_numbers(settings, "slices"),
            unlabelled=settings["unlabelled"],
            mask=settings["mask"],
            augmentation=augmentation,
            seed=settings["seed"],
            trainer=check_section(settings, "trainer"),
            spacing=read_list(settings["spacing"]),
            units=settings["units"],
            overwrite=check_switch(settings, "overwrite"),
            progress=progress,
            **how,
        )
    for row in record["validation"]:
        if "validation_dice" in row:
            log.info(
                "slices %s, which choose the weights and the smoothing: mean Dice %.4f in epoch %d",
                ", ".join(map(str, record["validated_on"])),
                row["validation_dice"],
                row["epoch"],
            )
    say(str(folder / WEIGHTS))


def _predict(settings: dict[str, Any]) -> None:
    from tripoint.segment.prediction import SUMMARY, Wanted, predict

    images = images_of(settings, "images")
    output, overwrite = output_of(settings)
    method, origin = _method(settings, images)
    with shown() as progress:
        summary = predict(
            images,
            method,
            output,
            channels=read_list(settings["channels"]),
            roi=read_list(settings["roi"]),
            wanted=Wanted(settings["probabilities"], settings["uncertainty"]),
            smallest=smallest_of(settings),
            spacing=read_list(settings["spacing"]),
            units=settings["units"],
            name=settings["name"],
            origin=origin,
            overwrite=overwrite,
            progress=progress,
        )
    for warning in summary["warnings"]:
        log.warning("warning: %s", warning)
    for phase, figures in summary["phases"].items():
        log.info("%s: %.2f %% of the volume", phase, 100 * figures["fraction"])
    say(str(output / SUMMARY))


def _evaluate(settings: dict[str, Any]) -> None:
    from tripoint.segment.evaluation import REPORT, evaluate, sentence

    prediction, labels = check_text(settings, "prediction"), check_text(settings, "labels")
    output, overwrite = output_of(settings)
    with shown() as progress:
        summary = evaluate(
            prediction,
            labels,
            output,
            materials=settings["materials"] if settings["materials"].get("phases") else None,
            images=images_of(settings, "images") if settings["images"] is not None else None,
            channels=read_list(settings["channels"]),
            slices=_numbers(settings, "slices"),
            unlabelled=settings["unlabelled"],
            mask=settings["mask"],
            tolerances=read_list(settings["tolerance"]),
            spacing=read_list(settings["spacing"]),
            units=settings["units"],
            overwrite=overwrite,
            progress=progress,
        )
    for warning in summary["warnings"]:
        log.warning("warning: %s", warning)
    log.info(sentence(summary))
    say(str(output / REPORT))


def _method(settings: dict[str, Any], images: Any) -> tuple[Any, dict[str, Any]]:
    """Return the method, ready for the volume, and what decides what it gives."""
    from tripoint.segment import volumes

    given = check_section(settings, "algorithm")
    channels = read_list(settings["channels"])
    if "network" in given:
        return trained_method(settings, images, settings)
    if settings["checkpoint"] is not None:
        message = f"checkpoint is given, and algorithm={given['name']} takes none; leave out one of the two"
        raise InputError(message)
    from hydra.utils import instantiate

    arguments = {key: value for key, value in given.items() if key != "name"}
    with volumes.opened(images, channels, read_list(settings["roi"])) as grey:
        method = instantiate(arguments, _convert_="all").fit(grey, _materials(settings))
    return method, {"algorithm": given}


def _numbers(settings: dict[str, Any], key: str) -> list[int] | None:
    given = read_list(settings[key])
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(n, int) and not isinstance(n, bool) for n in given):
        message = f"{key} is {given!r}; expected whole numbers such as [205,210]"
        raise InputError(message)
    return given


def _materials(settings: dict[str, Any]) -> Materials:
    mapping = check_section(settings, "materials")
    if not mapping.get("phases"):
        message = (
            f"the materials are missing; give materials=NAME with one of {', '.join(shipped())}, the path of "
            "a .yaml "
            "file, or an inline definition"
        )
        raise MaterialsError(message)
    return Materials.from_mapping(mapping)
