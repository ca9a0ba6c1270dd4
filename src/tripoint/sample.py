"""The one thing that is passed around: a labelled volume and what is known of it."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array

from tripoint import _cuda
from tripoint.errors import DeviceError, InputError, MaterialsError
from tripoint.materials import Materials

log = logging.getLogger("tripoint")

Spacing = tuple[float, float, float]

SMALLEST_VOXEL, LARGEST_VOXEL = 1e-6, 1e6  # µm: a picometre to a metre, beyond is a mistaken unit


@dataclass(frozen=True)
class Sample:
    """A labelled 3D volume with its voxel size and materials; immutable.

    Parameters
    ----------
    phases : (z, y, x) uint8
        Label of the phase of every voxel, on the host or on the GPU.
    spacing : (z, y, x)
        Voxel size, µm.
    materials : Materials
    channels : mapping of str to (z, y, x) float32
        Further volumes on the same grid: grey values, activity, …; with the phases or on the host.
    name : str
    source : mapping
        Where it was read from, plain values: ``path`` and ``roi``; kept with the configuration of a run.

    Raises
    ------
    InputError
        Phases that are not a 3D integer volume, a spacing that is not three positive numbers,
        a channel of another shape.
    MaterialsError
        Labels in the volume that the materials do not name.
    """

    phases: Any
    spacing: Spacing
    materials: Materials
    channels: Mapping[str, Any] = field(default_factory=dict)
    name: str = "sample"
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check everything that later rooms rely on."""
        object.__setattr__(self, "spacing", check_spacing(self.spacing))
        object.__setattr__(self, "materials", Materials.load(self.materials))
        object.__setattr__(self, "phases", _read_only(as_phases(self.phases, self.materials)))
        for name, channel in self.channels.items():
            if channel.dtype != np.float32:
                message = f"channel '{name}' is {channel.dtype}; expected float32, convert it with astype"
                raise InputError(message)
            if channel.shape != self.phases.shape:
                message = (
                    f"channel '{name}' has shape {channel.shape} and the phases {self.phases.shape}; "
                    "bring them onto the same grid"
                )
                raise InputError(message)

    def __repr__(self) -> str:
        shape, spacing = " × ".join(map(str, self.shape)), " × ".join(f"{s:g}" for s in self.spacing)
        return f"<Sample '{self.name}', {shape} voxels of {spacing} µm, {self.materials.name}, {self.device}>"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along z, y, x."""
        z, y, x = self.phases.shape
        return (z, y, x)

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel, µm³."""
        return math.prod(self.spacing)

    @property
    def volume(self) -> float:
        """Volume of the sample, µm³."""
        return self.voxel_volume * math.prod(self.shape)

    @property
    def device(self) -> str:
        """``"cuda"`` or ``"cpu"``: where the phases live."""
        return "cuda" if is_cupy_array(self.phases) else "cpu"

    def to(self, device: str, *, channels: bool = True) -> Sample:
        """Return the sample on a device: ``"cpu"``, ``"cuda"``, or ``"auto"`` for the GPU where there is one.

        Volumes are copied through page-locked memory; they were checked when the sample was made and are not
        checked again.

        Parameters
        ----------
        device : str
        channels : bool
            Whether the channels go along or stay where they are.

        Raises
        ------
        DeviceError
            No GPU, or not what it takes to use it; too little memory there.
        """
        place = device if device == self.device else choose_device(device)
        moved = {name: _moved(one, place) if channels else one for name, one in self.channels.items()}
        phases = _moved(self.phases, place)
        if phases is self.phases and all(moved[name] is one for name, one in self.channels.items()):
            return self
        sample = copy.copy(self)
        object.__setattr__(sample, "phases", _read_only(phases))
        object.__setattr__(sample, "channels", moved)
        return sample


def choose_device(device: str) -> str:
    """Return ``"cuda"`` or ``"cpu"`` for a device that was asked for, and log which one ``"auto"`` takes.

    Raises
    ------
    DeviceError
        No such device, or no GPU for ``"cuda"``.
    """
    if device not in ("cpu", "cuda", "auto"):
        message = f"there is no device '{device}'; use cpu, cuda or auto"
        raise DeviceError(message)
    if device == "cpu":
        return device
    if device == "cuda":
        _cuda.device.check()
    elif (reason := _cuda.device.missing()) is not None:
        log.info("device: cpu (no GPU: %s)", reason)
        return "cpu"
    log.info("device: %s", _cuda.device.describe())
    return "cuda"


