"""Shapes of particles, all of them convex: what the packing and the painting need of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from tripoint.synth.composite import Composite, Particles

Array = np.ndarray

CUT = 3.0  # diameters within so many standard deviations of their logarithm
TEMPLATES = 8  # polyhedra per kind of particles; each particle is one of them, turned
FACES = 14
POINTS = 256  # on the surface of a template, for its support function
UNEVEN = 0.12  # s.d. of the distance of faces from the centre


@dataclass(frozen=True)
class Bodies:
    """Particles without their places, n of them.

    ``radii`` (n) of spheres of equal volume, µm · ``kind`` (n), which of the composite's ·
    ``to_space`` (n, 3, 3) from the shape's own axes, in which it has the size 1, to µm; ``gauges``, its
    inverse · ``template`` (n), −1 for ellipsoids, else a row of ``faces`` (t, f, 3) and ``points`` (t, p, 3)
    · ``half`` (n, 3), half extents along the axes, µm · ``reach`` (n), largest radius, µm.
    """

    radii: Array
    kind: Array
    to_space: Array
    gauges: Array
    template: Array
    half: Array
    reach: Array
    faces: Array
    points: Array
    power: Array

    def __getitem__(self, rows: Array) -> Bodies:
        """Return some of the particles."""
        each = ("radii", "kind", "to_space", "gauges", "template", "half", "reach")
        return replace(self, **{name: getattr(self, name)[rows] for name in each})


def draw(rng: np.random.Generator, composite: Composite, numbers: list[int]) -> Bodies:
    """Draw sizes, shapes and orientations of so many particles of each kind.

    Sizes are lognormal, cut at three standard deviations; orientations are uniform on the rotations.
    """
    parts = [
        _draw(rng, particles, number, kind)
        for kind, (particles, number) in enumerate(zip(composite.particles.values(), numbers, strict=True))
    ]
    template = [np.where(p.template < 0, -1, p.template + TEMPLATES * k) for k, p in enumerate(parts)]
    names = ("radii", "kind", "to_space", "gauges", "half", "reach", "faces", "points", "power")
    joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    return Bodies(template=np.concatenate(template), **joined)


def mean_volume(particles: Particles) -> float:
    """Return the mean volume of particles of lognormal size cut at three standard deviations, µm³."""
    s = particles.spread
    cut = (ndtr(CUT - 3 * s) - ndtr(-CUT - 3 * s)) / (ndtr(CUT) - ndtr(-CUT))
    return float(math.pi / 6 * particles.diameter**3 * math.exp(4.5 * s**2) * cut)


def largest_radius(particles: Particles) -> float:
    """Return a bound on how far a particle of a kind reaches from its centre, µm."""
    slenderness = 1.0 if particles.shape == "sphere" else max(particles.aspect, 1 / particles.aspect)
    corners = 1.5 if particles.shape == "polyhedron" else 1.0
    return particles.diameter / 2 * math.exp(CUT * particles.spread) * slenderness ** (2 / 3) * corners


def _draw(rng: np.random.Generator, particles: Particles, number: int, kind: int) -> Bodies:
    uniform = ndtr(-CUT) + rng.random(number) * (ndtr(CUT) - ndtr(-CUT))
    radii = particles.diameter / 2 * np.exp(particles.spread * ndtri(uniform))
    turns = np.broadcast_to(np.eye(3), (number, 3, 3))
    stretch = np.ones(3)
    if particles.shape != "sphere":
        turns = _rotations(rng, number)
        stretch = np.array([particles.aspect, 1.0, 1.0]) * particles.aspect ** (-1 / 3)
    axes = radii[:, None] * stretch
    to_space = turns * axes[:, None, :]
    gauges = turns.transpose(0, 2, 1) / axes[:, :, None]
    template = np.full(number, -1)
    power = max(2, round(2 / particles.roundness))
    faces, points = _templates(rng, power)
    half = np.sqrt((to_space**2).sum(axis=2))
    reach = radii * stretch.max()
    if particles.shape == "polyhedron":
        template = rng.integers(0, TEMPLATES, number)
        reach, half = np.empty(number), np.empty((number, 3))
        for i in range(number):
            surface = np.einsum("pa,ba->pb", points[template[i]], to_space[i])
            half[i] = 1.03 * np.abs(surface).max(axis=0)  # corners between the points
            reach[i] = 1.03 * np.sqrt((surface**2).sum(axis=1).max())
    return Bodies(
        radii,
        np.full(number, kind),
        np.ascontiguousarray(to_space),
        np.ascontiguousarray(gauges),
        template,
        half,
        reach,
        faces,
        points,
        np.full(TEMPLATES, power),
    )


def _templates(rng: np.random.Generator, power: int) -> tuple[Array, Array]:
    """Return polyhedra of the volume of the unit sphere: normals over distances, and points on the surface.

    A polyhedron with rounded edges is where ``(Σ max(0, n · x / a)^p)^(1/p) ≤ 1``, for normals n at
    distances a; the power p → ∞ has sharp edges.
    """
    directions, many = _directions(POINTS), _directions(4000)
    faces, points = np.empty((TEMPLATES, FACES, 3)), np.empty((TEMPLATES, POINTS, 3))
    for t in range(TEMPLATES):
        normals = np.einsum("fa,ba->fb", _directions(FACES), _rotations(rng, 1)[0])
        normals += 0.2 * rng.standard_normal((FACES, 3))
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        distances = 1 + UNEVEN * np.clip(rng.standard_normal(FACES), -2, 2)
        face = normals / distances[:, None]
        face *= np.cbrt(np.mean(_gauge(many, face, power) ** -3.0))
        faces[t] = face
        points[t] = directions / _gauge(directions, face, power)[:, None]
    return faces, points


def _gauge(positions: Array, face: Array, power: int) -> Array:
    return np.sum(np.maximum(np.einsum("pa,fa->pf", positions, face), 0) ** power, axis=1) ** (1 / power)


def _directions(number: int) -> Array:
    """Return directions evenly spread on the sphere: a Fibonacci lattice."""
    k = np.arange(number) + 0.5
    z, turn = 1 - 2 * k / number, math.pi * (1 + math.sqrt(5)) * k
    across = np.sqrt(1 - z * z)
    return np.stack([z, across * np.cos(turn), across * np.sin(turn)], axis=1)


def _rotations(rng: np.random.Generator, number: int) -> Array:
    """Return rotation matrices, uniform on the rotations, from unit quaternions."""
    q = rng.standard_normal((number, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.ascontiguousarray(np.moveaxis(np.array(rows), 2, 0))
