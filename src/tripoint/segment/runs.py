"""Annotated slices that follow each other, as they were segmented and as they were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from tripoint import films
from tripoint.errors import InputError
from tripoint.materials import Materials
from tripoint.sample import Spacing
from tripoint.segment import structure
from tripoint.segment.annotation import UNLABELLED, Annotation
from tripoint.segment.volumes import GreyVolume

_WHOLE = 0.99
"""Share of a box that is annotated from which on it is taken for whole."""


@dataclass(frozen=True)
class Run:
    """Annotated slices that follow each other.

    Parameters
    ----------
    numbers : tuple of int
        What the slices are called.
    found, truth : (slices, y, x) uint8
        Positions among the phases; in ``truth`` `UNLABELLED` where nobody has drawn.
    """

    numbers: tuple[int, ...]
    found: np.ndarray
    truth: np.ndarray

    @classmethod
    def of(cls, volume: GreyVolume, annotation: Annotation, rows: range, materials: Materials) -> Run:
        """Read the prediction of some slices, by their rows in the annotation.

        Raises
        ------
        InputError
            A label in the prediction that the materials do not name.
        """
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

    @property
    def annotated(self) -> int:
        """Voxels that somebody has labelled."""
        return int(np.count_nonzero(self.truth != UNLABELLED))

    @property
    def share(self) -> float:
        """Share of the smallest box about the annotated voxels that is annotated."""
        return self.annotated / self.truth[self._box].size

    def structure(self, spacing: Spacing, materials: Materials) -> dict[str, Any]:
        """Measure both in the box of what is annotated; what nobody has labelled is of no phase in either."""
        found, truth = self._labelled(materials)
        measured = [structure.measure(side, spacing, materials) for side in (found, truth)]
        return {
            "slices": [self.numbers[0], self.numbers[-1]], "annotated_share": self.share,
            "box": [[side.start, side.stop] for side in self._box[1:]], "predicted": measured[0],
            "annotated": measured[1], "error": structure.compare(*measured),
        }  # fmt: skip

    def warnings(self, materials: Materials) -> list[str]:
        """Say which phases form films that nobody has drawn, and whether structure is cut to pieces."""
        found, truth = (films.scan(side, materials.labels) for side in self._labelled(materials))
        told = found.warnings(materials, known=truth)
        if len(self.numbers) > 1 and self.share < _WHOLE:
            told.append(
                f"only {self.share:.1%} of the box that is measured is annotated; the rest cuts phases "
                "apart, in the prediction as in what was drawn, so that spanning fractions, areas and "
                "triple-phase boundaries are those of a cut-out; annotate a whole rectangle of the slices"
            )
        return told

    @cached_property
    def _box(self) -> tuple[slice, slice, slice]:
        known = self.truth != UNLABELLED
        sides = [np.flatnonzero(known.any(axis=axes)) for axes in ((0, 2), (0, 1))]
        rows, columns = (slice(int(side[0]), int(side[-1]) + 1) for side in sides)
        return slice(None), rows, columns

    def _labelled(self, materials: Materials) -> tuple[np.ndarray, np.ndarray]:
        table = np.zeros(256, np.uint8)
        table[: len(materials.labels)] = materials.labels
        table[UNLABELLED] = next(label for label in range(256) if label not in materials.labels)
        truth = self.truth[self._box]
        found = np.where(truth == UNLABELLED, np.uint8(UNLABELLED), self.found[self._box])
        return table[found], table[truth]


def runs_of(positions: Sequence[int]) -> list[range]:
    """Return which rows follow each other along z."""
    starts = [
        0,
        *(k for k in range(1, len(positions)) if positions[k] != positions[k - 1] + 1),
        len(positions),
    ]
    return [range(a, b) for a, b in pairwise(starts)]
