"""One pass over a label volume on the GPU, 32 voxels to a machine word; see kernels/boundary.cu.

The kernel is built for the labels, pairs and triples at hand, so that its loops over them unroll to the
few logical instructions that they need.  For more than FEW labels there is kernels/boundary_many.cu, which
takes a voxel at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import cupy as cp
import numpy as np

from tripoint._cuda.compiled import kernel
from tripoint.sides import Counts

Triple = tuple[int, int, int]
Pair = tuple[int, int]
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
Carriers = tuple[tuple[int, tuple[int, ...]], ...]

FEW = 5  # labels that the fast kernel is built for at most
MOST_COUNTS = 160  # that one launch of it keeps in registers, with all that it needs besides
PAIRS_AT_A_TIME = 6  # if all do not fit

OWN_X, OWN_Y = 120, 7  # voxels of a warp's tile along x and y, see the kernel
WARPS = 4  # per block
MOST_PLANES = 63  # per tile, so that its counts fit 16 bits
BLOCKS = 2048  # wanted at least: what a large GPU holds at once, and more

THREADS_OF_MANY, BLOCKS_OF_MANY = 256, 2048


@dataclass(frozen=True)
class Work:
    """What is asked of the volume: arrays of one shape, and the box in it."""

    phases: cp.ndarray
    access: cp.ndarray | None
    carriers: Carriers
    box: Box


def scan(
    phases: cp.ndarray,
    labels: Sequence[int],
    triples: tuple[Triple, ...],
    pairs: tuple[Pair, ...],
    *,
    access: cp.ndarray | None,
    carriers: Carriers,
    box: Box,
    junction_map: bool,
) -> Counts:
    """Count edges, transitions and connected transitions owned by the voxels of a box, in one pass.

    Parameters are those of the host side.  Volumes whose rows are contiguous, such as crops of C-ordered
    ones, are read in place; others are copied first, 1 byte per voxel.

    Notes
    -----
    Bytes that must move per voxel: 1 read, 1 more with access, 1 written with the map.  At the 4.3 TB/s that
    an H200 copies with, edges and map of 1024³ voxels take 0.50 ms at least.  Instructions per voxel, counted
    from the machine code for sm_90: 8.3 for edges and map of one triple, 23 with the transitions between four
    phases; with access 16 and 36.  Of these 4.8, 13, 9.6 and 21 are of the kind of which an SM executes 64 a
    clock.  At 1.755 GHz and with what tiles overlap that is 0.38, 1.1, 0.77 and 1.7 ms for 1024³ voxels.
    Memory beyond input and map: the counts.
    """
    work = Work(_with_rows(phases), None if access is None else _with_rows(access), carriers, box)
    sets = [_ascending(triple) for triple in triples]
    marks = None
    if junction_map:
        marks = (cp.empty if sets else cp.zeros)(tuple(end - begin for begin, end in box), cp.uint8)
    edges, total = np.zeros((len(triples), 3, 3), np.int64), np.zeros((3, 3), np.int64)
    transitions, connected = np.zeros((2, len(pairs), 13), np.int64)
    for part in _parts(work, tuple(sorted(set(sets))), tuple(sorted(pairs))):
        few = len(part.labels) <= FEW and _fits_words(work)
        found = (_count_words if few else _count_voxels)(work, part, marks if part.triples else None)
        rows = _places(pairs, part.pairs)
        transitions[rows], connected[rows] = found.transitions, found.connected
        if part.triples:
            edges, total = found.edges[_places(part.triples, sets)], found.total
    return Counts(edges, total, transitions, connected, marks)


def label_counts(phases: cp.ndarray) -> np.ndarray:
    """Count the voxels of each label, (256,) int64 on the host, in one pass: 1 byte read per voxel."""
    counts = cp.zeros(256, cp.uint64)
    nz, ny, nx = phases.shape
    pieces = nz * ny * (nx // 512 + 1)
    sizes = map(np.int64, (*phases.strides, ny, nx, nz * ny))
    blocks = max(1, min(pieces // 8, 2048))
    kernel("boundary_labels", "label_counts")((blocks,), (256,), (phases, *sizes, counts))
    return counts.get().astype(np.int64)


def labels_present(phases: cp.ndarray) -> tuple[int, ...]:
    """Return the distinct labels of a volume, ascending."""
    return tuple(np.flatnonzero(label_counts(phases)).tolist())


def _places(keys: Sequence[Any], wanted: Sequence[Any]) -> list[int]:
    place = {key: k for k, key in enumerate(keys)}
    return [place[key] for key in wanted]


def _ascending(triple: Triple) -> Triple:
    a, b, c = sorted(triple)
    return (a, b, c)


def _with_rows(volume: cp.ndarray) -> cp.ndarray:
    """Return a volume whose rows are contiguous."""
    return volume if volume.strides[2] == 1 else cp.ascontiguousarray(volume)


# ---------------------------------------------------------------------------- in how many launches


@dataclass(frozen=True)
class Part:
    """What one launch counts."""

    triples: tuple[Triple, ...]
    pairs: tuple[Pair, ...]

    @property
    def labels(self) -> tuple[int, ...]:
        return tuple(sorted({label for labels in (*self.triples, *self.pairs) for label in labels}))


def _parts(work: Work, triples: tuple[Triple, ...], pairs: tuple[Pair, ...]) -> list[Part]:
    """Return one part if a launch can count all, else edges, which share the map, and pairs apart."""
    whole = Part(triples, pairs)
    if not whole.labels:
        return []
    if len(whole.labels) > FEW:
        edges, rest = Part(triples, ()), [Part((), pairs)]
    elif _counts(work, whole) > MOST_COUNTS:
        edges = Part(triples, ())
        rest = [Part((), pairs[i : i + PAIRS_AT_A_TIME]) for i in range(0, len(pairs), PAIRS_AT_A_TIME)]
    else:
        return [whole]
    return [part for part in (edges, *rest) if part.labels]


def _counts(work: Work, part: Part) -> int:
    statuses = 1 if work.access is None else 3
    connectable = sum(_connectable(pair, work.carriers) for pair in part.pairs)
    return 3 * statuses * (len(part.triples) + 1) + 13 * (len(part.pairs) + connectable)


def _connectable(pair: Pair, carriers: Carriers) -> bool:
    """Return whether different carriers can reach the two sides."""
    one, other = ({carrier for carrier, network in carriers if label in network} for label in pair)
    return bool(one) and bool(other) and len(one | other) > 1


def _fits_words(work: Work) -> bool:
    """Return whether rows hold a word, and lie near enough in memory for the kernel's steps of 32 bits."""
    rows = [volume.strides[1] for volume in (work.phases, work.access) if volume is not None]
    return work.phases.shape[2] >= 4 and all(abs(step) < 2**31 for step in rows)


