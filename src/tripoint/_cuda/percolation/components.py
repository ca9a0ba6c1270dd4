"""Connected components of a volume on the GPU: labelled by cuCIM, measured, joined and painted by kernels."""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np

from tripoint._cuda.compiled import kernel
from tripoint._cuda.percolation.labelling import label_equal
from tripoint.sides import FACE_SLICES

NEARNESS = {6: 1, 18: 2, 26: 3}  # along how many axes neighbours may differ
AHEAD = {6: 3, 18: 9, 26: 13}  # neighbours that follow in raster order
THREADS, ROW_THREADS = 256, 128
MOST_BLOCKS = 1 << 20
# A tile's components are counted in shared memory, of which these slots take 8 KB, 12 with 64-bit components.
TILE, SLOTS = 1 << 14, 1 << 10


def label_components(phases: Any, labels: Any, connectivity: int) -> tuple[Any, Any, Any, Any]:
    """Label the components of every listed phase in one pass.

    Returns the component image, which stays on the GPU (int32, int64 from 2³¹ − 2 voxels; 0 where the phase
    is not listed), and on the host, per component, with component 0 standing for everything else: the
    phase's label (uint8), its voxels (int64) and the outer faces it touches (uint8, bit per face in the
    order of ``FACES``).  Components are numbered in raster order of their first voxels.

    Memory: 4 bytes per voxel for the components and 1 while they are made (8 + 1 from 2³¹ − 2 voxels; one
    more where all 256 labels are listed or phases are not contiguous), 17 per component.
    """
    image = cp.ascontiguousarray(phases)
    codes = np.zeros(256, np.uint8 if len(labels) < 256 else np.uint16)
    codes[list(labels)] = np.arange(1, len(labels) + 1)
    # cuCIM joins equal values, whatever they are, but takes 0 as background: a phase may well be labelled 0.
    components, count = label_equal(_recode(image, codes), NEARNESS[connectivity])
    voxels, label_of = _measure(components, image, count)
    faces = cp.zeros(count + 1, cp.uint8)
    for bit, face in enumerate(FACE_SLICES):
        touching = components[face].reshape(-1)
        faces[touching] |= np.uint8(1 << bit)  # a component met twice is given the same value twice
    faces_of = cp.asnumpy(faces)
    faces_of[0] = 0  # what is not listed is no component
    return components, label_of, voxels, faces_of


def join_components(
    phases: Any, components: Any, count: int, carriers_of_label: Any, carriers: int, connectivity: int
) -> Any:
    """Return per carrier the root of every component in the union of the phases that conduct it.

    ``carriers_of_label`` (256, uint8) has bit c set where a phase conducts carrier c.  One pass over
    the volume joins components of different phases that touch; the root is the smallest component of
    those joined.  On the host.

    Memory: 8 bytes per component for every carrier that several phases conduct; no voxel-sized array.
    """
    roots = np.tile(np.arange(count + 1, dtype=np.int64), (carriers, 1))
    mixed = [c for c in range(carriers) if np.count_nonzero(carriers_of_label & (1 << c)) > 1]
    if not mixed:
        return roots
    image = cp.ascontiguousarray(phases)
    conducted = np.zeros(256, np.uint8)
    for k, c in enumerate(mixed):
        conducted |= (carriers_of_label >> c & 1).astype(np.uint8) << k
    joined = cp.tile(cp.arange(count + 1, dtype=cp.int64), (len(mixed), 1))
    depth, height, width = image.shape
    shape = (np.int32(depth), np.int32(height), np.int32(width), np.int32(AHEAD[connectivity]))
    networks = (np.int32(len(mixed)), np.int64(count + 1), joined)
    grid = min(height, MOST_BLOCKS), min(depth, 65535)
    _kernel("join", components.itemsize)(
        grid, (ROW_THREADS,), (image, components, cp.asarray(conducted), *shape, *networks)
    )
    _kernel("settle")(_blocks(joined.size), (THREADS,), networks)
    roots[mixed] = cp.asnumpy(joined)
    return roots


def paint(components: Any, values: Any) -> Any:
    """Return the uint8 volume that holds ``values[component]`` in every voxel; 1 byte per voxel."""
    volume = cp.empty(components.shape, cp.uint8)
    _kernel("paint", components.itemsize)(
        _blocks(volume.size), (THREADS,), (components, cp.asarray(values), np.int64(volume.size), volume)
    )
    return volume


def outer_planes(components: Any, wanted: Any) -> tuple[Any, ...]:
    """Return copies of the outer planes in the order of ``FACES``, None where not wanted; on the host."""
    unsigned = np.uint32 if components.itemsize == 4 else np.uint64
    return tuple(
        cp.asnumpy(components[face]).astype(unsigned) if want else None
        for face, want in zip(FACE_SLICES, wanted, strict=True)
    )


def _recode(phases: Any, codes: Any) -> Any:
    """Return ``codes[phases]``, of the type of the codes."""
    out = cp.empty(phases.shape, codes.dtype)
    name = "recode" if codes.itemsize == 1 else "recode_wide"
    _kernel(name)(_blocks(out.size), (THREADS,), (phases, cp.asarray(codes), np.int64(out.size), out))
    return out


def _measure(components: Any, phases: Any, count: int) -> tuple[Any, Any]:
    """Voxels (int64) and label (uint8) of every component, on the host."""
    voxels, label_of = cp.zeros(count + 1, cp.uint64), cp.zeros(count + 1, cp.uint8)
    blocks = -(-components.size // TILE)
    _kernel("measure", components.itemsize)(
        (blocks,), (THREADS,), (components, phases, np.int64(components.size), voxels, label_of)
    )
    return cp.asnumpy(voxels).astype(np.int64), cp.asnumpy(label_of)


def _kernel(name: str, component_bytes: int = 4) -> Any:
    return kernel(
        "percolation",
        name,
        COMPONENT_BYTES=component_bytes,
        ROW_THREADS=ROW_THREADS,
        SLOTS=SLOTS,
        THREADS=THREADS,
        TILE=TILE,
    )


def _blocks(size: int) -> tuple[int]:
    return (min(-(-size // THREADS), MOST_BLOCKS),)
