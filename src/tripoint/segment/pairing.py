"""Which slice of the images each file of a folder of drawn slices shows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from tripoint.errors import InputError
from tripoint.segment.volumes import GreyVolume, slice_files

log = logging.getLogger("tripoint")

_SHOWN = 6
_COUNTED = (0, 1)  # where a count of its own begins; other numbers are those of a scan


def paired_files(grey: GreyVolume, path: str | Path) -> dict[int, Path]:
    """Return the files of a folder by the numbers of the images' slices that they show.

    A number in a file's name is that of a slice of the images. One thing else is unambiguous: as many files
    as the images have slices, both without gaps, of which one is counted from 0 or 1; these come in order.

    Parameters
    ----------
    grey : GreyVolume
        The images, or a segmentation of them.
    path : path

    Returns
    -------
    dict of int to Path
        Nothing for what is no folder of numbered slices. Numbers may be none of the images'.
    """
    files = slice_files(path)
    if set(files) <= set(grey.numbers):
        return files
    found, known = list(files), grey.numbers
    complete = len(found) == len(known) and _is_gapless(found) and _is_gapless(known)
    if not complete or min(found[0], known[0]) not in _COUNTED:
        return files
    log.info(
        "the slices %d to %d of %s are taken in order for %d to %d of %s",
        found[0], found[-1], path, known[0], known[-1], grey.names[0],
    )  # fmt: skip
    return dict(zip(known, files.values(), strict=True))


def drawn_numbers(grey: GreyVolume, path: str | Path, files: dict[int, Path]) -> list[int]:
    """Return which slices of the images somebody has drawn, where nobody says which ones to take.

    These are all that the files show. Files may lie beyond images that are a part of a scan, of which all is
    drawn: their numbers begin elsewhere than a count, and each has its file.

    Raises
    ------
    InputError
        A file whose number no slice of the images has, and which numbers there are.
    """
    foreign = [number for number in files if number not in grey.numbers]
    part = grey.numbers[0] not in _COUNTED and set(grey.numbers) <= set(files)
    if not foreign or part:
        return [number for number in grey.numbers if number in files]
    rest = "" if len(foreign) == len(files) else ", or say with slices=[…] which of them to take"
    message = (
        f"{path} has the slices {listed(list(files))}, and {grey.names[0]} has {grey.numbers[0]} to "
        f"{grey.numbers[-1]}, so that {foreign[0]} is unknown; name the files by the numbers of the images' "
        f"slices{rest}"
    )
    raise InputError(message)


def listed(numbers: Sequence[int]) -> str:
    """Return numbers in words, only the outermost of many."""
    if len(numbers) <= _SHOWN:
        return ", ".join(map(str, numbers))
    return f"{numbers[0]}, {numbers[1]}, … {numbers[-1]}"


def _is_gapless(numbers: Sequence[int]) -> bool:
    return numbers[-1] - numbers[0] == len(numbers) - 1
