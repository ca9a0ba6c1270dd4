"""Phases become distances: how far every voxel is from the nearest voxel of another phase."""

from __future__ import annotations

from typing import Any

from array_api_compat import is_cupy_array

from tripoint import _cpu, _cuda
from tripoint.sample import check_phases, check_spacing


def transform(phases: Any, spacing: Any = (1, 1, 1), squared: bool = False) -> Any:
    """Return the Euclidean distance of every voxel to the nearest voxel of another phase.

    ``d(p) = min { |s · (p − q)| : phases[q] ≠ phases[p] }``, between voxel centres, of all phases at once.
    The volume's border is no wall: nothing outside of it is near.  A volume of one phase has no other
    phase to be near to, and its distances are infinite.

    Parameters
    ----------
    phases : (z, y, x) uint8
        Label volume; any labels, 0 and 255 among them.
    spacing : (z, y, x)
        Voxel size, µm; may be anisotropic.
    squared : bool
        Return d² instead of d.

    Returns
    -------
    (z, y, x) float32
        Distances, µm (or µm²).  At isotropic spacing s they are the float32 nearest to s·√n for the exact
        integer n, so voxels that are equally far have equal distances.

    Raises
    ------
    InputError
        Phases that are not a 3D uint8 volume, a spacing that is not three positive numbers.

    Notes
    -----
    Memory beyond the phases: 4 bytes per voxel for the result; while it works, two planes per thread on the
    host, 4 bytes per voxel on a GPU.  Separable passes along the axes that search outwards, rows of voxels
    together.  Where a radius exceeds 256 voxels, the host uses the ``edt`` package instead (Felzenszwalb &
    Huttenlocher, Theory of Computing 8, 2012), with 1 byte per voxel for a copy of the labels where 0 occurs
    (2 where all 256 labels do) and 2 of its own; a GPU searches on.  Squares are exact at isotropic spacing
    in all cases; otherwise they are sums of float32, the same bits on host and GPU, and those of ``edt``
    differ by its own rounding.

    On a GPU this is not cuCIM's transform: that one finds the indices of the nearest voxels, which takes a
    binary volume per phase, pads it to a cube of the longest axis (500 × 2000 × 2000 voxels: some 172 GB) and
    overflows its ``int`` indices beyond an edge of 1290 voxels.  Here any shape is as large as its voxels.

    It runs in core, in passes along each axis and, on the host, one to take roots. There is no
    form for blocks yet. It would make the passes along y and x slab by slab, and the one along z on slabs cut
    across y, with the squares on disk between the two; where all radii are below some width, a halo of that
    width would do instead, in a single pass.
    """
    spacing = check_spacing(spacing)
    check_phases(phases)
    implementation = _cuda if is_cupy_array(phases) else _cpu
    return implementation.distance.transform(phases, spacing, squared)
