"""Which regions touch: contacts of pairs along faces, junctions of triples along edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from array_api_compat import is_cupy_array

from tripoint import _cpu, _cuda
from tripoint.boundary.crofton import factors
from tripoint.boundary.length import JunctionEdges
from tripoint.boundary.scan import check_triples
from tripoint.errors import InputError
from tripoint.sample import check_spacing

AXES = ("z", "y", "x")
UNTOLD = 255  # status of an edge that was found without access


@dataclass(frozen=True)
class ContactTable:
    """Every pair of regions that share a face, and the surface area of every region.

    Parameters
    ----------
    table : DataFrame
        A row per pair, sorted by (source, target); see :func:`contacts`.
    surface_area : (n_regions + 1,) float64 or None
        Crofton area of the surface of each region inside the volume, µm², indexed by region id: towards
        all other regions, also those that it touches along edges and corners alone, and towards
        voxels without a region, which have the entry 0 themselves. The cut through a region at the
        volume's border is no surface.
    """

    table: pd.DataFrame
    surface_area: np.ndarray | None


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
    until the end, so results do not depend on the number of threads.

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

    Raises
    ------
    InputError
        Regions that are not a 3D int32 volume or are negative; volumes of other shapes or types.

    Notes
    -----
    Memory beyond the input: no voxel-sized array, about 200 bytes per pair of regions at the peak.
    The surface by 13 directions is that of Legland, Kiêu & Devaux, *Image Analysis & Stereology* 26
    (2007) 83-92.
    """
    spacing = check_spacing(spacing)
    n_regions = _check_regions(regions)
    if distance is not None:
        _check_volume("distance", distance, np.float32, regions.shape)
    if phases is not None:
        _check_volume("phases", phases, np.uint8, regions.shape)
    if not areas and distance is not None:
        message = "distance gives neck radii, which areas=False leaves out; give one of the two"
        raise InputError(message)
    import tripoint._cpu.boundary.regions  # noqa: F401  numba is slow to import: only when it is needed

    implementation = _cuda if is_cupy_array(regions) else _cpu
    sums = implementation.boundary.regions.contacts(
        regions, n_regions, factors(spacing), distance, phases, areas
    )
    return ContactTable(_contact_table(sums, spacing, areas), sums["surface_area"] if areas else None)


def junctions(
    regions: Any,
    phases: Any,
    edges: JunctionEdges,
    spacing: Any,
    junction_labels: Sequence[Sequence[int]],
) -> pd.DataFrame:
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
    DataFrame
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
    One pass over the edges in their own order, so that lengths are summed in one order on every machine.
    Memory beyond the input: about 130 bytes per triple of regions.
    """
    spacing = check_spacing(spacing)
    _check_regions(regions)
    _check_volume("phases", phases, np.uint8, regions.shape)
    triples = check_triples(junction_labels)
    _check_edges(edges, regions.shape, len(triples))
    import tripoint._cpu.boundary.regions  # noqa: F401  numba is slow to import: only when it is needed

    implementation = _cuda if is_cupy_array(regions) else _cpu
    sums = implementation.boundary.regions.junctions(regions, phases, edges, triples)
    told = len(edges) == 0 or bool((edges.status != UNTOLD).any())
    return _junction_table(sums, spacing, told)


def _contact_table(sums: dict[str, np.ndarray], spacing: Sequence[float], areas: bool) -> pd.DataFrame:
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
        disk = np.sqrt(sums["area"] / np.pi)
        columns["neck_radius"] = np.where(sums["radius"] > 0, sums["radius"], disk)
    return pd.DataFrame(columns)


def _junction_table(sums: dict[str, np.ndarray], spacing: Sequence[float], told: bool) -> pd.DataFrame:
    rows, counts = sums["rows"], sums["counts"]
    columns = {name: rows[:, i + 1] for i, name in enumerate(("a", "b", "c"))}
    columns["junction"] = rows[:, 0]
    lengths = _without_negative(sums["lengths"])
    columns["length"] = lengths[:, 0]
    columns["edges"] = counts[:, 0]
    columns["active_length"] = lengths[:, 1] if told else np.full(len(rows), np.nan)
    columns["active"] = counts[:, 1] > 0
    for i, axis in enumerate(AXES):
        columns[f"centroid_{axis}"] = counts[:, 2 + i] / (2 * counts[:, 0]) * spacing[i]
    return pd.DataFrame(columns)


def _without_negative(lengths: np.ndarray) -> np.ndarray:
    """Set rows of negative length to 0 and shrink the others, so that the sum stays as it is."""
    positive = np.maximum(lengths, 0.0)
    total, kept = lengths[:, 0].sum(), positive[:, 0].sum()
    positive[:, 1] = np.minimum(positive[:, 1], positive[:, 0])
    shrunk: np.ndarray = positive * (max(total, 0.0) / kept if kept > 0 else 0.0)
    return shrunk


def _check_regions(regions: Any) -> int:
    """Return the highest region id of a volume, or say what is wrong with it."""
    shape, dtype = tuple(getattr(regions, "shape", ())), getattr(regions, "dtype", None)
    if len(shape) != 3 or 0 in shape:
        message = f"regions have shape {shape}; expected a 3D volume of region ids (z, y, x)"
        raise InputError(message)
    if dtype != np.int32:
        message = f"regions are {dtype}; expected int32 region ids, convert with regions.astype('int32')"
        raise InputError(message)
    least, most = int(regions.min()), int(regions.max())
    if least < 0:
        message = f"regions hold the negative id {least}; ids are 1 and up, 0 means no region"
        raise InputError(message)
    return most


def _check_volume(name: str, volume: Any, dtype: Any, shape: Sequence[int]) -> None:
    found, kind = tuple(getattr(volume, "shape", ())), getattr(volume, "dtype", None)
    if found != tuple(shape):
        message = f"{name} has shape {found} and the regions {tuple(shape)}; make both from one volume"
        raise InputError(message)
    if kind != dtype:
        expected = np.dtype(dtype).name
        message = f"{name} is {kind}; expected {expected}, convert with {name}.astype('{expected}')"
        raise InputError(message)


def _check_edges(edges: Any, shape: Sequence[int], n_triples: int) -> None:
    if not isinstance(edges, JunctionEdges):
        message = f"edges are {type(edges).__name__}; expected what boundary.junction_edges returns"
        raise InputError(message)
    if len(edges) == 0:
        return
    voxels, triple = math.prod(shape), int(edges.triple.max())
    steps = (shape[1] * shape[2], shape[2], 1)
    # The compiled loop trusts this: the voxel diagonally across every edge lies within the volume.
    diagonal = np.array([sum(steps) - step for step in steps])
    last = int((edges.index + diagonal[edges.axis]).max())
    if last >= voxels or int(edges.index.min()) < 0 or triple >= n_triples:
        message = (
            f"edges reach voxel {last} and junction {triple}, but there are {voxels} voxels and "
            f"{n_triples} junctions; make the edges from the same volume and junctions"
        )
        raise InputError(message)
