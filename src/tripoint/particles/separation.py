"""Distances become particles: phases are cut at their necks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array

from tripoint import _cpu, _cuda
from tripoint.errors import InputError
from tripoint.sample import check_phases, check_spacing


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

    It runs in core: phases, distance and labels are in memory at once. Beside those of the distance it makes
    nine passes over the voxels: one each for heights, steps, paths and saddles, two to count and name the
    summits, and three to count, join and number the runs of the pieces. On a GPU they are eight, since the
    steps count the summits. The regions there are those of the host, voxel for voxel: every comparison is of
    integers, or of float64 from the same operations in the same order.
    There is no form for blocks yet. It would take blocks with a halo of two voxels, from which their steps
    follow; a path that leaves a block would end in a provisional label for the voxel that it enters, to be
    resolved to its summit once all blocks were climbed. Saddles would then reduce by maximum, basins merge in
    one place, from tables alone, and pieces join by union–find over the faces of the blocks, as components do
    in :func:`tripoint.percolation.merge`.

    Memory beyond the phases: 4 bytes per voxel for the distance, 4 for the result, 1 for directions, which
    are codes of the next voxel rather than its index: 9 with the distance, 5 without. On the host, 24 bytes
    per pair of basins that touch come on top; on a GPU, once the directions are gone, 12 bytes per 64 voxels
    of a slab and some 60 per pair to merge, then 4 bytes per run of equal labels along x and 16 per row for
    the pieces, in real volumes less than the byte of the directions.

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
        check_distance(distance, phases)
    implementation = _cuda if is_cupy_array(phases) else _cpu
    return implementation.particles.separate(phases, spacing, chosen, float(neck_ratio), whole, distance)


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


def check_distance(distance: Any, phases: Any) -> None:
    """Raise InputError unless distance is a float32 volume of the phases' shape."""
    if getattr(distance, "shape", None) != phases.shape or distance.dtype != np.float32:
        message = (
            f"distance is {getattr(distance, 'dtype', type(distance).__name__)} of shape "
            f"{getattr(distance, 'shape', None)}; expected float32 of the phases' shape "
            f"{tuple(phases.shape)}, such as distance.transform returns"
        )
        raise InputError(message)
