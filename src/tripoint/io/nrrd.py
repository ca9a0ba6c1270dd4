"""NRRD: the fastest axis comes first in the header, so that (x, y, z) there is (z, y, x) here."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nrrd
import numpy as np

from tripoint.errors import InputError
from tripoint.io.stored import Choice, Stored, array_reader, stream_reader


@contextmanager
def opened(path: Path, choice: Choice) -> Iterator[Stored]:
    """Open a NRRD file; raw data are mapped, compressed ones are read slice by slice."""
    del choice
    with path.open("rb") as file:
        header = nrrd.read_header(file)
        sizes = [int(n) for n in header["sizes"]]
        if len(sizes) != 3:
            message = (
                f"{path} has {len(sizes)} axes of sizes {sizes}; expected three, x, y and z, without colours"
            )
            raise InputError(message)
        shape = tuple(sizes[::-1])
        dtype = np.dtype(nrrd.reader._determine_datatype(header))
        encoding = header["encoding"].lower()
        detached = "data file" in header or "datafile" in header
        skips = any(header.get(key, 0) for key in ("line skip", "lineskip", "byte skip", "byteskip"))
        if detached or skips or encoding not in ("raw", "gzip", "gz", "bzip2", "bz2"):
            # Rare layouts are left to pynrrd, which holds the whole volume for a moment.
            read = array_reader(nrrd.read_data(header, file, str(path), index_order="C"))
        elif encoding == "raw":
            read = array_reader(np.memmap(path, dtype, "r", file.tell(), shape))
        else:
            stream: Any = (gzip if encoding.startswith("gz") else bz2).open(file)
            read = stream_reader(stream, shape, dtype)
        spacing, units = _spacing(header)
        yield Stored(shape=shape, dtype=dtype, read=read, spacing=spacing, units=units)


def _spacing(header: Mapping[str, Any]) -> tuple[list[float | None], list[str | None]]:
    """Return voxel size and units (z, y, x): lengths of the axes' direction vectors, or spacings."""
    if "space directions" in header:
        lengths = [float(np.linalg.norm(vector)) for vector in np.asarray(header["space directions"], float)]
        units = list(header.get("space units", []))
    else:
        lengths = [float(s) for s in header.get("spacings", [])]
        units = list(header.get("units", header.get("space units", [])))
    if len(lengths) != 3:
        return [None] * 3, [None] * 3
    sizes = [length if np.isfinite(length) else None for length in lengths[::-1]]
    # Units belong to the axes of the space, which are the volume's own unless it is rotated.
    return sizes, [str(u) for u in units[::-1]] if len(units) == 3 else [None] * 3
