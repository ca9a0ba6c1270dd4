"""Volume fractions of the phases around places of a sample, from the tables of its graph alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from tripoint.materials import AXES

CELLS = 512  # along an axis at most
PART = 1_000_000  # cells of regions that are added at a time


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
        low = nodes[[f"bbox_{axis}_min" for axis in AXES]].to_numpy(np.float64) * spacing / edge
        high = nodes[[f"bbox_{axis}_max" for axis in AXES]].to_numpy(np.float64) * spacing / edge
        density = nodes["volume"].to_numpy(np.float64) / (high - low).prod(axis=1)
        number = pd.Categorical(nodes["phase"], categories=list(self.phases)).codes
        whole = np.zeros((len(self.phases), *self.cells))
        for chosen in _parts(low, high):
            _spread(whole, number[chosen], density[chosen], low[chosen], high[chosen])
        self._sums = np.pad(whole.cumsum(1).cumsum(2).cumsum(3), ((0, 0), (1, 0), (1, 0), (1, 0)))

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
        corners = [np.clip(corner, 0, self.extent) / self.extent * self.cells for corner in (low, high)]
        volumes = np.zeros((len(low), len(self.phases)))
        for octant in range(8):
            upper = [bool(octant >> axis & 1) for axis in range(3)]
            place = np.stack([corners[side][:, axis] for axis, side in enumerate(upper)])
            sign = (-1) ** (3 - sum(upper))
            for phase, sums in enumerate(self._sums):
                volumes[:, phase] += sign * ndimage.map_coordinates(sums, place, order=1, mode="nearest")
        volumes = np.maximum(volumes, 0)  # differences of large sums
        total = volumes.sum(axis=1, keepdims=True)
        return np.divide(volumes, total, out=np.full_like(volumes, np.nan), where=total > 0)


def _parts(low: np.ndarray, high: np.ndarray) -> list[slice]:
    """Cut the regions into runs that cover about as many cells each."""
    covered = np.cumsum((np.ceil(high) - np.floor(low)).prod(axis=1))
    if not len(covered):
        return []
    starts = np.unique(np.searchsorted(covered, np.arange(0, covered[-1], PART), side="right")).tolist()
    return [slice(begin, end) for begin, end in zip(starts, [*starts[1:], len(low)], strict=True)]


def _spread(
    whole: np.ndarray, phase: np.ndarray, density: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    """Add what each region has in each cell that its box meets; lengths in cells."""
    first = np.floor(low).astype(np.int64)
    counts = np.ceil(high).astype(np.int64) - first
    entries = counts.prod(axis=1)
    row = np.repeat(np.arange(len(low)), entries)
    rest = np.arange(len(row)) - np.repeat(np.cumsum(entries) - entries, entries)
    weight = density[row]
    place = phase[row].astype(np.int64)
    for axis in range(3):
        below = counts[:, axis + 1 :].prod(axis=1)[row]
        cell = first[row, axis] + rest // below
        rest = rest % below
        weight = weight * (np.minimum(cell + 1, high[row, axis]) - np.maximum(cell, low[row, axis]))
        place = place * whole.shape[axis + 1] + np.minimum(cell, whole.shape[axis + 1] - 1)
    whole += np.bincount(place, weight, whole.size).reshape(whole.shape)
