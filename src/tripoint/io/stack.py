"""Energy stacks that still lie in their files, sliced like arrays, and maps of real numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tripoint.errors import InputError, TripointError
from tripoint.io.formats import find_opener, split_inside
from tripoint.io.stored import Choice, Stored, box_of
from tripoint.io.units import attribute_spacing, is_unit, to_micrometres
from tripoint.sample import Spacing, check_spacing

READ_IN_PARTS = ("TIFF", "HDF5", "Zarr", "NumPy", "slices")


@dataclass(frozen=True)
class Stack:
    """An energy stack in a file that is open; it is sliced like an array.

    Parameters
    ----------
    array : object
        What is sliced.
    shape : tuple of int
        (energy, z, y, x) or (energy, y, x).
    dtype : numpy.dtype
    step : int
        Slices along the second axis that are stored together.
    spacing : tuple
        Voxel size (z, y, x), µm, as far as the file states it, else None.
    name : str
        Its path, for messages.
    """

    array: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    step: int = 1
    spacing: tuple[float | None, ...] = (None, None, None)
    name: str = "stack"

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        """Read a box; axes that are not named are read whole."""
        whole = tuple(slice(0, n) for n in self.shape[len(box) :])
        with _damage_named(Path(self.name), "a stack"):
            return np.asarray(self.array[(*box, *whole)])

    def voxel(self, spacing: Any = None, units: str | None = None) -> Spacing:
        """Return the voxel size (z, y, x) in µm: the given one, or the file's.

        An image has no thickness of its own: where none is given, its y stands for it.

        Raises
        ------
        InputError
            Neither given nor in the file.
        """
        if spacing is not None:
            values = [spacing] * 3 if isinstance(spacing, (int, float)) else list(spacing)
            values = [values[0], *values] if len(values) == 2 and len(self.shape) == 3 else values
            return check_spacing(values if units is None else to_micrometres(values, units))
        z, y, x = self.spacing
        if len(self.shape) == 3:
            z = y
        if z is None or y is None or x is None:
            message = (
                f"{self.name} does not state its voxel size; give it as spacing=[z,y,x] in µm, "
                "[y,x] for images"
            )
            raise InputError(message)
        return check_spacing((z, y, x))


@contextmanager
def opened(path: str | Path) -> Iterator[Stack]:
    """Open an energy stack: TIFF, Zarr, HDF5 (``file.h5:/dataset``), .npy, or a folder of images.

    Parts are read when they are asked for; compressed TIFF pages and images of a folder are decoded whole
    each time, so that for stacks beyond memory uncompressed TIFF, Zarr or HDF5 are quicker.

    Raises
    ------
    InputError
        No such file, a format that cannot be read in parts, not three or four axes, damaged files.
    """
    file, inner = split_inside(path)
    opener, what = find_opener(file)
    if what not in READ_IN_PARTS or file.suffix.lower() == ".npz":
        message = (
            f"{file}: energy stacks are read from TIFF, Zarr, HDF5, .npy or a folder of images; convert it"
        )
        raise InputError(message)
    with ExitStack() as files:
        with _damage_named(file, what):
            if what == "TIFF":
                stack = files.enter_context(_tiff(file))
            elif what == "Zarr":
                stack = _zarr(file, inner)
            else:
                stored = files.enter_context(opener(file, Choice(inner)))
                sizes = _sizes(stored.spacing, stored.units)
                stack = Stack(_Boxes(stored), stored.shape, stored.dtype, spacing=sizes, name=str(path))
        yield stack


def read_map(path: str | Path, channel: int | None = None) -> tuple[np.ndarray, Spacing | None]:
    """Read a map of real numbers, such as a measured activity, with its voxel size where the file states it.

    Parameters
    ----------
    path : str or Path
        Any format that :func:`tripoint.read` knows; ``maps.zarr:edge`` for one of several.
    channel : int, optional
        Which channel of a file with several.

    Returns
    -------
    (z, y, x) float32, and (z, y, x) in µm or None
        A single image has one slice.

    Raises
    ------
    InputError
        No such file, not two or three axes, no numbers in it.
    """
    values, sizes = read_grey(path, channel=channel, what="map")
    return values.astype(np.float32, copy=False), sizes


def read_grey(
    path: str | Path, *, channel: int | None = None, roi: Any = None, what: str = "volume"
) -> tuple[np.ndarray, Spacing | None]:
    """Read a volume of grey values as they are stored, with its voxel size where the file states it.

    Parameters
    ----------
    path, channel
        As of :func:`read_map`.
    roi : three of [start, stop] or None, optional
        Voxel indices along z, y, x, stop not included.
    what : str
        What to call it in messages.

    Returns
    -------
    (z, y, x) array of numbers, and (z, y, x) in µm or None

    Raises
    ------
    InputError
        As :func:`read_map`; a region outside of the volume.
    """
    file, inner = split_inside(path)
    opener, kind = find_opener(file)
    with _damage_named(file, kind), opener(file, Choice(inner, channel)) as stored:
        if len(stored.shape) not in (2, 3) or 0 in stored.shape or stored.dtype.kind not in "fiub":
            message = (
                f"{file} holds {stored.dtype} values of shape {tuple(stored.shape)}; expected a {what} of "
                "numbers (z, y, x) or (y, x)"
            )
            raise InputError(message)
        whole: Any = tuple(slice(0, n) for n in stored.shape)
        values = np.asarray(stored.read(whole if roi is None else box_of(roi, stored.shape)))
        sizes = _sizes(stored.spacing, stored.units)
    values = values[None] if values.ndim == 2 else values
    if not np.isfinite(values).any():
        message = f"the {what} {path} ({kind}) holds no numbers, only NaN; check how it was written"
        raise InputError(message)
    z, y, x = sizes
    return values, None if z is None or y is None or x is None else check_spacing((z, y, x))


class _Boxes:
    """Slices of what an opener reads."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored

    def __getitem__(self, box: Any) -> np.ndarray:
        return self.stored.read(box)


