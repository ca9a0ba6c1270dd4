"""Segmentation of a real electrode: a network trained on twelve slices, and methods that need none.

    python benchmarks/bench_segment.py [--output benchmarks/results] [--work FOLDER] [--threads N]

Trains on slices 201 to 240 of ``soc_electrode``, applies every method to the whole volume, and compares
slices 245 to 260, which training never saw, with their annotation. Then the same with other slices and fewer.
A training that is there in the folder ``--work`` is not made again.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from measuring import argument_parser, machine, write
from tripoint import cli
from tripoint.segment import volumes
from tripoint.segment.checkpoint import Trained
from tripoint.segment.tiles import Tiled

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "soc_electrode"
TRAINED_ON = [203, 206, 209, 213, 216, 220, 223, 227, 230, 234]
CHOSEN_BY = [239, 240]
SEEN_BY_NOBODY = list(range(245, 261))
SMOOTHING_CHOSEN_ON = list(range(235, 245))
OTHER_SLICES = {
    "from_the_other_end": ([228, 231, 234, 238, 241, 245, 248, 252, 255, 259], [222, 223], range(201, 217)),
    "three_slices": ([205, 217, 229], [239], SEEN_BY_NOBODY),
    "side_by_side": (list(range(201, 211)), [239, 240], SEEN_BY_NOBODY),
}
"""Trained on, chosen by, compared on."""

METHODS = {
    "unet": [],
    "unet_not_cleaned": ["smallest=0"],
    "unet_neither_smoothed_nor_cleaned": ["smooth=0", "smallest=0"],
    "unet_half": ["half=true"],
    "multi_otsu": ["algorithm=multi_otsu"],
    "kmeans": ["algorithm=kmeans"],
    "watershed": ["algorithm=watershed"],
}


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "bench_segment")
    parser.add_argument("--threads", type=int, default=2, help="of the training")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"the real volume is not at {DATA}")
    images, labels = f"images={DATA / 'grey_201-260'}", f"labels={DATA / 'labels'}"
    found: dict[str, Any] = {
        "trained_on": TRAINED_ON,
        "chosen_by": CHOSEN_BY,
        "compared_on": SEEN_BY_NOBODY,
    }
    run = arguments.work / "run"
    training = trained(images, labels, run, arguments.threads, TRAINED_ON, CHOSEN_BY)
    print(json.dumps(training, indent=1))
    for name, words in METHODS.items():
        how = [f"checkpoint={run}"] if name.startswith("unet") else []
        found[name] = applied(images, labels, [*how, *words], arguments.work / name)
        print(name, json.dumps(found[name], indent=1))
    for name, (trained_on, chosen_by, compared_on) in OTHER_SLICES.items():
        place = arguments.work / name
        trained(images, labels, place / "run", arguments.threads, trained_on, chosen_by)
        result = applied(images, labels, [f"checkpoint={place / 'run'}"], place, compared_on)
        slices = {"trained_on": trained_on, "chosen_by": chosen_by, "compared_on": list(compared_on)}
        found[name] = {**slices, "mean_dice": result["mean_dice"], "error": result["structure"]["error"]}
        print(name, json.dumps(found[name], indent=1))
    found = {**machine(), "training": training, "network": rates(run), **found}
    write(found, arguments.output, "segment_cpu.json")


def rates(run: Path) -> dict[str, float]:
    """Return million voxels per second that are segmented, of the clock and of processor time."""
    trained = Trained.load(run / "model.pt")
    found = {}
    ways = {"default": {}, "not_smoothed": {"smooth": 0.0}, "half": {"half": True}}
    for threads, (name, options) in product((1, 2), ways.items()):
        torch.set_num_threads(threads)
        method = Tiled(trained, **options)
        with volumes.opened(DATA / "grey_201-260") as grey:
            block = next(iter(grey.blocks([(0, 32)], method.halo)))
        method(block[:, : 2 * method.halo + 1])
        cpu, wall = time.process_time(), time.perf_counter()
        voxels = method(block).classes.size / 1e6
        key = f"{name}_{threads}_thread{'s' if threads > 1 else ''}"
        found[f"{key}_mvoxel_per_cpu_s"] = voxels / (time.process_time() - cpu)
        found[f"{key}_mvoxel_per_s"] = voxels / (time.perf_counter() - wall)
    return found


def trained(
    images: str, labels: str, run: Path, threads: int, trained_on: list[int], chosen_by: list[int]
) -> dict[str, object]:
    begun, cost = time.perf_counter(), run / "cost.json"
    if not (run / "model.pt").is_file():
        before = time.process_time()
        command(
            "segment", "mode=train", images, labels, f"slices={trained_on + chosen_by}",
            f"train.validation={chosen_by}", "materials=solid_oxide_electrode", f"trainer.threads={threads}",
            "trainer.tensorboard=false", f"output={run}",
        )  # fmt: skip
        took = {
            "wall_s": time.perf_counter() - begun,
            "cpu_s": time.process_time() - before,
            "threads": threads,
        }
        cost.write_text(json.dumps(took))
    record = json.loads((run / "run.json").read_text())
    return {
        **json.loads(cost.read_text()),
        "epochs": len(pd.read_csv(run / "metrics.csv")),
        "steps": record["settings"]["data"]["steps"],
        "patches_of_a_step": record["settings"]["data"]["batch_size"],
        "parameters": record["parameters"],
        "validation": record["validation"][0],
    }


def applied(
    images: str, labels: str, how: list[str], place: Path, compared_on: Sequence[int] = SEEN_BY_NOBODY
) -> dict[str, Any]:
    out, score, before_score = place / "phases", place / "score", place / "score_before"
    shutil.rmtree(out, ignore_errors=True)
    before = time.process_time()
    command("segment", "mode=predict", images, *how, "materials=solid_oxide_electrode", "spacing=[1,1,1]",
            f"output={out}")  # fmt: skip
    cpu = time.process_time() - before
    for slices, folder in ((compared_on, score), (SMOOTHING_CHOSEN_ON, before_score)):
        command("segment", "mode=evaluate", f"prediction={out}", labels, f"slices={list(slices)}",
                f"output={folder}", "overwrite=true")  # fmt: skip
    told, scores, earlier = (
        json.loads((path / "summary.json").read_text()) for path in (out, score, before_score)
    )
    seconds = told["run"]["seconds"]["segment"]
    return {
        "segment_s": seconds,
        "mvoxel_per_s": told["run"]["voxels"] / 1e6 / seconds,
        "cpu_s_of_all": cpu,
        "peak_mb": told["run"]["peak_bytes"] / 1e6,
        "warnings": told["warnings"],
        **{key: scores[key] for key in ("dice", "mean_dice", "accuracy", "boundary_f1", "structure")},
        "where_smoothing_was_chosen": {
            "mean_dice": earlier["mean_dice"], "error": earlier["structure"]["error"],
        },
    }  # fmt: skip


def command(*words: str) -> None:
    if cli.main(list(words)):
        sys.exit(f"failed: tripoint {' '.join(words)}")


if __name__ == "__main__":
    main()
