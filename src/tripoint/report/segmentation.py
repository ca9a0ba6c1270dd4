"""The report of an evaluation: a segmentation beside what somebody has drawn."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tripoint.materials import Materials
from tripoint.report.html import rendered
from tripoint.report.palette import phase_colours, rgb
from tripoint.report.pictures import coloured, indexed, thin
from tripoint.report.wording import NOTHING, as_float, count, number, percent, size

WRONG = "#d55e00"
"""Colour of voxels that differ."""

_UNLABELLED = 255
_EDGE_TOLERANCE = 0.05
_SPAN_TOLERANCE = 0.02


@dataclass(frozen=True)
class Picture:
    """A slice: what somebody has drawn, what was found, and the grey values where they are at hand.

    Parameters
    ----------
    number : int
        What the slice is called.
    truth, found : (y, x) uint8
        Positions among the phases, 255 where nobody has drawn.
    wrong : float
        Share of the drawn pixels that differ.
    grey : sequence of (y, x)
        Of each channel; none where they are not at hand.
    """

    number: int
    truth: np.ndarray
    found: np.ndarray
    wrong: float
    grey: Sequence[np.ndarray]


def rendered_page(summary: Mapping[str, Any], pictures: Sequence[Picture], materials: Materials) -> str:
    """Return the report as HTML that asks nothing of the network.

    Parameters
    ----------
    summary : mapping
        What ``summary.json`` of the evaluation holds.
    pictures : sequence of Picture
    materials : Materials
    """
    names = [phase.name for phase in materials.phases]
    colours = phase_colours(names)
    context = {
        "name": str(summary["name"]),
        "version": summary["tripoint"],
        "date": datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "view": None,
        "facts": _facts(summary),
        "headline": _headline(summary),
        "sentence": sentence(summary),
        "warnings": summary["warnings"],
        "phases": [{"name": name, "colour": colours[name], **_phase_row(summary, name)} for name in names],
        "tolerances": list(summary["boundary_f1"]),
        "confusion": _confusion(summary, names),
        "structure": _structure_rows(summary),
        "slab": (summary["structure"] or {}).get("slices"),
        "annotated": percent((summary["structure"] or {}).get("annotated_share", 1)),
        "pictures": [_panels(one, colours) for one in pictures],
        "wrong": WRONG,
    }
    return rendered("segmentation.html", context)


def sentence(summary: Mapping[str, Any]) -> str:
    """Say in plain words how far off a segmentation is."""
    text = f"{percent(summary['accuracy'], 2)} of the voxels agree, mean Dice {summary['mean_dice']:.4f}."
    structure = summary["structure"]
    if structure is None:
        return (
            f"{text} No two annotated slices follow each other, so that nothing is said of areas, "
            "triple-phase "
            "boundaries and percolation."
        )
    errors = structure["error"]
    areas = {pair: error for pair, error in errors["areas"].items() if error is not None}
    junctions = {triple: error["density"] for triple, error in errors["junctions"].items()}
    parts = [
        f"the TPB density of {triple} by {_signed(error)}"
        for triple, error in junctions.items()
        if error is not None
    ]
    if areas:
        worst = max(areas, key=lambda pair: abs(areas[pair]))
        parts.append(f"interface areas by at most {_signed(areas[worst])} ({worst})")
    spans = errors["spanning_fractions"]
    worst = max(spans, key=lambda name: abs(spans[name]))
    parts.append(f"spanning fractions by at most {spans[worst]:+.3f} ({worst})".replace("-", "−"))
    text = f"{text} Off are {', '.join(parts)}."
    invented = _invented(structure)
    return f"{text} Nobody has drawn what the prediction has: {', '.join(invented)}." if invented else text


def _invented(structure: Mapping[str, Any]) -> list[str]:
    """Say of which junctions and interfaces the annotation has none and the prediction has some."""
    found, errors = structure["predicted"], structure["error"]
    junctions = [
        f"TPB of {triple} ({number(found['junctions'][triple]['density'])} µm⁻²)"
        for triple, error in errors["junctions"].items()
        if error["density"] is None and found["junctions"][triple]["edges"]
    ]
    areas = [
        f"the interface {pair} ({number(found['areas'][pair])} µm⁻¹)"
        for pair, error in errors["areas"].items()
        if error is None and found["areas"].get(pair)
    ]
    return junctions + areas


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    numbers = summary["slices"]
    used = [(words, summary.get(key)) for words, key in (("", "trained_on"), ("chosen by ", "chosen_by"))]
    trained = "; ".join(f"{words}{', '.join(map(str, slices))}" for words, slices in used if slices)
    return [
        ("Prediction", str(summary["prediction"])),
        ("Annotation", str(summary["labels"])),
        ("Slices", f"{len(numbers)}, from {numbers[0]} to {numbers[-1]}"),
        ("Voxels", f"{count(summary['voxels'])} that are annotated, of {size(summary['spacing'])} µm"),
        ("Trained on", f"slices {trained}" if trained else ""),
    ]


def _headline(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    figures = [(f"{summary['mean_dice']:.4f}", "mean Dice", "of the phases")]
    figures += [
        (_four(value), f"boundary F1 at {tolerance}", "mean of the phases, voxels")
        for tolerance, value in summary["mean_boundary_f1"].items()
    ]
    structure = summary["structure"]
    if structure:
        figures += [
            (_signed(error["density"]), "TPB density", triple)
            for triple, error in structure["error"]["junctions"].items()
        ]
        areas = [abs(error) for error in structure["error"]["areas"].values() if error is not None]
        worst = percent(max(areas)) if areas else NOTHING
        figures.append((worst, "largest error of an area", "of the interfaces"))
        spans = structure["error"]["spanning_fractions"].values()
        figures.append((f"{max(map(abs, spans)):.3f}", "spanning fraction", "largest difference"))
    return [{"value": value, "label": label, "note": note} for value, label, note in figures[:6]]


def _phase_row(summary: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {
        "dice": _four(summary["dice"][name]),
        "iou": _four(summary["iou"][name]),
        "f1": [_four(values[name]) for values in summary["boundary_f1"].values()],
    }


def _confusion(summary: Mapping[str, Any], names: list[str]) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        values = [summary["confusion"][name][other] for other in names]
        total = sum(values)
        rows.append({"name": name, "cells": [percent(v / total, 2) if total else NOTHING for v in values]})
    return rows


def _structure_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for every figure: annotated, predicted, and how far off."""
    structure = summary["structure"]
    if not structure:
        return []
    found, truth, error = structure["predicted"], structure["annotated"], structure["error"]
    rows = []
    for triple, value in truth["junctions"].items():
        of = error["junctions"][triple]
        pairs = (("TPB density, µm⁻²", "density"), ("TPB edges", "edges"))
        rows += [
            _row(
                label,
                triple,
                found["junctions"][triple][key],
                value[key],
                _signed(of[key]),
                of[key],
                _EDGE_TOLERANCE,
            )
            for label, key in pairs
        ]
    for pair, of in error["areas"].items():
        areas = (found["areas"].get(pair, 0.0), truth["areas"].get(pair, 0.0))
        rows.append(_row("interface, µm⁻¹", pair, *areas, _signed(of), of, _EDGE_TOLERANCE))
    for phase, value in truth["fractions"].items():
        off = error["fractions"][phase]
        rows.append(
            _row(
                "volume fraction", phase, found["fractions"][phase], value, _plain(off), off, _SPAN_TOLERANCE
            )
        )
    for phase, values in truth["spanning_fractions"].items():
        for axis, a, b in zip("zyx", found["spanning_fractions"][phase], values, strict=True):
            off = a - b
            rows.append(_row(f"spanning fraction {axis}", phase, a, b, _plain(off), off, _SPAN_TOLERANCE))
    return rows


