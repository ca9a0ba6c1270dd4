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
    DeviceError
        Phases on a GPU, as long as the GPU side is not built.

    Notes
    -----
    Memory: 4 bytes per voxel for the result and two planes per thread.  Separable passes along the axes that
    search outwards, rows of voxels together; where a radius exceeds 256 voxels the ``edt`` package instead
    (Felzenszwalb & Huttenlocher, Theory of Computing 8, 2012), with 1 byte per voxel for a copy of the labels
    where 0 occurs (2 where all 256 labels do) and 2 of its own.  Squares are exact at isotropic spacing
    either way, and rounded to float32 otherwise.

    It runs in core, in four passes over the voxels: one along each axis and one to take roots. There is no
    form for blocks yet. It would make the passes along y and x slab by slab, and the one along z on slabs cut
    across y, with the squares on disk between the two; where all radii are below some width, a halo of that
    width would do instead, in a single pass.
    """
    spacing = check_spacing(spacing)
    check_phases(phases)
    implementation = _cuda if is_cupy_array(phases) else _cpu
    return implementation.distance.transform(phases, spacing, squared)
