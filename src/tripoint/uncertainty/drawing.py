"""Volumes drawn from the probabilities of phases that a segmentation gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage, special

from tripoint.errors import InputError
from tripoint.sample import Spacing

SLAB = 32
"""Slices that are drawn together."""

REACH = 4.0
"""Standard deviations after which the kernel of the noise ends."""

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

    Raises
    ------
    InputError
        Not four axes, another number of phases than labels, or a type that holds no probabilities.
    """

    values: Any
    labels: Sequence[int]

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

    .. math:: \mathrm{phase}(x) = \arg\max_k \left[\ln p_k(x) + G_k(x)\right], \qquad
              G_k = -\ln(-\ln \Phi(n_k))

    G is Gumbel noise, with which the maximum takes phase k with probability p_k exactly (Gumbel 1954), and Φ
    the normal distribution of Gaussian random fields n_k of unit variance, one per phase. Neighbouring voxels
    share what is unknown of them, blur and noise of the same place, so n is smooth: its autocorrelation is
    exp(−(r / 2ℓ)²) over a distance r. Voxels drawn each for itself would make of every interface a
    froth, with far more boundary than any volume that the segmentation thinks possible.

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
    1 byte per voxel for the result; by slabs of 32 slices, whose voxels take 4 bytes per phase and some 30.
    """
    if not (np.isfinite(correlation) and correlation >= 0):
        message = f"the correlation length is {correlation!r}; expected micrometres, 0 or more"
        raise InputError(message)
    labels = np.asarray(probabilities.labels, np.uint8)
    phases = np.empty(probabilities.shape, np.uint8)
    width = [correlation / one for one in spacing]
    for first in range(0, len(phases), SLAB):
        last = min(first + SLAB, len(phases))
        known = probabilities.slab(first, last)
        best = np.full(known.shape[1:], -np.inf, np.float32)
        which = np.zeros(best.shape, np.uint8)
        for number, field in enumerate(_fields(len(labels), first, last, phases.shape, width, seed)):
            with np.errstate(divide="ignore"):
                score = np.log(known[number]) + _gumbel(field)
            better = score > best
            best[better], which[better] = score[better], number
        phases[first:last] = labels[which]
    return phases


def _fields(
    count: int,
    first: int,
    last: int,
    shape: tuple[int, ...],
    width: Sequence[float],
    seed: Sequence[int],
) -> Iterator[np.ndarray]:
    """Go through smooth Gaussian fields of unit variance, in these slices of volumes of this shape."""
    halo = int(REACH * width[0] + 0.5)
    norm = np.prod([_norm(one) for one in width])
    for number in range(count):
        white = np.stack(
            [
                np.random.default_rng([*seed, number, z + halo]).standard_normal(shape[1:], np.float32)
                for z in range(first - halo, last + halo)
            ]
        )
        for axis, one in enumerate(width):
            if one > 0:
                mode = "constant" if axis == 0 else "wrap"
                white = ndimage.gaussian_filter1d(white, one, axis=axis, mode=mode, truncate=REACH)
        yield white[halo : halo + last - first] / np.float32(norm)


def _norm(width: float) -> float:
    """Return the s.d. that a Gaussian filter leaves of white noise, by its own kernel."""
    if width <= 0:
        return 1.0
    reach = int(REACH * width + 0.5)
    impulse = np.zeros(2 * reach + 1)
    impulse[reach] = 1
    kernel = ndimage.gaussian_filter1d(impulse, width, mode="constant", truncate=REACH)
    return float(np.sqrt((kernel**2).sum()))


def _gumbel(field: np.ndarray) -> np.ndarray:
    uniform = np.clip(special.ndtr(field), _TINY, 1 - _TINY)
    found: np.ndarray = -np.log(-np.log(uniform))
    return found
