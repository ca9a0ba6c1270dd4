"""Phases that form films one or two voxels thick between two others, as blur makes them.

Where a dark and a bright phase meet, blur passes through every grey between them. A method that looks at grey
values alone takes that for a phase of middle grey, and the interface of the two is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from tripoint.errors import InputError
from tripoint.materials import Materials
from tripoint.sample import check_phases

THICKNESS = 2
"""Voxels up to which a layer is a film: what blur of an instrument makes, and too thin to be measured."""

_NONE = 255
"""Class of voxels of no phase, which end no film."""

SLAB = 32
"""Slices that are looked at together."""

SUSPICIOUS = 0.05
"""Share of a phase in films from which on it is told; where three phases meet, wedges end as films."""

COVERED = 0.25
"""Share of the crossings from one phase to another that lead through films of a third, likewise."""


@dataclass(frozen=True)
class Films:
    """How many voxels of each phase lie in films; those of blocks of a volume add up.

    Parameters
    ----------
    voxels : mapping of label to int
        All voxels of each phase.
    films : mapping of label to int
        Those in a film between two other phases.
    runs : mapping of (label, label, label) to int
        Crossings along z, y and x from the second to the third phase, or back, through a film of the first.
    faces : mapping of (label, label) to int
        Voxel faces between two phases, which are crossings without a film.
    """

    voxels: Mapping[int, int] = field(default_factory=dict)
    films: Mapping[int, int] = field(default_factory=dict)
    runs: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    faces: Mapping[tuple[int, int], int] = field(default_factory=dict)

    def __add__(self, other: Films) -> Films:
        return Films(
            _sum(self.voxels, other.voxels),
            _sum(self.films, other.films),
            _sum(self.runs, other.runs),
            _sum(self.faces, other.faces),
        )

    def fraction(self, label: int) -> float:
        """Return the share of a phase's voxels that lie in films; 0 for a phase that is absent."""
        return self.films.get(label, 0) / self.voxels[label] if self.voxels.get(label) else 0.0

    def fractions(self) -> dict[int, float]:
        """Return the share of every phase that is there."""
        return {label: self.fraction(label) for label in self.voxels}

    def covered(self, label: int, a: int, b: int) -> float:
        """Return the share of the crossings from a to b, or back, that lead through films of a phase."""
        a, b = sorted((a, b))
        through, direct = self.runs.get((label, a, b), 0), self.faces.get((a, b), 0)
        return through / (through + direct) if through else 0.0

    def warnings(
        self, materials: Materials, share: float = SUSPICIOUS, covered: float = COVERED
    ) -> list[str]:
        """Say which phases look like films that blur has made.

        Parameters
        ----------
        materials : Materials
        share : float
            Of the phase in films, from which on it is said.
        covered : float
            Of the crossings of two other phases that lead through it, likewise.
        """
        found = []
        for phase in materials.phases:
            pairs = {key[1:]: count for key, count in self.runs.items() if key[0] == phase.label}
            if not pairs:
                continue
            pair = max(pairs, key=lambda one: pairs[one])
            of_phase, of_pair = self.fraction(phase.label), self.covered(phase.label, *pair)
            if of_phase < share and of_pair < covered:
                continue
            a, b = (materials[label].name for label in pair)
            found.append(
                f"{phase.name} forms films one or two voxels thick between {a} and {b}: {of_pair:.0%} of the "
                f"crossings from one to the other lead through them, and they hold {of_phase:.1%} of "
                f"{phase.name}; if its grey lies between theirs, blur has made them, and what depends on "
                "where "
                f"{a} and {b} touch, such as triple-phase boundaries, is wrong"
            )
        return found


