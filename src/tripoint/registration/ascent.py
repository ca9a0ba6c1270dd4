"""The rigid or affine transform of most mutual information of two volumes on the GPU.

Own code, because nobody else's does it there: SimpleITK is of the host, and cuCIM has phase correlation and
optical flow, but no mutual information. All of it is array algebra, which runs on NumPy arrays as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace
from scipy.optimize import minimize

from tripoint.registration.joint import JointHistogram
from tripoint.registration.motions import Motion
from tripoint.registration.resampling import filled, to_indices
from tripoint.registration.volumes import normalised, reduced, shrunk
from tripoint.sample import Spacing

SAMPLES = 100_000  # places that each evaluation looks at, at most
STEPS = 100  # of the optimiser at each level, at most
LITTLE = 1e-6  # of mutual information: what a step has to gain, relative


def optimised(
    moving: Any,
    moving_voxel: Spacing,
    fixed: Any,
    voxel: Spacing,
    initial: np.ndarray,
    method: str,
    most: int,
    levels: tuple[int, ...] = (4, 2, 1),
) -> tuple[np.ndarray, float, list[str]]:
    """Return the affine of most mutual information near an initial one.

    Uphill by L-BFGS-B (Byrd et al. 1995, SciPy) with the derivative of :class:`JointHistogram`, in parameters
    that all move the corners equally far, on block means of growing resolution.

    Parameters and returns as of :func:`tripoint.registration.mutual_information.optimised`, but in arrays of
    either side.
    """
    coarse, size = reduced(fixed, voxel, most)
    flat = coarse.shape[0] == 1
    extent = np.array(fixed.shape) * voxel
    motion = Motion(method, extent, max(size[1:] if flat else size), flat)
    found = np.zeros(motion.parameters)
    for factor in shrunk(coarse.shape, levels):
        still, edges = reduced(coarse, size, coarse.size // factor ** (2 if flat else 3))
        joint = _joint(moving, moving_voxel, still, edges, initial, extent / 2)

        def downhill(parameters: np.ndarray, joint: JointHistogram = joint) -> tuple[float, np.ndarray]:
            information, by_matrix = joint.information(motion.matrix(parameters))
            return -information, -motion.slope(parameters, by_matrix)

        reached = minimize(
            downhill, found, jac=True, method="L-BFGS-B",
            options={"maxiter": STEPS, "ftol": LITTLE, "gtol": 0.0},
        )  # fmt: skip
        found = reached.x
    at_first, _ = downhill(np.zeros(motion.parameters))
    if reached.fun == 0:
        told = f"the {method} search failed (the volumes lost each other); its start is kept"
        return initial, -at_first, [told]
    if reached.fun >= at_first:
        return initial, -at_first, []
    return initial @ motion.affine(found, extent / 2), -float(reached.fun), []


def _joint(
    moving: Any,
    moving_voxel: Spacing,
    still: Any,
    size: Spacing,
    initial: np.ndarray,
    middle: np.ndarray,
) -> JointHistogram:
    """Return the joint histogram of a fixed volume and a moving one with about the same resolution."""
    matrix, _ = to_indices(initial, size, moving_voxel)
    value, there, factors = filled(moving, matrix)
    value = array_namespace(value).where(there, value, np.float32(np.nan))
    to_moving = initial[:3] / (np.array(moving_voxel) * factors)[:, None]
    to_moving[:, 3] -= 0.5
    values = normalised(still, "fixed volume")
    return JointHistogram(values, size, value, to_moving, middle, min(SAMPLES, values.size))
