"""One smooth structure on voxels of two sizes, shared with the benchmarks."""

import numpy as np
from scipy.ndimage import gaussian_filter

from tripoint.materials import Materials

ION, ACTIVE, CARBON = 0, 1, 2
MATERIALS = Materials.from_mapping(
    {
        "phases": {
            "electrolyte": {"label": ION, "conducts": ["ion"]},
            "active": {"label": ACTIVE, "conducts": ["electron"], "active": True, "particulate": True},
            "carbon": {"label": CARBON, "conducts": ["electron"]},
        },
        "terminals": {"ion": "z-", "electron": "z+"},
    }
)


def same_structure():
    """Yield phases, regions and spacing on voxels of 0.4 µm and 0.2 µm; four layers stand for particles."""
    rng = np.random.default_rng(4)
    smooth = [gaussian_filter(rng.normal(size=(64, 48, 48)), 8) for _ in range(2)]
    halves = [field.reshape(32, 2, 24, 2, 24, 2).mean(axis=(1, 3, 5)) for field in smooth]
    for (first, second), size in ((halves, 0.4), (smooth, 0.2)):
        phases = np.where(first > 0, ACTIVE, ION).astype(np.uint8)
        phases[second > np.quantile(second, 0.85)] = CARBON
        layer = np.arange(len(phases)) * 4 // len(phases)
        yield phases, (phases + 1 + 3 * layer[:, None, None]).astype(np.int32), (size,) * 3
