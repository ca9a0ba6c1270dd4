"""Composites with known ground truth, from a seed.

Polydisperse rough spheres are packed first; the space between them is filled with the other phases by
correlated random fields with exact volume fractions, the additive biased towards particle surfaces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tripoint.errors import InputError
from tripoint.materials import Materials
from tripoint.record import Progress
from tripoint.sample import Sample, check_spacing


@dataclass(frozen=True)
class Composite:
    """What a synthetic solid-state cathode is made of.

    Parameters
    ----------
    active, carbon, void : float
        Volume fractions; electrolyte is the rest.
    diameter : float
        Median diameter of the active particles, µm.
    spread : float
        Standard deviation of the logarithm of the diameters.
    overlap : float
        How far two particles may grow into each other, as a share of the sum of their radii.
    roughness : float
        Amplitude of the surface noise as a share of the radius.
    carbon_bias : float
        How strongly carbon prefers the surface of particles; 0 is not at all.
    grain : float
        Correlation length of carbon, void and electrolyte, µm.
    """

    active: float = 0.50
    carbon: float = 0.06
    void: float = 0.10
    diameter: float = 5.0
    spread: float = 0.3
    overlap: float = 0.08
    roughness: float = 0.10
    carbon_bias: float = 1.0
    grain: float = 0.8

    def __post_init__(self) -> None:
        """Check that the fractions leave room for each other."""
        fractions = (self.active, self.carbon, self.void)
        if min(fractions) < 0 or sum(fractions) >= 1:
            message = (
                f"volume fractions of active, carbon and void are {fractions}; "
                "each must be at least 0 and their sum below 1, the rest is electrolyte"
            )
            raise InputError(message)
        if self.diameter <= 0 or self.grain <= 0:
            message = f"diameter is {self.diameter} and grain {self.grain} µm; both must be positive"
            raise InputError(message)


def solid_state_cathode(
    shape: Sequence[int] = (192, 192, 192),
    spacing: Sequence[float] = (0.25, 0.25, 0.25),
    *,
    composite: Composite | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Sample:
    """Return a synthetic composite cathode: active particles, electrolyte, carbon and void.

    Parameters
    ----------
    shape : (z, y, x)
        Voxels.
    spacing : (z, y, x)
        Voxel size, µm.
    composite : Composite
    seed : int
        The same seed gives the same volume bit for bit.

    Returns
    -------
    Sample
        Materials ``solid_state_cathode``; the channel ``particle`` holds the number of the packed
        sphere that each active voxel belongs to, the ground truth of the separation.

    Raises
    ------
    InputError
        Fractions that do not fit, or particles that cannot be packed so densely.
    """
    from tripoint._cpu import synth as _synth

    composite = composite or Composite()
    size = tuple(int(n) for n in shape)
    voxel = check_spacing(spacing)
    if len(size) != 3 or min(size) < 16:
        message = (
            f"shape is {tuple(shape)}; expected three sizes of at least 16 voxels, for example [192,192,192]"
        )
        raise InputError(message)
    rng = np.random.default_rng(seed)
    materials = Materials.load("solid_state_cathode")
    steps = ("packing particles", "painting particles", "filling the space between")
    tell = _teller(progress, steps)

    tell(0)
    centres, radii = _pack(rng, size, voxel, composite)
    tell(1)
    noise = _field(rng, size, voxel, composite.diameter / 6)
    level, owner = _synth.paint_spheres(size, voxel, centres, radii, composite.roughness * noise)
    active = _largest(level, composite.active)
    if not np.isfinite(level[active]).all():
        message = (
            f"{composite.active:.0%} of active material was asked for and the packed particles fill only "
            f"{np.isfinite(level).mean():.0%}; ask for less, or allow more overlap"
        )
        raise InputError(message)
    tell(2)
    phases = _fill(rng, active, voxel, composite, materials)
    owner[~active] = 0
    tell(3)
    return Sample(phases, voxel, materials, {"particle": owner.astype(np.float32)}, f"synthetic_{seed}")


def _pack(rng, size, voxel, composite):  # type: ignore[no-untyped-def]
    """Place spheres of lognormal size at random, largest first, as many as fill the fraction asked for."""
    from tripoint._cpu import synth as _synth

    extent = np.array(size) * voxel
    margin = composite.diameter / 2
    box = extent + 2 * margin  # particles may be cut by the border
    mean_volume = math.pi / 6 * composite.diameter**3 * math.exp(4.5 * composite.spread**2)
    wanted = max(1, math.ceil(1.10 * composite.active * float(np.prod(box)) / mean_volume))
    radii = composite.diameter / 2 * np.exp(composite.spread * rng.standard_normal(wanted))
    radii = np.sort(np.clip(radii, composite.diameter / 5, composite.diameter * 1.5))[::-1].copy()
    centres = _synth.pack_spheres(radii, box, composite.overlap, int(rng.integers(2**31)), 20_000)
    placed = np.isfinite(centres[:, 0])
    return centres[placed] - margin, radii[placed]


def _fill(rng, active, voxel, composite, materials):  # type: ignore[no-untyped-def]
    """Share the space between the particles among carbon, void and electrolyte."""
    import edt

    phases = np.full(active.shape, materials["electrolyte"].label, np.uint8)
    phases[active] = materials["active"].label
    rest = ~active
    away = edt.edt(rest, anisotropy=voxel, black_border=False, parallel=0)
    affinity = _field(rng, active.shape, voxel, composite.grain)
    affinity -= np.float32(composite.carbon_bias) * np.minimum(away / np.float32(composite.grain), 3)
    affinity[active] = -np.inf
    carbon = _largest(affinity, composite.carbon)
    phases[carbon] = materials["carbon"].label
    holes = _field(rng, active.shape, voxel, 1.5 * composite.grain)
    holes[active | carbon] = -np.inf
    phases[_largest(holes, composite.void)] = materials["void"].label
    return phases


def _field(rng, size, voxel, length):  # type: ignore[no-untyped-def]
    """Return a Gaussian random field of unit variance with a correlation length in µm."""
    from scipy.ndimage import gaussian_filter

    noise = rng.standard_normal(size, dtype=np.float32)
    noise = gaussian_filter(noise, [length / s for s in voxel], mode="wrap", truncate=3)
    noise /= noise.std()
    return noise


def _largest(field, fraction):  # type: ignore[no-untyped-def]
    """Return the mask of the voxels with the largest values that make up a volume fraction exactly."""
    count = round(fraction * field.size)
    mask = np.zeros(field.size, bool)
    if count:
        mask[np.argpartition(field.ravel(), field.size - count)[field.size - count :]] = True
    return mask.reshape(field.shape)


def _teller(progress, steps):  # type: ignore[no-untyped-def]
    def tell(done: int) -> None:
        if progress:
            progress(steps[done] if done < len(steps) else "done", done, len(steps))

    return tell
