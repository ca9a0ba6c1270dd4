"""Particles find their places."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from tripoint.errors import InputError
from tripoint.materials import AXES
from tripoint.sample import Spacing
from tripoint.synth.bodies import Bodies, draw, largest_radius, mean_volume
from tripoint.synth.composite import Composite, Particles

TOLERANCE = 0.003  # by which an overlap may exceed what is allowed
SWEEPS = 4000
ROUNDS = 6  # of changing how many particles there are, until they fill the fraction
FLUCTUATION = 0.25  # relative, by which the number in a small volume may be off that of a large one
CLOSE = 0.005  # relative, of the fraction; the last of it is made by growing all particles alike
RESERVE = 1.6  # particles drawn, times those that fill the fraction without overlap
COARSE = 7  # voxels per median diameter, where volumes are estimated

Array = np.ndarray


@dataclass(frozen=True)
class Packing:
    """Particles and their places: ``centres`` (n, 3), µm from the corner of the volume."""

    bodies: Bodies
    centres: Array

    def shares(self, extent: Array, kinds: int) -> Array:
        """Estimate which share of the volume each kind of particles fills."""
        from tripoint._cpu import synth as _synth

        voxel = 2 * np.median(self.bodies.radii) / COARSE
        size = np.maximum(24, np.ceil(extent / voxel).astype(int))
        depth, owner = _synth.paint(
            tuple(map(int, size)),
            tuple(extent / size),
            *self.arrays(),
            1.0,
            np.zeros((len(self.centres), 14)),
        )
        kind = self.bodies.kind[owner[depth > 0] - 1]
        return np.bincount(kind, minlength=kinds) / depth.size

    def arrays(self) -> tuple[Array, ...]:
        """Return what painting takes."""
        b = self.bodies
        return self.centres, b.radii, b.half, b.gauges, b.template, b.faces, b.power

    def only(self, kind: int) -> Packing:
        """Return the particles of a kind."""
        rows = np.flatnonzero(self.bodies.kind == kind)
        return Packing(self.bodies[rows], self.centres[rows])


def pack(rng: np.random.Generator, composite: Composite, extent: Array, voxel: Spacing) -> Packing:
    """Place as many particles as fill their volume fractions, none overlapping more than allowed.

    They start at random and push each other apart (Jodrey & Tory, Physical Review A 32, 1985, at sizes
    that do not change): equal spheres come to 0.60 or so without overlap, where placing one after another
    ends at 0.38.  Then their number is corrected until their union fills what is asked for, and so on.

    Raises
    ------
    InputError
        Particles that do not pack so densely.
    """
    kinds = list(composite.particles.values())
    room = _Room(composite, extent, voxel)
    wanted = np.array([kind.fraction for kind in kinds])
    numbers = np.array(
        [max(1, math.ceil(k.fraction * float(np.prod(room.box)) / mean_volume(k))) for k in kinds]
    )
    drawn = [math.ceil((RESERVE + 4 * max(composite.overlap, 0)) * n) + 4 for n in numbers]
    bodies, places = draw(rng, composite, drawn), room.places(rng, kinds, drawn)
    first = np.concatenate([[0], np.cumsum(drawn)[:-1]])
    packing, fitted, jam = None, numbers, ""
    for _ in range(ROUNDS):
        rows = np.concatenate([np.arange(a, a + n) for a, n in zip(first, numbers, strict=True)])
        chosen = bodies[rows]
        relaxed, excess = room.relax(chosen, places[rows])
        if excess > TOLERANCE:
            if packing is not None and room.full(packing, wanted):
                break  # the volume happens to hold less than its surroundings, which are full
            jam = room.jammed(excess)
            if packing is None or np.all(numbers - fitted < 2):
                raise InputError(jam)
            numbers = (numbers + fitted) // 2
            continue
        places[rows], fitted, jam = relaxed, numbers, ""
        packing = Packing(chosen, relaxed - room.margin)
        missing = wanted / np.maximum(packing.shares(extent, len(kinds)), wanted / 4)
        corrected = numbers * missing
        if np.any(np.abs(missing - 1) > FLUCTUATION / 2):  # else it is no matter what the whole room holds
            usual = numbers * wanted / np.maximum(room.shares(packing), wanted / 4)
            corrected = np.clip(corrected, (1 - FLUCTUATION) * usual, (1 + FLUCTUATION) * usual)
        corrected = np.clip(np.round(corrected), 1, drawn).astype(int)
        if np.all(np.abs(missing - 1) < CLOSE) or np.all(corrected == numbers):
            break
        numbers = corrected
    if packing is None or jam:
        raise InputError(jam)
    return packing


class _Room:
    """Where particles are placed: the volume with a margin, periodic, or the volume between its walls."""

    def __init__(self, composite: Composite, extent: Array, voxel: Spacing) -> None:
        self.composite = composite
        self.walls = not composite.cut
        self.inset = np.array(voxel) * (1.0 if self.walls else 0.0)
        largest = max(largest_radius(kind) for kind in composite.particles.values())
        # Wide enough that nothing reaches around the box, nor meets itself or the same one twice.
        margin = np.maximum(largest, 2.1 * largest - extent / 2)
        self.margin = np.zeros(3) if self.walls else margin
        self.box = extent + 2 * self.margin
        self.extent = extent

    def places(self, rng: np.random.Generator, kinds: list[Particles], numbers: list[int]) -> Array:
        """Draw places to start from, more of them where the gradient has more particles."""
        parts = []
        axis = AXES.index(self.composite.axis)
        for kind, number in zip(kinds, numbers, strict=True):
            uniform = rng.random((number, 3))
            grid = np.linspace(0, self.box[axis], 1025)
            along = np.clip((grid - self.margin[axis]) / self.extent[axis], 0, 1)
            density = np.cumsum(1 + kind.gradient * (along - 0.5) + 1e-9)
            uniform[:, axis] = np.interp(uniform[:, axis], density / density[-1], grid / self.box[axis])
            parts.append(uniform * self.box)
        return np.concatenate(parts)

    def shares(self, packing: Packing) -> Array:
        """Estimate which share of the whole room each kind of particles fills."""
        rows, centres = [], []
        for shift in product((0,) if self.walls else (-1, 0, 1), repeat=3):  # what reaches in around the box
            moved = packing.centres + self.margin + np.array(shift) * self.box
            half = packing.bodies.half
            rows.append(np.flatnonzero(np.all((moved > -half) & (moved < self.box + half), axis=1)))
            centres.append(moved[rows[-1]])
        whole = Packing(packing.bodies[np.concatenate(rows)], np.concatenate(centres))
        return whole.shares(self.box, len(self.composite.particles))

    def full(self, packing: Packing, wanted: Array) -> bool:
        """Return whether the room, if not the volume in it, holds what is wanted."""
        return bool(np.all(self.shares(packing) > 0.97 * wanted))

    def relax(self, bodies: Bodies, places: Array) -> tuple[Array, float]:
        """Push particles apart; return their places and how much too much the worst pair still overlaps."""
        from tripoint._cpu import synth as _synth

        places = places.copy()
        worst, _ = _synth.relax(
            places,
            bodies.radii,
            bodies.reach,
            bodies.half,
            bodies.to_space,
            bodies.template,
            bodies.points,
            self.box,
            self.walls,
            self.inset,
            1 - self.composite.overlap,
            TOLERANCE,
            SWEEPS,
        )
        return places, worst

    def jammed(self, excess: float) -> str:
        """Say that the particles do not fit, and what would."""
        fraction = sum(kind.fraction for kind in self.composite.particles.values())
        overlap = self.composite.overlap
        return (
            f"particles cannot be packed to a volume fraction of {fraction:.3g} with an overlap of "
            f"{overlap:g}: some still overlap by {overlap + excess:.2f}; ask for a smaller fraction, or "
            "allow more overlap" + (", or let the border cut particles" if self.walls else "")
        )
