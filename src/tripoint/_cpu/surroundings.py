"""Densities spread over boxes, and their sums over other boxes, in numba."""

from __future__ import annotations

import math

import numpy as np

from tripoint._cpu.compiled import compiled


@compiled()
def spread(cells, phase, density, low, high):
    """Return what each phase has in each cell, (z, y, x, phases).

    Parameters
    ----------
    cells : (z, y, x, phases)
        Shape of the result.
    phase : (regions,) int64
        −1 for regions of none of the phases.
    density : (regions,) float64
        Per cell.
    low, high : (regions, 3) float64
        Corners of the box of each region, in cells.
    """
    whole = np.zeros(cells)
    last = np.array(cells[:3]) - 1
    for region in range(len(phase)):
        if phase[region] < 0:
            continue
        z_low, y_low, x_low = low[region]
        z_high, y_high, x_high = high[region]
        for z in range(math.floor(z_low), math.ceil(z_high)):
            of_z = density[region] * (min(z + 1.0, z_high) - max(float(z), z_low))
            for y in range(math.floor(y_low), math.ceil(y_high)):
                of_y = of_z * (min(y + 1.0, y_high) - max(float(y), y_low))
                for x in range(math.floor(x_low), math.ceil(x_high)):
                    share = of_y * (min(x + 1.0, x_high) - max(float(x), x_low))
                    whole[min(z, last[0]), min(y, last[1]), min(x, last[2]), phase[region]] += share
    return whole


@compiled()
def sums(table, low, high):
    """Return what each phase has in each box, (boxes, phases).

    Parameters
    ----------
    table : (z + 1, y + 1, x + 1, phases) float64
        Sums over all cells before each corner.
    low, high : (boxes, 3) float64
        Corners in cells, within the volume; boxes may end within a cell.
    """
    found = np.zeros((len(low), table.shape[3]))
    place = np.empty((3, 4), np.int64)
    weight = np.empty((3, 4))
    for box in range(len(low)):
        for axis in range(3):
            last = table.shape[axis] - 2
            for side in range(2):
                at = high[box, axis] if side else low[box, axis]
                cell = min(math.floor(at), last)
                sign = 1.0 if side else -1.0
                place[axis, 2 * side], weight[axis, 2 * side] = cell, sign * (1 - (at - cell))
                place[axis, 2 * side + 1], weight[axis, 2 * side + 1] = cell + 1, sign * (at - cell)
        for i in range(4):
            for j in range(4):
                for k in range(4):
                    factor = weight[0, i] * weight[1, j] * weight[2, k]
                    if factor != 0:
                        for phase in range(table.shape[3]):
                            found[box, phase] += factor * table[place[0, i], place[1, j], place[2, k], phase]
    return found
