"""Host side of :mod:`tripoint.distance`: the ``edt`` package, with its labels and units arranged."""

from __future__ import annotations

import os

import edt
import numpy as np
from numba import njit, prange


def transform(phases, spacing, squared=False):
    """Return the distance to the nearest voxel of another phase; see :func:`tripoint.distance.transform`."""
    isotropic = spacing[0] == spacing[1] == spacing[2]
    result = edt.edtsq(
        _without_zero(phases),
        anisotropy=(1.0, 1.0, 1.0) if isotropic else spacing,
        black_border=False,
        order="C",
        parallel=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
    )
    # At isotropic spacing the squares are integers until here, so equal distances stay exactly equal.
    _to_micrometres(result.reshape(-1), spacing[0] if isotropic else 1.0, squared)
    return result


def _without_zero(phases):
    """Return phases with label 0 renamed to an unused one, because edt takes 0 for background."""
    phases = np.ascontiguousarray(phases)
    counts = np.zeros(256, np.int64)
    for plane in phases:
        counts += np.bincount(plane.reshape(-1), minlength=256)
    if not counts[0]:
        return phases
    if counts.all():
        return phases.astype(np.uint16) + np.uint16(1)
    renamed = np.empty_like(phases)
    _rename_zero(phases.reshape(-1), renamed.reshape(-1), np.uint8(np.flatnonzero(counts == 0)[0]))
    return renamed


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def _rename_zero(labels, renamed, name):
    for i in prange(labels.size):
        renamed[i] = name if labels[i] == 0 else labels[i]


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def _to_micrometres(squares, scale, squared):
    for i in prange(squares.size):
        if squared:
            squares[i] = np.float32(np.float64(squares[i]) * (scale * scale))
        else:
            squares[i] = np.float32(np.sqrt(np.float64(squares[i])) * scale)
