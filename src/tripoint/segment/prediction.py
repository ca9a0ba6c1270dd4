"""Grey volumes larger than memory, segmented slab by slab into OME-Zarr; what was done stays."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr

from tripoint import films
from tripoint._version import __version__
from tripoint.database.content import hash_settings
from tripoint.errors import InputError, OutputError
from tripoint.io import ome_zarr
from tripoint.io.folder import check_output, result_folder
from tripoint.io.formats import split_inside
from tripoint.io.signals import endings_as_exceptions, uninterrupted
from tripoint.io.tables import plain
from tripoint.islands import remove_islands
from tripoint.materials import Materials
from tripoint.record import Progress, RunRecord
from tripoint.sample import Sample, Spacing, check_spacing
from tripoint.segment import volumes
from tripoint.segment.methods import Method, Segmented
from tripoint.segment.volumes import GreyVolume

log = logging.getLogger("tripoint")

VOLUME, SUMMARY = "volume.zarr", "summary.json"
SLAB = 32
"""Slices that are segmented, written and ticked off together."""

FEWEST = 8
"""Voxels of the smallest piece that stays by default: as of a particle that is no fragment in an analysis."""

PROBABILITIES, UNCERTAINTY = "probabilities", "uncertainty"
STORED = {"uint8": 255.0, "float16": 1.0}
"""Types of stored shares, and what stands for 1."""


@dataclass(frozen=True)
class Wanted:
    """What is written besides the phases.

    Parameters
    ----------
    probabilities : {"uint8", "float16"}, optional
        Type of a volume per phase; uint8 holds 255 times the probability.
    uncertainty : {"entropy", "disagreement"}, optional
        A volume of 0 to 255, where 255 is as uncertain as can be.
    """

    probabilities: str | None = None
    uncertainty: str | None = None

    def of(self, method: Method) -> tuple[str, ...]:
        """Return what to ask of a method.

        Raises
        ------
        InputError
            It cannot tell that; a type that is none of those.
        """
        if self.probabilities not in (None, *STORED):
            message = f"probabilities is {self.probabilities!r}; expected {', '.join(STORED)} or null"
            raise InputError(message)
        asked: tuple[str, ...] = (PROBABILITIES,) if self.probabilities else ()
        asked += (self.uncertainty,) if self.uncertainty else ()
        missing = [name for name in asked if name not in method.gives]
        if missing:
            told = ", ".join(method.gives) or "nothing but phases"
            message = (
                f"{missing[0]} is asked for, and this method tells {told}; a trained network tells "
                "probabilities and "
                "entropy, an ensemble of several also disagreement"
            )
            raise InputError(message)
        return asked


def predict(  # noqa: PLR0913  # each of them is one word on the command line
    images: str | Path | Sequence[str | Path],
    method: Method,
    output: str | Path,
    *,
    channels: Sequence[int] | None = None,
    roi: Any = None,
    wanted: Wanted | None = None,
    smallest: float | None = None,
    spacing: Any = None,
    units: str | None = None,
    name: str | None = None,
    origin: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Segment a grey volume.

    Slabs of `SLAB` slices are read, segmented and written one after the other into a folder beside the
    output, ``.NAME.unfinished``; the output appears when all is done. A run that was stopped goes on after
    the last slab that was ticked off, with the same settings only.

    Parameters
    ----------
    images : path or sequence of paths
    channels, roi
        As of `volumes.opened`.
    method : Method
        ``tiles.Tiled`` or one of `classical`, fitted to the volume.
    output : path
        A folder with ``volume.zarr`` (OME-Zarr: phases, and in ``channels`` what is ``wanted``) and
        ``summary.json``. ``tripoint analyze input=OUTPUT`` reads it.
    wanted : Wanted, optional
    smallest : float, optional
        Volume below which a piece of a phase is given to what surrounds it, µm³; by default `FEWEST` voxels,
        and 0 leaves all.
    spacing : (z, y, x), optional
        Voxel size in µm; by default the files'.
    origin : mapping, optional
        What else decides what comes out, and is kept in the summary: the checkpoint, the method's settings.
    overwrite : bool
    progress : callable, optional

    Returns
    -------
    dict
        What ``summary.json`` holds.

    Raises
    ------
    InputError
        Grey values that are not finite, no voxel size, an unfinished run with other settings.
    OutputError
        The output exists or cannot be written; no space is left, then what was done stays.

    Notes
    -----
    Memory: a slab with its halo, (4 · channels + 1 + 4 · what is wanted) bytes per voxel, and what the
    network takes for a tile. On disk the phases stand twice until the run is complete.
    """
    target = check_output(output, overwrite)
    wanted = wanted or Wanted()
    asked = wanted.of(method)
    with volumes.opened(images, channels, roi) as grey:
        voxel = _voxel(grey, spacing, units)
        settings = {
            "images": [_state(path) for path in grey.names], "channels": channels, "roi": roi,
            "shape": grey.shape, "spacing": voxel, "materials": method.materials.to_mapping(),
            "wanted": vars(wanted), "smallest": smallest, "origin": origin or {}, "slab": SLAB,
        }  # fmt: skip
        work = _Work(target.with_name(f".{target.name}.unfinished"), hash_settings(plain(settings)))
        record = RunRecord(3, plain(settings), None)
        with _no_space(work.folder), endings_as_exceptions():
            arrays = work.begin(grey.shape, method.materials, wanted)
            with record.step("segment"), work.without_bad_input():
                resumed = _segment(grey, method, asked, wanted, arrays, work, progress)
            with record.step("clean"):
                least = FEWEST if smallest is None else math.ceil(smallest / math.prod(voxel) - 1e-9)
                changed = work.cleaned(arrays, least, progress) if least > 1 else 0
            with record.step("check"):
                found = films.scan(arrays["phases"], method.materials.labels)
                gaps = grey.gaps()
    total = sum(found.voxels.values())
    summary = plain(
        {
            "schema": 1, "tripoint": __version__, "task": "segment", "mode": "predict",
            "name": name or Path(grey.names[0]).stem, "images": list(grey.names), "shape": grey.shape,
            "spacing": voxel, "roi": roi, "slices": {"first": grey.numbers[0], "last": grey.numbers[-1]},
            "materials": method.materials.to_mapping(), **(origin or {}),
            "phases": {
                phase.name: {
                    "fraction": found.voxels.get(phase.label, 0) / total,
                    "in_films": found.fraction(phase.label),
                }
                for phase in method.materials.phases
            },
            "least_voxels": least, "cleaned_voxels": changed,
            "not_shown": dict(zip(grey.names, gaps, strict=False)),
            "warnings": [*found.warnings(method.materials), *volumes.tell_gaps(grey.names, gaps)],
            "run": {"seconds": record.seconds, "peak_bytes": record.peak_bytes,
                    "slabs_done_before": resumed, "voxels": math.prod(grey.shape)},
        }
    )  # fmt: skip
    channels_found = {kind: array for kind, array in arrays.items() if kind != "phases"}
    volume = _Volume(arrays["phases"], voxel, method.materials, channels_found, summary["name"])
    with result_folder(target, overwrite) as folder:
        ome_zarr.write(folder / VOLUME, cast(Sample, volume), {})
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
    shutil.rmtree(work.folder, ignore_errors=True)
    return summary


