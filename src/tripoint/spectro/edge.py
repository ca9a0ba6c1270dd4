"""Where the edge is: the top of the white line, or half-way up, by a parabola through a few energies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tripoint.errors import InputError


@dataclass(frozen=True)
class EdgePosition:
    """How the edge position is found, voxel by voxel.

    Parameters
    ----------
    method : {"white_line", "half_edge"}
        ``white_line``: the vertex of the parabola through the energies around the largest value.
        ``half_edge``: where the parabola through the energies around the rise crosses ``level``; that is the
        last crossing before the largest value.
    window : (from, to)
        Energies to look at, eV.
    width : float
        Energies up to this far from the largest value, or from the crossing, take part in the parabola, eV;
        at least the three nearest ones.
    level : float
        Of ``half_edge``, in normalised absorption.
    """

    method: str
    window: tuple[float, float]
    width: float = 3.0
    level: float = 0.5

    def finder(self, energies: np.ndarray) -> Finder:
        """Return what finds edges in spectra of these energies.

        Raises
        ------
        InputError
            No such method, fewer than three energies in the window, a width or level that is not positive.
        """
        if self.method not in ("white_line", "half_edge"):
            message = f"there is no edge position '{self.method}'; choose white_line or half_edge"
            raise InputError(message)
        inside = np.flatnonzero((energies >= self.window[0]) & (energies <= self.window[1]))
        if len(inside) < 3:
            message = (
                f"the edge's window {list(self.window)} eV holds {len(inside)} of the energies; a parabola "
                "takes three, widen it"
            )
            raise InputError(message)
        if not (self.width > 0 and self.level > 0):
            message = f"the edge's width is {self.width} eV and its level {self.level}; both must be positive"
            raise InputError(message)
        return Finder(self, energies, int(inside[0]), int(inside[-1]) + 1)


class Finder:
    """Parabolas for every place among the energies, worked out once.

    A parabola a t² + b t + c is fitted to the energies near a centre, t = E − centre; its coefficients are
    linear in the spectrum, so for each centre a small matrix does.
    """

    def __init__(self, edge: EdgePosition, energies: np.ndarray, first: int, stop: int) -> None:
        self.edge = edge
        self.first, self.stop = first, stop
        self.inside = energies[first:stop]
        middles = (self.inside[1:] + self.inside[:-1]) / 2
        self.centres = self.inside if edge.method == "white_line" else middles
        self.places, self.matrices = _parabolas(self.inside, self.centres, edge.width)

    def find(self, xp: Any, spectra: Any) -> Any:
        """Return the edge position of each spectrum, eV, NaN where there is none.

        Parameters
        ----------
        xp : module
        spectra : (e, n) float64
            Of all energies; normalised for ``half_edge``.

        Returns
        -------
        (n,) float64
            NaN where the largest value is at the window's border, where the parabola has no top or does not
            cross, and where it does so beyond the energies that it was fitted to.
        """
        values = spectra[self.first : self.stop]
        good = xp.isfinite(values).all(axis=0)
        values = xp.where(good, values, 0.0)
        top = xp.argmax(values, axis=0)
        if self.edge.method == "white_line":
            centre, good = top, good & (top > 0) & (top < len(self.inside) - 1)
        else:
            order = xp.arange(len(self.inside))[:, None]
            below = xp.where((values < self.edge.level) & (order < top), order, -1).max(axis=0)
            centre, good = xp.maximum(below, 0), good & (below >= 0)
        a, b, c = self._fitted(xp, values, centre)
        if self.edge.method == "white_line":
            good &= a < 0
            shift = -b / xp.where(good, 2 * a, xp.nan)
        else:
            under = b * b - 4 * a * (c - self.edge.level)
            good &= (under >= 0) & (b > 0)
            # Of the two crossings that near the centre, in the form that stays exact for a straight rise.
            root = b + xp.sqrt(xp.maximum(under, 0.0))
            shift = -2 * (c - self.edge.level) / xp.where(good, root, xp.nan)
        places = xp.asarray(self.places)
        inside, centres = xp.asarray(self.inside), xp.asarray(self.centres)
        position = centres[centre] + shift
        good &= (position >= inside[places[centre, 0]]) & (position <= inside[places[centre, -1]])
        return xp.where(good, position, xp.nan)

    def _fitted(self, xp: Any, values: Any, centre: Any) -> list[Any]:
        """Return a, b, c of each spectrum's parabola."""
        places, matrices = xp.asarray(self.places), xp.asarray(self.matrices)
        columns = xp.arange(values.shape[1])
        fitted = [xp.zeros(values.shape[1]) for _ in range(3)]
        for k in range(self.places.shape[1]):
            chosen = values[places[centre, k], columns]
            fitted = [sum_ + matrices[row, k][centre] * chosen for row, sum_ in enumerate(fitted)]
        return fitted


def _parabolas(energies: np.ndarray, centres: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which energies take part at each centre, (centres, w), and the matrices, (3, w, centres).

    Places are ascending and padded by the last one, with zeros in the matrix.
    """
    chosen = []
    for centre in centres:
        away = np.abs(energies - centre)
        near = np.flatnonzero(away <= width)
        if len(near) < 3:
            # Three that touch each other, so that the parabola does not leap over any.
            start = int(np.clip(np.searchsorted(energies, centre) - 1, 0, len(energies) - 3))
            near = np.arange(start, start + 3)
        chosen.append(near)
    most = max(map(len, chosen))
    places = np.array([[*near, *[near[-1]] * (most - len(near))] for near in chosen])
    matrices = np.zeros((3, most, len(centres)))
    for k, (near, centre) in enumerate(zip(chosen, centres, strict=True)):
        t = (energies[near] - centre) / width
        matrices[:, : len(near), k] = np.linalg.pinv(np.vander(t, 3)) / np.array([[width**2], [width], [1.0]])
    return places, matrices
