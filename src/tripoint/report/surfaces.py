"""Closed surfaces of particles, light enough for a web page.

The region volume is read thinned, the faces of every region are smoothed, and vertices of one region that
fall into the same cell are joined (vertex clustering, Rossignac & Borrel 1993) until the triangles fit a
budget. No vertex belongs to two particles, so each can have its own colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array

from tripoint import _cuda

_READ_AT_MOST = 3_200_000  # voxels of the thinned volume
_SMOOTHING = 3  # steps; enough to take the stairs away, few enough to keep the volume


@dataclass(frozen=True)
class Surfaces:
    """Triangles of many particles.

    Attributes
    ----------
    positions : (v, 3) float32
        z, y, x of the vertices, µm.
    triangles : (t, 3) int32
        Vertices of the triangles, counter-clockwise seen from outside (in x, y, z).
    owner : (v,) int32
        Which of the particles asked for a vertex belongs to, from 0.
    """

    positions: np.ndarray
    triangles: np.ndarray
    owner: np.ndarray


def surfaces(
    regions: Any, spacing: tuple[float, float, float], particles: np.ndarray, budget: int = 150_000
) -> Surfaces:
    """Return closed surfaces of some regions, with at most ``budget`` triangles.

    Parameters
    ----------
    regions : (z, y, x) int, array or zarr array
        Read in slabs; nothing of its size is made, and from the GPU only the voxels that are looked at.
    spacing : (z, y, x)
        Voxel size, µm.
    particles : (n,) int
        Labels of the regions wanted.
    budget : int

    Notes
    -----
    Memory is bounded whatever the volume: about 0.5 GB for the roughest labels, and one slab.
    """
    strides = thinning(regions.shape, spacing)
    owner_of = np.zeros(int(particles.max(initial=0)) + 1, np.int32)
    owner_of[particles] = np.arange(1, len(particles) + 1, dtype=np.int32)
    thinned = _read_thinned(regions, strides, owner_of)
    quads, corners, owner = _faces(thinned)
    limits = np.array(regions.shape, np.float64)
    voxels = np.minimum(corners * np.array(strides), limits)
    positions = _smooth(voxels * np.array(spacing), quads, limits * np.array(spacing))
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    step = float(np.mean([s * t for s, t in zip(strides, spacing, strict=True)]))
    return _within_budget(positions, triangles, owner, limits * np.array(spacing), budget, step)


def thinning(
    shape: tuple[int, ...], spacing: tuple[float, float, float], at_most: int = _READ_AT_MOST
) -> tuple[int, int, int]:
    """Return the strides that leave so many voxels, as near to cubes as whole strides allow."""
    if math.prod(shape) <= at_most:
        return (1, 1, 1)
    edge = min(spacing)
    while True:
        z, y, x = (max(1, round(edge / s)) for s in spacing)
        if math.prod(-(-n // s) for n, s in zip(shape, (z, y, x), strict=True)) <= at_most:
            return (z, y, x)
        edge *= 1.05


def slabs(volume: Any) -> Iterator[tuple[int, Any]]:
    """Yield the first plane and the voxels of one slab after another, as the volume is stored."""
    chunks = getattr(volume, "chunks", None)
    thickness = chunks[0] if chunks else 64
    for start in range(0, volume.shape[0], thickness):
        slab = volume[start : start + thickness]
        yield start, slab if is_cupy_array(slab) else np.asarray(slab)


def host(array: Any) -> np.ndarray:
    """Return an array on the host; a slice or what was picked from a slab, never a volume."""
    return _cuda.transfer.to_host(array) if is_cupy_array(array) else np.asarray(array)


def _read_thinned(regions: Any, strides: tuple[int, int, int], owner_of: np.ndarray) -> np.ndarray:
    """Return the owners (0 none, 1 ..) of every stride-th voxel, with a border of one voxel of none."""
    shape = [-(-n // s) for n, s in zip(regions.shape, strides, strict=True)]
    thinned = np.zeros([n + 2 for n in shape], np.int32)
    z, y, x = strides
    for start, slab in slabs(regions):
        # the middle voxel stands for its cell; at the far border the last one there is
        planes = np.minimum(np.arange(shape[0]) * z + z // 2, regions.shape[0] - 1)
        mine = np.flatnonzero((planes >= start) & (planes < start + len(slab)))
        rows = np.minimum(np.arange(shape[1]) * y + y // 2, regions.shape[1] - 1)
        columns = np.minimum(np.arange(shape[2]) * x + x // 2, regions.shape[2] - 1)
        at = map(array_namespace(slab).asarray, (planes[mine] - start, rows, columns))
        labels = host(_picked(slab, *at))
        known = (labels > 0) & (labels < len(owner_of))
        thinned[1 + mine, 1:-1, 1:-1] = np.where(known, owner_of[np.where(known, labels, 0)], 0)
    return thinned


def _picked(slab: Any, z: Any, y: Any, x: Any) -> Any:
    """Return the voxels of a slab in these planes, rows and columns."""
    return slab[z[:, None, None], y[:, None], x]


def _faces(thinned: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the voxel faces of every owner: quads (q, 4), lattice corners (v, 3) and their owner (v,)."""
    lattice = np.array(thinned.shape) - 1  # corners between the padded voxels
    pitch = np.array([lattice[1] * lattice[2], lattice[2], 1])
    keys = []
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        a, b = thinned[tuple(low)], thinned[tuple(high)]
        where = np.nonzero(a != b)
        a, b = a[where], b[where]
        # the corner nearest the origin; the voxel i of the padded volume has its corners at i - 1 and i
        first = sum((w - (axis != d)) * pitch[d] for d, w in enumerate(where))
        u, v = pitch[(axis + 1) % 3], pitch[(axis + 2) % 3]
        ring = first[:, None] + np.array([0, u, u + v, v])
        # (z, y, x) is drawn as (x, y, z), which mirrors: the order that is outward there is the reverse one
        for side, corners in ((a, ring[:, ::-1]), (b, ring)):
            owned = side > 0
            keys.append(corners[owned] + (side[owned, None].astype(np.int64) - 1) * lattice.prod())
    joined = np.concatenate(keys) if keys else np.zeros((0, 4), np.int64)
    unique, quads = np.unique(joined, return_inverse=True)
    owner, corner = np.divmod(unique, lattice.prod())
    corners = np.stack(np.unravel_index(corner, tuple(lattice)), axis=1)
    return quads.reshape(-1, 4).astype(np.int32), corners, owner.astype(np.int32)


