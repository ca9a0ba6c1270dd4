"""What a region is to a carrier: how well it conducts it, and where it lies to a face of the volume."""

from __future__ import annotations

from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.materials import AXES, FACES, Materials
from tripoint.sample import Spacing
from tripoint.tables import column, namespace


def conductivities(nodes: Any, materials: Materials, carrier: str) -> Any:
    """Conductivity of every node for a carrier, 0 where its phase does not conduct it.

    Returns
    -------
    (nodes,) float64
        S/m; 1 where the phase conducts the carrier and the materials do not say how well.

    Raises
    ------
    InputError
        A conductivity that is not a positive number.
    """
    by_label = np.zeros(256)
    for phase in materials.phases:
        if carrier not in phase.conducts:
            continue
        value = phase.conductivity.get(carrier, 1.0)
        if not 0 < value < np.inf:
            message = (
                f"phase '{phase.name}' conducts {carrier} with conductivity {value}; expected a positive "
                f"number of S/m, or take {carrier} out of what it conducts"
            )
            raise InputError(message)
        by_label[phase.label] = value
    label = column(nodes, "label", np.uint8)
    return namespace(label).asarray(by_label)[label]


def depths(nodes: Any, face: str, shape: tuple[int, int, int], spacing: Spacing) -> Any:
    """Distance of every node's centroid from the plane of a face of the volume, µm."""
    depth = column(nodes, f"centroid_{face[0]}", np.float64)
    if face[1] == "+":
        axis = AXES.index(face[0])
        depth = shape[axis] * spacing[axis] - depth
    return depth


def touches(nodes: Any, face: str) -> Any:
    """Whether every node touches a face of the volume."""
    return column(nodes, f"touches_{face[0]}_{'min' if face[1] == '-' else 'max'}", np.bool_)


def touched_faces(nodes: Any) -> Any:
    """Faces of the volume that every node touches, bit f of a uint8 for ``FACES[f]``."""
    touched = [touches(nodes, face).astype(np.uint8) for face in FACES]
    faces = touched[0]
    for bit, touch in enumerate(touched[1:], start=1):
        faces = faces | (touch << np.uint8(bit))
    return faces
