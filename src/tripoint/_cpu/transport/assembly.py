"""Conductances of voxel faces, within a carrier's network and between two, and what reacts where.

``carrier`` holds 1 where a voxel is an unknown of the ions, 2 of the electrons, 0 where it is none.
Volumes are (z, y, x); ``faces`` lies flat between two guards of one plane, as in the
module ``stencil``.
Conductances are in S·µm/m (10⁻⁶ S): conductivity in S/m times area over length in µm.
"""

from __future__ import annotations

import math

import numpy as np

from tripoint._cpu.compiled import compiled
from tripoint._cpu.transport.stencil import apply, parts

NO_REGIONS = np.zeros((0, 0, 0), np.int32)
PLANES = 8


def geometry(spacing):
    """Return (area, length) of the faces along each axis, (3, 2) float64, µm² and µm."""
    volume = math.prod(spacing)
    return np.array([(volume / h, h) for h in spacing])


def conduction_faces(phases, carrier, conductivity, spacing, regions=None, boundary=None):
    """Return the conductance of every face between two voxels of one carrier, (3, plane + n + plane) float32.

    Half a voxel's resistance on either side, in series, and between particles that of their boundary:
    ``g = A / (h/2σ_i + h/2σ_j + R)``.

    Parameters
    ----------
    conductivity : (256,) float64
        S/m of each label for the carrier it conducts.
    regions : (z, y, x) int32, optional
        Regions whose boundaries resist.
    boundary : (256,) float64
        Resistance µm·m/S of a boundary between regions, by label; the mean of both sides where both have one.
    """
    plane = phases.shape[1] * phases.shape[2]
    faces = np.zeros((3, phases.size + 2 * plane), np.float32)
    labels = NO_REGIONS if regions is None else regions
    resistance = np.zeros(256) if boundary is None else boundary
    tables = conductivity, labels, resistance, geometry(spacing), faces
    parts(_conduct, 0, phases.shape[0], phases, carrier, *tables, size=PLANES)
    return faces


@compiled()
def _conduct(begin, end, phases, carrier, conductivity, regions, boundary, form, faces):
    depth, height, width = phases.shape
    plane = height * width
    divided = regions.size > 0
    for z in range(begin, end):
        for y in range(height):
            for x in range(width):
                mine = carrier[z, y, x]
                if mine == 0:
                    continue
                a = phases[z, y, x]
                i = plane + z * plane + y * width + x
                for axis in range(3):
                    z2, y2, x2 = z + (axis == 0), y + (axis == 1), x + (axis == 2)
                    if z2 >= depth or y2 >= height or x2 >= width or carrier[z2, y2, x2] != mine:
                        continue
                    b = phases[z2, y2, x2]
                    resistance = 0.5 * form[axis, 1] * (1 / conductivity[a] + 1 / conductivity[b])
                    if (
                        divided
                        and boundary[a] > 0
                        and boundary[b] > 0
                        and regions[z, y, x] != regions[z2, y2, x2]
                    ):
                        resistance += 0.5 * (boundary[a] + boundary[b])
                    faces[axis, i] = form[axis, 0] / resistance
    return 0


def reaction_faces(faces, phases, carrier, conductivity, active, spacing, exchange, regions, pairs, scales):
    """Add to ``faces`` those at which active material meets the ion conductor.

    Parameters
    ----------
    active : (256,) bool
    exchange : float or (z, y, x) float32
        Charge-transfer conductance, S/m²; of the voxel of active material where it is a volume.
    regions : (z, y, x) int32
    pairs, scales : (k,) int64 and float64
        Lower region · 2³² + higher one, sorted, and what the area of their faces is multiplied by.
    """
    volume = np.zeros((0, 0, 0), np.float32) if np.isscalar(exchange) else exchange
    constant = float(exchange) if np.isscalar(exchange) else 0.0
    tables = conductivity, active, geometry(spacing), constant, volume, regions, pairs, scales, faces
    parts(_react, 0, phases.shape[0], phases, carrier, *tables, size=PLANES)


@compiled()
def _react(
    begin, end, phases, carrier, conductivity, active, form, constant, volume, regions, pairs, scales, faces
):
    depth, height, width = phases.shape
    plane = height * width
    last, scale = np.int64(-1), 1.0
    for z in range(begin, end):
        for y in range(height):
            for x in range(width):
                mine = carrier[z, y, x]
                if mine == 0:
                    continue
                a = phases[z, y, x]
                i = plane + z * plane + y * width + x
                for axis in range(3):
                    z2, y2, x2 = z + (axis == 0), y + (axis == 1), x + (axis == 2)
                    if z2 >= depth or y2 >= height or x2 >= width or carrier[z2, y2, x2] + mine != 3:
                        continue
                    b = phases[z2, y2, x2]
                    if not active[a if mine == 2 else b]:
                        continue
                    r, s = np.int64(regions[z, y, x]), np.int64(regions[z2, y2, x2])
                    key = (min(r, s) << 32) | max(r, s)
                    if key != last:
                        at = np.searchsorted(pairs, key)
                        scale = scales[at] if at < pairs.size and pairs[at] == key else 1.0
                        last = key
                    g = constant
                    if volume.size:
                        g = volume[z, y, x] if mine == 2 else volume[z2, y2, x2]
                    g *= 1e-6 * form[axis, 0] * scale  # S/m² · µm² in S·µm/m
                    rest = 0.5 * form[axis, 1] / form[axis, 0] * (1 / conductivity[a] + 1 / conductivity[b])
                    faces[axis, i] = 1 / (1 / g + rest) if g > 0 else 0
    return 0


