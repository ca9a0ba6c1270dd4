"""What else a tomogram of the same sample could have looked like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Augmentation:
    """Turns, mirrors and disturbs patches; grey values are those of a `Normalisation`, about −1 to 1.

    Parameters
    ----------
    turns : bool
        Rotations by 90° and mirror images, also along z.
    gain, offset : float
        S.d. of a factor about 1 and of what is added, for each channel.
    noise : float
        Most s.d. of noise that is added.
    blur : float
        Most s.d. of a Gaussian blur in the plane, pixels; every other patch stays as it is.
    rings : float
        S.d. of rings about an axis, as detectors leave them, in every fourth patch.
    ends : float
        Share of patches whose neighbours on one side are replaced by the slice itself, as at the ends of a
        volume.
    """

    turns: bool = True
    gain: float = 0.03
    offset: float = 0.03
    noise: float = 0.05
    blur: float = 0.4
    rings: float = 0.02
    ends: float = 0.1

    def __call__(
        self, rng: np.random.Generator, grey: np.ndarray, *planes: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Return a patch and what is drawn on it, changed.

        Parameters
        ----------
        rng : Generator
        grey : (slices, channels, y, x) float32
        planes : (y, x) arrays
            Classes and weights, which are turned along.
        """
        if rng.random() < self.ends:
            grey = _ended(rng, grey)
        if self.turns:
            grey, *turned = _turned(rng, grey, *planes)
            planes = tuple(turned)
        per_channel = (1, grey.shape[1], 1, 1)
        grey = grey * (1 + self.gain * rng.standard_normal(per_channel))
        grey = grey + self.offset * rng.standard_normal(per_channel)
        if self.blur and rng.random() < 0.5:
            width = rng.uniform(0, self.blur)
            grey = ndimage.gaussian_filter(grey, (0, 0, width, width), truncate=3)
        if self.rings and rng.random() < 0.25:
            grey = grey + self.rings * _rings(rng, grey.shape)
        if self.noise:
            grey = grey + rng.uniform(0, self.noise) * rng.standard_normal(grey.shape, np.float32)
        return np.ascontiguousarray(grey, np.float32), *(np.ascontiguousarray(plane) for plane in planes)


def _ended(rng: np.random.Generator, grey: np.ndarray) -> np.ndarray:
    middle = len(grey) // 2
    rows = np.arange(len(grey))
    return grey[np.minimum(rows, middle) if rng.random() < 0.5 else np.maximum(rows, middle)]


def _turned(rng: np.random.Generator, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    quarters, mirrored, upside_down = int(rng.integers(4)), rng.random() < 0.5, rng.random() < 0.5
    turned = [np.rot90(array, quarters, (-2, -1)) for array in arrays]
    turned = [array[..., ::-1] for array in turned] if mirrored else turned
    return (turned[0][::-1] if upside_down else turned[0], *turned[1:])


def _rings(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return (slices, 1, y, x) rings about one axis, others in each slice."""
    size = max(shape[2:])
    y0, x0 = rng.uniform(-2 * size, 3 * size, 2)
    y, x = np.ogrid[: shape[2], : shape[3]]
    radius = np.hypot(y - y0, x - x0)
    radius = (radius - radius.min()).astype(np.intp)
    profiles = rng.standard_normal((shape[0], int(radius.max()) + 1), np.float32)
    return profiles[:, radius][:, None]
