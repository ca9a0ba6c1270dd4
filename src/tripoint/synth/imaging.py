"""What an instrument would see of a composite: a grey volume and a chemical map."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tripoint.errors import InputError
from tripoint.materials import AXES
from tripoint.sample import Spacing
from tripoint.synth.composite import Composite

Array = np.ndarray

PLANES = 16  # that share a stream of random numbers
ENOUGH = 0.5  # active material in the blurred voxel, for a state of charge to be given


def image(
    rng: np.random.Generator, composite: Composite, phases: Array, particle: Array, voxel: Spacing
) -> dict[str, Array]:
    """Return the channels ``grey``, ``chemical`` and ``state``, float32.

    ``grey = Poisson(photons · (G ∗ v)) / photons`` for grey values v and a Gaussian G.  The chemical map is
    that of two images, one of the charged part of the active material and one of the rest:
    ``c = n₁ / (n₁ + n₀)`` with ``n₁ ~ Poisson(photons · (G ∗ s))`` and
    ``n₀ ~ Poisson(photons · (G ∗ (1 − s)))``, for the true state of charge s; outside of the active material
    both are 0.  NaN where fewer than half of the photons of a full voxel are counted.
    """
    how = composite.imaging
    grey = painted(composite, how.grey, phases, "imaging.grey")
    counted(rng, blurred(grey, voxel, how.blur), how.photons)
    charged = _state(rng, composite, phases, particle, voxel)
    channels = {"grey": grey, "state": charged.copy()}
    reduced = _active(composite, phases).astype(np.float32)
    reduced -= charged
    for part in (charged, reduced):
        np.maximum(blurred(part, voxel, how.blur), 0, out=part)
        counted(rng, part, how.photons)
    for up, down in zip(charged, reduced, strict=True):
        seen = up + down
        with np.errstate(invalid="ignore", divide="ignore"):
            up[...] = np.where(seen >= ENOUGH, up / seen, np.nan)
    return {**channels, "chemical": charged}


def painted(composite: Composite, grey: Mapping[str, float], phases: Array, setting: str) -> Array:
    """Return the grey value of every voxel, float32.

    Raises
    ------
    InputError
        A phase that the composite does not have; the setting is named.
    """
    materials = composite.materials
    assert not isinstance(materials, str)
    values = np.zeros(256, np.float32)
    for name, value in grey.items():
        if name not in composite.phases:
            message = f"{setting} names '{name}'; the phases are {', '.join(composite.phases)}"
            raise InputError(message)
        values[materials[name].label] = value
    volume = np.empty(phases.shape, np.float32)
    for plane, labels in zip(volume, phases, strict=True):
        plane[...] = values[labels]
    return volume


def _active(composite: Composite, phases: Array) -> Array:
    materials = composite.materials
    assert not isinstance(materials, str)
    active = np.zeros(256, np.bool_)
    for name in composite.particles:
        active[materials[name].label] = materials[name].active
    return active[phases]


def _state(
    rng: np.random.Generator, composite: Composite, phases: Array, particle: Array, voxel: Spacing
) -> Array:
    """Return the true state of charge: of each particle, by its depth and by chance, and of its core."""
    from tripoint import distance
    from tripoint._cpu import synth as _synth

    how, axis = composite.imaging, AXES.index(composite.axis)
    numbers = int(particle.max()) + 1
    planes = np.zeros((2, numbers))
    for z, plane in enumerate(particle):  # volumes and places along the axis, plane by plane
        here = plane.astype(np.int64)
        planes[0] += np.bincount(here.ravel(), minlength=numbers)
        at = np.broadcast_to(np.array(z) if axis == 0 else _index(plane.shape, axis - 1), plane.shape)
        planes[1] += np.bincount(here.ravel(), weights=at.ravel(), minlength=numbers)
    voxels = np.maximum(planes[0], 1)
    place = (planes[1] / voxels + 0.5) / phases.shape[axis] - 0.5
    base = how.state + how.depth * place + how.spread * rng.standard_normal(numbers)
    radii = np.cbrt(voxels * np.prod(voxel) * 3 / (4 * np.pi))
    active = _active(composite, phases)
    return _synth.states(
        particle, active, distance.transform(active.view(np.uint8), voxel), base, how.core, radii
    )


def _index(shape: tuple[int, ...], axis: int) -> Array:
    along = np.arange(shape[axis])
    return along[:, None] if axis == 0 else along[None, :]


def blurred(volume: Array, voxel: Spacing, blur: float) -> Array:
    """Smooth a volume in place by the point spread; its border goes on as it is."""
    from scipy.ndimage import gaussian_filter

    if blur > 0:
        gaussian_filter(volume, [blur / s for s in voxel], output=volume, mode="nearest", truncate=3.5)
    return volume


def counted(rng: np.random.Generator, volume: Array, photons: float) -> None:
    """Replace values by what so many photons count of them, in place; a stream of chance per few planes."""
    if photons <= 0:
        return
    slabs = [volume[z : z + PLANES] for z in range(0, volume.shape[0], PLANES)]

    def count(slab: Array, chance: np.random.Generator) -> None:
        slab[...] = chance.poisson(np.maximum(slab, 0) * photons) / photons

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(count, slabs, rng.spawn(len(slabs))))
