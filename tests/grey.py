"""Composites of three phases, of which all pairs touch, and what an instrument would show of them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tripoint.materials import Materials

MATERIALS = Materials.from_mapping(
    {
        "name": "three",
        "phases": {
            "dark": {"label": 0, "conducts": ["gas"]},
            "middle": {"label": 1, "conducts": ["ion"]},
            "bright": {"label": 2, "conducts": ["electron"]},
        },
        "junctions": [["dark", "middle", "bright"]],
    }
)


def composite(shape=(20, 64, 64), seed=0, size=4.0):
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.standard_normal(shape), size, mode="wrap") for _ in range(3)]
    return np.argmax(fields, axis=0).astype(np.uint8)


def photographed(phases, blur=1.0, noise=600.0, seed=0):
    """Grey values, uint16: blur puts the middle phase's grey between the dark and the bright one."""
    rng = np.random.default_rng(seed)
    levels = np.array([10_000.0, 22_000.0, 34_000.0])
    grey = ndimage.gaussian_filter(levels[phases], blur) + noise * rng.standard_normal(phases.shape)
    return np.clip(grey, 0, 65535).astype(np.uint16)
