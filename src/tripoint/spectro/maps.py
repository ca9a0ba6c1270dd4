"""An energy stack becomes maps: edge step, edge position, weights of references, what the fit leaves."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array

from tripoint import _cuda
from tripoint.errors import InputError
from tripoint.record import Progress
from tripoint.spectro.edge import EdgePosition
from tripoint.spectro.normalise import Normalisation, Operators
from tripoint.spectro.references import References, check_energies
from tripoint.spectro.weights import Mixture

READ = 1 << 26  # bytes of the stack that are read at a time
WORK = {"cpu": 1 << 20, "cuda": 1 << 28}  # bytes of the spectra, as float64, that are worked on at a time


@dataclass(frozen=True)
class Maps:
    """What a fit found, and how.

    Parameters
    ----------
    volumes : mapping of str to (z, y, x) float32
        NaN where a voxel's spectrum is not finite or has no edge. ``step`` (edge step, absorption), ``edge``
        (edge position, eV), ``weight_<reference>``, ``residual`` (root of the mean squared difference between
        spectrum and fit, in what was fitted), ``chi_square`` (reduced; where the noise is known),
        ``state_of_charge``.
    energies : (e,) float64
        Those that were used, eV.
    names : mapping of str to str
        Reference of each ``weight_…``.
    """

    volumes: Mapping[str, Any]
    energies: np.ndarray
    names: Mapping[str, str]


def fit(  # noqa: PLR0913  # what is done to a spectrum, in its order
    stack: Any,
    energies: Any,
    *,
    transmission: bool = False,
    within: Sequence[float] | None = None,
    normalisation: Normalisation | None = None,
    least_step: float = 0.0,
    edge: EdgePosition | None = None,
    charge: Sequence[float] | None = None,
    references: References | None = None,
    nonnegative: bool = True,
    sum_to_one: bool = False,
    noise: Any = None,
    device: str | None = None,
    allocate: Callable[[str, tuple[int, ...]], Any] | None = None,
    step: int = 1,
    progress: Progress | None = None,
) -> Maps:
    """Fit the spectrum of every voxel.

    Parameters
    ----------
    stack : (energy, z, y, x) or (energy, y, x)
        Absorption µt, or transmission. Anything that has a shape and is sliced like an array: NumPy, CuPy, a
        memory map, a Zarr array, an HDF5 dataset; it is read part by part.
    energies : (energy,) float
        eV, increasing.
    transmission : bool
        The stack holds I / I₀, of which −ln is the absorption; what is not positive was not measured.
    within : (from, to), optional
        Energies outside, eV, are left out.
    normalisation : Normalisation, optional
        By default spectra are taken as they are. References are normalised in the same way, so that weights
        are shares of the edge step.
    least_step : float
        Voxels with a smaller edge step hold nothing of the element: NaN.
    edge : EdgePosition, optional
        How to find the edge position; by default it is not looked for.
    charge : (discharged, charged), optional
        Edge positions, eV, that stand for a state of charge of 0 and 1; between them it is linear.
    references : References, optional
        Spectra to fit; by default none are.
    nonnegative, sum_to_one : bool
        What the weights have to fulfil.
    noise : float or (energy,) float, optional
        Standard deviation of the absorption at each energy, of those within. Weighs the fit, and gives
        ``chi_square``, whose degrees of freedom allow for what normalisation does to the noise, at the edge
        step that was found.
    device : {"cpu", "cuda"}, optional
        Where to work, and where the maps are; by default where the stack is.
    allocate : callable, optional
        ``allocate(name, shape)`` returns what each map is written to, such as a memory map; on the host.
    step : int
        Slices of the stack along its second axis that are stored together.
    progress : callable, optional
        Told ``("fit", done, total)`` in rows along the first axis of the maps.

    Returns
    -------
    Maps
        An (energy, y, x) stack gives volumes of one slice.

    Raises
    ------
    InputError
        Energies that do not increase or are not as many as images, references that do not cover them, a stack
        without a finite spectrum, ranges that hold too few energies.

    Notes
    -----
    Memory: 4 bytes per voxel and map, and a constant: 64 MiB of the stack as it is stored (or one row of one
    plane of all energies), and some 6 times 1 MiB of spectra (256 MiB on the GPU). The stack itself is not
    held.
    """
    given = check_energies(energies)
    shape = _shape(stack, given)
    chosen = _within(given, within)
    steps = Steps.prepare(
        given[chosen],
        transmission=transmission,
        normalisation=normalisation,
        least_step=least_step,
        edge=edge,
        charge=charge,
        references=references,
        mixture={"nonnegative": nonnegative, "sum_to_one": sum_to_one},
        noise=noise,
    )
    place = device or ("cuda" if is_cupy_array(stack) else "cpu")
    make = allocate or (lambda _, size: _empty(size, place))
    volumes = {name: make(name, shape) for name in steps.outputs}
    finite = 0
    for z, y in _parts(stack, shape, step):
        # No name holds the block, so that the next is not read while this one still takes memory.
        finite += _fill(volumes, steps, _read(stack, chosen, z, y, place), z, y, place)
        if progress is not None:
            progress("fit", z.stop, shape[0])
    if not finite:
        message = (
            "no voxel of the stack has a finite spectrum"
            + (" with an edge" if normalisation is not None else "")
            + "; check the file, transmission=, and least_step="
        )
        raise InputError(message)
    return Maps(volumes, given[chosen], steps.names)


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


def _fill(volumes: Mapping[str, Any], steps: Steps, block: Any, z: slice, y: slice, place: str) -> int:
    """Work on a block run by run, write the maps, and return how many voxels had a spectrum."""
    xp = array_namespace(block)
    spectra = block.reshape(block.shape[0], -1)
    count = spectra.shape[1]
    maps = {name: xp.empty(count, dtype=xp.float32) for name in volumes}
    width = max(1, WORK[place] // (8 * len(spectra)))
    finite = 0
    for start in range(0, count, width):
        found = steps.run(spectra[:, start : start + width])
        finite += int(found["finite"].sum())
        for name, values in maps.items():
            values[start : start + width] = found[name].astype(xp.float32)
    for name, values in maps.items():
        volume = volumes[name]
        box = values.reshape(z.stop - z.start, y.stop - y.start, -1)
        onto_host = is_cupy_array(box) and not is_cupy_array(volume)
        volume[z, y] = _cuda.transfer.to_host(box) if onto_host else box
    return finite


def _shape(stack: Any, energies: np.ndarray) -> tuple[int, int, int]:
    """Return the maps' shape (z, y, x)."""
    shape = tuple(int(n) for n in stack.shape)
    if len(shape) not in (3, 4) or 0 in shape:
        message = f"the stack has shape {shape}; expected (energy, y, x) or (energy, z, y, x)"
        raise InputError(message)
    if shape[0] != len(energies):
        message = (
            f"the stack has {shape[0]} images along its first axis and the list {len(energies)} energies; "
            "give one energy per image, with energy as the first axis"
        )
        raise InputError(message)
    if np.dtype(str(stack.dtype)).kind not in "fiu":
        message = f"the stack holds {stack.dtype} values; expected real numbers"
        raise InputError(message)
    z, y, x = (1, *shape[1:])[-3:]
    return (z, y, x)


