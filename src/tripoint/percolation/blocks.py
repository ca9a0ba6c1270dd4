"""Percolation of a volume that is seen in blocks: what a block knows, how blocks merge, what they then hold.

``scan`` every block, ``merge`` the parts in any order, ask the whole to ``measure``; a second pass ``paint``
marks the voxels of each block that reach a terminal. ``tripoint.percolation.measure`` is the same with
one block. Blocks need no halo: two blocks that touch do so in two planes of voxels, one beyond the other,
and each part keeps the components on its outer planes until what lies beyond them has been merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array
from numpy.typing import NDArray

from tripoint import _cpu, _cuda
from tripoint.blocks import Shape, check_filled, place
from tripoint.boundary.access import Access
from tripoint.errors import InputError
from tripoint.materials import CARRIERS, Materials
from tripoint.percolation.fractions import (
    Percolation,
    PhasePercolation,
    Pieces,
    access_bits,
    of_pieces,
    summarize,
)
from tripoint.percolation.seams import Block, Numbers, open_planes, seams
from tripoint.sample import check_phases


def scan(
    block: Any,
    materials: Materials | Sequence[int] | None,
    connectivity: int = 6,
    *,
    origin: Sequence[int] = (0, 0, 0),
    shape: Sequence[int] | None = None,
) -> Part:
    """Find the connected components of a block of a volume.

    Parameters
    ----------
    block : (z, y, x) uint8
        The labels of the block, without a halo.
    materials : Materials or sequence of int or None
        What each label conducts; or labels alone, None for all, for which there are no carriers.
    connectivity : {6, 18, 26}
    origin : (z, y, x)
        Where the block's first voxel lies in the volume.
    shape : (z, y, x), optional
        Voxels of the volume; by default it ends where the block does.

    Returns
    -------
    Part

    Raises
    ------
    InputError
        A block that is not 3D uint8 or not inside the volume, another connectivity.

    Notes
    -----
    Peak memory beyond the block: 5 bytes per voxel of it. What stays, on the host also where the block is on
    the GPU: 42 bytes per component, of which 8 after components have been joined, and 4 bytes per voxel of
    the block's outer planes, those on the volume's own faces left out.
    """
    return label_block(block, materials, connectivity, origin, shape)[1]


def merge(parts: Iterable[Part]) -> Part:
    """Join the components of blocks that touch; the order of parts does not matter, nor how they are grouped.

    Raises
    ------
    InputError
        No parts, parts of different volumes, materials or connectivities, or blocks that overlap.

    Notes
    -----
    Time: the square of the number of blocks to find those that touch, then
    the voxels of their planes. Planes that have met all their neighbours are dropped.
    """
    parts = tuple(parts)
    _check_mergeable(parts)
    first = parts[0]
    if len(parts) == 1:
        return first
    starts = np.cumsum([0, *(len(part.pieces.label) - 1 for part in parts[:-1])]).tolist()
    blocks = [
        replace(block, members=_shifted(block.members, start))
        for part, start in zip(parts, starts, strict=True)
        for block in part.blocks
    ]
    of_part = np.repeat(np.arange(len(parts)), [len(part.blocks) for part in parts])
    apart = list(seams(blocks, of_part, first.connectivity))
    pieces = _side_by_side([part.pieces for part in parts])
    none = np.zeros((len(CARRIERS), 1), np.int64)
    roots = [_shifted(part.roots, start)[:, 1:] for part, start in zip(parts, starts, strict=True)]
    from tripoint._cpu.percolation_blocks import join  # pieces are tables, and tables are on the host

    number, joined_roots = join(
        pieces.label, first.conducted, np.concatenate([none, *roots], axis=1), apart, first.connectivity
    )
    boxes = np.array([block.box for block in blocks])
    merged = [
        Block(block.box, number[block.members], open_planes(block, boxes, first.shape, first.connectivity))
        for block in blocks
    ]
    pieces = _joined(pieces, number, joined_roots.shape[1])
    return replace(first, pieces=pieces, roots=joined_roots, blocks=tuple(merged))


def paint(block: Any, whole: Part, *, origin: Sequence[int] = (0, 0, 0)) -> Access:
    """Mark the voxels of a block that reach the terminals, once all blocks have been merged.

    Parameters
    ----------
    block : (z, y, x) uint8
        A block as it was given to :func:`scan`; its components are found once more.
    whole : Part
        All parts of the volume, merged.
    origin : (z, y, x)
        Where the block's first voxel lies in the volume.

    Returns
    -------
    Access
        Of the block: that part of what :func:`tripoint.percolation.access` gives for the volume.

    Raises
    ------
    InputError
        Parts that do not fill the volume or were scanned without materials; a block that was not scanned.

    Notes
    -----
    Peak memory beyond the block: 5 bytes per voxel of it.
    """
    networks, bits = whole.networks, whole.access_bits
    check_phases(block)
    box, _ = place(origin, block.shape, whole.shape)
    image, *table = implementation(block).label_components(block, whole.labels, whole.connectivity)
    members = [known.members for known in whole.blocks if known.box == box]
    if not members or len(members[0]) != len(table[0]):
        message = (
            f"the block at {tuple(origin)} of shape {tuple(block.shape)} is not one that was scanned; "
            "paint the blocks that were merged, with the same origins and labels"
        )
        raise InputError(message)
    return Access(implementation(block).paint(image, bits[members[0]]), networks)


def label_block(
    block: Any,
    materials: Materials | Sequence[int] | None,
    connectivity: int,
    origin: Sequence[int] = (0, 0, 0),
    shape: Sequence[int] | None = None,
) -> tuple[Any, Part]:
    """Return the component image of a block, 4 bytes per voxel, and what `scan` keeps of it."""
    check_phases(block)
    if connectivity not in (6, 18, 26):
        message = f"connectivity is {connectivity!r}; expected 6 (faces), 18 (and edges) or 26 (and corners)"
        raise InputError(message)
    box, whole = place(origin, block.shape, shape)
    known = materials if isinstance(materials, Materials) else None
    labels: tuple[int, ...] = tuple(range(256))
    if known is not None:
        labels = known.labels
    elif materials is not None:
        labels = tuple(int(one) for one in materials)  # type: ignore[union-attr]
    side = implementation(block)
    image, *table = side.label_components(block, labels, connectivity)
    outer = [side == limit for (begin, end), n in zip(box, whole, strict=True) for side, limit in
             ((begin, 0), (end, n))]  # fmt: skip
    pieces = Pieces(
        table[0], table[1], table[2] & np.uint8(sum(1 << face for face in range(6) if outer[face]))
    )
    count = len(pieces.label) - 1
    conducted = _conducted(known)
    roots = side.join_components(block, image, count, conducted, len(CARRIERS), connectivity)
    planes = side.outer_planes(image, [not on_face for on_face in outer])
    members = np.arange(count + 1)
    return image, Part(whole, connectivity, labels, known, pieces, roots, (Block(box, members, planes),))


@dataclass(frozen=True)
class Part:
    """What is known of the blocks of a volume that have been merged so far; parts add up with ``+``.

    Parameters
    ----------
    shape : (z, y, x)
        Voxels of the whole volume.
    connectivity : {6, 18, 26}
    labels : tuple of int
        Phases whose components were found.
    materials : Materials or None
    pieces : Pieces
        The components of single phases, as far as they are joined; their faces are those of the volume.
    roots : (carriers, pieces + 1) int64
        Per carrier of ``CARRIERS`` the component of its network that each piece belongs to.
    blocks : tuple of Block
    """

    shape: Shape
    connectivity: int
    labels: tuple[int, ...]
    materials: Materials | None
    pieces: Pieces = field(repr=False)
    roots: Numbers = field(repr=False)
    blocks: tuple[Block, ...] = field(repr=False)

    @property
    def conducted(self) -> NDArray[np.uint8]:
        """Bit c of each label is set where it conducts carrier c."""
        return _conducted(self.materials)

    def __add__(self, other: Part) -> Part:
        """Return both parts merged; see `merge`, which is quicker for many."""
        return merge((self, other)) if isinstance(other, Part) else NotImplemented

    def components(self) -> dict[int, PhasePercolation]:
        """Percolation of every phase alone, as `tripoint.percolation.components` gives it for the volume.

        Raises
        ------
        InputError
            Blocks that do not fill the volume.
        """
        self._check_whole()
        every = len(self.labels) == 256
        present = np.unique(self.pieces.label[1:]).tolist() if every else self.labels
        roots = np.arange(len(self.pieces.label))
        return {one: of_pieces(self.pieces, roots, (one,), ()) for one in present}

    def measure(self) -> Percolation:
        """Percolation of every phase and carrier, as `tripoint.percolation.measure` gives it for the volume.

        Returns
        -------
        Percolation
            Without ``.access``, which `paint` gives block by block.

        Raises
        ------
        InputError
            Blocks that do not fill the volume, or that were scanned without materials.
        """
        materials = self._check_whole(conductors=True)
        roots = {carrier: self.roots[CARRIERS.index(carrier)] for carrier in materials.carriers}
        return summarize(self.pieces, np.arange(len(self.pieces.label)), roots, materials)

    @property
    def networks(self) -> Mapping[str, tuple[int, ...]]:
        """Labels that conduct each carrier that has a terminal."""
        materials = self._check_whole(conductors=True)
        return {c: materials.network(c) for c in materials.carriers if c in materials.terminals}

    @cached_property
    def access_bits(self) -> NDArray[np.uint8]:
        """Access bits of every piece; see :class:`tripoint.boundary.Access`."""
        materials = self._check_whole(conductors=True)
        bits = np.zeros(len(self.pieces.label), np.uint8)
        for carrier, labels in self.networks.items():
            c = CARRIERS.index(carrier)
            bits |= access_bits(self.pieces, self.roots[c], labels, carrier, materials.terminals[carrier])
        return bits

    def _check_whole(self, conductors: bool = False) -> Any:
        check_filled([block.box for block in self.blocks], self.shape)
        if conductors and self.materials is None:
            message = "blocks were scanned with labels alone; give scan the materials to ask for carriers"
            raise InputError(message)
        return self.materials


def implementation(block: Any) -> Any:
    """Return the side that finds components of an array: the host's or the GPU's."""
    return (_cuda if is_cupy_array(block) else _cpu).percolation


def _conducted(materials: Materials | None) -> NDArray[np.uint8]:
    conducted = np.zeros(256, np.uint8)
    for phase in materials.phases if materials is not None else ():
        conducted[phase.label] = sum(1 << CARRIERS.index(carrier) for carrier in phase.conducts)
    return conducted


def _shifted(numbers: Numbers, start: int) -> Numbers:
    """Add to numbers of pieces; 0 is none and stays 0."""
    return np.where(numbers > 0, numbers + start, 0)


def _check_mergeable(parts: tuple[Part, ...]) -> None:
    found = None if parts else "none"
    for part in parts[1:]:
        for name in ("shape", "connectivity", "labels", "materials"):
            if getattr(part, name) != getattr(parts[0], name):
                found = f"of different {name}"
    if found:
        message = f"the parts to merge are {found}; scan blocks of one volume with the same parameters"
        raise InputError(message)


def _side_by_side(tables: Sequence[Pieces]) -> Pieces:
    """Put tables of pieces one after the other, with one entry 0 for what is no piece."""
    zero = tables[0]
    return Pieces(
        np.concatenate([zero.label[:1], *(pieces.label[1:] for pieces in tables)]),
        np.concatenate([zero.voxels[:1], *(pieces.voxels[1:] for pieces in tables)]),
        np.concatenate([zero.faces[:1], *(pieces.faces[1:] for pieces in tables)]),
    )


def _joined(pieces: Pieces, number: Numbers, count: int) -> Pieces:
    joined = Pieces(np.zeros(count, np.uint8), np.zeros(count, np.int64), np.zeros(count, np.uint8))
    joined.label[number] = pieces.label
    np.add.at(joined.voxels, number, pieces.voxels)
    np.bitwise_or.at(joined.faces, number, pieces.faces)
    return joined
