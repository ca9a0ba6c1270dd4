"""Conductances of voxel faces, within a carrier's network and between two, and what reacts where.

``carrier`` holds 1 where a voxel is an unknown of the ions, 2 of the electrons, 0 where it is none.
Volumes are (z, y, x); ``faces`` lies flat between two guards of one plane, as in the
module ``stencil``.
Conductances are in S·µm/m (10⁻⁶ S): conductivity in S/m times area over length in µm.
"""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from tripoint._cpu.compiled import compiled
from tripoint._cpu.transport.stencil import apply, parts
from tripoint.sides import geometry

NO_REGIONS = np.zeros(0, np.int32)
PLANES = 8


@register_jitable(
    error_model="numpy"
)  # numba cannot call a generator that it loaded from its cache, so this one is in none
def _each_face(begin, end, shape):
    """Yield (lower voxel, axis, upper voxel), numbered through the volume, of the planes' voxels and next."""
    depth, height, width = shape
    i = begin * height * width
    for z in range(begin, end):
        for y in range(height):
            for x in range(width):
                if z + 1 < depth:
                    yield i, 0, i + height * width
                if y + 1 < height:
                    yield i, 1, i + width
                if x + 1 < width:
                    yield i, 2, i + 1
                i += 1


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
    labels = NO_REGIONS if regions is None else regions.reshape(-1)
    resistance = np.zeros(256) if boundary is None else boundary
    volumes = phases.shape, phases.reshape(-1), carrier.reshape(-1)
    tables = conductivity, labels, resistance, geometry(spacing), faces
    parts(_conduct, 0, phases.shape[0], *volumes, *tables, size=PLANES)
    return faces


@compiled()
def _conduct(begin, end, shape, phases, carrier, conductivity, regions, boundary, form, faces):
    plane = shape[1] * shape[2]
    divided = regions.size > 0
    for i, axis, j in _each_face(begin, end, shape):
        if carrier[i] == 0 or carrier[i] != carrier[j]:
            continue
        a, b = phases[i], phases[j]
        resistance = 0.5 * form[axis, 1] * (1 / conductivity[a] + 1 / conductivity[b])
        if divided and boundary[a] > 0 and boundary[b] > 0 and regions[i] != regions[j]:
            resistance += 0.5 * (boundary[a] + boundary[b])
        faces[axis, plane + i] = form[axis, 0] / resistance
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
    volume = np.zeros(0, np.float32) if np.isscalar(exchange) else exchange.reshape(-1)
    constant = float(exchange) if np.isscalar(exchange) else 0.0
    volumes = phases.shape, phases.reshape(-1), carrier.reshape(-1)
    scaled = constant, volume, regions.reshape(-1), pairs, scales
    tables = conductivity, active, geometry(spacing), *scaled, faces
    parts(_react, 0, phases.shape[0], *volumes, *tables, size=PLANES)


@compiled()
def _react(
    begin, end, shape, phases, carrier, conductivity, active, form, constant, volume, regions, pairs, scales,
    faces,
):  # fmt: skip
    plane = shape[1] * shape[2]
    last, scale = np.int64(-1), 1.0
    for i, axis, j in _each_face(begin, end, shape):
        if carrier[i] + carrier[j] != 3:
            continue
        electrons = i if carrier[i] == 2 else j
        if not active[phases[electrons]]:
            continue
        r, s = np.int64(regions[i]), np.int64(regions[j])
        key = (min(r, s) << 32) | max(r, s)
        if key != last:
            at = np.searchsorted(pairs, key)
            scale = scales[at] if at < pairs.size and pairs[at] == key else 1.0
            last = key
        g = volume[electrons] if volume.size else constant
        g *= 1e-6 * form[axis, 0] * scale  # S/m² · µm² in S·µm/m
        rest = _bulk(form, axis, conductivity, phases[i], phases[j])
        faces[axis, plane + i] = 1 / (1 / g + rest) if g > 0 else 0
    return 0


@compiled()
def _bulk(form, axis, conductivity, a, b):
    """Return the resistance of half a voxel on either side of a face, µm·m/S / µm²."""
    return 0.5 * form[axis, 1] / form[axis, 0] * (1 / conductivity[a] + 1 / conductivity[b])


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
    _linearise(phases.shape, phases.reshape(-1), carrier.reshape(-1), *tables)
    plane, row = phases.shape[1] * phases.shape[2], phases.shape[2]
    parts(apply, plane, x.size - plane, tangent, plane, row, x, image)
    rest -= image
    rest[ends] -= values * x[ends]
    return rest


@compiled()
def _linearise(shape, phases, carrier, conductivity, form, x, thermal, faces, tangent, left):
    plane = shape[1] * shape[2]
    for i, axis, j in _each_face(0, shape[0], shape):
        u, v = plane + i, plane + j
        if carrier[i] + carrier[j] != 3 or faces[axis, u] == 0:
            continue
        rest = _bulk(form, axis, conductivity, phases[i], phases[j])
        flow, slope = _butler_volmer(faces[axis, u], rest, x[u] - x[v], thermal)
        tangent[axis, u] = slope
        extra = flow - np.float64(tangent[axis, u]) * (x[u] - x[v])
        left[u] -= extra
        left[v] += extra


@compiled()
def _butler_volmer(conductance, rest, drop, thermal):
    """Return the current through a face and its slope, with half a voxel's resistance on either side."""
    if thermal == 0:
        return conductance * drop, np.float64(conductance)
    g = 1 / max(1 / np.float64(conductance) - rest, 1e-12 / conductance)
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
    volumes = phases.shape, phases.reshape(-1), carrier.reshape(-1)
    tables = conductivity, active, ions, geometry(spacing), x, thermal, faces
    _sum_regions(*volumes, *tables, regions.reshape(-1), current, counts)
    return current, *counts


@compiled()
def _sum_regions(
    shape, phases, carrier, conductivity, active, ions, form, x, thermal, faces, regions, current, counts
):
    plane = shape[1] * shape[2]
    for i in range(phases.size):
        counts[0, regions[i]] += 1
        counts[1, regions[i]] += carrier[i] > 0
    for i, axis, j in _each_face(0, shape[0], shape):
        a, b = phases[i], phases[j]
        counts[2, regions[i]] += active[a] and ions[b]
        counts[2, regions[j]] += active[b] and ions[a]
        if carrier[i] + carrier[j] != 3 or faces[axis, plane + i] == 0:
            continue
        ion, electron = (i, j) if carrier[i] == 1 else (j, i)
        drop = x[plane + ion] - x[plane + electron]
        rest = _bulk(form, axis, conductivity, a, b)
        flow, _ = _butler_volmer(faces[axis, plane + i], rest, drop, thermal)
        current[regions[electron]] += flow
