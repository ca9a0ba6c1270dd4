"""Three orthogonal slices as stacked layers: phases, particles, fields, triple-phase boundary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from tripoint.materials import AXES
from tripoint.report.fields import Field
from tripoint.report.palette import JUNCTION, particle_colours, phase_colours, rgb
from tripoint.report.pictures import coloured, indexed, meetings, step_of, thin
from tripoint.report.surfaces import host
from tripoint.report.wording import number, short

_WIDTH, _HEIGHT = 510.0, 640.0  # of the drawing of one slice, px
_MARGIN = 34.0  # for the axes' names and the scale bar


@dataclass(frozen=True)
class Slice:
    """One plane through the volume, drawn.

    Attributes
    ----------
    title : str
        Such as ``x–y plane at z = 49.9 µm``.
    drawing : dict
        Lengths in px for the template's SVG: width, height, left, top, and the scale bar; and whether the
        junction is drawn ``widened`` because a voxel is less than a pixel.
    layers : dict of str to str
        ``phases``, ``particles``, the fields and ``junction`` as PNG data URIs; the last one only where
        there is a map.
    across, down : str
        Names of the axes.
    terminals : list of dict
        Which carriers enter or leave at an edge of the drawing: ``side`` and ``text``.
    """

    title: str
    drawing: dict[str, Any]
    layers: dict[str, str]
    across: str
    down: str
    terminals: list[dict[str, str]]


def slices(result: Any, fields: Sequence[Field] = ()) -> list[Slice]:
    """Return the middle x–y, x–z and y–z planes with all layers, at one scale.

    Only these three planes are read from the volumes, which may be zarr arrays.
    """
    found = drawn(result.sample)
    for axis, one in enumerate(found):
        one.layers.update(_structure(result, axis))
        one.layers.update({field.name: field.pictures[axis] for field in fields})
        if result.junction_map is not None:
            touched = host(result.junction_map[_cut(result.sample.shape, axis)])
            has_terminals = bool(result.sample.materials.terminals)
            one.layers["junction"] = _junction_layer(touched, has_terminals, one.drawing["widened"])
    return found


def drawn(sample: Any, width: float = _WIDTH, height: float = _HEIGHT) -> list[Slice]:
    """Return the frames of the three middle planes at one scale, without layers.

    Parameters
    ----------
    sample : Sample
        Of which shape, spacing and terminals are looked at.
    width, height : float
        Of the drawing of one slice at most, px.
    """
    extent = [n * s for n, s in zip(sample.shape, sample.spacing, strict=True)]
    planes = [_plane(axis) for axis in range(3)]
    widest = max(extent[across] for _, _, across in planes)
    highest = max(extent[down] for _, down, _ in planes)
    scale = min((width - 2 * _MARGIN) / widest, (height - 2 * _MARGIN) / highest)
    return [_frame(sample, *plane, extent, scale) for plane in planes]


def _cut(shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    """Return what picks the middle plane across an axis."""
    return tuple(shape[axis] // 2 if other == axis else slice(None) for other in range(3))


def _plane(axis: int) -> tuple[int, int, int]:
    """Return the axis cut, the one drawn downwards and the one drawn to the right."""
    down, across = (other for other in range(3) if other != axis)
    return axis, down, across


def _frame(sample: Any, axis: int, down: int, across: int, extent: list[float], scale: float) -> Slice:
    index = sample.shape[axis] // 2
    width, height = extent[across] * scale, extent[down] * scale
    bar = _round_length(0.28 * extent[across])
    place = (index + 0.5) * sample.spacing[axis]
    return Slice(
        title=(
            f"{AXES[across]}–{AXES[down]} plane at {AXES[axis]} = {number(place)}\u00a0µm (slice {index})"
        ),
        drawing={
            "width": width, "height": height, "left": _MARGIN, "top": _MARGIN,
            "widened": scale * min(sample.spacing) < 1,
            "bar": bar * scale, "bar_label": f"{short(bar)}\u00a0µm",
        },
        layers={},
        across=AXES[across],
        down=AXES[down],
        terminals=_terminals(sample.materials.terminals, down, across),
    )  # fmt: skip


def _structure(result: Any, axis: int) -> dict[str, str]:
    """Return the layers of phases and of particles."""
    at = _cut(result.sample.shape, axis)
    phases = host(result.sample.phases[at])
    return {
        "phases": _phase_layer(phases, result.sample),
        "particles": _particle_layer(host(result.regions[at]), phases, result.sample),
    }


def _phase_layer(phases: np.ndarray, sample: Any) -> str:
    table = np.full((256, 3), 255, np.uint8)
    colours = phase_colours([phase.name for phase in sample.materials.phases])
    for phase in sample.materials.phases:
        table[phase.label] = rgb(colours[phase.name])
    return indexed(thin(phases), table)


def _particle_layer(regions: np.ndarray, phases: np.ndarray, sample: Any) -> str:
    """Colour every region, with a dark line where two particles of the slice meet."""
    particulate = np.zeros(256, bool)
    particulate[[phase.label for phase in sample.materials.phases if phase.particulate]] = True
    regions, phases = thin(regions), thin(phases)
    labels, first, inverse = np.unique(regions, return_index=True, return_inverse=True)
    colours = particle_colours(labels, particulate[phases.ravel()[first]])
    colours[labels == 0] = 255
    image = colours[inverse.reshape(regions.shape)]
    image[meetings(regions, particulate[phases])] = (40, 44, 52)
    return coloured(image)


def _junction_layer(junction_map: np.ndarray, has_terminals: bool, widened: bool) -> str:
    """Paint the voxels at a triple-phase boundary; of a thinned block the best one stays seen."""
    table = np.zeros((256, 3), np.uint8)
    names = ("dead", "unknown", "active") if has_terminals else ("present",) * 3
    for value, name in enumerate(names, start=1):
        table[value] = rgb(JUNCTION[name])
    step = step_of(junction_map.shape)
    if step > 1:
        for axis in (0, 1):
            starts = np.arange(0, junction_map.shape[axis], step)
            junction_map = np.maximum.reduceat(junction_map, starts, axis=axis)
    if widened:
        junction_map = ndimage.maximum_filter(junction_map, 3)
    return indexed(junction_map, table, transparent=0)


def _terminals(terminals: Any, down: int, across: int) -> list[dict[str, str]]:
    """Return what stands at each side of the drawing, such as ``ion terminal`` at the top."""
    sides = {
        f"{AXES[down]}-": "top",
        f"{AXES[down]}+": "bottom",
        f"{AXES[across]}-": "left",
        f"{AXES[across]}+": "right",
    }
    carriers: dict[str, list[str]] = {}
    for carrier, face in terminals.items():
        if face in sides:
            carriers.setdefault(sides[face], []).append(carrier)
    return [{"side": side, "text": f"{', '.join(names)} terminal"} for side, names in carriers.items()]


def _round_length(length: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not longer."""
    power = 10.0 ** math.floor(math.log10(length))
    return float(f"{max(m for m in (1, 2, 5) if m * power <= length * 1.0001) * power:.1g}")
