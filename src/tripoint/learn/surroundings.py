"""Volume fractions of the phases around places of a sample, from the tables of its graph alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tripoint import _cpu
from tripoint.materials import AXES
from tripoint.tables import column

CELLS = 512  # along an axis at most


class PhaseDensity:
    """How much of each phase lies in any box of the volume.

    Every region's volume is spread evenly over its bounding box. The total of each phase is exact, a region
    that spans the volume counts everywhere, and what is lost are details below the size of a region. So the
    fractions are had from any graph that was ever stored, without its voxels.

    Parameters
    ----------
    nodes : DataFrame
        ``phase``, ``volume`` and ``bbox_*`` of every region.
    phases : sequence of str
    shape : (z, y, x)
        Voxels of the volume.
    spacing : (z, y, x)
        Voxel size, µm.
    cell : float
        Edge of the cells of the density, µm; boxes may end within a cell.

    Notes
    -----
    8 bytes per cell and phase, and sums over any box in constant time by a summed-area table (Crow 1984).
    """

    def __init__(
        self,
        nodes: pd.DataFrame,
        phases: Sequence[str],
        shape: Sequence[int],
        spacing: Sequence[float],
        cell: float,
    ) -> None:
        self.phases = tuple(phases)
        self.extent = np.array(shape) * np.array(spacing)
        self.cells = np.clip(np.rint(self.extent / cell), 1, CELLS).astype(np.int64)
        edge = self.extent / self.cells
        low, high = (
            np.clip(_columns(nodes, f"bbox_{{}}_{end}") * spacing / edge, 0, self.cells)
            for end in ("min", "max")
        )
        density = nodes["volume"].to_numpy(np.float64) / (high - low).prod(axis=1)
        number = pd.Index(self.phases).get_indexer(pd.Index(nodes["phase"]))
        whole = _cpu.surroundings.spread((*self.cells, len(self.phases)), number, density, low, high)
        whole = whole.cumsum(0).cumsum(1).cumsum(2)
        self._sums = np.pad(whole, ((1, 0), (1, 0), (1, 0), (0, 0)))

    def fractions(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the share of each phase in boxes, which are cut at the border of the volume.

        Parameters
        ----------
        low, high : (boxes, 3)
            Corners z, y, x in µm.

        Returns
        -------
        (boxes, phases) float64
            Adds up to 1; NaN where a box is empty.
        """
        corners = np.clip([low, high], 0, self.extent) / self.extent * self.cells
        nowhere = np.isnan(corners).any(axis=(0, 2))
        corners[:, nowhere] = 0
        volumes = _cpu.surroundings.sums(self._sums, corners[0], corners[1])
        volumes = np.maximum(volumes, 0)  # differences of large sums
        total = volumes.sum(axis=1, keepdims=True)
        return np.divide(volumes, total, out=np.full_like(volumes, np.nan), where=total > 0)


def _columns(nodes: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column for each axis: (regions, 3)."""
    return np.column_stack([column(nodes, name.format(axis), np.float64) for axis in AXES])
