"""Synthetic composites: seconds, memory, and whether what is made is what was asked for.

    python benchmarks/bench_synth.py [--output benchmarks/results] [--size 256]

Each case runs in a process of its own, after a small one that loads the compiled code.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

from tripoint import Sample, particles, synth

CASES: dict[str, tuple[str, dict, bool]] = {
    "solid_state_cathode": ("solid_state_cathode", {}, False),
    "lithium_ion_cathode": ("lithium_ion_cathode", {}, False),
    "solid_oxide_electrode": ("solid_oxide_electrode", {}, False),
    "solid_state_cathode_imaged": ("solid_state_cathode", {}, True),
    "dense_polyhedra": (
        "solid_state_cathode",
        {"particles": {"active": {"fraction": 0.65, "shape": "polyhedron", "aspect": 1.0}}},
        False,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--size", type=int, default=256, help="voxels along each axis")
    parser.add_argument("--case", help="run this case alone and print it")
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(run(arguments.case, arguments.size)))
        return
    results: dict = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_before": [round(load, 1) for load in os.getloadavg()],
        }
    }
    for name in CASES:
        command = [sys.executable, __file__, "--case", name, "--size", str(arguments.size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        results[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, json.dumps(results[name]))
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "synth_cpu.json").write_text(json.dumps(results, indent=2) + "\n")


def run(case: str, size: int) -> dict:
    preset, changes, imaging = CASES[case]
    composite = synth.Composite.load(preset, changes)
    synth.make(composite, (24, 24, 24), np.multiply(composite.spacing, 2.4), imaging=imaging)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, busy = time.perf_counter(), time.process_time()
    sample = synth.make(composite, (size, size, size), seed=1, imaging=imaging)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "shape": sample.shape,
        "seconds": round(seconds, 2),
        "processor_seconds": round(busy, 2),
        "bytes_per_voxel": round(peak * 1024 / sample.phases.size, 1),
        **quality(sample, composite),
    }


def quality(sample: Sample, composite: synth.Composite) -> dict:
    """Voxels off the fractions asked for; sizes of whole particles; what separation makes of them."""
    voxels = sample.phases.size
    off = 0
    for name, part in {**composite.particles, **composite.fill}.items():
        count = np.count_nonzero(sample.phases == sample.materials[name].label)
        off += abs(count - round(part.fraction * voxels))
    truth = sample.channels["particle"].astype(np.int32)
    labels = [sample.materials[name].label for name in composite.particles]
    found = particles.separate(sample.phases, spacing=sample.spacing, labels=labels)
    inside = truth > 0
    sizes = {}
    for name, kind in composite.particles.items():
        diameters, weights = whole(truth * (sample.phases == sample.materials[name].label), sample)
        logs = np.log(diameters)
        mean = np.average(logs, weights=weights)
        sizes[name] = {
            "diameter": round(float(np.exp(mean)), 3),
            "diameter_asked": kind.diameter,
            "spread": round(float(np.sqrt(np.average((logs - mean) ** 2, weights=weights))), 3),
            "spread_asked": kind.spread,
        }
    return {
        "voxels_off": int(off),
        "particles": int(truth.max()),
        "particles_found": int(np.count_nonzero(np.bincount(found[inside]) >= 100)),
        "adjusted_rand_index": round(float(adjusted_rand_score(truth[inside], found[inside])), 4),
        "sizes": sizes,
    }


def whole(truth: np.ndarray, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return diameters of particles that the border does not cut, and weights that make up for those it does.

    A particle as wide as w lies whole in a volume as wide as L with a chance of 1 − w / L per axis.
    """
    cut = np.unique(np.concatenate([np.moveaxis(truth, a, 0)[[0, -1]].ravel() for a in range(3)]))
    volumes = np.bincount(truth.ravel()) * sample.voxel_volume
    volumes[cut] = 0
    volumes[0] = 0
    diameters = np.cbrt(6 / np.pi * volumes[volumes > 0])
    extent = np.multiply(sample.shape, sample.spacing)
    return diameters, 1 / np.prod(1 - diameters[:, None] / extent, axis=1)


if __name__ == "__main__":
    main()
