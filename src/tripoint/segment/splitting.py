"""Which annotated slices a network is trained on, and which choose its weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from tripoint.errors import InputError
from tripoint.segment.annotation import UNLABELLED, Annotation

log = logging.getLogger("tripoint")


def split(
    annotation: Annotation, validation: float | Sequence[int], context: int
) -> tuple[Annotation, Annotation | None]:
    """Return the slices of the training and those held out: one end of the volume, apart from the rest.

    Slices that the training sees as neighbours of its own would say little of others: annotated slices less
    than ``context`` + 1 away from those held out are left out of the training. Where a share is asked for of
    a single slice, or of slices too near each other to be parted so, the last rows are held out instead.

    Parameters
    ----------
    annotation : Annotation
    validation : float or sequence of int
        Share of the slices, taken from the end; or their numbers. 0 or none: all are trained on.
    context : int
        Neighbours on either side that the network sees.

    Raises
    ------
    InputError
        Numbers that are not annotated, all of them, or so that nothing is left to train on; a share that is
        none.
    """
    chosen = _chosen(annotation, validation)
    if not chosen:
        return annotation, None
    positions = np.array(annotation.positions)
    apart = np.abs(positions[:, None] - positions[chosen]).min(axis=1) > context
    rest = np.flatnonzero(apart)
    training = annotation.take(rest)
    if isinstance(validation, int | float):
        if not len(rest) or _phases(training) < _phases(annotation):
            return _by_rows(annotation, validation)
    elif not len(rest):
        message = (
            f"validation is {list(validation)}, and all other annotated slices lie within train.context="
            f"{context} of it, so that none is left to train on; annotate slices further away, or set "
            "train.context=0"
        )
        raise InputError(message)
    left_out = len(annotation) - len(rest) - len(chosen)
    if left_out:
        log.info("%d annotated slices beside those of the validation are not trained on", left_out)
    return training, annotation.take(chosen)


def _chosen(annotation: Annotation, validation: float | Sequence[int]) -> list[int]:
    """Return which of the slices are to be held out."""
    if isinstance(validation, int | float):
        if isinstance(validation, bool) or not 0 <= validation < 1:
            message = f"validation is {validation!r}; expected a share of 0 to 1, or the numbers of slices"
            raise InputError(message)
        held = max(1, round(validation * len(annotation))) if validation else 0
        return list(range(len(annotation) - held, len(annotation)))
    wrong = len(set(validation)) < len(validation) or not set(validation) < set(annotation.numbers)
    if wrong:
        message = (
            f"validation is {list(validation)}; expected some of the annotated slices "
            f"{', '.join(map(str, annotation.numbers))}, and not all of them"
        )
        raise InputError(message)
    return sorted(annotation.numbers.index(number) for number in validation)


def _by_rows(annotation: Annotation, share: float) -> tuple[Annotation, Annotation | None]:
    """Hold out the last rows of every slice, behind a gap."""
    rows = annotation.classes.shape[1]
    cut = rows - max(16, round(share * rows))
    above, below = annotation.classes.copy(), annotation.classes.copy()
    above[:, max(cut - 8, 1) :] = UNLABELLED
    below[:, : max(cut, 0)] = UNLABELLED
    training = Annotation(annotation.numbers, annotation.positions, above)
    held = Annotation(annotation.numbers, annotation.positions, below)
    if cut < rows // 2 or _phases(training) < _phases(annotation) or not _phases(held):
        log.warning(
            "warning: nothing is held out, so that nobody knows how good the network is elsewhere: %s of %d "
            "rows hold too little to part them; annotate another slice further away",
            "one annotated slice" if len(annotation) == 1 else f"{len(annotation)} annotated slices", rows,
        )  # fmt: skip
        return annotation, None
    log.info(
        "the annotated slices are too few or too near each other to hold some out; rows from %d on are", cut
    )
    return training, held


def _phases(annotation: Annotation) -> int:
    return len(set(np.unique(annotation.classes).tolist()) - {UNLABELLED})
