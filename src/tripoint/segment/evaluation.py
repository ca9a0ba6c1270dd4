"""A segmentation beside what somebody has drawn: voxels, boundaries, and what is measured on them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tripoint._version import __version__
from tripoint.errors import InputError
from tripoint.io.folder import check_output, result_folder
from tripoint.io.formats import split_inside
from tripoint.io.tables import plain
from tripoint.materials import Materials
from tripoint.record import Progress
from tripoint.report import segmentation as page
from tripoint.segment import scores, volumes
from tripoint.segment.annotation import UNLABELLED, Annotation, read_annotation
from tripoint.segment.prediction import SUMMARY, VOLUME
from tripoint.segment.runs import Run, runs_of
from tripoint.segment.volumes import GreyVolume

REPORT = "report.html"
_PICTURES = 3
_TRAINING = "run.json"  # beside a checkpoint; the room that writes it loads Lightning


def evaluate(  # noqa: PLR0913  # each of them is one word on the command line
    prediction: str | Path,
    labels: str | Path,
    output: str | Path,
    *,
    materials: Any = None,
    images: str | Path | Sequence[str | Path] | None = None,
    channels: Sequence[int] | None = None,
    slices: Sequence[int] | None = None,
    unlabelled: int | str | None = "auto",
    mask: str | Path | None = None,
    tolerances: Sequence[float] = (1, 2),
    spacing: Any = None,
    units: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare a segmentation with an annotation, and write ``summary.json`` and ``report.html``.

    Dice, intersection over union and boundary F1 count all annotated voxels. What needs neighbours along z
    (areas, triple-phase boundaries, spanning fractions) is measured by the same functions as in
    ``tripoint analyze``, of both, on that run of annotated slices which has most annotated voxels.

    Parameters
    ----------
    prediction : path
        What ``mode=predict`` wrote, or any labelled volume.
    labels, slices, unlabelled, mask
        What somebody has drawn (`annotation.read_annotation`); slices are called as the images' were.
    output : path
    materials : Materials, name, path or mapping, optional
        By default those of the prediction.
    images : path or sequence of paths, optional
        Grey volumes, for the pictures; by default those of the prediction, where they still are.
    tolerances : sequence of float
        Of the boundary F1, voxels.
    spacing : (z, y, x), optional
        Voxel size in µm; by default the prediction's.

    Returns
    -------
    dict
        What ``summary.json`` holds.

    Raises
    ------
    InputError
        Shapes that differ, labels that the materials do not name, nothing annotated.
    OutputError
        The output exists, or cannot be written.

    Notes
    -----
    About 40 bytes per voxel of the annotated slices that follow each other.
    """
    target = check_output(output, overwrite)
    tolerances = _tolerances(tolerances)
    steps = ["reading", "voxels and boundaries", "structure", "report"]

    def tell(step: int) -> None:
        if progress is not None:
            progress(steps[step] if step < len(steps) else "done", step, len(steps))

    tell(0)
    with _predicted(prediction) as (volume, about):
        phases = Materials.load(materials or _materials_of(about, prediction))
        annotation = read_annotation(volume, labels, phases, slices=slices, unlabelled=unlabelled, mask=mask)
        voxel = volume.spacing(spacing, units)
        if voxel is None:
            message = f"{prediction} does not state its voxel size; give it as spacing=[z,y,x] in µm"
            raise InputError(message)
        runs = [Run.of(volume, annotation, rows, phases) for rows in runs_of(annotation.positions)]
    tell(1)
    counts = sum(scores.confusion(run.found, run.truth, len(phases.phases)) for run in runs)
    near = [scores.boundary_counts(run.found, run.truth, len(phases.phases), tolerances) for run in runs]
    tell(2)
    best = max(runs, key=lambda run: (len(run.numbers) > 1, run.annotated))
    summary = {
        "schema": 1, "tripoint": __version__, "task": "segment", "mode": "evaluate",
        "name": about.get("name") or Path(prediction).stem,
        "prediction": str(prediction), "labels": str(labels),
        "slices": list(annotation.numbers), "voxels": int(np.sum(counts)), "spacing": voxel,
        "materials": phases.to_mapping(), "trained_on": about.get("trained_on"),
        "chosen_by": about.get("chosen_by"),
        **_agreement(np.asarray(counts), near, tolerances, phases),
        "structure": best.structure(voxel, phases) if len(best.numbers) > 1 else None,
        "warnings": best.warnings(phases) + _seen(annotation, about),
    }  # fmt: skip
    summary = plain(summary)
    tell(3)
    pictures = _pictures(runs, images or _images_of(about), channels, phases)
    with result_folder(target, overwrite) as folder:
        (folder / REPORT).write_text(page.rendered_page(summary, pictures, phases), encoding="utf-8")
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
    tell(len(steps))
    return summary


def sentence(summary: Mapping[str, Any]) -> str:
    """Say in a line how far off a segmentation is."""
    return page.sentence(summary)


