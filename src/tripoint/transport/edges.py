"""Triple-phase edges on which ions meet electrons, and the voxel faces around them that react."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tripoint.boundary import Access, junction_edges
from tripoint.errors import InputError
from tripoint.materials import Materials
from tripoint.sample import Spacing

REACTS = 2
"""Product of the carriers, 1 for ions and 2 for electrons, of two voxels that react."""


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

    rings: np.ndarray
    axis: np.ndarray
    status: np.ndarray
    length: np.ndarray
    first: np.ndarray

    def faces(self, carrier: np.ndarray, spacing: Spacing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
        axis, index, raw = _ring_faces(self.rings[live], self.axis[live], carrier, np.array(spacing))
        if raw.size == 0 or whole <= 0:
            return axis[:0], index[:0], raw[:0]
        faces, where = np.unique(3 * index + axis, return_inverse=True)
        return faces % 3, faces // 3, np.bincount(where, raw) * (whole / raw.sum())


def reacting_edges(phases: np.ndarray, spacing: Spacing, materials: Materials, access: Access) -> RingEdges:
    """Find the edges of every junction that holds an ion and an electron conductor.

    Raises
    ------
    InputError
        No junction does.
    """
    networks = [set(materials.network(carrier)) for carrier in ("ion", "electron")]
    triples = [t for t in materials.junction_labels if all(set(t) & network for network in networks)]
    if not triples:
        message = (
            f"none of the junctions {[list(t) for t in materials.junctions]} holds an ion and an electron "
            "conductor, so nothing reacts along them; name one that does, or use reaction: interface"
        )
        raise InputError(message)
    edges = junction_edges(phases, spacing, triples, access=access)
    begins = np.ones(len(edges), bool)
    begins[1:] = (np.diff(edges.index) != 0) | (np.diff(edges.axis) != 0)
    steps = np.array([phases.shape[1] * phases.shape[2], phases.shape[2], 1])
    return RingEdges(
        rings=_rings(edges.index, edges.axis, steps),
        axis=edges.axis,
        status=edges.status,
        length=edges.edge_length,
        first=_best_record(begins, edges.status),
    )


def _rings(index: np.ndarray, axis: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the four voxels around every edge, in turn, (n, 4) int64."""
    others = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    a, b = steps[others[:, 0]], steps[others[:, 1]]
    return np.stack([index, index + a, index + a + b, index + b], axis=1)


def _ring_faces(
    rings: np.ndarray, axis: np.ndarray, carrier: np.ndarray, spacing: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the faces of ions with electrons around edges: axis, lower voxel, part of the length."""
    others = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    held = carrier[rings].astype(np.int64)
    # From each voxel of the ring to the next: along the first other axis, the second, and back.
    pairs = ((0, 1, 0), (1, 2, 1), (3, 2, 0), (0, 3, 1))
    reacts = np.stack([(held[:, i] * held[:, j]) == REACTS for i, j, _ in pairs], axis=1)
    share = spacing[axis] / np.maximum(reacts.sum(axis=1), 1)
    edge, which = np.nonzero(reacts)
    lower = np.array([pair[0] for pair in pairs])[which]
    along = np.array([pair[2] for pair in pairs])[which]
    return others[edge, along], rings[edge, lower], share[edge]


def _best_record(first: np.ndarray, status: np.ndarray) -> np.ndarray:
    """Return one record per edge: the first among those of highest status."""
    group = np.cumsum(first) - 1
    best = np.zeros(group[-1] + 1 if len(group) else 0, np.uint8)
    np.maximum.at(best, group, status)
    candidates = np.flatnonzero(status == best[group])
    chosen = np.zeros(len(first), bool)
    chosen[candidates[np.unique(group[candidates], return_index=True)[1]]] = True
    return chosen
