"""How well two volumes fit: correlation, mutual information, overlap, and what parts of them say."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from tripoint.errors import InputError
from tripoint.registration.histogram import sums
from tripoint.registration.resampling import resample
from tripoint.registration.volumes import reduced
from tripoint.sample import Spacing
from tripoint.tables import on_host

LOOKED_AT = 1 << 19  # voxels for figures of the whole
CUT = 1 << 21  # voxels for those of parts
CLASSES = 32  # of grey values, each with equally many voxels
PER_AXIS, LEAST = 4, 16  # parts along an axis, and their voxels
REACH = 4  # voxels about a part in which it is looked for
COVERED = 0.5  # of a part, for it to say anything
CLEAR = 0.1  # nats below which a part says nothing


@dataclass(frozen=True)
class Agreement:
    """How well a fixed volume and a moving one on its grid fit.

    Parameters
    ----------
    correlation : float
        Pearson's, where both are; negative where one is dark in what is bright in the other.
    correlation_ratio : float
        η: the correlation of the fixed volume with its mean at each grey value of the moving one; as large
        for any contrast.
    mutual_information : float
        Of the grey values in 32 classes each, nats.
    overlap : float
        Fraction of the fixed volume that the moving one covers.
    """

    correlation: float
    correlation_ratio: float
    mutual_information: float
    overlap: float

    @property
    def score(self) -> float:
        """What is large where both fit, in units of what chance makes of it where little overlaps."""
        return max(abs(self.correlation), self.correlation_ratio) * math.sqrt(self.overlap)

    def to_mapping(self) -> dict[str, float]:
        """Return plain numbers."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class LocalShifts:
    """How far parts of the moving volume still lie beside those of the fixed one.

    Parameters
    ----------
    centres : (n, 3) float64
        Of the parts in the fixed volume, µm.
    shifts : (n, 3) float64
        Where the moving volume shows what the fixed one has there: µm.
    parts : int
        How many were looked at; those without contrast, or whose shift is not clear, are not among the n.
    """

    centres: np.ndarray
    shifts: np.ndarray
    parts: int

    def to_mapping(self) -> dict[str, Any]:
        """Return plain numbers: the median and the largest length, µm, None where no part is clear."""
        lengths = np.linalg.norm(self.shifts, axis=1)
        return {
            "median": float(np.median(lengths)) if len(lengths) else None,
            "worst": float(lengths.max()) if len(lengths) else None,
            "clear_parts": len(lengths),
            "parts": self.parts,
        }


def agreement(
    moving: Any, moving_voxel: Spacing, fixed: Any, voxel: Spacing, affine: np.ndarray
) -> Agreement:
    """Return how well two volumes fit by an affine from the fixed one to the moving one."""
    still, size = reduced(fixed, voxel, LOOKED_AT)
    try:
        moved = resample(moving, affine, moving_spacing=moving_voxel, shape=still.shape, spacing=size)
    except InputError:
        return Agreement(0.0, 0.0, 0.0, 0.0)
    xp = array_namespace(moved)
    there = xp.isfinite(moved)
    both = there & xp.isfinite(still)
    a, b = still[both], moved[both]
    if a.size < 2 * CLASSES:
        return Agreement(0.0, 0.0, 0.0, float(there.mean()))
    mine, its = (xp.searchsorted(_bounds(one), one, side="right") for one in (a, b))
    return Agreement(
        _correlation(a, b),
        _correlation(a, _means(a, its)[its]),
        _information(mine, its),
        float(there.mean()),
    )


