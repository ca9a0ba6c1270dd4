"""Volumes drawn from the probabilities of phases that a segmentation gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from tripoint.errors import InputError
from tripoint.sample import Spacing
from tripoint.uncertainty.fields import Fields

SLAB = 32
"""Slices that are drawn together."""

_TINY = 1e-7


@dataclass(frozen=True)
class Probabilities:
    """Probability of each phase in each voxel.

    Parameters
    ----------
    values : (phases, z, y, x) array
        uint8, of 255, or float, of 1; anything that is read by slices, as a Zarr array is.
    labels : sequence of int
        Label of each phase, in the order of the first axis.
    temperature : float
        What is drawn from is p^(1 / temperature), made to sum to 1: below 1 surer than the values are, above
        less sure.

    Raises
    ------
    InputError
        Not four axes, another number of phases than labels, a type that holds no probabilities, a temperature
        of 0 or below.
    """

    values: Any
    labels: Sequence[int]
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Check what can be seen without reading."""
        shape, kind = tuple(self.values.shape), np.dtype(self.values.dtype)
        if len(shape) != 4 or shape[0] != len(self.labels):
            message = (
                f"probabilities have shape {shape}; expected (phases, z, y, x) with the "
                f"{len(self.labels)} phases {list(self.labels)}"
            )
            raise InputError(message)
        if kind != np.uint8 and kind.kind != "f":
            message = f"probabilities are {kind}; expected uint8, of 255, or floating point, of 1"
            raise InputError(message)
        heat = self.temperature
        if isinstance(heat, bool) or not isinstance(heat, int | float) or not 0 < heat < np.inf:
            message = (
                f"the temperature is {heat!r}; expected a number above 0, 1 for probabilities as they are"
            )
            raise InputError(message)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y and x."""
        z, y, x = self.values.shape[1:]
        return (z, y, x)

    def slab(self, first: int, last: int) -> np.ndarray:
        """Return some slices as float32, of 1.

        Raises
        ------
        InputError
            Values that are no probabilities.
        """
        part = np.asarray(self.values[:, first:last])
        found = part.astype(np.float32)
        if part.dtype == np.uint8:
            found /= 255
        low, high = float(found.min()), float(found.max())
        if not (low >= 0 and high <= 1.001):
            message = (
                f"probabilities lie between {low:g} and {high:g} in slices {first} to {last}; expected "
                "numbers from 0 to 1, or uint8 from 0 to 255"
            )
            raise InputError(message)
        return found


def draw(
    probabilities: Probabilities, spacing: Spacing, correlation: float, seed: Sequence[int]
) -> np.ndarray:
    r"""Draw a volume in which each voxel has each phase with its probability, and neighbours agree.

    .. math:: \mathrm{phase}(x) = \arg\max_k \left[\tfrac{1}{T} \ln p_k(x) + G_k(x)\right], \qquad
              G_k = -\ln(-\ln \Phi(n_k))

    G is Gumbel noise, with which the maximum takes phase k with a probability of p_k (at the temperature T
    of 1) exactly (Gumbel 1954), and Φ the normal distribution of Gaussian random fields n_k of unit variance,
    one per phase (`fields.Fields`). Neighbouring voxels share what is unknown of them, blur and noise of the
    same place, so n is smooth: its autocorrelation is exp(−(r / 2ℓ)²) over a distance r. Voxels drawn
    each for itself would make of every interface a froth, with far more boundary than any volume that the
    segmentation thinks possible.

    Parameters
    ----------
    probabilities : Probabilities
    spacing : (z, y, x)
        Voxel size, µm.
    correlation : float
        ℓ, µm; 0 for voxels on their own.
    seed : sequence of int
        The same draw each time, whatever the size of slabs.

    Returns
    -------
    (z, y, x) uint8
        Labels.

    Raises
    ------
    InputError
        A correlation that is no length, values that are no probabilities.

    Notes
    -----
    1 byte per voxel for the result; by slabs of 32 slices, whose voxels take 5 bytes per phase and
    some 30.
    """
    if not (np.isfinite(correlation) and correlation >= 0):
        message = f"the correlation length is {correlation!r}; expected micrometres, 0 or more"
        raise InputError(message)
    labels = np.asarray(probabilities.labels, np.uint8)
    phases = np.empty(probabilities.shape, np.uint8)
    fields = Fields(probabilities.shape, [correlation / one for one in spacing], seed)
    for first in range(0, len(phases), SLAB):
        last = min(first + SLAB, len(phases))
        known = probabilities.slab(first, last)
        which = known.argmax(axis=0).astype(np.uint8)
        # Where one phase alone is possible nothing is drawn, and that is most of a volume.
        several = np.count_nonzero(known, axis=0) > 1
        best = np.full(int(several.sum()), -np.inf, np.float32)
        drawn = np.zeros(len(best), np.uint8)
        for number, share in enumerate(known):
            with np.errstate(divide="ignore"):
                sure = np.log(share[several]) / np.float32(probabilities.temperature)
            score = sure + _gumbel(fields.slab(number, first, last)[several])
            better = score > best
            best[better], drawn[better] = score[better], number
        which[several] = drawn
        phases[first:last] = labels[which]
    return phases


def _gumbel(field: np.ndarray) -> np.ndarray:
    uniform = np.clip(special.ndtr(field), _TINY, 1 - _TINY)
    found: np.ndarray = -np.log(-np.log(uniform))
    return found
