"""Sums over the voxels of every region in one pass, and the descriptors that follow from them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numba import get_num_threads, prange

from tripoint._cpu.compiled import compiled

AXES = ("z", "y", "x")
BYTES_PER_REGION = 10 * 8 + 6 * 4 + 4


def describe(regions, phases, spacing, distance, min_voxels, names):
    """Return the table of regions; see :func:`tripoint.particles.describe`."""
    sums, box, inscribed, label = _accumulate(regions, phases, distance)
    spacing = np.asarray(spacing)
    voxels = sums[:, 0]
    volume = voxels * spacing.prod()
    centroid, lengths = _ellipsoids(sums, spacing)
    table = {"node": np.arange(1, voxels.size + 1, dtype=np.int32)}
    if names is not None:
        table["phase"] = np.array([names.get(i, str(i)) for i in range(256)], dtype=object)[label]
    table |= {"label": label, "voxels": voxels, "volume": volume}
    table |= {f"centroid_{axis}": centroid[:, i] for i, axis in enumerate(AXES)}
    for i, axis in enumerate(AXES):
        table |= {f"bbox_{axis}_min": box[:, i], f"bbox_{axis}_max": box[:, i + 3]}
    table["equivalent_diameter"] = np.cbrt(6 * volume / np.pi)
    for i, name in enumerate(("major", "middle", "minor")):
        table[f"axis_{name}_length"] = lengths[:, i]
    thick = np.where(lengths[:, 2] > 0, lengths[:, 2], np.nan)
    table |= {"aspect_ratio": lengths[:, 0] / thick, "inscribed_radius": inscribed.astype(np.float64)}
    border = np.zeros(voxels.size, bool)
    for i, axis in enumerate(AXES):
        low, high = box[:, i] == 0, box[:, i + 3] == regions.shape[i]
        table |= {f"touches_{axis}_min": low, f"touches_{axis}_max": high}
        border |= low | high
    table |= {"touches_border": border, "cut_area": _cut_areas(regions, spacing, voxels.size)}
    table["fragment"] = voxels < min_voxels
    return pd.DataFrame(table)


def _cut_areas(regions, spacing, number):
    """Return the area, µm², along which the six outer faces of the volume cut each region."""
    areas = np.zeros(number + 1)
    for axis in range(3):
        for end in (0, -1):
            faces = np.bincount(regions.take(end, axis).ravel(), minlength=number + 1)
            areas += faces * (spacing.prod() / spacing[axis])
    return areas[1:]


def _ellipsoids(sums, spacing):
    """Return centroids and full axis lengths of the ellipsoids with the same second moments, µm."""
    count = np.maximum(sums[:, :1], 1)
    # Moments about the voxel next to the centroid are still exact integers, so nothing cancels.
    near = (2 * sums[:, 1:4] + count) // (2 * count)
    first = sums[:, 1:4] - count * near
    centroid = (near + first / count + 0.5) * spacing
    covariance = np.empty((len(sums), 3, 3))
    for column, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)), start=4):
        product = (
            sums[:, column]
            - near[:, i] * sums[:, 1 + j]
            - near[:, j] * sums[:, 1 + i]
            + count[:, 0] * near[:, i] * near[:, j]
        )
        moment = product / count[:, 0] - (first[:, i] / count[:, 0]) * (first[:, j] / count[:, 0])
        covariance[:, i, j] = covariance[:, j, i] = moment * spacing[i] * spacing[j]
    variances = np.linalg.eigvalsh(covariance)[:, ::-1]
    # Rounding must not turn the flat direction of a flat region into a thickness.
    variances = np.where(variances > 1e-12 * np.maximum(variances[:, :1], 1e-300), variances, 0.0)
    return centroid, np.sqrt(20.0 * variances)


def _accumulate(regions, phases, distance):
    """Return the integer sums, bounding box, largest distance and phase of every region."""
    regions, phases, distance = (np.ascontiguousarray(volume) for volume in (regions, phases, distance))
    number = max(0, int(regions.max()))
    memory = 2 * regions.size // (BYTES_PER_REGION * (number + 1))  # tables of at most 2 bytes per voxel
    parts = int(max(1, min(get_num_threads(), memory, regions.shape[0])))
    borders = np.linspace(0, regions.shape[0], parts + 1).astype(np.int64)
    sums = np.zeros((parts, number + 1, 10), np.int64)
    box = np.zeros((parts, number + 1, 6), np.int32)
    box[:, :, :3] = np.iinfo(np.int32).max
    inscribed = np.zeros((parts, number + 1), np.float32)
    label = np.zeros(number + 1, np.uint8)
    _sum_slabs(regions, phases, distance, borders, sums, box, inscribed, label)
    for part in range(1, parts):
        sums[0] += sums[part]
        np.minimum(box[0, :, :3], box[part, :, :3], out=box[0, :, :3])
        np.maximum(box[0, :, 3:], box[part, :, 3:], out=box[0, :, 3:])
        np.maximum(inscribed[0], inscribed[part], out=inscribed[0])
    box[0, sums[0, :, 0] == 0] = 0
    return sums[0, 1:], box[0, 1:], inscribed[0, 1:], label[1:]


@compiled(parallel=True)
def _sum_slabs(regions, phases, distance, borders, sums, box, inscribed, label):
    """Add up runs along x: count, Σz Σy Σx, Σzz Σyy Σxx, Σzy Σzx Σyx; and extend boxes and maxima."""
    nx = regions.shape[2]
    for part in prange(borders.size - 1):
        for z in range(borders[part], borders[part + 1]):
            for y in range(regions.shape[1]):
                x = 0
                while x < nx:
                    region = regions[z, y, x]
                    if region <= 0:
                        x += 1
                        continue
                    begin = x
                    sum_x = sum_xx = 0
                    farthest = np.float32(0)
                    while x < nx and regions[z, y, x] == region:
                        sum_x += x
                        sum_xx += x * x
                        farthest = max(farthest, distance[z, y, x])
                        x += 1
                    run = x - begin
                    row = sums[part, region]
                    row[0] += run
                    row[1] += run * z
                    row[2] += run * y
                    row[3] += sum_x
                    row[4] += run * z * z
                    row[5] += run * y * y
                    row[6] += sum_xx
                    row[7] += run * z * y
                    row[8] += z * sum_x
                    row[9] += y * sum_x
                    edge = box[part, region]
                    edge[0], edge[3] = min(edge[0], z), max(edge[3], z + 1)
                    edge[1], edge[4] = min(edge[1], y), max(edge[4], y + 1)
                    edge[2], edge[5] = min(edge[2], begin), max(edge[5], x)
                    inscribed[part, region] = max(inscribed[part, region], farthest)
                    label[region] = phases[z, y, begin]
