"""Files to samples, and results to files.

Each format is a module that opens a file and tells shape, type, voxel size and how to read a part of
it; this door finds the module, crops while reading, and turns labels into phases.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tripoint import _cuda
from tripoint.errors import DeviceMemoryError, InputError, TripointError
from tripoint.io.folder import check_output
from tripoint.io.formats import find_opener, split_inside
from tripoint.io.phases import check_stored, read_phases
from tripoint.io.stored import Box, Choice, Stored, box_of, box_shape
from tripoint.io.units import is_unit, to_micrometres
from tripoint.materials import Materials
from tripoint.record import Progress
from tripoint.sample import Sample, check_spacing, choose_device

log = logging.getLogger("tripoint")

__all__ = ["check_output", "read", "write"]


def read(  # noqa: PLR0913  # each of them is one word on the command line
    path: str | Path,
    *,
    spacing: Sequence[float] | float | None = None,
    units: str | None = None,
    materials: str | Path | Mapping[str, Any] | Materials,
    roi: Sequence[Any] | None = None,
    channel: int | None = None,
    shape: Sequence[int] | None = None,
    dtype: str | np.dtype[Any] | type | None = None,
    byte_order: str = "little",
    name: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Sample:
    """Read a labelled volume.

    Only the region of interest is read, a run of slices at a time. Memory: 1 byte per voxel of
    the region, and about 32 MiB (or one layer of chunks) of the file at a time. With a GPU, each run goes
    there before the next is read, and the volume never is on the host.

    Parameters
    ----------
    path : str or Path
        A file, a folder of slices, or ``file:inside``: ``labels.h5:/exported``, ``arrays.npz:phases``,
        ``volume.zarr:labels/regions``. What is read is listed in docs/formats.md.
    spacing : (z, y, x) or float, optional
        Voxel size, which wins over the file's. One number means cubes.
    units : str, optional
        Unit of ``spacing``, or of the file's voxel size where that has none. µm by default for ``spacing``.
    materials : str, Path, mapping or Materials
        What each label is.
    roi : three of [start, stop], slice or None, optional
        Voxel indices along z, y, x, stop not included.
    channel : int, optional
        Which channel of a TIFF or OME-Zarr with several.
    shape, dtype, byte_order
        Of a raw file: voxels along z, y, x; ``"uint8"``, …; ``"little"`` or ``"big"``.
    name : str, optional
        Name of the sample; the file's name without its ending by default.
    device : {"cpu", "cuda", "auto"}
        Where the sample is to be. ``auto`` is the GPU where there is one that an analysis of the region fits
        into, and logs which device it takes.
    progress : callable, optional
        ``progress("read", done, total)`` is called after each run of slices, which it counts.

    Raises
    ------
    InputError
        No such file, not an image, damaged or truncated, not a 3D volume of integers, a region
        outside it, or a voxel size that is neither given nor in the file.
    MaterialsError
        Labels that the materials do not name.
    DeviceError
        No GPU, or not enough memory there.
    """
    place = choose_device(device)
    materials = Materials.load(materials)
    spacing = None if spacing is None else _given_spacing(spacing, units)
    given = str(path)
    path, inner = split_inside(path)
    opener, what = find_opener(path)
    choice = Choice(inner, channel, shape, dtype, byte_order)
    _check_choice(choice, what)
    try:
        with opener(path, choice) as stored:
            check_stored(stored, path)
            box = box_of(roi, stored.shape)
            voxel = spacing or _stored_spacing(stored, units, path)
            if device == "auto" and place == "cuda" and not _fits(box):
                place = "cpu"
            phases = read_phases(stored, box, materials, path, progress, place)
        source = {"path": given, "roi": None if roi is None else [[s.start, s.stop] for s in box]}
        return Sample(phases, voxel, materials, name=name or _stem(path), source=source)
    except TripointError as error:
        if str(path) in str(error) or path.name in str(error):
            raise
        message = f"{path}: {error}"
        raise type(error)(message) from error
    except MemoryError as error:
        message = f"{path} does not fit into memory; read a part of it with roi=[[z0,z1],[y0,y1],[x0,x1]]"
        raise InputError(message) from error
    except Exception as error:  # whatever a format's library raises on a damaged file
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        message = (
            f"{path} cannot be read as {what} ({reason}); it may be truncated, damaged or of another kind, "
            "open it in another program or copy it again"
        )
        raise InputError(message) from error


def _fits(box: Box) -> bool:
    """Return whether an analysis of a region fits into the GPU's memory; if not, the log says why."""
    try:
        _cuda.memory.plan(box_shape(box))
    except DeviceMemoryError as error:
        log.warning("device: cpu (%s)", str(error))
        return False
    return True


