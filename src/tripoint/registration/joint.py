"""Mutual information of samples of two volumes, and its derivative by the affine between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from tripoint.registration.histogram import sums
from tripoint.tables import on_host

CLASSES = 32  # of grey values of either volume
LEAST = 0.3  # share of the samples shown at first that the moving volume has to go on showing
ENDS = 1e-3  # share of the values at either end that fall into the outermost classes


class JointHistogram:
    r"""Joint histogram of a fixed and a moving volume, smooth in the values of the moving one.

    After Mattes et al. 2003: a sample of fixed class i and moving value m adds a cubic B-spline,

    .. math:: p_{ij} = \frac1N Σ_k [i_k = i] β_3(j - m_k),
        \quad I = Σ_{ij} p_{ij} \ln \frac{p_{ij}}{p_i p_j},
        \quad ∂I = Σ_{ij} ∂p_{ij} \ln \frac{p_{ij}}{p_j},

    so that information has a derivative by each m, and by the chain rule through the linear interpolation of
    the moving volume one by the affine. Samples lie on a sequence of low discrepancy (Roberts 2018), off the
    voxels' grid and the same in every run.

    Parameters
    ----------
    fixed : (z, y, x) float32
    size : (z, y, x)
        Its voxel size, µm.
    moving : (z, y, x) float32
        NaN where it was not measured; samples with such a voxel beside them do not count.
    to_moving : (3, 4) float64
        From a place of the fixed volume, µm from its corner, to voxel indices of the moving one.
    middle : (z, y, x)
        What the fixed volume is turned about, µm.
    samples : int

    Notes
    -----
    Works where the volumes live, on either side. Memory: some 400 bytes per sample.
    """

    def __init__(
        self,
        fixed: Any,
        size: Sequence[float],
        moving: Any,
        to_moving: np.ndarray,
        middle: np.ndarray,
        samples: int,
    ) -> None:
        xp = array_namespace(fixed)
        places = _spread(xp, fixed.shape, samples)
        values, _ = interpolated(fixed, places)
        about = (places + 0.5) * xp.asarray(np.array(size, np.float64)) - xp.asarray(middle)
        self.about = xp.concat([about, xp.ones((samples, 1), dtype=xp.float64)], axis=1)
        self.moving = moving
        self.linear = to_moving[:, :3]
        self.begin = to_moving[:, :3] @ middle + to_moving[:, 3]
        low, high = _ends(values)
        self.rows = xp.clip((values - low) / (high - low) * CLASSES, 0, CLASSES - 1).astype(xp.int64)
        self.low, high = _ends(moving[xp.isfinite(moving)])
        self.scale = (CLASSES - 4) / (high - self.low)  # the spline reaches a class further at either end
        *_, shown = self._seen(np.eye(3, 4))
        self.least = max(2 * CLASSES, LEAST * int(shown.sum()))

    def information(self, motion: np.ndarray) -> tuple[float, np.ndarray]:
        """Return mutual information, nats, and its derivative (3, 4).

        Parameters
        ----------
        motion : (3, 4) float64
            [M, t] of a motion x ↦ c + M (x − c) + t of the fixed volume about its middle, before the affine.

        Notes
        -----
        0, with no derivative, where the moving volume shows hardly any of the samples.
        """
        xp = array_namespace(self.moving)
        values, slopes, counted = self._seen(motion)
        number = int(counted.sum())
        if number < self.least:
            return 0.0, np.zeros((3, 4))
        along = xp.where(counted, (values - self.low) * self.scale, 0.0)
        inner = counted & (along > 0) & (along < CLASSES - 4)
        along = xp.clip(along, 0, CLASSES - 4) + 1
        first = xp.minimum(xp.floor(along), CLASSES - 4)
        weights, by_value = _spline(xp, along - first)
        columns = self.rows * CLASSES + first.astype(xp.int64) - 1
        at = columns + xp.arange(4)[:, None]
        joint = sums(at.ravel(), (weights * counted).ravel(), CLASSES * CLASSES).reshape(CLASSES, CLASSES)
        information, by_joint = _information(joint / number)
        push = (by_value * by_joint.ravel()[at]).sum(axis=0) * (self.scale / number)
        by_full = xp.where(inner[:, None], push[:, None] * slopes, 0.0).T @ self.about
        found = on_host(xp.concat([information.reshape(1), by_full.ravel()]))
        return float(found[0]), self.linear.T @ found[1:].reshape(3, 4)

    def _seen(self, motion: np.ndarray) -> tuple[Any, Any, Any]:
        """Return what the moving volume shows of the samples, its slopes, and which of them it shows."""
        xp = array_namespace(self.moving)
        full = self.linear @ motion
        full[:, 3] += self.begin
        places = self.about @ xp.asarray(full.T.copy())
        values, slopes = interpolated(self.moving, places)
        last = np.array(self.moving.shape) - 1
        reach = np.where(last > 0, 0, 0.5)  # a single slice shows what lies within it
        inside = (places >= -xp.asarray(reach)) & (places <= xp.asarray(last + reach))
        return values, slopes, inside.all(axis=1) & xp.isfinite(values)


def interpolated(volume: Any, places: Any) -> tuple[Any, Any]:
    """Return a volume's values at voxel indices (n, 3), linear between voxels, and their slopes (n, 3).

    Beyond the outermost centres the values are theirs.
    """
    xp = array_namespace(volume)
    index, parts = 0, []
    for axis, n in enumerate(volume.shape):
        low = xp.clip(xp.floor(places[:, axis]), 0, max(n - 2, 0))
        parts.append(xp.clip(places[:, axis] - low, 0, 1))
        whole = low.astype(xp.int64)
        both = xp.stack([whole, xp.minimum(whole + 1, n - 1)])
        index = index * n + both.reshape([2 if k == axis else 1 for k in range(3)] + [-1])
    corners = volume.ravel()[index]
    z, y, x = parts
    rises = corners[1] - corners[0]
    rows = corners[0] + z * rises
    ends, by_z = rows[0] + y * (rows[1] - rows[0]), rises[0] + y * (rises[1] - rises[0])
    by_y = rows[1] - rows[0]
    slopes = [by_z[0] + x * (by_z[1] - by_z[0]), by_y[0] + x * (by_y[1] - by_y[0]), ends[1] - ends[0]]
    return ends[0] + x * slopes[2], xp.stack(slopes, axis=1)


def _spread(xp: Any, shape: tuple[int, ...], samples: int) -> Any:
    """Return voxel indices (n, 3) that fill a volume evenly, off the grid along axes of several voxels."""
    axes = [axis for axis, n in enumerate(shape) if n > 1]
    root = 2.0
    for _ in range(50):  # the positive root of g^(d+1) = g + 1
        root = (1 + root) ** (1 / (len(axes) + 1))
    number = xp.arange(1, samples + 1).astype(xp.float64)
    places = xp.zeros((samples, 3), dtype=xp.float64)
    for k, axis in enumerate(axes, 1):
        turns = 0.5 + number * root**-k
        places[:, axis] = (turns - xp.floor(turns)) * shape[axis] - 0.5
    return places


def _information(joint: Any) -> tuple[Any, Any]:
    """Return mutual information of a joint distribution, nats, and its derivative ln p_ij / p_j."""
    xp = array_namespace(joint)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    ratio = xp.where(joint > 0, joint / xp.maximum(columns, 1e-300), 1.0)
    by_joint = xp.log(ratio)
    return (joint * by_joint).sum() - (rows * xp.log(xp.where(rows > 0, rows, 1.0))).sum(), by_joint


def _spline(xp: Any, part: Any) -> tuple[Any, Any]:
    """Return the cubic B-spline at the four classes about a value, (4, n), and its derivative."""
    rest = 1 - part
    weights = [rest**3, 3 * part**3 - 6 * part**2 + 4, 3 * rest**3 - 6 * rest**2 + 4, part**3]
    by_value = [-(rest**2), 3 * part**2 - 4 * part, -3 * rest**2 + 4 * rest, part**2]
    return xp.stack(weights) / 6, xp.stack(by_value) / 2


def _ends(values: Any) -> tuple[float, float]:
    """Return the grey values between which classes lie."""
    xp = array_namespace(values)
    thinned = values[:: max(1, values.size // 100_000)]
    low, high = on_host(xp.quantile(thinned, xp.asarray([ENDS, 1 - ENDS])))
    return float(low), float(max(high, low + 1e-12 + 1e-6 * abs(low)))
