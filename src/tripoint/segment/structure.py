"""What is measured of a segmentation later, beside the same of what somebody has drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from tripoint import boundary, films, percolation
from tripoint.materials import Materials
from tripoint.sample import Spacing


def measure(phases: np.ndarray, spacing: Spacing, materials: Materials) -> dict[str, Any]:
    """Measure a labelled slab, of which nothing counts but voxels of the materials.

    Fractions are shares of these voxels, and areas and lengths are per volume of them, so that a slab of
    which little is annotated has the figures of what is.

    Parameters
    ----------
    phases : (z, y, x) uint8
        Labels that the materials do not name mark what nobody has labelled.
    spacing : (z, y, x)
        Voxel size, µm.
    materials : Materials

    Returns
    -------
    dict
        ``fractions`` and ``spanning_fractions`` (z, y, x) of each phase; ``areas`` (specific, µm⁻¹) of each
        pair; ``junctions``: ``edges`` and ``density`` (µm⁻²) of each triple; ``films``: share of each phase.
    """
    names = {phase.label: phase.name for phase in materials.phases}
    triples = materials.junction_labels or None
    found = boundary.scan(phases, spacing, triples, junction_map=False, labels=materials.labels)
    spanning = percolation.components(phases, materials.labels)
    thin = films.scan(phases, materials.labels)
    counts = {label: int(np.count_nonzero(phases == label)) for label in names}
    total = sum(counts.values())
    share = total / phases.size
    return {
        "fractions": {names[label]: count / total for label, count in counts.items()},
        "spanning_fractions": {
            names[label]: list(one.spanning_fraction) for label, one in spanning.items()
        },
        "areas": {
            " | ".join(names[label] for label in one.phases): one.specific_area / share
            for one in found.interfaces
        },
        "junctions": {
            " | ".join(names[label] for label in one.phases): {
                "edges": sum(one.edges), "density": one.density / share,
                "raw_density": one.raw_density / share,
            }
            for one in found.junctions
        },
        "films": {names[label]: thin.fraction(label) for label in names},
    }  # fmt: skip


def compare(found: dict[str, Any], truth: dict[str, Any]) -> dict[str, Any]:
    """Return how far off each figure is.

    Returns
    -------
    dict
        Differences of ``fractions`` and ``spanning_fractions`` (the largest of the three axes), relative
        errors of ``areas`` and of the junctions' ``edges`` and ``density``; None where the truth has none.
    """
    return {
        "fractions": {k: found["fractions"][k] - v for k, v in truth["fractions"].items()},
        "spanning_fractions": {
            k: max((a - b for a, b in zip(found["spanning_fractions"][k], v, strict=True)), key=abs)
            for k, v in truth["spanning_fractions"].items()
        },
        "areas": {
            k: _relative(found["areas"].get(k, 0.0), truth["areas"].get(k, 0.0))
            for k in {**truth["areas"], **found["areas"]}
        },
        "junctions": {
            k: {name: _relative(found["junctions"][k][name], value) for name, value in v.items()}
            for k, v in truth["junctions"].items()
        },
    }


def _relative(found: float, truth: float) -> float | None:
    return found / truth - 1 if truth else None
