"""Every voxel climbs to its steepest neighbour until a summit: the basins of a distance image."""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, prange

from tripoint._cpu.compiled import compiled

SUMMIT = 13  # direction code of a voxel that stays: code = 9 (dz + 1) + 3 (dy + 1) + (dx + 1)
NONE = 255  # voxels that do not climb
HIGHEST = 2.0**24  # of the distances in 1/256 voxel; infinite where the volume is of one phase


def basins(phases, distance, spacing, separated, components):
    """Return labels of the basins, and the distance and the height at each of their summits.

    Labels are int32: the basin 1..n in raster order of the summits, 0 where a phase is not asked for,
    −1 − phase where it is to become connected components.  Entry 0 of distances and heights is unused.
    Memory: 4 + 1 bytes per voxel.
    """
    labels = np.empty(phases.shape, np.int32)  # holds the heights until the directions are known
    codes = np.empty(phases.shape, np.uint8)
    climbing = np.zeros(256, np.bool_)
    climbing[list(separated)] = True
    borders = slabs(phases.shape[0])
    _smooth(phases, distance, *units(spacing), borders, labels)
    _steepest(phases, labels, climbing, *_groups(spacing), borders, codes)

    fixed = np.zeros(256, np.int32)
    for label in components:
        fixed[label] = -1 - label
    first = np.zeros(phases.shape[0] + 1, np.int64)
    _count_summits(codes, first)
    np.cumsum(first, out=first)
    summits = np.zeros(first[-1] + 1, np.float32)
    heights = np.zeros(first[-1] + 1, np.int32)
    _place_summits(codes, phases, distance, fixed, first, labels, summits, heights)
    _follow(codes.reshape(-1), _steps(phases.shape), labels.reshape(-1))
    return labels, summits, heights


def slabs(planes):
    """Return the borders of slabs along z, some for every thread; no result depends on them."""
    parts = max(1, min(planes, 4 * get_num_threads()))
    return np.linspace(0, planes, parts + 1).astype(np.int64)


def units(spacing):
    """Return the factor from µm to voxels, and whether squares of distances are then integers."""
    return 1.0 / min(spacing), spacing[0] == spacing[1] == spacing[2]


def _groups(spacing):
    """Return the codes of the 26 neighbours grouped by kind of step, and 1 / length of each group's step."""
    dz, dy, dx = np.unravel_index(np.arange(27), (3, 3, 3))
    kind = 4 * (dz != 1) + 2 * (dy != 1) + (dx != 1)
    unit = np.asarray(spacing, np.float64) / min(spacing)
    members = np.full((7, 8), -1, np.int64)
    slopes = np.zeros(7)
    for group in range(7):
        codes = np.flatnonzero(kind == group + 1)
        members[group, : codes.size] = codes
        step = np.array([(group + 1) >> 2 & 1, (group + 1) >> 1 & 1, (group + 1) & 1])
        slopes[group] = 1.0 / np.sqrt(np.sum((step * unit) ** 2))
    return members, slopes


def _steps(shape):
    """Return the change of the linear index for each direction code."""
    dz, dy, dx = np.unravel_index(np.arange(27), (3, 3, 3))
    return ((dz - 1) * shape[1] + (dy - 1)) * np.int64(shape[2]) + (dx - 1)


@compiled(parallel=True)
def _smooth(phases, distance, unit, integer, borders, heights):
    """Write the heights: distances in 1/256 voxel times the weights 1-2-1 along each axis, 64 in all.

    Voxels of another phase count as one voxel deep on their side; beyond the volume its outermost voxels
    are repeated.
    The 3 × 3 rows in view are kept as integers, so that each voxel is converted three times, not 27.
    """
    nz, ny, nx = phases.shape
    for slab in prange(borders.size - 1):
        fixed = np.empty((3, 3, nx + 2), np.int32)
        labels = np.empty((3, 3, nx + 2), np.uint8)
        total = np.empty(nx, np.int32)
        for z in range(borders[slab], borders[slab + 1]):
            for y_new in range(-1, ny + 1):
                row = (y_new + 3) % 3
                y_in = min(max(y_new, 0), ny - 1)
                for plane in range(3):
                    z_in = min(max(z + plane - 1, 0), nz - 1)
                    _convert(distance[z_in, y_in], unit, integer, fixed[plane, row])
                    _copy(phases[z_in, y_in], labels[plane, row, 1 : nx + 1])
                    labels[plane, row, 0] = labels[plane, row, 1]
                    labels[plane, row, nx + 1] = labels[plane, row, nx]
                y = y_new - 1
                if y < 0:
                    continue
                total[:] = 0
                for code in range(27):
                    dz, dy, dx = code // 9, code // 3 % 3, code % 3
                    row = (y + dy + 2) % 3
                    weight = (2 - abs(dz - 1)) * (2 - abs(dy - 1)) * (2 - abs(dx - 1))
                    _add(
                        fixed[dz, row, dx : dx + nx], labels[dz, row, dx : dx + nx], phases[z, y],
                        np.int32(weight), total,
                    )  # fmt: skip
                _copy(total, heights[z, y])


@compiled()
def _convert(distance, unit, integer, fixed):
    """Write a row of distances in 1/256 voxel, by way of integer squares where the spacing is isotropic."""
    last = distance.size - 1
    for x in range(distance.size):
        voxels = np.float64(distance[x]) * unit
        if integer:
            voxels = np.sqrt(np.rint(voxels * voxels))
        fixed[x + 1] = np.int32(min(np.rint(voxels * 256.0), HIGHEST))
    fixed[0] = fixed[1]
    fixed[last + 2] = fixed[last + 1]


