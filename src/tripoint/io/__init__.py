"""Files to samples, and results to files.

Each format is a module that opens a file and tells shape, type, voxel size and how to read a part of
it; this door finds the module, crops while reading, and turns labels into phases.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tripoint.errors import InputError, MaterialsError, TripointError
from tripoint.io.folder import check_output
from tripoint.io.stored import Choice, Stored, blocks, box_of, box_shape
from tripoint.io.units import is_unit, to_micrometres
from tripoint.materials import Materials
from tripoint.sample import Sample, check_spacing

__all__ = ["check_output", "read", "write"]

Progress = Callable[[str, int, int], None]
Opener = Callable[[Path, Choice], AbstractContextManager[Stored]]

# The module of each kind of file and what to call it; a start pays for the one it needs.
_FORMATS = {
    "TIFF": ("tiff", (".tif", ".tiff", ".btf", ".tf8")),
    "HDF5": ("hdf5", (".h5", ".hdf5", ".hdf")),
    "NRRD": ("nrrd", (".nrrd", ".nhdr")),
    "NumPy": ("numpy_files", (".npy", ".npz")),
    "raw": ("raw", (".raw", ".bin", ".dat", ".vol")),
    "Zeiss XRM": ("zeiss", (".txrm", ".txm", ".xrm")),
}
_INSIDE = r"(.+\.(?:h5|hdf5|hdf|npz|zarr)/?):(.+)"  # file.h5:/dataset


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
    progress: Progress | None = None,
) -> Sample:
    """Read a labelled volume.

    Only the region of interest is read, a run of slices at a time. Memory: 1 byte per voxel of
    the region, and about 32 MiB (or one layer of chunks) of the file at a time.

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
    progress : callable, optional
        ``progress("read", done, total)`` is called after each run of slices, which it counts.

    Raises
    ------
    InputError
        No such file, not an image, damaged or truncated, not a 3D volume of integers, a region
        outside it, or a voxel size that is neither given nor in the file.
    MaterialsError
        Labels that the materials do not name.
    """
    materials = Materials.load(materials)
    spacing = None if spacing is None else _given_spacing(spacing, units)
    path, inner = _split(path)
    opener, what = _opener(path)
    choice = Choice(inner, channel, shape, dtype, byte_order)
    _check_choice(choice, what)
    try:
        with opener(path, choice) as stored:
            _check_stored(stored, path)
            box = box_of(roi, stored.shape)
            voxel = spacing or _stored_spacing(stored, units, path)
            phases = _read_phases(stored, box, materials, path, progress)
        return Sample(phases, voxel, materials, name=name or _stem(path))
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


def write(sample: Sample, path: str | Path, overwrite: bool = False) -> Path:
    """Write a sample as OME-Zarr (NGFF 0.5), which :func:`read` and viewers open with its voxel size.

    Parameters
    ----------
    sample : Sample
    path : str or Path
        The folder to make, by custom ``….zarr``; it appears when it is complete.
    overwrite : bool
        Whether an older volume of tripoint's may be replaced.

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
    return target


def _split(path: str | Path) -> tuple[Path, str | None]:
    """Split ``file.h5:/dataset`` into file and dataset."""
    inside = None if Path(path).exists() else re.fullmatch(_INSIDE, str(path), re.IGNORECASE)
    return (Path(inside[1]), inside[2]) if inside else (Path(path), None)


