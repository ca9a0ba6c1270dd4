"""tripoint explain: what a trained model's predictions rest on."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tripoint import pipeline, synth
from tripoint.cli.analysis import activity_of, analysis_of
from tripoint.cli.messages import say
from tripoint.cli.output import output_of
from tripoint.cli.progress import shown
from tripoint.cli.samples import open_database
from tripoint.cli.settings import check_section, check_switch, check_text, read_list
from tripoint.database import GraphDatabase
from tripoint.database.content import hash_voxels
from tripoint.errors import InputError
from tripoint.learn import ensemble
from tripoint.learn.benchmark.samples import made_again
from tripoint.learn.explanation.counterfactuals import Volume
from tripoint.learn.explanation.editing import EDITS
from tripoint.learn.explanation.explaining import Asked, Explanation, explain
from tripoint.learn.training import WEIGHTS
from tripoint.materials import Materials
from tripoint.physics import Simulation
from tripoint.result import Result, load
from tripoint.sample import Sample, choose_device
from tripoint.transport import Kinetics

log = logging.getLogger("tripoint")

_PLAIN = {"neck_ratio": 0.9, "min_voxels": 8, "connectivity": 6}  # as an analysis separates by default


def run(settings: dict[str, Any]) -> None:
    """Explain a model on held-out samples, as ``conf/explain.yaml`` says."""
    checkpoint = Path(check_text(settings, "checkpoint")).expanduser()
    checkpoint = checkpoint / WEIGHTS if checkpoint.is_dir() else checkpoint
    asked = _asked(settings)
    output, overwrite = output_of(settings)
    fitted = ensemble.load(checkpoint)
    source, simulates = settings["input"], check_switch(settings, "simulate")
    graphs: Any
    if source is None:
        graphs = open_database(check_text(settings, "database"))
        samples = _samples(settings, fitted.split.test, graphs)
        volumes = _volumes_of(graphs) if simulates else None
        origin = {"checkpoint": str(checkpoint), "database": str(graphs.store)}
    else:
        result = load(str(source))
        name = str(result.graph.metadata.get("name", ""))
        graphs, samples = {name: result.graph}, [name]
        volume = _saved_volume(result) if simulates else None
        volumes = (lambda _: volume) if simulates else None
        origin = {"checkpoint": str(checkpoint), "input": str(source)}
    with shown() as progress:
        found = explain(
            fitted,
            graphs,
            samples,
            asked,
            volumes=volumes,
            origin=origin,
            progress=progress,
        )
    folder = found.save(output, overwrite)
    for line in _sentences(found):
        say(line)
    say(str(folder))


def _asked(settings: dict[str, Any]) -> Asked:
    """Return what is asked, checked before anything is read."""
    edits = read_list(settings["edits"])
    return Asked(
        repeats=settings["repeats"],
        draws=settings["shares"]["draws"],
        share_samples=settings["shares"]["samples"],
        attributions=settings["attributions"],
        counterfactuals=settings["counterfactuals"],
        edits=tuple(EDITS) if edits is None else tuple(map(str, edits)),
        seed=settings["seed"],
    )


def _samples(settings: dict[str, Any], held_out: tuple[str, ...], graphs: GraphDatabase) -> list[str]:
    """Return the samples that are asked for, by default those that the model was tested on."""
    given = read_list(settings["samples"])
    if given is not None and not isinstance(given, list):
        message = f"samples is {given!r}; expected names, such as samples=[a,b], or null for those held out"
        raise InputError(message)
    samples = list(held_out) if given is None else [str(name) for name in given]
    if not samples:
        message = "the model was trained without a test split; name samples with samples=[…]"
        raise InputError(message)
    missing = [name for name in samples if name not in graphs]
    if missing:
        message = (
            f"{len(missing)} of {len(samples)} samples are not in {graphs.store}, the first is "
            f"{missing[0]!r}; give the database that the model was trained on, or name samples, samples=[…]"
        )
        raise InputError(message)
    return samples


def _volumes_of(graphs: GraphDatabase) -> Any:
    """Return what makes the volumes of a database's samples again, by the settings they were made with."""
    device = "cpu" if choose_device("auto") == "cpu" else "auto"  # said once, not for every analysis

    def again(sample: str) -> Volume | None:
        row = graphs.row(sample)
        settings = json.loads(row["configuration"] or "{}")
        if (found := made_again(settings)) is not None:
            made, how = found
            return _volume(made, {**_PLAIN, **how}, simulated=True) if _is_same(made, row) else None
        if not {"synth", "seed", "shape", "spacing", "transport", "simulation"} <= set(settings):
            log.warning("%s was not made by tripoint synth: only predictions move", sample)
            return None
        composite = synth.Composite.from_mapping(check_section(settings, "synth"))
        made = synth.make(
            composite,
            settings["shape"],
            settings["spacing"],
            seed=settings["seed"],
            imaging=bool(settings["imaging"]),
        )
        if not _is_same(made, row):
            return None
        settings |= {"device": device, "device_memory": 0.9}
        how = analysis_of(settings, Materials.load(composite.materials))
        return _volume(made, {**how, "transport": False}, simulated=activity_of(settings) == "simulate")

    return again


def _is_same(made: Sample, row: Mapping[str, Any]) -> bool:
    """Return whether a volume that was made again is that of a row of ``samples``; warn where it is not."""
    held = row.get("input_hash")
    if held and held != hash_voxels(made.phases):
        log.warning("%s cannot be made again bit for bit: only predictions move", row["sample"])
        return False
    return True


def _saved_volume(result: Result) -> Volume | None:
    """Return the volume of a saved result, to be analysed as it was."""
    run = result.summary.get("run", {}).get("configuration", {})
    materials = result.sample.materials
    if run.get("activity") != "simulate" or materials.kinetics is None:
        log.warning("the activity of this result was not simulated: only predictions move")
        return None
    how = {name: run[name] for name in ("neck_ratio", "min_voxels", "connectivity")}
    how |= {"simulation": Simulation(**run["simulation"]), "kinetics": Kinetics.of(materials)}
    return Volume(result.sample, result.regions, lambda sample: _analyzed(sample, how))


def _volume(sample: Sample, how: dict[str, Any], *, simulated: bool) -> Volume | None:
    if not simulated:
        log.warning("the activity of %s was not simulated: only predictions move", sample.name)
        return None
    plain = {name: how[name] for name in ("neck_ratio", "min_voxels", "connectivity", "device")}
    regions = pipeline.analyze(sample, **plain, subvolumes=0).to("cpu").regions
    return Volume(sample, regions, lambda other: _analyzed(other, how))


def _analyzed(sample: Sample, how: dict[str, Any]) -> Result:
    return pipeline.analyze(sample, **{**how, "subvolumes": 0}, activity="simulate")


def _sentences(found: Explanation) -> list[str]:
    scores = found.summary["scores"]
    lines = [f"R² {scores['r2']:.3f} on {found.summary['particles']} particles"]
    shares = found.summary.get("shares")
    if shares and shares["r2"] <= 0:
        lines.append(f"of {len(shares['samples'])} samples the model explains nothing: no shares")
    elif shares:
        parts = sorted(shares["groups"], key=lambda entry: -entry["share"])
        told = ", ".join(f"{entry['group']} {100 * entry['share']:.1f} %" for entry in parts)
        lines.append(f"shares of the explained variance: {told}")
    return lines
