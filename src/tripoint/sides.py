"""What the two sides of a room share: the types that both return, and the order of the outer faces.

Rooms lie above their sides, which so cannot take these from them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

FACE_SLICES = (
    np.s_[0, :, :],
    np.s_[-1, :, :],
    np.s_[:, 0, :],
    np.s_[:, -1, :],
    np.s_[:, :, 0],
    np.s_[:, :, -1],
)
"""The outer planes of a volume, in the order of ``materials.FACES``."""


def geometry(spacing: Sequence[float]) -> np.ndarray:
    """Return (area, length) of the voxel faces along each axis, (3, 2) float64, µm² and µm."""
    volume = math.prod(spacing)
    return np.array([(volume / h, h) for h in spacing])


class Counts(NamedTuple):
    """What one pass over a volume counts: integers, on the host, and its map, where the phases live.

    ``edges`` (triples, 3 axes, 3) and ``total`` (3 axes, 3): all, active, unknown. ``transitions`` and
    ``connected`` (pairs, 13 directions). ``junction_map`` uint8 of the box's shape, or None.
    """

    edges: np.ndarray
    total: np.ndarray
    transitions: np.ndarray
    connected: np.ndarray
    junction_map: Any


NO_PHASE = 255
"""Class of voxels whose label is none that counts, where films are looked for."""


class FilmCounts(NamedTuple):
    """What one pass counts of films, on the host, int64.

    ``voxels`` and ``films`` (classes,): all of a phase and those in films. ``runs`` (classes, classes,
    classes): crossings through films of the first between the other two, ascending. ``faces`` (classes,
    classes): faces between two phases, ascending.
    """

    voxels: np.ndarray
    films: np.ndarray
    runs: np.ndarray
    faces: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray, classes: int) -> FilmCounts:
        """Take voxels, films, faces and runs that stand one after the other."""
        voxels, films, faces, runs = np.split(counts, np.cumsum([classes, classes, classes**2]))
        return cls(voxels, films, runs.reshape((classes,) * 3), faces.reshape((classes,) * 2))

    @classmethod
    def empty(cls, classes: int) -> FilmCounts:
        """Return counts of 0."""
        return cls.of(np.zeros(classes * (2 + classes + classes**2), np.int64), classes)


class Edges(NamedTuple):
    """Columns of :class:`tripoint.boundary.JunctionEdges`, where the phases live."""

    index: Any
    axis: Any
    triple: Any
    status: Any
    own_length: Any
    edge_length: Any


@dataclass(frozen=True)
class PairCounts:
    """What was counted of each pair of regions in one part of the volume; 88 bytes per row.

    Parameters
    ----------
    keys : (n,) int64
        lower region · 2³² + higher region, at least once per slab that met the pair, in no order.
    rows : (n, 10) int64
        As 32-bit lanes 0 to 12 the transitions along ``crofton.DIRECTIONS``, lane 13 the neck radius
        as float32; as words 7 to 9 the sums of z, y, x of the lower voxel of every face.
        One row instead of several arrays, because a pair then costs one or two cache lines.
    """

    keys: Any
    rows: Any


class Solution(NamedTuple):
    """What solves conduction on a grid, and how well.

    Potentials (flat, with guards, float64), iterations, the residual relative to the start, and whether it is
    below the tolerance and the currents balance.
    """

    potential: Any
    iterations: int
    residual: float
    balanced: bool
