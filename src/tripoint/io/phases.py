"""Labels of any integer type in a file to phases in memory, one byte per voxel."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tripoint.errors import InputError, MaterialsError
from tripoint.io.stored import Box, Stored, blocks, box_shape
from tripoint.materials import Materials
from tripoint.record import Progress


def check_stored(stored: Stored, path: Path) -> None:
    """Refuse what cannot be a volume of phases before any of it is read."""
    if len(stored.shape) != 3:
        kind = "a single slice" if len(stored.shape) == 2 else f"{len(stored.shape)} axes"
        message = (
            f"{path} holds {kind} of shape {tuple(stored.shape)}; expected a 3D volume of labels (z, y, x)"
        )
        raise InputError(message)
    if 0 in stored.shape:
        message = f"the volume in {path} is empty (shape {tuple(stored.shape)}); check how it was written"
        raise InputError(message)
    if stored.dtype.kind not in "uib":
        note = f" ({stored.note})" if stored.note else ""
        message = (
            f"{path} holds {stored.dtype} values{note}; expected integer phase labels, "
            "segment the grey values into phases first"
        )
        raise InputError(message)


def read_phases(
    stored: Stored,
    box: Box,
    materials: Materials,
    path: Path,
    progress: Progress | None,
) -> np.ndarray:
    """Read a box run by run into uint8, so that a 64-bit file never stands in memory as such."""
    total = box_shape(box)[0]
    phases = np.empty(box_shape(box), np.uint8)
    for block in blocks(box, stored):
        start, stop = block[0].start - box[0].start, block[0].stop - box[0].start
        # No name holds the block, so that the next is not read while this one still takes memory.
        phases[start:stop] = _in_range(stored.read(block), materials, path, stored.note)
        if progress is not None:
            progress("read", stop, total)
    return phases


def _in_range(values: np.ndarray, materials: Materials, path: Path, note: str) -> np.ndarray:
    """Return the values, unless uint8 would turn labels into others: 256 into 0, -1 into 255."""
    if values.dtype == np.uint8 or values.dtype.kind == "b":
        return values
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high <= 255:
        return values
    found = np.unique(values)
    unknown = [int(v) for v in found if int(v) not in materials.labels]
    shown = ", ".join(map(str, unknown[:8])) + (", …" if len(unknown) > 8 else "")
    advice = (
        "these look like grey values, segment them into phases first"
        if len(found) > 64
        else "choose other materials or set materials.phases.<name>.label"
    )
    message = (
        f"{path} holds {len(found)} labels from {low} to {high}, of which {shown} are not in the materials "
        f"'{materials.name}' ({ {p.name: p.label for p in materials.phases} }); {advice}"
        + (f" ({note})" if note else "")
    )
    raise MaterialsError(message)
