"""Slices whose phases somebody has drawn, with the grey values that belong to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.io.formats import find_opener, split_inside
from tripoint.io.slices import read_slice
from tripoint.io.stored import Choice
from tripoint.materials import Materials
from tripoint.segment.pairing import drawn_numbers, listed, paired_files
from tripoint.segment.volumes import GreyVolume

UNLABELLED = 255
"""Class of pixels that nobody has labelled; others are positions among the phases of the materials."""


@dataclass(frozen=True)
class Annotation:
    """Annotated slices of a grey volume.

    Parameters
    ----------
    numbers : tuple of int
        What the slices are called; see `GreyVolume.numbers`.
    positions : tuple of int
        Where they lie along z, ascending.
    classes : (slices, y, x) uint8
        Position of each pixel's phase among the materials, or `UNLABELLED`.
    """

    numbers: tuple[int, ...]
    positions: tuple[int, ...]
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, chosen: Iterable[int]) -> Annotation:
        """Return some of the slices, by their order."""
        rows = list(chosen)
        return replace(
            self,
            numbers=tuple(self.numbers[k] for k in rows),
            positions=tuple(self.positions[k] for k in rows),
            classes=self.classes[rows],
        )


def read_annotation(
    grey: GreyVolume,
    labels: str | Path,
    materials: Materials,
    *,
    slices: Sequence[int] | None = None,
    unlabelled: int | str | None = "auto",
    mask: str | Path | None = None,
) -> Annotation:
    """Read which phases somebody has drawn into a grey volume.

    Parameters
    ----------
    grey : GreyVolume
    labels : path
        A folder of slices, which are found by the numbers in their names (`pairing.paired_files`); another
        volume of the same shape; or one of nothing but the annotated ``slices``, in order.
    materials : Materials
        What each label is.
    slices : sequence of int, optional
        Which slices are annotated, by the numbers of the grey volume's. By default all that the labels have.
    unlabelled : int, "auto" or None
        Label of pixels that nobody has labelled, any integer that is no phase's: by default 255, where the
        materials have no such label.
    mask : path, optional
        A volume as the labels, 0 where nobody has labelled.

    Raises
    ------
    InputError
        Another shape than the grey volume's; slices that are not there, or whose numbers the grey volume
        does not have; nothing annotated; one phase only.
    MaterialsError
        A label that the materials do not name.
    """
    blank = _blank(unlabelled, materials)
    files = paired_files(grey, labels)
    masks = {} if mask is None else paired_files(grey, mask)
    names = _names(grey, labels, files, slices)
    classes = []
    with _planes(grey, labels, files, slices) as read, _planes(grey, mask, masks, slices) as drawn:
        for name in names:
            found = _classes(read(name), materials, blank, name, labels)
            if mask is not None:
                found = np.where(drawn(name) != 0, found, np.uint8(UNLABELLED))
            classes.append(found)
    where = {number: k for k, number in enumerate(grey.numbers)}
    whole = Annotation(tuple(names), tuple(where[name] for name in names), np.stack(classes))
    annotated = whole.take(np.flatnonzero((whole.classes != UNLABELLED).any(axis=(1, 2))))
    _check_phases(annotated, materials, labels)
    return annotated


def _blank(unlabelled: int | str | None, materials: Materials) -> int | None:
    if unlabelled == "auto":
        return None if UNLABELLED in materials.labels else UNLABELLED
    if unlabelled is None:
        return None
    if not isinstance(unlabelled, int) or isinstance(unlabelled, bool) or unlabelled in materials.labels:
        message = (
            f"unlabelled is {unlabelled!r}; expected a label that is no phase's, or null where all is "
            "labelled "
            f"(the materials have {', '.join(map(str, materials.labels))})"
        )
        raise InputError(message)
    return unlabelled


def _names(
    grey: GreyVolume, labels: str | Path, files: dict[int, Path], slices: Sequence[int] | None
) -> list[int]:
    """Return the annotated slices by their numbers, ascending."""
    if slices is None:
        return drawn_numbers(grey, labels, files) if files else list(grey.numbers)
    wrong = [number for number in slices if number not in grey.numbers]
    if wrong or not slices or len(set(slices)) < len(slices):
        message = (
            f"slices is {list(slices)!r}; expected different numbers from {grey.numbers[0]} to "
            f"{grey.numbers[-1]}, "
            f"which {grey.names[0]} has"
        )
        raise InputError(message)
    return sorted(slices)


@contextmanager
def _planes(
    grey: GreyVolume, path: str | Path | None, files: dict[int, Path], slices: Sequence[int] | None
) -> Iterator[Any]:
    """Give what reads the plane that belongs to a slice of the grey volume."""
    if path is None:
        yield None
        return
    if files:

        def from_file(number: int) -> np.ndarray:
            if number not in files:
                message = (
                    f"{path} has no slice {number}; the numbers in its files' names are "
                    f"{listed(list(files))}, expected there those of the images' slices"
                )
                raise InputError(message)
            return _fitting(read_slice(files[number]), grey, path)

        yield from_file
        return
    place, inner = split_inside(path)
    opener, _ = find_opener(place)
    with opener(place, Choice(inner)) as stored:
        depth, ordered = stored.shape[0], list(slices or ())
        if len(stored.shape) != 3 or (depth != grey.shape[0] and depth != len(ordered)):
            message = (
                f"{path} has the shape {tuple(stored.shape)} and {grey.names[0]} {grey.shape}; expected "
                "labels of the "
                "same shape, or of nothing but the annotated slices, then say which these are with slices=[…]"
            )
            raise InputError(message)
        if depth != grey.shape[0] and ordered != sorted(ordered):
            message = (
                f"slices is {ordered}, and {path} holds nothing but these; expected them ascending, as they "
                "follow each other there"
            )
            raise InputError(message)
        rows = grey.numbers if depth == grey.shape[0] else ordered
        where = {number: k for k, number in enumerate(rows)}

        def from_volume(number: int) -> np.ndarray:
            k = where[number]
            box = (slice(k, k + 1), slice(0, stored.shape[1]), slice(0, stored.shape[2]))
            return _fitting(stored.read(box)[0], grey, path)

        yield from_volume


def _fitting(plane: np.ndarray, grey: GreyVolume, path: str | Path) -> np.ndarray:
    if plane.shape != grey.shape[1:]:
        message = (
            f"a slice of {path} has {plane.shape[0]} × {plane.shape[1]} pixels, and one of {grey.names[0]} "
            f"{grey.shape[1]} × {grey.shape[2]}; expected images and labels of the same shape"
        )
        raise InputError(message)
    if plane.dtype.kind not in "uib":
        message = f"{path} holds {plane.dtype} values; expected integer labels"
        raise InputError(message)
    return plane


def _classes(
    plane: np.ndarray, materials: Materials, blank: int | None, number: int, path: Any
) -> np.ndarray:
    """Return the position of each pixel's phase, or refuse labels that nobody knows."""
    named = [*materials.labels, *([] if blank is None else [blank])]
    foreign = [int(value) for value in np.unique(plane) if int(value) not in named]
    if foreign:
        phases = ", ".join(f"{phase.label} {phase.name}" for phase in materials.phases)
        rest = "" if blank is None else f", and {blank} for what is not labelled"
        message = (
            f"slice {number} of {path} holds the label {foreign[0]}, which the materials do not name; they "
            f"have {phases}{rest}; set materials, or unlabelled={foreign[0]} if it marks what is not labelled"
        )
        raise InputError(message)
    found = np.full(plane.shape, UNLABELLED, np.uint8)
    for position, label in enumerate(materials.labels):
        found[plane == label] = position
    return found


def _check_phases(annotated: Annotation, materials: Materials, path: Any) -> None:
    if not len(annotated):
        message = f"nothing is labelled in {path}: all pixels of the slices are unlabelled; annotate some"
        raise InputError(message)
    present = np.unique(annotated.classes)
    present = present[present != UNLABELLED]
    if len(present) < 2:
        name = materials.phases[int(present[0])].name
        message = f"only {name} is labelled in {path}; expected two phases or more, annotate others too"
        raise InputError(message)
