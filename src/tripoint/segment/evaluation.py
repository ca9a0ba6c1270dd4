"""A segmentation beside what somebody has drawn: voxels, boundaries, and what is measured on them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tripoint import films
from tripoint._version import __version__
from tripoint.errors import InputError
from tripoint.io.folder import check_output, result_folder
from tripoint.io.formats import split_inside
from tripoint.io.tables import plain
from tripoint.materials import Materials
from tripoint.record import Progress
from tripoint.report import segmentation as page
from tripoint.sample import Spacing
from tripoint.segment import scores, structure, volumes
from tripoint.segment.annotation import UNLABELLED, Annotation, read_annotation
from tripoint.segment.prediction import SUMMARY
from tripoint.segment.volumes import GreyVolume

REPORT = "report.html"
_PICTURES = 3


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
    ``tripoint analyze``, on the longest run of annotated slices, of both.

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
    About 40 bytes per voxel of the longest run of annotated slices.
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
        runs = [_Run.of(volume, annotation, rows, phases) for rows in _runs(annotation.positions)]
    tell(1)
    counts = sum(scores.confusion(run.found, run.truth, len(phases.phases)) for run in runs)
    near = [scores.boundary_counts(run.found, run.truth, len(phases.phases), tolerances) for run in runs]
    tell(2)
    longest = max(runs, key=lambda run: len(run.numbers))
    summary = {
        "schema": 1, "tripoint": __version__, "task": "segment", "mode": "evaluate",
        "name": about.get("name") or Path(prediction).stem,
        "prediction": str(prediction), "labels": str(labels),
        "slices": list(annotation.numbers), "voxels": int(np.sum(counts)), "spacing": voxel,
        "materials": phases.to_mapping(), "trained_on": about.get("trained_on"),
        **_agreement(np.asarray(counts), near, tolerances, phases),
        "structure": longest.structure(voxel, phases) if len(longest.numbers) > 1 else None,
        "warnings": longest.warnings(phases) + _seen(annotation, about),
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


@dataclass(frozen=True)
class _Run:
    """Annotated slices that follow each other: positions among the phases, found and true."""

    numbers: tuple[int, ...]
    found: np.ndarray
    truth: np.ndarray

    @classmethod
    def of(cls, volume: GreyVolume, annotation: Annotation, rows: range, materials: Materials) -> _Run:
        z = annotation.positions[rows.start]
        stored = volume.channels[0]
        box = (slice(z, z + len(rows)), slice(0, volume.shape[1]), slice(0, volume.shape[2]))
        labels = np.asarray(stored.read(box))
        table = np.full(256, UNLABELLED, np.uint8)
        table[list(materials.labels)] = np.arange(len(materials.labels))
        inside = (labels >= 0) & (labels <= UNLABELLED)
        found = np.where(inside, table[labels.astype(np.uint8)], UNLABELLED).astype(np.uint8)
        truth = annotation.classes[rows.start : rows.stop]
        foreign = np.unique(labels[(found == UNLABELLED) & (truth != UNLABELLED)])
        if len(foreign):
            message = (
                f"the prediction holds the label {int(foreign[0])} in slices "
                f"{annotation.numbers[rows.start]} to "
                f"{annotation.numbers[rows.stop - 1]}, which the materials do not name; set materials"
            )
            raise InputError(message)
        return cls(annotation.numbers[rows.start : rows.stop], found, truth)

    def structure(self, spacing: Spacing, materials: Materials) -> dict[str, Any]:
        """Measure both; what nobody has labelled is of no phase in either."""
        found, truth = self._labelled(materials)
        measured = [structure.measure(side, spacing, materials) for side in (found, truth)]
        return {
            "slices": [self.numbers[0], self.numbers[-1]], "predicted": measured[0], "annotated": measured[1],
            "error": structure.compare(*measured),
        }  # fmt: skip

    def warnings(self, materials: Materials) -> list[str]:
        """Say which phases form films in the prediction that nobody has drawn."""
        found, truth = (films.scan(side, materials.labels) for side in self._labelled(materials))
        return found.warnings(materials, known=truth)

    def _labelled(self, materials: Materials) -> tuple[np.ndarray, np.ndarray]:
        table = np.zeros(256, np.uint8)
        table[: len(materials.labels)] = materials.labels
        table[UNLABELLED] = next(label for label in range(256) if label not in materials.labels)
        found = np.where(self.truth == UNLABELLED, np.uint8(UNLABELLED), self.found)
        return table[found], table[self.truth]


def _agreement(
    counts: np.ndarray, near: list[dict[float, np.ndarray]], tolerances: Sequence[float], materials: Materials
) -> dict[str, Any]:
    names = [phase.name for phase in materials.phases]
    found = scores.overlap(counts)
    boundaries = {f"{t:g}": scores.f1(np.sum([one[t] for one in near], axis=0)) for t in tolerances}

    def named(values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(names, values, strict=True))

    def mean(values: Sequence[float | None]) -> float:
        return float(np.mean([value for value in values if value is not None]))

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
    summary = Path(path) / SUMMARY
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
    seen = sorted(set(annotation.numbers) & set(about.get("trained_on") or ()))
    if not seen:
        return []
    return [
        f"the network was trained on slice {', '.join(map(str, seen))}: figures look better there than "
        "elsewhere"
    ]


def _runs(positions: Sequence[int]) -> list[range]:
    """Return which rows follow each other along z."""
    starts = [
        0,
        *(k for k in range(1, len(positions)) if positions[k] != positions[k - 1] + 1),
        len(positions),
    ]
    return [range(a, b) for a, b in pairwise(starts)]


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
    runs: Sequence[_Run], images: Any, channels: Sequence[int] | None, materials: Materials
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
