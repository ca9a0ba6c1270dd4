"""Which part of the fixed volume a moved one shows without a gap."""

from __future__ import annotations

import numpy as np

_COARSE = 128
"""Voxels along the longest axis of the thinned mask on which a box is looked for first."""


def covered(mask: np.ndarray) -> list[list[int]] | None:
    """Return a large box within a mask.

    Of the six faces the one with the largest share of gaps goes, until none has any: for what an affine
    leaves of a box that is close to the largest there is.

    Parameters
    ----------
    mask : (z, y, x)
        0 where nothing is shown; may be a memory map.

    Returns
    -------
    [[z0, z1], [y0, y1], [x0, x1]] or None
        In voxels, as ``roi`` takes it; None where no box is left.

    Notes
    -----
    Memory: 1 byte per voxel of the box.
    """
    step = max(1, -(-max(mask.shape) // _COARSE))
    rough = _shrunk(np.asarray(mask[::step, ::step, ::step]) != 0)
    if rough is None:
        return None
    box = tuple(
        slice(low * step, n if high * step >= n else (high - 1) * step + 1)
        for (low, high), n in zip(rough, mask.shape, strict=True)
    )
    fine = _shrunk(np.asarray(mask[box]) != 0)
    if fine is None:
        return None
    return [[at.start + low, at.start + high] for at, (low, high) in zip(box, fine, strict=True)]


def _shrunk(there: np.ndarray) -> list[list[int]] | None:
    """Take faces away until all is there; return what is left along each axis."""
    ends = [[0, n] for n in there.shape]
    while there.size and not there.all():
        gaps = [(float((~there.take(at, axis)).mean()), axis, at) for axis in range(3) for at in (0, -1)]
        share, axis, at = max(gaps)
        if not share:  # a gap inside: the shortest way out
            axis, at = _way_out(there)
        ends[axis][0 if at == 0 else 1] += 1 if at == 0 else -1
        there = there.swapaxes(0, axis)[slice(1, None) if at == 0 else slice(None, -1)].swapaxes(0, axis)
    return ends if there.size else None


def _way_out(there: np.ndarray) -> tuple[int, int]:
    """Return the axis and the end from which the nearest gap is fewest voxels away."""
    ways = []
    for axis in range(3):
        rows = np.flatnonzero(~there.all(axis=tuple(k for k in range(3) if k != axis)))
        ways += [(int(rows[0]), axis, 0), (there.shape[axis] - 1 - int(rows[-1]), axis, -1)]
    _, axis, at = min(ways)
    return axis, at
