"""Fits of energy stacks beside scipy's nnls in the same run, aggregation, and the memory they take.

    python benchmarks/bench_spectro.py [--output benchmarks/results] [--quick]

Spectra are mixtures of the real reference spectra where they are at hand, else of synthetic ones. Seconds are
the least of several; the stack lies in a memory map, so that what is measured is what the fit itself takes.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from measuring import argument_parser, least, machine, status, watched, write
from tripoint import spectro
from tripoint.io import spectra

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="the small stack alone")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"machine": {**machine(), "load": os.getloadavg()[0]}}
    with tempfile.TemporaryDirectory() as folder:
        for name, shape in [("32", (32, 32, 32))] + ([] if arguments.quick else [("96", (96, 96, 96))]):
            results[name] = fits(shape, Path(folder))
            print(name, json.dumps(results[name], indent=1), flush=True)
    results["aggregate"] = aggregation(96 if arguments.quick else 256)
    print("aggregate", results["aggregate"])
    write(results, arguments.output, "spectro_cpu.json")


def fits(shape: tuple[int, ...], folder: Path) -> dict[str, Any]:
    references = library()
    energies = np.linspace(7095, 7195, 60)
    rng = np.random.default_rng(0)
    weights = np.moveaxis(rng.dirichlet([0.5] * 4, shape), -1, 0)
    matrix = references.at(energies)
    stack = np.lib.format.open_memmap(
        folder / f"stack_{shape[0]}.npy", mode="w+", dtype=np.float32, shape=(60, *shape)
    )
    for z in range(shape[0]):
        pure = np.tensordot(matrix, weights[:, z], 1)
        stack[:, z] = pure + rng.normal(size=pure.shape) * 0.01
    normal = spectro.Normalisation(7120.0, (7095.0, 7108.0), (7150.0, 7195.0))
    cases: dict[str, dict[str, Any]] = {
        "weights": {"references": references},
        "nonnegative_sum_to_one": {"references": references, "sum_to_one": True},
        "unconstrained": {"references": references, "nonnegative": False},
        "white_line": {"edge": spectro.EdgePosition("white_line", (7115.0, 7140.0), 4.0)},
        "everything": {
            "references": references,
            "normalisation": normal,
            "edge": spectro.EdgePosition("half_edge", (7105.0, 7140.0)),
            "noise": 0.01,
        },
    }
    voxels = int(np.prod(shape))
    result: dict[str, Any] = {"voxels": voxels, "energies": 60, "references": 4}
    for name, options in cases.items():
        seconds, maps = least(lambda options=options: spectro.fit(stack, energies, **options), 2)
        rise = peak(lambda options=options: spectro.fit(stack, energies, **options))
        result[name] = {
            "seconds": round(seconds, 3),
            "mvoxel_per_second": round(voxels / seconds / 1e6, 3),
            "working_mbytes": round((rise - 4 * voxels * len(maps.volumes)) / 1e6),
        }
    sample = np.asarray(stack[:, 0], np.float64).reshape(60, -1)[:, :2000]
    seconds, _ = least(lambda: [nnls(matrix, column) for column in sample.T], 1)
    result["scipy_nnls_mvoxel_per_second"] = round(sample.shape[1] / seconds / 1e6, 4)
    return result


def aggregation(edge: int) -> dict[str, Any]:
    """Regions are cubes of 16 voxels."""
    place = np.arange(edge, dtype=np.int32) // 16
    n = int(place.max()) + 1
    regions = (place[:, None, None] * n + place[:, None]) * n + place + np.int32(1)
    values = np.random.default_rng(0).random(regions.shape, np.float32)
    seconds, table = least(lambda: spectro.aggregate(regions, values), 2)
    used = peak(lambda: spectro.aggregate(regions, values))
    return {
        "voxels": regions.size,
        "regions": len(table),
        "seconds": round(seconds, 3),
        "bytes_per_voxel": round(used / regions.size, 2),
    }


def library() -> spectro.References:
    names = ["LiFe(II)PO4", "Pyrite", "StainlessSteelNP", "Hematite_NP"]
    file = DATA / "fe_xanes_map" / "FeLibNov2021.nor"
    if file.is_file():
        return spectra.read_references(file, names)
    energies = np.arange(7090.0, 7200.0, 0.5)
    columns = [1 / (1 + np.exp(-(energies - at) / 1.5)) for at in (7117, 7119, 7121, 7124)]
    return spectro.References(tuple(names), energies, np.stack(columns, axis=1))


def peak(action: Callable) -> int:
    """Return by how much anonymous memory rose at most; a memory map's pages can be given back."""
    if not Path("/proc/self/status").exists():
        return 0
    return watched(action, lambda: status("RssAnon"))


if __name__ == "__main__":
    main()
