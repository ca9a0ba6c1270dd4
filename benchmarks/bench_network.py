"""Currents through networks of regions: seconds, memory, and the ratio to the voxels' conductivity.

    python benchmarks/bench_network.py [--output benchmarks/results] [--no-voxels] [--real]

``--real`` adds the real cathode, whose voxel solution takes minutes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from bench_percolation import lattice, run
from measuring import argument_parser, machine, peak, reset_peak, write
from tripoint import boundary, distance, particles
from tripoint.materials import Materials, Phase
from tripoint.transport import network, tortuosity

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import packings  # shared with the tests

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ONE = (1.0, 1.0, 1.0)


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--no-voxels", action="store_true", help="leave out the voxel solutions")
    parser.add_argument("--real", action="store_true", help="the real cathode as well")
    arguments = parser.parse_args()
    results: dict = {"machine": machine()}
    for count in (10_000, 100_000, 1_000_000):
        for contrast in (1.0, 1e6):
            name = f"regions_{count}_contrast_{contrast:g}"
            results[name] = speed(count, contrast)
            print(name, json.dumps(results[name]), flush=True)
    if not arguments.no_voxels:
        results["packings"] = against_voxels()
        results["two_phases"] = of_two_phases()
        if arguments.real and DATA.is_dir():
            results["nmc_cathode"] = real()
            print("nmc_cathode", json.dumps(results["nmc_cathode"]))
    write(results, arguments.output, "network_cpu.json")


def speed(count: int, contrast: float) -> dict:
    """About four contacts per region, of two phases whose conductivities are this far apart."""
    output = run(f"import bench_network as b; b.measure({count}, {contrast})")
    found: dict = json.loads(output.splitlines()[-1])
    return found


def measure(count: int, contrast: float) -> None:
    """Print seconds and the peak of memory of one network, in a process of its own."""
    materials = two_phases(contrast)
    nodes, contacts, shape = network_tables(1000)
    network(nodes, contacts, materials, shape, ONE)  # load code
    nodes, contacts, shape = network_tables(count)
    before = reset_peak()
    start, processor = time.perf_counter(), time.process_time()
    figures = network(nodes, contacts, materials, shape, ONE).carriers["electron"]
    entry = {
        "regions": len(nodes),
        "contacts": len(contacts),
        "seconds": round(time.perf_counter() - start, 2),
        "processor_seconds": round(time.process_time() - processor, 2),
        "iterations": figures.iterations,
        "imbalance": float(f"{figures.imbalance:.1e}"),
        "bytes_per_contact": round((peak() - before) / len(contacts)) if before else None,
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(entry))


def network_tables(count: int):  # type: ignore[no-untyped-def]
    nodes, contacts, shape = lattice(count)
    nodes["label"] = np.random.default_rng(1).choice(np.array([1, 2], np.uint8), len(nodes))
    return nodes, contacts, shape


def two_phases(contrast: float) -> Materials:
    phases = [
        Phase(label, name, ("electron",), conductivity={"electron": value})
        for label, name, value in ((1, "a", 1.0), (2, "b", contrast))
    ]
    return Materials(tuple(phases), terminals={"electron": "z-"})


def against_voxels() -> dict:
    """Network / voxels, solid and void of packings, along every axis."""
    ratios: dict = {"solid": [], "void": []}
    rows = {}
    for packing in packings.cases((96, 96, 96), seed=1):
        tables = tables_of(packing.phases)
        for name, label in (("solid", 1), ("void", 0)):
            for axis in "zyx":
                ratio = compare(packing.phases, tables, label, axis)
                rows[f"{packing.name}, {name}, {axis}"] = ratio
                print(f"{packing.name}, {name}, {axis}: {ratio}", flush=True)
                if ratio is not None:
                    ratios[name].append(ratio)
    summary = {
        name: {
            "networks": len(values),
            "geometric_mean": round(float(np.exp(np.mean(np.log(values)))), 3),
            "geometric_sd": round(float(np.exp(np.std(np.log(values)))), 3),
            "least": min(values),
            "most": max(values),
        }
        for name, values in ratios.items()
    }
    print(json.dumps(summary))
    return {"summary": summary, "ratio": rows}


def of_two_phases() -> dict:
    """Network / voxels along z where solid and void both conduct, the void 10⁻⁴ to 10⁴ times as well."""
    rows = {}
    for packing in packings.cases((64, 64, 64), seed=1)[::3]:
        tables = tables_of(packing.phases)
        for contrast in (1e-4, 1e-2, 1.0, 1e2, 1e4):
            ratio = compare(packing.phases, tables, {1: 1.0, 0: contrast}, "z")
            rows[f"{packing.name}, {contrast:g}"] = ratio
            print(f"{packing.name}, {contrast:g}: {ratio}", flush=True)
    return rows


def real() -> dict:
    """Network / voxels of the real cathode's active material and pore along z."""
    import tifffile

    phases = tifffile.imread(DATA / "nmc_cathode" / "nmc-1-cal_generatedCBD_bridge.tif")
    tables = tables_of(phases)
    return {name: compare(phases, tables, label, "z") for name, label in (("active", 1), ("pore", 0))}


def tables_of(phases):  # type: ignore[no-untyped-def]
    to_wall = distance.transform(phases, ONE)
    regions = particles.separate(phases, ONE, distance=to_wall)
    nodes = particles.describe(regions, phases, ONE, to_wall)
    return nodes, boundary.contacts(regions, ONE, distance=to_wall, phases=phases).table


def compare(phases, tables, conductors, axis: str) -> float | None:  # type: ignore[no-untyped-def]
    """Conductivity of the network / of the voxels; None where they do not span."""
    values = conductors if isinstance(conductors, dict) else {conductors: 1.0}
    materials = Materials(
        tuple(
            Phase(label, f"phase {label}", ("electron",), conductivity={"electron": value})
            for label, value in values.items()
        ),
        terminals={"electron": f"{axis}-"},
    )
    figures = network(*tables, materials, phases.shape, ONE).carriers["electron"]
    if not figures.spans:
        return None
    voxels = tortuosity(phases, values, axis)
    return round(figures.effective_conductivity / voxels.effective_conductivity, 3)


if __name__ == "__main__":
    main()
