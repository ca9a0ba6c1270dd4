"""Regions and tables of tiny volumes by plain loops, to test the graph against its volume."""

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import ndimage

from tripoint import tables

AXES = "zyx"


def put(backend, frame):
    """Return a pandas table of numbers and flags as a table on a backend."""
    return tables.table({name: backend.put(frame[name].to_numpy()) for name in frame})


def regions_of(phases, block=3):
    """Cut a volume into 6-connected regions of one phase within blocks of this side."""
    z, y, x = np.indices(phases.shape) // block
    cell = (z * 100 + y) * 100 + x
    raw = np.zeros(phases.shape, int)
    for label in np.unique(phases):
        for number in np.unique(cell):
            pieces, _ = ndimage.label((phases == label) & (cell == number))
            raw[pieces > 0] = pieces[pieces > 0] + raw.max()
    _, first, inverse = np.unique(raw.ravel(), return_index=True, return_inverse=True)
    number = np.empty(len(first), int)
    number[np.argsort(first)] = np.arange(1, len(first) + 1)
    return number[inverse].reshape(phases.shape).astype(np.int32)


def nodes_of(regions, phases, spacing):
    """Return the columns of the node table that percolation needs."""
    rows = []
    for node in range(1, regions.max() + 1):
        where = np.argwhere(regions == node)
        centre = (where.mean(axis=0) + 0.5) * spacing
        row = {
            "node": node,
            "label": phases[tuple(where[0])],
            "voxels": len(where),
            "volume": len(where) * np.prod(spacing),
            "inscribed_radius": 0.5 * (len(where) * np.prod(spacing)) ** (1 / 3),
        }
        for axis, name in enumerate(AXES):
            row[f"centroid_{name}"] = centre[axis]
            row[f"touches_{name}_min"] = bool((where[:, axis] == 0).any())
            row[f"touches_{name}_max"] = bool((where[:, axis] == regions.shape[axis] - 1).any())
        rows.append(row)
    return pd.DataFrame(rows).astype({"node": np.int32, "label": np.uint8, "voxels": np.int64})


def contacts_of(regions, spacing):
    """Return contacts by looking at every pair of neighbouring voxels."""
    faces = {}
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        for here in np.argwhere(np.take(regions, range(regions.shape[axis] - 1), axis)):
            a, b = int(regions[tuple(here)]), int(regions[tuple(here + step)])
            if a != b:
                centre = (here + 0.5 + step / 2) * spacing
                faces.setdefault((min(a, b), max(a, b)), []).append(
                    (np.prod(spacing) / spacing[axis], *centre)
                )
    rows = []
    for (source, target), found in sorted(faces.items()):
        area = sum(f[0] for f in found)
        centre = np.mean([f[1:] for f in found], axis=0)
        rows.append((source, target, len(found), area, *centre, np.sqrt(area / np.pi)))
    columns = ["source", "target", "faces", "area", "centroid_z", "centroid_y", "centroid_x", "neck_radius"]
    types = {"source": np.int32, "target": np.int32, "faces": np.int64}
    return pd.DataFrame(rows, columns=columns).astype({name: types.get(name, float) for name in columns})


def chain(lengths, side, spacing=(1.0, 1.0, 1.0)):
    """Return nodes and contacts of a straight square bar along z, cut into pieces of these lengths."""
    regions = np.repeat(np.arange(1, len(lengths) + 1, dtype=np.int32), lengths)
    regions = np.broadcast_to(regions[:, None, None], (sum(lengths), side, side))
    nodes = nodes_of(regions, np.ones(regions.shape, np.uint8), spacing)
    nodes["inscribed_radius"] = side / 2
    ends = np.cumsum(lengths)[:-1] * spacing[0]
    pairs = list(pairwise(range(1, len(lengths) + 1)))
    middle = side / 2
    contacts = pd.DataFrame(
        {
            "source": [a for a, _ in pairs],
            "target": [b for _, b in pairs],
            "area": side**2 * spacing[1] * spacing[2],
            "centroid_z": ends,
            "centroid_y": middle * spacing[1],
            "centroid_x": middle * spacing[2],
            "neck_radius": side / 2,
        }
    )
    return nodes, contacts
