"""Where a search may start: the shift of largest correlation for each of many rotations, on few voxels."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import scipy.fft
from array_api_compat import array_namespace, is_cupy_array
from scipy.spatial.transform import Rotation

from tripoint import _cuda
from tripoint.errors import InputError
from tripoint.registration.resampling import interpolated, resample, to_indices
from tripoint.registration.volumes import normalised
from tripoint.sample import Spacing

ROUGH = 1 << 15  # voxels of the fixed volume that are looked at
STEP = 7.0  # degrees between the rotations that are tried, at most
LEAST = 0.2  # share of the smaller volume that has to overlap
KEPT = 2  # starts of each kind


def starts(
    moving: Any,
    moving_voxel: Spacing,
    fixed: Any,
    voxel: Spacing,
    before: np.ndarray,
    rotation: float,
) -> list[np.ndarray]:
    r"""Return affines from which a search may start, the likeliest of each kind first.

    Both volumes are brought onto cubes of about 2¹⁵ to the fixed one. For each rotation R about the middle of
    the moving volume all shifts s are tried at once by a Fourier transform,

    .. math:: S(R, s) = Σ_x f(x) m_R(x + s) / \sqrt{N(s)},

    with both of mean 0 and variance 1 and N the voxels where both are: the correlation, in units of what
    chance makes of it. Once of grey values, where its sign does not count, and once of the lengths of their
    gradients, which are large at the same places whatever contrast the phases have.

    Parameters
    ----------
    moving, fixed : (z, y, x) float32
        NaN where they were not measured.
    moving_voxel, voxel : (z, y, x)
        Their voxel sizes, µm.
    before : (4, 4) float64
        From the fixed volume to the moving one, µm.
    rotation : float
        Largest angle about each axis, degrees; a single image turns in its plane.

    Raises
    ------
    InputError
        A volume of one value.
    """
    flat = fixed.shape[0] == 1
    extent = np.array(fixed.shape) * voxel
    edge = math.sqrt(extent[1] * extent[2] / ROUGH) if flat else float(np.prod(extent) / ROUGH) ** (1 / 3)
    edge = max(edge, min(voxel[1:] if flat else voxel))
    cube = (voxel[0] if flat else edge, edge, edge)
    still = _on_cubes(fixed, voxel, cube, "fixed volume")
    cube_moving = (moving_voxel[0] if flat else edge, edge, edge)
    turned = _on_cubes(moving, moving_voxel, cube_moving, "moving volume")
    search = _Search(still, turned.shape)
    middle = np.array(moving.shape) * moving_voxel / 2
    place = (np.linalg.inv(before) @ [*middle, 1])[:3]  # of the moving volume's middle in the fixed one
    corner = place - np.array(turned.shape) * cube / 2
    found: dict[str, list[tuple[float, int, np.ndarray]]] = {}
    for number, turn in enumerate(_rotations(rotation, flat)):
        about = _about(turn, place, before)
        onto = np.eye(4)
        onto[:3, 3] = corner
        matrix, offset = to_indices(about @ onto, cube, cube_moving)
        values = interpolated(turned, matrix, offset, turned.shape, mode="constant")
        for kind, (score, step) in search.best(values).items():
            shifted = onto.copy()
            shifted[:3, 3] += step * np.array(cube)
            found.setdefault(kind, []).append((score, number, about @ shifted))
    best = [sorted(scores, key=lambda one: -one[0])[:KEPT] for scores in found.values()]
    return [affine for kind in best for _, _, affine in kind]


class _Search:
    """Correlations of a fixed volume with others of one shape, at all shifts."""

    def __init__(self, still: Any, shape: tuple[int, ...]) -> None:
        self.size = [
            scipy.fft.next_fast_len(a + b, real=True) for a, b in zip(still.shape, shape, strict=True)
        ]
        self.fft = fft = _cuda.registration.fft if is_cupy_array(still) else scipy.fft
        self.still = {kind: fft.rfftn(one, self.size).conj() for kind, one in _kinds(still).items()}
        xp = array_namespace(still)
        both = fft.rfftn(xp.ones(still.shape, dtype=np.float32), self.size).conj()
        both *= fft.rfftn(xp.ones(shape, dtype=np.float32), self.size)
        voxels = fft.irfftn(both, self.size)
        least = LEAST * min(math.prod(still.shape), math.prod(shape))
        with np.errstate(invalid="ignore", divide="ignore"):
            self.weight = xp.where(voxels >= least, 1 / xp.sqrt(voxels), 0).astype(np.float32)

    def best(self, values: Any) -> dict[str, tuple[float, np.ndarray]]:
        """Return the best score of each kind, and the shift (z, y, x) in voxels that has it."""
        result = {}
        for kind, one in _kinds(values).items():
            spectrum = self.fft.rfftn(one, self.size) * self.still[kind]
            scores = self.fft.irfftn(spectrum, self.size) * self.weight
            scores = abs(scores) if kind == "grey" else scores
            at = np.array(np.unravel_index(int(scores.argmax()), scores.shape))
            behind = at > np.array(values.shape) - 1  # where the transform wraps around
            result[kind] = (float(scores[tuple(at)]), np.where(behind, at - self.size, at))
        return result


def _kinds(values: Any) -> dict[str, Any]:
    """Return grey values and the lengths of their gradients, both of mean 0 and variance 1."""
    xp = array_namespace(values)
    slopes = xp.gradient(values, axis=tuple(axis for axis, n in enumerate(values.shape) if n > 1))
    length = xp.sqrt(sum(slope * slope for slope in slopes))
    return {"grey": values, "gradient": (length - length.mean()) / (length.std() + 1e-12)}


def _on_cubes(volume: Any, voxel: Spacing, cube: tuple[float, ...], what: str) -> Any:
    """Return a volume on cubes that share its corner, of mean 0 and variance 1."""
    sizes = zip(volume.shape, voxel, cube, strict=True)
    shape = [max(2 if n > 1 else 1, round(n * size / edge)) for n, size, edge in sizes]
    try:
        coarse = resample(volume, np.eye(4), moving_spacing=voxel, shape=shape, spacing=cube)
        return normalised(coarse, what)
    except InputError:
        normalised(volume, what)  # says so where the volume itself has one value
        raise


def _rotations(most: float, flat: bool) -> list[np.ndarray]:
    """Return rotations, (3, 3) on (z, y, x), whose angles about each axis are within a range."""
    many = math.ceil(most / STEP)
    angles = np.linspace(-most, most, 2 * many + 1) if many else np.zeros(1)
    sets = [(z, 0.0, 0.0) for z in angles] if flat else list(product(angles, repeat=3))
    turns = Rotation.from_euler("zyx", sets, degrees=True).as_matrix()
    return list(turns[:, ::-1, ::-1])


def _about(turn: np.ndarray, place: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return an affine that turns about a place of the fixed volume, and then does as before."""
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = turn, place - turn @ place
    return before @ result
