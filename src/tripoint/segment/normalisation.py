"""Grey values of each channel on a scale that does not depend on the instrument's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.segment.volumes import GreyVolume

_LOW, _HIGH = 1.0, 99.0

_FARTHEST = 10.0
"""Where a hot pixel ends, in halves of the range."""


@dataclass(frozen=True)
class Normalisation:
    """Takes (grey − centre) / scale, channel by channel; 0 where a channel shows nothing.

    Parameters
    ----------
    centre, scale : (channels,)
        Middle and half of the range from the 1st to the 99th percentile of the annotated slices, so that
        nearly all lies within ±1 and outliers do not matter.
    """

    centre: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def of(cls, grey: np.ndarray, names: Sequence[str]) -> Normalisation:
        """Measure it.

        Parameters
        ----------
        grey : (channels, …)
            NaN where a channel shows nothing.
        names : sequence of str
            Of the channels, for messages.

        Raises
        ------
        InputError
            A channel that is constant, or shows nothing.
        """
        seen = [channel[..., ::2, ::2] for channel in grey]
        seen = [channel[~np.isnan(channel)] for channel in seen]
        for channel, name in zip(seen, names, strict=True):
            if not channel.size:
                message = f"{name} shows nothing in these slices; choose others, or leave the channel out"
                raise InputError(message)
        ends = [np.percentile(channel, (0, _LOW, _HIGH, 100)) for channel in seen]
        centre, scale = [], []
        for (least, low, high, most), name in zip(ends, names, strict=True):
            if not least < most:
                message = f"{name} is constant ({least:g}); there is nothing to tell phases by"
                raise InputError(message)
            dark, bright = (low, high) if low < high else (least, most)
            centre.append(float(dark + bright) / 2)
            scale.append(float(bright - dark) / 2)
        return cls(tuple(centre), tuple(scale))

    @classmethod
    def of_volume(cls, grey: GreyVolume, slices: int = 12) -> Normalisation:
        """Measure it on some slices of a volume, evenly spread."""
        depth = grey.shape[0]
        chosen = np.unique(np.linspace(0, depth - 1, min(depth, slices)).astype(int))
        blocks = grey.blocks([(int(z), int(z) + 1) for z in chosen], 0)
        return cls.of(np.concatenate(list(blocks), axis=1), grey.names)

    def __call__(self, grey: np.ndarray) -> np.ndarray:
        """Return grey values (channels, …) as float32 on the scale."""
        shape = (-1,) + (1,) * (grey.ndim - 1)
        centre, scale = (np.asarray(v, np.float32).reshape(shape) for v in (self.centre, self.scale))
        scaled = np.clip((grey - centre) / scale, -_FARTHEST, _FARTHEST)
        scaled[np.isnan(scaled)] = 0
        return scaled

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values."""
        return {"centre": list(self.centre), "scale": list(self.scale)}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Normalisation:
        """Take up what `to_mapping` gave."""
        return cls(tuple(mapping["centre"]), tuple(mapping["scale"]))