def write(
    sample: Sample,
    path: str | Path,
    overwrite: bool = False,
    displaced: Mapping[str, tuple[Any, Sequence[float], Any]] | None = None,
) -> Path:
    """Write a sample as OME-Zarr (NGFF 0.5), which :func:`read` and viewers open with its voxel size.

    Parameters
    ----------
    sample : Sample
    path : str or Path
        The folder to make, by custom ``….zarr``; it appears when it is complete.
    overwrite : bool
        Whether an older volume of tripoint's may be replaced.
    displaced : mapping of str to (volume, spacing, affine), optional
        Channels on grids of their own, with the affine from the sample to them, µm, which becomes an
        attribute.

    Returns
    -------
    Path
        The folder, absolute.

    Raises
    ------
    OutputError
        The folder exists, cannot be written, or the disk is full; nothing is left then.
    """
    from tripoint.io import folder, ome_zarr

    target = check_output(path, overwrite)
    with folder.result_folder(target, overwrite) as partial:
        ome_zarr.write(partial, sample, {})
        for name, (volume, spacing, affine) in (displaced or {}).items():
            about = {"affine": np.asarray(affine).tolist()}
            ome_zarr.write_image(partial / "channels" / name, volume, spacing, name, {}, about=about)
    return target


def _check_choice(choice: Choice, what: str) -> None:
    if what != "raw" and (choice.shape is not None or choice.dtype is not None):
        message = f"shape and dtype are for raw files; a {what} file has its own, leave them out"
        raise InputError(message)
    if choice.channel is not None and what not in ("TIFF", "Zarr"):
        message = f"channel chooses a channel of a TIFF or OME-Zarr; leave it out for {what}"
        raise InputError(message)


def _given_spacing(spacing: Sequence[float] | float, units: str | None) -> tuple[float, float, float]:
    values = check_spacing(spacing)
    return values if units is None else check_spacing(to_micrometres(values, units))


def _stored_spacing(stored: Stored, units: str | None, path: Path) -> tuple[float, float, float]:
    """Return the file's voxel size in µm, or say how to give one."""
    given = [unit if is_unit(unit) else units for unit in stored.units]
    sizes = [
        to_micrometres([size], unit)[0] if size is not None and unit is not None else None
        for size, unit in zip(stored.spacing, given, strict=True)
    ]
    if None not in sizes:
        return check_spacing(sizes)
    found = [
        f"{size:g} {unit or 'without a unit'} along {axis}"
        for axis, size, unit in zip("zyx", stored.spacing, given, strict=True)
        if size is not None
    ]
    message = (
        f"{path} does not state its voxel size{', only ' + ', '.join(found) if found else ''}; "
        "give it as spacing=[z,y,x] in µm, for example spacing=[0.4,0.4,0.4]"
    )
    if found and len(found) == 3:
        message += ", or say its unit with units=nm"
    raise InputError(message)


def _stem(path: Path) -> str:
    """Return the name of a file without its ending, ``cells`` for ``cells.ome.tif``."""
    name = path.resolve().name if path.name in ("", ".", "..") else path.name
    stem = name if path.is_dir() and path.suffix.lower() != ".zarr" else Path(name).stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem
