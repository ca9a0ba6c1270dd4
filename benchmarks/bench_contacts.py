"""Contacts and junctions of regions, beside cc3d.contacts and PoreSpy's regions_to_network in the same run.

    python benchmarks/bench_contacts.py [--output benchmarks/results] [--no-peer]

Prints seconds (the least of several), ratios to the peers, and peak bytes per voxel beyond the input.
PoreSpy runs on the active phase alone, the one it could separate itself; cc3d on every case.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import psutil

from measuring import argument_parser, machine, watched, write
from tripoint import boundary, distance, particles, synth
from tripoint.materials import Materials

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--no-peer", action="store_true", help="leave out PoreSpy, which takes a minute")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"machine": machine()}
    warm_up()
    for name, phases, labels, triples in cases():
        distances = distance.transform(phases)
        regions = particles.separate(phases, labels=labels, distance=distances)
        results[name] = measure(phases, regions, distances, triples)
        if labels is not None and not arguments.no_peer:
            peer = regions_to_network(regions)
            results[name]["regions_to_network_seconds"] = round(peer, 2)
            results[name]["regions_to_network_ratio"] = round(peer / results[name]["seconds"]["all"], 1)
        print(name, json.dumps(results[name]))
    write(results, arguments.output, "contacts_cpu.json")


def cases() -> Iterator[tuple[str, np.ndarray, list[int] | None, tuple[tuple[int, int, int], ...]]]:
    """Small to large; the real volumes where they are at hand. Labels None: regions of every phase."""
    materials = Materials.load("solid_state_cathode")
    yield "synthetic_128", synth.solid_state_cathode((128,) * 3).phases, None, materials.junction_labels
    if not DATA.is_dir():
        print(f"real volumes are not at {DATA}; only the synthetic one is run")
        return
    import tifffile

    nmc = tifffile.imread(DATA / "nmc_cathode" / "nmc-1-cal_generatedCBD_bridge.tif")
    yield "nmc_cathode_active", nmc, [1], ((0, 1, 2),)
    yield "nmc_cathode", nmc, None, ((0, 1, 2),)
    files = sorted((DATA / "soc_electrode" / "labels").glob("slice__*.tif"))
    yield "soc_electrode", np.stack([tifffile.imread(file) for file in files]), None, ((0, 128, 255),)


def measure(
    phases: np.ndarray, regions: np.ndarray, distances: np.ndarray, triples: tuple[tuple[int, int, int], ...]
) -> dict[str, Any]:
    edges = boundary.junction_edges(phases, (1, 1, 1), triples)

    def everything() -> tuple[Any, Any]:
        found = boundary.contacts(regions, distance=distances, phases=phases)
        return found.table, boundary.junctions(regions, phases, edges, (1, 1, 1), triples)

    seconds = {
        "cc3d": least(lambda: cc3d.contacts(regions, connectivity=6, surface_area=False)),
        "faces": least(lambda: boundary.contacts(regions, areas=False)),
        "areas": least(lambda: boundary.contacts(regions)),
        "necks": least(lambda: boundary.contacts(regions, distance=distances, phases=phases)),
        "junctions": least(lambda: boundary.junctions(regions, phases, edges, (1, 1, 1), triples)),
        "all": least(everything),
    }
    used = peak(everything)
    contacts, junctions = everything()
    return {
        "shape": phases.shape,
        "regions": int(regions.max()),
        "contacts": len(contacts),
        "junctions": len(junctions),
        "edges": len(edges),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "faces_to_cc3d": round(seconds["faces"] / seconds["cc3d"], 2),
        "all_to_cc3d": round(seconds["all"] / seconds["cc3d"], 2),
        "mvoxel_per_s_areas": round(phases.size / seconds["areas"] / 1e6, 1),
        "peak_bytes_per_voxel": round(used / phases.size, 2),
    }


def regions_to_network(regions: np.ndarray) -> float:
    import porespy

    porespy.settings.tqdm["disable"] = True
    start = time.perf_counter()
    porespy.networks.regions_to_network(regions)
    return time.perf_counter() - start


def warm_up() -> None:
    """Load or compile everything once, on a volume of no size."""
    phases = np.random.default_rng(0).integers(0, 3, (8, 8, 8)).astype(np.uint8)
    distances = distance.transform(phases)
    measure(phases, particles.separate(phases, distance=distances), distances, ((0, 1, 2),))


def least(call: Callable[[], Any], budget: float = 4.0) -> float:
    """Least seconds of as many calls as fit the budget, at least two."""
    times: list[float] = []
    while len(times) < 2 or sum(times) < budget:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def peak(call: Callable[[], Any]) -> int:
    """Most resident memory during a call beyond what was there before it."""
    process = psutil.Process()
    return watched(call, lambda: process.memory_info().rss)


if __name__ == "__main__":
    main()
