"""A folder of slices, TIFF or PNG, one file per slice in natural order."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np

from tripoint.errors import InputError, TripointError
from tripoint.io import tiff
from tripoint.io.stored import Box, Choice, Stored, box_shape

SUFFIXES = (*tiff.SUFFIXES, ".png")
_AT_ONCE = 32  # whole slices in memory, of which only a part may be wanted


@contextmanager
def opened(path: Path, choice: Choice) -> Iterator[Stored]:
    """Open a folder; only the slices of the region of interest are read, several at a time."""
    del choice
    files = _files(path)
    first = read_slice(files[0])
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def read(box: Box) -> np.ndarray:
            block = np.empty(box_shape(box), first.dtype)
            chosen = files[box[0]]
            for start in range(0, len(chosen), _AT_ONCE):
                batch = chosen[start : start + _AT_ONCE]
                for k, image in enumerate(pool.map(read_slice, batch)):
                    _check_same(image, batch[k], first, files[0])
                    block[start + k] = image[box[1:]]
            return block

        yield Stored(shape=(len(files), *first.shape), dtype=first.dtype, read=read)


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key by which slice2 comes before slice10."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", name.casefold())
    ]


def read_slice(file: Path) -> np.ndarray:
    """Read one slice as a 2D array of labels.

    Raises
    ------
    InputError
        A damaged file, a colour image, or a file with several pages.
    """
    try:
        image = _read_png(file) if file.suffix.lower() == ".png" else _read_tiff(file)
    except TripointError:
        raise
    except Exception as error:
        message = f"{file} cannot be read as an image ({error}); copy it again or remove it from the folder"
        raise InputError(message) from error
    if image.ndim != 2:
        message = (
            f"{file} is not a single grey slice (shape {image.shape}); expected one label per pixel, "
            "no colours and one page per file"
        )
        raise InputError(message)
    return image


def _files(folder: Path) -> list[Path]:
    files = [
        f
        for f in folder.iterdir()
        if f.suffix.lower() in SUFFIXES and f.is_file() and not f.name.startswith(".")
    ]
    if not files:
        message = f"{folder} holds no slices; expected files that end in {', '.join(SUFFIXES)}"
        raise InputError(message)
    kinds = Counter("PNG" if f.suffix.lower() == ".png" else "TIFF" for f in files)
    if len(kinds) > 1:
        message = (
            f"{folder} mixes {kinds['TIFF']} TIFF and {kinds['PNG']} PNG files; keep the slices of one kind"
        )
        raise InputError(message)
    files = sorted(files, key=lambda f: natural_order(f.name))
    _check_complete(files)
    return files


def _check_complete(files: list[Path]) -> None:
    """Raise InputError where the numbers of the slices leave a gap: the volume would be cut short there."""
    numbers = [re.findall(r"\d+", f.stem) for f in files]
    if len(files) < 3 or not all(numbers):
        return
    last = [int(found[-1]) for found in numbers]
    steps = [after - before for before, after in pairwise(last)]
    usual = min(steps)
    if usual <= 0:  # the number that varies is another one
        return
    for k, step in enumerate(steps):
        if step != usual:
            message = (
                f"a slice is missing between {files[k].name} and {files[k + 1].name} in {files[k].parent}; "
                "copy it again, or rename the files without a gap if there is none"
            )
            raise InputError(message)


def _read_tiff(file: Path) -> np.ndarray:
    with tiff.tiff_file(file) as pages:
        return np.squeeze(np.asarray(pages.asarray(maxworkers=1)))


def _read_png(file: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(file) as image:
        # A palette only colours the labels; its indices are the labels.
        return np.asarray(image)


def _check_same(image: np.ndarray, file: Path, first: np.ndarray, first_file: Path) -> None:
    if image.shape != first.shape or image.dtype != first.dtype:
        message = (
            f"{file.name} is {image.shape[0]} × {image.shape[1]} {image.dtype}, but {first_file.name} is "
            f"{first.shape[0]} × {first.shape[1]} {first.dtype}; "
            f"expected slices of one size and type in {file.parent}"
        )
        raise InputError(message)
