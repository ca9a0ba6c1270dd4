"""TIFF and BigTIFF, with the voxel size of OME-XML and ImageJ."""

from __future__ import annotations

import logging
import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tripoint.errors import InputError
from tripoint.io.stored import Box, Choice, Stored, array_reader, box_shape
from tripoint.io.units import is_unit

SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")


@contextmanager
def opened(path: Path, choice: Choice) -> Iterator[Stored]:
    """Open a multi-page TIFF; uncompressed ones are mapped, others decoded page by page.

    The resolution tag alone is not taken for a voxel size: most programs write 72 dpi into it.
    """
    with tiff_file(path) as file:
        series = _volume(file, path)
        spacing, units = stated_spacing(file)
        array, step = _array(file, series, path, choice)
        yield Stored(
            shape=tuple(array.shape),
            dtype=np.dtype(series.dtype),
            read=array.read if isinstance(array, _Pages) else array_reader(array),
            step=step,
            spacing=spacing,
            units=units,
        )


@contextmanager
def tiff_file(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file and make sure that it is whole.

    Raises
    ------
    InputError
        Not a TIFF file, or one that ends before its last page does.
    """
    log = logging.getLogger("tifffile")
    quiet, log.disabled = log.disabled, True  # it would repeat in other words what is raised here
    try:
        with tifffile.TiffFile(path) as file:
            _check_whole(file, path)
            yield file
    except tifffile.TiffFileError as error:
        message = f"{path} is not a TIFF image ({error}); check that the file is what its name says"
        raise InputError(message) from error
    finally:
        log.disabled = quiet


def _check_whole(file: tifffile.TiffFile, path: Path) -> None:
    """Find a broken chain of pages, and data that would lie behind the end of the file."""
    count, size = len(file.pages), file.filehandle.size
    if count:
        file.filehandle.seek(file.pages.next_page_offset or 0)
        pointer = file.filehandle.read(file.tiff.offsetsize)
        whole = len(pointer) == file.tiff.offsetsize and not any(pointer)
        end = 0
        for page in file.pages:
            # A list of strips that itself lies behind the end of the file comes back empty.
            whole = whole and len(page.dataoffsets) >= math.prod(page.chunked)
            ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=False))
            end = max(end, *ends, 0)
        images = int((file.imagej_metadata or {}).get("images", count)) if file.is_imagej else count
        if images > count == 1:  # ImageJ describes a stack beyond 4 GB by its first page alone
            end = file.pages.first.dataoffsets[0] + images * file.pages.first.nbytes
        elif images > count:
            whole = False
        if whole and end <= size:
            return
    message = (
        f"{path} is truncated: the file ends after {size} bytes, within or behind page {max(count, 1)}; "
        "copy it again from its source"
    )
    raise InputError(message)


def _volume(file: tifffile.TiffFile, path: Path) -> tifffile.TiffPageSeries:
    """Return the series of pages that is the volume, or say why there is none."""
    series = file.series[0]
    first = file.pages.first
    if "S" in series.axes:
        message = (
            f"{path} is a colour image (axes {series.axes}, shape {series.shape}); "
            "expected one label per voxel, save it as 8-bit or 16-bit labels"
        )
        raise InputError(message)
    if len(file.series) > 1 and series.kind not in ("ome", "imagej"):
        for number, page in enumerate(map(_aspage, file.pages), start=1):
            if page.shape != first.shape or page.dtype != first.dtype:
                message = (
                    f"page {number} of {path} is {_size(page)} and page 1 is {_size(first)}; "
                    "expected pages of one size and type, remove or crop the others"
                )
                raise InputError(message)
        pages = [_aspage(page) for page in file.pages]  # alike but for their compression
        return tifffile.TiffPageSeries(pages, shape=(len(pages), *first.shape), dtype=first.dtype, axes="IYX")
    volumes = [other for other in file.series if len(other.shape) > 2]
    if len(volumes) > 1:
        shapes = ", ".join(str(other.shape) for other in volumes)
        message = f"{path} holds {len(volumes)} volumes ({shapes}); expected one, save it alone"
        raise InputError(message)
    if any(page is None for page in series.pages):
        missing = sum(page is None for page in series.pages)
        message = (
            f"{path} lacks {missing} of its {len(series.pages)} pages; it is truncated or one of several "
            "files, copy all of them from their source"
        )
        raise InputError(message)
    return series


def _array(
    file: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path, choice: Choice
) -> tuple[Any, int]:
    """Return something to slice, and how many of its slices are stored together."""
    if len(series.shape) == 3 and choice.channel is None:
        if series.dataoffset is not None:
            dtype = np.dtype(series.dtype).newbyteorder(file.byteorder)
            return np.memmap(path, dtype, "r", series.dataoffset, series.shape), 1
        if len(series.pages) == series.shape[0]:
            return _Pages(file, series), 1
    import zarr

    array: Any = zarr.open(series.aszarr(level=0), mode="r")
    if choice.channel is not None and len(series.shape) == 4 and "C" in series.axes:
        axis = series.axes.index("C")
        if not 0 <= choice.channel < series.shape[axis]:
            message = (
                f"{path} has {series.shape[axis]} channels; choose channel=0 to {series.shape[axis] - 1}"
            )
            raise InputError(message)
        return _Channel(array, axis, choice.channel), 1
    if len(series.shape) > 3:
        hint = "choose one with channel=0" if "C" in series.axes else "save one volume alone"
        message = f"{path} has the axes {series.axes} (shape {series.shape}); expected z, y, x, {hint}"
        raise InputError(message)
    if choice.channel is not None:
        message = (
            f"{path} has the axes {series.axes}; there are no channels to choose from, leave channel out"
        )
        raise InputError(message)
    return array, getattr(array, "chunks", (1,))[0]


class _Pages:
    """Pages that have to be decoded: whole ones, so not all at once where only a corner of each is wanted."""

    def __init__(self, file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
        self.file, self.series, self.shape = file, series, series.shape
        self.batch = max(1, (1 << 24) // series.keyframe.nbytes)

    def read(self, box: Box) -> np.ndarray:
        block = np.empty(box_shape(box), self.series.dtype)
        for start in range(box[0].start, box[0].stop, self.batch):
            pages = slice(start, min(start + self.batch, box[0].stop))
            planes = self.file.asarray(key=pages, series=self.series, maxworkers=os.cpu_count())
            planes = planes.reshape(-1, *self.shape[1:])[:, box[1], box[2]]
            block[pages.start - box[0].start : pages.stop - box[0].start] = planes
        return block


class _Channel:
    """One channel of a four-dimensional array, cut out while reading."""

    def __init__(self, array: Any, axis: int, channel: int) -> None:
        self.array, self.axis, self.channel = array, axis, channel
        self.shape = tuple(n for k, n in enumerate(array.shape) if k != axis)

    def __getitem__(self, box: Box) -> np.ndarray:
        index: list[Any] = list(box)
        index.insert(self.axis, self.channel)
        return np.asarray(self.array[tuple(index)])


def stated_spacing(file: tifffile.TiffFile) -> tuple[list[float | None], list[str | None]]:
    """Return voxel size and units (z, y, x) where OME-XML or ImageJ states them."""
    if file.is_ome and file.ome_metadata:
        return _ome_spacing(file.ome_metadata)
    if file.is_imagej:
        return _imagej_spacing(file)
    return [None] * 3, [None] * 3


def _ome_spacing(xml: str) -> tuple[list[float | None], list[str | None]]:
    pixels = next((e for e in ET.fromstring(xml).iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    attributes = {} if pixels is None else pixels.attrib
    sizes = [attributes.get(f"PhysicalSize{axis}") for axis in "ZYX"]
    units = [attributes.get(f"PhysicalSize{axis}Unit", "µm") for axis in "ZYX"]
    return [None if size is None else float(size) for size in sizes], list(units)


def _imagej_spacing(file: tifffile.TiffFile) -> tuple[list[float | None], list[str | None]]:
    metadata = file.imagej_metadata or {}
    unit = metadata.get("unit")
    if not is_unit(unit):  # ImageJ's resolution of an image without a scale means nothing
        return [None] * 3, [None] * 3
    tags = file.pages.first.tags
    sizes: list[float | None] = [abs(float(metadata["spacing"])) if "spacing" in metadata else None]
    for name in ("YResolution", "XResolution"):
        pixels, length = tags[name].value if name in tags else (0, 0)
        sizes.append(length / pixels if pixels and length else None)
    return sizes, [str(unit)] * 3


def _aspage(page: Any) -> Any:
    return page.aspage() if isinstance(page, tifffile.TiffFrame) else page


def _size(page: Any) -> str:
    return f"{' × '.join(map(str, page.shape))} {page.dtype}"
