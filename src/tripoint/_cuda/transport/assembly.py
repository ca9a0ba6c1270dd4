"""Conductances of voxel faces, and what reacts in each region; see kernels/transport_faces.cu.

Names, parameters and units are those of the host side's module: ``faces`` lies flat between two guards of one
plane.
"""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np

from tripoint._cuda import tables
from tripoint._cuda.transport.launch import launch, launch_sums
from tripoint.sides import geometry

RUN = 32  # voxels whose reactions a thread counts


def conduction_faces(
    phases: Any, carrier: Any, conductivity: Any, spacing: Any, regions: Any = None, boundary: Any = None
) -> Any:
    """Return the conductance of every face between two voxels of one carrier, (3, plane + n + plane) float32.

    The same bits as the host's. Memory: 12 bytes per voxel, which stay.
    """
    plane = phases.shape[1] * phases.shape[2]
    faces = cp.zeros((3, phases.size + 2 * plane), cp.float32)
    divided = np.int32(regions is not None and boundary is not None)
    labels = regions if divided else cp.empty(0, cp.int32)
    resistance = cp.asarray(boundary if divided else np.zeros(256))
    launch(
        "faces", "conduct", phases.size, *_volumes(phases, carrier), *_tables(conductivity, spacing),
        labels, divided, resistance, faces,
    )  # fmt: skip
    return faces


def reaction_faces(  # noqa: PLR0913, PLR0917  # those of the host
    faces: Any, phases: Any, carrier: Any, conductivity: Any, active: Any, spacing: Any, exchange: Any,
    regions: Any, pairs: Any, scales: Any,
) -> None:  # fmt: skip
    """Add to ``faces`` those at which active material meets the ion conductor."""
    varies = not np.isscalar(exchange)
    volume = exchange if varies else cp.empty(0, cp.float32)
    launch(
        "faces", "react", phases.size, *_volumes(phases, carrier), *_tables(conductivity, spacing), regions,
        cp.asarray(active, cp.uint8), np.float64(0 if varies else exchange), volume, np.int32(varies),
        pairs, scales, np.int64(len(pairs)), faces,
    )  # fmt: skip


def junction_faces(
    faces: Any, phases: Any, conductivity: Any, spacing: Any, axis: Any, index: Any, conductance: Any
) -> None:
    """Add reactions at listed faces: the lower voxel of each along an axis, and S·µm/m; no face twice."""
    flat = phases.reshape(-1)
    plane = phases.shape[1] * phases.shape[2]
    step = cp.asarray(np.array([plane, phases.shape[2], 1]))[axis]
    form, sigma = cp.asarray(geometry(spacing))[axis], cp.asarray(conductivity)
    rest = 0.5 * form[:, 1] / form[:, 0]
    rest = rest * (1 / sigma[flat[index]] + 1 / sigma[flat[index + step]])
    faces[axis, index + plane] = (1 / (1 / conductance + rest)).astype(cp.float32)


def butler_volmer_residual(  # noqa: PLR0913, PLR0917  # those of the host
    faces: Any, tangent: Any, phases: Any, carrier: Any, conductivity: Any, spacing: Any, x: Any,
    thermal: float, ends: Any, values: Any, source: Any,
) -> Any:  # fmt: skip
    """Return what Butler-Volmer kinetics leave of the source at x; ``tangent`` gets the reactions' slopes.

    Memory: 16 bytes per voxel, of which 8 stay.
    """
    plane, row = phases.shape[1] * phases.shape[2], phases.shape[2]
    left, image, n = source.copy(), cp.zeros_like(x), np.int64(phases.size)
    launch(
        "faces", "linearise", phases.size, *_volumes(phases, carrier), *_tables(conductivity, spacing),
        faces, x, np.float64(thermal), tangent, left,
    )  # fmt: skip
    unused = cp.empty(1, cp.float64)
    launch_sums(
        "stencil", "apply", phases.size, tangent, np.int64(plane), np.int64(row), n, x, image, sums=unused
    )
    launch_sums("stencil", "apply_ends", len(ends), ends, values, np.int64(len(ends)), x, image, sums=unused)
    launch("stencil", "subtract", phases.size, np.int64(plane), n, image, left)
    return left


def reacting_regions(  # noqa: PLR0913, PLR0917  # those of the host
    faces: Any, phases: Any, carrier: Any, conductivity: Any, active: Any, ions: Any, spacing: Any, x: Any,
    thermal: float, regions: Any, count: int,
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    """Sum per region what reacts at its voxels; as on the host, in an order that does not change.

    Returns
    -------
    current : (count + 1,) float64
    voxels, reached, touching : (count + 1,) int64

    Notes
    -----
    Memory: 0.6 bytes per voxel, and some 60 per voxel of electrons that reacts, while it works.
    """
    runs = -(-phases.size // RUN)
    counts = cp.zeros((3, count + 1), cp.int64)
    masks, found = cp.empty(runs, cp.uint32), cp.empty(runs, cp.int32)
    launch(
        "faces", "count_reactions", runs, *_volumes(phases, carrier), cp.asarray(active, cp.uint8),
        cp.asarray(ions, cp.uint8), faces, regions, np.int64(count + 1), np.int64(runs),
        counts.view(cp.uint64), masks, found,
    )  # fmt: skip
    starts = cp.zeros(runs + 1, cp.int64)
    starts[1:] = cp.cumsum(found, dtype=cp.int64)
    rows = int(starts[-1])
    voxel, flow = cp.empty(rows, cp.int64), cp.empty(rows, cp.float64)
    if rows:
        launch("faces", "list_reactions", runs, masks, starts, np.int64(runs), voxel)
    launch(
        "faces", "sum_reactions", rows, *_volumes(phases, carrier), *_tables(conductivity, spacing), faces,
        x, np.float64(thermal), voxel, np.int64(rows), flow,
    )  # fmt: skip
    current = tables.sums(regions.reshape(-1)[voxel], flow, count + 1)
    return current, counts[0], counts[1], counts[2]


def _volumes(phases: Any, carrier: Any) -> tuple[Any, ...]:
    return (phases, carrier, *map(np.int32, phases.shape))


def _tables(conductivity: Any, spacing: Any) -> tuple[Any, Any]:
    return cp.asarray(conductivity, cp.float64), cp.asarray(geometry(spacing))
