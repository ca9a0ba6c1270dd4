"""Volumes as OME-Zarr: NGFF 0.5 on Zarr v3, phases as the image, regions and junctions as its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from array_api_compat import is_cupy_array
from zarr.codecs import BloscCodec

from tripoint import _cuda
from tripoint.io.signals import uninterrupted
from tripoint.sample import Sample

# Cubes of about this edge: 2048³ voxels make 4096 files, 500³ make 64.
CHUNK = 128
# Smaller copies are added until the longest edge is this short, so that viewers open at once.
_SMALLEST = 256
# Labels come in runs, which the lowest level packs as well as higher ones, several times faster.
_CODEC = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")


def write(
    path: Path, sample: Sample, labels: Mapping[str, Any], *, colours: Mapping[str, Any] | None = None
) -> None:
    """Write a sample and label volumes of the same shape.

    Voxels are taken slab by slab, also from the GPU, through page-locked memory; chunks are compressed on all
    cores. The first voxel's centre lies at half a voxel, as in the tables, so that centroids fall onto their
    particles.

    Parameters
    ----------
    path : Path
        The folder to make, ``….zarr``.
    sample : Sample
        Its phases become the image, each of its channels an image ``channels/<name>``; its
        materials and name are kept in the attribute ``tripoint``.
    labels : mapping of str to (z, y, x) integers
        Become ``labels/<name>``.
    colours : mapping of str to mapping of int to (r, g, b, a), optional
        Colours of label values, by name of the label volume.
    """
    about = {"name": sample.name, "materials": sample.materials.to_mapping()}
    write_image(path, sample.phases, sample.spacing, sample.name, labels, about=about, colours=colours)
    if sample.channels:
        _group(path / "channels")
    for name, volume in sample.channels.items():
        _write_image(_group(path / "channels" / name), volume, sample.spacing, name)


def write_image(
    path: Path,
    volume: Any,
    spacing: Sequence[float],
    name: str,
    labels: Mapping[str, Any],
    *,
    about: Mapping[str, Any],
    colours: Mapping[str, Any] | None = None,
) -> None:
    """Write one volume of any type, and label volumes of the same shape.

    Parameters
    ----------
    path : Path
        The folder to make.
    volume : (z, y, x) array
    spacing : (z, y, x)
        Voxel size, µm.
    name : str
    labels, colours
        As of :func:`write`.
    about : mapping
        What to keep in the attribute ``tripoint``.
    """
    _write_image(_group(path, tripoint={"schema": 1, **about}), volume, spacing, name)
    if labels:
        _group(path / "labels", ome={"version": "0.5", "labels": sorted(labels)})
    for label, values in labels.items():
        group = _group(path / "labels" / label)
        _write_image(group, values, spacing, label, _image_label((colours or {}).get(label, {})))


def write_maps(
    path: Path, maps: Mapping[str, Any], spacing: Sequence[float], attributes: Mapping[str, Any]
) -> None:
    """Write volumes of real numbers, each as an image of its own in one group.

    Parameters
    ----------
    path : Path
        The folder to make, ``….zarr``.
    maps : mapping of str to (z, y, x) float32
        Taken slab by slab, so they may be memory maps.
    spacing : (z, y, x)
        Voxel size, µm.
    attributes : mapping
        What to keep in the attribute ``tripoint``.
    """
    _group(path, tripoint={"schema": 1, "maps": list(maps), **attributes})
    for name, volume in maps.items():
        _write_image(_group(path / name), volume, spacing, name)


def read_array(path: Path, inner: str = "") -> np.ndarray:
    """Read the full resolution of an image that :func:`write` wrote."""
    array: Any = zarr.open_array(str(path / inner / "0"), mode="r")
    return np.asarray(array[...])


def attributes(path: Path, inner: str = "") -> dict[str, Any]:
    """Return the attributes of a group, such as materials and voxel size."""
    return dict(zarr.open_group(str(path / inner), mode="r").attrs)


def spacing_of(image: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return the voxel size (z, y, x) in µm from the attribute ``ome`` that :func:`write` wrote."""
    z, y, x = image["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    return (z, y, x)


def _group(path: Path, **attributes: Any) -> zarr.Group:
    with uninterrupted():
        return zarr.create_group(str(path), zarr_format=3, attributes=attributes)


def _write_image(
    group: zarr.Group,
    volume: Any,
    spacing: Sequence[float],
    name: str,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a volume and its smaller copies, of which each takes every second voxel of the one before."""
    strides = _strides(volume.shape)
    for level, stride in enumerate(strides):
        shape = tuple(-(-n // s) for n, s in zip(volume.shape, stride, strict=True))
        with uninterrupted():
            array = group.create_array(
                str(level),
                shape=shape,
                dtype=np.dtype(str(volume.dtype)),
                chunks=_chunks(shape),
                compressors=[_CODEC],
                dimension_names=["z", "y", "x"],
            )
        depth = array.chunks[0]
        for start in range(0, shape[0], depth):
            slab = volume[
                start * stride[0] : (start + depth) * stride[0] : stride[0], :: stride[1], :: stride[2]
            ]
            with uninterrupted():
                array[start : start + depth] = (
                    _cuda.transfer.to_host(slab) if is_cupy_array(slab) else np.asarray(slab)
                )
    multiscale: dict[str, Any] = {
        "name": name,
        "axes": [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"],
        "datasets": [_dataset(level, stride, spacing) for level, stride in enumerate(strides)],
        "type": "nearest",
    }
    with uninterrupted():
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], **(extra or {})}


def _strides(shape: Sequence[int]) -> list[tuple[int, ...]]:
    strides = [(1,) * len(shape)]
    while max(-(-n // s) for n, s in zip(shape, strides[-1], strict=True)) > _SMALLEST:
        # Thin axes stay as they are, so that a slab does not become a sheet.
        strides.append(
            tuple(
                s * 2 if -(-n // s) > _SMALLEST // 2 else s for n, s in zip(shape, strides[-1], strict=True)
            )
        )
    return strides


def _chunks(shape: Sequence[int]) -> tuple[int, ...]:
    """Cut each axis into equal parts, so that the last chunk is not mostly padding."""
    return tuple(-(-n // -(-n // CHUNK)) for n in shape)


def _dataset(level: int, stride: Sequence[int], spacing: Sequence[float]) -> dict[str, Any]:
    # Every second voxel sits where it sat, so all levels share the first voxel's centre.
    return {
        "path": str(level),
        "coordinateTransformations": [
            {"type": "scale", "scale": [s * k for s, k in zip(spacing, stride, strict=True)]},
            {"type": "translation", "translation": [s / 2 for s in spacing]},
        ],
    }


def _image_label(colours: Mapping[int, Sequence[int]]) -> dict[str, Any]:
    label: dict[str, Any] = {"source": {"image": "../../"}}
    if colours:
        label["colors"] = [{"label-value": int(value), "rgba": list(rgba)} for value, rgba in colours.items()]
    return {"image-label": label}
