"""Which module opens which file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path

from tripoint.errors import InputError
from tripoint.io.stored import Choice, Stored

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
#: Volume of a folder that analyze and segment, or register wrote.
RESULTS = ("volume.zarr", "moved.zarr")
_INSIDE = r"(.+\.(?:h5|hdf5|hdf|npz|zarr)/?):(.+)"  # file.h5:/dataset


def split_inside(path: str | Path) -> tuple[Path, str | None]:
    """Split ``file.h5:/dataset`` into file and dataset."""
    inside = None if Path(path).exists() else re.fullmatch(_INSIDE, str(path), re.IGNORECASE)
    return (Path(inside[1]), inside[2]) if inside else (Path(path), None)


def find_opener(path: Path) -> tuple[Opener, str]:
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

    result = [name for name in RESULTS if (path / "summary.json").is_file() and (path / name).is_dir()]
    if result:
        return (lambda folder, choice: zarr.opened(folder / result[0], choice)), "Zarr"
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
