"""From two raw channels to the graph, by the commands of tripoint, on made volumes whose phases are known.

    python benchmarks/bench_multimodal.py [--output benchmarks/results] [--work FOLDER] [--epochs N] [--quick]

The second channel has other voxels, and lies turned and shifted.  It is registered onto the first one; a
network is trained on twelve annotated slices of the lower half; the upper half, where both channels show
something and no slice was annotated, is analysed, as segmented and as made.  The same with either channel
alone, and with the second one brought onto the grid without registration.  What is there in ``--work`` is not
made again.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from measuring import argument_parser, machine, write
from tripoint import cli
from tripoint.io import ome_zarr

ROOT = Path(__file__).resolve().parents[1]
SHAPE = (224, 192, 192)
DRAWN = list(range(12, 112, 9))
ABOVE = 128  # first slice of the part that is compared
MATCHED = 0.5  # intersection over union from which on two particles are the same one

#: Composite, and how its phase contrast lies: µm, degrees, voxel size.
CASES: dict[str, dict[str, Any]] = {
    "solid_state_cathode": {"shift": [-1.5, 2.0, 1.0], "rotation": [-2, 3, 2], "spacing": [0.3] * 3},
    "solid_oxide_electrode": {"shift": [0.5, -0.35, 0.25], "rotation": [3, -2, 2], "spacing": [0.072] * 3},
}

#: What the network sees; what a missing registration costs is measured on one composite.
SEEN = {
    "both": ["absorption", "moved"],
    "both_not_registered": ["absorption", "beside"],
    "absorption": ["absorption"],
    "phase_contrast": ["moved"],
}

SHOWN = {
    "solid_state_cathode": ["both", "both_not_registered", "absorption"],
    "solid_oxide_electrode": ["both", "absorption", "phase_contrast"],
}


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "bench_multimodal")
    parser.add_argument("--epochs", type=int, default=3, help="of each training")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--seen", nargs="+", choices=list(SEEN), help="channels; by default all that is told")
    arguments = parser.parse_args()
    found: dict[str, Any] = {**machine(), "load": os.getloadavg()[0], "drawn": DRAWN, "shape": SHAPE}
    for name in arguments.cases:
        found[name] = chain(name, arguments.work / name, arguments.epochs, arguments.seen or SHOWN[name])
        print(name, json.dumps(found[name], indent=1), flush=True)
    write(found, arguments.output, "multimodal_cpu.json")


def chain(name: str, place: Path, epochs: int, kinds: Sequence[str]) -> dict[str, Any]:
    """Go from raw channels to the graph, for all that the network may see."""
    place.mkdir(parents=True, exist_ok=True)
    made, moved, beside = place / "made.zarr", place / "moved", place / "beside"
    lies = [f"synth.imaging.channels.phase_contrast.{key}={value}" for key, value in CASES[name].items()]
    once(made, "synth", f"output={made}", f"synth={name}", f"shape={list(SHAPE)}", "seed=1",
         "channels=[absorption,phase_contrast]", *lies)  # fmt: skip
    channels = [f"{kind}={made}:channels/{channel}"
                for kind, channel in (("fixed", "absorption"), ("moving", "phase_contrast"))]  # fmt: skip
    once(moved, "register", *channels, f"truth={made}:channels/phase_contrast", f"output={moved}")
    np.savetxt(place / "identity.txt", np.eye(4))
    once(beside, "register", *channels, f"affine={place / 'identity.txt'}",
         f"truth={made}:channels/phase_contrast", f"output={beside}")  # fmt: skip
    box = told(moved)["covered"]
    box = [[max(ABOVE, box[0][0]), box[0][1]], *box[1:]]
    truth = analysed(made, name, box, place / "truth")
    paths = {"absorption": f"{made}:channels/absorption", "moved": moved, "beside": beside}
    voxel = told(moved)["fixed"]["spacing"][0]
    return {
        "registration": {
            "worst_corner_voxels": told(moved)["truth"]["worst_corner"] / voxel,
            "worst_corner_before_voxels": told(beside)["truth"]["worst_corner"] / voxel,
            "seconds": told(moved)["run"]["seconds"],
        },
        "compared": box,
        "made_particles": inside(made, box),
        "on_true_phases": figures(truth),
        **{
            kind: segmented(name, [paths[key] for key in SEEN[kind]], place / kind, box, epochs, truth)
            for kind in kinds
        },
    }


def segmented(
    name: str, images: list[Any], place: Path, box: list[list[int]], epochs: int, truth: Path
) -> dict[str, Any]:
    """Train, predict, evaluate and analyse; return how far off it is."""
    if (place / "found.json").is_file():
        known: dict[str, Any] = json.loads((place / "found.json").read_text())
        return known
    made, run, phases = place.parent / "made.zarr", place / "run", place / "phases"
    seen = f"images=[{','.join(map(str, images))}]"
    if not (run / "model.pt").is_file():
        before = time.process_time()
        command("segment", "mode=train", seen, f"labels={made}", f"slices={DRAWN}", f"materials={name}",
                f"train.epochs={epochs}", "trainer.threads=1", "trainer.tensorboard=false",
                f"output={run}")  # fmt: skip
        (run / "cost.json").write_text(json.dumps({"cpu_s": time.process_time() - before}))
    once(phases, "segment", "mode=predict", seen, f"checkpoint={run}", f"output={phases}")
    above = list(range(box[0][0], box[0][1]))
    command("segment", "mode=evaluate", f"prediction={phases}", f"labels={made}", f"slices={above}",
            f"mask={place.parent / 'moved' / 'moved.zarr'}:labels/mask", f"output={place / 'score'}",
            "overwrite=true")  # fmt: skip
    score, graph = told(place / "score"), analysed(phases, name, box, place / "graph")
    found = {
        "training_cpu_s": json.loads((run / "cost.json").read_text())["cpu_s"],
        "dice": score["dice"],
        "mean_dice": score["mean_dice"],
        "boundary_f1": score["mean_boundary_f1"],
        "figures": figures(graph),
        "error": compared(figures(graph), figures(truth)),
        "particles_met": met(graph, truth),
        "smooth": told(phases)["smooth"],
    }
    (place / "found.json").write_text(json.dumps(found))
    return found


def analysed(volume: Path, name: str, box: list[list[int]], place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    command("analyze", f"input={volume}", f"materials={name}", f"roi={box}", f"output={place}")
    return place


def figures(place: Path) -> dict[str, Any]:
    """Return what is compared: relative ones first, then shares."""
    summary = told(place)
    contacts = pd.read_parquet(place / "contacts.parquet")
    whole = whole_particles(place).set_index("node")["phase"].astype(str)
    ends = [contacts[end].map(whole) for end in ("source", "target")]
    alike = ends[0].eq(ends[1])
    particles = summary["particles"]
    return {
        "tpb_density": {" | ".join(one["phases"]): one["density"] for one in summary["junctions"]},
        "areas": {" | ".join(one["phases"]): one["specific_area"] for one in summary["interfaces"]},
        "particles": {phase: one["count"] for phase, one in particles.items()},
        "interior_particles": {phase: one["interior_count"] for phase, one in particles.items()},
        "fragments": {phase: one["fragments"] for phase, one in particles.items()},
        "diameter": {phase: one["equivalent_diameter_mean"] for phase, one in particles.items()},
        "coordination": {
            phase: 2 * float((alike & ends[0].eq(phase)).sum()) / one["count"]
            for phase, one in particles.items()
        },
        "fractions": {
            phase: one["volume_fraction"] for phase, one in summary["sample"]["phases"].items()
        },
        "terminal_fractions": {
            carrier: one["terminal_fraction"] for carrier, one in summary["carriers"].items()
        },
    }  # fmt: skip


def compared(found: Mapping[str, Any], truth: Mapping[str, Any]) -> dict[str, Any]:
    """Return relative errors, of fractions and fragments differences."""
    apart = ("fractions", "terminal_fractions", "fragments")
    return {
        key: {
            what: found[key].get(what, 0) - value if key in apart else found[key].get(what, 0) / value - 1
            for what, value in values.items()
            if value or key in apart
        }
        for key, values in truth.items()
    }


def inside(made: Path, box: list[list[int]]) -> int:
    """Return how many of the particles that were put in lie in the box, in part at least."""
    cut = tuple(slice(*part) for part in box)
    return int(np.count_nonzero(np.unique(ome_zarr.read_array(made, "channels/particle")[cut])))


def met(graph: Path, truth: Path) -> dict[str, float]:
    """Return the share of the particles of the true phases that one of the segmented ones agrees with."""
    one, other = (ome_zarr.read_array(at / "volume.zarr", "labels/regions") for at in (graph, truth))
    pairs, shared = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1, return_counts=True)
    sizes = [np.bincount(side.ravel()) for side in (one, other)]
    union = sizes[0][pairs[0]] + sizes[1][pairs[1]] - shared
    agreed = np.unique(pairs[1][shared / union > MATCHED])
    return {
        str(phase): float(some["node"].isin(agreed).mean())
        for phase, some in whole_particles(truth).groupby("phase", observed=True)
    }


def whole_particles(place: Path) -> pd.DataFrame:
    """Return the particles that are no fragments."""
    nodes = pd.read_parquet(place / "nodes.parquet")
    return nodes[nodes["phase"].isin(list(told(place)["particles"])) & ~nodes["fragment"]]


def told(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return content


def once(output: Path, *words: str) -> None:
    if not output.exists():
        command(*words)


def command(*words: str) -> None:
    if cli.main(list(words)):
        sys.exit(f"failed: tripoint {' '.join(words)}")


if __name__ == "__main__":
    main()
