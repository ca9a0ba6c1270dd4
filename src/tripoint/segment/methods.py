"""What every way to segment has in common, whether it was trained or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tripoint.materials import Materials


@dataclass(frozen=True)
class Segmented:
    """Slices with a phase each voxel.

    Parameters
    ----------
    classes : (z, y, x) uint8
        Position of each voxel's phase among the materials.
    probabilities : (phases, z, y, x) float32, optional
        Where they were asked for.
    uncertainty : (z, y, x) float32, optional
        From 0 to 1, likewise.
    """

    classes: np.ndarray
    probabilities: np.ndarray | None = None
    uncertainty: np.ndarray | None = None


class Method(Protocol):
    """A way to segment grey volumes, ready to be applied slab by slab."""

    @property
    def materials(self) -> Materials:
        """What the phases are."""

    @property
    def halo(self) -> int:
        """Slices on either side of a slab that it has to see."""

    @property
    def gives(self) -> tuple[str, ...]:
        """Which of probabilities, entropy and disagreement it can tell."""

    def __call__(self, block: np.ndarray, wanted: tuple[str, ...] = ()) -> Segmented:
        """Segment a slab.

        Parameters
        ----------
        block : (channels, z + 2 · halo, y, x) float32
            Grey values as they are in the file.
        wanted : tuple of str
            Of those it gives.
        """
