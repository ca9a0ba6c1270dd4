"""Packing and painting of spheres."""

import math

import numpy as np
from numba import prange

from tripoint._cpu.compiled import compiled


@compiled()
def pack_spheres(radii, box, overlap, seed, attempts):
    """Place spheres of given radii, largest first, at random without more than the allowed overlap.

    radii (n) descending, box (3) µm; returns centres (n, 3), NaN for spheres that found no place.
    Neighbours are looked up in cells as wide as the largest sphere.
    """
    np.random.seed(seed)
    n = radii.size
    cell = 2 * radii[0]
    nz, ny, nx = max(1, int(box[0] / cell)), max(1, int(box[1] / cell)), max(1, int(box[2] / cell))
    head = np.full((nz, ny, nx), -1, np.int64)
    following = np.full(n, -1, np.int64)
    centres = np.full((n, 3), np.nan)
    for i in range(n):
        for _ in range(attempts):
            z, y, x = np.random.random() * box[0], np.random.random() * box[1], np.random.random() * box[2]
            cz, cy, cx = (
                min(nz - 1, int(z / box[0] * nz)),
                min(ny - 1, int(y / box[1] * ny)),
                min(nx - 1, int(x / box[2] * nx)),
            )
            if _free(z, y, x, radii[i], centres, radii, head, following, cz, cy, cx, 1 - overlap):
                centres[i, 0], centres[i, 1], centres[i, 2] = z, y, x
                following[i] = head[cz, cy, cx]
                head[cz, cy, cx] = i
                break
    return centres


@compiled()
def _free(z, y, x, r, centres, radii, head, following, cz, cy, cx, keep):
    for a in range(max(0, cz - 1), min(head.shape[0], cz + 2)):
        for b in range(max(0, cy - 1), min(head.shape[1], cy + 2)):
            for c in range(max(0, cx - 1), min(head.shape[2], cx + 2)):
                j = head[a, b, c]
                while j >= 0:
                    dz, dy, dx = centres[j, 0] - z, centres[j, 1] - y, centres[j, 2] - x
                    reach = (radii[j] + r) * keep
                    if dz * dz + dy * dy + dx * dx < reach * reach:
                        return False
                    j = following[j]
    return True


@compiled(parallel=True)
def paint_spheres(size, spacing, centres, radii, noise):
    """Give every voxel the sphere it lies deepest in, within 1.6 radii.

    Returns level, 1 − distance / radius + noise (−inf beyond reach of every sphere), and the owner, 1..n.
    """
    nz, ny, nx = size
    level = np.full((nz, ny, nx), -np.inf, np.float32)
    owner = np.zeros((nz, ny, nx), np.int32)
    slabs = 16
    for slab in prange(slabs):
        z_from, z_to = slab * nz // slabs, (slab + 1) * nz // slabs
        for i in range(radii.size):
            reach = 1.6 * radii[i]
            z0 = max(z_from, math.floor((centres[i, 0] - reach) / spacing[0]))
            z1 = min(z_to, math.ceil((centres[i, 0] + reach) / spacing[0]) + 1)
            y0 = max(0, math.floor((centres[i, 1] - reach) / spacing[1]))
            y1 = min(ny, math.ceil((centres[i, 1] + reach) / spacing[1]) + 1)
            x0 = max(0, math.floor((centres[i, 2] - reach) / spacing[2]))
            x1 = min(nx, math.ceil((centres[i, 2] + reach) / spacing[2]) + 1)
            for z in range(z0, z1):
                dz = (z + 0.5) * spacing[0] - centres[i, 0]
                for y in range(y0, y1):
                    dy = (y + 0.5) * spacing[1] - centres[i, 1]
                    for x in range(x0, x1):
                        dx = (x + 0.5) * spacing[2] - centres[i, 2]
                        distance = math.sqrt(dz * dz + dy * dy + dx * dx)
                        if distance <= reach:
                            value = np.float32(1 - distance / radii[i]) + noise[z, y, x]
                            if value > level[z, y, x]:
                                level[z, y, x] = value
                                owner[z, y, x] = i + 1
    return level, owner