def junction_faces(faces, phases, conductivity, spacing, axis, index, conductance):
    """Add reactions at listed faces: the lower voxel of each along an axis, and S·µm/m; no face twice."""
    flat = phases.reshape(-1)
    plane = phases.shape[1] * phases.shape[2]
    step = np.array([plane, phases.shape[2], 1])[axis]
    form = geometry(spacing)[axis]
    rest = 0.5 * form[:, 1] / form[:, 0]
    rest = rest * (1 / conductivity[flat[index]] + 1 / conductivity[flat[index + step]])
    faces[axis, index + plane] = 1 / (1 / conductance + rest)


def butler_volmer_residual(
    faces, tangent, phases, carrier, conductivity, spacing, x, thermal, ends, values, source
):
    """Return what Butler-Volmer kinetics leave of the source at x; ``tangent`` gets the reactions' slopes.

    ``source - t x - sum_j I_ij(x_i - x_j)``, flat with guards, float64.
    """
    rest, image = source.copy(), np.zeros_like(x)
    tables = conductivity, geometry(spacing), x, thermal, faces, tangent, rest
    _linearise(phases, carrier, *tables)
    plane, row = phases.shape[1] * phases.shape[2], phases.shape[2]
    parts(apply, plane, x.size - plane, tangent, plane, row, x, image)
    rest -= image
    rest[ends] -= values * x[ends]
    return rest


@compiled()
def _linearise(phases, carrier, conductivity, form, x, thermal, faces, tangent, left):
    depth, height, width = phases.shape
    plane = height * width
    for z in range(depth):
        for y in range(height):
            for w in range(width):
                mine = carrier[z, y, w]
                if mine == 0:
                    continue
                i = plane + z * plane + y * width + w
                for axis in range(3):
                    z2, y2, w2 = z + (axis == 0), y + (axis == 1), w + (axis == 2)
                    if z2 >= depth or y2 >= height or w2 >= width or carrier[z2, y2, w2] + mine != 3:
                        continue
                    if faces[axis, i] == 0:
                        continue
                    j = plane + z2 * plane + y2 * width + w2
                    sigma = 1 / conductivity[phases[z, y, w]] + 1 / conductivity[phases[z2, y2, w2]]
                    rest = 0.5 * form[axis, 1] / form[axis, 0] * sigma
                    flow, slope = _butler_volmer(faces[axis, i], rest, x[i] - x[j], thermal)
                    tangent[axis, i] = slope
                    extra = flow - np.float64(tangent[axis, i]) * (x[i] - x[j])
                    left[i] -= extra
                    left[j] += extra


@compiled()
def _butler_volmer(conductance, rest, drop, thermal):
    """Return the current through a face and its slope, with half a voxel's resistance on either side."""
    if thermal == 0:
        return conductance * drop, np.float64(conductance)
    g = 1 / max(1 / np.float64(conductance) - rest, 1e-12 / conductance)
    eta = drop
    bound = 2 * thermal * np.arcsinh(abs(drop) / (2 * thermal * g * rest)) if rest > 0 else abs(drop)
    eta = math.copysign(min(abs(drop), bound), drop)
    slope = g
    for _ in range(60):
        flow = 2 * g * thermal * math.sinh(eta / (2 * thermal))
        slope = g * math.cosh(eta / (2 * thermal))
        move = (eta + rest * flow - drop) / (1 + rest * slope)
        eta -= move
        if abs(move) <= 1e-13 * (abs(drop) + thermal):
            break
    flow = 2 * g * thermal * math.sinh(eta / (2 * thermal))
    slope = g * math.cosh(eta / (2 * thermal))
    return flow, slope / (1 + rest * slope)


def reacting_regions(faces, phases, carrier, conductivity, active, ions, spacing, x, thermal, regions, count):
    """Sum per region what reacts at its voxels.

    Returns
    -------
    current : (count + 1,) float64
        From ions to the region's electrons, S·µm/m times the unit of x.
    voxels, reached, touching : (count + 1,) int64
        Voxels; those among them that are unknowns; faces of active material with ion conductors.
    """
    current = np.zeros(count + 1)
    counts = np.zeros((3, count + 1), np.int64)
    tables = conductivity, active, ions, geometry(spacing), x, thermal, faces, regions, current, counts
    _sum_regions(phases, carrier, *tables)
    return current, *counts


@compiled()
def _sum_regions(
    phases, carrier, conductivity, active, ions, form, x, thermal, faces, regions, current, counts
):
    depth, height, width = phases.shape
    plane = height * width
    for z in range(depth):
        for y in range(height):
            for w in range(width):
                a, mine, r = phases[z, y, w], carrier[z, y, w], regions[z, y, w]
                counts[0, r] += 1
                counts[1, r] += mine > 0
                i = plane + z * plane + y * width + w
                for axis in range(3):
                    z2, y2, w2 = z + (axis == 0), y + (axis == 1), w + (axis == 2)
                    if z2 >= depth or y2 >= height or w2 >= width:
                        continue
                    b, other, s = phases[z2, y2, w2], carrier[z2, y2, w2], regions[z2, y2, w2]
                    counts[2, r] += active[a] and ions[b]
                    counts[2, s] += active[b] and ions[a]
                    if mine == 0 or other == 0 or mine == other or faces[axis, i] == 0:
                        continue
                    j = plane + z2 * plane + y2 * width + w2
                    rest = 0.5 * form[axis, 1] / form[axis, 0] * (1 / conductivity[a] + 1 / conductivity[b])
                    drop = x[i] - x[j] if mine == 1 else x[j] - x[i]
                    flow, _ = _butler_volmer(faces[axis, i], rest, drop, thermal)
                    current[s if mine == 1 else r] += flow
