"""The whole analysis, without reading and writing, beside PoreSpy's snow2 on one phase in the same run.

    python benchmarks/bench_analysis.py [--output benchmarks/results] [--no-peer]

Prints the ratio to the peer, million voxels per second, peak bytes per voxel and seconds per step, and
what the first start of a fresh installation pays for compilation.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import tripoint
from measuring import argument_parser, first_starts, machine, write
from tripoint import Sample, synth

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--no-peer", action="store_true", help="leave out snow2, which takes minutes")
    arguments = parser.parse_args()
    results: dict = {"machine": machine()}
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
    write(results, arguments.output, "analysis_cpu.json")


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
    return dict(zip(("compiling_seconds", "cached_seconds"), first_starts(code), strict=True))


if __name__ == "__main__":
    main()
