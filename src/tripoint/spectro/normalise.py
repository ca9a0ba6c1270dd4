"""Pre-edge and post-edge: spectra without their background, with an edge step of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tripoint.errors import InputError


@dataclass(frozen=True)
class Normalisation:
    """How spectra are normalised: a line before the edge is subtracted, the step at the edge is one.

        µ'(E) = (µ(E) − pre(E)) / (post(E₀) − pre(E₀))

    with ``pre`` a straight line and ``post`` a polynomial, fitted by least squares; flattened, what ``post``
    does beyond the edge is subtracted too, so that spectra end at one (Ravel & Newville 2005).

    Parameters
    ----------
    edge : float
        E₀ of the element, eV: where the step is taken. One for all voxels.
    pre, post : (from, to)
        Energies of the two fits, eV.
    degree : {0, 1, 2}
        Of ``post``.
    flatten : bool
    """

    edge: float
    pre: tuple[float, float]
    post: tuple[float, float]
    degree: int = 1
    flatten: bool = False

    def operators(self, energies: np.ndarray) -> Operators:
        """Return what makes normalised spectra of spectra of these energies.

        Raises
        ------
        InputError
            Fewer energies in a range than its polynomial takes, ranges that are not on their side of the
            edge.
        """
        if self.degree not in (0, 1, 2) or isinstance(self.degree, bool):
            message = f"the post-edge's degree is {self.degree!r}; choose 0, 1 or 2"
            raise InputError(message)
        if not self.pre[0] < self.pre[1] <= self.edge <= self.post[0] < self.post[1]:
            message = (
                f"the pre-edge {list(self.pre)} and the post-edge {list(self.post)} do not lie before and "
                f"behind the edge at {self.edge:g} eV; give each as [from,to] in eV"
            )
            raise InputError(message)
        # Relative to the edge and in its neighbourhood's scale the polynomials are well conditioned.
        scale = max(energies[-1] - self.edge, self.edge - energies[0])
        x = (energies - self.edge) / scale
        pre = _fit(x, energies, self.pre, 1, "pre-edge")
        post = _fit(x, energies, self.post, self.degree, "post-edge")
        step = post[0] - pre[0]
        line = np.vander(x, 2, increasing=True)
        if not self.flatten:
            return Operators(line, pre, step)
        # Beyond the edge it is post − pre − step that bends; pre itself is subtracted everywhere.
        behind = np.where(x >= 0, 1.0, 0.0)[:, None]
        curve = np.vander(x, self.degree + 1, increasing=True)
        shapes = np.hstack([line * (1 - behind), curve * behind, -behind])
        return Operators(shapes, np.vstack([pre, post, step]), step)


@dataclass(frozen=True, eq=False)
class Operators:
    """A normalisation at given energies: µ' = (µ − shapes · fits µ) / (step · µ).

    All of it is linear in µ, so that a mixture's is the mixture of its parts', weighted by their steps.

    Parameters
    ----------
    shapes : (e, r) float64
        What the background is made of.
    fits : (r, e) float64
        What gives how much of each a spectrum holds.
    step : (e,) float64
        What gives the edge step.
    """

    shapes: np.ndarray
    fits: np.ndarray
    step: np.ndarray

    @property
    def background(self) -> np.ndarray:
        """What takes the background away, (e, e)."""
        return np.eye(len(self.step)) - self.shapes @ self.fits

    def apply(self, xp: Any, spectra: Any, least_step: float = 0.0) -> tuple[Any, Any]:
        """Return normalised spectra and edge steps; spectra without a step are NaN.

        Parameters
        ----------
        xp : module
        spectra : (e, n) float64
        least_step : float
            Smaller steps, and those that are not positive, are no edge.

        Returns
        -------
        (e, n) and (n,) float64
        """
        steps = xp.dot(xp.asarray(self.step), spectra)
        there = (steps > 0) & (steps >= least_step)
        shapes, held = xp.asarray(self.shapes), xp.dot(xp.asarray(self.fits), spectra)
        result = spectra.copy()
        for k in range(len(self.fits)):
            result -= shapes[:, k, None] * held[k]
        result /= xp.where(there, steps, xp.nan)
        return result, steps


def _fit(x: np.ndarray, energies: np.ndarray, window: Sequence[float], degree: int, what: str) -> np.ndarray:
    """Return what makes the coefficients of a polynomial of a spectrum, (degree + 1, e)."""
    inside = (energies >= window[0]) & (energies <= window[1])
    if inside.sum() <= degree:
        message = (
            f"the {what} [{window[0]:g}, {window[1]:g}] eV holds {inside.sum()} of the energies; a "
            f"polynomial of degree {degree} takes at least {degree + 1}, widen it"
        )
        raise InputError(message)
    result = np.zeros((degree + 1, len(x)))
    result[:, inside] = np.linalg.pinv(np.vander(x[inside], degree + 1, increasing=True))
    return result
