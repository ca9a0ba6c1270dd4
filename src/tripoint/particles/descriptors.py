"""What each region is like: size, place and shape, from sums over its voxels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array

from tripoint import _cpu, _cuda
from tripoint.blocks import Box, Shape, check_filled, joined, place
from tripoint.errors import InputError
from tripoint.materials import AXES
from tripoint.particles.separation import check_distance
from tripoint.sample import Spacing, check_phases, check_spacing


def describe(
    regions: Any,
    phases: Any,
    spacing: Any,
    distance: Any,
    *,
    min_voxels: int = 8,
    names: Mapping[int, str] | None = None,
) -> Any:
    """Return size, place and shape of every region, a row per region.

    Parameters
    ----------
    regions : (z, y, x) int32
        Label image, 0 = no region, 1..N.
    phases : (z, y, x) uint8
        Label volume; every region is of one phase.
    spacing : (z, y, x)
        Voxel size, µm.
    distance : (z, y, x) float32
        What :func:`tripoint.distance.transform` returns, µm.
    min_voxels : int
        Regions of fewer voxels are flagged as fragments.
    names : mapping of int to str, optional
        Names of the phases, for the column ``phase``; without it that column is left out.

    Returns
    -------
    DataFrame
        Of pandas, or of cuDF where the volumes are on the GPU.
        ``node`` (the region), ``phase``, ``label``, ``voxels``, ``volume`` (µm³), ``centroid_z/y/x`` (µm
        from the volume's corner, a voxel's centre being (i + ½) · spacing), ``bbox_z_min`` … ``bbox_x_max``
        (voxels, half open), ``equivalent_diameter`` (of the sphere of the same volume, µm),
        ``axis_major/middle/minor_length`` (of the ellipsoid with the same second moments, µm, as in
        scikit-image: √20 · standard deviation), ``aspect_ratio`` (major / minor; NaN for regions one voxel
        thick, which have no minor axis), ``inscribed_radius`` (largest distance, µm), ``touches_z_min`` …
        ``touches_x_max``, ``touches_border``, ``cut_area`` (along the volume's border, µm²), ``fragment``.
        A number in 1..N without voxels has a row of zeros.

    Raises
    ------
    InputError
        Arrays of different shapes or of other types, a spacing that is not three positive numbers.

    Notes
    -----
    One pass over the voxels.  Sums are exact integers, so that no number of threads changes a result, and
    no partition into blocks: :func:`measure` gives those of a block.
    Memory: 108 bytes per region and thread, with as many threads as keep this under 2 bytes per voxel; on the
    GPU 157 bytes per region. The table takes some 500 bytes per region while it is made.
    """
    return measure(regions, phases, distance).table(spacing, min_voxels=min_voxels, names=names)


def measure(
    regions: Any,
    phases: Any,
    distance: Any,
    *,
    origin: Sequence[int] = (0, 0, 0),
    shape: Sequence[int] | None = None,
) -> RegionSums:
    """Sum up the voxels of every region in a block of a volume.

    Parameters
    ----------
    regions : (z, y, x) int32
        The block of the label image, without a halo: 0 = no region, regions numbered as in the volume.
    phases : (z, y, x) uint8
    distance : (z, y, x) float32
        The same block of the phases, and of the distances of the volume.
    origin : (z, y, x)
        Where the block's first voxel lies in the volume.
    shape : (z, y, x), optional
        Voxels of the volume; by default it ends where the block does.

    Returns
    -------
    RegionSums
        They add up with ``+``, in any order, to those of the volume.

    Raises
    ------
    InputError
        Arrays of different shapes or of other types, a block that is not inside the volume.

    Notes
    -----
    Memory while it works: 108 bytes per thread and number between the block's lowest and highest region,
    with as many threads as keep this under 2 bytes per voxel; on the GPU 157 bytes per number.
    What stays: 161 bytes per region present.
    """
    check_phases(phases)
    check_distance(distance, phases)
    if regions.shape != phases.shape or regions.dtype != np.int32:
        message = (
            f"regions are {regions.dtype} of shape {tuple(regions.shape)}; expected int32 of the phases' "
            f"shape {tuple(phases.shape)}, such as particles.separate returns"
        )
        raise InputError(message)
    box, whole = place(origin, regions.shape, shape)
    implementation = _cuda if is_cupy_array(phases) else _cpu
    columns = implementation.particles.measure(regions, phases, distance, [begin for begin, _ in box], whole)
    return RegionSums(whole, (box,), *columns)


@dataclass(frozen=True)
class RegionSums:
    """Sums over the voxels of every region, of the blocks of a volume that were added so far.

    Parameters
    ----------
    shape : (z, y, x)
        Voxels of the whole volume.
    boxes : tuple of boxes
        The blocks; one box where they fill it.
    region : (n,) int32
        The regions that are present, ascending.
    label : (n,) uint8
        Phase of each.
    sums : (n, 10) int64
        Voxels, and over them the sums of z, y, x, z², y², x², zy, zx, yx, in voxels from the volume's corner.
    box : (n, 6) int32
        Least z, y, x and greatest z, y, x + 1 of its voxels.
    inscribed : (n,) float32
        Largest distance, µm.
    faces : (n, 6) int64
        Voxels on the volume's outer faces z-, z+, y-, y+, x-, x+.
    """

    shape: Shape
    boxes: tuple[Box, ...]
    region: Any = field(repr=False)
    label: Any = field(repr=False)
    sums: Any = field(repr=False)
    box: Any = field(repr=False)
    inscribed: Any = field(repr=False)
    faces: Any = field(repr=False)

    def __add__(self, other: RegionSums) -> RegionSums:
        """Return the sums of both parts of a volume together.

        Raises
        ------
        InputError
            Parts of volumes of different shapes, blocks that overlap, parts on the host and on the GPU.
        """
        if not isinstance(other, RegionSums):
            return NotImplemented
        if self.shape != other.shape:
            message = f"sums of volumes of shapes {self.shape} and {other.shape} cannot be added"
            raise InputError(message)
        if is_cupy_array(self.sums) != is_cupy_array(other.sums):
            message = "sums on the host and on the GPU cannot be added; measure all blocks on one side"
            raise InputError(message)
        xp = array_namespace(self.sums)
        boxes = joined(self.boxes, other.boxes)
        region = xp.unique(xp.concat((self.region, other.region)))
        both = RegionSums(self.shape, boxes, region, *_empty(xp, len(region)))
        for part in (self, other):
            rows = xp.searchsorted(region, part.region)
            both.label[rows] = part.label
            both.sums[rows] += part.sums
            both.faces[rows] += part.faces
            both.box[rows, :3] = xp.minimum(both.box[rows, :3], part.box[:, :3])
            both.box[rows, 3:] = xp.maximum(both.box[rows, 3:], part.box[:, 3:])
            both.inscribed[rows] = xp.maximum(both.inscribed[rows], part.inscribed)
        return both

    def table(self, spacing: Any, *, min_voxels: int = 8, names: Mapping[int, str] | None = None) -> Any:
        """Return size, place and shape of every region of the volume; see `describe` for the columns.

        Raises
        ------
        InputError
            Blocks that do not fill the volume, a spacing that is not three positive numbers.
        """
        from tripoint import tables  # brings pandas, which is slow to import

        step = check_spacing(spacing)
        check_filled(self.boxes, self.shape)
        whole = self._every_number()
        xp = array_namespace(whole.sums)
        voxels, box = whole.sums[:, 0], whole.box
        volume = voxels * math.prod(step)
        centroid, lengths = _ellipsoids(whole.sums, step)
        columns: dict[str, Any] = {"node": whole.region}
        if names is not None:
            columns["phase"] = tables.named(whole.label, {i: names.get(i, str(i)) for i in range(256)})
        columns |= {"label": whole.label, "voxels": voxels, "volume": volume}
        columns |= {f"centroid_{axis}": centroid[:, i] for i, axis in enumerate(AXES)}
        for i, axis in enumerate(AXES):
            columns |= {f"bbox_{axis}_min": box[:, i], f"bbox_{axis}_max": box[:, i + 3]}
        columns["equivalent_diameter"] = xp.cbrt(6 * volume / math.pi)
        for i, name in enumerate(("major", "middle", "minor")):
            columns[f"axis_{name}_length"] = lengths[:, i]
        thick = xp.where(lengths[:, 2] > 0, lengths[:, 2], math.nan)
        columns["aspect_ratio"] = lengths[:, 0] / thick
        columns["inscribed_radius"] = whole.inscribed.astype(np.float64)
        columns |= _borders(box, whole.faces, self.shape, step)
        columns["fragment"] = voxels < min_voxels
        return tables.table(columns)

    def _every_number(self) -> RegionSums:
        """Return the sums with a row of zeros for each number below the highest that is no region."""
        number = int(self.region[-1]) if len(self.region) else 0
        if number == len(self.region):
            return self
        xp = array_namespace(self.region)
        columns = [xp.zeros((number, *column.shape[1:]), dtype=column.dtype) for column in self._columns]
        for column, values in zip(columns, self._columns, strict=True):
            column[self.region - 1] = values
        return RegionSums(self.shape, self.boxes, xp.arange(1, number + 1, dtype=np.int32), *columns)

    @property
    def _columns(self) -> tuple[Any, ...]:
        return self.label, self.sums, self.box, self.inscribed, self.faces


def sphericity(volume: Any, surface_area: Any) -> Any:
    """Return the area of the sphere of a volume over the surface area, Ψ = π^(1/3) (6 V)^(2/3) / A.

    Parameters
    ----------
    volume : array or float
        µm³.
    surface_area : array or float
        µm²; 0 gives NaN.

    Returns
    -------
    array or float
        1 for a sphere, less for anything else but for the error of the area's estimate (Wadell,
        J. Geology 43, 1935).
    """
    volume, area = (
        value if is_cupy_array(value) else np.asarray(value, np.float64) for value in (volume, surface_area)
    )
    xp = array_namespace(area)
    sphere = math.cbrt(math.pi) * xp.cbrt(6.0 * volume) ** 2
    some = area > 0
    return xp.where(some, sphere / xp.where(some, area, 1.0), math.nan)[()]


def _empty(xp: Any, count: int) -> tuple[Any, ...]:
    box = xp.zeros((count, 6), dtype=np.int32)
    box[:, :3] = np.iinfo(np.int32).max
    return (
        xp.zeros(count, dtype=np.uint8),
        xp.zeros((count, 10), dtype=np.int64),
        box,
        xp.zeros(count, dtype=np.float32),
        xp.zeros((count, 6), dtype=np.int64),
    )


def _borders(box: Any, faces: Any, shape: Shape, spacing: Spacing) -> dict[str, Any]:
    """Return which outer faces each region touches, and the area, µm², along which they cut it."""
    xp = array_namespace(box)
    table: dict[str, Any] = {}
    border, areas = xp.zeros(len(box), dtype=bool), xp.zeros(len(box), dtype=np.float64)
    for i, axis in enumerate(AXES):
        low, high = box[:, i] == 0, box[:, i + 3] == shape[i]
        table |= {f"touches_{axis}_min": low, f"touches_{axis}_max": high}
        border |= low | high
        for side in (0, 1):
            areas += faces[:, 2 * i + side] * (math.prod(spacing) / spacing[i])
    return table | {"touches_border": border, "cut_area": areas}


def _ellipsoids(sums: Any, spacing: Spacing) -> tuple[Any, Any]:
    """Return centroids and full axis lengths of the ellipsoids with the same second moments, µm."""
    xp = array_namespace(sums)
    count = xp.maximum(sums[:, :1], 1)
    # Moments about the voxel next to the centroid are still exact integers, so nothing cancels.
    near = (2 * sums[:, 1:4] + count) // (2 * count)
    first = sums[:, 1:4] - count * near
    centroid = (near + first / count + 0.5) * xp.asarray(spacing)
    covariance = xp.empty((len(sums), 3, 3), dtype=np.float64)
    for column, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)), start=4):
        product = (
            sums[:, column]
            - near[:, i] * sums[:, 1 + j]
            - near[:, j] * sums[:, 1 + i]
            + count[:, 0] * near[:, i] * near[:, j]
        )
        moment = product / count[:, 0] - (first[:, i] / count[:, 0]) * (first[:, j] / count[:, 0])
        covariance[:, i, j] = covariance[:, j, i] = moment * spacing[i] * spacing[j]
    eigvalsh = _cuda.particles.moments.eigvalsh if is_cupy_array(covariance) else np.linalg.eigvalsh
    variances = eigvalsh(covariance)[:, ::-1]
    # Rounding must not turn the flat direction of a flat region into a thickness.
    variances = xp.where(variances > 1e-12 * xp.maximum(variances[:, :1], 1e-300), variances, 0.0)
    return centroid, xp.sqrt(20.0 * variances)
