"""Smooth Gaussian random fields, slab by slab, at a few operations per voxel whatever their length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

REACH = 4.0
"""Standard deviations after which the kernel ends."""


@dataclass(frozen=True)
class Fields:
    r"""Gaussian random fields of mean 0 and variance 1 whose neighbours agree.

    .. math:: n(x) = \sum_j w_j K(x - x_j) \Big/ \Big[\sum_j K(x - x_j)^2\Big]^{1/2}, \qquad
              K(d) = \exp\left(-\tfrac{1}{2} (d / \ell)^2\right)

    with independent normal numbers w on a lattice whose nodes are ℓ apart (a voxel, where ℓ is less).
    The autocorrelation over a distance r is that of noise filtered by K, exp(−(r / 2ℓ)²), to 10⁻⁴: a
    Gaussian is so smooth that sampling it once per standard deviation is enough, by Poisson's
    summation formula. K is a product over the axes, so each axis is a banded matrix of nine nodes a row.

    Parameters
    ----------
    shape : (z, y, x)
        Of the volume.
    width : (z, y, x)
        ℓ along each axis, voxels; 0 for voxels on their own.
    seed : sequence of int
        The same field each time, whatever the size of slabs.
    """

    shape: tuple[int, int, int]
    width: Sequence[float]
    seed: Sequence[int]

    def slab(self, number: int, first: int, last: int) -> np.ndarray:
        """Return slices of field ``number``.

        Parameters
        ----------
        number : int
            Fields of different numbers are independent.
        first, last : int
            Slices, of which the last is not among them.

        Returns
        -------
        (last − first, y, x) float32
        """
        along_z, along_y, along_x = self._matrices
        rows = along_z[first:last]
        begin, end = int(rows.indices.min()), int(rows.indices.max()) + 1
        plane = (along_y.shape[1], along_x.shape[1])
        white = np.stack(
            [
                np.random.default_rng([*self.seed, number, node]).standard_normal(plane, np.float32)
                for node in range(begin, end)
            ]
        )
        planes = (rows[:, begin:end] @ white.reshape(len(white), -1)).reshape(-1, *plane)
        found = np.empty((last - first, *self.shape[1:]), np.float32)
        for z, one in enumerate(planes):
            found[z] = along_y @ np.ascontiguousarray((along_x @ np.ascontiguousarray(one.T)).T)
        return found

    @cached_property
    def _matrices(self) -> tuple[sparse.csr_array, ...]:
        return tuple(_matrix(n, one) for n, one in zip(self.shape, self.width, strict=True))


def _matrix(voxels: int, width: float) -> sparse.csr_array:
    """Return what carries numbers of a lattice to voxels, of rows whose squares sum to 1."""
    apart = max(width, 1.0)
    reach = int(np.ceil(REACH * width / apart))
    centre = np.arange(voxels)
    node = np.rint(centre / apart).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    distance = centre[:, None] - node * apart
    weight = np.exp(-0.5 * (distance / width) ** 2) if width > 0 else np.ones_like(distance)
    weight /= np.sqrt((weight**2).sum(axis=1, keepdims=True))
    node += reach
    starts = np.arange(voxels + 1) * node.shape[1]
    shape = (voxels, int(node.max()) + 1)
    return sparse.csr_array((weight.ravel().astype(np.float32), node.ravel(), starts), shape=shape)
