"""Intervals from draws of a segmentation, and whether they hold what somebody has drawn.

    python benchmarks/bench_uncertainty.py [--checkpoint FOLDER] [--output benchmarks/results] [--work FOLDER]
                                           [--draws N]

Applies a network (that of bench_segment by default, trained on ten slices of 203 to 234) to the real
``soc_electrode``, draws volumes from its probabilities, and cuts draws, likeliest phases and annotation into
the same blocks. Each figure of an analysis of the annotation lies within its interval or does not.
Temperature and correlation length were chosen on slices 235 to 244; what counts are slices 245 to 260.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

import tripoint
from measuring import argument_parser, machine, write
from tripoint import cli, io, uncertainty
from tripoint.io.tables import plain
from tripoint.materials import Materials
from tripoint.uncertainty import Probabilities
from tripoint.uncertainty.reading import SMOOTHED
from tripoint.uncertainty.repeating import VOXELS

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "soc_electrode"
MATERIALS = Materials.load("solid_oxide_electrode")
SPACING = (1.0, 1.0, 1.0)
FIRST, CHOSEN_ON, SEEN_BY_NOBODY = 201, (235, 245), (245, 261)

# Temperature and correlation length, voxels.
FORMER, SURE, DEFAULT = (1.0, 8.0), (0.25, 8.0), (SMOOTHED, VOXELS)
TRIED = (
    FORMER,
    (1.0, 24.0),
    SURE,
    (0.25, 24.0),
    (0.4, 24.0),
    (0.6, 8.0),
    (0.6, 16.0),
    DEFAULT,
    (0.7, 24.0),
)
TEMPERATURES = (1.0, 0.6, 0.4, 0.3, 0.25, 0.2, 0.15)
SURENESS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.99)


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "out" / "bench_segment" / "run")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "bench_uncertainty")
    parser.add_argument("--draws", type=int, default=20)
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"the real volume is not at {DATA}")
    phases = arguments.work / "phases"
    if not phases.is_dir():
        command("segment", "mode=predict", f"images={DATA / 'grey_201-260'}", "spacing=[1,1,1]",
                f"checkpoint={arguments.checkpoint}", "probabilities=uint8", f"output={phases}")  # fmt: skip
    results: dict[str, object] = {**machine(), "draws": arguments.draws, "seconds": seconds(phases)}
    for name, slices, tried in (
        ("chosen_on", CHOSEN_ON, TRIED),
        ("seen_by_nobody", SEEN_BY_NOBODY, (FORMER, SURE, DEFAULT)),
    ):
        given, truth = at(phases, slices)
        results[name] = {
            "slices": list(slices),
            "voxels": calibration(given, truth),
            "intervals": [intervals(given, truth, *how, arguments.draws) for how in tried],
        }
        write(plain(results), arguments.output, "uncertainty_cpu.json")


def at(phases: Path, slices: tuple[int, int]) -> tuple[Probabilities, np.ndarray]:
    """Return probabilities of some slices, and what somebody has drawn there."""
    roi = [[slices[0] - FIRST, slices[1] - FIRST], None, None]
    given = uncertainty.read(phases, MATERIALS, roi, temperature=1.0)
    held = Probabilities(given.values[:, : slices[1] - slices[0]], given.labels)
    before = int(sorted((DATA / "labels").glob("*.tif"))[0].stem[-3:])
    roi = [[slices[0] - before, slices[1] - before], None, None]
    return held, io.read(DATA / "labels", spacing=SPACING, materials=MATERIALS, roi=roi).phases


def calibration(given: Probabilities, truth: np.ndarray) -> dict[str, object]:
    """Return how well the probabilities of single voxels fit at each temperature, of voxels that are open."""
    several = np.count_nonzero(given.values, axis=0) > 1
    values = given.values[:, several].astype(np.float64)
    right = np.searchsorted(given.labels, truth[several])
    found = {}
    for temperature in TEMPERATURES:
        shares = values ** (1 / temperature)
        shares /= shares.sum(axis=0)
        of_truth = shares[right, np.arange(len(right))]
        best, agree = shares.max(axis=0), shares.argmax(axis=0) == right
        bins = np.digitize(best, SURENESS)
        found[str(temperature)] = {
            "mean_log_loss": -np.log(np.maximum(of_truth, 1e-6)).mean(),
            "stated_and_right": [
                [best[bins == one].mean(), agree[bins == one].mean(), int((bins == one).sum())]
                for one in np.unique(bins)
            ],
        }
    return {"open": several.mean(), "temperature": found}


def intervals(
    given: Probabilities, truth: np.ndarray, temperature: float, correlation: float, draws: int
) -> dict[str, object]:
    """Return how often intervals hold the truth, their width, and biases, by block and quantity."""
    heated = replace(given, temperature=temperature)
    blocks = cut(truth.shape)
    likeliest = figures(np.asarray(given.labels, np.uint8)[given.values.argmax(axis=0)], blocks)
    drawn = [
        figures(uncertainty.draw(heated, SPACING, correlation, (0, number)), blocks)
        for number in range(draws)
    ]
    rows = []
    for place, (size, known, value) in enumerate(
        zip(sizes(blocks), figures(truth, blocks), likeliest, strict=True)
    ):
        table = uncertainty.intervals([one[place] for one in drawn], value)
        table["truth"] = [known.get(key, 0.0) for key in zip(table["quantity"], table["of"], strict=True)]
        rows.append(table.assign(size=size))
    table = pd.concat(rows)
    table = table[table["truth"].notna() & (table["sd"] > 0)]
    table["holds"] = (table["low"] <= table["truth"]) & (table["truth"] <= table["high"])
    table["half_width"] = (table["high"] - table["low"]) / 2 / table["truth"].where(table["truth"] > 0)
    table["bias"] = table["mean"] / table["value"].where(table["value"] > 0) - 1
    table["off"] = table["value"] / table["truth"].where(table["truth"] > 0) - 1
    found: dict[str, dict[str, object]] = defaultdict(dict)
    for size, part in table.groupby("size"):
        found[size]["all"] = told(part)
        for quantity, some in part.groupby("quantity"):
            found[size][quantity] = told(some)
    print(temperature, correlation, {size: one["all"] for size, one in found.items()}, flush=True)
    return {"temperature": temperature, "correlation_voxels": correlation, **found}


def told(part: pd.DataFrame) -> dict[str, object]:
    return {
        "figures": len(part),
        "held": float(part["holds"].mean()),
        "median_half_width": float(part["half_width"].median()),
        "median_bias_of_draws": float(part["bias"].median()),
        "median_error_of_likeliest": float(part["off"].median()),
    }


def cut(shape: tuple[int, ...]) -> dict[str, list[tuple[slice, ...]]]:
    """Return the whole, its quadrants, and ninths of some eight slices."""
    whole = (slice(None),) * 3
    return {
        "whole": [whole],
        "quadrants": [(whole[0], *one) for one in squares(shape, 2)],
        "ninths": [(z, *one) for z in parts(shape[0], max(1, shape[0] // 8)) for one in squares(shape, 3)],
    }


def squares(shape: tuple[int, ...], count: int) -> list[tuple[slice, slice]]:
    return [(y, x) for y in parts(shape[1], count) for x in parts(shape[2], count)]


def parts(voxels: int, count: int) -> list[slice]:
    ends = np.linspace(0, voxels, count + 1).astype(int)
    return [slice(int(first), int(last)) for first, last in pairwise(ends)]


def sizes(blocks: dict[str, list[tuple[slice, ...]]]) -> list[str]:
    return [size for size, some in blocks.items() for _ in some]


def figures(
    phases: np.ndarray, blocks: dict[str, list[tuple[slice, ...]]]
) -> list[dict[tuple[str, str], float]]:
    found = []
    for block in (one for some in blocks.values() for one in some):
        sample = tripoint.Sample(np.ascontiguousarray(phases[block]), SPACING, MATERIALS)
        found.append(uncertainty.figures(tripoint.analyze(sample, subvolumes=0, device="cpu").summary))
    return found


def seconds(phases: Path) -> dict[str, object]:
    """Return processor seconds per million voxels of a draw, and of filtering such noise on the grid."""
    given, truth = at(phases, SEEN_BY_NOBODY)
    found: dict[str, object] = {}
    for width in (0.0, 8.0, 16.0, VOXELS):
        begin = time.process_time()
        uncertainty.draw(replace(given, temperature=SMOOTHED), SPACING, width, (0,))
        found[f"draw_{width:g}_voxels"] = (time.process_time() - begin) / truth.size * 1e6
    noise = np.random.default_rng(0).standard_normal((32, *truth.shape[1:]), np.float32)
    for width in (8.0, 16.0):
        begin = time.process_time()
        for _ in given.labels:
            ndimage.gaussian_filter(noise, width, mode="wrap")
        found[f"filtering_{width:g}_voxels_without_halo"] = (time.process_time() - begin) / noise.size * 1e6
    return found


def command(*words: str) -> None:
    if cli.main(list(words)):
        sys.exit(f"failed: tripoint {' '.join(words)}")


if __name__ == "__main__":
    main()