@contextmanager
def _damage_named(file: Path, what: str) -> Iterator[None]:
    """Say which file cannot be read, whatever its library calls that."""
    try:
        yield
    except TripointError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        message = f"{file} cannot be read as {what} ({reason}); it may be truncated or damaged, copy it again"
        raise InputError(message) from error


@contextmanager
def _tiff(file: Path) -> Iterator[Stack]:
    import zarr

    from tripoint.io.tiff import stated_spacing, tiff_file

    with tiff_file(file) as image:
        series = image.series[0]
        if "S" in series.axes:
            message = (
                f"{file} is a colour image (axes {series.axes}); expected one number per voxel and energy"
            )
            raise InputError(message)
        if series.dataoffset is not None:
            dtype = np.dtype(series.dtype).newbyteorder(image.byteorder)
            array: Any = np.memmap(file, dtype, "r", series.dataoffset, series.shape)
        else:
            array = zarr.open(series.aszarr(level=0), mode="r")
        sizes = _sizes(*stated_spacing(image))
        yield Stack(array, tuple(series.shape), np.dtype(series.dtype), spacing=sizes, name=str(file))


def _zarr(file: Path, inner: str | None) -> Stack:
    import zarr

    from tripoint.io.zarr import is_zarr, multiscales

    if not is_zarr(file):
        message = f"{file} is not a Zarr array or group; check the path"
        raise InputError(message)
    node: Any = zarr.open(str(file), mode="r")
    if inner is not None:
        if not isinstance(node, zarr.Group) or inner.strip("/") not in node:
            message = f"{file} has no '{inner}'; check its name"
            raise InputError(message)
        node = node[inner.strip("/")]
    image = multiscales(node) if isinstance(node, zarr.Group) else None
    if isinstance(node, zarr.Group):
        stacks = [
            array for _, array in node.members() if isinstance(array, zarr.Array) and array.ndim in (3, 4)
        ]
        if image is not None:
            node = node[image["datasets"][0]["path"]]
        elif len(stacks) == 1:
            node = stacks[0]
        else:
            message = (
                f"{file} has {len(stacks)} arrays of three or four axes; name one, for example {file}:name"
            )
            raise InputError(message)
    stated = _ome_spacing(image) if image is not None else attribute_spacing(dict(node.attrs))
    sizes = _sizes(stated.get("spacing", (None,) * 3), stated.get("units", (None,) * 3))
    step = node.chunks[1] if node.ndim == 4 else 1
    return Stack(node, tuple(node.shape), np.dtype(node.dtype), step, sizes, str(file))


def _ome_spacing(image: Mapping[str, Any]) -> dict[str, Any]:
    """Return voxel size and units of an OME-Zarr image's last three axes, of which energy is not one."""
    axes = [axis for axis in image.get("axes", []) if isinstance(axis, Mapping)]
    scales = [
        transform["scale"]
        for transform in image["datasets"][0].get("coordinateTransformations", [])
        if transform.get("type") == "scale"
    ]
    if not scales or len(axes) != len(scales[0]):
        return {}
    sizes = [
        size if axis.get("type") == "space" else None for size, axis in zip(scales[0], axes, strict=True)
    ]
    return {"spacing": sizes[-3:], "units": [axis.get("unit") for axis in axes[-3:]]}


def _sizes(sizes: Sequence[float | None], units: Sequence[str | None]) -> tuple[float | None, ...]:
    """Return what a file states in µm; a number without a unit states nothing."""
    return tuple(
        to_micrometres([size], str(unit))[0] if size is not None and is_unit(unit) else None
        for size, unit in zip(sizes, units, strict=True)
    )
