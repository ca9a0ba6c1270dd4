"""Which regions meet along edges: junctions of triples, of a whole volume or of blocks that add up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array

from tripoint import _cpu, _cuda, tables
from tripoint.blocks import Box, joined, place_within
from tripoint.boundary.access import check_triples
from tripoint.boundary.length import JunctionEdges, inside_boxes
from tripoint.boundary.regions import check_regions, check_volume
from tripoint.errors import InputError
from tripoint.materials import AXES
from tripoint.sample import check_spacing

UNTOLD = 255  # status of an edge that was found without access


def junctions(
    regions: Any,
    phases: Any,
    edges: JunctionEdges,
    spacing: Any,
    junction_labels: Sequence[Sequence[int]],
) -> Any:
    """Sum triple-phase edges over every triple of regions that meets along them.

    Around an edge stand four voxels. Every choice of one region of each of the three phases among them
    is a triple of regions; where two voxels are of one phase but of two regions there are two of them. An
    edge with k such triples, over all junctions that it belongs to, adds its length / k to each, so
    that the rows sum to the length over distinct edges. Voxels without a region (0) form no triple.

    Lengths of edges are signed, and a triple of few edges of a line that turns back on itself can come out
    negative. Such rows are set to 0 and the others shrunk by what was added: nothing on smooth structures,
    0.3 % on a synthetic cathode, 1.6 % on one whose binder is rough at the scale of voxels.

    Parameters
    ----------
    regions : (z, y, x) int32
        Region of every voxel; 0 is no region. Every region lies in one phase.
    phases : (z, y, x) uint8
        Phase of every voxel.
    edges : JunctionEdges
        As :func:`tripoint.boundary.junction_edges` returns them for the same volume.
    spacing : (z, y, x)
        Voxel size, µm.
    junction_labels : triples of labels
        The phases of each junction, in the order that ``edges.triple`` counts.

    Returns
    -------
    pandas.DataFrame, or cudf.DataFrame of volumes on the GPU
        Sorted by (junction, a, b, c): ``a``, ``b``, ``c`` (int32, the regions of the junction's first,
        second and third phase), ``junction`` (int32), ``length`` (µm), ``edges`` (int64, those that meet
        the triple), ``active_length`` (µm; NaN where the edges carry no status), ``active`` (whether any
        edge is), ``centroid_z``, ``centroid_y``, ``centroid_x`` (mean of the edges' middles, µm).

    Raises
    ------
    InputError
        Volumes that do not fit each other or the edges, triples that are not three different labels.

    Notes
    -----
    One pass over the edges in their own order, so that lengths are summed in one order on every machine; on
    the GPU they are summed as whole numbers, whose order does not matter. Memory beyond the input: about 130
    bytes per triple of regions, on the GPU 330 and 0.35 GB. For a volume in blocks see
    :func:`count_junctions`, of which this is the case of one block.
    """
    spacing = check_spacing(spacing)
    return count_junctions(regions, phases, edges, junction_labels).table(spacing)


def count_junctions(
    regions: Any,
    phases: Any,
    edges: JunctionEdges,
    junction_labels: Sequence[Sequence[int]],
    *,
    within: Sequence[Sequence[int]] | None = None,
    origin: Sequence[int] = (0, 0, 0),
) -> JunctionCounts:
    """Sum the triple-phase edges of a block of a volume, to be added to those of other blocks.

    Parameters
    ----------
    regions, phases, edges, junction_labels
        As for :func:`junctions`; of the block and one voxel after it where the volume goes on, regions
        numbered as in the volume. A length depends on the line on both sides, out to eight edges and more, so
        list the edges of a block with a halo of that width and give all three with it.
    within, origin
        The block, as for :func:`tripoint.boundary.count_contacts`.

    Returns
    -------
    JunctionCounts

    Raises
    ------
    InputError
        Volumes that `junctions` would not take, a box that is not inside them.
    """
    check_regions(regions)
    check_volume("phases", phases, np.uint8, regions.shape)
    triples = check_triples(junction_labels)
    _check_edges(edges, regions, len(triples))
    inner, start, box = place_within(within, origin, regions.shape)
    chosen = inside_boxes(edges.index, [inner], regions.shape)
    if chosen is not None:
        edges = edges[chosen]
    implementation = _cuda if is_cupy_array(regions) else _cpu
    sums = implementation.boundary.regions.junctions(regions, phases, edges, triples)
    counts = sums["counts"]
    for axis, begin in enumerate(start):
        counts[:, 2 + axis] += 2 * begin * counts[:, 0]
    told = len(edges) == 0 or bool((edges.status != UNTOLD).any())
    return JunctionCounts((box,), triples, told, sums["rows"], sums["lengths"], counts)


@dataclass(frozen=True)
class JunctionCounts:
    """Sums over the edges of every triple of regions, in the blocks that were added so far.

    Counts are integers; lengths are float64, and their last digits depend on the order of addition.
    Arrays are on the host or on the GPU: where the regions live.

    Parameters
    ----------
    boxes : tuple of boxes
        The blocks, in voxels of the volume; one box where they fill it.
    triples : tuple of (int, int, int)
        Labels of the junctions.
    told : bool
        Whether edges carry a status.
    rows : (n, 4) int32
        Junction and regions a, b, c; sorted.
    lengths : (n, 2) float64
        Length and active length, µm, signed.
    counts : (n, 5) int64
        Incidences, active ones, and the sums of z, y, x of the edges' middles in half voxels.
    """

    boxes: tuple[Box, ...]
    triples: tuple[tuple[int, int, int], ...]
    told: bool
    rows: Any = field(repr=False)
    lengths: Any = field(repr=False)
    counts: Any = field(repr=False)

    def __add__(self, other: JunctionCounts) -> JunctionCounts:
        """Return the sums of both parts of a volume together.

        Raises
        ------
        InputError
            Blocks that overlap, other junctions, parts on the host and on the GPU.
        """
        if not isinstance(other, JunctionCounts):
            return NotImplemented
        if self.triples != other.triples:
            message = f"sums of the junctions {self.triples} and {other.triples} cannot be added"
            raise InputError(message)
        if is_cupy_array(self.rows) != is_cupy_array(other.rows):
            message = "junctions on the host and on the GPU cannot be added; count all blocks on one side"
            raise InputError(message)
        boxes = joined(self.boxes, other.boxes)
        xp = tables.namespace(self.rows)
        rows, lengths, counts = (
            xp.concat([getattr(self, name), getattr(other, name)]) for name in ("rows", "lengths", "counts")
        )
        order = xp.lexsort(xp.stack([rows[:, k] for k in (3, 2, 1, 0)]))
        rows, lengths, counts = rows[order], lengths[order], counts[order]
        again = xp.zeros(len(rows), dtype=xp.bool)
        again[1:] = (rows[1:] == rows[:-1]).all(axis=1)  # a row that both parts have follows itself once
        second = xp.flatnonzero(again)
        lengths[second - 1] += lengths[second]
        counts[second - 1] += counts[second]
        told = self.told and other.told
        return JunctionCounts(boxes, self.triples, told, rows[~again], lengths[~again], counts[~again])

    def table(self, spacing: Any = (1.0, 1.0, 1.0)) -> Any:
        """Return the junctions in the blocks; see `junctions`.  Negative rows are set to 0 only here."""
        return _junction_table(self.rows, self.lengths, self.counts, check_spacing(spacing), self.told)


def _junction_table(rows: Any, sums: Any, counts: Any, spacing: Sequence[float], told: bool) -> Any:
    xp = tables.namespace(rows)
    columns = {name: rows[:, i + 1] for i, name in enumerate(("a", "b", "c"))}
    columns["junction"] = rows[:, 0]
    lengths = _without_negative(sums)
    columns["length"] = lengths[:, 0]
    columns["edges"] = counts[:, 0]
    columns["active_length"] = lengths[:, 1] if told else xp.full(len(rows), np.nan)
    columns["active"] = counts[:, 1] > 0
    for i, axis in enumerate(AXES):
        columns[f"centroid_{axis}"] = counts[:, 2 + i] / (2 * counts[:, 0]) * spacing[i]
    return tables.table(columns)


def _without_negative(lengths: Any) -> Any:
    """Set rows of negative length to 0 and shrink the others, so that the sum stays as it is."""
    xp = tables.namespace(lengths)
    positive = xp.maximum(lengths, xp.zeros_like(lengths))
    total, kept = float(lengths[:, 0].sum()), float(positive[:, 0].sum())
    positive[:, 1] = xp.minimum(positive[:, 1], positive[:, 0])
    return positive * (max(total, 0.0) / kept if kept > 0 else 0.0)


def _check_edges(edges: Any, regions: Any, n_triples: int) -> None:
    if not isinstance(edges, JunctionEdges):
        message = f"edges are {type(edges).__name__}; expected what boundary.junction_edges returns"
        raise InputError(message)
    if is_cupy_array(edges.index) != is_cupy_array(regions):
        sides = ["the GPU" if is_cupy_array(array) else "the host" for array in (edges.index, regions)]
        message = f"edges are on {sides[0]} and regions on {sides[1]}; make the edges from the same volume"
        raise InputError(message)
    if len(edges) == 0:
        return
    shape = regions.shape
    voxels, triple = math.prod(shape), int(edges.triple.max())
    steps = (shape[1] * shape[2], shape[2], 1)
    # The compiled loop trusts this: the voxel diagonally across every edge lies within the volume.
    diagonal = tables.namespace(edges.index).asarray([sum(steps) - step for step in steps])
    last = max(int((tile.index + diagonal[tile.axis]).max()) for tile in edges.tiles())
    if last >= voxels or int(edges.index.min()) < 0 or triple >= n_triples:
        message = (
            f"edges reach voxel {last} and junction {triple}, but there are {voxels} voxels and "
            f"{n_triples} junctions; make the edges from the same volume and junctions"
        )
        raise InputError(message)
