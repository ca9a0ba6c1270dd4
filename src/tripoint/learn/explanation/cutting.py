"""A particle that lost something, on the voxels: what stood beside it becomes something else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from tripoint.learn.explanation.editing import Edit, inert_phase
from tripoint.materials import Materials
from tripoint.sample import Sample


def cut(sample: Sample, regions: np.ndarray, particle: int, edit: Edit) -> Sample | None:
    """Return the volume in which voxels beside a particle have another phase.

    Of what shares a face with the particle the phases concerned become the phase that conducts nothing. A
    triple-phase boundary lies between three phases and cannot be taken away alone: for that, what meets
    particle and ion conductor along an edge (additive, void) becomes ion conductor, and its contacts go too.

    Parameters
    ----------
    sample : Sample
    regions : (z, y, x) int
    particle : int
        Its region.
    edit : Edit

    Returns
    -------
    Sample or None
        Without channels. None where the materials have no phase that could take the place.
    """
    changes = _changes(sample.materials, regions, sample.phases, particle, edit)
    if not changes:
        return None
    box = _around(regions == particle)
    body = regions[box] == particle
    edges = edit.contacts is None
    beside = ndimage.binary_dilation(body, ndimage.generate_binary_structure(3, 2 if edges else 1)) & ~body
    phases = np.array(sample.phases)
    part = phases[box]
    before = part.copy()
    for label, other in changes.items():
        part[beside & (before == label)] = other
    return replace(sample, phases=phases, channels={})


def _changes(
    materials: Materials, regions: np.ndarray, phases: np.ndarray, particle: int, edit: Edit
) -> dict[int, int]:
    """Return which label becomes which beside the particle."""
    if edit.contacts is not None:
        inert = inert_phase(materials)
        if inert is None:
            return {}
        return {phase.label: inert.label for phase in materials.phases if edit.contacts(phase)}
    mine = materials[int(phases[regions == particle][0])].name
    changes: dict[int, int] = {}
    for triple in materials.junctions:
        others = [materials[name] for name in triple if name != mine]
        ionic = [phase for phase in others if "ion" in phase.conducts]
        if len(others) == 2 and len(ionic) == 1:
            changes |= {phase.label: ionic[0].label for phase in others if phase is not ionic[0]}
    return changes


def _around(body: np.ndarray) -> tuple[slice, ...]:
    """Return the bounding box of a body with a margin of one voxel."""
    box = []
    for axis in range(3):
        along = np.flatnonzero(body.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(max(int(along[0]) - 1, 0), int(along[-1]) + 2))
    return tuple(box)
