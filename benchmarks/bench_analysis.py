"""The whole analysis, without reading and writing, beside PoreSpy's snow2 on one phase in the same run.

    python benchmarks/bench_analysis.py [--output benchmarks/results] [--no-peer]

Prints the ratio to the peer, million voxels per second, peak bytes per voxel and seconds per step, and
what the first start of a fresh installation pays for compilation.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tripoint
from tripoint import Sample, synth

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--no-peer", action="store_true", help="leave out snow2, which takes minutes")
    arguments = parser.parse_args()
    results: dict = {"machine": {"cores": os.cpu_count(), "python": platform.python_version()}}
    results["first_start"] = first_start()
    print(f"first start: {results['first_start']}")
    for name, sample in cases():
        first = Sample(sample.phases[:32], sample.spacing, sample.materials)
        tripoint.analyze(first, device="cpu")  # load compiled code
        start = time.perf_counter()
        result = tripoint.analyze(sample, device="cpu")
        seconds = time.perf_counter() - start
        entry = {
            "shape": sample.shape,
            "seconds": round(seconds, 2),
            "mvoxel_per_s": round(sample.phases.size / seconds / 1e6, 2),
            "bytes_per_voxel": result.summary["run"]["bytes_per_voxel"],
            "steps": result.summary["run"]["seconds"],
            "graph": result.summary["graph"],
        }
        if name == "nmc_cathode" and not arguments.no_peer:
            entry["snow2_active_phase_seconds"] = round(snow2(sample), 2)
            entry["ratio"] = round(entry["snow2_active_phase_seconds"] / seconds, 1)
        results[name] = entry
        print(name, json.dumps(entry))
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "analysis_cpu.json").write_text(json.dumps(results, indent=2) + "\n")


def cases():  # type: ignore[no-untyped-def]
    """Small to large; the real volumes where they are at hand."""
    yield "synthetic_192", synth.solid_state_cathode((192, 192, 192))
    if not DATA.is_dir():
        print(f"real volumes are not at {DATA}; only the synthetic one is run")
        return
    path = DATA / "nmc_cathode" / "nmc-1-cal_generatedCBD_bridge.tif"
    yield "nmc_cathode", tripoint.read(path, spacing=(0.398,) * 3, materials="lithium_ion_cathode")
    path = DATA / "soc_electrode" / "labels"
    yield "soc_electrode", tripoint.read(path, spacing=(1, 1, 1), materials="solid_oxide_electrode")


def snow2(sample: Sample) -> float:
    import porespy

    porespy.settings.tqdm["disable"] = True
    phase = sample.phases == sample.materials["active"].label
    start = time.perf_counter()
    porespy.networks.snow2(phase, voxel_size=sample.spacing[0])
    return time.perf_counter() - start


def first_start() -> dict[str, float]:
    """Seconds of a small analysis in a new process, compiling at first and from the cache then."""
    code = (
        "import numpy as np, time, tripoint; t = time.perf_counter();"
        "p = np.random.default_rng(0).integers(0, 4, (32, 32, 32), np.uint8);"
        "tripoint.analyze(tripoint.Sample(p, 1, 'solid_state_cathode'), device='cpu');"
        "print(time.perf_counter() - t)"
    )
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        seconds = []
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            )
            seconds.append(round(float(done.stdout.split()[-1]), 2))
    return {"compiling_seconds": seconds[0], "cached_seconds": seconds[1]}


if __name__ == "__main__":
    main()
