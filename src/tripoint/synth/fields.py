"""Correlated Gaussian random fields, and phases of exactly so many voxels from them."""

from __future__ import annotations

import numpy as np

from tripoint.sample import Spacing

Array = np.ndarray

NODES = 1.5  # of the coarse grid per correlation length: what lies between them is e⁻¹⁹ of the variance
SAMPLES = 1 << 13  # voxels of a plane from which the ramp of a gradient is estimated


def gaussian_field(
    rng: np.random.Generator, size: tuple[int, ...], spacing: Spacing, length: float, amplitude: float = 1.0
) -> Array:
    """Return a Gaussian random field of zero mean with a correlation length in µm.

    White noise smoothed by a Gaussian of s.d. ``length``, so that values a distance d apart are correlated
    by ``exp(−d² / (4 length²))``.  Made on a grid with 1.5 nodes per length and interpolated by cubic
    B-splines, whose own smoothing is taken off the Gaussian's.

    Returns
    -------
    (z, y, x) float32
        Of s.d. ``amplitude``; 4 bytes per voxel, and half of that on the coarse grid at the most.
    """
    from scipy.ndimage import gaussian_filter

    from tripoint._cpu import synth as _synth

    factors = [max(1, int(length / (NODES * s))) for s in spacing]
    coarse = tuple(-(-n // f) + 3 for n, f in zip(size, factors, strict=True))
    noise = rng.standard_normal(coarse, dtype=np.float32)
    sigma = [max((length / (s * f)) ** 2 - 1 / 3, 0.0) ** 0.5 for s, f in zip(spacing, factors, strict=True)]
    noise = gaussian_filter(noise, sigma, mode="wrap", truncate=3.5)
    noise -= noise.mean(dtype=np.float64)
    scale = amplitude / (noise.std(dtype=np.float64) * _kept(sigma))
    return _synth.interpolate(noise, size, tuple(factors), np.float32(scale))


def _kept(sigma: list[float]) -> float:
    """Return the share of a field's s.d. that interpolation keeps, given how smooth its coefficients are."""
    kept = 1.0
    for s in sigma:
        k = np.arange(-12, 13)
        weight = np.array([1, 4, 1]) / 6
        smoothed = np.convolve(np.exp(-(k**2) / (2 * max(s, 1e-3) ** 2)), weight)
        before = np.exp(-(k**2) / (2 * max(s, 1e-3) ** 2))
        kept *= float(np.sqrt((smoothed**2).sum() / (before**2).sum()))
    return kept


def take(field: Array, phases: Array, of: int, to: int, count: int) -> float:
    """Turn the voxels of phase ``of`` where a field is largest into phase ``to``, exactly ``count`` of them.

    Returns the least value taken, infinite where none is.
    """
    from tripoint._cpu import synth as _synth

    return float(_synth.raise_top(field, phases, of, to, count)) if count > 0 else np.inf


def ramp(field: Array, phases: Array, of: int, share: Array, axis: int) -> Array:
    """Return what to take off a field so that one threshold takes a share of each plane's voxels ``of``.

    The threshold that would do so in every plane alone follows the field's chance; a parabola through these
    is smooth.  A value per plane along the axis, in a shape that broadcasts.
    """
    at, levels = [], []
    planes = zip(np.moveaxis(field, axis, 0), np.moveaxis(phases, axis, 0), strict=True)
    for i, (values, labels) in enumerate(planes):
        step = max(1, values.size // SAMPLES)
        found = values.ravel()[::step][labels.ravel()[::step] == of]
        finite = found[np.isfinite(found)]
        if finite.size:
            at.append((i + 0.5) / share.size - 0.5)
            found = np.sort(np.maximum(found, finite.min()))
            where = np.clip(1 - share[i], 0, 1) * (found.size - 1)
            levels.append(np.interp(where, np.arange(found.size), found))
    shape = [1, 1, 1]
    shape[axis] = share.size
    if len(at) < 3:
        return np.zeros(shape, np.float32)
    parabola = np.polynomial.Polynomial.fit(at, levels, 2)
    return parabola((np.arange(share.size) + 0.5) / share.size - 0.5).astype(np.float32).reshape(shape)
