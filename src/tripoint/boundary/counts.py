"""What a scan counted, and the lengths, areas and densities that follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from tripoint.blocks import Box, joined
from tripoint.boundary import crofton
from tripoint.boundary.access import carriers_of
from tripoint.boundary.length import JunctionEdges, Lengths, Source, sum_lengths
from tripoint.errors import InputError
from tripoint.sample import Spacing
from tripoint.sides import Counts

Axes = tuple[int, int, int]


@dataclass(frozen=True)
class Junction:
    """A triple-phase boundary: its lattice edges and its length.

    Parameters
    ----------
    phases : tuple of int
        The three labels; empty for the total over distinct edges of all junctions.
    edges, active_edges, unknown_edges, dead_edges : three int
        Edges along z, y, x; the last three None without access.
    spacing : (z, y, x)
        Voxel size, µm.
    volume : float
        Volume in which the edges were counted, µm³.
    """

    phases: tuple[int, ...]
    edges: Axes
    active_edges: Axes | None
    unknown_edges: Axes | None
    dead_edges: Axes | None
    spacing: Spacing
    volume: float
    _lengths: Lengths = field(repr=False, compare=False)
    _row: int = field(repr=False, compare=False)

    @property
    def raw_length(self) -> float:
        """Edges times their own length, µm: what peers report, about 1.5 times too long."""
        return math.fsum(n * s for n, s in zip(self.edges, self.spacing, strict=True))

    @property
    def raw_density(self) -> float:
        """Raw length per volume, µm⁻²."""
        return self.raw_length / self.volume

    @property
    def length(self) -> float:
        """Length without the bias of the lattice, µm; computed for all junctions when first asked for."""
        return float(self._lengths.table[self._row, 0])

    @property
    def density(self) -> float:
        """Length per volume, µm⁻²."""
        return self.length / self.volume

    @property
    def active_length(self) -> float | None:
        """Length where every carrier is connected, µm; None without access."""
        return self._status_length(1)

    @property
    def unknown_length(self) -> float | None:
        """Length where a carrier reaches another outer face only, µm; None without access."""
        return self._status_length(2)

    @property
    def dead_length(self) -> float | None:
        """Length where a carrier reaches no outer face, µm; None without access."""
        return self._status_length(3)

    @property
    def active_density(self) -> float | None:
        """Active length per volume, µm⁻²; None without access."""
        length = self.active_length
        return None if length is None else length / self.volume

    def _status_length(self, column: int) -> float | None:
        return None if self.active_edges is None else float(self._lengths.table[self._row, column])


@dataclass(frozen=True)
class Interface:
    """The interface of two phases.

    Parameters
    ----------
    phases : (int, int)
        The two labels, ascending.
    faces : three int
        Voxel faces between them, by the axis they are normal to.
    transitions : 13 int
        Pairs of voxels (p, p + d) on its two sides, along ``crofton.DIRECTIONS``.
    connected : 13 int or None
        Those of them where different carriers reach the two sides; None without access or if no two
        different carriers are conducted by the two phases.
    spacing : (z, y, x)
        Voxel size, µm.
    volume : float
        Volume in which they were counted, µm³.
    """

    phases: tuple[int, int]
    faces: Axes
    transitions: tuple[int, ...]
    connected: tuple[int, ...] | None
    spacing: Spacing
    volume: float

    @property
    def area(self) -> float:
        """Crofton estimate of the area, µm²."""
        return float(crofton.area(self.transitions, self.spacing))

    @property
    def specific_area(self) -> float:
        """Area per volume, µm⁻¹."""
        return self.area / self.volume

    @property
    def active_area(self) -> float | None:
        """Area where a carrier reaches one side and another carrier the other side, µm²."""
        return None if self.connected is None else float(crofton.area(self.connected, self.spacing))

    @property
    def active_specific_area(self) -> float | None:
        """Active area per volume, µm⁻¹."""
        area = self.active_area
        return None if area is None else area / self.volume


@dataclass(frozen=True)
class BoundaryScan:
    """Edges of every junction and transitions of every pair of phases; parts add up with ``+``.

    Parameters
    ----------
    shape : (z, y, x)
        Voxels of the box that was scanned; of parts that were added, the box around them if they are known
        to fill it, otherwise that of equal volume, (1, 1, voxels).
    spacing : (z, y, x)
        Voxel size, µm.
    labels : tuple of int
        Labels present, or those that were asked for.
    triples : tuple of (int, int, int)
        Labels of the junctions that were counted.
    every_triple : bool
        Whether these are all triples of the labels.
    networks : mapping or None
        Labels that conduct each carrier that has a terminal; None without access.
    counts : Counts
        The integers: ``edges``, ``total``, ``transitions``, ``connected``.
    junction_map : (z, y, x) uint8 or None
        0 where a voxel touches no edge; without access 1 where it touches one; with access that of the best
        edge it touches: 1 dead, 2 unknown, 3 active. Covers ``within``; None after adding parts. Where the
        phases live.
    sources : tuple of Source
        The array and its boxes, from which lengths are computed when asked for; empty after adding scans of
        different arrays, which so need not stay in memory.
    boxes : tuple of boxes
        Where the parts lie, in voxels of the array, or of the volume if ``located``; empty where unknown.
    located : bool
        Whether every part was scanned with its ``origin``.
    lengths : (triples + 1, 4) float64 or None
        Lengths, where they are known already, see ``with_edges``.
    """

    shape: tuple[int, ...]
    spacing: Spacing
    labels: tuple[int, ...]
    triples: tuple[tuple[int, int, int], ...]
    every_triple: bool
    networks: Mapping[str, tuple[int, ...]] | None
    counts: Counts = field(repr=False)
    junction_map: Any = field(repr=False)
    sources: tuple[Source, ...] = field(repr=False)
    boxes: tuple[Box, ...] = field(default=(), repr=False)
    located: bool = False
    lengths: np.ndarray | None = field(default=None, repr=False)

    @property
    def volume(self) -> float:
        """Volume of the voxels that own what was counted, µm³."""
        return math.prod(self.shape) * math.prod(self.spacing)

    @cached_property
    def junctions(self) -> tuple[Junction, ...]:
        """One Junction per triple, in the order given."""
        return tuple(
            self._junction(triple, self.counts.edges[row], row) for row, triple in enumerate(self.triples)
        )

    @cached_property
    def junctions_total(self) -> Junction:
        """All junctions together, each lattice edge counted once, with the best status of its triples."""
        return self._junction((), self.counts.total, len(self.triples))

    @cached_property
    def interfaces(self) -> tuple[Interface, ...]:
        """One Interface per pair of labels, ascending; empty if they were not counted."""
        found = []
        for row, (a, b) in enumerate(self._pairs):
            transitions = tuple(self.counts.transitions[row].tolist())
            judged = self.networks is not None and _two_carriers(a, b, self.networks)
            connected = tuple(self.counts.connected[row].tolist()) if judged else None
            z, y, x = transitions[:3]
            found.append(Interface((a, b), (z, y, x), transitions, connected, self.spacing, self.volume))
        return tuple(found)

    def with_edges(self, edges: JunctionEdges) -> BoundaryScan:
        """Return the scan with the lengths that follow from edges that :func:`junction_edges` listed.

        They must be those of the same array, spacing, junctions and access. The scan no longer holds on
        to the access, nor to the edges.
        """
        sources = tuple(replace(source, access=None) for source in self.sources)
        return replace(self, lengths=sum_lengths(edges, sources, len(self.triples)), sources=sources)

    def without_volume(self) -> BoundaryScan:
        """Return the counts alone, to keep or send: some kB, without the voxels and the map.

        Lengths stay if ``with_edges`` has given the edges; otherwise asking for them is an InputError.
        """
        counts = self.counts._replace(junction_map=None)
        return replace(self, counts=counts, junction_map=None, sources=())

    def __add__(self, other: BoundaryScan) -> BoundaryScan:
        """Return the scan of both parts together: of disjoint boxes of a volume, or of two volumes.

        Parts of one array can still be asked for lengths. Of parts of different arrays, such as blocks that
        were read one after the other, only the counts are kept, and the lengths if both parts had their edges
        by ``with_edges``. Where such blocks lie is known if they were scanned with their ``origin``.

        Raises
        ------
        InputError
            Different spacing, junctions or networks, or boxes that overlap.
        """
        if not isinstance(other, BoundaryScan):
            return NotImplemented
        _check_addable(self, other)
        one_array = _of_one_array(self, other)
        placed = (one_array or (self.located and other.located)) and self.boxes and other.boxes
        boxes = joined(self.boxes, other.boxes) if placed else ()
        parts = (self, other) if one_array else (self.without_volume(), other.without_volume())
        labels = tuple(sorted({*self.labels, *other.labels}))
        triples = tuple(combinations(labels, 3)) if self.every_triple else self.triples
        pairs = tuple(combinations(labels, 2)) if self._pairs or other._pairs else ()
        counts = self.counts._replace(
            edges=_sum_rows(triples, *((part.triples, part.counts.edges) for part in parts)),
            total=self.counts.total + other.counts.total,
            transitions=_sum_rows(pairs, *((part._pairs, part.counts.transitions) for part in parts)),
            connected=_sum_rows(pairs, *((part._pairs, part.counts.connected) for part in parts)),
            junction_map=None,
        )
        return replace(
            self,
            shape=_joint_shape(boxes, math.prod(self.shape) + math.prod(other.shape)),
            labels=labels,
            triples=triples,
            counts=counts,
            junction_map=None,
            sources=(*parts[0].sources, *parts[1].sources),
            boxes=boxes,
            located=self.located and other.located,
            lengths=_sum_lengths(triples, parts),
        )

    @cached_property
    def _pairs(self) -> tuple[tuple[int, int], ...]:
        return tuple(combinations(self.labels, 2)) if len(self.counts.transitions) else ()

    @cached_property
    def _lengths(self) -> Lengths:
        return Lengths(self.sources, self.spacing, self.triples, self.lengths)

    def _junction(self, phases: tuple[int, ...], counts: np.ndarray, row: int) -> Junction:
        edges, active, unknown = (_axes(counts[:, k]) for k in range(3))
        dead = _axes(counts[:, 0] - counts[:, 1] - counts[:, 2])
        judged = self.networks is not None
        return Junction(
            phases=phases,
            edges=edges,
            active_edges=active if judged else None,
            unknown_edges=unknown if judged else None,
            dead_edges=dead if judged else None,
            spacing=self.spacing,
            volume=self.volume,
            _lengths=self._lengths,
            _row=row,
        )


def _axes(values: np.ndarray) -> Axes:
    z, y, x = values.tolist()
    return (z, y, x)


def _two_carriers(a: int, b: int, networks: Mapping[str, tuple[int, ...]]) -> bool:
    return any(
        first != second for first in carriers_of((a,), networks) for second in carriers_of((b,), networks)
    )


def _sum_rows(keys: tuple, *tables: tuple[tuple, np.ndarray]) -> np.ndarray:
    """Add tables whose rows are named by their keys; a row that one lacks is zero there."""
    total = np.zeros((len(keys), *tables[0][1].shape[1:]), np.int64)
    for names, rows in tables:
        for name, row in zip(names, rows, strict=True):
            total[keys.index(name)] += row
    return total


def _check_addable(one: BoundaryScan, other: BoundaryScan) -> None:
    found = None
    if one.spacing != other.spacing:
        found = f"spacing {one.spacing} and {other.spacing}"
    elif one.every_triple != other.every_triple or (not one.every_triple and one.triples != other.triples):
        found = f"junctions {one.triples} and {other.triples}"
    elif one.networks != other.networks:
        found = f"networks {one.networks} and {other.networks}"
    if found:
        message = f"scans of {found} cannot be added; scan disjoint boxes with the same parameters"
        raise InputError(message)


def _of_one_array(one: BoundaryScan, other: BoundaryScan) -> bool:
    sources = (*one.sources, *other.sources)
    return (
        bool(one.sources and other.sources)
        and one.located == other.located
        and all(source.phases is sources[0].phases for source in sources)
    )


def _sum_lengths(
    triples: tuple[tuple[int, int, int], ...], parts: tuple[BoundaryScan, ...]
) -> np.ndarray | None:
    """Add the lengths of parts that know them; None if one does not."""
    tables = [(part.triples, part.lengths) for part in parts]
    total = np.zeros((len(triples) + 1, 4))
    for names, lengths in tables:
        if lengths is None:
            if names:
                return None
            continue  # without triples there is no length
        rows = [*(triples.index(name) for name in names), len(triples)]
        total[rows] += lengths
    return total


def _joint_shape(boxes: tuple[Box, ...], voxels: int) -> tuple[int, ...]:
    if len(boxes) == 1:
        return tuple(end - begin for begin, end in boxes[0])
    return (1, 1, voxels)
