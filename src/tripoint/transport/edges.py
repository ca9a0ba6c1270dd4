"""Triple-phase edges on which ions meet electrons, and the voxel faces around them that react."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tripoint.boundary import Access, junction_edges
from tripoint.materials import Materials
from tripoint.sample import Spacing
from tripoint.tables import namespace, sums
from tripoint.transport.roles import reacting_triples

REACTS = 2
"""Product of the carriers, 1 for ions and 2 for electrons, of two voxels that react."""

OTHERS = np.array([[1, 2], [0, 2], [0, 1]])
"""The two axes across each axis."""

RECORDS = 4
"""Triples at most that four voxels around an edge have: any three of their phases."""


@dataclass(frozen=True)
class RingEdges:
    """Records of triple-phase edges with the voxels around them.

    Parameters
    ----------
    rings : (n, 4) int64
        The four voxels around each edge, in turn.
    axis : (n,) uint8
        Direction of the edge.
    status : (n,) uint8
        2 active, 1 unknown, 0 dead.
    length : (n,) float32
        Unbiased length of the lattice edge, µm; the same in all records of one edge.
    first : (n,) bool
        One record per lattice edge, of the highest status there.
    """

    rings: Any
    axis: Any
    status: Any
    length: Any
    first: Any

    def faces(self, carrier: Any, spacing: Spacing) -> tuple[Any, Any, Any]:
        """Share the length of the active edges among the faces of ions with electrons around them.

        Returns
        -------
        axis, index : (k,) int64
            Direction and lower voxel of every such face, each once.
        length : (k,) float64
            Its length, µm; in all, the unbiased length of the active edges.
        """
        live = self.first & (self.status == 2)
        whole = float(self.length[live].sum(dtype=np.float64))
        axis, index, raw = _ring_faces(self.rings[live], self.axis[live], carrier, spacing)
        if raw.size == 0 or whole <= 0:
            return axis[:0], index[:0], raw[:0]
        faces, where = namespace(carrier).unique(3 * index + axis, return_inverse=True)
        return faces % 3, faces // 3, sums(where, raw, len(faces)) * (whole / raw.sum())


def reacting_edges(phases: Any, spacing: Spacing, materials: Materials, access: Access) -> RingEdges:
    """Find the edges of every junction that holds an ion and an electron conductor.

    Raises
    ------
    InputError
        No junction does.
    """
    edges = junction_edges(phases, spacing, reacting_triples(materials), access=access)
    begins = namespace(phases).ones(len(edges), dtype=bool)
    begins[1:] = (edges.index[1:] != edges.index[:-1]) | (edges.axis[1:] != edges.axis[:-1])
    return RingEdges(
        rings=_rings(edges.index, edges.axis, phases.shape),
        axis=edges.axis,
        status=edges.status,
        length=edges.edge_length,
        first=_best_record(begins, edges.status),
    )


def _rings(index: Any, axis: Any, shape: tuple[int, ...]) -> Any:
    """Return the four voxels around every edge, in turn, (n, 4) int64."""
    xp = namespace(index)
    steps = np.array([shape[1] * shape[2], shape[2], 1])[OTHERS]
    a, b = (xp.asarray(steps[:, k])[axis] for k in (0, 1))
    return xp.stack([index, index + a, index + a + b, index + b], axis=1)


def _ring_faces(rings: Any, axis: Any, carrier: Any, spacing: Spacing) -> tuple[Any, Any, Any]:
    """Return the faces of ions with electrons around edges: axis, lower voxel, part of the length."""
    xp = namespace(rings)
    held = carrier[rings]
    # From each voxel of the ring to the next: along the first other axis, the second, and back.
    pairs = ((0, 1, 0), (1, 2, 1), (3, 2, 0), (0, 3, 1))
    reacts = xp.stack([(held[:, i] * held[:, j]) == REACTS for i, j, _ in pairs], axis=1)
    share = xp.asarray(np.array(spacing))[axis] / xp.maximum(reacts.sum(axis=1), 1)
    edge, which = xp.nonzero(reacts)
    lower = xp.asarray(np.array([pair[0] for pair in pairs]))[which]
    along = xp.asarray(np.array([pair[2] for pair in pairs]))[which]
    return xp.asarray(OTHERS)[axis[edge], along], rings[edge, lower], share[edge]


def _best_record(first: Any, status: Any) -> Any:
    """Return one record per edge: the first among those of highest status.

    A lattice edge has at most four records, next to each other: three steps on see them all.
    """
    xp = namespace(first)
    n = len(first)
    group = xp.cumsum(first.astype(xp.int64))
    best = xp.ones(n, dtype=bool)
    for ahead in range(1, min(n, RECORDS)):
        together = group[ahead:] == group[:-ahead]
        best[:-ahead] &= ~(together & (status[ahead:] > status[:-ahead]))
        best[ahead:] &= ~(together & (status[:-ahead] >= status[ahead:]))
    return best
