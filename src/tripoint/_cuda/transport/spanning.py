"""Which voxels of a network lie in components that touch both ends of an axis."""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np

from tripoint._cuda.percolation import label_components, paint


def spanning(network: Any, axis: int) -> Any:
    """Return a bool volume: in a 6-connected component that touches both faces of the axis.

    Memory: 6 bytes per voxel while it works, 10 from 2³¹ − 2 voxels on, 1 of which stays.
    """
    components, _, _, faces = label_components(network.astype(cp.uint8), (1,), 6)
    both = np.uint8(3 << (2 * axis))
    return paint(components, ((faces & both) == both).astype(np.uint8)).view(cp.bool_)
