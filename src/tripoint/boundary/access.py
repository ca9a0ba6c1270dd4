"""Which voxels each carrier can reach: what the boundary scan needs to tell active edges from dead ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.materials import CARRIERS


@dataclass(frozen=True)
class Access:
    """Voxels of each carrier's network that are connected to its terminal, or to another outer face.

    Parameters
    ----------
    volume : (z, y, x) uint8
        With c the index of a carrier in ``CARRIERS``: bit 2c of a voxel is set where it lies in a
        component of the carrier's network that touches the carrier's terminal face, bit 2c + 1 where
        it lies in one that touches any other outer face. 1 byte per voxel.
    networks : mapping of str to tuple of int
        Labels that conduct each carrier; only carriers that have a terminal.

    Raises
    ------
    InputError
        A volume that is not 3D uint8, or a carrier that does not exist.
    """

    volume: Any
    networks: Mapping[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        """Check the volume and the names of the carriers."""
        shape = tuple(getattr(self.volume, "shape", ()))
        dtype = getattr(self.volume, "dtype", None)
        if len(shape) != 3 or dtype != np.uint8:
            message = (
                f"access has shape {shape} and type {dtype}; expected a (z, y, x) uint8 volume of access "
                "bits, as percolation.access makes it"
            )
            raise InputError(message)
        unknown = [carrier for carrier in self.networks if carrier not in CARRIERS]
        if unknown:
            message = f"access names the carriers {unknown}; carriers are {', '.join(CARRIERS)}"
            raise InputError(message)

    @property
    def carriers(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Index in ``CARRIERS`` and labels of each network."""
        return tuple(
            (index, tuple(self.networks[carrier]))
            for index, carrier in enumerate(CARRIERS)
            if carrier in self.networks
        )


def carriers_of(labels: Iterable[int], networks: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Return the carriers with a terminal that at least one of these labels conducts."""
    return tuple(carrier for carrier in CARRIERS if set(labels) & set(networks.get(carrier, ())))
