"""Energies and reference spectra from text files: Athena's .nor, .csv, and plain columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.io import ome_zarr
from tripoint.io.formats import split_inside
from tripoint.io.zarr import is_zarr
from tripoint.spectro import References
from tripoint.spectro.references import check_energies


def read_references(path: str | Path, use: Sequence[str] | None = None) -> References:
    """Read reference spectra: a column of energies in eV, then a column per compound, with their names above.

    Parameters
    ----------
    path : str or Path
        Athena's export of normalised spectra (``.nor``: names in the last line that begins with ``#``), or
        text with columns between commas, semicolons, tabs or spaces whose first line has the names.
    use : sequence of str, optional
        Names of those to take, in this order; all by default.

    Raises
    ------
    InputError
        No such file, no names, columns that are not numbers; energies that do not increase.
    """
    file = Path(path)
    lines = _lines(file)
    comments = [line.lstrip("#").strip() for line in lines if line.startswith("#")]
    rows = [line for line in lines if not line.startswith("#")]
    if not rows:
        message = f"{file} holds no numbers; expected a column of energies and one per reference"
        raise InputError(message)
    header = comments[-1] if comments else ""
    if _numbers(rows[0]) is None:
        header, rows = rows[0], rows[1:]
    table = _table(rows, file)
    names = [name.strip().strip('"') for name in _split(header)]
    if len(names) != table.shape[1] or len(names) < 2:
        message = (
            f"{file} has {table.shape[1]} columns and {len(names)} names above them; expected the line above "
            "the numbers to name the energies and each reference, without spaces in a name"
        )
        raise InputError(message)
    try:
        references = References(tuple(names[1:]), table[:, 0], table[:, 1:])
        return references if use is None else references.chosen(use)
    except InputError as error:
        message = f"{file}: {error}"
        raise InputError(message) from error


def read_energies(given: str | Path | Sequence[float]) -> np.ndarray:
    """Return the energies of a stack, eV: a list, a text file's first column, or ``file.h5:/dataset``.

    Raises
    ------
    InputError
        No such file, no numbers, energies that do not increase.
    """
    if not isinstance(given, (str, Path)):
        return check_energies(given)
    file, inner = split_inside(given)
    try:
        if inner is not None:
            return check_energies(_dataset(file, inner))
        rows = [line for line in _lines(file) if not line.startswith("#")]
        if rows and _numbers(rows[0]) is None:
            rows = rows[1:]
        return check_energies(_table(rows, file)[:, 0])
    except InputError as error:
        if str(file) in str(error):
            raise
        message = f"{file}: {error}"
        raise InputError(message) from error


def read_affine(path: str | Path) -> np.ndarray:
    """Read an affine: four lines of four numbers, the ``summary.json`` of a registration, or of a Zarr image.

    An image has one in its attribute ``tripoint``, as the displaced channels of made composites do.

    Raises
    ------
    InputError
        No such file, or not an affine.
    """
    import json

    from tripoint.registration import check_affine

    file, inner = split_inside(path)
    if file.is_dir() and is_zarr(file):
        about = ome_zarr.attributes(file, inner or "").get("tripoint", {})
        if "affine" not in about:
            message = f"{path} states no affine; give a text file of four lines of four numbers"
            raise InputError(message)
        return check_affine(about["affine"])
    lines = _lines(file)
    try:
        if file.suffix.lower() == ".json":
            values: Any = json.loads("\n".join(lines))
            values = values.get("registration") or values
            return check_affine(values["affine"])
        return check_affine(_table([line for line in lines if not line.startswith("#")], file))
    except (ValueError, KeyError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        message = (
            f"{file} holds no affine; expected four lines of four numbers, or a registration's summary.json"
        )
        raise InputError(message) from error


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        message = f"there is no file {file}; check the path"
        raise InputError(message)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{file} is not text; expected lines of numbers"
        raise InputError(message) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _split(line: str) -> list[str]:
    return [word for word in re.split(r"\s*[,;\t]\s*" if re.search(r"[,;]", line) else r"\s+", line) if word]


def _numbers(line: str) -> list[float] | None:
    try:
        return [float(word) for word in _split(line)]
    except ValueError:
        return None


def _table(rows: Sequence[str], file: Path) -> np.ndarray:
    numbers = [_numbers(row) for row in rows]
    good = [row for row in numbers if row is not None]
    if not good or len(good) < len(numbers) or len({len(row) for row in good}) > 1:
        message = (
            f"{file} is not a table of numbers in columns; check its lines, of which there are {len(rows)}"
        )
        raise InputError(message)
    return np.array(good, np.float64)


def _dataset(file: Path, inner: str) -> np.ndarray:
    import h5py

    if not file.is_file() or file.suffix.lower() not in (".h5", ".hdf5", ".hdf"):
        message = f"there is no HDF5 file {file}; give energies as a list, a text file, or file.h5:/dataset"
        raise InputError(message)
    with h5py.File(file, "r") as opened:
        if not isinstance(opened.get(inner), h5py.Dataset):
            message = f"{file} has no dataset '{inner}'; check its name"
            raise InputError(message)
        return np.asarray(opened[inner])
