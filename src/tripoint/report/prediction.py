"""The report of a prediction: predicted beside known activity, and how far off it is in plain words."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tripoint.materials import Materials
from tripoint.report.charts import LINE_NEEDS, Axis, against, axis_for, scatter
from tripoint.report.fields import DEAD_TEXT, PARTICLES_NOTE, Field, particle_pictures, prediction_scale
from tripoint.report.html import field_key, rendered, view_section
from tripoint.report.palette import DEAD
from tripoint.report.scales import about_one
from tripoint.report.scene import scene
from tripoint.report.slices import drawn
from tripoint.report.wording import NOTHING, as_float, count, number, percent, short, size

_INK = "#3d6a96"
_WIDTH = 360.0  # of one slice of three beside each other, px
_SAMPLES_AT_MOST = 200
FACTOR = 2.0


@dataclass(frozen=True)
class _Outline:
    """Of a sample what the pictures need; its voxels are not read."""

    name: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    materials: Materials


@dataclass(frozen=True)
class _Shown:
    """What slices and the 3D view are drawn from."""

    sample: _Outline
    graph: Any
    summary: dict[str, Any]
    regions: Any


def of_result(summary: dict[str, Any], result: Any, frame: pd.DataFrame, floor: float) -> str:
    """Return the report of the prediction of one result.

    Parameters
    ----------
    summary : dict
        What ``summary.json`` of the prediction holds.
    result : Result
        Whose particles were predicted; of its volumes the regions are read.
    frame : DataFrame
        A row per particle: ``node``, ``predicted_activity``, ``predicted_log_activity``, and where it is
        known ``activity``, ``inactive``, ``depth``.
    floor : float
        What is added to activities where they are compared by their ratio.

    Returns
    -------
    str
        HTML that asks nothing of the network.
    """
    shown = _shown(result, frame, floor)
    simulated = "inactive_because" in shown.graph.nodes
    known = frame["activity"].notna().any()
    truth = "simulated" if simulated else "measured"
    view = scene(shown)
    if view:
        view["payload"]["critical"] = {}
    fields = _fields(shown, truth if known else None, floor)
    sample = shown.sample
    facts = [
        ("Volume", f"{size(sample.shape)} voxels (z, y, x)"),
        ("Voxel", f"{_voxel(sample.spacing)}\u00a0µm"),
        ("Materials", sample.materials.name.replace("_", " ")),
        ("Particles", f"{count(len(frame))} of active material; fragments apart"),
    ]
    context = {
        **_common(summary, str(summary["sample"]), facts, truth),
        "slices": _triples(sample, fields),
        "fields": [field_key(field) for field in fields],
        "view": view_section(view) if view else None,
        "foreign": summary.get("foreign", []),
        "charts": _charts(frame, truth, floor, depth=True) if known else [],
        "rows": _rows(summary, truth) if known else [],
        "absent": summary.get("without_learning", {}).get("circuit", {}).get("absent", ""),
        "weak": summary.get("weak", {}),
        "depths": [_depth_row(entry) for entry in summary.get("by_depth", [])],
        "samples": [],
        "left_out": [],
    }
    return rendered("prediction.html", context)


def of_samples(summary: dict[str, Any], frame: pd.DataFrame, floor: float) -> str:
    """Return the report of the predictions of many samples; as `of_result`, without pictures of any.

    Parameters
    ----------
    summary : dict
    frame : DataFrame
        Particles of all samples.
    floor : float
    """
    known = frame[frame["activity"].notna()]
    rows = sorted(summary.get("by_sample", []), key=lambda entry: -entry["mae"])
    facts = [
        ("Database", str(summary.get("database", ""))),
        ("Samples", count(summary["samples"]) + _scored_of(summary)),
        ("Particles", f"{count(len(frame))} of active material; fragments apart"),
    ]
    if summary.get("where"):
        facts.append(("Where", str(summary["where"])))
    context = {
        **_common(summary, "Predictions of many samples", facts, "known"),
        "slices": [],
        "fields": [],
        "view": None,
        "foreign": [],
        "charts": _charts(known, "known", floor, depth=False) if len(known) else [],
        "rows": _split_rows(summary),
        "absent": "",
        "weak": {},
        "depths": [],
        "samples": [_sample_row(entry) for entry in rows[:_SAMPLES_AT_MOST]],
        "left_out": summary.get("left_out", []),
        "more": max(0, len(rows) - _SAMPLES_AT_MOST),
    }
    return rendered("prediction.html", context)


def _scored_of(summary: dict[str, Any]) -> str:
    """Say of how many of the samples the figures are."""
    scored = summary.get("scores", {}).get("samples")
    return "" if scored in (None, summary["samples"]) else f", the figures are of {count(scored)}"


def sentence(summary: dict[str, Any]) -> str:
    """Say in plain words how far off a prediction is, beside what is had without learning."""
    scores: dict[str, Any] = summary.get("scores", {})
    if not scores:
        return "No activity is known of these particles, so nothing tells how far off the prediction is."
    of = {True: "Of samples that training did not see, the", False: "Of samples of the training, the"}
    begin = of[summary["unseen"]] if "unseen" in summary else "The"
    text = (
        f"{begin} prediction is off by a factor of {_factor(scores)} on average; "
        f"{percent(scores['within_factor_2'])} of the particles are met within a factor of 2."
    )
    others = summary.get("without_learning", {})
    said = []
    if "mae" in others.get("median", {}):
        said.append(f"giving all of them the median of their sample is off by {_factor(others['median'])}")
    if "mae" in others.get("circuit", {}):
        said.append(
            "the network of resistors with the constants of the simulation, where nothing is learnt, by "
            f"{_factor(others['circuit'])}"
        )
    if not said:
        return text
    comparison = ", ".join(said)
    return f"{text} For comparison: {comparison}. {_verdict(scores, others)}".strip()


def _verdict(scores: dict[str, Any], others: dict[str, Any]) -> str:
    median, circuit = (others.get(name, {}).get("mae") for name in ("median", "circuit"))
    if median is not None and scores["mae"] >= median:
        return "So the prediction tells no more than the median does."
    if circuit is not None and scores["mae"] > circuit:
        return "So it tells more than the median, and less than the resistors."
    return "So it tells more than either." if circuit is not None else "So it tells more than the median."


def _shown(result: Any, frame: pd.DataFrame, floor: float) -> _Shown:
    graph = result.graph.to("cpu")
    metadata = graph.metadata
    values = frame.set_index("node").reindex(graph.nodes["node"])
    predicted = values["predicted_activity"].to_numpy(np.float64)
    nodes = graph.nodes.assign(predicted_activity=predicted)
    if frame["activity"].notna().any():
        known = values["activity"].to_numpy(np.float64)
        nodes["predicted_ratio"] = (predicted + floor) / (np.maximum(known, 0) + floor)
    outline = _Outline(
        str(metadata.get("name", "")),
        tuple(metadata["shape"]),
        tuple(metadata["spacing"]),
        Materials.from_mapping(metadata["materials"]),
    )
    return _Shown(outline, replace(graph, nodes=nodes), result.summary, result.regions)


def _fields(shown: _Shown, truth: str | None, floor: float) -> list[Field]:
    """Return what the slices show: known where it is, predicted, and their ratio."""
    nodes = shown.graph.nodes
    scale = prediction_scale(nodes)
    labels = nodes["node"].to_numpy()
    predicted = nodes["predicted_activity"].to_numpy(np.float64)
    found = [
        Field(
            "predicted", "predicted activity", "", PARTICLES_NOTE, scale,
            particle_pictures(shown.regions, labels, predicted, scale), [],
        )
    ]  # fmt: skip
    if truth is None:
        return found
    particles = np.isfinite(predicted)
    known = np.where(particles, nodes["activity"].to_numpy(np.float64), np.nan)
    dead = np.zeros(len(nodes), bool)
    if "inactive_because" in nodes:
        dead = particles & (nodes["inactive_because"].fillna("") != "").to_numpy()
    entries = [(DEAD, DEAD_TEXT)] if dead.any() else []
    first = Field(
        "known", f"{truth} activity", "", "", scale,
        particle_pictures(shown.regions, labels, known, scale, dead), entries,
    )  # fmt: skip
    ratio = nodes["predicted_ratio"].to_numpy(np.float64)
    about = about_one(ratio)
    last = Field(
        "ratio", f"predicted / {truth}", "", f"The ratio is of activity + {floor:g}.", about,
        particle_pictures(shown.regions, labels, ratio, about), [],
    )  # fmt: skip
    return [first, *found, last]


def _triples(sample: _Outline, fields: list[Field]) -> list[Any]:
    """Return the slices row by row: a plane in each field, those along the depth first."""
    frames = drawn(sample, width=_WIDTH)
    return [
        replace(frames[axis], layers={field.name: field.pictures[axis]})
        for axis in (1, 2, 0)
        for field in fields
    ]


def _voxel(spacing: tuple[float, ...]) -> str:
    return short(spacing[0]) if len(set(spacing)) == 1 else size([float(length) for length in spacing])


def _common(summary: dict[str, Any], name: str, facts: list[tuple[str, str]], truth: str) -> dict[str, Any]:
    model = str(summary.get("model") or "network")
    several = f"{summary['networks']} networks {model}" if summary.get("networks", 1) > 1 else model
    trained = f"{several}, trained on {count(summary['trained_on'])} samples"
    return {
        "name": name,
        "version": summary["tripoint"],
        "date": datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "facts": [("Model", trained), *facts, ("Checkpoint", str(summary.get("checkpoint", "")))],
        "headline": _headline(summary),
        "sentence": sentence(summary),
        "truth": truth,
        "line_needs": LINE_NEEDS,
        "more": 0,
    }


def _headline(summary: dict[str, Any]) -> list[dict[str, str]]:
    scores = summary.get("scores")
    if not scores:
        return []
    figures = [
        (f"× {_factor(scores)}", "off on average", "geometric mean of the larger over the smaller"),
        (percent(scores["within_factor_2"]), "within a factor of 2", "of the particles"),
        (number(scores["mae"]), "mean absolute error", "of log₁₀ activity"),
        (_figure(scores["r2"]), "R²", "of log₁₀ activity; 1 is all, 0 is the mean"),
        (_figure(scores["spearman"]), "rank correlation", "of predicted and known activity"),
        (number(scores["linear_mae"]), "mean absolute error", "of activity, whose average is 1"),
    ]
    return [{"value": value, "label": label, "note": note} for value, label, note in figures]


def _rows(summary: dict[str, Any], truth: str) -> list[dict[str, str]]:
    """Return the prediction and what is had without learning, a row each."""
    others = summary["without_learning"]
    named = [("this prediction", summary["scores"])]
    if "mae" in others["circuit"]:
        named.append(("network of resistors, constants of the simulation", others["circuit"]))
    named.append((f"median of this sample's {truth} activity", others["median"]))
    return [_score_row(name, scores) for name, scores in named]


def _split_rows(summary: dict[str, Any]) -> list[dict[str, str]]:
    names = {
        "new": "samples that training did not know",
        "test": "test split of the training",
        "calibration": "samples that its intervals rest on",
        "validation": "validation split of the training",
        "train": "samples it was trained on",
    }
    found = summary.get("by_split", {})
    if not found:
        return []
    rows = [
        _score_row(f"{name}: {count(found[key]['samples'])}", found[key])
        for key, name in names.items()
        if key in found
    ]
    return [
        *rows,
        _score_row("for comparison: the median of each sample", summary["without_learning"]["median"]),
    ]


def _score_row(name: str, scores: dict[str, Any]) -> dict[str, str]:
    interval = ""
    if scores.get("mae_low") is not None and not math.isnan(scores["mae_low"]):
        interval = f" ({number(scores['mae_low'])} to {number(scores['mae_high'])})"
    return {
        "name": name,
        "particles": count(scores["particles"]),
        "factor": _factor(scores),
        "mae": number(scores["mae"]) + interval,
        "r2": _figure(scores["r2"]),
        "spearman": _figure(scores.get("spearman")),
        "within": percent(scores.get("within_factor_2")),
        "linear": number(scores["linear_mae"]),
    }


def _sample_row(entry: dict[str, Any]) -> dict[str, str]:
    return {**_score_row(str(entry["sample"]), entry), "split": str(entry["split"])}


def _depth_row(entry: dict[str, Any]) -> dict[str, str]:
    return {
        "depth": f"{short(entry['low'])} to {short(entry['high'])}",
        "particles": count(entry["particles"]),
        "ratio": number(10 ** entry["bias"]),
        "factor": number(10 ** entry["mae"]),
    }


def _charts(frame: pd.DataFrame, truth: str, floor: float, *, depth: bool) -> list[dict[str, Any]]:
    known = frame[frame["activity"].notna()]
    activity = np.maximum(known["activity"].to_numpy(np.float64), 0) + floor
    predicted = known["predicted_activity"].to_numpy(np.float64) + floor
    dead = known["inactive"].to_numpy(np.bool_) if "inactive" in known else np.zeros(len(known), bool)
    high = 1.1 * max(activity.max(), predicted.max())
    axis = Axis(floor / 1.15, high, f"{truth} activity + {floor:g}", log=True)
    groups = [(_INK, activity[~dead], predicted[~dead]), (DEAD, activity[dead], predicted[dead])]
    upward = f"predicted activity + {floor:g}"
    charts = [
        {
            "svg": against(groups, axis, upward, f"predicted against {truth} activity", FACTOR),
            "caption": f"Predicted against {truth} activity.",
            "text": "Dashed: both equal; grey: within a factor of 2."
            + (" Darker points do not react." if dead.any() else ""),
        }
    ]
    if depth and known["depth"].notna().any():
        charts.append(_depth_chart(known, np.log10(predicted / activity), truth))
    return charts


def _depth_chart(known: pd.DataFrame, off: np.ndarray, truth: str) -> dict[str, Any]:
    depth = known["depth"].to_numpy(np.float64)
    place = np.isfinite(depth)
    across = axis_for(depth[place], "depth from the first terminal, µm", from_zero=True)
    across = Axis(0.0, across.high, across.label)
    far = max(np.log10(FACTOR), float(np.quantile(np.abs(off), 0.99)))
    up = Axis(-far, far, f"log₁₀ predicted / {truth}")
    return {
        "svg": scatter([(_INK, depth[place], off[place])], across, up, "error against depth", quartiles=True),
        "caption": "Error against depth.",
        "text": "Line: median; band: quartiles, in groups of equally many particles.",
    }


def _factor(scores: dict[str, Any]) -> str:
    return number(10 ** as_float(scores["mae"]))


def _figure(value: Any) -> str:
    value = as_float(value)
    return f"{value:.3f}".replace("-", "−") if np.isfinite(value) else NOTHING
