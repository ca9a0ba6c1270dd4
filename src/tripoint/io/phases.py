"""Labels of any integer type in a file to phases in memory, one byte per voxel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array

from tripoint import _cuda
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
    device: str = "cpu",
) -> Any:
    """Read a box run by run into uint8, so that a 64-bit file never stands in memory as such."""
    total = box_shape(box)[0]
    phases = _empty(box_shape(box), device)
    read = (stored.read_to_gpu if device == "cuda" else None) or stored.read
    for block in blocks(box, stored):
        start, stop = block[0].start - box[0].start, block[0].stop - box[0].start
        # No name holds the block, so that the next is not read while this one still takes memory.
        _fill(phases[start:stop], _in_range(read(block), materials, path, stored.note))
        if progress is not None:
            progress("read", stop, total)
    return phases


def _empty(shape: tuple[int, int, int], device: str) -> Any:
    if device == "cpu":
        return np.empty(shape, np.uint8)
    with _cuda.memory.told_in_our_words():
        return _cuda.transfer.empty(shape, np.uint8)


def _fill(phases: Any, values: Any) -> None:
    """Put values of any integer type where they belong, over the bus if that is on the GPU."""
    if is_cupy_array(phases) and not is_cupy_array(values):
        _cuda.transfer.to_device(values.astype(np.uint8, copy=False), out=phases)
    else:
        phases[...] = values


def _in_range(values: Any, materials: Materials, path: Path, note: str) -> Any:
    """Return the values, unless uint8 would turn labels into others: 256 into 0, -1 into 255."""
    if values.dtype == np.uint8 or values.dtype.kind == "b":
        return values
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high <= 255:
        return values
    found = array_namespace(values).unique_values(values).tolist()
    unknown = [value for value in found if value not in materials.labels]
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
