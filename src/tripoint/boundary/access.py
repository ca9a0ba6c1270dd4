"""Which voxels each carrier can reach: what the boundary scan needs to tell active edges from dead ones."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array

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


def check_triples(junctions: Iterable[Sequence[int]]) -> tuple[tuple[int, int, int], ...]:
    """Return junctions as triples of three different labels, or say which one is none."""
    checked = []
    for triple in junctions:
        try:
            labels = tuple(operator.index(label) for label in triple)
        except TypeError:
            labels = ()
        if len(labels) != 3 or len(set(labels)) != 3 or not all(0 <= label <= 255 for label in labels):
            message = (
                f"junction {triple!r} is not three different labels from 0 to 255; "
                "give each as its labels, for example junctions=[(0, 1, 2)]"
            )
            raise InputError(message)
        checked.append((labels[0], labels[1], labels[2]))
    return tuple(checked)


def check_labels(labels: Iterable[int]) -> tuple[int, ...]:
    """Return labels in ascending order, each once, or say which one is none."""
    checked = set()
    for label in labels:
        try:
            value = operator.index(label)
        except TypeError:
            value = -1
        if not 0 <= value <= 255:
            message = f"{label!r} is not a label from 0 to 255; give the labels, for example labels=[0, 1, 2]"
            raise InputError(message)
        checked.add(value)
    return tuple(sorted(checked))


def check_access(access: Access | None, phases: Any) -> None:
    """Raise InputError unless access is missing, or of the volume's shape and where the volume is."""
    if access is None:
        return
    if not isinstance(access, Access):
        message = f"access is {type(access).__name__}; expected what percolation.access returns"
        raise InputError(message)
    if tuple(access.volume.shape) != tuple(phases.shape):
        message = (
            f"access has shape {tuple(access.volume.shape)} and the phases {tuple(phases.shape)}; "
            "make it from the same volume"
        )
        raise InputError(message)
    if is_cupy_array(access.volume) != is_cupy_array(phases):
        sides = ["the GPU" if is_cupy_array(volume) else "the host" for volume in (access.volume, phases)]
        message = f"access is on {sides[0]} and the phases on {sides[1]}; make it from the same volume"
        raise InputError(message)
