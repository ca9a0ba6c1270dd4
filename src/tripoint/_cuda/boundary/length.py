"""Triple-phase edges as a list, each with its length of junction; see kernels/boundary_length.cu.

The volume is treated in slabs of planes. What an edge gets depends on its neighbourhood alone, not on slabs,
and is the host's, bit for bit: every walk meets its edges in the same order.
"""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np

from tripoint._cuda.compiled import kernel
from tripoint.sides import Edges

LATTICE = 0.25
"""Bytes per voxel of the volume for the lattice of a slab's corners and its halo's, two per corner."""

SLAB = 16
"""Planes of a slab at least."""

POOL = 1 << 28
"""Bytes for the walks through tangles that are under way at the same time."""

WARPS, CHUNK = 4, 31 * 32  # per block of the search; voxels per warp
THREADS = 128  # per block of the walk
RING, LONG_RING = 32, 64  # corners that a thread keeps, of three successive steps
LONG = 10  # steps that need the long one: 0.3 % of a rough cathode's edges overrun the other, at 14 steps 6 %


def junction_edges(
    phases: cp.ndarray,
    spacing: tuple[float, float, float],
    triples: tuple[tuple[int, int, int], ...],
    *,
    weights: np.ndarray,
    access: cp.ndarray | None,
    carriers: tuple[tuple[int, tuple[int, ...]], ...],
) -> Edges:
    """List the edges of every triple, sorted by (index, axis, triple), with their lengths.

    Parameters are those of the host side. Beside the 19 bytes per record that are returned: 1 byte per
    record; 0.03 bytes per voxel while they are listed; then 21 bytes per record of one slab and triple, the
    lattice of the slab's corners (0.25 bytes per voxel, or 2 bytes per voxel of SLAB planes and their halo,
    if that is more), and at most POOL bytes.
    """
    edges, signs = _list_edges(phases, triples, access, carriers)
    if len(edges.index):
        _Walks(edges, signs, phases.shape, spacing, weights).measure(len(triples))
        arguments = edges.index, edges.axis, edges.own_length, np.int64(len(edges.index)), edges.edge_length
        _kernel("share_lengths")(*_threads(len(edges.index)), arguments)
    return edges


