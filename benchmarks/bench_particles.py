"""Separation beside porespy's SNOW in the same run: quality, speed, memory; descriptors beside scikit-image.

    python benchmarks/bench_particles.py [--output benchmarks/results] [--no-peer] [--quick]

Both start from the labelled volume, so distances are included.  Quality is the adjusted Rand index against
packings of known truth.  Seconds are the least of several; compare the ratios, not the seconds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import packings
from measuring import argument_parser, first_starts, least, machine, reset_peak, write
from measuring import peak as highest
from tripoint import distance, particles

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--no-peer", action="store_true", help="leave out porespy and scikit-image")
    parser.add_argument("--quick", action="store_true", help="packings alone, not the real volumes")
    arguments = parser.parse_args()
    peer = not arguments.no_peer
    results: dict = {
        "machine": machine(),
        "first_start_seconds": first_start(),
        "quality": {
            # the rim of 3/4 voxel and the hardest overlap were chosen on these
            "chosen_on": quality(packings.cases(seed=0) + packings.cases(seed=1), peer),
            "held_out": quality([case for seed in (2, 3, 4) for case in packings.cases(seed=seed)], peer),
            # a known weakness, reported and not part of the bar
            "wide_necks": quality([case for seed in (0, 1, 2) for case in packings.wide_necks(seed)], peer),
        },
    }
    for name, phases, labels in volumes(arguments.quick):
        results[name] = speed(phases, labels, peer=peer) | {"peak_bytes_per_voxel": peak(phases, labels)}
        print(name, json.dumps(results[name]), flush=True)
    write(results, arguments.output, "particles_cpu.json")


def quality(cases: list[packings.Packing], peer: bool) -> dict:
    """Index of every packing; the bar is SNOW's less 0.002 on each, and better on average."""
    table = {}
    print(f"{'packing':28s}  true  ours (n)       SNOW (n)     speed ratio")
    for case in cases:
        name = f"{case.name} #{1 + sum(key.startswith(case.name + ' #') for key in table)}"
        inside = case.truth > 0
        seconds, regions = least(lambda phases=case.phases: particles.separate(phases, labels=[1]), 3)
        row = {"true": case.number, "ours": index(case, regions), "number": number(regions[inside])}
        if peer:
            snow_seconds, snow = least(lambda mask=case.phases == 1: porespy_snow(mask), 1)
            row |= {"snow": index(case, snow), "snow_number": number(snow[inside])}
            row |= {"speed_ratio": round(snow_seconds / seconds, 1)}
        table[name] = row
        print(f"{name:28s}", *row.values(), flush=True)
    mean = {"ours": float(np.mean([row["ours"] for row in table.values()]))}
    if peer:
        mean["snow"] = float(np.mean([row["snow"] for row in table.values()]))
        mean["below_bar"] = sum(row["ours"] < row["snow"] - 0.002 for row in table.values())
        mean["worst_difference"] = min(row["ours"] - row["snow"] for row in table.values())
    print("mean", mean)
    return {"packings": table, "mean": mean}


def speed(phases: np.ndarray, labels: list[int] | None, *, peer: bool) -> dict:
    repeats = 3 if phases.size < 3e7 else 2
    seconds, regions = least(lambda: particles.separate(phases, labels=labels), repeats)
    edt_seconds, to_wall = least(lambda: distance.transform(phases), repeats)
    describe_seconds, _ = least(lambda: particles.describe(regions, phases, 1, to_wall), repeats)
    result = {
        "voxels": phases.size,
        "regions": int(regions.max()),
        "separate_seconds": round(seconds, 3),
        "separate_mvoxel_per_second": round(phases.size / seconds / 1e6, 1),
        "distance_seconds": round(edt_seconds, 3),
        "describe_seconds": round(describe_seconds, 3),
    }
    if peer and labels is not None:
        snow_seconds, _ = least(lambda: porespy_snow(np.isin(phases, labels)), 1)
        result["snow_seconds"] = round(snow_seconds, 3)
        result["speed_ratio"] = round(snow_seconds / seconds, 1)
        again, _ = least(lambda: particles.separate(phases, labels=labels), repeats)
        result["speed_ratio_after"] = round(snow_seconds / again, 1)
    return result


def volumes(quick: bool):  # type: ignore[no-untyped-def]
    """Small to large; the real volumes where they are at hand."""
    yield "packing_128", packings.spheres(noise=0.6).phases, [1]
    if quick or not DATA.is_dir():
        return
    import tifffile

    cathode = tifffile.imread(DATA / "nmc_cathode" / "nmc-1-cal_generatedCBD_bridge.tif")
    yield "nmc_cathode_active", cathode, [1]
    yield "nmc_cathode_all", cathode, None
    slices = sorted((DATA / "soc_electrode" / "labels").glob("slice__*.tif"))
    yield "soc_electrode_all", np.stack([tifffile.imread(file) for file in slices]), None


def porespy_snow(mask: np.ndarray) -> np.ndarray:
    import porespy

    porespy.settings.tqdm["disable"] = True
    return porespy.filters.snow_partitioning(mask).regions


def index(case: packings.Packing, regions: np.ndarray) -> float:
    inside = case.truth > 0
    return round(float(adjusted_rand_score(case.truth[inside], regions[inside])), 4)


def number(regions: np.ndarray) -> int:
    """Regions of at least 100 voxels."""
    return int((np.bincount(regions)[1:] >= 100).sum())


def peak(phases: np.ndarray, labels: list[int] | None) -> dict:
    """Return the rise of resident memory over the phases, with and without a distance at hand."""
    if not reset_peak():
        return {}
    particles.separate(phases[:8], labels=labels)
    measured = {"separate": _rise(lambda: particles.separate(phases, labels=labels), phases.size)}
    to_wall = distance.transform(phases)
    measured["separate_beside_distance"] = _rise(
        lambda: particles.separate(phases, labels=labels, distance=to_wall), phases.size
    )
    regions = particles.separate(phases, labels=labels, distance=to_wall)
    measured["describe"] = _rise(lambda: particles.describe(regions, phases, 1, to_wall), phases.size)
    return measured


def _rise(action: Callable, voxels: int) -> float:
    before = reset_peak()
    action()
    return round((highest() - before) / voxels, 2)


def first_start() -> dict:
    """Return what a fresh installation pays for compilation, and a second start for reading the cache."""
    code = (
        "import time, numpy as np; from tripoint import distance, particles; t = time.perf_counter();"
        "v = np.random.default_rng(0).integers(0, 2, (8, 8, 8)).astype('uint8'); d = distance.transform(v);"
        "particles.describe(particles.separate(v, distance=d), v, 1, d); print(time.perf_counter() - t)"
    )
    seconds = dict(zip(("fresh", "cached"), first_starts(code), strict=True))
    print("first start", seconds, flush=True)
    return seconds


if __name__ == "__main__":
    main()
