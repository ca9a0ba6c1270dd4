"""Small volumes through every kernel, for compute-sanitizer: odd shapes, crops, one and many phases.

    compute-sanitizer --tool memcheck python benchmarks/sanitizer_cases.py

Every array is allocated apart, without CuPy's pool, so that an access beyond one is seen; in whole words,
because the boundary scan reads words, up to three bytes beyond an array.
"""

from __future__ import annotations

from contextlib import nullcontext

import cupy as cp
import numpy as np

import tripoint
from tripoint import boundary, distance, particles, synth, transport
from tripoint._cuda import memory

SHAPES = ((24, 24, 24), (3, 5, 7), (17, 33, 65), (2, 2, 131), (9, 64, 32))


def words(nbytes: int) -> cp.cuda.MemoryPointer:
    """Return device memory of whole words."""
    return cp.cuda.MemoryPointer(cp.cuda.Memory(-(-nbytes // 4) * 4), 0)


def main() -> None:
    cp.cuda.set_allocator(words)
    memory.budget = lambda *_, **__: nullcontext()  # which would have CuPy allocate from its pool
    generator = np.random.default_rng(0)
    for shape in SHAPES:
        phases = generator.integers(0, 4, shape, np.uint8)
        tripoint.analyze(tripoint.Sample(phases, (0.3, 0.4, 0.5), "solid_state_cathode"), device="cuda")
    tripoint.analyze(synth.solid_state_cathode((40, 40, 40)), device="cuda")
    flow(synth.solid_state_cathode((18, 19, 20), (0.5, 0.5, 0.5)).to("cuda"))
    crop = cp.asarray(generator.integers(0, 9, (20, 21, 70), np.uint8))[3:, 2:19, 5:66]
    boundary.scan(crop, within=((1, 9), (2, 15), (3, 50)))
    particles.separate(crop, distance=distance.transform(crop))
    cp.cuda.runtime.deviceSynchronize()


def flow(sample: tripoint.Sample) -> None:
    """Solve for tortuosity and local activity, on faces and along junctions, linear and Butler-Volmer."""
    regions = particles.separate(sample.phases, sample.spacing)
    volumes = sample.phases, sample.materials
    transport.tortuosity(sample.phases, sample.materials.network("ion"), "y")
    for kinetics in (transport.Kinetics.load("tpb_enhanced"), transport.Kinetics(
        reaction="junction", exchange=1e-7, ion=0.1, active=0.01, additive=30.0
    )):  # fmt: skip
        transport.activity(*volumes, kinetics, sample.spacing, regions)
    transport.activity(*volumes, transport.Kinetics.load("mixed"), sample.spacing, regions, nonlinear=True)


if __name__ == "__main__":
    main()
