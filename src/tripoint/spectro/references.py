"""Spectra of known compounds, as a stack's voxels are mixtures of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tripoint.errors import InputError


@dataclass(frozen=True, eq=False)
class References:
    """Reference spectra on energies of their own.

    Parameters
    ----------
    names : tuple of str
        Distinct.
    energies : (e,) float
        eV, increasing.
    spectra : (e, k) float
        Absorption at each energy, a column per name.

    Raises
    ------
    InputError
        Energies that do not increase, names that repeat, arrays that do not fit, numbers that are not finite.
    """

    names: tuple[str, ...]
    energies: np.ndarray
    spectra: np.ndarray

    def __post_init__(self) -> None:
        """Check what fits rely on."""
        energies = check_energies(self.energies, "the references' energies")
        spectra = np.asarray(self.spectra, np.float64)
        if spectra.shape != (len(energies), len(self.names)) or not self.names:
            message = (
                f"the reference spectra have shape {spectra.shape}; expected ({len(energies)} energies, "
                f"{len(self.names)} names), with at least one"
            )
            raise InputError(message)
        finite = np.isfinite(spectra)
        if not finite.all():
            bad = self.names[int(np.argmin(finite.sum(axis=0)))]
            message = f"the reference {bad} holds values that are not finite; leave it out or repair its file"
            raise InputError(message)
        if len(set(self.names)) < len(self.names):
            message = f"the references {', '.join(self.names)} have a name twice; give each its own"
            raise InputError(message)
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "energies", energies)
        object.__setattr__(self, "spectra", spectra)

    def chosen(self, names: Sequence[str]) -> References:
        """Return some of the references, in the order of the names.

        Raises
        ------
        InputError
            A name that is not there.
        """
        absent = [name for name in names if name not in self.names]
        if absent:
            message = f"there is no reference '{absent[0]}'; there are {', '.join(self.names)}"
            raise InputError(message)
        columns = [self.names.index(name) for name in names]
        return References(tuple(names), self.energies, self.spectra[:, columns])

    def at(self, energies: Any) -> np.ndarray:
        """Return the spectra at other energies by linear interpolation, (len(energies), k).

        Raises
        ------
        InputError
            Energies beyond those of the references.
        """
        wanted = np.asarray(energies, np.float64)
        low, high = self.energies[[0, -1]]
        if wanted.min() < low or wanted.max() > high:
            message = (
                f"the references cover {low:g} to {high:g} eV and the stack goes from {wanted.min():g} to "
                f"{wanted.max():g} eV; leave out its other energies with range=[{low:g},{high:g}], or give "
                "references that cover them"
            )
            raise InputError(message)
        return np.stack([np.interp(wanted, self.energies, column) for column in self.spectra.T], axis=1)


def check_energies(energies: Any, what: str = "the energies") -> np.ndarray:
    """Return energies as an increasing float64 array, or say what is wrong with them."""
    try:
        values = np.asarray(energies, np.float64)
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        message = f"{what} are not a list of at least two finite numbers; give them in eV, one per image"
        raise InputError(message)
    wrong = np.flatnonzero(np.diff(values) <= 0)
    if len(wrong):
        at = int(wrong[0])
        message = (
            f"{what} do not increase: number {at + 2} is {values[at + 1]:g} eV after {values[at]:g} eV; sort "
            "the stack and its list by energy, and merge what was measured twice"
        )
        raise InputError(message)
    return values
