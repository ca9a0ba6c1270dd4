"""An energy stack becomes maps: edge step, edge position, weights of references, what the fit leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array

from tripoint import _cuda
from tripoint.errors import InputError
from tripoint.record import Progress
from tripoint.spectro.edge import EdgePosition
from tripoint.spectro.normalise import Normalisation
from tripoint.spectro.references import References, check_energies
from tripoint.spectro.steps import Steps

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