def _opener(path: Path) -> tuple[Opener, str]:
    """Find what opens a file, and what to call it."""
    if not path.exists():
        names = [f.name for f in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "check the path"
        message = f"there is no file or folder {path}; {hint}"
        raise InputError(message)
    if path.is_dir():
        return _folder_opener(path)
    suffix = path.suffix.lower()
    for kind, (module, suffixes) in _FORMATS.items():
        if suffix in suffixes:
            return import_module(f"tripoint.io.{module}").opened, kind
    raise InputError(_unsupported(path, suffix))


def _folder_opener(path: Path) -> tuple[Opener, str]:
    from tripoint.io import slices, zarr

    if (path / "summary.json").is_file() and (path / "volume.zarr").is_dir():
        return (lambda folder, choice: zarr.opened(folder / "volume.zarr", choice)), "Zarr"
    if path.suffix.lower() == ".zarr" or zarr.is_zarr(path):
        return zarr.opened, "Zarr"
    return slices.opened, "slices"


def _unsupported(path: Path, suffix: str) -> str:
    if suffix in (".am", ".amiramesh"):
        return (
            f"{path} is an Amira mesh, which no well-kept Python package reads; in Amira or Avizo export it "
            "as 3D TIFF or NRRD, or open it in Fiji and save it as TIFF, and give spacing=[z,y,x]"
        )
    if suffix == ".png":
        return f"{path} is a single slice; give the folder that holds all slices"
    known = ", ".join(f"{kind} ({' '.join(suffixes)})" for kind, (_, suffixes) in _FORMATS.items())
    return (
        f"{path} ends in '{suffix}', which is not known; supported are {known}, "
        "OME-Zarr and Zarr (.zarr), and folders of .tif or .png slices"
    )


def _check_choice(choice: Choice, what: str) -> None:
    if what != "raw" and (choice.shape is not None or choice.dtype is not None):
        message = f"shape and dtype are for raw files; a {what} file has its own, leave them out"
        raise InputError(message)
    if choice.channel is not None and what not in ("TIFF", "Zarr"):
        message = f"channel chooses a channel of a TIFF or OME-Zarr; leave it out for {what}"
        raise InputError(message)


def _check_stored(stored: Stored, path: Path) -> None:
    """Refuse what cannot be a volume of phases before any of it is read."""
    if len(stored.shape) != 3:
        kind = "a single slice" if len(stored.shape) == 2 else f"{len(stored.shape)} axes"
        message = (
            f"{path} holds {kind} of shape {tuple(stored.shape)}; expected a 3D volume of labels (z, y, x)"
        )
        raise InputError(message)
    if 0 in stored.shape:
        message = f"the volume in {path} is empty (shape {tuple(stored.shape)}); check how it was written"
        raise InputError(message)
    if stored.dtype.kind not in "uib":
        note = f" ({stored.note})" if stored.note else ""
        message = (
            f"{path} holds {stored.dtype} values{note}; expected integer phase labels, "
            "segment the grey values into phases first"
        )
        raise InputError(message)


def _read_phases(
    stored: Stored,
    box: tuple[slice, slice, slice],
    materials: Materials,
    path: Path,
    progress: Progress | None,
) -> np.ndarray:
    """Read a box run by run into uint8, so that a 64-bit file never stands in memory as such."""
    total = box_shape(box)[0]
    phases = np.empty(box_shape(box), np.uint8)
    for block in blocks(box, stored):
        start, stop = block[0].start - box[0].start, block[0].stop - box[0].start
        # No name holds the block, so that the next is not read while this one still takes memory.
        phases[start:stop] = _in_range(stored.read(block), materials, path, stored.note)
        if progress is not None:
            progress("read", stop, total)
    return phases


def _in_range(values: np.ndarray, materials: Materials, path: Path, note: str) -> np.ndarray:
    """Return the values, unless uint8 would turn labels into others: 256 into 0, -1 into 255."""
    if values.dtype == np.uint8 or values.dtype.kind == "b":
        return values
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high <= 255:
        return values
    found = np.unique(values)
    unknown = [int(v) for v in found if int(v) not in materials.labels]
    shown = ", ".join(map(str, unknown[:8])) + (", …" if len(unknown) > 8 else "")
    advice = (
        "these look like grey values, segment them into phases first"
        if len(found) > 64
        else "choose other materials or set materials.phases.<name>.label"
    )
    message = (
        f"{path} holds {len(found)} labels from {low} to {high}, of which {shown} are not in the materials "
        f"'{materials.name}' ({ {p.name: p.label for p in materials.phases} }); {advice}"
        + (f" ({note})" if note else "")
    )
    raise MaterialsError(message)


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
