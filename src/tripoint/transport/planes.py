"""The outer planes of a flat volume, where the potentials of terminals are held."""

from __future__ import annotations

from typing import Any

from tripoint.tables import namespace


def places_on_face(volume: Any, axis: int, last: bool) -> Any:
    """Return the places, in C order, of the voxels in the first or last plane along an axis.

    Parameters
    ----------
    volume : (z, y, x) array
    axis : int
    last : bool

    Returns
    -------
    (n, m) int64
        Of the plane's shape, where the volume lives.
    """
    xp, shape = namespace(volume), volume.shape
    steps = shape[1] * shape[2], shape[2], 1
    along, across = (k for k in range(3) if k != axis)
    lowest = (shape[axis] - 1) * steps[axis] if last else 0
    rows = xp.arange(shape[along], dtype=xp.int64) * steps[along]
    return lowest + rows[:, None] + xp.arange(shape[across], dtype=xp.int64) * steps[across]