def _smooth(positions: np.ndarray, quads: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Move every vertex to the mean of its faces' centres, a few times; the border's stay on it."""
    if not len(quads):
        return positions
    on_border = (positions <= 0) | (positions >= limits)
    flat = quads.ravel()
    faces = np.bincount(flat, minlength=len(positions))
    smoothed = positions
    for _ in range(_SMOOTHING):
        moved = np.empty_like(smoothed)
        for axis in range(3):
            centres = smoothed[quads, axis].mean(axis=1)
            moved[:, axis] = np.bincount(flat, np.repeat(centres, 4), len(positions)) / faces
        smoothed = np.where(on_border, positions, moved)
    return smoothed


def _within_budget(
    positions: np.ndarray,
    triangles: np.ndarray,
    owner: np.ndarray,
    limits: np.ndarray,
    budget: int,
    step: float,
) -> Surfaces:
    """Join vertices of one owner in ever larger cells until the triangles fit."""
    fine = (positions, triangles, owner)
    on_border = (positions <= 0) | (positions >= limits)
    kind = on_border @ np.array([1, 2, 4])  # joined among themselves, so that cut faces stay flat and sharp
    cell = 0.9 * step * math.sqrt(max(1.0, len(triangles) / max(1, budget)))
    # cells grow as the square root of a particle's diameter: large ones are finer, small ones keep a shape
    vertices = np.bincount(owner, minlength=1)
    relative = (np.maximum(vertices, 1) / max(1.0, vertices.mean())) ** 0.25
    while len(triangles) > budget and cell < 4 * limits.max():
        positions, triangles, owner = _cluster(*fine, kind, cell * relative)
        cell *= max(1.04, 0.99 * math.sqrt(len(triangles) / budget))
    return Surfaces(positions.astype(np.float32), triangles.astype(np.int32), owner)


def _cluster(
    positions: np.ndarray, triangles: np.ndarray, owner: np.ndarray, kind: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    place = np.floor(positions / cells[owner, None]).astype(np.int64)
    extent = place.max(axis=0) + 1
    key = (((owner * 8 + kind) * extent[0] + place[:, 0]) * extent[1] + place[:, 1]) * extent[2] + place[:, 2]
    _, first, joined = np.unique(key, return_index=True, return_inverse=True)
    members = np.bincount(joined)
    merged = np.stack([np.bincount(joined, positions[:, d]) / members for d in range(3)], axis=1)
    corners = joined[triangles]
    real = (
        (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2]) & (corners[:, 2] != corners[:, 0])
    )
    return merged, corners[real], owner[first]
