"""How far registration puts corners from where they are, and how long it takes: made and real volumes.

    python benchmarks/bench_register.py [--output benchmarks/results] [--quick] [--search gpu]

Made volumes are an absorption and a phase contrast channel of one composite, of other grey values, noise,
blur and edge enhancement, of which the second is displaced. The real one is a scan of a fuel electrode
against a copy that is displaced, coarser and noisy; it is left out where the data are not at hand. Accuracy
is the distance of the worst corner of the fixed volume from its true place, in its voxels. ``--search gpu``
takes the search that runs on the GPU, here on NumPy arrays: how far off it is, not how fast it is there.
"""

from __future__ import annotations

import os
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from measuring import argument_parser, machine, write
from tripoint import registration, synth
from tripoint.registration import ascent, mutual_information
from tripoint.synth.views import placed

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "soc_electrode" / "grey_201-260"
VOXEL = 0.06  # µm, of the made volumes
SHAPE = (80, 80, 80)
NOISE = 2000.0  # s.d., of 16-bit grey values

#: Name, method, and how the second channel lies.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "shift": ("shift", {"shift": (0.3, -0.5, 0.2)}),
    "large_shift": ("shift", {"shift": (1.5, -1.2, 1.0)}),
    "rotation_5": ("rigid", {"rotation": (5, 0, 0), "shift": (0.3, -0.5, 0.2)}),
    "rotation_10": ("rigid", {"rotation": (10, -5, 5), "shift": (0.3, -0.5, 0.2)}),
    "rotation_20": ("rigid", {"rotation": (20, -10, 15), "shift": (0.3, -0.5, 0.2)}),
    "rotation_20_each": ("rigid", {"rotation": (20, 20, -20), "shift": (0.3, -0.5, 0.2)}),
    "spacing": ("rigid", {"rotation": (4, -2, 3), "spacing": (0.12, 0.1, 0.1)}),
    "stretch": ("affine", {"rotation": (4, -2, 3), "shift": (0.3, -0.5, 0.2), "stretch": (1.02, 0.98, 1.01)}),
    "noise": ("rigid", {"rotation": (4, -2, 3), "shift": (0.3, -0.5, 0.2), "photons": 10.0}),
    "inverted": (
        "affine",
        {"rotation": (4, -2, 3), "shift": (0.3, -0.5, 0.2), "grey": {"pore": 1.0, "YSZ": 0.5, "Ni": 0.2}},
    ),
}


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="two made cases alone")
    parser.add_argument("--search", choices=["host", "gpu"], default="host", help="whose search is taken")
    arguments = parser.parse_args()
    if arguments.search == "gpu":
        mutual_information.optimised = ascent.optimised
    results: dict[str, Any] = {"machine": {**machine(), "load": os.getloadavg()[0]}}
    sample = synth.make("solid_oxide_electrode", SHAPE, VOXEL, seed=1)
    chosen = list(CASES)[:2] if arguments.quick else list(CASES)
    results["made"] = {"voxels": int(np.prod(SHAPE)), "spacing": VOXEL}
    for name in chosen:
        method, how = CASES[name]
        results["made"][name] = {"method": method, **made(sample, method, how)}
        print(name, results["made"][name], flush=True)
    if not arguments.quick and DATA.is_dir():
        results["real"] = real()
        print("real", results["real"])
    name = "register_cpu.json" if arguments.search == "host" else "register_gpu_search_on_cpu.json"
    write(results, arguments.output, name)


def made(sample: Any, method: str, how: dict[str, Any]) -> dict[str, Any]:
    composite = synth.Composite.load(
        "solid_oxide_electrode", {"imaging": {"channels": {"phase_contrast": how}}}
    )
    seen = synth.views(sample, composite, ["absorption", "phase_contrast"], seed=1)
    fixed, moving = seen["absorption"], seen["phase_contrast"]
    return measured(moving.values, moving.spacing, fixed.values, fixed.spacing, moving.affine, method)


def real() -> dict[str, Any]:
    import tifffile

    fixed = np.stack([tifffile.imread(file) for file in sorted(DATA.iterdir())])[:, 100:400, 100:400]
    how = synth.Channel(rotation=(8, -3, 2), shift=(3.0, -8.0, 6.0))
    extent = np.array(fixed.shape, float)
    affine = placed(how, extent, extent)
    shape = tuple(round(n / 1.5) for n in fixed.shape)
    moving = registration.resample(fixed, np.linalg.inv(affine), moving_spacing=1.0, shape=shape, spacing=1.5)
    moving = moving + np.random.default_rng(0).normal(0, NOISE, moving.shape).astype(np.float32)
    black = np.nan_to_num(moving)
    return {
        "voxels": fixed.size,
        "moving_voxels": moving.size,
        "corners_left_out": measured(moving, 1.5, fixed, 1.0, affine, "affine"),
        "corners_black": measured(black, 1.5, fixed, 1.0, affine, "affine"),
    }


def measured(
    moving: Any, moving_spacing: Any, fixed: Any, spacing: Any, affine: np.ndarray, method: str
) -> dict[str, Any]:
    wall, processor = time.perf_counter(), time.process_time()
    sizes = {"moving_spacing": moving_spacing, "spacing": spacing}
    found = registration.register(moving, fixed, **sizes, method=method, rotation=20.0)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    size = np.broadcast_to(np.asarray(spacing, float), 3)
    local = registration.local_shifts(
        moving, tuple(np.broadcast_to(np.asarray(moving_spacing, float), 3)),
        np.asarray(fixed, np.float32), tuple(size), found.affine,
    )  # fmt: skip
    extent = np.array(fixed.shape) * size
    corners = np.array([[*(extent * corner), 1] for corner in product((0, 1), repeat=3)])
    off = np.linalg.norm(((found.affine - affine) @ corners.T)[:3].T / size, axis=1)
    median = local.to_mapping()["median"]
    return {
        "corner_voxels": round(float(off.max()), 3),
        "local_median_voxels": None if median is None else round(median / float(size[0]), 3),
        "correlation_ratio": round(found.agreement.correlation_ratio, 3),
        "overlap": round(found.agreement.overlap, 3),
        "seconds": round(wall, 1),
        "processor_seconds": round(processor, 1),
    }


if __name__ == "__main__":
    main()
