"""Grey volumes that still lie in their files, several channels of one sample, read slab by slab."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tripoint.errors import InputError, TripointError
from tripoint.io.formats import find_opener, split_inside
from tripoint.io.slices import SUFFIXES, natural_order
from tripoint.io.stored import Box, Choice, Stored, box_of, box_shape
from tripoint.io.units import is_unit, to_micrometres
from tripoint.sample import Spacing, check_spacing

MASK = "labels/mask"
"""Label image of a moved volume, 0 where it shows nothing."""

SLAB = 64
"""Slices of which gaps are counted at a time."""


@dataclass(frozen=True)
class GreyVolume:
    """One or several channels in files that are open.

    Parameters
    ----------
    channels : tuple of Stored
    names : tuple of str
        Where each comes from.
    numbers : tuple of int
        What each slice is called: by the number in its file's name in a folder of slices, else from 0 on.
    shown : tuple of Stored or None
        Of each channel, a volume that is 0 where it shows nothing; None where it shows all.
    """

    channels: tuple[Stored, ...]
    names: tuple[str, ...]
    numbers: tuple[int, ...]
    shown: tuple[Stored | None, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        z, y, x = self.channels[0].shape
        return (z, y, x)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Type of each channel as stored, without its byte order."""
        return tuple(stored.dtype.newbyteorder("=").name for stored in self.channels)

    def spacing(self, given: Any = None, units: str | None = None) -> Spacing | None:
        """Return the voxel size in µm: the given one, else the first that a file states, else None."""
        if given is not None:
            sizes = [float(given)] * 3 if isinstance(given, int | float) else given
            return check_spacing(sizes if units is None else to_micrometres(sizes, units))
        for stored in self.channels:
            if all(size is not None for size in stored.spacing) and all(map(is_unit, stored.units)):
                pairs = zip(stored.spacing, stored.units, strict=True)
                return check_spacing(
                    [to_micrometres([float(size or 0)], str(unit))[0] for size, unit in pairs]
                )
        return None

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return slices as (channel, z, y, x) float32, NaN where a channel shows nothing.

        Raises
        ------
        InputError
            NaN or infinite values where something is shown, and in which slice; a damaged file.
        """
        _, height, width = self.shape
        box = (slice(start, stop), slice(0, height), slice(0, width))
        block = np.empty((len(self.channels), stop - start, height, width), np.float32)
        for k, (stored, mask) in enumerate(zip(self.channels, self.shown, strict=True)):
            with _damage_named(self.names[k]):
                block[k] = stored.read(box)
                nothing = None if mask is None else mask.read(box) == 0
            good = None if stored.dtype.kind != "f" else np.isfinite(block[k])
            if nothing is not None:
                block[k][nothing] = np.nan
                good = good if good is None else good | nothing
            finite = True if good is None else good.all(axis=(1, 2))
            if not np.all(finite):
                where = self.numbers[start + int(np.argmin(finite))]
                message = (
                    f"{self.names[k]} holds values that are not finite (NaN or infinite), first in slice "
                    f"{where}; "
                    "replace them by a grey value, such as that of what surrounds them, or crop them away"
                )
                raise InputError(message)
        return block

    def blocks(self, ranges: Sequence[tuple[int, int]], halo: int) -> Iterator[np.ndarray]:
        """Give runs of slices, in ascending order, with as many on either side; each slice is read once.

        Beyond the volume its outermost slice is repeated.

        Parameters
        ----------
        ranges : sequence of (start, stop)
        halo : int
            Slices on either side.

        Yields
        ------
        (channel, stop − start + 2 · halo, y, x) float32
        """
        depth = self.shape[0]
        kept, first = np.empty((len(self.channels), 0, *self.shape[1:]), np.float32), 0
        for start, stop in ranges:
            low, high = max(start - halo, 0), min(stop + halo, depth)
            last = first + kept.shape[1]
            if not first <= low < last:
                kept, first, last = self.read(low, high), low, high
            kept = kept[:, low - first :]
            if high > last:
                kept = np.concatenate([kept, self.read(last, high)], axis=1)
            first = low
            around = (low - (start - halo), (stop + halo) - high)
            inside = kept[:, : high - low]
            yield np.pad(inside, ((0, 0), around, (0, 0), (0, 0)), mode="edge") if any(around) else inside

    def gaps(self) -> list[float]:
        """Return the share of the voxels in which each channel shows nothing, and last that of no channel."""
        depth, height, width = self.shape
        counts = np.zeros(len(self.channels) + 1, np.int64)
        masks = [mask for mask in self.shown if mask is not None]
        for start in range(0, depth, SLAB) if masks else ():
            box = (slice(start, min(start + SLAB, depth)), slice(0, height), slice(0, width))
            everywhere = len(masks) == len(self.shown)
            for k, mask in enumerate(self.shown):
                if mask is not None:
                    nothing = mask.read(box) == 0
                    counts[k] += np.count_nonzero(nothing)
                    everywhere = everywhere & nothing
            counts[-1] += np.count_nonzero(everywhere)
        return [float(count / math.prod(self.shape)) for count in counts]


def tell_gaps(names: Sequence[str], gaps: Sequence[float]) -> list[str]:
    """Warn of parts of the volume where not all channels show something."""
    *each, nothing = gaps
    told = [
        f"{name} shows nothing in {gap:.1%} of the volume, where the other channels alone decide; roi= in an "
        "analysis of the phases and mask= in an evaluation leave that out, by what tripoint register tells"
        for name, gap in zip(names, each, strict=True)
        if gap > nothing
    ]
    if nothing:
        told.append(f"no channel shows anything in {nothing:.1%} of the volume; phases there are guesses")
    return told


@contextmanager
def opened(
    images: str | Path | Sequence[str | Path], channels: Sequence[int] | None = None, roi: Any = None
) -> Iterator[GreyVolume]:
    """Open the channels of a sample.

    A volume that ``tripoint register`` moved says in ``labels/mask`` where it shows something.

    Parameters
    ----------
    images : path or sequence of paths
        Each a volume of any format that :func:`tripoint.read` knows, all of one shape.
    channels : sequence of int, optional
        Which channels of a single file with several.
    roi : three of None, [start, stop], optional
        Part of the volume, voxels along z, y, x counted from 0; the rest is not read.

    Raises
    ------
    InputError
        No such file, not a 3D volume of real numbers, volumes of different shapes, a part that is not there.
    """
    paths = [images] if isinstance(images, str | Path) else list(images)
    if not paths:
        message = "images names no volume; give a path, or a list of one per channel"
        raise InputError(message)
    if channels is not None and len(paths) > 1:
        message = "channels chooses those of one file; leave it out where each channel has a file of its own"
        raise InputError(message)
    choices = [Choice(channel=channel) for channel in channels or (None,)]
    with ExitStack() as files:
        found, names, shown = [], [], []
        for given in paths:
            path, inner = split_inside(given)
            opener, _ = find_opener(path)
            for choice in choices:
                with _damage_named(str(given)):
                    stored = files.enter_context(opener(path, Choice(inner, choice.channel)))
                _check_grey(stored, str(given))
                found.append(stored)
                names.append(str(given))
                shown.append(files.enter_context(opener(path, Choice(MASK))) if _is_masked(given) else None)
        for stored, name in [*zip(found, names, strict=True), *_masks(shown, names)]:
            if tuple(stored.shape) != tuple(found[0].shape):
                message = (
                    f"{name} has the shape {tuple(stored.shape)} and {names[0]} {tuple(found[0].shape)}; "
                    "expected "
                    "channels on one grid, bring them there with tripoint register"
                )
                raise InputError(message)
        box = box_of(roi, found[0].shape)
        numbers = slice_numbers(paths[0], found[0].shape[0])[box[0]]
        parts = [None if mask is None else _cropped(mask, box) for mask in shown]
        yield GreyVolume(tuple(_cropped(one, box) for one in found), tuple(names), numbers, tuple(parts))


def _cropped(stored: Stored, box: Box) -> Stored:
    """Return part of a volume that still lies in its file."""

    def read(asked: Box) -> np.ndarray:
        z, y, x = (
            slice(whole.start + part.start, whole.start + part.stop)
            for whole, part in zip(box, asked, strict=True)
        )
        return stored.read((z, y, x))

    return replace(stored, shape=box_shape(box), read=read, read_to_gpu=None)


def _is_masked(given: str | Path) -> bool:
    """Whether a volume says where it shows something, as what ``tripoint register`` moved does."""
    path, inner = split_inside(given)
    return inner is None and any((path / part / MASK).is_dir() for part in ("", "moved.zarr"))


def _masks(shown: Sequence[Stored | None], names: Sequence[str]) -> list[tuple[Stored, str]]:
    pairs = zip(shown, names, strict=True)
    return [(mask, f"{MASK} of {name}") for mask, name in pairs if mask is not None]


def slice_numbers(path: str | Path, depth: int) -> tuple[int, ...]:
    """Return what the slices of a volume are called: see `GreyVolume`."""
    files = slice_files(path)
    return tuple(files) if len(files) == depth else tuple(range(depth))


def slice_files(path: str | Path) -> dict[int, Path]:
    """Return the files of a folder of slices by their numbers, ascending; nothing for any other volume.

    Of several numbers in a name it is the last one that ascends from file to file.
    """
    folder = Path(path)
    if not folder.is_dir() or find_opener(folder)[0].__module__ != "tripoint.io.slices":
        return {}
    files = [f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith(".")]
    files.sort(key=lambda f: natural_order(f.name))
    backwards = [[int(digits) for digits in reversed(re.findall(r"\d+", f.stem))] for f in files]
    for numbers in zip(*backwards, strict=False):
        if all(before < after for before, after in pairwise(numbers)):
            return dict(zip(numbers, files, strict=True))
    return {}


def _check_grey(stored: Stored, name: str) -> None:
    if len(stored.shape) != 3 or 0 in stored.shape:
        message = (
            f"{name} holds values of shape {tuple(stored.shape)}; expected a volume of grey values "
            "(z, y, x); a single slice is a volume as well, of shape (1, y, x), or alone in a folder"
        )
        raise InputError(message)
    if stored.dtype.kind not in "uif":
        message = f"{name} holds {stored.dtype} values; expected grey values, integers or real numbers"
        raise InputError(message)


@contextmanager
def _damage_named(name: str) -> Iterator[None]:
    """Say which volume cannot be read, whatever its library calls that."""
    try:
        yield
    except TripointError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        message = f"{name} cannot be read ({reason}); it may be truncated or damaged, copy it again"
        raise InputError(message) from error