@compiled()
def _copy(source, target):
    """Copy a row; assigning slices of unknown length would compile for seconds."""
    for x in range(source.size):
        target[x] = source[x]


@compiled()
def _add(fixed, neighbour, label, weight, total):
    for x in range(total.size):
        total[x] += weight * (fixed[x] if neighbour[x] == label[x] else np.int32(-256))


@compiled(parallel=True)
def _steepest(phases, heights, climbing, members, slopes, borders, codes):
    """Write the direction code of every voxel."""
    nz, ny, nx = phases.shape
    for slab in prange(borders.size - 1):
        top = np.empty(nx, np.int32)
        top_code = np.empty(nx, np.int32)
        best = np.empty(nx, np.float64)
        best_top = np.empty(nx, np.int32)
        best_code = np.empty(nx, np.int32)
        for z in range(borders[slab], borders[slab + 1]):
            for y in range(ny):
                best[:] = 0.0
                _copy(heights[z, y], best_top)
                best_code[:] = SUMMIT
                for group in range(7):
                    _copy(heights[z, y], top)
                    top_code[:] = SUMMIT
                    for member in range(8):
                        code = members[group, member]
                        if code < 0:
                            break
                        z_in, y_in, dx = z + code // 9 - 1, y + code // 3 % 3 - 1, code % 3 - 1
                        if z_in < 0 or z_in >= nz or y_in < 0 or y_in >= ny:
                            continue
                        a, b = max(0, -dx), nx - max(0, dx)
                        _rise(
                            heights[z_in, y_in, a + dx : b + dx], phases[z_in, y_in, a + dx : b + dx],
                            phases[z, y, a:b], np.int32(code), top[a:b], top_code[a:b],
                        )  # fmt: skip
                    _steeper(top, top_code, heights[z, y], slopes[group], best, best_top, best_code)
                for x in range(nx):
                    code = best_code[x]
                    if not climbing[phases[z, y, x]]:
                        code = NONE
                    elif code == SUMMIT:
                        code = _level(phases, heights, z, y, x)
                    codes[z, y, x] = code


@compiled()
def _rise(neighbour, neighbour_label, label, code, top, top_code):
    """Keep the highest neighbour of one kind of step; of equal ones the first, of the smallest index."""
    for x in range(top.size):
        higher = (neighbour[x] > top[x]) & (neighbour_label[x] == label[x])
        top[x] = neighbour[x] if higher else top[x]
        top_code[x] = code if higher else top_code[x]


@compiled()
def _steeper(top, top_code, here, slope, best, best_top, best_code):
    """Keep the steepest kind of step; ties by higher neighbour, then by smaller index."""
    for x in range(top.size):
        rise = np.float64(np.int64(top[x]) - np.int64(here[x])) * slope
        tie = (top[x] > best_top[x]) | ((top[x] == best_top[x]) & (top_code[x] < best_code[x]))
        better = (rise > best[x]) | ((rise == best[x]) & tie)
        best[x] = rise if better else best[x]
        best_top[x] = top[x] if better else best_top[x]
        best_code[x] = top_code[x] if better else best_code[x]


@compiled()
def _level(phases, heights, z, y, x):
    """Return the code of the first neighbour as high as a voxel and before it in raster order, or 13."""
    for code in range(13):
        z_in, y_in, x_in = z + code // 9 - 1, y + code // 3 % 3 - 1, x + code % 3 - 1
        if z_in < 0 or y_in < 0 or x_in < 0 or y_in >= phases.shape[1] or x_in >= phases.shape[2]:
            continue
        if heights[z_in, y_in, x_in] == heights[z, y, x] and phases[z_in, y_in, x_in] == phases[z, y, x]:
            return code
    return SUMMIT


@compiled(parallel=True)
def _count_summits(codes, first):
    for z in prange(codes.shape[0]):
        count = 0
        for y in range(codes.shape[1]):
            for x in range(codes.shape[2]):
                count += codes[z, y, x] == SUMMIT
        first[z + 1] = count


@compiled(parallel=True)
def _place_summits(codes, phases, distance, fixed, first, labels, summits, heights):
    """Give summits their numbers in raster order, voxels that do not climb their fixed label, others 0."""
    for z in prange(codes.shape[0]):
        number = first[z]
        for y in range(codes.shape[1]):
            for x in range(codes.shape[2]):
                code = codes[z, y, x]
                if code == SUMMIT:
                    number += 1
                    summits[number] = distance[z, y, x]
                    heights[number] = labels[z, y, x]
                    labels[z, y, x] = number
                elif code == NONE:
                    labels[z, y, x] = fixed[phases[z, y, x]]
                else:
                    labels[z, y, x] = 0


@compiled(parallel=True)
def _follow(codes, steps, labels):
    """Give every voxel the label of the summit it reaches.

    Threads may meet on a path; they then write the same label, and each makes sure of its own voxels.
    """
    for start in prange(codes.size):
        voxel = np.int64(start)
        if codes[start] != NONE and labels[start] == 0:
            while labels[voxel] == 0:
                voxel += steps[codes[voxel]]
            label = labels[voxel]
            voxel = np.int64(start)
            while labels[voxel] == 0:
                labels[voxel] = label
                voxel += steps[codes[voxel]]
