"""Phases that form films one or two voxels thick between two others, as blur makes them.

Where a dark and a bright phase meet, blur passes through every grey between them. A method that looks at grey
values alone takes that for a phase of middle grey, and the interface of the two is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array

from tripoint import _cpu, _cuda
from tripoint.errors import InputError
from tripoint.materials import Materials
from tripoint.sample import check_phases
from tripoint.sides import NO_PHASE

THICKNESS = 2
"""Voxels up to which a layer is a film: what blur of an instrument makes, and too thin to be measured."""

SLAB = 32
"""Slices of a file that are looked at together."""

SUSPICIOUS = 0.05
"""Share of a phase in films from which on it is told; where three phases meet, wedges end as films."""

COVERED = 0.25
"""Share of the crossings from one phase to another that lead through films of a third, likewise."""

CROSSINGS, PRESENT = 30, 0.001
"""Crossings through films, and share of the phase in them, below which they are next to nothing.

Where two phases touch almost nowhere else, a single thin spot is all of their crossings. The share is what
counts in volumes of some size, the number in small ones.
"""

MANY_MORE = 1.5
"""Times as many films as there truly are, from which on it is told."""


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

    def to_mapping(self, materials: Materials) -> dict[str, Any]:
        """Return plain values by phase.

        ``fraction``: share of the phase in films; ``crossings``: the two other ``phases`` that most of them
        part, and the share ``covered`` of their crossings that lead through films; None without films.
        """
        return {
            phase.name: {
                "fraction": self.fraction(phase.label),
                "crossings": self._parted(phase.label, materials),
            }
            for phase in materials.phases
        }

    def _parted(self, label: int, materials: Materials) -> dict[str, Any] | None:
        pair = self._most_parted(label)
        if pair is None:
            return None
        return {"phases": [materials[k].name for k in pair], "covered": self.covered(label, *pair)}

    def _most_parted(self, label: int) -> tuple[int, int] | None:
        """Return the two phases between which most films of a phase lie."""
        pairs = {key[1:]: count for key, count in self.runs.items() if key[0] == label}
        return max(pairs, key=lambda pair: pairs[pair]) if pairs else None

    def warnings(
        self,
        materials: Materials,
        share: float = SUSPICIOUS,
        covered: float = COVERED,
        known: Films | None = None,
    ) -> list[str]:
        """Say which phases look like films that blur has made.

        Films of fewer than `CROSSINGS` crossings, or less than `PRESENT` of their phase, are not told.

        Parameters
        ----------
        materials : Materials
        share : float
            Of the phase in films, from which on it is said.
        covered : float
            Of the crossings of two other phases that lead through it, likewise.
        known : Films, optional
            Of the true phases; films that are there too are not told, unless there are many more.
        """
        found = []
        for phase in materials.phases:
            pair = self._most_parted(phase.label)
            if pair is None:
                continue
            of_phase, of_pair = self.fraction(phase.label), self.covered(phase.label, *pair)
            least_of_phase, least_of_pair = share, covered
            if known is not None:
                least_of_phase = max(share, MANY_MORE * known.fraction(phase.label))
                least_of_pair = max(covered, MANY_MORE * known.covered(phase.label, *pair))
            if of_phase < least_of_phase and of_pair < least_of_pair:
                continue
            if of_phase < PRESENT or self.runs[(phase.label, *pair)] < CROSSINGS:
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
    ends at two different other phases. Runs are longer than a film is thick where it lies askew to the axes:
    of a plane film of two voxels along (110) or (111) most are three or four voxels long, and do not count.

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
    One pass over arrays in memory, of any layout; a file's are read in slabs of `SLAB` slices. No memory per
    voxel beyond that.
    """
    resident = isinstance(phases, np.ndarray) or is_cupy_array(phases)
    if resident:
        check_phases(phases)
    start, stop = (0, phases.shape[0]) if within is None else within
    if not 0 <= start <= stop <= phases.shape[0]:
        message = f"the slices {start} to {stop} are not within a volume of {phases.shape[0]}; give others"
        raise InputError(message)
    if resident:
        return _count(phases, labels, (start, stop))
    found = Films()
    for first in range(start, stop, SLAB):
        last = min(first + SLAB, stop)
        low, high = max(first - THICKNESS, 0), min(last + THICKNESS, phases.shape[0])
        found += _count(np.asarray(phases[low:high]), labels, (first - low, last - low))
    return found


def _count(block: Any, labels: Sequence[int] | None, rows: tuple[int, int]) -> Films:
    """Count the films of some slices of a block."""
    implementation = _cuda if is_cupy_array(block) else _cpu
    if labels is None:
        labels = np.flatnonzero(implementation.boundary.label_counts(block)).tolist()
    known = sorted(labels)
    number = np.full(256, NO_PHASE, np.uint8)
    number[known] = np.arange(len(known))
    counts = implementation.films.count(block, number, len(known), rows)

    def named(table: np.ndarray) -> dict[Any, int]:
        places = np.argwhere(table)
        return {tuple(known[k] for k in place): int(table[tuple(place)]) for place in places}

    present = {label: int(n) for label, n in zip(known, counts.voxels, strict=True) if n}
    films = {label: int(n) for label, n in zip(known, counts.films, strict=True) if label in present}
    return Films(present, films, named(counts.runs), named(counts.faces))


def _sum(one: Mapping[Any, int], other: Mapping[Any, int]) -> dict[Any, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
