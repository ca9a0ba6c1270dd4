"""One pass over a label volume: triple-phase edges, faces and transitions between every two phases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from array_api_compat import is_cupy_array

from tripoint import _cpu, _cuda
from tripoint.blocks import place_within
from tripoint.boundary.access import Access, check_access, check_labels, check_triples
from tripoint.boundary.counts import BoundaryScan
from tripoint.boundary.length import Source
from tripoint.sample import check_phases, check_spacing


def scan(
    phases: Any,
    spacing: Any = (1, 1, 1),
    junctions: Iterable[Sequence[int]] | None = None,
    *,
    access: Access | None = None,
    within: Sequence[Sequence[int]] | None = None,
    labels: Iterable[int] | None = None,
    junction_map: bool = True,
    interfaces: bool = True,
    origin: Sequence[int] | None = None,
) -> BoundaryScan:
    """Find where phases meet: triple-phase edges, faces, and transitions along 13 directions.

    An edge of a junction is an interior lattice edge whose four voxels hold all three of its phases; the
    fourth voxel may be of any phase. With ``access``, an edge is connected for a phase of its junction and a
    carrier that this phase conducts if a voxel of the phase at the edge is connected to the carrier's
    terminal, by the network of all phases that conduct it; else unknown if such a voxel is connected to
    another outer face, else dead. The edge takes the worst of them: active, unknown or dead.

    A face, a transition or an edge belongs to the lowest of its voxels in raster order, so that the scans of
    boxes that partition a volume add up to the scan of the whole.

    Parameters
    ----------
    phases : (z, y, x) uint8
        Labels, in any memory layout; read, never copied. Do not change it while lengths are still to be
        asked for.
    spacing : (z, y, x)
        Voxel size, µm.
    junctions : triples of labels, optional
        The triple-phase boundaries of interest. Default: every triple of the labels present; () for none.
    access : Access, optional
        What each carrier can reach; splits edges into active, unknown and dead ones, and gives active areas.
        A junction none of whose phases conducts a carrier with a terminal has unknown edges only.
    within : ((z0, z1), (y0, y1), (x0, x1)), optional
        Half-open box of the voxels whose edges, faces and transitions are counted. Neighbours outside it are
        read where the volume has them.
    labels : labels, optional
        The labels that count, where they are known; voxels of others are of no phase. Default: those present,
        which are looked for in a pass of its own.
    junction_map : bool
        Whether to mark the voxels that touch an edge, 1 byte per voxel, where the phases live.
    interfaces : bool
        Whether to count faces and transitions. Without them and with ``junctions`` given, edges alone
        are counted, three times as fast; ``labels`` are then those of the junctions.
    origin : (z, y, x), optional
        Where the first voxel of ``phases`` lies in a volume of which they are a block, read with the voxels
        that follow it: with ``within``, its halo. Parts that say so know their place when they are added.

    Returns
    -------
    BoundaryScan

    Raises
    ------
    InputError
        Phases that are not 3D uint8, a triple that is not three different labels, labels that are none,
        access of another shape or on another device, a box that is not inside the volume.

    Notes
    -----
    The edge rule is that of MATBOX (``Function_TPBL_direct_Algorithm``) and TauFactor
    (``MetricsRVA.m``). Memory beyond the input: the map (1 byte per voxel), and on the host two planes of
    bits per thread. Counts are the same integers from the host and from the GPU, and are on the host.
    """
    check_phases(phases)
    spacing = check_spacing(spacing)
    triples = None if junctions is None else check_triples(junctions)
    check_access(access, phases)
    box, _, placed = place_within(within, (0, 0, 0) if origin is None else origin, phases.shape)
    implementation: Any = _cuda if is_cupy_array(phases) else _cpu
    # Neighbours are one voxel away: all that is needed of the volume is the box and one voxel around it.
    crop = tuple(
        slice(max(begin - 1, 0), min(end + 1, n)) for (begin, end), n in zip(box, phases.shape, strict=True)
    )
    inner = tuple(
        (begin - part.start, end - part.start) for (begin, end), part in zip(box, crop, strict=True)
    )
    if labels is not None:
        present = check_labels(labels)
    elif interfaces or triples is None:
        present = implementation.boundary.labels_present(phases[crop])
    else:
        present = tuple(sorted({label for triple in triples for label in triple}))
    counted = tuple(combinations(present, 3)) if triples is None else triples
    found = implementation.boundary.scan(
        phases[crop],
        tuple(sorted({*present, *(label for triple in counted for label in triple)})),
        counted,
        tuple(combinations(present, 2)) if interfaces else (),
        access=None if access is None else access.volume[crop],
        carriers=() if access is None else access.carriers,
        box=inner,
        junction_map=junction_map,
    )
    return BoundaryScan(
        shape=tuple(end - begin for begin, end in box),
        spacing=spacing,
        labels=present,
        triples=counted,
        every_triple=triples is None,
        networks=None if access is None else dict(access.networks),
        counts=found,
        junction_map=found.junction_map,
        sources=(Source(phases, access, box),),
        boxes=(placed,),
        located=origin is not None,
    )