def local_shifts(
    moving: Any, moving_voxel: Spacing, fixed: Any, voxel: Spacing, affine: np.ndarray
) -> LocalShifts:
    """Return how far parts of the moving volume lie beside those of the fixed one, as a check of an affine.

    From where it is, the inner part of each block of the fixed volume is moved voxel by voxel over the moving
    one, uphill in mutual information, which takes any contrast; a parabola through the top and its neighbours
    gives parts of a voxel. A wrong transform shows itself by shifts that differ from block to block; noise by
    some tenths of a voxel.

    Parameters
    ----------
    moving, fixed : (z, y, x) float32
        NaN where they were not measured.
    moving_voxel, voxel : (z, y, x)
        Their voxel sizes, µm.
    affine : (4, 4) float64
        From the fixed volume to the moving one, µm.
    """
    still, size = reduced(fixed, voxel, CUT)
    moved = resample(moving, affine, moving_spacing=moving_voxel, shape=still.shape, spacing=size)
    xp = array_namespace(moved)
    both = xp.isfinite(moved) & xp.isfinite(still)
    images = [
        xp.where(both, xp.searchsorted(_bounds(one[both]), one.ravel(), side="right").reshape(one.shape), -1)
        for one in (still, moved)
    ]
    edges = [np.linspace(0, n, min(PER_AXIS, max(1, n // LEAST)) + 1).astype(int) for n in still.shape]
    centres, shifts, parts = [], [], 0
    for corner in product(*(range(len(edge) - 1) for edge in edges)):
        box = tuple(slice(edge[k], edge[k + 1]) for edge, k in zip(edges, corner, strict=True))
        parts += 1
        covered = float(both[box].mean()) > COVERED
        shift = _shift(*(image[box] for image in images)) if covered else None
        if shift is not None:
            centres.append([(part.start + part.stop) / 2 * s for part, s in zip(box, size, strict=True)])
            shifts.append(shift * size)
    return LocalShifts(np.reshape(centres, (-1, 3)), np.reshape(shifts, (-1, 3)), parts)


def _shift(still: Any, moved: Any) -> np.ndarray | None:
    """Return where a block shows the inner part of another, voxels; None where that is not clear."""
    margin = np.array([min(REACH, n // 4) for n in still.shape])
    inner = still[tuple(slice(m, n - m) for m, n in zip(margin, still.shape, strict=True))]
    known: dict[tuple[int, ...], float] = {}

    def information(step: np.ndarray) -> float:
        at = tuple(map(int, step))
        if at not in known:
            begins = zip(margin + step, inner.shape, strict=True)
            known[at] = _information(inner, moved[tuple(slice(m, m + n) for m, n in begins)])
        return known[at]

    directions = [d for d in np.eye(3, dtype=int) if margin @ d > 0]
    top = np.zeros(3, int)
    while True:
        near = [top + sign * d for d in directions for sign in (-1, 1)]
        if any((abs(step) > margin).any() for step in near):
            return None  # it lies beyond
        best = max(near, key=information, default=top)
        if information(best) <= information(top):
            break
        top = best
    if information(top) < CLEAR:
        return None
    fine = top.astype(float)
    for d in directions:
        low, middle, high = (information(top + sign * d) for sign in (-1, 0, 1))
        fine += d * 0.5 * (low - high) / min(low - 2 * middle + high, -1e-12)
    return fine


def _correlation(a: Any, b: Any) -> float:
    a, b = a - a.mean(dtype=np.float64), b - b.mean(dtype=np.float64)
    norm = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0


def _bounds(values: Any) -> Any:
    """Return the grey values between classes of about equally many."""
    xp = array_namespace(values)
    thinned = values[:: max(1, values.size // 100_000)]
    return xp.unique(xp.quantile(thinned, xp.asarray(np.linspace(0, 1, CLASSES + 1)[1:-1])))


def _means(values: Any, classes: Any) -> Any:
    """Return the mean of the values in each class."""
    xp = array_namespace(values)
    voxels = xp.maximum(xp.bincount(classes, minlength=CLASSES), 1)
    return (sums(classes, values, CLASSES) / voxels).astype(np.float32)


def _information(a: Any, b: Any) -> float:
    """Return the mutual information of classes, nats; negative ones are none."""
    xp = array_namespace(a)
    places = xp.where((a >= 0) & (b >= 0), a * CLASSES + b, CLASSES * CLASSES)
    counts = on_host(xp.bincount(places.ravel(), minlength=CLASSES * CLASSES + 1))[:-1]
    joint = counts.reshape(CLASSES, CLASSES) / max(1, counts.sum())
    alone = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    filled = joint > 0
    return float((joint[filled] * np.log(joint[filled] / alone[filled])).sum())
