"""The report of a registration: both volumes over each other, and how well they fit."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.materials import AXES
from tripoint.registration import resample
from tripoint.report.html import rendered
from tripoint.report.pictures import coloured, thin
from tripoint.report.slices import drawn
from tripoint.report.wording import NOTHING, number, percent, short, size
from tripoint.sample import Spacing
from tripoint.tables import on_host

_WIDTH = 360.0  # of one slice of three beside each other, px
_FIELDS = 8  # of the checkerboard along the longer side
_ROW = 420  # pixels of the longer side of a plane in the picture, at least

#: What each picture shows, in their order.
PICTURES = {
    "before": ("Before", "fixed green, moving magenta, where they are alike grey"),
    "after": ("After", "the same after registration"),
    "checkerboard": ("Checkerboard", "fields of the fixed and of the moved volume in turn"),
}


@dataclass(frozen=True, eq=False)
class Planes:
    """The three middle planes of a fixed volume, and what a moving one shows there.

    Parameters
    ----------
    shape, spacing : (z, y, x)
        Of the fixed volume, µm.
    fixed, before, after : list of (rows, columns) float32
        Across z, y and x, scaled to 0 … 1, NaN where there is nothing.
    """

    shape: tuple[int, ...]
    spacing: Spacing
    fixed: list[np.ndarray]
    before: list[np.ndarray]
    after: list[np.ndarray]

    def images(self, axis: int) -> dict[str, np.ndarray]:
        """Return the pictures of a plane, (rows, columns, 3) uint8."""
        fixed, after = self.fixed[axis], self.after[axis]
        return {
            "before": _overlaid(fixed, self.before[axis]),
            "after": _overlaid(fixed, after),
            "checkerboard": _checkerboard(fixed, after),
        }


def planes(
    fixed: Any,
    spacing: Spacing,
    moving: Any,
    moving_spacing: Spacing,
    affines: Sequence[np.ndarray],
) -> Planes:
    """Return the middle planes of a fixed volume, and of a moving one by an affine before and one after.

    Of volumes on the GPU the planes alone come to the host.
    """
    cuts = [on_host(fixed[_middle(fixed.shape, axis)]).astype(np.float32) for axis in range(3)]
    shown = [[_plane(fixed.shape, spacing, moving, moving_spacing, affine, axis) for axis in range(3)]
             for affine in affines]  # fmt: skip
    ends = _ends(shown[-1])
    before, after = ([_scaled(plane, ends) for plane in one] for one in shown)
    return Planes(tuple(fixed.shape), spacing, [_scaled(cut, _ends(cuts)) for cut in cuts], before, after)


def picture(shown: Planes) -> Any:
    """Return all planes as one image of Pillow, a row for each, in µm of equal size."""
    from PIL import Image

    extent = [n * s for n, s in zip(shown.shape, shown.spacing, strict=True)]
    scale = max(_ROW / max(extent), 1 / min(shown.spacing) if max(shown.shape) <= 900 else 0)
    rows = []
    for axis in range(3):
        down, across = (max(1, round(extent[k] * scale)) for k in range(3) if k != axis)
        images = [Image.fromarray(image) for image in shown.images(axis).values()]
        rows.append([image.resize((across, down), Image.Resampling.NEAREST) for image in images])
    gap = 8
    width = max(sum(image.width + gap for image in row) for row in rows) + gap
    height = sum(row[0].height + gap for row in rows) + gap
    sheet = Image.new("RGB", (width, height), "white")
    top = gap
    for row in rows:
        left = gap
        for image in row:
            sheet.paste(image, (left, top))
            left += image.width + gap
        top += row[0].height + gap
    return sheet


def render(summary: dict[str, Any], shown: Planes) -> str:
    """Return the report of a registration as HTML that asks nothing of the network.

    Parameters
    ----------
    summary : dict
        What ``summary.json`` holds.
    shown : Planes
    """
    outline = SimpleNamespace(
        shape=shown.shape, spacing=shown.spacing, materials=SimpleNamespace(terminals={})
    )
    frames = drawn(outline, width=_WIDTH)
    return rendered(
        "registration.html",
        {
            "name": summary["name"],
            "version": summary["run"]["version"],
            "date": datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "view": None,
            "facts": _facts(summary),
            "headline": _headline(summary),
            "warnings": summary["warnings"],
            "rows": _rows(summary["registration"]),
            "matrix": [[f"{value:.6g}" for value in row] for row in summary["registration"]["affine"]],
            "pictures": list(PICTURES.values()),
            "slices": [
                replace(frames[axis], layers={kind: coloured(thin(image))})
                for axis in range(3)
                for kind, image in shown.images(axis).items()
            ],
        },
    )


def _facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    facts = []
    for key in ("fixed", "moving"):
        entry = summary[key]
        voxel = size([float(length) for length in entry["spacing"]])
        text = f"{entry['path']}: {size(entry['shape'])} voxels of {voxel}\u00a0µm, {entry['dtype']}"
        facts.append((key.capitalize(), text))
    return [*facts, ("Method", summary["method"])]


def _headline(summary: dict[str, Any]) -> list[dict[str, str]]:
    found = summary["registration"]
    local = found["local_shifts"]
    figures = [
        ("Agreement", number(found["correlation_ratio"]),
         f"correlation ratio; {number(found['correlation_ratio_before'])} before"),
        ("Overlap", percent(found["overlap"]), "of the fixed volume"),
        ("Rotation", f"{short(found['rotation'])}°", "angle of the affine's rotation"),
        ("Shift", _length(float(np.linalg.norm(found["shift"]))),
         "of the middle, µm: " + _vector(found["shift"])),
        ("Parts are off by", _length(local["median"]),
         f"median; worst {_length(local['worst'])}, of {local['clear_parts']} parts"),
    ]  # fmt: skip
    if "truth" in summary:
        worst = summary["truth"]["worst_corner"]
        figures.append(("Off the truth", _length(worst), "at the worst corner"))
    return [{"label": label, "value": value, "note": note} for label, value, note in figures]


def _rows(found: dict[str, Any]) -> list[dict[str, str]]:
    names = {
        "correlation": "Correlation (Pearson)",
        "correlation_ratio": "Correlation ratio, whatever the contrast",
        "mutual_information": "Mutual information, nats",
        "overlap": "Overlap, share of the fixed volume",
    }
    return [
        {"name": name, "before": number(found[f"{key}_before"]), "after": number(found[key])}
        for key, name in names.items()
    ]


def _length(value: float | None) -> str:
    """Return µm, or nm where that is shorter."""
    if value is None:
        return NOTHING
    return f"{number(1000 * value, 2)}\u00a0nm" if value < 0.1 else f"{number(value, 2)}\u00a0µm"


def _vector(vector: Sequence[float]) -> str:
    return ", ".join(f"{axis} {number(value)}" for axis, value in zip(AXES, vector, strict=True))


def _middle(shape: Sequence[int], axis: int) -> tuple[Any, ...]:
    return tuple(shape[axis] // 2 if other == axis else slice(None) for other in range(3))


def _plane(
    shape: Sequence[int],
    spacing: Spacing,
    moving: Any,
    moving_spacing: Spacing,
    affine: np.ndarray,
    axis: int,
) -> np.ndarray:
    """Return what a moving volume shows in the middle plane across an axis; NaN where it shows nothing."""
    corner, thin_shape = np.eye(4), list(shape)
    corner[axis, 3] = shape[axis] // 2 * spacing[axis]
    thin_shape[axis] = 1
    try:
        found = resample(
            moving, affine @ corner, moving_spacing=moving_spacing, shape=thin_shape, spacing=spacing
        )
    except InputError:  # they do not overlap there
        found = np.full(thin_shape, np.nan, np.float32)
    return on_host(found).squeeze(axis)


def _ends(cuts: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the values that are drawn black and white."""
    values = np.concatenate([cut[np.isfinite(cut)].ravel() for cut in cuts])
    if not values.size:
        return 0.0, 1.0
    low, high = np.quantile(values, (0.005, 0.995))
    return float(low), float(max(high, low + 1e-12))


def _scaled(cut: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    return np.clip((cut - ends[0]) / (ends[1] - ends[0]), 0, 1)


def _overlaid(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Return the fixed plane in green and the moving one in magenta."""
    green, magenta = (np.nan_to_num(255 * one).astype(np.uint8) for one in (fixed, moving))
    return np.stack([magenta, green, magenta], axis=-1)


def _checkerboard(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    edge = max(1, round(max(fixed.shape) / _FIELDS))
    rows, columns = (np.arange(n) // edge for n in fixed.shape)
    mine = (rows[:, None] + columns) % 2 == 0
    grey = np.nan_to_num(255 * np.where(mine, fixed, moving)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