def _list_edges(
    phases: cp.ndarray,
    triples: tuple[tuple[int, int, int], ...],
    access: cp.ndarray | None,
    carriers: tuple[tuple[int, tuple[int, ...]], ...],
) -> tuple[Edges, cp.ndarray]:
    """Count the records of every chunk of voxels, then write them where those before it end."""
    n_chunks = -(-phases.size // CHUNK) if triples else 0
    starts = cp.zeros(n_chunks + 1, cp.int64)
    labels = cp.asarray(np.array(triples, np.uint8).reshape(-1, 3))
    sizes = np.int32(len(triples)), np.int64(n_chunks)
    search = (*_volume(phases), *map(np.int32, phases.shape), labels, *sizes)
    grid = (-(-n_chunks // WARPS),), (32 * WARPS,)
    if triples:
        counts = cp.empty(n_chunks, cp.int64)
        _kernel("count_edges")(*grid, (*search, counts))
        starts[1:] = cp.cumsum(counts)
    n = int(starts[-1])
    small = cp.empty(n, cp.uint8), cp.empty(n, cp.uint8), cp.empty(n, cp.uint8)
    lengths = cp.empty(n, cp.float32), cp.empty(n, cp.float32)
    edges = Edges(cp.empty(n, cp.int64), *small, *lengths)
    signs = cp.empty(n, cp.int8)
    if n:
        conducts = np.zeros(256, np.uint8)
        for carrier, network in carriers:
            conducts[list(network)] |= 1 << carrier
        judge = (*_volume(phases if access is None else access), np.int32(access is not None))
        _kernel("list_edges")(*grid, (*search, *judge, cp.asarray(conducts), starts, *edges[:4], signs))
    return edges, signs


def _kernel(name: str, ring: int = RING) -> Any:
    return kernel("boundary_length", name, WARPS=WARPS, CHUNK=CHUNK, THREADS=THREADS, RING=ring)


def _threads(n: int) -> tuple[tuple[int], tuple[int]]:
    return (-(-n // THREADS),), (THREADS,)


def _volume(volume: cp.ndarray) -> tuple[Any, ...]:
    return (volume, *map(np.int64, volume.strides))


class _Walks:
    """Measures the edges slab by slab and triple by triple."""

    def __init__(
        self,
        edges: Edges,
        signs: cp.ndarray,
        shape: tuple[int, int, int],
        spacing: tuple[float, float, float],
        weights: np.ndarray,
    ) -> None:
        self.edges, self.signs = edges, signs
        self.shape, self.spacing = shape, spacing
        self.weights = cp.asarray(weights)
        self.halo = len(weights)
        nz, ny, nx = shape
        corners = (ny + 2) * (nx + 2)  # of a plane, with an empty row and column
        self.slab = max(SLAB, int(LATTICE * nz / 2) - 2 * self.halo - 3)
        planes = min(self.slab + 2 * self.halo, nz) + 3
        self.links = cp.empty(-(-planes * corners // 2), cp.uint32)
        first_voxels = cp.arange(nz + 1, dtype=cp.int64) * (ny * nx)
        self.starts = cp.asnumpy(cp.searchsorted(edges.index, first_voxels)).tolist()

    def measure(self, n_triples: int) -> None:
        """Write the own length of every edge."""
        for first in range(0, self.shape[0], self.slab):
            begin, end = self.starts[first], self.starts[min(first + self.slab, self.shape[0])]
            for triple in range(n_triples):
                chosen = cp.flatnonzero(self.edges.triple[begin:end] == triple)
                if len(chosen):
                    self._mark(first, triple)
                    self._walk(first, chosen)
                    tangled = cp.isnan(self.edges.own_length[begin:end][chosen])
                    self._walk_wide(first, chosen[tangled])

    def _mark(self, first: int, triple: int) -> None:
        """Make the lattice of a slab with its halo, for one triple."""
        last = min(first + self.slab + self.halo, self.shape[0])
        low = max(first - self.halo, 0)
        begin, end = self.starts[low], self.starts[last]
        self.links.fill(0)
        part = np.int64(begin), np.int64(end), np.int32(triple), np.int32(low)
        arguments = (*self.edges[:3], self.signs, *part, *map(np.int32, self.shape[1:]), self.links)
        _kernel("mark_links")(*_threads(end - begin), arguments)

    def _walk(self, first: int, chosen: cp.ndarray) -> None:
        ring = LONG_RING if self.halo > LONG else RING
        _kernel("walk_edges", ring)(*_threads(len(chosen)), self._arguments(first, chosen))

    def _walk_wide(self, first: int, chosen: cp.ndarray) -> None:
        """Walk the edges whose surroundings are too tangled for a ring in shared memory."""
        if not len(chosen):
            return
        cells = (2 * self.halo + 1) ** 3
        steps = self.halo - 2  # from either end of the edge to the farthest corner that is met
        disc = 2 * steps * (steps + 1) + 1
        places = (2 * steps + 1) * (2 * steps * (steps + 1) + 3) // 3 + disc
        blocks = min(-(-len(chosen) // THREADS), max(1, POOL // (THREADS * (cells + 4 * places))))
        pool = (
            cp.zeros(blocks * THREADS * cells, cp.uint8), np.int64(cells),
            cp.empty(blocks * THREADS * places, cp.int32), np.int64(places),
        )  # fmt: skip
        _kernel("walk_wide")((blocks,), (THREADS,), (*self._arguments(first, chosen), *pool))

    def _arguments(self, first: int, chosen: cp.ndarray) -> tuple[Any, ...]:
        """Return what both kinds of walks are told."""
        low = max(first - self.halo, 0)
        return (
            chosen, np.int64(len(chosen)), np.int64(self.starts[first]),
            self.edges.index, self.edges.axis, self.signs,
            np.int32(low), *map(np.int32, self.shape[1:]), self.links.view(cp.uint16),
            *map(np.float64, self.spacing), self.weights, np.int32(self.halo), self.edges.own_length,
        )  # fmt: skip
