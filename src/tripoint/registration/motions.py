"""Rigid and affine motions about a point, by parameters of which each moves the corners about equally far."""

from __future__ import annotations

import math
from functools import reduce
from itertools import combinations, product

import numpy as np


class Motion:
    r"""Motions x ↦ c + M(θ) (x − c) + t of a fixed volume about its middle c.

    Of an affine one M is the identity plus a matrix, of a rigid one a product of rotations in the planes of
    the axes. Each parameter is in units of which 1 moves a corner, or a face's middle, by about one voxel.

    Parameters
    ----------
    method : {"rigid", "affine"}
    extent : (z, y, x)
        Of the fixed volume, µm.
    edge : float
        Of its voxels, µm.
    flat : bool
        Whether it is one slice, which stays in its plane.
    """

    def __init__(self, method: str, extent: np.ndarray, edge: float, flat: bool) -> None:
        axes = [1, 2] if flat else [0, 1, 2]
        self.rigid = method == "rigid"
        unit, half = np.eye(3), np.asarray(extent) / 2
        if self.rigid:
            self.angle = edge / float(np.linalg.norm(half[axes]))  # of one unit
            turns = [
                np.outer(unit[b], unit[a]) - np.outer(unit[a], unit[b]) for a, b in combinations(axes, 2)
            ]
        else:
            turns = [np.outer(unit[a], unit[b]) * edge / half[b] for a, b in product(axes, repeat=2)]
        self.turns, self.steps = np.array(turns), edge * unit[axes]
        self.parameters = len(self.turns) + len(self.steps)

    def matrix(self, parameters: np.ndarray) -> np.ndarray:
        """Return [M, t], (3, 4)."""
        turned, moved = np.split(parameters, [len(self.turns)])
        if self.rigid:
            matrix = reduce(np.matmul, self._rotations(turned)[0])
        else:
            matrix = np.eye(3) + np.tensordot(turned, self.turns, 1)
        return np.column_stack([matrix, moved @ self.steps])

    def affine(self, parameters: np.ndarray, middle: np.ndarray) -> np.ndarray:
        """Return the motion about a middle as an affine, (4, 4)."""
        affine = np.eye(4)
        affine[:3] = self.matrix(parameters)
        affine[:3, 3] += middle - affine[:3, :3] @ middle
        return affine

    def slope(self, parameters: np.ndarray, by_matrix: np.ndarray) -> np.ndarray:
        """Return the derivative by the parameters of what has a derivative (3, 4) by the matrix."""
        slopes = self.turns
        if self.rigid:
            turns, changes = self._rotations(parameters[: len(self.turns)])
            several = range(len(turns))
            slopes = np.array(
                [reduce(np.matmul, [changes[j] if j == k else turns[j] for j in several]) for k in several]
            )
        return np.concatenate([np.tensordot(slopes, by_matrix[:, :3], 2), self.steps @ by_matrix[:, 3]])

    def _rotations(self, turned: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the rotation in each plane, and its derivative by its parameter."""
        turns, changes = [], []
        for generator, number in zip(self.turns, turned, strict=True):
            sine, cosine = math.sin(number * self.angle), math.cos(number * self.angle)
            square = generator @ generator
            turns.append(np.eye(3) + sine * generator + (1 - cosine) * square)
            changes.append(self.angle * (cosine * generator + sine * square))
        return turns, changes
