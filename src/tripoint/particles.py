"""Distances become particles: region labels, and what each region is like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import is_cupy_array

from tripoint import _cpu, _cuda
from tripoint.errors import InputError
from tripoint.sample import check_phases, check_spacing

if TYPE_CHECKING:
    import pandas as pd


def separate(
    phases: Any,
    spacing: Any = (1, 1, 1),
    labels: Iterable[int] | None = None,
    neck_ratio: float = 0.9,
    *,
    components: Iterable[int] = (),
    distance: Any = None,
) -> Any:
    """Cut phases at their necks into particles and return a label image.

    Every voxel climbs the distance to the nearest other phase to a summit; the voxels of a summit are a
    basin; basins that meet at a neck nearly as wide as the smaller of them are one particle.

    Parameters
    ----------
    phases : (z, y, x) uint8
        Label volume; 0 is a label like any other.
    spacing : (z, y, x)
        Voxel size, µm; may be anisotropic.
    labels : iterable of int, optional
        The phases to make regions of, all by default; voxels of others get 0.  A label that does not
        occur has no regions.
    neck_ratio : float
        Two basins are one particle when neck radius / radius of the smaller is at least this, in (0, 1].
        Higher cuts more.
    components : iterable of int
        Phases whose regions are their 6-connected components, without cutting.  They need not be repeated
        in ``labels``.
    distance : (z, y, x) float32, optional
        What :func:`tripoint.distance.transform` returns for these phases and spacing, where it is at hand.

    Returns
    -------
    (z, y, x) int32
        Regions 1..N, numbered in raster order of their first voxels; 0 where there is none.  Every region
        is 6-connected and of one phase.

    Raises
    ------
    InputError
        Phases, spacing, labels, ratio or distance that cannot be used.
    DeviceError
        Phases on a GPU, as long as the GPU side is not built.

    Notes
    -----
    The partition follows from the data alone; there is no queue and no order of processing.  Exactly, with
    u the smallest spacing, d the float32 distance in µm and all neighbours of the same phase:

    1. *Radius in voxels*: ``r = √rint((d/u)²)`` at isotropic spacing, ``d/u`` otherwise, in float64;
       ``q = min(rint(256 r), 2²⁴)`` as an integer.
    2. *Height*: ``h(p) = Σ w(o) g(p + o)`` over the 27 voxels at offset o, with weights
       ``w(o) = (2 − |o_z|)(2 − |o_y|)(2 − |o_x|)``; g is q for voxels of p's phase and −256, one voxel
       deep on the other side, for others; the volume's outermost voxels are repeated beyond it.  Integers,
       so no order of summation matters.  It is the signed distance smoothed by one voxel, which takes the
       roughness of a surface off the ridges.
    3. *Climbing*: among the 26 neighbours that are strictly higher, p steps to the one with the largest
       ``(h(q) − h(p)) · (1 / |o|)``, float64 (a difference of integers times a constant: nothing that
       could be fused), |o| in units of u; of equal slopes to the higher, then to the smaller linear index.
       Without a higher neighbour it steps to the equally high one with the smallest linear index if that is
       smaller than its own, else it is a summit.  (h, −index) rises with each step, so there is no cycle; a
       plateau that has several summits is left to the merging.
    4. *Necks*: the saddle of two basins is the largest min(r(p), r(q)) over 26-adjacent p, q in either.
       A radius R is r − ¾: the interface lies half a voxel before the other phase's voxel, and the rest
       makes up for the roughness of digital surfaces (chosen on packings; ½ to 1 is flat).
       Saddles are taken in the order (saddle descending, higher of the basins' two summit heights h
       descending, lower of them descending, smaller summit index, larger summit index); two regions
       become one when ``R_saddle ≥ neck_ratio · R_lower`` (float64), R_lower being the
       smaller radius at their summits.  The summit of larger radius stays; of equal ones that of
       smaller index.
    5. *Pieces*: regions are split into 6-connected pieces, because contacts are faces.

    Out of core, blocks with a halo of two voxels know their steps (3); a path that leaves a block ends in a
    provisional label for the voxel it enters, resolved over the blocks; saddles (4) reduce by maximum and
    pieces (5) by union–find over the faces of the blocks.

    Memory beyond the phases: 4 bytes per voxel for the distance, 4 for the result, 1 for directions: 9
    with the distance, 5 without, and 24 bytes per pair of basins that touch.

    The scheme of climbing and merging is the watershed of Cousty et al. (IEEE PAMI 31, 2009) with the
    merging of Gostick's SNOW (Phys. Rev. E 96, 2017) judged by necks.
    """
    spacing = check_spacing(spacing)
    check_phases(phases)
    chosen = list(range(256)) if labels is None else _check_labels("labels", labels)
    whole = _check_labels("components", components)
    if isinstance(neck_ratio, bool) or not 0 < neck_ratio <= 1:
        message = (
            f"neck_ratio is {neck_ratio!r}; expected a number above 0 and at most 1, 0.9 suits most packings"
        )
        raise InputError(message)
    if distance is not None:
        _check_distance(distance, phases)
    import tripoint._cpu.particles  # noqa: F401  numba is slow to import: only when it is needed

    implementation = _cuda if is_cupy_array(phases) else _cpu
    return implementation.particles.separate(phases, spacing, chosen, float(neck_ratio), whole, distance)


def describe(
    regions: Any,
    phases: Any,
    spacing: Any,
    distance: Any,
    *,
    min_voxels: int = 8,
    names: Mapping[int, str] | None = None,
) -> pd.DataFrame:
    """Return size, place and shape of every region, a row per region.

    Parameters
    ----------
    regions : (z, y, x) int32
        Label image, 0 = no region, 1..N.
    phases : (z, y, x) uint8
        Label volume; every region is of one phase.
    spacing : (z, y, x)
        Voxel size, µm.
    distance : (z, y, x) float32
        What :func:`tripoint.distance.transform` returns, µm.
    min_voxels : int
        Regions of fewer voxels are flagged as fragments.
    names : mapping of int to str, optional
        Names of the phases, for the column ``phase``; without it that column is left out.

    Returns
    -------
    pandas.DataFrame
        ``node`` (the region), ``phase``, ``label``, ``voxels``, ``volume`` (µm³), ``centroid_z/y/x`` (µm
        from the volume's corner, a voxel's centre being (i + ½) · spacing), ``bbox_z_min`` … ``bbox_x_max``
        (voxels, half open), ``equivalent_diameter`` (of the sphere of the same volume, µm),
        ``axis_major/middle/minor_length`` (of the ellipsoid with the same second moments, µm, as in
        scikit-image: √20 · standard deviation), ``aspect_ratio`` (major / minor; NaN for regions one voxel
        thick, which have no minor axis), ``inscribed_radius`` (largest distance, µm), ``touches_z_min`` …
        ``touches_x_max``, ``touches_border``, ``cut_area`` (along the volume's border, µm²), ``fragment``.
        A number in 1..N without voxels has a row of zeros.

    Raises
    ------
    InputError
        Arrays of different shapes or of other types, a spacing that is not three positive numbers.

    Notes
    -----
    One pass over the voxels.  Sums are exact integers, so that no number of threads changes a result.
    Memory: 108 bytes per region and thread, with as many threads as keep this under 2 bytes per voxel.
    """
    spacing = check_spacing(spacing)
    check_phases(phases)
    _check_distance(distance, phases)
    if regions.shape != phases.shape or regions.dtype != np.int32:
        message = (
            f"regions are {regions.dtype} of shape {tuple(regions.shape)}; expected int32 of the phases' "
            f"shape {tuple(phases.shape)}, such as particles.separate returns"
        )
        raise InputError(message)
    import tripoint._cpu.particles  # noqa: F401  numba is slow to import: only when it is needed

    implementation = _cuda if is_cupy_array(phases) else _cpu
    return implementation.particles.describe(regions, phases, spacing, distance, min_voxels, names)


def sphericity(volume: Any, surface_area: Any) -> Any:
    """Return the area of the sphere of a volume over the surface area, Ψ = π^(1/3) (6 V)^(2/3) / A.

    Parameters
    ----------
    volume : array or float
        µm³.
    surface_area : array or float
        µm²; 0 gives NaN.

    Returns
    -------
    array or float
        1 for a sphere, less for anything else but for the error of the area's estimate (Wadell,
        J. Geology 43, 1935).
    """
    area = np.asarray(surface_area, dtype=np.float64)
    sphere = np.cbrt(np.pi) * np.cbrt(6 * np.asarray(volume, dtype=np.float64)) ** 2
    return np.divide(sphere, area, out=np.full(np.broadcast(sphere, area).shape, np.nan), where=area > 0)[()]


def _check_labels(name: str, labels: Iterable[int]) -> list[int]:
    try:
        values = [labels] if isinstance(labels, (int, np.integer)) else list(labels)
        found = sorted({int(label) for label in values if label == int(label)})
    except (TypeError, ValueError):
        values, found = [], [-1]
    if len(found) < len(set(values)) or any(not 0 <= label <= 255 for label in found):
        message = f"{name} is {labels!r}; expected phase labels from 0 to 255, for example {name}=[1]"
        raise InputError(message)
    return found


def _check_distance(distance: Any, phases: Any) -> None:
    if getattr(distance, "shape", None) != phases.shape or distance.dtype != np.float32:
        message = (
            f"distance is {getattr(distance, 'dtype', type(distance).__name__)} of shape "
            f"{getattr(distance, 'shape', None)}; expected float32 of the phases' shape "
            f"{tuple(phases.shape)}, such as distance.transform returns"
        )
        raise InputError(message)