def _agreement(
    counts: np.ndarray, near: list[dict[float, np.ndarray]], tolerances: Sequence[float], materials: Materials
) -> dict[str, Any]:
    names = [phase.name for phase in materials.phases]
    found = scores.overlap(counts)
    boundaries = {f"{t:g}": scores.f1(np.sum([one[t] for one in near], axis=0)) for t in tolerances}

    def named(values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(names, values, strict=True))

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    return {
        "accuracy": float(np.trace(counts) / counts.sum()),
        "dice": named(found["dice"]), "mean_dice": mean(found["dice"]),
        "iou": named(found["iou"]), "mean_iou": mean(found["iou"]),
        "confusion": {name: named(row.tolist()) for name, row in zip(names, counts, strict=True)},
        "boundary_f1": {t: named(values) for t, values in boundaries.items()},
        "mean_boundary_f1": {t: mean(values) for t, values in boundaries.items()},
    }  # fmt: skip


@contextmanager
def _predicted(path: str | Path) -> Iterator[tuple[GreyVolume, dict[str, Any]]]:
    """Open a prediction, with its slices called as those of its images, and what is known of it."""
    place, _ = split_inside(path)
    summary = (place.parent if place.name == VOLUME else place) / SUMMARY
    about: dict[str, Any] = {}
    if summary.is_file():
        try:
            about = json.loads(summary.read_text(encoding="utf-8"))
        except ValueError as error:
            message = f"{summary} is damaged ({error}); predict again"
            raise InputError(message) from error
    with volumes.opened(path) as volume:
        if volume.channels[0].dtype.kind not in "ui":
            found = volume.channels[0].dtype
            message = f"{path} holds {found} values; expected phases, as mode=predict writes them"
            raise InputError(message)
        named = about.get("slices")
        if isinstance(named, dict):
            numbers = np.linspace(named["first"], named["last"], volume.shape[0]).round().astype(int)
            yield replace(volume, numbers=tuple(numbers.tolist())), about
        else:
            yield volume, about


def _materials_of(about: Mapping[str, Any], path: Any) -> Any:
    if "materials" not in about:
        message = f"{path} does not say what its labels are; give materials=NAME"
        raise InputError(message)
    return about["materials"]


def _images_of(about: Mapping[str, Any]) -> list[str] | None:
    found = about.get("images") or []
    there = found and all(split_inside(str(name))[0].exists() for name in found)
    return [str(name) for name in found] if there else None


def _seen(annotation: Annotation, about: Mapping[str, Any]) -> list[str]:
    if _is_other_sample(about):
        return []
    told = []
    for what, key in (("was trained on", "trained_on"), ("was chosen by", "chosen_by")):
        if seen := sorted(set(annotation.numbers) & set(about.get(key) or ())):
            told.append(
                f"the network {what} slice {', '.join(map(str, seen))}: figures look better there than "
                "elsewhere"
            )
    return told


def _is_other_sample(about: Mapping[str, Any]) -> bool:
    """Whether the network was trained on other images than those of the prediction, as far as is known."""
    try:
        training = json.loads(Path(str(about.get("checkpoint"))).with_name(_TRAINING).read_text("utf-8"))
        known = [Path(str(name)) for name in training["images"]]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    given = [Path(str(name)) for name in about.get("images") or known]
    if all(path.exists() for path in given):
        return not {path.resolve() for path in given} & set(known)
    return not {path.name for path in given} & {path.name for path in known}


def _tolerances(given: Any) -> tuple[float, ...]:
    try:
        found = tuple(float(value) for value in given)
    except (TypeError, ValueError):
        found = ()
    if not found or not all(0 <= value < math.inf for value in found):
        message = f"tolerance is {given!r}; expected distances in voxels such as [1,2]"
        raise InputError(message)
    return found


def _pictures(
    runs: Sequence[Run], images: Any, channels: Sequence[int] | None, materials: Materials
) -> list[page.Picture]:
    """Return the slice with most errors, the one with fewest, and the median one."""
    del materials
    every = [(run, k) for run in runs for k in range(len(run.numbers))]
    wrong = [_errors(run.found[k], run.truth[k]) for run, k in every]
    order = np.argsort(wrong)[::-1]
    chosen = list(dict.fromkeys(int(order[at]) for at in (0, len(order) // 2, len(order) - 1)))[:_PICTURES]
    found = []
    for at in chosen:
        run, k = every[at]
        found.append(page.Picture(run.numbers[k], run.truth[k], run.found[k], wrong[at], ()))
    if images is None:
        return found
    with volumes.opened(images, channels) as grey:
        where = {number: z for z, number in enumerate(grey.numbers)}
        ascending = sorted(
            (k for k in range(len(found)) if found[k].number in where), key=lambda k: where[found[k].number]
        )
        for k in ascending:
            z = where[found[k].number]
            planes = grey.read(z, z + 1)[:, 0]
            if planes.shape[1:] == found[k].truth.shape:
                found[k] = replace(found[k], grey=tuple(planes))
    return found


def _errors(found: np.ndarray, truth: np.ndarray) -> float:
    known = truth != UNLABELLED
    return float((found != truth)[known].mean()) if known.any() else 0.0
