"""Tortuosity factor and local activity on voxels, beside porespy where OpenPNM, its solver, is installed.

    python benchmarks/bench_transport.py [--output benchmarks/results] [--edges 64 128 256] [--peer]

Every case runs in a process of its own, after a small one that compiles: seconds, iterations, peak bytes per
voxel beyond the input, and the load of the machine while it ran.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import tifffile

CATHODE = Path(__file__).resolve().parents[2] / "shared/data/nmc_cathode/nmc-1-cal_generatedCBD_bridge.tif"
SPACING = (0.4, 0.4, 0.4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--edges", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--peer", action="store_true", help="run porespy as well")
    parser.add_argument("--case", nargs=2, metavar=("NAME", "EDGE"), help="one case, as JSON")
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case[0], int(arguments.case[1]))))
        return
    results: dict = {"machine": {"cores": os.cpu_count(), "python": platform.python_version()}}
    for edge in arguments.edges:
        for name in ("tortuosity", "activity", *(["porespy"] if arguments.peer else [])):
            command = [sys.executable, __file__, "--case", name, str(edge)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results[f"{name}_{edge}"] = json.loads(done.stdout.splitlines()[-1])
            print(f"{name}_{edge}", json.dumps(results[f"{name}_{edge}"]), flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "transport_cpu.json").write_text(json.dumps(results, indent=2) + "\n")


def volume(edge: int) -> np.ndarray:
    """Return a cube of the real cathode, mirrored along z where it ends."""
    image = tifffile.imread(CATHODE)
    image = np.concatenate([image, image[-2::-1]])
    return np.ascontiguousarray(image[:edge, :edge, :edge])


def measure(name: str, edge: int) -> dict:
    phases = volume(edge)
    case = {"tortuosity": tortuosity, "activity": activity, "porespy": porespy}[name]
    case(volume(20))
    run = case(phases, prepare=True)
    before, peak, done = psutil.Process().memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], psutil.Process().memory_info().rss)

    threading.Thread(target=watch, daemon=True).start()
    start = time.perf_counter()
    figures = run()
    seconds = time.perf_counter() - start
    done.set()
    return {
        "seconds": round(seconds, 2),
        **figures,
        "peak_bytes_per_voxel": round((peak[0] - before) / phases.size, 1),
        "load": round(os.getloadavg()[0], 1),
    }


def tortuosity(phases: np.ndarray, prepare: bool = False):  # type: ignore[no-untyped-def]
    from tripoint import transport

    def run() -> dict:
        found = transport.tortuosity(phases, 1 if len(phases) < 32 else 0)
        return {"factor": found.effective_factor, "iterations": found.iterations}

    return run if prepare else run()


def activity(phases: np.ndarray, prepare: bool = False):  # type: ignore[no-untyped-def]
    import cc3d

    from tripoint import transport
    from tripoint.materials import Materials

    materials = Materials.load("lithium_ion_cathode")
    regions = cc3d.connected_components(phases + 1, connectivity=6, out_dtype=np.uint32).astype(np.int32)

    def run() -> dict:
        found = transport.activity(phases, materials, transport.Kinetics.load("mixed"), SPACING, regions)
        return {"current": found.current, "imbalance": found.imbalance, "iterations": found.iterations}

    return run if prepare else run()


def porespy(phases: np.ndarray, prepare: bool = False):  # type: ignore[no-untyped-def]
    from porespy.simulations import tortuosity_fd

    def run() -> dict:
        return {
            "factor": float(tortuosity_fd(im=phases == (1 if len(phases) < 32 else 0), axis=0).tortuosity)
        }

    return run if prepare else run()


if __name__ == "__main__":
    main()
