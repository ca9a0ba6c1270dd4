"""Particles become voxels, and fields become phases of exactly as many voxels as asked for."""

import math

import numpy as np
from numba import prange

from tripoint._cpu.compiled import compiled

SLABS = 32  # fixed, so that nothing depends on the number of threads


@compiled(parallel=True)
def paint(size, spacing, centres, radii, half, gauges, template, faces, power, reach, cracks):
    """Give every voxel the particle that it lies deepest in, out to ``reach`` times its size.

    The depth is ``radius · (1 − g)``, µm, where the gauge g is 1 on the surface: the length of the position
    in the particle's own axes (``gauges`` (n, 3, 3)) for ellipsoids, and the norm of its positive parts, by
    the template's ``power``, along the normals (``faces`` (t, f, 3)) for polyhedra.

    cracks (n, 14): normal, direction of growth, and the third axis; offset, half width (0 for none), where it
    ends, amplitude and wave number.  Returns depth (−inf beyond reach) and owner, 1..n, negative in a crack.
    """
    nz, ny, nx = size
    depth = np.full((nz, ny, nx), -np.inf, np.float32)
    owner = np.zeros((nz, ny, nx), np.int32)
    for slab in prange(SLABS):
        first, last = slab * nz // SLABS, (slab + 1) * nz // SLABS
        y_ = np.empty(3)
        for i in range(radii.size):
            z0, z1 = _window(centres[i, 0], reach * half[i, 0], spacing[0], first, last)
            y0, y1 = _window(centres[i, 1], reach * half[i, 1], spacing[1], 0, ny)
            x0, x1 = _window(centres[i, 2], reach * half[i, 2], spacing[2], 0, nx)
            t = template[i]
            for z in range(z0, z1):
                dz = (z + 0.5) * spacing[0] - centres[i, 0]
                for y in range(y0, y1):
                    dy = (y + 0.5) * spacing[1] - centres[i, 1]
                    for x in range(x0, x1):
                        dx = (x + 0.5) * spacing[2] - centres[i, 2]
                        for a in range(3):
                            y_[a] = gauges[i, a, 0] * dz + gauges[i, a, 1] * dy + gauges[i, a, 2] * dx
                        if t < 0:
                            gauge = math.sqrt(y_[0] * y_[0] + y_[1] * y_[1] + y_[2] * y_[2])
                        else:
                            gauge = _polyhedron(y_, faces, t, power[t], reach)
                        if gauge > reach:
                            continue
                        value = np.float32(radii[i] * (1 - gauge))
                        if value > depth[z, y, x]:
                            depth[z, y, x] = value
                            cracked = cracks[i, 10] > 0 and _in_crack(dz, dy, dx, cracks[i])
                            owner[z, y, x] = -(i + 1) if cracked else i + 1
    return depth, owner


@compiled()
def _window(centre, reach, spacing, first, last):
    low = max(first, math.floor((centre - reach) / spacing - 0.5))
    return low, min(last, math.ceil((centre + reach) / spacing - 0.5) + 1)


@compiled()
def _polyhedron(position, faces, t, power, reach):
    most = 0.0
    for k in range(faces.shape[1]):
        value = position[0] * faces[t, k, 0] + position[1] * faces[t, k, 1] + position[2] * faces[t, k, 2]
        most = max(most, value)
    if most > reach or most == 0:
        return most
    total = 0.0
    for k in range(faces.shape[1]):
        value = position[0] * faces[t, k, 0] + position[1] * faces[t, k, 1] + position[2] * faces[t, k, 2]
        if value > 0:
            total += (value / most) ** power
    return most * total ** (1 / power)


@compiled()
def _in_crack(dz, dy, dx, crack):
    grown = crack[3] * dz + crack[4] * dy + crack[5] * dx
    if grown < crack[11]:
        return False
    aside = crack[6] * dz + crack[7] * dy + crack[8] * dx
    height = crack[0] * dz + crack[1] * dy + crack[2] * dx - crack[9]
    wave = crack[12] * (math.sin(crack[13] * grown) + math.cos(crack[13] * aside))
    return abs(height - wave) < crack[10]


