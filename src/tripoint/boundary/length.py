"""Every triple-phase edge of a volume with its share of the junction's length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class JunctionEdges:
    """Lattice edges on which the three phases of a junction meet, one record per edge and triple.

    Sorted by (index, axis, triple), so that the records of one lattice edge stand together.
    19 bytes per record.

    Parameters
    ----------
    index : (n,) int64
        Linear index of the lowest of the four voxels around the edge.
    axis : (n,) uint8
        Direction of the edge: 0, 1, 2 for z, y, x.
    triple : (n,) uint8
        Which of the junction triples.
    status : (n,) uint8
        0 dead, 1 unknown, 2 active, 255 without access.
    own_length : (n,) float32
        Contribution to the length of its triple, µm.
    edge_length : (n,) float32
        Mean of ``own_length`` over the triples of the same lattice edge, µm: the edge's contribution to
        the total length over distinct edges.
    """

    index: np.ndarray
    axis: np.ndarray
    triple: np.ndarray
    status: np.ndarray
    own_length: np.ndarray
    edge_length: np.ndarray

    def __len__(self) -> int:
        return len(self.index)
