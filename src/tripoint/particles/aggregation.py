"""What a measured map says of each region: mean, spread, quantiles, and how much of the region it covers."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array

from tripoint import tables
from tripoint.errors import InputError

#: Quantiles of :func:`aggregate`, in per cent.
QUANTILES = (5, 25, 50, 75, 95)

PART = 1 << 22  # voxels that are worked on at a time
STEPS = 1 << 30  # a map's range is cut into so many steps, in which sums are whole numbers


def aggregate(regions: Any, values: Any, name: str = "map") -> Any:
    """Return the distribution of a map's values over the voxels of every region, a row per region.

    Parameters
    ----------
    regions : (z, y, x) int32
        Label image, 0 = no region, 1..N.
    values : (z, y, x) float
        The map, on the same grid and the same side; what is not finite was not measured. Taken as float32.
    name : str
        What the columns are called after.

    Returns
    -------
    DataFrame
        Of pandas, or of cuDF where the volumes are on the GPU. ``node`` (1..N), ``voxels`` (of the region),
        ``<name>_missing`` (voxels without a value), ``<name>_covered`` (the fraction with one),
        ``<name>_mean``, ``<name>_std`` (of the voxels, not of the mean: the root of the mean squared
        deviation), ``<name>_q05``, ``_q25``, ``_q50``, ``_q75``, ``_q95`` (between two values by linear
        interpolation, as ``numpy.quantile``). NaN for a region without a value.

    Raises
    ------
    InputError
        A map of another shape or on the other side, one that holds no numbers, regions that are not integers,
        no regions at all.

    Notes
    -----
    The values are sorted by region and value, and sums are of whole numbers: deviations from a region's
    middle in 2⁻³⁰ of the map's range. So neither the order of voxels nor the side changes a bit of the sums.
    Memory: 8 bytes per measured voxel of the regions, as much again on the GPU for sorting, and some 0.3 GB.
    """
    count = _check(regions, values)
    xp = array_namespace(values)
    voxels, keys = _sorted_keys(xp, regions, values, count)
    first = _bounds(xp, keys, count)
    measured = first[1:] - first[:-1]
    if not int(measured.sum()):
        message = (
            f"the map '{name}' holds no numbers where the regions are; check its mask, or its affine to the "
            "volume"
        )
        raise InputError(message)
    mean, std = _moments(xp, keys, first)
    columns = {
        "node": xp.arange(1, count + 1, dtype=xp.int64),
        "voxels": voxels,
        f"{name}_missing": voxels - measured,
        f"{name}_covered": measured / xp.maximum(voxels, 1),
        f"{name}_mean": mean,
        f"{name}_std": std,
    }
    for percent in QUANTILES:
        columns[f"{name}_q{percent:02d}"] = _quantile(xp, keys, first, percent / 100)
    return tables.table(columns)


def _check(regions: Any, values: Any) -> int:
    """Return the number of regions."""
    if tuple(regions.shape) != tuple(values.shape):
        message = (
            f"the map has shape {tuple(values.shape)} and the regions {tuple(regions.shape)}; "
            "bring it onto their grid with an affine (tripoint.registration.resample)"
        )
        raise InputError(message)
    if is_cupy_array(regions) != is_cupy_array(values):
        message = "the map and the regions are not on the same device; move one to where the other is"
        raise InputError(message)
    if regions.dtype.kind not in "iu" or values.dtype.kind not in "fiu":
        message = (
            f"regions are {regions.dtype} and the map is {values.dtype}; expected integer labels and real "
            "numbers"
        )
        raise InputError(message)
    count = int(regions.max()) if regions.size else 0
    if count < 1:
        message = "there are no regions to aggregate over; separate particles first"
        raise InputError(message)
    return count


def _sorted_keys(xp: Any, regions: Any, values: Any, count: int) -> tuple[Any, Any]:
    """Return voxels per region, and for every measured voxel region · 2³² + value, ascending.

    The bits of a float32, with the sign turned over, ascend as unsigned integers when the values do.
    """
    slabs = _slabs(regions.shape)
    voxels = xp.zeros(count + 1, dtype=xp.int64)
    sizes = []
    for slab in slabs:
        labels = regions[slab].ravel()
        voxels += xp.bincount(labels, minlength=count + 1)
        sizes.append(int(_measured(xp, labels, values[slab]).sum()))
    keys = xp.empty(sum(sizes), dtype=xp.uint64)
    at = 0
    for slab, size in zip(slabs, sizes, strict=True):
        labels, map_ = regions[slab].ravel(), values[slab]
        chosen = _measured(xp, labels, map_)
        # Adding zero makes -0.0 the 0.0 that it equals.
        bits = (map_.ravel()[chosen].astype(xp.float32) + xp.float32(0)).view(xp.uint32)
        turned = xp.where(bits >> xp.uint32(31) != 0, ~bits, bits | xp.uint32(1 << 31))
        label = labels[chosen].astype(xp.uint64) - xp.uint64(1)
        keys[at : at + size] = (label << xp.uint64(32)) | turned.astype(xp.uint64)
        at += size
    keys.sort()
    return voxels[1:], keys


def _slabs(shape: tuple[int, ...]) -> list[slice]:
    step = max(1, PART // max(1, int(np.prod(shape[1:]))))
    return [slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]


def _measured(xp: Any, labels: Any, values: Any) -> Any:
    return (labels > 0) & xp.isfinite(values.ravel().astype(xp.float32))


def _bounds(xp: Any, keys: Any, count: int) -> Any:
    """Return where each region begins among the keys, and at the end their number."""
    return xp.searchsorted(keys, xp.arange(count + 1, dtype=xp.uint64) << xp.uint64(32)).astype(xp.int64)


def _decoded(xp: Any, keys: Any) -> Any:
    """Return the values of keys as float64."""
    turned = (keys & xp.uint64(0xFFFFFFFF)).astype(xp.uint32)
    bits = xp.where(turned >> xp.uint32(31) != 0, turned & xp.uint32(0x7FFFFFFF), ~turned)
    return bits.view(xp.float32).astype(xp.float64)


def _quantile(xp: Any, keys: Any, first: Any, share: float) -> Any:
    """Return a quantile of every region, NaN for one without values."""
    number = first[1:] - first[:-1]
    place = xp.maximum(number - 1, 0) * share
    below = xp.floor(place).astype(xp.int64)
    inside = xp.minimum(first[:-1], len(keys) - 1)
    low = _decoded(xp, keys[inside + below])
    above = xp.minimum(below + 1, xp.maximum(number - 1, 0))
    high = _decoded(xp, keys[inside + above])
    return xp.where(number > 0, low + (place - below) * (high - low), xp.nan)


def _moments(xp: Any, keys: Any, first: Any) -> tuple[Any, Any]:
    """Return mean and standard deviation of every region.

    Deviations d from the region's median are whole steps, |d| ≤ 2³⁰, and d² is summed as two numbers of 30
    bits, so that no sum of up to 2³³ voxels overflows.
    """
    number = first[1:] - first[:-1]
    filled = number > 0
    middle = _decoded(xp, keys[xp.minimum(first[:-1] + number // 2, len(keys) - 1)])
    low = _decoded(xp, keys[xp.minimum(first[:-1], len(keys) - 1)])
    high = _decoded(xp, keys[xp.maximum(first[1:] - 1, 0)])
    step = xp.maximum((high - low) / STEPS, xp.finfo(xp.float64).tiny)
    sums = [xp.zeros(len(number), dtype=xp.int64) for _ in range(3)]
    for start in range(0, len(keys), PART):
        part = keys[start : start + PART]
        row = (part >> xp.uint64(32)).astype(xp.int64)
        deviation = xp.rint((_decoded(xp, part) - middle[row]) / step[row]).astype(xp.int64)
        square = deviation * deviation
        edges = xp.minimum(xp.maximum(first, start), start + len(part)) - start
        for total, values in zip(sums, (deviation, square >> 30, square & (2**30 - 1)), strict=True):
            running = xp.zeros(len(part) + 1, dtype=xp.int64)
            running[1:] = xp.cumsum(values)
            total[...] = total + running[edges[1:]] - running[edges[:-1]]
    counted = xp.maximum(number, 1)
    shift = sums[0] / counted
    spread = (sums[1] * 2.0**30 + sums[2]) / counted - shift * shift
    mean = middle + shift * step
    std = xp.sqrt(xp.maximum(spread, 0.0)) * step
    return xp.where(filled, mean, xp.nan), xp.where(filled, std, xp.nan)
