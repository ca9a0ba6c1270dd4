"""The report stands alone, says what is true of odd samples too, and opens in a browser."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, spatial

from tripoint import report
from tripoint.errors import OutputError
from tripoint.materials import Materials, Phase
from tripoint.report import charts, scene, slices, surfaces, wording
from tripoint.sample import Sample

HOSTILE = "<script>alert('x')</script>&\"</td>"


def fake_result(
    shape=(40, 48, 56), phases=4, seeds=60, spacing=(0.5, 0.4, 0.4), *, names=None, particulate=(1,), seed=0
):
    """Return what an analysis would: a Voronoi composite with tables and a summary of the documented form."""
    random = np.random.default_rng(seed)
    centres = random.uniform(0, 1, (seeds, 3)) * np.array(shape) * spacing
    grid = np.stack(
        np.meshgrid(*[(np.arange(n) + 0.5) * s for n, s in zip(shape, spacing)], indexing="ij"), -1
    )
    _, owner = spatial.cKDTree(centres).query(grid.reshape(-1, 3))
    label = (np.arange(seeds) % phases).astype(np.uint8)
    regions = np.unique(owner, return_inverse=True)[1].reshape(shape).astype(np.int32) + 1
    volume = label[owner].reshape(shape)
    names = names or ["pore", "active", "binder", "electrolyte", "void", "carbon"][:phases]
    conducts = [("ion",), ("electron",), ("electron",), ("ion",), (), ("electron",)]
    materials = Materials(
        phases=tuple(
            Phase(i, name, conducts[i], particulate=i in particulate, active=i == 1)
            for i, name in enumerate(names)
        ),
        terminals={"ion": "z-", "electron": "z+"},
        name="made up",
    )
    sample = Sample(volume, spacing, materials, name="test composite")
    nodes = fake_nodes(regions, volume, sample, random)
    contacts = fake_contacts(regions)
    return SimpleNamespace(
        sample=sample,
        graph=SimpleNamespace(nodes=nodes, contacts=contacts, junctions=pd.DataFrame()),
        summary=fake_summary(sample, nodes, contacts),
        regions=regions,
        junction_map=junction_voxels(volume) if phases > 2 else None,
    )


def fake_nodes(regions, volume, sample, random):
    index = np.arange(1, regions.max() + 1)
    voxels = np.bincount(regions.ravel(), minlength=len(index) + 1)[1:]
    centroid = np.array(ndimage.center_of_mass(np.ones_like(regions), regions, index)) + 0.5
    label = np.zeros(len(index) + 1, np.uint8)
    label[regions] = volume
    border = np.unique(
        np.concatenate([face.ravel() for a in range(3) for face in (regions.take(0, a), regions.take(-1, a))])
    )
    size = voxels * sample.voxel_volume
    nodes = pd.DataFrame(
        {"node": index.astype(np.int32), "label": label[1:], "voxels": voxels, "volume": size}
    )
    nodes["phase"] = nodes["label"].map({p.label: p.name for p in sample.materials.phases})
    nodes[["centroid_z", "centroid_y", "centroid_x"]] = centroid * sample.spacing
    nodes["equivalent_diameter"] = (6 * size / np.pi) ** (1 / 3)
    nodes["touches_border"] = np.isin(index, border)
    nodes["fragment"] = voxels < 8
    nodes["sphericity"] = random.uniform(0.7, 1, len(index))
    nodes["aspect_ratio"] = random.uniform(1, 3, len(index))
    nodes["coordination_number"] = random.integers(0, 9, len(index))
    nodes["active_junction_length"] = random.exponential(3, len(index))
    for carrier, face in (("ion", 0), ("electron", 1)):
        extent = sample.shape[0] * sample.spacing[0]
        depth = nodes["centroid_z"] if face == 0 else extent - nodes["centroid_z"]
        reached = random.uniform(size=len(index)) > 0.2
        nodes[f"depth_{carrier}"] = depth
        nodes[f"reaches_{carrier}"] = reached
        nodes[f"path_resistance_{carrier}"] = np.where(
            reached, depth * random.lognormal(0, 1, len(index)), np.nan
        )
        nodes[f"path_tortuosity_{carrier}"] = np.where(
            reached, 1 + random.exponential(0.3, len(index)), np.nan
        )
        nodes[f"bottleneck_radius_{carrier}"] = np.where(reached, random.exponential(0.5, len(index)), np.nan)
    return nodes


def fake_contacts(regions):
    pairs = []
    for axis in range(3):
        a, b = (
            regions.take(range(regions.shape[axis] - 1), axis),
            regions.take(range(1, regions.shape[axis]), axis),
        )
        touch = a != b
        pairs.append(np.sort(np.stack([a[touch], b[touch]], 1), axis=1))
    unique, faces = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    return pd.DataFrame(
        {"source": unique[:, 0], "target": unique[:, 1], "faces": faces, "area": faces * 0.16}
    )


def junction_voxels(volume):
    kinds = sum((ndimage.maximum_filter(volume == v, 2)).astype(np.uint8) for v in np.unique(volume))
    return np.where(kinds >= 3, 1 + (np.arange(volume.shape[2]) % 3), 0).astype(np.uint8)


def fake_summary(sample, nodes, contacts):
    names = [phase.name for phase in sample.materials.phases]
    share = {
        p.name: float((nodes.loc[nodes["label"] == p.label, "voxels"]).sum() / sample.phases.size)
        for p in sample.materials.phases
    }
    three = {"components": 3, "spanning_fraction": [0.9995, 0.9, 0.0], "terminal_fraction": 0.97}
    return {
        "schema": 1, "tripoint": "0.1.0",
        "sample": {
            "name": sample.name, "shape": list(sample.shape), "spacing": list(sample.spacing),
            "phases": {p.name: {"label": p.label, "voxels": int(share[p.name] * sample.phases.size), "volume_fraction": share[p.name]} for p in sample.materials.phases},
        },
        "junctions": [
            {"phases": list(t), "edges": [1200, 1300, 1400], "raw_length": 1560.0, "length": 1010.5, "raw_density": 1.2, "density": 0.8,
             "active_edges": [1, 2, 3], "unknown_edges": [1, 2, 3], "dead_edges": [1, 2, 3],
             "active_length": 800.0, "unknown_length": 150.0, "dead_length": 60.5, "active_density": 0.63}
            for t in sample.materials.junctions
        ],
        "junctions_total": {"edges": [2000, 2100, 2200], "length": 3000.0, "density": 2.2},
        "interfaces": [
            {"phases": [a, b], "faces": [10, 20, 30], "area": 123.456, "specific_area": 0.0123, "active_specific_area": None}
            for i, a in enumerate(names) for b in names[i + 1 :]
        ],
        "percolation": {name: dict(three) for name in names},
        "carriers": {"ion": dict(three), "electron": dict(three)},
        "utilization": 0.87,
        "particles": {
            p.name: {"count": 30, "interior_count": 12, "equivalent_diameter_mean": 4.2, "equivalent_diameter_volume_weighted": 5.1}
            for p in sample.materials.phases if p.particulate
        },
        "graph": {"nodes": len(nodes), "contacts": len(contacts), "junctions": 0},
        "representativity": {
            "subvolumes": 8,
            "volume_fraction": {name: {"value": v, "low": v * 0.9, "high": v * 1.1} for name, v in share.items()},
            "tpb_density": {"|".join(t): {"value": 0.8, "low": 0.7, "high": 0.9} for t in sample.materials.junctions},
            "specific_area": {},
        },
        "warnings": ["too few particles: only 12 of 30 lie inside", "the binder does not percolate along x"],
        "run": {"device": "cpu", "seconds": {"boundary": 0.21, "separation": 1.4}, "peak_memory_bytes": 6.2e8, "bytes_per_voxel": 21.3},
    }  # fmt: skip
