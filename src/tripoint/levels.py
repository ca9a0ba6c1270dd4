"""The levels of a multigrid on conductances: what is strongly bound, and how far rows are joined.

Both sides join voxels and rows in their own way, by these bars, and go down the levels by `descend`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

STRONG = 0.1
"""Conductance, relative to the geometric mean of two sums, from which voxels and rows are joined; 1/6 between
voxels inside a phase."""

HELD = 0.5
"""Share of a single row's sum above which it is joined to what holds it, such as the many bits around one
good conductor; at half or more no row is held by two."""

OMEGA = np.float32(0.8)
"""Weight of a Jacobi step; below 1 none diverges, as no voxel gives more than it holds."""

DIRECT = 1000
"""Rows of a level that is solved directly."""

SHRINK, LEAST = 0.4, 1e-2
"""Ratio of rows from level to level above which the bar for what is strong is lowered, and how far."""

STALLED = 0.8
"""Ratio of rows from level to level above which there are no further ones."""


class Rows(NamedTuple):
    """A symmetric matrix of conductances without its diagonal, and what leads to the terminals.

    ``ptr`` (n + 1) int64, ``col`` int32, ``val`` float32, ``terminal`` (n) float32, ``inverse`` (n) float32:
    1 / diagonal. 20 bytes per row and 8 per entry.
    """

    ptr: Any
    col: Any
    val: Any
    terminal: Any
    inverse: Any


def descend(rows: Rows, coarsen: Callable[[Rows, float], tuple[Any, Rows]]) -> tuple[list[Rows], list[Any]]:
    """Join rows, level by level, until a level can be solved directly or nothing is left to join.

    Parameters
    ----------
    rows : Rows
        Of the first level.
    coarsen : function of (Rows, ease)
        Returns the aggregate of every row and their matrix; ``ease`` lowers the bar for what is strong.

    Returns
    -------
    levels : list of Rows
    owners : list of (n,) int32
        Of every row of a level, but the last: its aggregate.
    """
    levels, owners = [rows], []
    while rows.terminal.size > DIRECT:
        owner, coarser = coarsen(rows, 1.0)
        ease = 1.0
        while coarser.terminal.size > SHRINK * rows.terminal.size and ease > LEAST:
            ease /= 2
            owner, coarser = coarsen(rows, ease)
        if coarser.terminal.size > STALLED * rows.terminal.size:
            break
        rows = coarser
        levels.append(rows)
        owners.append(owner)
    return levels, owners
