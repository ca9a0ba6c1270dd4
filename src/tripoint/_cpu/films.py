"""Host side of :mod:`tripoint.films`: one pass that looks two voxels far along each axis."""

from __future__ import annotations

import numpy as np

from tripoint._cpu.boundary.bits import byte_at, memory, on_threads, slabs
from tripoint._cpu.compiled import compiled
from tripoint.sides import NO_PHASE, FilmCounts

_NONE = np.uint8(NO_PHASE)

MOST = 32
"""Phases up to which every slab has tables of its own; those of more are large, and there is one slab."""


def count(phases, number, classes, rows):
    """Count films, crossings through them and faces owned by some slices; see `sides.FilmCounts`.

    Parameters
    ----------
    phases : (z, y, x) uint8, any memory layout
    number : (256,) uint8
        Class of each label, `sides.NO_PHASE` for those that do not count.
    classes : int
    rows : (first, last)
    """
    bounds = slabs(*rows) if classes <= MOST else np.array(rows, np.int64)
    parts = [FilmCounts.empty(classes) for _ in bounds[1:]]
    where, shape = memory(phases), phases.shape

    def work(k: int) -> None:
        _count_slab(where, shape, bounds[k], bounds[k + 1], number, *parts[k])

    on_threads(work, len(parts))
    return FilmCounts(*(sum(tables) for tables in zip(*parts, strict=True)))


@compiled()
def _count_slab(where, shape, first, last, number, voxels, films, runs, faces):
    start, strides = where[0], where[1:]
    for z in range(first, last):
        for y in range(shape[1]):
            address = start + z * strides[0] + y * strides[1]
            for x in range(shape[2]):
                label = byte_at(address)
                here = number[label]
                if here != _NONE:
                    thin = False
                    for axis in range(3):
                        place, step = (z, y, x)[axis], strides[axis]
                        inside = 0 < place < shape[axis] - 1
                        if inside and byte_at(address - step) == label and byte_at(address + step) == label:
                            continue  # the rule, and quicker than a call
                        thin |= _look(address, step, place, shape[axis], here, number, runs, faces)
                    voxels[here] += 1
                    films[here] += thin
                address += strides[2]


@compiled()
def _look(address, step, place, length, here, number, runs, faces):
    """Count the face after a voxel and the run that begins with it; return whether a film holds it."""
    before = number[byte_at(address - step)] if place > 0 else _NONE
    after = number[byte_at(address + step)] if place + 1 < length else _NONE
    if _differs(after, here, here):
        faces[min(here, after), max(here, after)] += 1
    if before == here:
        if place < 2 or not _differs(after, here, here):
            return False
        return _differs(number[byte_at(address - 2 * step)], here, after)
    end = after
    if after == here and place + 2 < length:
        end = number[byte_at(address + 2 * step)]
    if before == _NONE or not _differs(end, here, before):
        return False
    runs[here, min(before, end), max(before, end)] += 1
    return True


@compiled()
def _differs(phase, one, other):
    return phase != _NONE and phase != one and phase != other
