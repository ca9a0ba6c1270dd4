"""Two volumes in files come onto one grid, in a folder: read, register, resample, write."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array

from tripoint import _cuda, registration
from tripoint._version import __version__
from tripoint.errors import DeviceMemoryError, InputError
from tripoint.io import ome_zarr, spectra, tables
from tripoint.io.folder import check_output, result_folder
from tripoint.io.grey import Read, Volume
from tripoint.record import Progress
from tripoint.report import registration as report
from tripoint.sample import Spacing, choose_device
from tripoint.tables import on_host

log = logging.getLogger("tripoint")

RIM = 0.05  # of the outer faces with one extreme value, above which it looks like what was not measured
GREY = 16  # values from which on a volume is no set of labels
STEPS = ("read", "register", "check", "resample", "write")

__all__ = ["STEPS", "Volume", "align"]


def align(  # noqa: PLR0913  # each of them is one word on the command line
    fixed: Volume,
    moving: Volume,
    output: str | Path,
    *,
    method: str = "affine",
    rotation: float = 20.0,
    affine: str | Path | None = None,
    start: str | Path | None = None,
    truth: str | Path | None = None,
    outside: float | None = None,
    device: str = "auto",
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Bring a moving volume onto the grid of a fixed one, and write it with all that says how well it fits.

    Parameters
    ----------
    fixed, moving : Volume
    output : str or Path
        Folder to make: ``moved.zarr`` with ``labels/mask``, ``summary.json``, pictures and a report.
    method, rotation
        As of :func:`tripoint.registration.register`.
    affine, start, truth : str or Path, optional
        Files that :func:`tripoint.io.spectra.read_affine` reads: an affine to take as it is, one to start the
        search from, and one that is known to be right, which the result is compared with.  All from the fixed
        volume's corner, whatever part of it is taken.
    outside : float, optional
        Value of voxels that the moving volume does not show; 0, and NaN for real numbers, by default.
    device : {"auto", "cpu", "cuda"}
        ``auto`` takes the GPU where there is one and the volumes fit, and logs which device that is. On the
        GPU they stay; figures and pictures come from there, and the moved volume slab by slab.
    name : str, optional
    overwrite : bool
        Whether an older result may be replaced.
    progress : callable, optional

    Returns
    -------
    dict
        What ``summary.json`` holds.

    Raises
    ------
    InputError
        Files that cannot be read, volumes without contrast or overlap, as the functions above.
    DeviceError
        ``device="cuda"`` where there is no GPU.
    DeviceMemoryError
        With ``device="cuda"``: the volumes do not fit there. With ``auto`` the work is then done on the host,
        and a line of the log says why.
    OutputError
        The folder exists or cannot be written; nothing is left then.

    Notes
    -----
    Memory: 17 bytes per voxel of the moving volume, 4 of the fixed one, and some 0.5 GB. On the GPU up to
    25, 4 and 0.8 GB, and 4 per voxel of either on the host. The moved volume lies on the disk while it is
    made.
    """
    target, begun, place = check_output(output, overwrite), time.perf_counter(), choose_device(device)
    told = progress or (lambda *_: None)
    told(STEPS[0], 0, len(STEPS))
    still, moved = fixed.read("fixed"), moving.read("moving")
    fill = _outside(outside, moved.dtype)
    before = (np.eye(4) if start is None else spectra.read_affine(start)) @ still.corner
    known = None if truth is None else spectra.read_affine(truth) @ still.corner
    given = None if affine is None else spectra.read_affine(affine) @ still.corner
    task = _Task(
        said={
            "schema": 1,
            "name": name or f"{Path(moving.path).name} on {Path(fixed.path).name}",
            "fixed": _described(fixed, still),
            "moving": _described(moving, moved),
            "method": "given" if given is not None else method,
            "outside": None if np.isnan(fill) else fill,
        },
        begun=begun,
        before=before,
        given=given,
        known=known,
        method=method,
        rotation=rotation,
        fill=fill,
        target=target,
        overwrite=overwrite,
        told=told,
    )
    doubts = _rims({"blank": still.values, "moving_blank": moved.values})
    if place == "cuda":
        try:
            with _cuda.registration.budget(moved.values.shape, still.values.shape, registration.SLAB):
                return task.done(still.on_gpu(), moved.on_gpu(), doubts)
        except DeviceMemoryError as error:
            if device != "auto":
                raise
            log.warning("device: cpu (%s)", str(error))  # the error itself holds on to GPU memory
    return task.done(still, moved, doubts)


@dataclass(frozen=True, eq=False)
class _Task:
    """What was asked for, with all that could be checked before anything is computed."""

    said: dict[str, Any]
    begun: float
    before: np.ndarray
    given: np.ndarray | None
    known: np.ndarray | None
    method: str
    rotation: float
    fill: float
    target: Path
    overwrite: bool
    told: Progress

    def done(self, still: Read, moved: Read, doubts: list[str]) -> dict[str, Any]:
        """Register, check and write two volumes where they live; return the summary."""
        self.told(STEPS[1], 1, len(STEPS))
        found = self._found(still, moved)
        self.told(STEPS[2], 2, len(STEPS))
        pair = moved.values, moved.voxel, still.values, still.voxel
        local = registration.local_shifts(*pair, found.affine)
        figures = {
            **found.to_mapping(),
            "affine": (found.affine @ np.linalg.inv(still.corner)).tolist(),
            "local_shifts": local.to_mapping(),
        }
        warnings = [*doubts, *figures.pop("warnings"), *_doubts(local, still.voxel, moved.voxel)]
        summary = {**self.said, "registration": figures, "warnings": warnings}
        if self.known is not None:
            summary["truth"] = _compared(found.affine, self.known, still.values.shape, still.voxel)
        with result_folder(self.target, self.overwrite) as folder:
            summary["covered"] = self._moved(folder, still, moved, found.affine, figures["affine"])
            planes = report.planes(
                still.values, still.voxel, moved.values, moved.voxel, (self.before, found.affine)
            )
            summary["run"] = {
                "version": __version__,
                "device": "cuda" if is_cupy_array(still.values) else "cpu",
                "seconds": time.perf_counter() - self.begun,
            }
            report.picture(planes).save(folder / "overlay.png")
            summary = tables.plain(summary)
            (folder / "report.html").write_text(report.render(summary, planes), encoding="utf-8")
            text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
            (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        self.told("done", len(STEPS), len(STEPS))
        return summary

    def _found(self, still: Read, moved: Read) -> registration.Registration:
        """Search, or assess what was given."""
        pair = moved.values, still.values
        sizes: dict[str, Any] = {"moving_spacing": moved.voxel, "spacing": still.voxel}
        if self.given is not None:
            return registration.assess(*pair, self.given, **sizes, start=self.before)
        return registration.register(
            *pair, **sizes, method=self.method, start=self.before, rotation=self.rotation
        )

    def _moved(
        self, folder: Path, still: Read, moved: Read, affine: np.ndarray, whole: list[list[float]]
    ) -> list[list[int]] | None:
        """Write the moving volume on the fixed grid; return the box that it covers."""
        self.told(STEPS[3], 3, len(STEPS))
        shape = still.values.shape
        parts = registration.slabs(
            moved.values, affine, moving_spacing=moved.voxel, shape=shape, spacing=still.voxel
        )
        with _written(folder / "scratch", parts, shape, moved.dtype, self.fill) as (volume, mask):
            self.told(STEPS[4], 4, len(STEPS))
            about = {"affine": whole, **{key: self.said[key]["path"] for key in ("moving", "fixed")}}
            labels = {"mask": mask}
            ome_zarr.write_image(
                folder / "moved.zarr", volume, still.voxel, self.said["name"], labels, about=about
            )
            return registration.covered(mask)


@contextmanager
def _written(
    scratch: Path,
    parts: Iterable[tuple[int, Any]],
    shape: Sequence[int],
    dtype: np.dtype[Any],
    outside: float,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give slabs as one volume of a type, and where they have a value, as files that go afterwards."""
    scratch.mkdir()
    size = tuple(map(int, shape))
    volume = _allocated(scratch / "volume.npy", dtype, size)
    mask = _allocated(scratch / "mask.npy", np.dtype(np.uint8), size)
    for z, slab in parts:
        xp = array_namespace(slab)
        there = xp.isfinite(slab)
        whole = xp.where(there, slab, outside)
        if dtype.kind in "ui":
            limits = np.iinfo(dtype)
            whole = xp.clip(xp.rint(whole), limits.min, limits.max)
        volume[z : z + len(slab)] = on_host(whole.astype(dtype.newbyteorder("=")))
        mask[z : z + len(slab)] = on_host(there)
    yield volume, mask
    shutil.rmtree(scratch)


def _allocated(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Return a file's memory map that has its space on the disk: without, a full disk kills the process."""
    volume = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return volume


def _outside(value: float | None, dtype: np.dtype[Any]) -> float:
    """Return what stands where the moving volume shows nothing, a value that its type can hold."""
    if value is None:
        return 0.0 if dtype.kind in "uib" else float("nan")
    highest = 1 if dtype.kind == "b" else np.iinfo(dtype).max if dtype.kind in "ui" else np.finfo(dtype).max
    lowest = 0 if dtype.kind == "b" else np.iinfo(dtype).min if dtype.kind in "ui" else np.finfo(dtype).min
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not lowest <= value <= highest or (dtype.kind in "uib" and value != int(value)):
        message = f"outside is {value!r}; expected a number that {dtype} can hold, as the moving volume is"
        raise InputError(message)
    return float(value)


def _described(volume: Volume, read: Read) -> dict[str, Any]:
    shape = read.values.shape
    roi = [[start, start + n] for start, n in zip(volume.starts, shape, strict=True)]
    return {
        "path": str(volume.path),
        "shape": list(shape),
        "dtype": str(read.dtype),
        "spacing": list(read.voxel),
        "roi": None if volume.roi is None else roi,
    }


def _rims(volumes: dict[str, np.ndarray]) -> list[str]:
    """Warn of volumes whose faces hold much of their lowest or highest value and of little else."""
    found = []
    for key, values in volumes.items():
        faces = [
            np.take(values, at, axis).ravel()
            for axis, n in enumerate(values.shape)
            if n > 1
            for at in (0, -1)
        ]
        rim = np.concatenate(faces)
        if len(np.unique(rim[:: max(1, rim.size // 10_000)])) < GREY:
            continue
        for extreme in (np.nanmin(values), np.nanmax(values)):
            share, inside = float((rim == extreme).mean()), float((values == extreme).mean())
            if share > RIM and share > inside:
                which = "moving" if key == "moving_blank" else "fixed"
                found.append(
                    f"{share:.0%} of the outer faces of the {which} volume are {extreme:g}; if nothing was "
                    f"measured there, say so with {key}={extreme:g}, or the affine suffers"
                )
    return found


def _doubts(local: registration.LocalShifts, voxel: Spacing, moving_voxel: Spacing) -> list[str]:
    figures = local.to_mapping()
    coarsest = max(*voxel, *moving_voxel)
    if figures["median"] is None:
        return ["no part of the two volumes says clearly how far it lies beside the other"]
    if figures["median"] > coarsest:
        return [
            f"parts of the moving volume still lie {figures['median']:.3g} µm beside the fixed one (the "
            f"median of {figures['clear_parts']}), more than a voxel; an affine may not be enough, or it is "
            "not found"
        ]
    return []


def _compared(found: np.ndarray, known: np.ndarray, shape: Sequence[int], voxel: Spacing) -> dict[str, Any]:
    """Return how far the corners of the fixed volume are put from where they should be, µm."""
    extent = np.array(shape) * voxel
    corners = np.array([[*(extent * corner), 1.0] for corner in product((0, 1), repeat=3)])
    off = np.linalg.norm(((found - known) @ corners.T)[:3], axis=0)
    return {"worst_corner": float(off.max()), "mean_corner": float(off.mean())}