# ---------------------------------------------------------------------------- by words


def _count_words(work: Work, part: Part, marks: cp.ndarray | None) -> Counts:
    (z0, z1), (y0, y1), (x0, x1) = work.box
    aligned = _aligned(work, marks)
    x_first = x0 - 1 - ((work.phases.data.ptr + x0 - 1) % 4 if aligned else 0)
    # Of the map, a lane writes the words that end in its patch: up to three voxels beyond the box.
    tiles_x = -(-(x1 + (0 if aligned else 3) - x_first) // OWN_X)
    tiles_y = -(-(y1 - y0 + 1) // (OWN_Y * WARPS))
    wanted = max(-(-(z1 - z0) // MOST_PLANES), min(-(-BLOCKS // (tiles_x * tiles_y)), (z1 - z0) // 16))
    planes = -(-(z1 - z0) // max(wanted, 1))
    defines = _defines(work, part) | {"MARKS": int(marks is not None), "ALIGNED": int(aligned)}
    counts = cp.zeros(_counts(work, part), cp.uint64)
    kernel("boundary", "scan", **defines)(
        (tiles_x * tiles_y * -(-(z1 - z0) // planes),),
        (32 * WARPS,),
        (
            *_in_rows(work.phases),
            *_in_rows(work.phases if work.access is None else work.access),
            *map(np.int32, work.phases.shape),
            *map(np.int32, (z0, z1, y0, y1, x0, x1, x_first, tiles_x, tiles_y, planes)),
            counts,
            counts.view(cp.uint8) if marks is None else marks,
        ),
    )
    return _unpacked(work, part, counts.get().astype(np.int64), marks)


def _in_rows(volume: cp.ndarray) -> tuple[cp.ndarray, np.int64, np.int32]:
    return volume, np.int64(volume.strides[0]), np.int32(volume.strides[1])


def _aligned(work: Work, marks: cp.ndarray | None) -> bool:
    """Return whether words begin at the same columns in every row of every array."""
    volumes = [volume for volume in (work.phases, work.access) if volume is not None]
    x0, x1 = work.box[2]
    starts = {volume.data.ptr % 4 for volume in volumes}
    if marks is not None:
        starts |= {(marks.data.ptr - x0) % 4}
    steps = [step for volume in volumes for step in volume.strides[:2]]
    return len(starts) == 1 and not any(step % 4 for step in [*steps, 0 if marks is None else x1 - x0])


def _defines(work: Work, part: Part) -> dict[str, int]:
    labels = part.labels
    return {
        "N_LABELS": len(labels),
        "LABELS": sum(label << 8 * k for k, label in enumerate(labels)),
        "PAIRS": sum((pair in part.pairs) << k for k, pair in enumerate(combinations(labels, 2))),
        "TRIPLES": sum((triple in part.triples) << k for k, triple in enumerate(combinations(labels, 3))),
        "JUDGED": int(work.access is not None),
        "CONDUCTS": sum(
            1 << 4 * k + carrier
            for k, label in enumerate(labels)
            for carrier, network in work.carriers
            if work.access is not None and label in network
        ),
    }


def _unpacked(work: Work, part: Part, counts: np.ndarray, marks: cp.ndarray | None) -> Counts:
    """Return the counts, which stand one after the other; connected ones for connectable pairs alone."""
    statuses = 1 if work.access is None else 3
    n_triples, n_pairs = len(part.triples), len(part.pairs)
    edges, total = np.zeros((n_triples, 3, 3), np.int64), np.zeros((3, 3), np.int64)
    connected = np.zeros((n_pairs, 13), np.int64)
    rows = [_connectable(pair, work.carriers) for pair in part.pairs]
    ends = np.cumsum([3 * statuses * n_triples, 3 * statuses * (n_triples > 1), 13 * n_pairs, 13 * sum(rows)])
    first, second, third, fourth = np.split(counts[: ends[-1]], ends[:-1])
    edges[..., :statuses] = first.reshape(n_triples, 3, statuses)
    if n_triples == 1:
        total = edges[0]
    elif n_triples:
        total[:, :statuses] = second.reshape(3, statuses)
    connected[rows] = fourth.reshape(-1, 13)
    return Counts(edges, total, third.reshape(n_pairs, 13), connected, marks)


# ---------------------------------------------------------------------------- by voxels


def _count_voxels(work: Work, part: Part, marks: cp.ndarray | None) -> Counts:
    n_triples, n_pairs = len(part.triples), len(part.pairs)
    conducts, pairs = np.zeros(256, np.uint8), np.full((256, 256), -1, np.int32)
    for carrier, network in work.carriers:
        conducts[list(network)] |= 1 << 2 * carrier
    for row, (a, b) in enumerate(part.pairs):
        pairs[a, b] = pairs[b, a] = row
    keys = np.array([a << 16 | b << 8 | c for a, b, c in part.triples], np.int32)
    counts = cp.zeros(9 * (n_triples + 1) + 26 * n_pairs, cp.uint64)
    voxels = math.prod(end - begin for begin, end in work.box)
    kernel("boundary_many", "scan_many")(
        (min(-(-voxels // THREADS_OF_MANY), BLOCKS_OF_MANY),),
        (THREADS_OF_MANY,),
        (
            *_in_steps(work.phases),
            *_in_steps(work.phases if work.access is None else work.access),
            np.int32(work.access is not None),
            *map(np.int32, work.phases.shape),
            *map(np.int32, (end for side in work.box for end in side)),
            cp.asarray(conducts),
            cp.asarray(pairs),
            np.int32(n_pairs),
            np.int32(n_triples),
            cp.asarray(keys),
            counts,
            np.int32(marks is not None),
            counts.view(cp.uint8) if marks is None else marks,
        ),
    )
    ends = np.cumsum([9 * n_triples, 9, 13 * n_pairs])
    edges, total, transitions, connected = np.split(counts.get().astype(np.int64), ends)
    shape = (n_pairs, 13)
    return Counts(
        edges.reshape(n_triples, 3, 3),
        total.reshape(3, 3),
        transitions.reshape(shape),
        connected.reshape(shape),
        marks,
    )


def _in_steps(volume: cp.ndarray) -> tuple[cp.ndarray, np.int64, np.int64, np.int64]:
    z, y, x = map(np.int64, volume.strides)
    return volume, z, y, x