def check_spacing(spacing: Any) -> Spacing:
    """Return a voxel size as three positive floats, (z, y, x) in µm, or say what is wrong with it."""
    if isinstance(spacing, (int, float)) and not isinstance(spacing, bool):
        spacing = (spacing,) * 3
    try:
        values = [float(s) for s in spacing]
    except (TypeError, ValueError):
        values = []
    if len(values) != 3:
        message = (
            f"spacing is {spacing!r}; expected three voxel sizes in µm along z, y, x, "
            "for example spacing=[0.4,0.4,0.4]"
        )
        raise InputError(message)
    if not all(SMALLEST_VOXEL <= s <= LARGEST_VOXEL for s in values):
        message = (
            f"spacing is {values}; each voxel size must be a positive finite number of µm (1e-6 to 1e6), "
            "for example spacing=[0.4,0.4,0.4]"
        )
        raise InputError(message)
    return (values[0], values[1], values[2])


def check_phases(phases: Any) -> None:
    """Raise InputError unless phases is a 3D uint8 volume that is not empty."""
    shape = getattr(phases, "shape", None)
    if shape is None or len(shape) != 3:
        message = (
            f"phases have shape {shape}; expected a 3D label volume (z, y, x), a single slice has no volume"
        )
        raise InputError(message)
    if 0 in shape:
        message = f"the volume is empty (shape {tuple(shape)}); check the file and the region of interest"
        raise InputError(message)
    if phases.dtype != np.uint8:
        message = f"phases are {phases.dtype}; expected uint8 labels, convert with phases.astype('uint8')"
        raise InputError(message)


def as_phases(volume: Any, materials: Materials) -> Any:
    """Return a label volume of any integer type as uint8, checked against the materials.

    Raises
    ------
    InputError
        Not a 3D integer volume, empty, or a single slice.
    MaterialsError
        Labels that the materials do not name.
    """
    dtype = getattr(volume, "dtype", None)
    if dtype is None or dtype.kind not in "uib":
        message = (
            f"the volume holds {dtype} values; expected integer phase labels, "
            "segment the grey values into phases first"
        )
        raise InputError(message)
    if len(volume.shape) == 3 and 0 not in volume.shape and min(volume.shape) < 2:
        message = (
            f"the volume has shape {tuple(volume.shape)}, a single slice along one axis; "
            "expected at least two voxels along each of z, y, x"
        )
        raise InputError(message)
    if dtype.kind == "b":
        volume = volume.astype(np.uint8)
    found = _labels(volume)
    unknown = [label for label in found if label not in materials.labels]
    if unknown:
        message = (
            f"the volume holds the labels {_first(found)}, of which {_first(unknown)} are not in the "
            f"materials '{materials.name}' ({ {p.name: p.label for p in materials.phases} }); "
            "choose other materials or set materials.phases.<name>.label (0 to 255)"
        )
        raise MaterialsError(message)
    phases = volume if volume.dtype == np.uint8 else volume.astype(np.uint8)
    check_phases(phases)
    return phases


def _moved(volume: Any, place: str) -> Any:
    if (place == "cuda") == is_cupy_array(volume):
        return volume
    if place == "cpu":
        return _cuda.transfer.to_host(volume)
    with _cuda.memory.told_in_our_words():
        return _cuda.transfer.to_device(volume)


def _read_only(phases: Any) -> Any:
    """Return a view that cannot be written to; the array itself stays its owner's."""
    if isinstance(phases, np.ndarray):
        phases = phases.view()
        phases.flags.writeable = False
    return phases


def _labels(volume: Any) -> list[int]:
    """Return the distinct labels of a volume, slab by slab so that nothing voxel-sized is made."""
    found: set[int] = set()
    if volume.dtype == np.uint8 and is_cupy_array(volume) and volume.ndim == 3 and volume.size:
        return list(_cuda.boundary.labels_present(volume))
    if volume.dtype == np.uint8 and isinstance(volume, np.ndarray):
        for slab in volume:
            found.update(np.flatnonzero(np.bincount(slab.ravel(), minlength=256)).tolist())
    else:
        xp = array_namespace(volume)
        for slab in volume:
            found.update(xp.unique_values(slab).tolist())
            if len(found) > 4096:
                break
    return sorted(found)


def _first(labels: Sequence[int], most: int = 8) -> str:
    shown = ", ".join(map(str, labels[:most]))
    return f"{shown}, … ({len(labels)} in all)" if len(labels) > most else shown
