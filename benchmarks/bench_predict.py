"""Networks trained on made samples, applied to real volumes: how far off the simulation there.

    python benchmarks/bench_predict.py --full [--output benchmarks/results] [--only NAME] [--work FOLDER]
                                       [--real nmc_cathode=FOLDER soc_electrode=FOLDER]

For each real volume samples are made that are as deep, and simulated. Models are trained on them, tested on
samples that were held out, and applied to the real volume. What is there in the folder ``--work`` is not made
again, so that a run that was stopped goes on. ``--real`` gives analyses with simulated activity;
without it the real volumes are analysed first. It takes an hour, so that nothing is done without ``--full``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

import tripoint
from bench_analysis import cases
from measuring import argument_parser, machine, write
from tripoint import GraphDatabase
from tripoint.graph import Graph
from tripoint.io.tables import plain
from tripoint.learn import fitting
from tripoint.learn.comparison import by_depth, compare, particles_of, weak_particles, yardsticks
from tripoint.learn.features import log_activity
from tripoint.learn.splitting import Split
from tripoint.physics import Simulation

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = {"nmc_cathode": 40, "soc_electrode": 27}
MODELS = ("median", "known", "gradient_boosting", "gine", "kirchhoff", "corrected", "hetero")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
EPOCHS = {"gine": 80, "kirchhoff": 100, "corrected": 100, "hetero": 40}

# As deep as the real volumes, so that currents have as far to go, and wide enough for some particles. Voxels
# of the electrode are three times those of the real one, whose grains are 36 of these across.
MADE = {
    "nmc_cathode": (
        "synth=lithium_ion_cathode",
        "vary=lithium_ion_cathode",
        "shape=[251,72,72]",
        "spacing=[0.398,0.398,0.398]",
    ),
    "soc_electrode": (
        "synth=solid_oxide_electrode",
        "vary=solid_oxide_electrode",
        "shape=[110,64,64]",
        "spacing=[3,3,3]",
        "vary.particles.YSZ.diameter=[28,60,log]",
        "vary.particles.Ni.diameter=[30,65,log]",
    ),
}


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--full", action="store_true", help="do it; without this nothing is done")
    parser.add_argument("--only", choices=list(MADE))
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "bench_predict")
    parser.add_argument("--real", nargs="*", default=[], metavar="NAME=FOLDER")
    arguments = parser.parse_args()
    if not arguments.full:
        print("training on made samples takes an hour; it is done with --full")
        return
    given = dict(entry.split("=", 1) for entry in arguments.real)
    path = arguments.output / "predict_cpu.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    results["machine"] = machine()
    for name in [arguments.only] if arguments.only else MADE:
        results[name] = measure(name, arguments.work / name, given.get(name))
        write(plain(results), arguments.output, path.name)


def measure(name: str, work: Path, real: str | None) -> dict:
    work.mkdir(parents=True, exist_ok=True)
    graph = real_graph(name, work, real)
    database = made(name, work)
    split = Split.of(database, calibration=0.0)
    graphs = {sample: database[sample] for sample in database}
    frame = particles_of(graph)
    found = {
        "made": {"samples": SAMPLES[name], "settings": MADE[name], "particles": described(graphs.values())},
        "real": {"particles": described([graph]), "shape": graph.metadata["shape"]},
        "without_learning": yardsticks(graph, frame),
        "models": {model: trained(model, graphs, split, graph, frame, work) for model in MODELS},
    }
    print(name, json.dumps(found["without_learning"]), flush=True)
    return found


def trained(model: str, graphs: dict, split: Split, real: Graph, frame: pd.DataFrame, work: Path) -> dict:
    """Train a model and score it on held-out made samples and on the real one."""
    record = work / f"{model}.json"
    if record.is_file():
        return json.loads(record.read_text())
    settings = yaml.safe_load((ROOT / "conf" / "model" / f"{model}.yaml").read_text())
    training = {"epochs": EPOCHS[model]} if model in EPOCHS else {}
    begin = time.perf_counter()
    folder = work / model if training else None
    fitted = fitting.fit(graphs, settings, split, seed=0, folder=folder, **training)
    seconds = round(time.perf_counter() - begin, 1)
    held_out = [
        particles_of(graphs[sample]).merge(fitted.predict(graphs[sample]), on="node") for sample in split.test
    ]
    begin = time.perf_counter()
    predicted = frame.merge(fitted.predict(real), on="node")
    found = {
        "seconds": seconds,
        "seconds_real": round(time.perf_counter() - begin, 1),
        "load": round(os.getloadavg()[0], 1),
        "held_out": compare(pd.concat(held_out)),
        "real": compare(predicted),
        "weak": weak_particles(predicted),
        "by_depth": by_depth(predicted),
    }
    found = plain(found)  # without NaN, which JSON does not have
    record.write_text(json.dumps(found))
    print(model, json.dumps(found), flush=True)
    return found


def made(name: str, work: Path) -> GraphDatabase:
    """Fill the database; samples that are there stay."""
    words = (f"seed=range(0,{SAMPLES[name]})", "simulation.axes=[z]", "subvolumes=0", "activity=simulate")
    command = [sys.executable, "-m", "tripoint.cli", "synth", "-m", f"database={work / 'graphs'}", "jobs=1"]
    subprocess.run([*command, *MADE[name], *words], check=True, stdout=subprocess.DEVNULL)
    return GraphDatabase(work / "graphs")


def real_graph(name: str, work: Path, folder: str | None) -> Graph:
    if folder is None and not (work / "real" / "summary.json").is_file():
        sample = next((sample for case, sample in cases() if case == name), None)
        if sample is None:
            sys.exit(f"the real volume {name} is not at hand; give its result with --real {name}=FOLDER")
        asked = {"activity": "simulate", "simulation": Simulation(axes=()), "subvolumes": 0, "device": "cpu"}
        tripoint.analyze(sample, **asked).save(work / "real")
    return tripoint.load(folder or work / "real").graph


def described(graphs) -> dict:  # type: ignore[no-untyped-def]
    """Return how many particles there are, and quantiles of what they are compared by."""
    columns = ["node", "equivalent_diameter", "degree"]
    whole = pd.concat([particles_of(graph).merge(graph.nodes[columns]) for graph in graphs])
    found = {
        "count": len(whole),
        "dead": round(float(whole["inactive"].mean()), 4),
        "log_activity_median": round(float(log_activity(whole["activity"]).median()), 3),
    }
    for name in (*columns[1:], "depth", "activity"):
        found[name] = np.round(np.nanquantile(whole[name], QUANTILES), 3).tolist()
    return found


if __name__ == "__main__":
    main()
