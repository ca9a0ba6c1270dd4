"""Every room on the GPU: its time beside its floor, the CPU side and cuCIM, all in one run.

    python benchmarks/bench_gpu.py [--output FOLDER] [--sizes 256,512,1024,2048] [--repeats 5]

The floor of an operation is the time in which the bytes that it must move are copied at the bandwidth
measured in the same run; floor / time is reported, because that is what a better kernel could still win.
Beyond 1024 voxels a side only the whole analysis is run.  Every size is written as soon as it is measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cupy as cp
import numpy as np

import tripoint
from tripoint import boundary, distance, particles, percolation, synth, transport
from tripoint._cuda import compiled
from tripoint.materials import Materials

SPACING = (0.4, 0.4, 0.4)
BLOCK = 256  # voxels a side of the composite that larger volumes are mirrored from
COMPARED = 256  # voxels a side up to which the CPU side runs beside
CONDUCTING = 512  # voxels a side up to which conduction is solved: it takes some 100 bytes per voxel
ITERATION = 184  # bytes per voxel that an iteration of it must move, see kernels/transport_stencil.cu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--sizes", default="256,512,1024,2048", help="voxels a side, separated by commas")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--block", type=int, default=BLOCK, help="voxels a side of the composite mirrored")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    options.output.mkdir(parents=True, exist_ok=True)
    block = synth.solid_state_cathode((options.block,) * 3, SPACING)
    results: dict[str, Any] = {"machine": machine(), "copy_gb_per_s": round(bandwidth(max(sizes)) / 1e9, 1)}
    print(json.dumps(results))
    for size in sizes:
        phases = mirrored(block.phases, size)
        found = results[f"{size}^3"] = {}
        if size <= 1024:
            run(phases, block.materials, results["copy_gb_per_s"] * 1e9, options.repeats, found)
            found["cucim"] = libraries(phases, options.repeats)
            cp.get_default_memory_pool().free_all_blocks()
        if size <= CONDUCTING:
            conduct(phases, block.materials, results["copy_gb_per_s"] * 1e9, found)
        found["analysis"] = analysis(phases, block.materials)
        del phases
        cp.get_default_memory_pool().free_all_blocks()
        if size <= COMPARED:
            cropped = block.phases[:size, :size, :size]
            beside = run_on_host(cropped, block.materials)
            for name, work in conduction(cropped, block.materials).items():
                work()
                start = time.perf_counter()
                work()
                beside[name] = time.perf_counter() - start
            for name, seconds in beside.items():
                found[name]["cpu_ms"] = round(seconds * 1e3, 2)
                found[name]["times_faster_than_cpu"] = round(seconds * 1e3 / found[name]["ms"], 1)
        for name, entry in found.items():
            print(f"{size}^3 {name}: {json.dumps(entry)}", flush=True)
        (options.output / "gpu.json").write_text(json.dumps(results, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """Name what the figures were measured on."""
    properties = cp.cuda.runtime.getDeviceProperties(0)
    return {
        "gpu": properties["name"].decode(),
        "multiprocessors": properties["multiProcessorCount"],
        "memory_gib": round(properties["totalGlobalMem"] / 2**30, 1),
        "cuda_driver": cp.cuda.runtime.driverGetVersion(),
        "cuda_runtime": cp.cuda.runtime.runtimeGetVersion(),
        "cupy": cp.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def bandwidth(size: int) -> float:
    """Bytes per second of a copy, read and written bytes both counted, as the kernels' are."""
    source = cp.zeros(min(4 * size**3, 2**33), cp.uint8)
    target = cp.empty_like(source)
    return 2 * source.nbytes / timed(lambda: cp.copyto(target, source), 10)


