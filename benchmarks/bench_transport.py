"""Tortuosity factors beside porespy and TauFactor in the same run, and local activity, on real volumes.

    python benchmarks/bench_transport.py [--output benchmarks/results] [--edges 64 128 256] [--no-peer]

Every case runs in a process of its own, after a small one that compiles: seconds by the clock and of the
processor, iterations, peak bytes per voxel beyond the input, and the load of the machine. The peers solve the
pore of a cathode's cube of 64³, which both finish, and of the largest cube of a solid-oxide electrode. Each
has its own definition and its defaults, and is stopped at ``--limit`` seconds; a ratio is the peer's time by
the clock over that of the same definition here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from measuring import argument_parser, machine, peak, reset_peak, write

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SPACING = (0.4, 0.4, 0.4)
SMALL = 24
LOADING = 30
"""Seconds that a peer takes at most before it begins, within its limit."""
PEERS = {"porespy": "centre", "taufactor": "face"}
"""Where each fixes the potential."""


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--edges", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument(
        "--no-peer", action="store_true", help="leave out porespy and TauFactor: minutes each"
    )
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a peer is stopped")
    parser.add_argument("--case", nargs=3, metavar=("CASE", "VOLUME", "EDGE"), help="one case, as JSON")
    options = parser.parse_args()
    if options.case:
        case, name, edge = options.case
        print(json.dumps(measure(case, name, int(edge))))
        return
    results: dict = {"machine": machine()}
    for edge in options.edges:
        for case in ("face", "activity"):
            key = f"{'tortuosity' if case == 'face' else case}_{edge}"
            results[key] = show(key, run(case, "cathode", edge))
    results["refined"] = show("refined", run("refined", "none", 0))
    if not options.no_peer:
        for name, edge in (("cathode", 64), ("electrode", max(options.edges))):
            key = f"peers_{name}_{edge}"
            results[key] = show(key, beside_peers(name, edge, options.limit))
    write(results, options.output, "transport_cpu.json")


def show(key: str, figures: dict) -> dict:
    print(key, json.dumps(figures), flush=True)
    return figures


def run(case: str, name: str, edge: int, limit: float | None = None) -> dict:
    """Return the figures of a case, measured in a process of its own; of one that is stopped only this."""
    command = [sys.executable, __file__, "--case", case, name, str(edge)]
    # Freed arrays go back to the system, so that what the input left is not taken for free memory.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    try:
        done = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return {"stopped_after_seconds": limit, "load": round(os.getloadavg()[0], 1)}
    figures: dict = json.loads(done.stdout.splitlines()[-1])
    return figures


def beside_peers(name: str, edge: int, limit: float) -> dict:
    """Return both peers' figures, ours by the same definitions, and the ratios of seconds and of factors."""
    found: dict = {}
    for peer, plane in PEERS.items():
        ours = found[f"tripoint_{plane}"] = run(plane, name, edge)
        theirs = found[peer] = run(peer, name, edge, limit)
        seconds = theirs.get("seconds", limit - LOADING)
        bound = "" if "seconds" in theirs else "at_least_"
        found[f"{bound}times_faster_than_{peer}"] = round(seconds / ours["seconds"], 1)
        if "factor" in theirs:
            found[f"factor_differs_from_{peer}"] = abs(theirs["factor"] / ours["factor"] - 1)
    return found


def volume(name: str, edge: int) -> np.ndarray:
    """Return a cube of a real volume, mirrored along z where it ends; its pore is 0."""
    if name == "cathode":
        image = tifffile.imread(DATA / "nmc_cathode" / "nmc-1-cal_generatedCBD_bridge.tif")
    else:
        files = sorted((DATA / "soc_electrode" / "labels").glob("*.tif*"))[:edge]
        image = np.stack([tifffile.imread(file) for file in files])
    image = np.concatenate([image, image[-2::-1]])
    return np.ascontiguousarray(image[:edge, :edge, :edge])


def measure(case: str, name: str, edge: int) -> dict:
    """Return what a case finds, with seconds, memory and load; compiled and loaded before."""
    if case == "refined":
        return refined()
    make = {"activity": activity, "porespy": porespy, "taufactor": taufactor}.get(case, tortuosity)
    make(volume("cathode", SMALL), case)()
    phases = volume(name, edge)
    solve = make(phases, case)
    before = reset_peak()
    clock, processor = time.perf_counter(), time.process_time()
    figures = solve()
    return {
        "seconds": round(time.perf_counter() - clock, 2),
        "processor_seconds": round(time.process_time() - processor, 2),
        **figures,
        "peak_bytes_per_voxel": round((peak() - before) / phases.size, 1),
        "load": round(os.getloadavg()[0], 1),
    }


def tortuosity(phases: np.ndarray, plane: str) -> Callable[[], dict]:
    from tripoint import transport

    def solve() -> dict:
        found = transport.tortuosity(phases, 0, plane=plane)
        factor = found.factor if plane == "face" else found.effective_factor
        return {"factor": factor, "iterations": found.iterations}

    return solve


def porespy(phases: np.ndarray, _: str) -> Callable[[], dict]:
    from porespy.simulations import tortuosity_fd

    return lambda: {"factor": float(tortuosity_fd(im=phases == 0, axis=0).tortuosity)}


def taufactor(phases: np.ndarray, _: str) -> Callable[[], dict]:
    from taufactor import Solver

    return lambda: {"factor": float(np.ravel(Solver(phases == 0, device="cpu").solve(verbose=False))[0])}


def activity(phases: np.ndarray, _: str) -> Callable[[], dict]:
    """Of separated particles of every phase, as the analysis makes them."""
    from tripoint import particles, transport
    from tripoint.materials import Materials

    materials, kinetics = Materials.load("lithium_ion_cathode"), transport.Kinetics.load("mixed")
    regions = particles.separate(phases, SPACING)

    def solve() -> dict:
        found = transport.activity(phases, materials, kinetics, SPACING, regions)
        return {
            "particles": len(found.table),
            "current": found.current,
            "imbalance": found.imbalance,
            "iterations": found.iterations,
        }

    return solve


def refined() -> dict:
    """Return how much halving the voxels of the same smooth structure changes the current, and a region's."""
    from refinement import MATERIALS, same_structure
    from tripoint import transport

    kinetics = replace(transport.Kinetics.load("mixed"), boundary_factor=1.0)
    coarse, fine = (
        transport.activity(phases, MATERIALS, kinetics, spacing, regions).table["reaction_current"].to_numpy()
        for phases, regions, spacing in same_structure()
    )
    return {
        "current_changes_by": float(abs(fine.sum() / coarse.sum() - 1)),
        "region_changes_by_at_most": float(np.abs(fine - coarse).max() / coarse.max()),
    }


if __name__ == "__main__":
    main()
