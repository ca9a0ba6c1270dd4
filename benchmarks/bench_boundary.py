"""The boundary scan beside NumPy and PoreSpy, on the same volume in the same run.

python benchmarks/bench_boundary.py [--output FOLDER] [--repeats N]
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numba
import numpy as np

from tripoint import boundary
from tripoint.boundary import crofton

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--without-porespy", action="store_true")
    options = parser.parse_args()
    phases, name = volume()
    start = time.perf_counter()
    boundary.junction_edges(phases[:12], (1, 1, 1), [(0, 1, 2)])
    boundary.scan(phases[:12])
    first_call = time.perf_counter() - start

    bits = np.random.default_rng(0).integers(0, 16, phases.shape, dtype=np.uint8)
    access = boundary.Access(bits, {"ion": (0,), "electron": (1, 2)})
    triple = [(0, 1, 2)]
    cases: dict[str, Callable[[], object]] = {
        "edges": lambda: boundary.scan(phases, junctions=triple, interfaces=False, junction_map=False),
        "edges, NumPy bit-OR": lambda: numpy_edges(phases),
        "scan": lambda: boundary.scan(phases, junctions=triple),
        "scan with access": lambda: boundary.scan(phases, junctions=triple, access=access),
        "scan, NumPy": lambda: numpy_scan(phases),
        "length": lambda: boundary.junction_edges(phases, (1, 1, 1), triple),
    }
    if not options.without_porespy:
        cases["nphase_border, PoreSpy"] = lambda: porespy_border(phases)
    seconds = {case: fastest(work, options.repeats) for case, work in cases.items()}
    edges = sum(boundary.scan(phases, junctions=triple).junctions_total.edges)
    check(phases)
    rates = {case: phases.size / s / 1e6 for case, s in seconds.items() if case != "length"}
    rates["length, edges"] = edges / seconds["length"] / 1e6
    memory = {
        case: peak(cases[case]) / phases.size for case in ("edges", "scan", "scan with access", "length")
    }
    ratios = {
        "edges / NumPy bit-OR": rates["edges"] / rates["edges, NumPy bit-OR"],
        "scan / NumPy": rates["scan"] / rates["scan, NumPy"],
    }
    if "nphase_border, PoreSpy" in rates:
        ratios["scan / nphase_border"] = rates["scan"] / rates["nphase_border, PoreSpy"]
    result = {
        "volume": name, "shape": phases.shape, "edges": edges, "threads": numba.get_num_threads(),
        "first_call_s": first_call, "million_per_s": rates, "ratios": ratios, "bytes_per_voxel": memory,
    }  # fmt: skip
    for title, table in (("million/s", rates), ("ratio", ratios), ("bytes/voxel", memory)):
        for case, value in table.items():
            print(f"{case:28s}{value:10.2f} {title}")
    print(f"{'first call (compiles once)':28s}{first_call:10.2f} s")
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "boundary_cpu.json").write_text(json.dumps(result, indent=2) + "\n")


def volume() -> tuple[np.ndarray, str]:
    """Return the real cathode where it is at hand, otherwise clumps of three phases of its size."""
    path = DATA / "nmc_cathode" / "nmc-1-cal_generatedCBD_bridge.tif"
    if path.is_file():
        import tifffile

        return tifffile.imread(path), "nmc_cathode"
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(np.random.default_rng(0).normal(size=(251, 301, 301)).astype(np.float32), 3)
    return np.digitize(field, np.quantile(field, [0.4, 0.5])).astype(np.uint8), "synthetic"


def fastest(work: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(max(repeats, 1)):
        start = time.perf_counter()
        work()
        spent = time.perf_counter() - start
        best = min(best, spent)
        if spent > 5:
            break
    return best


def peak(work: Callable[[], object]) -> int:
    """Bytes allocated by NumPy at most; what compiled loops allocate is bit planes, a few per thousand."""
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def around(bits: np.ndarray, axis: int) -> np.ndarray:
    """OR of the four voxels around every edge along an axis."""
    for across in range(3):
        if across != axis:
            bits = ored(bits, across)
    return bits


def ored(bits: np.ndarray, across: int) -> np.ndarray:
    low = [slice(None)] * 3
    high = [slice(None)] * 3
    low[across], high[across] = slice(None, -1), slice(1, None)
    return bits[tuple(low)] | bits[tuple(high)]


def numpy_edges(phases: np.ndarray) -> list[int]:
    bits = np.left_shift(np.uint8(1), phases)
    return [int(np.count_nonzero(around(bits, axis) == 7)) for axis in range(3)]


def numpy_scan(phases: np.ndarray) -> tuple[list[int], dict[tuple[int, int], list[int]], np.ndarray]:
    """Find the same results, vectorised: edges, transitions along 13 directions, map."""
    bits = np.left_shift(np.uint8(1), phases)
    edges = []
    marks = np.zeros(phases.shape, np.uint8)
    for axis in range(3):
        edge = around(bits, axis) == 7
        edges.append(int(np.count_nonzero(edge)))
        for one in (0, 1):
            for two in (0, 1):
                offset = {axis: 0, (axis + 1) % 3: one, (axis + 2) % 3: two}
                marks[tuple(slice(offset[k], offset[k] + edge.shape[k]) for k in range(3))] |= edge
    transitions: dict[tuple[int, int], list[int]] = {pair: [] for pair in combinations(range(3), 2)}
    for step in crofton.DIRECTIONS.tolist():
        near = bits[tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(step, bits.shape, strict=True))]
        far = bits[tuple(slice(max(s, 0), n - max(-s, 0)) for s, n in zip(step, bits.shape, strict=True))]
        both = near | far
        for (a, b), counts in transitions.items():
            counts.append(int(np.count_nonzero(both == (1 << a | 1 << b))))
    return edges, transitions, marks


def porespy_border(phases: np.ndarray) -> np.ndarray:
    import porespy

    return porespy.filters.nphase_border(phases)


def check(phases: np.ndarray) -> None:
    """Assert that both sides found the same: otherwise a comparison is worth nothing."""
    scan = boundary.scan(phases, junctions=[(0, 1, 2)])
    edges, transitions, marks = numpy_scan(phases)
    assert list(scan.junctions[0].edges) == edges == numpy_edges(phases)
    assert all(list(i.transitions) == transitions[i.phases] for i in scan.interfaces)
    assert np.array_equal(scan.junction_map, marks)


if __name__ == "__main__":
    main()