def timed(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of work on the GPU, after one run that compiles."""
    work()
    seconds = []
    for _ in range(repeats):
        start, end = cp.cuda.Event(), cp.cuda.Event()
        start.record()
        work()
        end.record()
        end.synchronize()
        seconds.append(cp.cuda.get_elapsed_time(start, end) / 1e3)
    return statistics.median(seconds)


class KernelTimes:
    """Times every launch of a kernel of ours, between events of its own, within a ``with`` block.

    The time of a call holds what Python does before and after the launches, some tenths of a millisecond, in
    which the GPU waits; that of the kernels does not.
    """

    def __init__(self) -> None:
        self.events: list[tuple[Any, Any]] = []
        modules = [module for name, module in sys.modules.items() if name.startswith("tripoint._cuda.")]
        self.users = [module for module in modules if hasattr(module, "kernel")]
        self.load = compiled.kernel

    def __enter__(self) -> KernelTimes:
        for module in self.users:
            module.kernel = self.timed_kernel
        return self

    def __exit__(self, *error: object) -> None:
        for module in self.users:
            module.kernel = self.load

    def timed_kernel(self, *name: str, **defines: int) -> Callable[..., None]:
        """Return a kernel that notes when each of its launches begins and ends."""
        function = self.load(*name, **defines)

        def launch(*arguments: Any) -> None:
            start, end = cp.cuda.Event(), cp.cuda.Event()
            start.record()
            function(*arguments)
            end.record()
            self.events.append((start, end))

        return launch

    def seconds(self) -> float:
        """Return the sum over all launches since the block began."""
        cp.cuda.runtime.deviceSynchronize()
        return sum(cp.cuda.get_elapsed_time(*pair) for pair in self.events) / 1e3


def mirrored(block: np.ndarray, size: int) -> Any:
    """Return a volume of any size that continues a smaller one by mirroring it, made on the GPU."""
    small = cp.asarray(np.ascontiguousarray(block))
    n = len(block)
    ramp = np.arange(size) % (2 * n)
    index = cp.asarray(np.where(ramp < n, ramp, 2 * n - 1 - ramp))
    volume = cp.empty((size, size, size), cp.uint8)
    for begin in range(0, size, n):
        planes = small[index[begin : begin + n]]
        volume[begin : begin + n] = planes[:, index][:, :, index]
    return volume


def operations(phases: Any, materials: Materials) -> dict[str, tuple[float, Callable[[], object]]]:
    """Return every operation of the analysis with the bytes per voxel that it must move, in their order."""
    junctions = materials.junction_labels
    held: dict[str, Any] = {}

    def keep(name: str, work: Callable[[], object]) -> Callable[[], object]:
        def kept() -> object:
            held[name] = work()
            return held[name]

        return kept

    return {
        "boundary edges and map": (
            2, lambda: boundary.scan(phases, SPACING, junctions, interfaces=False)),
        "boundary edges, map and transitions": (
            2, lambda: boundary.scan(phases, SPACING, junctions, labels=materials.labels)),
        "percolation": (6, keep("percolation", lambda: percolation.measure(phases, materials))),
        "boundary with access": (
            3, lambda: boundary.scan(phases, SPACING, junctions, access=held["percolation"].access)),
        "junction length": (
            2, keep("edges", lambda: boundary.junction_edges(
                phases, SPACING, junctions, access=held["percolation"].access))),
        "distance": (21, keep("distance", lambda: distance.transform(phases, SPACING))),
        "separation": (
            9, keep("regions", lambda: particles.separate(phases, SPACING, distance=held["distance"]))),
        "descriptors": (
            9, lambda: particles.describe(held["regions"], phases, SPACING, held["distance"])),
        "contacts": (
            9, lambda: boundary.contacts(
                held["regions"], SPACING, distance=held["distance"], phases=phases)),
        "junctions": (
            0, lambda: boundary.junctions(held["regions"], phases, held["edges"], SPACING, junctions)),
    }  # fmt: skip


def run(phases: Any, materials: Materials, speed: float, repeats: int, found: dict[str, Any]) -> None:
    """Time every operation, whole and its kernels alone; the share of the floor is floor / time."""
    for name, (must_move, work) in operations(phases, materials).items():
        seconds = timed(work, repeats)
        kernels = []
        for _ in range(repeats):
            with KernelTimes() as times:
                work()
            kernels.append(times.seconds())
        in_kernels = statistics.median(kernels)
        floor = must_move * phases.size / speed
        found[name] = {
            "ms": round(seconds * 1e3, 3),
            "gvoxel_per_s": round(phases.size / seconds / 1e9, 2),
            "floor_bytes_per_voxel": must_move,
            "floor_ms": round(floor * 1e3, 3),
            "share_of_floor": round(floor / seconds, 3),
            "kernels_ms": round(in_kernels * 1e3, 3),  # of ours: without the libraries and without Python
            "kernels_share_of_floor": round(floor / in_kernels, 3) if in_kernels else None,
        }


def conduction(phases: Any, materials: Materials) -> dict[str, Callable[[], Any]]:
    """Return what solves for a potential: a tortuosity factor, and the activity of particles."""
    regions = particles.separate(phases, SPACING)
    kinetics = transport.Kinetics.load("mixed")
    electrolyte = materials.network("ion")
    return {
        "tortuosity": lambda: transport.tortuosity(phases, electrolyte, "z", SPACING),
        "local activity": lambda: transport.activity(phases, materials, kinetics, SPACING, regions),
    }


def conduct(phases: Any, materials: Materials, speed: float, found: dict[str, Any]) -> None:
    """Time what solves for a potential; its floor is that of the iterations on the voxels."""
    for name, work in conduction(phases, materials).items():
        iterations = []
        seconds = timed(lambda work=work, seen=iterations: seen.append(work().iterations), 1)
        floor = iterations[-1] * ITERATION * phases.size / speed
        found[name] = {
            "ms": round(seconds * 1e3, 1),
            "iterations": iterations[-1],
            "floor_bytes_per_voxel_and_iteration": ITERATION,
            "floor_ms": round(floor * 1e3, 1),
            "share_of_floor": round(floor / seconds, 3),
        }
        cp.get_default_memory_pool().free_all_blocks()


def run_on_host(phases: np.ndarray, materials: Materials) -> dict[str, float]:
    """Seconds of every operation on the CPU side, once it is compiled."""
    for _, work in operations(phases[:32, :32, :32], materials).values():
        work()
    seconds = {}
    for name, (_, work) in operations(phases, materials).items():
        start = time.perf_counter()
        work()
        seconds[name] = time.perf_counter() - start
    return seconds


def analysis(phases: Any, materials: Materials) -> dict[str, Any]:
    """Seconds and bytes per voxel of the whole analysis, reading and saving apart; the second of two runs."""
    sample = tripoint.Sample(phases, SPACING, materials)
    for _ in range(2):
        start = time.perf_counter()
        result = tripoint.analyze(sample, device="cuda")
        cp.cuda.runtime.deviceSynchronize()
        seconds = time.perf_counter() - start
        run_record, graph = result.summary["run"], result.summary["graph"]
        del result
    return {
        "seconds": round(seconds, 3),
        "gvoxel_per_s": round(phases.size / seconds / 1e9, 3),
        "device_bytes_per_voxel": run_record["device_bytes_per_voxel"],
        "steps": run_record["seconds"],
        "graph": graph,
    }


def libraries(phases: Any, repeats: int) -> dict[str, Any]:
    """Milliseconds of cuCIM's label and distance transform on one phase, for reference; or why they fail."""
    from cucim.skimage.measure import label

    def transform() -> object:
        from cucim.core.operations.morphology import distance_transform_edt

        return distance_transform_edt(phases == 1, sampling=SPACING)

    found: dict[str, Any] = {}
    works = {"label": lambda: label(phases == 1, connectivity=1), "distance_transform_edt": transform}
    for name, work in works.items():
        try:
            found[f"{name}_ms"] = round(timed(work, repeats) * 1e3, 3)
        except Exception as error:  # whatever a library of others raises, the run goes on
            found[f"{name}_failed"] = (
                f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            )
    return found


if __name__ == "__main__":
    main()
