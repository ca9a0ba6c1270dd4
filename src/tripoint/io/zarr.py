"""Zarr arrays and OME-Zarr images (NGFF 0.4 and 0.5, Zarr v2 and v3), read chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from tripoint.errors import InputError
from tripoint.io.stored import Box, Choice, Stored, squeezed
from tripoint.io.units import attribute_spacing

_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return any((folder / mark).is_file() for mark in _MARKS)


@contextmanager
def opened(path: Path, choice: Choice) -> Iterator[Stored]:
    """Open an image at full resolution, a label image by ``volume.zarr:labels/name``, or an array."""
    if not is_zarr(path):
        message = f"{path} is not a Zarr array or group (no {' or '.join(_MARKS[:3])} in it); check the path"
        raise InputError(message)
    node: Any = zarr.open(str(path), mode="r")
    if choice.inner is not None:
        inner = choice.inner.strip("/")
        if not isinstance(node, zarr.Group) or inner not in node:
            message = f"{path} has no '{choice.inner}'; its arrays are: {_listed(node)}"
            raise InputError(message)
        node = node[inner]
    group = _image(node)
    if group is not None:
        yield _open_image(group, path, choice)
        return
    array = node if isinstance(node, zarr.Array) else _only_volume(node, path)
    spacing = attribute_spacing({**_attributes(node), **_attributes(array)})
    axes = "".join(f"{k}" for k in range(array.ndim - 3)) + "zyx" if array.ndim >= 3 else "yx"[-array.ndim :]
    yield _stored(array, axes, path, choice, **spacing)


def multiscales(group: zarr.Group) -> Mapping[str, Any] | None:
    """Return the NGFF metadata of an image, or None where a group is not one."""
    attributes = _attributes(group)
    ome = attributes.get("ome")
    entries = (ome if isinstance(ome, Mapping) else attributes).get("multiscales")
    return entries[0] if isinstance(entries, list) and entries else None


def _image(node: Any) -> zarr.Group | None:
    """Return the group that is an image: this one, or the first series as bioformats2raw lays it out."""
    if not isinstance(node, zarr.Group):
        return None
    if multiscales(node) is not None:
        return node
    inner = node.get("0") if "0" in node else None
    return inner if isinstance(inner, zarr.Group) and multiscales(inner) is not None else None


def _open_image(group: zarr.Group, path: Path, choice: Choice) -> Stored:
    image = multiscales(group) or {}
    dataset = image["datasets"][0]
    array: Any = group[dataset["path"]]
    axes = image.get("axes") or list("tczyx")[-array.ndim :]
    names = "".join(str(axis["name"] if isinstance(axis, Mapping) else axis)[:1].lower() for axis in axes)
    scale = np.ones(array.ndim)
    transforms = [*dataset.get("coordinateTransformations", []), *image.get("coordinateTransformations", [])]
    scaled = [t["scale"] for t in transforms if t.get("type") == "scale"]
    for factors in scaled:
        scale = scale * np.asarray(factors, float)
    note = ""
    labels = group.get("labels") if "labels" in group else None
    if isinstance(labels, zarr.Group):
        names_of_labels = sorted(dict(labels.groups()))
        note = f"its label images are {_named(path, names_of_labels)}"
    spacing = _spacing(axes, names, scale) if scaled else {}
    return _stored(array, names, path, choice, **spacing, note=note)


def _spacing(axes: Any, names: str, scale: np.ndarray) -> dict[str, Any]:
    if not set("zyx") <= set(names):
        return {}
    chosen = [names.index(name) for name in "zyx"]
    units = [axes[k].get("unit") if isinstance(axes[k], Mapping) else None for k in chosen]
    return {"spacing": [float(scale[k]) for k in chosen], "units": units}


def _stored(array: Any, names: str, path: Path, choice: Choice, **metadata: Any) -> Stored:
    """Cut away every axis that is not z, y or x; a channel has to be chosen where there are several."""
    fixed: dict[int, int] = {}
    for k, (name, size) in enumerate(zip(names, array.shape, strict=True)):
        if name in "zyx":
            continue
        chosen = choice.channel if name == "c" and choice.channel is not None else 0
        if (size > 1 and not (name == "c" and choice.channel is not None)) or not 0 <= chosen < size:
            hint = f"choose channel=0 to {size - 1}" if name == "c" else "save one volume alone"
            message = (
                f"{path} has {size} along its axis '{name}' (shape {array.shape}); expected z, y, x, {hint}"
            )
            raise InputError(message)
        fixed[k] = chosen
    if choice.channel is not None and "c" not in names:
        message = f"{path} has no channel axis (axes {', '.join(names)}); leave channel out"
        raise InputError(message)
    kept = [k for k in range(array.ndim) if k not in fixed]

    def place(box: Box) -> tuple[Any, ...]:
        index: list[Any] = [fixed.get(k, slice(None)) for k in range(array.ndim)]
        for k, part in zip(kept, box, strict=True):
            index[k] = part
        return tuple(index)

    return Stored(
        shape=tuple(array.shape[k] for k in kept),
        dtype=np.dtype(array.dtype),
        read=lambda box: np.asarray(array[place(box)]),
        step=array.chunks[kept[0]] if len(kept) == 3 else 1,
        read_to_gpu=(lambda box: _read_to_gpu(array, path, place(box))) if _is_plain(array) else None,
        **metadata,
    )


def _read_to_gpu(array: Any, path: Path, index: tuple[Any, ...]) -> Any:
    """Read a part of an array straight into the GPU's memory, by GPUDirect Storage where kvikio is installed.

    Only of chunks that are stored as they are.  Compressed ones are unpacked on the host, as Zarr 3 unpacks
    them: its GPU buffers would carry the compressed bytes over, back to the host and over again.
    """
    if find_spec("kvikio") is not None:
        from kvikio.zarr import GDSStore

        array = zarr.open_array(GDSStore(path, read_only=True), path=array.path, mode="r")
    with zarr.config.enable_gpu():
        return array[index]


def _is_plain(array: Any) -> bool:
    """Return whether chunks are stored as they are in memory: Zarr v3, not compressed, sharded or turned."""
    codecs = [codec.to_dict() for codec in getattr(array.metadata, "codecs", ())]
    return codecs in (
        [{"name": "bytes"}],
        [{"name": "bytes", "configuration": {"endian": "little"}}],
    )


def _only_volume(group: zarr.Group, path: Path) -> Any:
    volumes = {name: a for name, a in _arrays(group) if len(squeezed(a.shape)) == 3}
    if len(volumes) != 1:
        message = f"{path} has {len(volumes)} 3D arrays ({_listed(group)}); name one, for example {path}:name"
        raise InputError(message)
    return next(iter(volumes.values()))


def _arrays(group: zarr.Group) -> list[tuple[str, Any]]:
    return [(name, item) for name, item in group.members(max_depth=None) if isinstance(item, zarr.Array)]


def _listed(node: Any) -> str:
    if not isinstance(node, zarr.Group):
        return "none, it is an array itself"
    return ", ".join(f"{name} {array.shape}" for name, array in sorted(_arrays(node))) or "none"


def _named(path: Path, names: list[str]) -> str:
    return ", ".join(f"{path.name}:labels/{name}" for name in names) or "none"


def _attributes(node: Any) -> dict[str, Any]:
    return dict(node.attrs)
