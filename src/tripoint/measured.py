"""A measured map of activity or state of charge, read onto the grid of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tripoint import spectro
from tripoint.errors import InputError
from tripoint.io import spectra, stack
from tripoint.io.formats import split_inside
from tripoint.io.stored import box_of
from tripoint.io.units import to_micrometres
from tripoint.physics import Measured
from tripoint.sample import Sample, Spacing, check_spacing


def read(
    source: str,
    sample: Sample,
    settings: Mapping[str, Any] | None = None,
) -> Measured:
    """Read a map for a sample, from a file or from a channel beside the sample's volume.

    Parameters
    ----------
    source : str
        A channel's name, or a file in any format that volumes are read from, such as ``map.tif`` or
        ``maps.zarr:state_of_charge``.
    sample : Sample
        Its ``source`` tells which Zarr may hold the channel, and what part of a volume the sample is: the map
        is cropped alike, or its affine moved.
    settings : mapping, optional
        ``channel`` of a file with several; ``affine``, the path of one from the structure to the map, µm;
        ``spacing`` (z, y, x) of the map with its ``units``, where the file does not state it.

    Returns
    -------
    Measured

    Raises
    ------
    InputError
        No such channel or file, another shape without an affine, a map that does not overlap the sample.
    """
    given = dict(settings or {})
    if source in sample.channels:
        return Measured(sample.channels[source], source)
    roi = sample.source.get("roi")
    file = _beside(sample.source.get("path"), source) or source
    values, stated = stack.read_map(file, given.get("channel"))
    origin = {"path": file, **{key: value for key, value in given.items() if value is not None}}
    affine = given.get("affine")
    if affine is None:
        cropped = spectro.onto_grid(_cropped(values, sample, roi), sample.shape, sample.spacing)
        return Measured(cropped, source, origin)
    moved = spectra.read_affine(affine) @ _corner(roi, sample.spacing)
    size = _spacing(source, given, stated)
    on_grid = spectro.onto_grid(values, sample.shape, sample.spacing, map_spacing=size, affine=moved)
    return Measured(on_grid, source, origin)


def _beside(volume: str | None, channel: str) -> str | None:
    """Return where the Zarr of a volume holds a channel of this name; None where it does not."""
    if volume is None:
        return None
    file, _ = split_inside(volume)
    return next(
        (
            f"{z}:channels/{channel}"
            for z in (file, file / "volume.zarr")
            if "/" not in channel and (z / "channels" / channel).is_dir()
        ),
        None,
    )


def _cropped(values: np.ndarray, sample: Sample, roi: Any) -> np.ndarray:
    """Return the part of a map that belongs to a sample which is a part of its volume itself."""
    if roi is None or values.shape == sample.shape:
        return values
    part = values[box_of(roi, values.shape)]
    return part if part.shape == sample.shape else values


def _corner(roi: Any, spacing: Spacing) -> np.ndarray:
    """Return the affine from a sample to the volume that it is a part of, µm."""
    corner = np.eye(4)
    if roi is not None:
        corner[:3, 3] = [start * size for (start, _), size in zip(roi, spacing, strict=True)]
    return corner


def _spacing(source: str, given: Mapping[str, Any], stated: Spacing | None) -> Spacing:
    size, units = given.get("spacing"), given.get("units")
    if size is None and stated is None:
        message = f"the map {source} does not state its voxel size; give it as map.spacing=[z,y,x] in µm"
        raise InputError(message)
    if size is None:
        assert stated is not None
        return stated
    return check_spacing(size if units is None else to_micrometres(size, str(units)))