def _within(energies: np.ndarray, within: Sequence[float] | None) -> slice:
    """Return which energies to use; they are in a row."""
    if within is None:
        return slice(0, len(energies))
    try:
        low, high = map(float, within)
    except (TypeError, ValueError) as error:
        message = f"range is {within!r}; expected [from,to] in eV"
        raise InputError(message) from error
    inside = np.flatnonzero((energies >= low) & (energies <= high))
    if len(inside) < 2:
        message = (
            f"range=[{low:g},{high:g}] holds {len(inside)} of the energies, which go from {energies[0]:g} to "
            f"{energies[-1]:g} eV; widen it"
        )
        raise InputError(message)
    return slice(int(inside[0]), int(inside[-1]) + 1)


def _parts(stack: Any, shape: tuple[int, int, int], step: int) -> Iterator[tuple[slice, slice]]:
    """Cut the maps into boxes of rows, whose spectra are about as many bytes as are read at a time."""
    line = stack.shape[0] * shape[2] * np.dtype(str(stack.dtype)).itemsize
    rows = max(1, READ // line)
    if rows < shape[1]:
        depth, height = 1, rows
    else:
        depth, height = max(1, rows // shape[1]), shape[1]
        depth = depth // step * step or depth
    for z in range(0, shape[0], depth):
        for y in range(0, shape[1], height):
            yield slice(z, min(z + depth, shape[0])), slice(y, min(y + height, shape[1]))


def _read(stack: Any, chosen: slice, z: slice, y: slice, place: str) -> Any:
    """Return a block of the stack on the device."""
    block = stack[chosen, z, y] if len(stack.shape) == 4 else stack[chosen, y]
    if is_cupy_array(block):
        return block
    block = np.ascontiguousarray(block)
    block = block.astype(block.dtype.newbyteorder("="), copy=False)  # TIFF and HDF5 hold both orders
    return _cuda.transfer.to_device(block) if place == "cuda" else block


def _empty(shape: tuple[int, ...], place: str) -> Any:
    return _cuda.transfer.empty(shape, np.float32) if place == "cuda" else np.empty(shape, np.float32)


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