@compiled(parallel=True)
def raise_top(field, phases, of, to, count):
    """Turn the ``count`` voxels of phase ``of`` with the largest values of a field into phase ``to``.

    Exact: of equal values the first in memory are taken.  Returns the least value taken; field holds no NaN.
    """
    nz = phases.shape[0]
    high = np.zeros((SLABS, 1 << 16), np.int64)
    for slab in prange(SLABS):
        for z in range(slab * nz // SLABS, (slab + 1) * nz // SLABS):
            for y in range(phases.shape[1]):
                for x in range(phases.shape[2]):
                    if phases[z, y, x] == of:
                        high[slab, _ordered(field[z, y, x]) >> 16] += 1
    bin_, above = _bin_of(high, count)
    low = np.zeros((SLABS, 1 << 16), np.int64)
    for slab in prange(SLABS):
        for z in range(slab * nz // SLABS, (slab + 1) * nz // SLABS):
            for y in range(phases.shape[1]):
                for x in range(phases.shape[2]):
                    if phases[z, y, x] == of:
                        key = _ordered(field[z, y, x])
                        if key >> 16 == bin_:
                            low[slab, key & 0xFFFF] += 1
    rest, above_in_bin = _bin_of(low, count - above)
    least = (bin_ << 16) | rest
    before = count - above - above_in_bin - np.cumsum(low[:, rest])  # equal ones left after each slab
    for slab in prange(SLABS):
        left = before[slab] + low[slab, rest]
        for z in range(slab * nz // SLABS, (slab + 1) * nz // SLABS):
            for y in range(phases.shape[1]):
                for x in range(phases.shape[2]):
                    if phases[z, y, x] == of:
                        key = _ordered(field[z, y, x])
                        if key > least:
                            phases[z, y, x] = to
                        elif key == least and left > 0:
                            phases[z, y, x] = to
                            left -= 1
    return _value(least)


@compiled()
def _ordered(value):
    """Return an integer that sorts as the float does."""
    bits = np.int64(np.float32(value + np.float32(0)).view(np.int32)) & 0xFFFFFFFF  # −0 becomes 0
    return 0xFFFFFFFF - bits if bits >> 31 else bits | 0x80000000


@compiled()
def _value(ordered):
    bits = ordered & 0x7FFFFFFF if ordered >> 31 else 0xFFFFFFFF - ordered
    return np.uint32(bits).view(np.float32)


@compiled()
def _bin_of(histograms, count):
    """Return the bin that holds the count-th value from above, and how many lie above that bin."""
    above = 0
    for k in range(histograms.shape[1] - 1, -1, -1):
        here = histograms[:, k].sum()
        if above + here >= count:
            return k, above
        above += here
    return 0, above


@compiled(parallel=True)
def mark(phases, owner, crack):
    """Mark the voxels of cracks in the phases, and name their particle without its sign."""
    for z in prange(phases.shape[0]):
        for y in range(phases.shape[1]):
            for x in range(phases.shape[2]):
                if owner[z, y, x] < 0:
                    owner[z, y, x] = -owner[z, y, x]
                    phases[z, y, x] = crack


@compiled(parallel=True)
def number(owner, phases, kinds, particles):
    """Return the particle of every voxel of the kinds of phases, numbered 1..m without gaps, as float32.

    Also returns the new number of each particle (0 for those without a voxel).
    """
    found = np.zeros((SLABS, particles + 1), np.bool_)
    nz = phases.shape[0]
    for slab in prange(SLABS):
        for z in range(slab * nz // SLABS, (slab + 1) * nz // SLABS):
            for y in range(phases.shape[1]):
                for x in range(phases.shape[2]):
                    if kinds[phases[z, y, x]]:
                        found[slab, owner[z, y, x]] = True
    numbers = np.zeros(particles + 1, np.int64)
    n = 0
    for i in range(1, particles + 1):
        if found[:, i].any():
            n += 1
            numbers[i] = n
    result = np.zeros(phases.shape, np.float32)
    for z in prange(nz):
        for y in range(phases.shape[1]):
            for x in range(phases.shape[2]):
                if kinds[phases[z, y, x]]:
                    result[z, y, x] = numbers[owner[z, y, x]]
    return result, numbers


@compiled(parallel=True)
def states(particle, active, distance, base, core, radii):
    """Return the state of charge of every active voxel, 0 elsewhere.

    ``base`` (m + 1) is that of each particle; towards its centre it changes by ``core``, over its radius.
    """
    state = np.zeros(particle.shape, np.float32)
    for z in prange(particle.shape[0]):
        for y in range(particle.shape[1]):
            for x in range(particle.shape[2]):
                if active[z, y, x]:
                    i = int(particle[z, y, x])
                    inwards = min(1.0, distance[z, y, x] / radii[i])
                    state[z, y, x] = min(1.0, max(0.0, base[i] + core * (inwards - 0.5)))
    return state
