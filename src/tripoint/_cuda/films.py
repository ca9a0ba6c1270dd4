"""GPU side of :mod:`tripoint.films`: one pass that looks two voxels far along axes; see kernels/films.cu."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cupy as cp
import numpy as np

from tripoint._cuda.compiled import kernel
from tripoint.sides import FilmCounts

THREADS, BLOCKS = 256, 2048


def count(phases: cp.ndarray, number: np.ndarray, classes: int, rows: Sequence[int]) -> FilmCounts:
    """Count films, crossings through them and faces owned by some slices; parameters as of the host side.

    Notes
    -----
    1 byte must be read per voxel; its neighbours come from the cache. Memory: 8 bytes per triple of phases.
    """
    counts = cp.zeros(classes * (2 + classes + classes**2), cp.uint64)
    voxels = (rows[1] - rows[0]) * math.prod(phases.shape[1:])
    kernel("films", "count_films")(
        (max(1, min(-(-voxels // THREADS), BLOCKS)),),
        (THREADS,),
        (
            phases,
            *map(np.int64, phases.strides),
            *map(np.int32, phases.shape),
            *map(np.int32, rows),
            cp.asarray(number),
            np.int32(classes),
            counts,
        ),
    )
    return FilmCounts.of(counts.get().astype(np.int64), classes)