@dataclass(frozen=True)
class _Volume:
    """What `io.ome_zarr.write` takes of a sample, in files."""

    phases: Any
    spacing: Spacing
    materials: Materials
    channels: Mapping[str, Any]
    name: str


@dataclass(frozen=True)
class _Work:
    """The folder of a run that is not complete: arrays, and which slabs are done.

    Parameters
    ----------
    folder : Path
    settings : str
        Hash of all that decides what comes out.
    """

    folder: Path
    settings: str
    done: list[int] = field(default_factory=list)

    def begin(self, shape: tuple[int, ...], materials: Materials, wanted: Wanted) -> dict[str, Any]:
        """Open the arrays, or make them.

        Raises
        ------
        InputError
            The folder is of a run with other settings.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        state = self._state()
        if state is not None and state["settings"] != self.settings:
            message = (
                f"{self.folder} holds an unfinished run with other settings or images; finish it with those, "
                "or "
                "remove that folder"
            )
            raise InputError(message)
        kinds = {"phases": "uint8"}
        if wanted.probabilities:
            kinds |= {f"probability_{phase.name}": wanted.probabilities for phase in materials.phases}
        if wanted.uncertainty:
            kinds |= {UNCERTAINTY: "uint8"}
        if state is not None:
            self.done.extend(state["done"])
            return {kind: zarr.open_array(str(self.folder / f"{kind}.zarr"), mode="r+") for kind in kinds}
        chunks = (min(SLAB, shape[0]), *(min(512, n) for n in shape[1:]))
        with uninterrupted():
            arrays = {
                kind: zarr.create_array(
                    str(self.folder / f"{kind}.zarr"), shape=shape, dtype=dtype, chunks=chunks, overwrite=True
                )
                for kind, dtype in kinds.items()
            }
            self._tick()
        return arrays

    @contextmanager
    def without_bad_input(self) -> Iterator[None]:
        """Remove the folder where grey values are refused: others would be another run."""
        try:
            yield
        except InputError:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def finish(self, slab: int) -> None:
        """Tick a slab off."""
        self.done.append(slab)
        self._tick()

    def cleaned(self, arrays: dict[str, Any], least: int, progress: Progress | None) -> int:
        """Remove islands; where that was stopped halfway, what has gone already is gone."""
        return remove_islands(arrays["phases"], least, progress=progress)

    def _tick(self) -> None:
        beside = self.folder / ".work.json"
        beside.write_text(json.dumps({"settings": self.settings, "done": self.done}))
        os.replace(beside, self.folder / "work.json")

    def _state(self) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = json.loads((self.folder / "work.json").read_text())
        except (OSError, ValueError):
            return None
        return state


def _segment(
    grey: GreyVolume,
    method: Method,
    asked: tuple[str, ...],
    wanted: Wanted,
    arrays: dict[str, Any],
    work: _Work,
    progress: Progress | None,
) -> int:
    """Segment the slabs that are not done; return how many were."""
    depth = grey.shape[0]
    slabs = [(z, min(z + SLAB, depth)) for z in range(0, depth, SLAB)]
    before = len(work.done)
    if before:
        log.info("%d of %d slabs were done before", before, len(slabs))
    rest = [number for number in range(len(slabs)) if number not in set(work.done)]
    labels = np.array(method.materials.labels, np.uint8)
    blocks = grey.blocks([slabs[number] for number in rest], method.halo)
    begun, voxels = time.perf_counter(), 0
    for number, block in zip(rest, blocks, strict=True):
        start, stop = slabs[number]
        if progress is not None:
            rate = f", {voxels / 1e6 / (time.perf_counter() - begun):.1f} Mvoxel/s" if voxels else ""
            progress(f"segmenting{rate}", len(work.done), len(slabs))
        found = method(block, asked)
        with uninterrupted():
            _store(arrays, found, labels, wanted, method.materials, slice(start, stop))
        work.finish(number)
        voxels += found.classes.size
    if progress is not None:
        progress("segmenting", len(slabs), len(slabs))
    return before


def _store(
    arrays: dict[str, Any],
    found: Segmented,
    labels: np.ndarray,
    wanted: Wanted,
    materials: Materials,
    rows: slice,
) -> None:
    arrays["phases"][rows] = labels[found.classes]
    if wanted.probabilities and found.probabilities is not None:
        for phase, share in zip(materials.phases, found.probabilities, strict=True):
            scaled = share * STORED[wanted.probabilities]
            scaled = np.rint(scaled) if wanted.probabilities == "uint8" else scaled
            arrays[f"probability_{phase.name}"][rows] = scaled.astype(wanted.probabilities)
    if wanted.uncertainty and found.uncertainty is not None:
        arrays[UNCERTAINTY][rows] = np.rint(found.uncertainty * 255).astype(np.uint8)


def _voxel(grey: GreyVolume, given: Any, units: str | None) -> Spacing:
    found = grey.spacing(given, units)
    if found is None:
        message = f"{grey.names[0]} does not state its voxel size; give it as spacing=[z,y,x] in µm"
        raise InputError(message)
    return check_spacing(found)


def _state(name: str) -> list[Any]:
    """Return what tells that a volume is still the same: its place, its files' number, size, newest time."""
    path, inner = split_inside(name)
    files = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
    told = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    return [
        str(path.resolve()),
        inner,
        len(told),
        sum(size for size, _ in told),
        max((t for _, t in told), default=0),
    ]


@contextmanager
def _no_space(folder: Path) -> Iterator[None]:
    """Say that the disk is full, and that what was done stays."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            message = (
                f"there is no space left for {folder}; free some and give the same command, which goes on "
                "from there, "
                "or remove that folder"
            )
            raise OutputError(message) from error
        message = f"{folder} cannot be written ({error.strerror or error}); choose another output"
        raise OutputError(message) from error
