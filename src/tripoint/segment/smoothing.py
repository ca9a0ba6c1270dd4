"""How far the probabilities of a network are smoothed: as far as the slices held out say."""

from __future__ import annotations

import numpy as np

from tripoint.segment import scores
from tripoint.segment.annotation import Annotation
from tripoint.segment.checkpoint import Trained
from tripoint.segment.tiles import Tiled
from tripoint.segment.volumes import GreyVolume

WIDTHS = (0.7, 0.5, 0.0)
"""S.d. of the Gaussians that are tried, voxels."""

_SLICES = 4
"""Slices on which they are compared, at most."""


def compare(trained: Trained, grey: GreyVolume, held: Annotation, *, device: str = "cpu") -> dict[str, float]:
    """Return the mean Dice on slices held out for each of `WIDTHS`.

    Where the network decides surely, smoothing rounds off necks and what is rough within a voxel; where noise
    lets it flicker, smoothing takes that away. The annotation tells which of both is more.

    Parameters
    ----------
    trained : Trained
    grey : GreyVolume
    held : Annotation
    device : {"cpu", "cuda"}
    """
    chosen = held.take(np.unique(np.linspace(0, len(held) - 1, min(len(held), _SLICES)).astype(int)))
    rows = [(z, z + 1) for z in chosen.positions]
    found = {}
    for width in WIDTHS:
        method = Tiled(trained, smooth=width, device=device)
        classes = np.concatenate([method(block).classes for block in grey.blocks(rows, method.halo)])
        counts = scores.confusion(classes, chosen.classes, len(trained.materials.phases))
        found[f"{width:g}"] = float(
            np.mean([dice for dice in scores.overlap(counts)["dice"] if dice is not None])
        )
    return found
