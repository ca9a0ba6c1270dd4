"""The probabilities that a segmentation wrote beside its phases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from tripoint.errors import InputError
from tripoint.io.stored import Box, box_of, box_shape
from tripoint.materials import Materials
from tripoint.uncertainty.drawing import Probabilities

VOLUME, SUMMARY, CHANNELS, NAME = "volume.zarr", "summary.json", "channels", "probability_"

SMOOTHED = 0.6
"""Temperature of probabilities that ``tripoint segment`` smoothed, by which they got too unsure."""


def read(
    path: str | Path, materials: Materials, roi: Any = None, *, temperature: float | None = None
) -> Probabilities:
    """Open the probabilities of all phases, of which only slabs are ever read.

    Parameters
    ----------
    path : path
        What ``tripoint segment mode=predict probabilities=uint8`` wrote: the folder, or its ``volume.zarr``,
        which holds ``channels/probability_<phase>``.
    materials : Materials
        With the phases of that names.
    roi : three of None, [start, stop], optional
        As of the phases.
    temperature : float, optional
        Of the draws (`drawing.Probabilities`). By default `SMOOTHED`, where the ``summary.json`` beside the
        volume says that the probabilities were smoothed, and 1 otherwise.

    Raises
    ------
    InputError
        No such volume, or one without the probabilities of every phase; a temperature that is none.
    """
    place = _volume(path)
    if not place.exists():
        message = f"there is no file or folder {place}; check the path"
        raise InputError(message)
    arrays = []
    for phase in materials.phases:
        name = f"{CHANNELS}/{NAME}{phase.name}"
        try:
            arrays.append(zarr.open_array(str(place / name / "0"), mode="r"))
        except (FileNotFoundError, ValueError, KeyError, NotADirectoryError) as error:
            message = (
                f"{place} has no {name}; uncertainty needs the probability of every phase, as tripoint "
                "segment mode=predict writes them with probabilities=uint8, there or at probabilities=PATH"
            )
            raise InputError(message) from error
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        message = f"the probabilities in {place} are of different shapes: {sorted(shapes)}; segment anew"
        raise InputError(message)
    stacked = _Stacked(tuple(arrays), box_of(roi, arrays[0].shape))
    if temperature is None:
        temperature = SMOOTHED if _told(place).get("smooth") else 1.0
    return Probabilities(stacked, [phase.label for phase in materials.phases], temperature)


def least_voxels(path: str | Path) -> int | None:
    """Return below how many voxels ``tripoint segment`` gave pieces of a phase to what surrounds them.

    Parameters
    ----------
    path : path
        As of `read`.

    Returns
    -------
    int or None
        For `repeating.repeat`. None where no piece went, or where no ``summary.json`` beside the volume says.
    """
    found = _told(_volume(path)).get("least_voxels")
    return found if isinstance(found, int) and found > 1 else None


def _volume(path: str | Path) -> Path:
    """Return the Zarr volume that a path means."""
    place = Path(str(path).partition(".zarr:")[0] + ".zarr") if ".zarr:" in str(path) else Path(path)
    return place / VOLUME if (place / VOLUME).is_dir() else place


def _told(volume: Path) -> dict[str, Any]:
    """Return what ``tripoint segment`` told of a volume that it wrote; nothing of one that it did not."""
    try:
        told = json.loads((volume.parent / SUMMARY).read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) and told.get("task") == "segment" else {}


@dataclass(frozen=True)
class _Stacked:
    """Volumes on one grid as one array of four axes, read by slices."""

    arrays: Sequence[Any]
    box: Box

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.arrays), *box_shape(self.box))

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(str(self.arrays[0].dtype))

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        first, last, _ = key[1].indices(self.shape[1])
        z = slice(self.box[0].start + first, self.box[0].start + last)
        return np.stack([np.asarray(array[z, self.box[1], self.box[2]]) for array in self.arrays])
