"""An analysis repeated on draws from the probabilities of phases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tripoint.errors import InputError
from tripoint.io.tables import plain
from tripoint.islands import remove_islands
from tripoint.record import Progress
from tripoint.result import Result
from tripoint.sample import Sample
from tripoint.uncertainty.drawing import Probabilities, draw
from tripoint.uncertainty.spread import figures, intervals

VOXELS = 24.0
"""Correlation length where none is given, in voxels, along the axis on which they are largest.

Networks err alike over more than blur does.
"""

LEAST = 2


def repeat(
    result: Result,
    probabilities: Probabilities,
    draws: int,
    analyze: Callable[[Sample], Result],
    *,
    correlation: float | None = None,
    least: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Result:
    """Analyse draws from the probabilities of phases, and put the intervals of its figures into a result.

    Parameters
    ----------
    result : Result
        Of the likeliest phases.
    probabilities : Probabilities
        On the grid of its sample.
    draws : int
        At least 2; 20 give the s.d. to 16 %.
    analyze : callable
        Makes a result of a sample, as `pipeline.analyze` with the settings of the result does.
    correlation : float, optional
        Over how far voxels share what is unknown of them (`drawing.draw`), µm; by default 24 voxels
        of the largest side.
    least : int, optional
        Voxels that a piece of a phase has to have to stay in a draw; smaller ones go to what surrounds them,
        as they did when the phases were cleaned (`islands.remove_islands`, `reading.least_voxels`). Draws of
        phases that were cleaned and they not would differ by all that went. By default none go.
    seed : int
    progress : callable, optional
        Told ``(step, done, total)``.

    Returns
    -------
    Result
        ``summary["uncertainty"]`` holds ``draws``, ``correlation`` (µm), ``temperature``, ``least_voxels``
        (None where draws are not cleaned), ``seed`` and ``figures``, the rows of `spread.intervals`.

    Raises
    ------
    InputError
        Too few draws, probabilities on another grid or of other phases, or that do not belong to the phases;
        a least size that is no number of voxels.

    Notes
    -----
    One draw is in memory at a time, beside the result, and all that an analysis takes. Of a part (``roi``) of
    a cleaned volume, pieces are cut at its faces before they are counted, in draws only.
    """
    sample = result.sample
    check(sample, probabilities, draws)
    if least is not None and (isinstance(least, bool) or not isinstance(least, int) or least < 0):
        message = f"least is {least!r}; expected voxels, a whole number such as 8, or None to keep all"
        raise InputError(message)
    length = VOXELS * max(sample.spacing) if correlation is None else float(correlation)
    drawn = []
    for number in range(draws):
        if progress is not None:
            progress("draws", number, draws)
        phases = draw(probabilities, sample.spacing, length, (seed, number))
        if least is not None:
            remove_islands(phases, least)
        again = analyze(replace(sample, phases=phases, channels={}))
        drawn.append(figures(again.summary))
    if progress is not None:
        progress("draws", draws, draws)
    table = intervals(drawn, figures(result.summary))
    told = {
        "draws": draws,
        "correlation": length,
        "temperature": float(probabilities.temperature),
        "least_voxels": least,
        "seed": seed,
        "figures": table.to_dict("records"),
    }
    return replace(result, summary={**result.summary, "uncertainty": plain(told)})


def check(sample: Sample, probabilities: Probabilities, draws: int) -> None:
    """Look whether draws can be made of a sample.

    Raises
    ------
    InputError
        As of `repeat`.
    """
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < LEAST:
        message = (
            f"uncertainty is {draws!r}; expected a whole number of draws, {LEAST} or more, for example 20"
        )
        raise InputError(message)
    if probabilities.shape != sample.shape:
        message = (
            f"the probabilities are of {probabilities.shape} voxels and the phases of {sample.shape}; take "
            "both from the same segmentation, without roi"
        )
        raise InputError(message)
    known = {phase.label for phase in sample.materials.phases}
    other = sorted(set(probabilities.labels) - known)
    if other:
        message = (
            f"the probabilities are of the labels {other}, which the materials do not name: {sorted(known)}"
        )
        raise InputError(message)
    middle = sample.shape[0] // 2
    likeliest = np.asarray(probabilities.labels)[probabilities.slab(middle, middle + 1).argmax(axis=0)]
    phases = sample.to("cpu", channels=False).phases[middle : middle + 1]
    agree = float((likeliest == phases).mean())
    if agree < 0.9:
        message = (
            f"in the middle slice the likeliest phase is that of the volume in {agree:.0%} of the voxels "
            "only; take phases and probabilities from the same segmentation"
        )
        raise InputError(message)
