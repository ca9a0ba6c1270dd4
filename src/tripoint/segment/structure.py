"""What is measured of a segmentation later, beside the same of what somebody has drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from tripoint import boundary, films, percolation
from tripoint.materials import Materials
from tripoint.sample import Spacing


def measure(phases: np.ndarray, spacing: Spacing, materials: Materials) -> dict[str, Any]:
    """Measure a labelled slab.

    Parameters
    ----------
    phases : (z, y, x) uint8
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
    return {
        "fractions": {name: float((phases == label).mean()) for label, name in names.items()},
        "spanning_fractions": {
            names[label]: list(one.spanning_fraction) for label, one in spanning.items()
        },
        "areas": {
            " | ".join(names[label] for label in one.phases): one.specific_area for one in found.interfaces
        },
        "junctions": {
            " | ".join(names[label] for label in one.phases): {
                "edges": sum(one.edges), "density": one.density, "raw_density": one.raw_density,
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
        "areas": {k: _relative(found["areas"].get(k, 0.0), v) for k, v in truth["areas"].items()},
        "junctions": {
            k: {name: _relative(found["junctions"][k][name], value) for name, value in v.items()}
            for k, v in truth["junctions"].items()
        },
    }


def _relative(found: float, truth: float) -> float | None:
    return found / truth - 1 if truth else None
