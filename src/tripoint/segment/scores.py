"""How well a segmentation agrees with what somebody has drawn, voxel by voxel and where phases meet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from tripoint.segment.annotation import UNLABELLED


def confusion(found: np.ndarray, truth: np.ndarray, phases: int) -> np.ndarray:
    """Count voxels by what they are and what they were taken for.

    Parameters
    ----------
    found, truth : uint8 arrays of one shape
        Positions among the phases; where the truth is `UNLABELLED` nothing is counted.
    phases : int

    Returns
    -------
    (phases, phases) int64
        Rows are the truth, columns what was found.
    """
    known = truth != UNLABELLED
    pairs = truth[known].astype(np.int64) * phases + found[known]
    return np.bincount(pairs, minlength=phases**2).reshape(phases, phases)


def overlap(counts: np.ndarray) -> dict[str, list[float | None]]:
    """Return Dice and intersection over union of each phase; None for one that is nowhere.

    Dice = 2 |A ∩ B| / (|A| + |B|), IoU = |A ∩ B| / |A ∪ B|.
    """
    both = np.diag(counts)
    total = counts.sum(axis=0) + counts.sum(axis=1)
    dice = [float(2 * b / t) if t else None for b, t in zip(both, total, strict=True)]
    iou = [float(b / (t - b)) if t else None for b, t in zip(both, total, strict=True)]
    return {"dice": dice, "iou": iou}


def boundary_counts(
    found: np.ndarray, truth: np.ndarray, phases: int, tolerances: Sequence[float]
) -> dict[float, np.ndarray]:
    """Count for each tolerance the boundary voxels of each phase that are met; those of slabs add up.

    The boundary of a phase are its voxels with a face neighbour of another one.

    Parameters
    ----------
    found, truth : (z, y, x) uint8
        Positions among the phases; voxels that are `UNLABELLED` in the truth, and what touches them, have no
        boundaries. One slice counts as an image.
    phases : int
    tolerances : sequence of float
        Voxels, Euclidean.

    Returns
    -------
    dict of tolerance to (phases, 4) int64
        Those found within the tolerance of a true one, those found, true ones within that of a found one,
        true ones.

    Notes
    -----
    26 bytes per voxel.
    """
    if found.shape[0] == 1:
        found, truth = found[0], truth[0]
    unknown = ndimage.binary_dilation(truth == UNLABELLED)
    counted = {float(tolerance): np.zeros((phases, 4), np.int64) for tolerance in tolerances}
    for phase in range(phases):
        mine, drawn = (_boundary(labels, phase) & ~unknown for labels in (found, truth))
        to_drawn, to_mine = _distance(drawn, mine), _distance(mine, drawn)
        for tolerance, sums in counted.items():
            sums[phase] = (to_drawn <= tolerance).sum(), mine.sum(), (to_mine <= tolerance).sum(), drawn.sum()
    return counted


def f1(counts: np.ndarray) -> list[float | None]:
    """Return the boundary F1 of each phase, None for one that has no boundary.

    Precision is the share of those found that are met, recall the share of true ones, F1 their harmonic mean.
    """
    return [_f1(*map(int, row)) for row in counts]


def _boundary(labels: np.ndarray, phase: int) -> np.ndarray:
    mask = labels == phase
    return mask & ~ndimage.binary_erosion(mask, border_value=1)


def _distance(edge: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the distance of places to an edge."""
    if not edge.any():
        return np.full(int(places.sum()), np.inf)
    return np.asarray(ndimage.distance_transform_edt(~edge))[places]


def _f1(met: int, found: int, reached: int, drawn: int) -> float | None:
    if not found and not drawn:
        return None
    precision, recall = met / found if found else 0.0, reached / drawn if drawn else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
