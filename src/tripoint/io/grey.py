"""Grey volumes in files, with what the files do not say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tripoint import _cuda
from tripoint.errors import InputError
from tripoint.io import stack
from tripoint.io.units import to_micrometres
from tripoint.sample import Spacing, check_spacing


@dataclass(frozen=True)
class Volume:
    """A volume in a file, and what the file does not say.

    Parameters
    ----------
    path : str
        Any format that volumes are read from; ``volume.zarr:channels/grey`` for one of several.
    spacing : (z, y, x) or float, optional
        Voxel size, which wins over the file's, in µm or in ``units``.
    units : str, optional
    channel : int, optional
        Which channel of a file with several.
    roi : three of [start, stop] or None, optional
        The part to take, in voxels along z, y, x.
    blank : float, optional
        The value of voxels that were not measured, such as 0 around a field of view.
    """

    path: str
    spacing: Sequence[float] | float | None = None
    units: str | None = None
    channel: int | None = None
    roi: Sequence[Any] | None = None
    blank: float | None = None

    @property
    def starts(self) -> list[int]:
        """Voxels in front of the part, along z, y, x."""
        return [0 if part is None else int(part[0] or 0) for part in self.roi or (None, None, None)]

    def read(self, what: str) -> Read:
        """Return the values, NaN where they were not measured, and what they are on.

        Raises
        ------
        InputError
            As :func:`tripoint.io.stack.read_grey`; a voxel size that is neither given nor in the file.
        """
        values, stated = stack.read_grey(self.path, channel=self.channel, roi=self.roi, what=f"{what} volume")
        if self.spacing is not None:
            size = check_spacing(self.spacing)
            voxel = size if self.units is None else check_spacing(to_micrometres(size, self.units))
        elif stated is not None:
            voxel = stated
        else:
            key = "spacing" if what == "fixed" else f"{what}_spacing"
            message = f"{self.path} does not state its voxel size; give it as {key}=[z,y,x] in µm"
            raise InputError(message)
        corner = np.eye(4)
        corner[:3, 3] = np.array(self.starts) * voxel
        grey = values.astype(np.float32, copy=False)
        if self.blank is not None:
            grey = np.where(values == self.blank, np.float32(np.nan), grey)
        return Read(grey, values.dtype, voxel, corner)


@dataclass(frozen=True, eq=False)
class Read:
    """A volume that was read.

    Parameters
    ----------
    values : (z, y, x) float32
        NaN where it was not measured; on the host or the GPU.
    dtype : numpy.dtype
        As stored.
    voxel : (z, y, x)
        Voxel size, µm.
    corner : (4, 4) float64
        From the part that was read to the whole volume, µm.
    """

    values: Any
    dtype: np.dtype[Any]
    voxel: Spacing
    corner: np.ndarray

    def on_gpu(self) -> Read:
        """Return the same with its values on the GPU."""
        return replace(self, values=_cuda.transfer.to_device(self.values))