def _row(
    label: str, of: str, found: Any, truth: Any, error: str, off: Any, tolerance: float
) -> dict[str, Any]:
    shown = count if isinstance(truth, int) else lambda value: number(value, 4)
    far = abs(as_float(off)) > tolerance if off is not None else bool(found)
    return {
        "label": label,
        "of": of,
        "found": shown(found),
        "truth": shown(truth),
        "error": error,
        "far": far,
    }


def _panels(one: Picture, colours: Mapping[str, str]) -> dict[str, Any]:
    table = np.full((256, 3), 255, np.uint8)
    for position, colour in enumerate(colours.values()):
        table[position] = rgb(colour)
    table[_UNLABELLED] = 255
    truth, found = thin(one.truth), thin(one.found)
    names = [f"channel {k + 1}" for k in range(len(one.grey))] if len(one.grey) > 1 else ["grey"]
    panels = [(name, _grey(thin(plane))) for name, plane in zip(names, one.grey, strict=False)]
    panels.append(("annotated", indexed(truth, table)))
    panels.append(("predicted", indexed(found, table)))
    difference = (255 - (255 - table[found].astype(np.int16)) * 2 // 5).astype(np.uint8)
    difference[(truth != found) & (truth != _UNLABELLED)] = rgb(WRONG)
    difference[truth == _UNLABELLED] = 255
    panels.append(("difference", coloured(difference)))
    height, width = truth.shape
    return {
        "number": one.number,
        "wrong": percent(one.wrong, 2),
        "panels": panels,
        "width": width,
        "height": height,
    }


def _grey(plane: np.ndarray) -> str:
    shown = plane[np.isfinite(plane)]
    low, high = np.percentile(shown, (0.5, 99.5)) if shown.size else (0.0, 1.0)
    plane = np.nan_to_num(plane.astype(np.float32), nan=low)
    scaled = (plane - low) / max(high - low, 1e-12) * 255
    table = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    return indexed(np.clip(scaled, 0, 255).astype(np.uint8), table)


def _four(value: Any) -> str:
    return NOTHING if value is None else f"{value:.4f}"


def _signed(value: Any) -> str:
    return NOTHING if value is None else f"{100 * value:+.2f}\u202f%".replace("-", "−")


def _plain(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")