def scan(
    phases: Any,
    labels: Sequence[int] | None = None,
    *,
    within: tuple[int, int] | None = None,
) -> Films:
    """Count the voxels of every phase that lie in films between two other phases.

    A voxel lies in a film if, along z, y or x, the run of its phase through it is one or two voxels long and
    ends at two different other phases.

    Parameters
    ----------
    phases : (z, y, x) uint8
        On the host or on the GPU, or an array of a file that is read in slabs, such as Zarr's.
    labels : labels, optional
        The phases that count; voxels of others are of no phase. By default all that are there.
    within : (start, stop), optional
        Slices whose voxels are counted, where ``phases`` is a block with a halo of `THICKNESS` slices.

    Returns
    -------
    Films
        The same for any cut into blocks with their halo, which add up with ``+``.

    Raises
    ------
    InputError
        Phases that are not three axes of uint8; slices that are not there.

    Notes
    -----
    Slabs of `SLAB` slices are looked at one after the other: 12 bytes per voxel of a slab, nothing per voxel
    of the volume.
    """
    if isinstance(phases, np.ndarray):
        check_phases(phases)
    start, stop = (0, phases.shape[0]) if within is None else within
    if not 0 <= start <= stop <= phases.shape[0]:
        message = f"the slices {start} to {stop} are not within a volume of {phases.shape[0]}; give others"
        raise InputError(message)
    found = Films()
    for first in range(start, stop, SLAB):
        last = min(first + SLAB, stop)
        low, high = max(first - THICKNESS, 0), min(last + THICKNESS, phases.shape[0])
        found += _count(phases[low:high], labels, first - low, last - low)
    return found


def _count(block: Any, labels: Sequence[int] | None, start: int, stop: int) -> Films:
    """Count the films of the slices from ``start`` to ``stop`` of a block."""
    xp = array_namespace(block)
    present = np.flatnonzero(_histogram(xp, block[start:stop]))
    known = [int(label) for label in present if labels is None or label in labels]
    around = [
        int(label) for label in np.flatnonzero(_histogram(xp, block)) if labels is None or label in labels
    ]
    number = np.full(256, _NONE, np.uint8)
    number[around] = np.arange(len(around), dtype=np.uint8)
    classes = xp.asarray(number)[block]
    inner = classes[start:stop]
    voxels = {label: int((inner == number[label]).sum()) for label in known}
    thin = xp.zeros(block.shape, dtype=bool)
    runs: dict[tuple[int, int, int], int] = {}
    faces: dict[tuple[int, int], int] = {}
    for a, b in combinations(around, 2):
        ends = classes == number[a], classes == number[b]
        crossings = np.zeros(256, np.int64)
        for axis in range(3):
            crossings += _mark(xp, classes, ends, thin, axis, (start, stop))
        direct = sum(_touching(xp, ends, axis, (start, stop)) for axis in range(3))
        faces |= {(a, b): direct} if direct else {}
        runs |= {(label, a, b): int(n) for label in around if (n := crossings[number[label]])}
    counts = _histogram(xp, inner[thin[start:stop]])
    films = {label: int(counts[number[label]]) for label in known}
    return Films(voxels, films, runs, faces)


def _mark(
    xp: Any, classes: Any, ends: tuple[Any, Any], thin: Any, axis: int, rows: tuple[int, int]
) -> np.ndarray:
    """Mark the voxels of runs of one or two voxels along an axis between two phases.

    Returns how many runs of each class there are; a run is of the slice of its first voxel.
    """
    found = np.zeros(256, np.int64)
    for thick in range(1, THICKNESS + 1):
        length = classes.shape[axis] - thick - 1
        if length < 1:
            break
        at = [(slice(None),) * axis + (slice(k, k + length),) for k in range(thick + 2)]
        run = (ends[0][at[0]] & ends[1][at[-1]]) | (ends[1][at[0]] & ends[0][at[-1]])
        for k in range(1, thick + 1):
            run &= ~(ends[0] | ends[1])[at[k]] & (classes[at[k]] != _NONE)
            run &= classes[at[k]] == classes[at[1]]
        for k in range(1, thick + 1):
            marked = thin[at[k]]
            marked |= run
        begin = 1 if axis == 0 else 0
        counted = slice(max(rows[0] - begin, 0), max(rows[1] - begin, 0))
        found += _histogram(xp, classes[at[1]][counted][run[counted]])
    return found


def _touching(xp: Any, ends: tuple[Any, Any], axis: int, rows: tuple[int, int]) -> int:
    """Return the faces between two phases across an axis; a face is of the slice of its first voxel."""
    here, there = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
    faces = (ends[0][here] & ends[1][there]) | (ends[1][here] & ends[0][there])
    return int(xp.sum(faces[rows[0] : rows[1]]))


def _histogram(xp: Any, values: Any) -> np.ndarray:
    """Return how many voxels each of the 256 labels has, on the host."""
    counts = xp.bincount(xp.reshape(values, (-1,)), minlength=256)
    return np.asarray(counts.get() if hasattr(counts, "get") else counts)


def _sum(one: Mapping[Any, int], other: Mapping[Any, int]) -> dict[Any, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
