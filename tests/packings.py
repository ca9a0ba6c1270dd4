"""Packings of particles whose true partition is known, for the tests and benchmarks of separation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Packing:
    """A mask of particles (1) in void (0) and the particle that each voxel truly belongs to (0 = void)."""

    name: str
    phases: np.ndarray
    truth: np.ndarray

    @property
    def number(self) -> int:
        return int(np.unique(self.truth).size - 1)


def spheres(
    shape=(128, 128, 128), number=200, radii=(7.0, 13.0), overlap=0.15, noise=0.0, seed=0, name="spheres"
) -> Packing:
    """Return spheres that overlap, their lens being up to 2 × overlap × the smaller radius thick.

    At an overlap of 0.38 equal spheres meet at a neck of 0.78 radii, and a smaller one that has sunk into
    a larger one at up to its full radius.  Noise (voxels) roughens the surfaces.
    """
    rng = np.random.default_rng(seed)
    sizes = np.sort(rng.uniform(*radii, number))[::-1]
    axes = np.repeat(sizes[:, None], 3, axis=1)
    return _pack(name, shape, axes, np.repeat(np.eye(3)[None], number, axis=0), overlap, noise, rng, _ball)


def two_sizes(shape=(128, 128, 128), large=12, small=400, overlap=0.15, noise=0.0, seed=0) -> Packing:
    """Return spheres of radii 20 and 4 voxels, a size ratio of 1:5."""
    rng = np.random.default_rng(seed)
    sizes = np.r_[np.full(large, 20.0), np.full(small, 4.0)]
    axes = np.repeat(sizes[:, None], 3, axis=1)
    turns = np.repeat(np.eye(3)[None], sizes.size, axis=0)
    name = "size ratio 1:5" + (" noisy" if noise else "")
    return _pack(name, shape, axes, turns, overlap, noise, rng, _ball)


def ellipsoids(
    shape=(128, 128, 128), number=150, aspect=2.0, overlap=0.15, noise=0.0, seed=0, name="ellipsoids"
) -> Packing:
    """Return prolate ellipsoids of random orientation."""
    rng = np.random.default_rng(seed)
    short = np.sort(rng.uniform(6.0, 10.0, number))[::-1]
    axes = np.stack([short * aspect, short, short], axis=1)
    return _pack(name, shape, axes, _rotations(number, rng), overlap, noise, rng, _ball)


def cubes(shape=(128, 128, 128), number=150, overlap=0.1, noise=0.0, seed=0, name="cubes") -> Packing:
    """Return cubes of random orientation with half edges of 6 to 10 voxels."""
    rng = np.random.default_rng(seed)
    half = np.sort(rng.uniform(6.0, 10.0, number))[::-1]
    axes = np.repeat(half[:, None], 3, axis=1)
    return _pack(name, shape, axes, _rotations(number, rng), overlap, noise, rng, _box)


def cases(shape=(128, 128, 128), seed=0) -> list[Packing]:
    """Return the packings that separation is judged on."""
    scale = np.prod(shape) / 128**3

    def n(number: int) -> int:
        return max(8, round(number * scale))

    common = {"shape": shape, "seed": seed}
    return [
        spheres(number=n(200), name="spheres", **common),
        spheres(number=n(200), overlap=0.3, name="spheres overlap .3", **common),
        spheres(number=n(200), overlap=0.38, name="spheres overlap .38", **common),
        spheres(number=n(200), noise=0.6, name="spheres noisy", **common),
        spheres(number=n(200), noise=1.2, name="spheres very noisy", **common),
        spheres(number=n(200), overlap=0.38, noise=0.6, name="spheres overlap .38 noisy", **common),
        ellipsoids(number=n(150), name="ellipsoids", **common),
        ellipsoids(number=n(150), noise=0.8, name="ellipsoids noisy", **common),
        ellipsoids(number=n(150), overlap=0.3, noise=0.8, name="ellipsoids overlap .3 noisy", **common),
        cubes(number=n(150), name="cubes", **common),
        cubes(number=n(150), noise=0.8, name="cubes noisy", **common),
        two_sizes(large=n(12), small=n(400), **common),
        two_sizes(large=n(12), small=n(400), noise=0.6, **common),
    ]


def wide_necks(seed=0) -> list[Packing]:
    """Return spheres whose necks are often wider than 0.9 radii, so that the default merges many of them."""
    return [
        spheres(overlap=0.45, seed=seed, name="spheres overlap .45"),
        spheres(overlap=0.45, noise=0.8, seed=seed, name="spheres overlap .45 noisy"),
    ]


def _pack(
    name: str,
    shape: tuple[int, int, int],
    axes: np.ndarray,
    turns: np.ndarray,
    overlap: float,
    noise: float,
    rng: np.random.Generator,
    gauge: Callable[[np.ndarray], np.ndarray],
) -> Packing:
    """Place particles one after another, largest first, where none is overlapped by more than allowed.

    Of some random places that are allowed the one with the deepest overlap is taken, so that particles touch.
    A voxel inside several particles belongs to the one in which it lies deepest.
    """
    grid_noise = rng.standard_normal(shape).astype(np.float32)
    grid_noise = ndimage.gaussian_filter(grid_noise, 1.2)
    grid_noise *= noise / grid_noise.std()
    depth = np.full(shape, -np.inf, np.float32)  # signed depth below the nearest particle's surface, voxels
    truth = np.zeros(shape, np.int32)
    placed = 0
    for semi_axes, turn in zip(axes, turns, strict=True):
        local, box_of = _stencil(semi_axes, turn, gauge)
        best = None
        for _ in range(25):
            centre = rng.integers(0, shape)
            inside, window = box_of(centre, shape)
            below = np.minimum(local[window], depth[inside]).max()
            if below > overlap * semi_axes.min():
                continue
            if best is None or below > best[0]:
                best = (below, inside, window)
            if best[0] > 0.5 * overlap * semi_axes.min():
                break
        if best is None:
            continue
        _, inside, window = best
        placed += 1
        deeper = local[window] > depth[inside]
        depth[inside][deeper] = local[window][deeper]
        truth[inside][deeper] = placed
    phases = (depth + grid_noise > 0).astype(np.uint8)
    return Packing(name, phases, _clean(truth * phases))


def _stencil(semi_axes, turn, gauge):
    """Return the signed depth (voxels) in a box around a particle, and how to place that box in a volume."""
    reach = int(np.ceil(np.linalg.norm(semi_axes) if gauge is _box else semi_axes.max())) + 5
    offsets = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), axis=-1)
    local = gauge((offsets @ turn.T) / semi_axes) * semi_axes.min()

    def box_of(centre, shape):
        low = np.maximum(centre - reach, 0)
        high = np.minimum(centre + reach + 1, shape)
        inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        window = tuple(slice(a - c + reach, b - c + reach) for a, b, c in zip(low, high, centre, strict=True))
        return inside, window

    return local.astype(np.float32), box_of


def _ball(position: np.ndarray) -> np.ndarray:
    return 1 - np.linalg.norm(position, axis=-1)


def _box(position: np.ndarray) -> np.ndarray:
    return 1 - np.abs(position).max(axis=-1)


def _rotations(number: int, rng: np.random.Generator) -> np.ndarray:
    """Return random rotation matrices."""
    matrices = np.linalg.qr(rng.standard_normal((number, 3, 3)))[0]
    return matrices * np.sign(np.linalg.det(matrices))[:, None, None]


def _clean(truth: np.ndarray) -> np.ndarray:
    """Number the particles that have voxels 1..n; voxels that no particle reaches count as void."""
    return np.unique(truth, return_inverse=True)[1].reshape(truth.shape).astype(np.int32)
