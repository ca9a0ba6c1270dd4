"""A composite becomes a sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.materials import AXES
from tripoint.record import Progress
from tripoint.sample import Sample, Spacing, check_spacing
from tripoint.synth import imaging as _imaging
from tripoint.synth.bodies import largest_radius
from tripoint.synth.composite import Composite, Fill, Particles
from tripoint.synth.fields import gaussian_field, ramp, take
from tripoint.synth.packing import Packing, pack
from tripoint.synth.views import check_channels, check_seed, views

Array = np.ndarray

FREE, UNION, CRACK = 0, 254, 255  # what voxels count as while the phases 1, 2, … take their places
REACH = (1.35, 2.5)  # sizes out to which a particle is painted; the second where the first is not enough
STEPS = ("packing particles", "painting particles", "filling the space between", "imaging")
FEWEST_VOXELS = 16  # along an axis
RESOLVED = 4  # voxels per median diameter, at least


def make(
    composite: Composite | str,
    shape: Sequence[int] = (192, 192, 192),
    spacing: Any = None,
    *,
    seed: int = 0,
    imaging: bool = False,
    channels: Sequence[str] = (),
    progress: Progress | None = None,
) -> Sample:
    """Make a composite whose truth is known.

    Parameters
    ----------
    composite : Composite or str
        What to make, or the name of a preset.
    shape : (z, y, x)
        Voxels, at least 16 along each axis.
    spacing : (z, y, x), optional
        Voxel size, µm; where none is given, that which suits the composite.
    seed : int
        The same seed gives the same volume bit for bit, whatever the number of threads.
    imaging : bool
        Whether to add what an instrument would see.
    channels : sequence of str
        Which of ``imaging.channels`` to add; displaced ones do not lie on the sample's grid,
        :func:`tripoint.synth.views` makes them.
    progress : callable, optional

    Returns
    -------
    Sample
        Volume fractions are exact: ``round(fraction · voxels)`` each.  Channels:

        - ``particle``, the number 1 … n of the particle that each voxel of a particulate phase belongs to,
          0 elsewhere: the truth for a separation.
        - with ``imaging``: ``grey``, blurred and noisy; ``chemical``, the measured state of charge of the
          active material, NaN where there is too little of it; ``state``, the true one;
        - those of ``channels``.

    Raises
    ------
    InputError
        A shape too small for the particles or voxels too large, particles that do not pack so densely.

    Notes
    -----
    Peak memory, the 5 bytes per voxel of the sample (phases, particle) included, measured at 256³: 23 bytes
    per voxel, 30 with two kinds of particles, 26 with imaging.  Loops run over fixed slabs, and random
    numbers are drawn per slab or on one thread, so that no result depends on how many threads there are.
    """
    composite = Composite.load(composite) if isinstance(composite, str) else composite
    size, voxel = _check_shape(shape), check_spacing(composite.spacing if spacing is None else spacing)
    _check_room(composite, size, voxel)
    rng = np.random.default_rng(check_seed(seed))
    check_channels(composite, channels, displaced=False)
    total = len(STEPS) if imaging or channels else len(STEPS) - 1

    def tell(step: int) -> None:
        if progress:
            progress("done" if step == total else STEPS[step], step, total)

    tell(0)
    packing = pack(rng, composite, np.array(size) * voxel, voxel)
    tell(1)
    phases = np.zeros(size, np.uint8)
    particle = _place_particles(rng, composite, packing, phases, voxel)
    tell(2)
    _fill(rng, composite, phases, voxel)
    assert not isinstance(composite.materials, str)
    labels = np.zeros(256, np.uint8)
    for index, name in enumerate([composite.rest, *composite.particles, *composite.fill]):
        labels[index] = composite.materials[name].label
    for plane in phases:
        plane[...] = labels[plane]
    volumes = {"particle": particle}
    if imaging:
        tell(3)
        volumes |= _imaging.image(rng, composite, phases, particle, voxel)
    sample = Sample(phases, voxel, composite.materials, volumes, f"{composite.materials.name}_{seed}")
    if channels:
        tell(3)
        seen = views(sample, composite, channels, seed)
        sample = replace(sample, channels=volumes | {name: view.values for name, view in seen.items()})
    tell(total)
    return sample


def solid_state_cathode(
    shape: Sequence[int] = (192, 192, 192),
    spacing: Any = None,
    *,
    composite: Composite | None = None,
    **how: Any,
) -> Sample:
    """Make a solid-state cathode: active particles, electrolyte, carbon, void; see :func:`make`."""
    return make(composite or "solid_state_cathode", shape, spacing, **how)


def lithium_ion_cathode(
    shape: Sequence[int] = (192, 192, 192),
    spacing: Any = None,
    *,
    composite: Composite | None = None,
    **how: Any,
) -> Sample:
    """Make a lithium-ion cathode: active particles, binder with carbon, pore; see :func:`make`."""
    return make(composite or "lithium_ion_cathode", shape, spacing, **how)


def solid_oxide_electrode(
    shape: Sequence[int] = (192, 192, 192),
    spacing: Any = None,
    *,
    composite: Composite | None = None,
    **how: Any,
) -> Sample:
    """Make a fuel electrode: grains of nickel and of YSZ sintered together, pore; see :func:`make`."""
    return make(composite or "solid_oxide_electrode", shape, spacing, **how)


def _check_shape(shape: Any) -> tuple[int, int, int]:
    try:
        size = [int(n) for n in shape if n == int(n)]
    except (TypeError, ValueError):
        size = []
    if len(size) != 3 or min(size) < FEWEST_VOXELS:
        message = f"shape is {shape!r}; expected three sizes of at least 16 voxels, for example [192,192,192]"
        raise InputError(message)
    return (size[0], size[1], size[2])


def _check_room(composite: Composite, size: tuple[int, ...], voxel: Spacing) -> None:
    """Say so where particles are too large for the volume or too small for its voxels."""
    extent = min(n * s for n, s in zip(size, voxel, strict=True))
    for name, kind in composite.particles.items():
        if kind.diameter < RESOLVED * max(voxel):
            message = (
                f"the diameter of '{name}' is {kind.diameter:g} µm and a voxel is {max(voxel):g} µm; "
                f"expected at least {RESOLVED} voxels per diameter, "
                "make spacing smaller or the particles larger"
            )
            raise InputError(message)
        needed = 1.5 * kind.diameter if composite.cut else 2 * largest_radius(kind) + 2 * max(voxel)
        if extent < needed:
            message = (
                f"the volume is {extent:g} µm thin, too small for the particles of '{name}': with a "
                f"diameter of {kind.diameter:g} µm it takes {needed:.3g} µm"
                + ("" if composite.cut else " to keep the largest of them whole")
                + "; give a larger shape, or smaller particles"
            )
            raise InputError(message)


def _counts(composite: Composite, voxels: int) -> dict[str, int]:
    """Return the number of voxels of each phase but the rest."""
    left, counts = voxels, {}
    for name, part in composite.parts.items():
        counts[name] = min(round(part.fraction * voxels), left)
        left -= counts[name]
    return counts


def _place_particles(
    rng: np.random.Generator, composite: Composite, packing: Packing, phases: Array, voxel: Spacing
) -> Array:
    """Give voxels to particles, as many as the fractions say; return the particle of every voxel."""
    from tripoint._cpu import synth as _synth

    kinds, size = list(composite.particles.values()), phases.shape
    counts = _counts(composite, phases.size)
    wanted = [counts[name] for name in composite.particles]
    cracks = _cracks(rng, composite, packing)
    for reach in REACH:
        depths, owners, first = [], [], []
        for k in range(len(kinds)):
            rows = np.flatnonzero(packing.bodies.kind == k)
            depth, owner = _synth.paint(size, voxel, *packing.only(k).arrays(), reach, cracks[rows])
            depths.append(depth)
            owners.append(owner)
            first.append(int(rows[0]))
        if all(np.count_nonzero(owner > 0) >= n for owner, n in zip(owners, wanted, strict=True)):
            break
    _roughen(rng, kinds, depths, voxel)
    if not composite.cut:
        for depth in depths:
            _clear_border(depth)
    best = depths[0] if len(kinds) == 1 else np.maximum.reduce(depths)
    for owner in owners:
        _synth.mark(phases, owner, CRACK)
    if np.count_nonzero((best > -np.inf) & (phases == FREE)) < sum(wanted):
        message = (
            f"the packed particles cannot fill {sum(wanted) / phases.size:.3g} of the volume; ask for a "
            "smaller fraction, or for a larger volume"
        )
        raise InputError(message)
    if any(kind.gradient for kind in kinds):
        planes = sum(_planes(composite, phases, kind) for kind in kinds)
        best = best - ramp(best, phases, FREE, planes / _free(composite, phases), AXES.index(composite.axis))
    least = take(best, phases, FREE, UNION, sum(wanted))
    if composite.cracks.share > 0:
        _settle_cracks(composite, phases, best, least, counts)
    owner = _share_union(composite, phases, depths, owners, first, wanted)
    of_particles = np.zeros(256, np.bool_)
    of_particles[1 : len(kinds) + 1] = True
    return _synth.number(owner, phases, of_particles, len(packing.centres))[0]


def _roughen(rng: np.random.Generator, kinds: list[Any], depths: list[Array], voxel: Spacing) -> None:
    """Add the noise of surfaces, the same for all kinds but for its amplitude."""
    if not any(kind.roughness for kind in kinds):
        return
    noise = gaussian_field(rng, depths[0].shape, voxel, min(kind.diameter for kind in kinds) / 6)
    for kind, depth in zip(kinds, depths, strict=True):
        for plane, bumps in zip(depth, noise, strict=True):
            np.add(plane, np.float32(kind.roughness * kind.diameter / 2) * bumps, out=plane)


def _clear_border(depth: Array) -> None:
    for axis in range(3):
        for face in (0, -1):
            np.moveaxis(depth, axis, 0)[face] = -np.inf


def _free(composite: Composite, phases: Array) -> Array:
    """Return the fraction of each plane along the axis of the gradient that is still free."""
    others = tuple(a for a in range(3) if a != AXES.index(composite.axis))
    return np.maximum(np.mean(phases == FREE, axis=others), 1e-9)


def _planes(composite: Composite, phases: Array, part: Particles | Fill) -> Array:
    """Return the fraction of a phase in each plane along the axis of the gradient."""
    n = phases.shape[AXES.index(composite.axis)]
    return part.fraction * (1 + part.gradient * ((np.arange(n) + 0.5) / n - 0.5))


def _share_union(
    composite: Composite,
    phases: Array,
    depths: list[Array],
    owners: list[Array],
    first: list[int],
    wanted: list[int],
) -> Array:
    """Share the voxels of all particles among their kinds: to each go those in which its lead is longest.

    The lead is how much deeper a voxel lies in one kind than in those that are still to be served.  Returns
    the particle of every voxel, counted over all kinds.
    """
    owner, kinds = owners[0], list(composite.particles.values())
    furthest = np.float32(10 * max(kind.diameter for kind in kinds))
    for k, kind in enumerate(kinds[:-1]):
        lead = np.maximum.reduce(depths[k + 1 :])
        with np.errstate(invalid="ignore"):  # beyond the reach of all
            np.subtract(depths[k], lead, out=lead)
        lead[np.isnan(lead)] = -furthest
        np.clip(lead, -furthest, furthest, out=lead)
        if any(other.gradient != kind.gradient for other in kinds):
            planes = [_planes(composite, phases, other) for other in kinds[k:]]
            off = ramp(lead, phases, UNION, planes[0] / sum(planes), AXES.index(composite.axis))
            lead -= np.clip(off, -furthest / 5, furthest / 5)
        take(lead, phases, UNION, k + 1, wanted[k])
    phases[phases == UNION] = len(wanted)
    for k in range(1, len(wanted)):
        mine = phases == k + 1
        owner[mine] = owners[k][mine] + first[k]
    return owner


def _settle_cracks(
    composite: Composite, phases: Array, best: Array, least: float, counts: dict[str, int]
) -> None:
    """Give the voxels of cracks that lie inside particles to their phase, and free the others."""
    order = [composite.rest, *composite.particles, *composite.fill]
    phase = order.index(composite.cracks.phase)
    for plane, depth in zip(phases, best, strict=True):
        crack = plane == CRACK
        plane[crack] = np.where(depth[crack] >= least, phase, FREE)
    if phase == 0:
        return
    made = np.count_nonzero(phases == phase)
    if made > counts[composite.cracks.phase]:
        message = (
            f"the cracks take {made / phases.size:.3g} of the volume and '{composite.cracks.phase}' has "
            f"{counts[composite.cracks.phase] / phases.size:.3g}; make cracks.share or cracks.width smaller, "
            "or that fraction larger"
        )
        raise InputError(message)


def _cracks(rng: np.random.Generator, composite: Composite, packing: Packing) -> Array:
    """Draw a crack for some particles: a wavy plane through the inner half, which runs in from one side."""
    n, cracks = len(packing.centres), composite.cracks
    rows = np.zeros((n, 14))
    if cracks.share == 0:
        return rows
    radii = packing.bodies.radii
    frame = rng.standard_normal((n, 2, 3))
    normal = frame[:, 0] / np.linalg.norm(frame[:, 0], axis=1, keepdims=True)
    growth = frame[:, 1] - (frame[:, 1] * normal).sum(axis=1, keepdims=True) * normal
    growth /= np.linalg.norm(growth, axis=1, keepdims=True)
    rows[:, 0:3], rows[:, 3:6], rows[:, 6:9] = normal, growth, np.cross(normal, growth)
    rows[:, 9] = rng.uniform(-0.3, 0.3, n) * radii
    rows[:, 10] = np.where(rng.permutation(n) < round(cracks.share * n), cracks.width / 2, 0)
    rows[:, 11] = (1 - 2 * cracks.length) * packing.bodies.reach
    rows[:, 12] = 0.06 * radii
    rows[:, 13] = 2 * math.pi / (1.2 * radii)
    return rows


def _fill(rng: np.random.Generator, composite: Composite, phases: Array, voxel: Spacing) -> None:
    """Share the space between the particles among the other phases, in their order."""
    from tripoint import distance

    counts = _counts(composite, phases.size)
    kinds = len(composite.particles)
    away = None
    if any(part.bias for part in composite.fill.values()):
        away = distance.transform(((phases > 0) & (phases <= kinds)).view(np.uint8), voxel)
    for index, (name, part) in enumerate(composite.fill.items(), start=kinds + 1):
        missing = counts[name] - int(np.count_nonzero(phases == index))
        field = gaussian_field(rng, phases.shape, voxel, part.grain)
        if part.bias and away is not None:
            grain, bias = np.float32(part.grain), np.float32(part.bias)
            for plane, distances in zip(field, away, strict=True):
                np.subtract(plane, bias * np.minimum(distances / grain, 3), out=plane)
        if part.gradient:
            share = _planes(composite, phases, part) / _free(composite, phases)
            field -= ramp(field, phases, FREE, share, AXES.index(composite.axis))
        take(field, phases, FREE, index, missing)
