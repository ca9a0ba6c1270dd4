"""Which regions touch along faces: contacts of pairs, of a whole volume or of blocks that add up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array

from tripoint import _cpu, _cuda, tables
from tripoint.blocks import Box, joined, place_within
from tripoint.boundary.crofton import factors
from tripoint.boundary.regions import check_regions, check_volume
from tripoint.errors import InputError
from tripoint.materials import AXES
from tripoint.sample import check_spacing


def contacts(
    regions: Any,
    spacing: Any = (1.0, 1.0, 1.0),
    *,
    distance: Any = None,
    phases: Any = None,
    areas: bool = True,
) -> ContactTable:
    r"""Measure the contact of every pair of regions that share at least one voxel face.

    Faces are exact. The area is Crofton's estimate from the transitions between the two regions along
    13 directions (:mod:`tripoint.boundary.crofton`), and counts once per pair. All sums are integers
    until the end, so results depend neither on the number of threads nor on the order in which a GPU's come.

    Parameters
    ----------
    regions : (z, y, x) int32
        Region of every voxel, 1 … n; 0 is no region and no partner.
    spacing : (z, y, x)
        Voxel size, µm.
    distance : (z, y, x) float32, optional
        Distance of every voxel to the nearest voxel of another phase, µm.
    phases : (z, y, x) uint8, optional
        Phase of every voxel, to tell necks from interfaces; all regions are of one phase by default.
        Only read where ``distance`` is given.
    areas : bool
        False counts faces alone, which is quicker: no area, no neck radius, no surface area.

    Returns
    -------
    ContactTable
        Its table has the columns ``source`` < ``target`` (int32), ``faces_z``, ``faces_y``, ``faces_x``
        and their sum ``faces`` (int64), ``area`` (µm²), ``centroid_z``, ``centroid_y``, ``centroid_x``
        (mean centre of the faces, µm from the volume's corner) and ``neck_radius`` (µm). Between two
        regions of one phase that is the radius of the largest sphere that passes from one to the other,
        :math:`\max \min(d_p, d_q)` over the faces (p, q) of the contact; between phases, and
        without ``distance``, it is the radius :math:`\sqrt{A/\pi}` of a disk of the same area.
        It lives where the regions do.

    Raises
    ------
    InputError
        Regions that are not a 3D int32 volume or are negative; volumes of other shapes or types.

    Notes
    -----
    Memory beyond the input: no voxel-sized array, about 200 bytes per pair of regions at the peak; on the
    GPU 1 byte per voxel and 88 per pair of a slab while it counts, then 250 per pair and 104 per region.
    For a volume in blocks see :func:`count_contacts`, of which this is the case of one block.
    The surface by 13 directions is that of Legland, Kiêu & Devaux, *Image Analysis & Stereology* 26
    (2007) 83-92.
    """
    spacing = check_spacing(spacing)
    # The counts are let go of before the table is made: they are as large.
    sums = count_contacts(regions, distance=distance, phases=phases, areas=areas)._sums(spacing)
    return _contact_table(sums, spacing, areas)


def count_contacts(
    regions: Any,
    *,
    distance: Any = None,
    phases: Any = None,
    areas: bool = True,
    within: Sequence[Sequence[int]] | None = None,
    origin: Sequence[int] = (0, 0, 0),
) -> ContactCounts:
    """Count the contacts of a block of a volume, to be added to those of other blocks.

    A face or transition belongs to the lowest of its two voxels in raster order, so that the counts of
    blocks that partition a volume add up to exactly those of the volume.

    Parameters
    ----------
    regions, distance, phases, areas
        As for :func:`contacts`; of the block and one voxel around it where the volume goes on, with regions
        numbered, and distances measured, as in the volume.
    within : ((z0, z1), (y0, y1), (x0, x1)), optional
        The block within ``regions``, without that halo, in voxels of the array; all by default.
    origin : (z, y, x)
        Where the first voxel of the array lies in the volume.

    Returns
    -------
    ContactCounts

    Raises
    ------
    InputError
        Volumes that `contacts` would not take, a box that is not inside them.

    Notes
    -----
    Memory: 88 bytes per pair of regions, once per slab that met it.
    """
    highest = check_regions(regions)
    if distance is not None:
        check_volume("distance", distance, np.float32, regions.shape)
    if phases is not None:
        check_volume("phases", phases, np.uint8, regions.shape)
    if not areas and distance is not None:
        message = "distance gives neck radii, which areas=False leaves out; give one of the two"
        raise InputError(message)
    inner, start, box = place_within(within, origin, regions.shape)
    implementation = _cuda if is_cupy_array(regions) else _cpu
    counts = implementation.boundary.regions.count(regions, distance, phases, areas, inner, start)
    return ContactCounts((box,), highest, areas, distance is not None, (counts,))


@dataclass(frozen=True)
class ContactCounts:
    """What was counted of every pair of regions, in the blocks that were added so far.

    Parameters
    ----------
    boxes : tuple of boxes
        The blocks, in voxels of the volume; one box where they fill it.
    highest : int
        The highest region.
    areas, necks : bool
        Whether all 13 directions were counted, whether distances were given.
    parts : tuple
        The integers of each block.
    """

    boxes: tuple[Box, ...]
    highest: int
    areas: bool
    necks: bool
    parts: tuple[Any, ...] = field(repr=False)

    def __add__(self, other: ContactCounts) -> ContactCounts:
        """Return the counts of both parts of a volume together.

        Raises
        ------
        InputError
            Blocks that overlap; areas or distances for one part alone; parts on the host and on the GPU.
        """
        if not isinstance(other, ContactCounts):
            return NotImplemented
        if (self.areas, self.necks) != (other.areas, other.necks):
            message = "contacts with and without areas or distances cannot be added; count all blocks alike"
            raise InputError(message)
        if self._on_gpu != other._on_gpu:
            message = "contacts on the host and on the GPU cannot be added; count all blocks on one side"
            raise InputError(message)
        highest = max(self.highest, other.highest)
        parts = (*self.parts, *other.parts)
        return ContactCounts(joined(self.boxes, other.boxes), highest, self.areas, self.necks, parts)

    def table(self, spacing: Any = (1.0, 1.0, 1.0)) -> ContactTable:
        """Return the contacts and surface areas in the blocks; see `contacts`."""
        spacing = check_spacing(spacing)
        return _contact_table(self._sums(spacing), spacing, self.areas)

    @property
    def _on_gpu(self) -> bool:
        return is_cupy_array(self.parts[0].keys)

    def _sums(self, spacing: Any) -> dict[str, Any]:
        implementation = _cuda if self._on_gpu else _cpu
        return implementation.boundary.pairs.merge(self.parts, self.highest, factors(spacing))


@dataclass(frozen=True)
class ContactTable:
    """Every pair of regions that share a face, and the surface area of every region.

    Parameters
    ----------
    table : DataFrame
        A row per pair, sorted by (source, target); see :func:`contacts`. Of pandas or, on the GPU, of cuDF.
    surface_area : (n_regions + 1,) float64 or None
        Crofton area of the surface of each region inside the volume, µm², indexed by region id: towards
        all other regions, also those that it touches along edges and corners alone, and towards
        voxels without a region, which have the entry 0 themselves. The cut through a region at the
        volume's border is no surface.
    """

    table: Any
    surface_area: Any


def _contact_table(sums: dict[str, Any], spacing: Sequence[float], areas: bool) -> ContactTable:
    xp = tables.namespace(sums["faces"])
    faces = sums["faces"].sum(axis=1)
    columns = {"source": sums["source"], "target": sums["target"]}
    columns |= {f"faces_{axis}": sums["faces"][:, i] for i, axis in enumerate(AXES)}
    columns["faces"] = faces
    if areas:
        columns["area"] = sums["area"]
    for i, axis in enumerate(AXES):
        # A face's centre lies half a voxel above the start of its lower voxel, a whole one across itself.
        halves = 2 * sums["position"][:, i] + faces + sums["faces"][:, i]
        columns[f"centroid_{axis}"] = halves / (2 * faces) * spacing[i]
    if areas:
        disk = xp.sqrt(sums["area"] / math.pi)
        columns["neck_radius"] = xp.where(sums["radius"] > 0, sums["radius"], disk)
    return ContactTable(tables.table(columns), sums["surface_area"] if areas else None)
