"""What is done to a spectrum: normalise it, find its edge, fit references, judge the fit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from tripoint.errors import InputError
from tripoint.spectro.edge import EdgePosition
from tripoint.spectro.normalise import Normalisation, Operators
from tripoint.spectro.references import References
from tripoint.spectro.weights import Mixture


@dataclass(frozen=True, eq=False)
class Steps:
    """What is done to each spectrum, with all that is the same for every voxel worked out."""

    transmission: bool
    operators: Operators | None
    least_step: float
    finder: Any
    charge: tuple[float, float] | None
    mixture: Mixture | None
    inverse_noise: np.ndarray | None
    freedom: np.ndarray | None
    names: Mapping[str, str]

    @classmethod
    def prepare(
        cls,
        energies: np.ndarray,
        *,
        transmission: bool,
        normalisation: Normalisation | None,
        least_step: float,
        edge: EdgePosition | None,
        charge: Sequence[float] | None,
        references: References | None,
        mixture: Mapping[str, bool],
        noise: Any,
    ) -> Steps:
        """Work out what does not depend on the voxel."""
        if normalisation is None and edge is None and references is None:
            message = "there is nothing to do; give references, an edge position, or a normalisation"
            raise InputError(message)
        if edge is not None and edge.method == "half_edge" and normalisation is None:
            message = "the half edge is a level of normalised spectra; give the pre-edge and the post-edge"
            raise InputError(message)
        operators = None if normalisation is None else normalisation.operators(energies)
        weight = None if noise is None else 1 / _noise(noise, len(energies))
        solver, freedom, names = None, None, {}
        if references is not None:
            spectra = references.at(energies)
            if operators is not None:
                spectra = _normalised(operators, spectra, references.names)
            spectra = spectra if weight is None else spectra * weight[:, None]
            solver = Mixture(spectra, **mixture, names=references.names)
            names = _weight_names(references.names)
            freedom = None if weight is None else _freedom(solver, operators, weight)
        return cls(
            bool(transmission),
            operators,
            float(least_step),
            None if edge is None else edge.finder(energies),
            _charge(charge, edge),
            solver,
            weight,
            freedom,
            names,
        )

    @property
    def outputs(self) -> list[str]:
        """Names of the maps."""
        return [
            *(["step"] if self.operators is not None else []),
            *(["edge"] if self.finder is not None else []),
            *(["state_of_charge"] if self.charge is not None else []),
            *self.names,
            *(["residual"] if self.mixture is not None else []),
            *(["chi_square"] if self.freedom is not None else []),
        ]

    def run(self, spectra: Any) -> dict[str, Any]:
        """Return the maps' values for spectra (e, n), each (n,) float64, NaN where there is none."""
        xp = array_namespace(spectra)
        values = spectra.astype(xp.float64)
        values = xp.where(xp.isfinite(values), values, xp.nan)
        if self.transmission:
            values = -xp.log(xp.where(values > 0, values, xp.nan))
        maps: dict[str, Any] = {}
        steps: Any = 1.0
        if self.operators is not None:
            values, steps = self.operators.apply(xp, values, self.least_step)
        good = xp.isfinite(values).all(axis=0)
        if self.operators is not None:
            maps["step"] = steps
        if self.finder is not None:
            maps["edge"] = xp.where(good, self.finder.find(xp, values), xp.nan)
        if self.charge is not None:
            empty, full = self.charge
            maps["state_of_charge"] = (maps["edge"] - empty) / (full - empty)
        if self.mixture is not None:
            maps |= self._weights(xp, xp.where(good, values, 0.0), steps, good)
        maps["finite"] = good
        return maps

    def _weights(self, xp: Any, values: Any, steps: Any, good: Any) -> dict[str, Any]:
        assert self.mixture is not None
        if self.inverse_noise is not None:
            values = values * xp.asarray(self.inverse_noise)[:, None]
        weights, support, squares = self.mixture.solve(xp, values)
        maps = {name: xp.where(good, row, xp.nan) for name, row in zip(self.names, weights, strict=True)}
        mean = squares / len(values)
        if self.inverse_noise is not None:
            # Weights sum to the number of energies, so that the residual keeps the spectra's unit.
            mean = squares / float((self.inverse_noise**2).sum())
        maps["residual"] = xp.where(good, xp.sqrt(mean), xp.nan)
        if self.freedom is not None:
            reduced = squares * steps * steps / xp.asarray(self.freedom)[support]
            maps["chi_square"] = xp.where(good, reduced, xp.nan)
        return maps


def _noise(noise: Any, count: int) -> np.ndarray:
    try:
        values = np.broadcast_to(np.asarray(noise, np.float64), (count,))
    except (TypeError, ValueError):
        values = np.zeros(1)
    if not (np.isfinite(values) & (values > 0)).all():
        message = (
            f"noise is {noise!r}; expected a positive s.d. of the absorption, or one per energy ({count})"
        )
        raise InputError(message)
    return values


def _charge(charge: Sequence[float] | None, edge: EdgePosition | None) -> tuple[float, float] | None:
    if charge is None:
        return None
    try:
        empty, full = map(float, charge)
    except (TypeError, ValueError):
        empty = full = math.nan
    if not math.isfinite(empty - full) or empty == full or edge is None:
        message = (
            f"charge is {charge!r}; expected two different edge positions in eV, of the discharged and of "
            "the charged material, together with an edge position to look for"
        )
        raise InputError(message)
    return empty, full


def _normalised(operators: Operators, spectra: np.ndarray, names: Sequence[str]) -> np.ndarray:
    normalised, steps = operators.apply(np, spectra)
    if not (steps > 0).all():
        name = names[int(np.argmin(steps))]
        message = f"the reference {name} has no edge step between these ranges; check them, or leave it out"
        raise InputError(message)
    return np.asarray(normalised)


def _freedom(mixture: Mixture, operators: Operators | None, weight: np.ndarray) -> np.ndarray:
    """Return the |residual|² · step² that noise alone leads one to expect, for each support.

    It is a trace, which without normalisation is the number of energies less that of the weights.
    """
    e, k = mixture.references.shape
    noise = np.diag(1 / weight)
    passed = weight[:, None] * (noise if operators is None else operators.background @ noise)
    result = []
    for used, matrix in zip(mixture.supports, mixture.matrices, strict=True):
        chosen = mixture.references[:, used]
        noisy = passed
        if operators is not None and used.any():
            # The step is noisy too; to first order that takes away from the spectrum as it should be.
            noisy = passed - np.outer(chosen.mean(axis=1), operators.step @ noise)
        hat = chosen @ matrix[np.ix_(used, used)] @ chosen.T
        result.append(((noisy - hat @ noisy) ** 2).sum())
    freedom = np.array(result)
    if freedom.min() < 0.5:
        message = f"{e} energies leave nothing to judge {k} references by; leave noise out, or fit fewer"
        raise InputError(message)
    return freedom


def _weight_names(references: Sequence[str]) -> dict[str, str]:
    """Return names of maps that are names of files too, with the references that they are of."""
    names: dict[str, str] = {}
    for reference in references:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", reference).strip("_") or "reference"
        name = f"weight_{plain}"
        number = 2
        while name in names:
            name, number = f"weight_{plain}_{number}", number + 1
        names[name] = reference
    return names
