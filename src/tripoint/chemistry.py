"""An energy stack in a file becomes chemical maps in a folder: read, fit, register, write."""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tripoint import registration, spectro
from tripoint._version import __version__
from tripoint.errors import InputError
from tripoint.io import ome_zarr, spectra, stack, tables
from tripoint.io.folder import check_output, result_folder
from tripoint.record import Progress
from tripoint.sample import Spacing, check_spacing, choose_device

log = logging.getLogger("tripoint")

#: Above this median of the reduced chi-square the references do not explain the spectra.
UNEXPLAINED = 2.0


def measure(  # noqa: PLR0913  # each of them is one word on the command line
    source: str | Path,
    energies: str | Path | Sequence[float],
    output: str | Path,
    *,
    spacing: Sequence[float] | float | None = None,
    units: str | None = None,
    references: str | Path | None = None,
    use: Sequence[str] | None = None,
    register: Mapping[str, Any] | None = None,
    device: str = "cpu",
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **treatment: Any,
) -> dict[str, Any]:
    """Fit an energy stack and write its maps, which appear when they are complete and not before.

    Parameters
    ----------
    source : str or Path
        What :func:`tripoint.io.stack.opened` opens; it is read part by part.
    energies : str, Path or sequence of float
        As :func:`tripoint.io.spectra.read_energies` takes them.
    output : str or Path
        Folder to make: ``maps.zarr``, ``summary.json``; registered, ``registered.zarr`` and ``affine.txt``.
    spacing, units
        Voxel size of the stack, which wins over the file's.
    references, use
        As :func:`tripoint.io.spectra.read_references` takes them.
    register : mapping, optional
        ``to`` (a volume), ``label``, ``spacing``, ``by`` (a map), ``method``, ``start`` (a file).
    device : {"cpu", "cuda", "auto"}
    name : str, optional
    overwrite : bool
        Whether an older result may be replaced.
    progress : callable, optional
    **treatment
        What :func:`tripoint.spectro.fit` does to the spectra: ``transmission``, ``within``, ``noise``,
        ``normalisation``, ``least_step``, ``edge``, ``charge``, ``nonnegative``, ``sum_to_one``.

    Returns
    -------
    dict
        What ``summary.json`` holds.

    Raises
    ------
    InputError
        As the functions above.
    OutputError
        The folder exists or cannot be written; nothing is left then.

    Notes
    -----
    Memory: that of :func:`tripoint.spectro.fit` but for the maps, which are memory maps in the folder until
    they are packed; 4 bytes per voxel and map of the disk. Registering, 13 bytes per voxel of the map and 12
    of the structure.
    """
    target = check_output(output, overwrite)
    begun = time.perf_counter()
    listed = spectra.read_energies(energies)
    known = None if references is None else spectra.read_references(references, use)
    place = choose_device(device)
    with stack.opened(source) as opened, result_folder(target, overwrite) as folder:
        voxel = opened.voxel(spacing, units)
        scratch = folder / "scratch"
        scratch.mkdir()
        maps = spectro.fit(
            opened,
            listed,
            references=known,
            device=place,
            allocate=lambda key, shape: np.lib.format.open_memmap(
                scratch / f"{key}.npy", mode="w+", dtype=np.float32, shape=shape
            ),
            step=opened.step,
            progress=progress,
            **treatment,
        )
        about = {"name": name or Path(str(source)).stem, "references": dict(maps.names)}
        ome_zarr.write_maps(folder / "maps.zarr", maps.volumes, voxel, about)
        summary = _summary(about, opened, listed, maps, voxel)
        if register is not None:
            summary["registration"] = _register(register, maps, voxel, folder, about, progress)
            summary["warnings"] += summary["registration"].pop("warnings")
        summary["run"] = {"version": __version__, "device": place, "seconds": time.perf_counter() - begun}
        shutil.rmtree(scratch)
        text = json.dumps(tables.plain(summary), indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    return summary


def _summary(
    about: Mapping[str, Any], opened: stack.Stack, listed: np.ndarray, maps: spectro.Maps, voxel: Spacing
) -> dict[str, Any]:
    statistics = {key: _statistics(volume) for key, volume in maps.volumes.items()}
    return {
        "schema": 1,
        "stack": {
            "name": about["name"],
            "shape": list(opened.shape),
            "spacing": list(voxel),
            "energies": len(listed),
            "energies_used": len(maps.energies),
            "energy_range": [float(maps.energies[0]), float(maps.energies[-1])],
        },
        "references": dict(maps.names),
        "maps": statistics,
        "warnings": _warnings(statistics),
    }


def _statistics(volume: Any) -> dict[str, Any]:
    """Return what is said of a map, slice by slice, so that it may lie on disk."""
    count, total, squares, low, high = 0, 0.0, 0.0, math.inf, -math.inf
    sample = []
    every = max(1, volume.size // 1_000_000)
    for plane in volume:
        values = np.asarray(plane, np.float64).ravel()
        values = values[np.isfinite(values)]
        if not values.size:
            continue
        mean = values.mean()
        # Parts' squares about the mean add up without cancelling (Chan, Golub & LeVeque 1983).
        squares += float(((values - mean) ** 2).sum())
        if count:
            squares += (mean - total / count) ** 2 * count * values.size / (count + values.size)
        count, total = count + values.size, total + float(values.sum())
        low, high = min(low, float(values.min())), max(high, float(values.max()))
        sample.append(values[::every])
    if not count:
        return {"covered": 0.0, "mean": None, "std": None, "median": None, "min": None, "max": None}
    return {
        "covered": count / volume.size,
        "mean": total / count,
        "std": math.sqrt(squares / count),
        "median": float(np.median(np.concatenate(sample))),
        "min": low,
        "max": high,
    }


def _warnings(statistics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    warnings = []
    most = max(one["covered"] for one in statistics.values())
    for key, one in statistics.items():
        if one["covered"] < 0.9 * most:
            share = one["covered"] / most
            warnings.append(f"the map '{key}' has a value in {share:.0%} of the voxels that have a spectrum")
    quality = statistics.get("chi_square", {}).get("median")
    if quality is not None and quality > UNEXPLAINED:
        warnings.append(
            f"the references do not explain the spectra: the median of the reduced chi-square is "
            f"{quality:.1f}; one is missing, the noise is larger than was given, or the energies are shifted"
        )
    return warnings


def _register(
    settings: Mapping[str, Any],
    maps: spectro.Maps,
    voxel: Spacing,
    folder: Path,
    about: Mapping[str, Any],
    progress: Progress | None,
) -> dict[str, Any]:
    """Register one of the maps, write all of them on the structure's grid, and return what was found."""
    structure, stated = stack.read_map(settings["to"])
    given = settings.get("spacing")
    size = stated if given is None else check_spacing(given)
    if size is None:
        message = f"{settings['to']} does not state its voxel size; give it as register.spacing=[z,y,x] in µm"
        raise InputError(message)
    if settings.get("label") is not None:
        structure = (structure == settings["label"]).astype(np.float32)
    start = settings.get("start")
    if progress is not None:
        progress("register", 0, 1)
    found = registration.register(
        _shown(settings.get("by"), maps),
        structure,
        moving_spacing=voxel,
        spacing=size,
        method=settings.get("method", "affine"),
        start=None if start is None else spectra.read_affine(start),
    )
    shape = structure.shape
    del structure
    moved = {}
    for key, volume in maps.volumes.items():
        out = np.lib.format.open_memmap(
            folder / "scratch" / f"registered_{key}.npy", mode="w+", dtype=np.float32, shape=shape
        )
        if np.isfinite(volume).any():
            moved[key] = registration.resample(
                volume, found.affine, moving_spacing=voxel, shape=shape, spacing=size, out=out
            )
    ome_zarr.write_maps(folder / "registered.zarr", moved, size, about)
    header = "µm of the structure (z, y, x, 1) to µm of the map"
    np.savetxt(folder / "affine.txt", found.affine, header=header, encoding="utf-8")
    return found.to_mapping()


def _shown(by: str | None, maps: spectro.Maps) -> Any:
    """Return the map to register by; where none is named, one that shows where there is material."""
    if by is not None:
        if by not in maps.volumes:
            message = f"there is no map '{by}' to register by; there are {', '.join(maps.volumes)}"
            raise InputError(message)
        return maps.volumes[by]
    if "step" in maps.volumes:
        return maps.volumes["step"]
    if maps.names:
        first, *others = maps.names
        amount = np.array(maps.volumes[first])
        for key in others:
            amount += maps.volumes[key]
        return amount
    return maps.volumes["edge"]
