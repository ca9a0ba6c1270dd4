"""What other instruments would see of a composite: grey volumes of other contrast, on grids of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.registration import resample
from tripoint.sample import Sample, Spacing
from tripoint.synth.composite import Channel, Composite
from tripoint.synth.imaging import blurred, counted, painted

Array = np.ndarray

_STREAM = 0x76696577  # apart from the numbers that the composite itself is made from


@dataclass(frozen=True, eq=False)
class View:
    """A grey volume of a composite, and where the composite lies in it.

    Parameters
    ----------
    values : (z, y, x) float32
    spacing : (z, y, x)
        Voxel size, µm.
    affine : (4, 4) float64
        The true one, from the sample to this volume, µm from their corners.
    """

    values: Array
    spacing: Spacing
    affine: Array


def views(sample: Sample, composite: Composite, names: Sequence[str], seed: int = 0) -> dict[str, View]:
    """Return channels of a made composite, each with its own contrast, noise, blur and place.

    ``grey = Poisson(photons · (G ∗ v − fringe · blur² · ∇²(G ∗ v))) / photons`` for grey values v and a
    Gaussian G, on the channel's grid.  Beyond the sample its mirror image goes on, as material around a field
    of view does.

    Parameters
    ----------
    sample : Sample
        What :func:`tripoint.synth.make` made.
    composite : Composite
        Whose ``imaging.channels`` are meant.
    names : sequence of str
        Which of them.
    seed : int
        Of the noise; each channel has a stream of its own.

    Returns
    -------
    dict of str to View

    Raises
    ------
    InputError
        Channels that the composite does not have, phases that do not exist.

    Notes
    -----
    Memory: 4 bytes per voxel of the channel; while it is made 8 per voxel of the sample, and for displaced
    ones 17 per voxel of the sample with as much around it as they show.
    """
    check_channels(composite, names)
    made = {}
    for name in names:
        how = composite.imaging.channels[name]
        volume = painted(composite, how.grey, sample.phases, f"imaging.channels.{name}.grey")
        blurred(volume, sample.spacing, how.blur)
        if how.fringe > 0 and how.blur > 0:
            volume -= np.float32(how.fringe * how.blur**2) * _laplacian(volume, sample.spacing)
        view = _displaced(volume, sample, how) if how.displaced else View(volume, sample.spacing, np.eye(4))
        counted(np.random.default_rng([_STREAM, *name.encode(), check_seed(seed)]), view.values, how.photons)
        made[name] = view
    return made


def check_channels(composite: Composite, names: Sequence[str], displaced: bool = True) -> None:
    """Make sure that a composite has channels of these names.

    Raises
    ------
    InputError
        It has not; one of them is displaced where that may not be.
    """
    known = composite.imaging.channels
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        message = f"channels is {names!r}; expected a list of names, such as channels=[phase_contrast]"
        raise InputError(message)
    for name in names:
        if name not in known:
            message = (
                f"there is no channel '{name}' in imaging.channels; there are {', '.join(known) or 'none'}"
            )
            raise InputError(message)
        if known[name].displaced and not displaced:
            message = f"the channel '{name}' lies on a grid of its own; make it with tripoint.synth.views"
            raise InputError(message)


def _displaced(volume: Array, sample: Sample, how: Channel) -> View:
    """Return a volume on the channel's grid, of the same extent as the sample."""
    extent = np.array(sample.shape) * sample.spacing
    spacing = how.spacing or sample.spacing
    shape = tuple(max(1, round(length / size)) for length, size in zip(extent, spacing, strict=True))
    affine = placed(how, extent, np.array(shape) * spacing)
    inverse = np.linalg.inv(affine)
    ends = np.array([[*(np.array(shape) * spacing * corner), 1] for corner in product((0, 1), repeat=3)])
    reached = (inverse @ ends.T)[:3].T / sample.spacing
    around = [
        (max(0, int(np.ceil(-low)) + 1), max(0, int(np.ceil(high - n)) + 1))
        for low, high, n in zip(reached.min(axis=0), reached.max(axis=0), sample.shape, strict=True)
    ]
    wider = np.pad(volume, around, mode="symmetric")
    corner = np.eye(4)
    corner[:3, 3] = [before * size for (before, _), size in zip(around, sample.spacing, strict=True)]
    values = resample(wider, corner @ inverse, moving_spacing=sample.spacing, shape=shape, spacing=spacing)
    return View(values, spacing, affine)


def placed(how: Channel, extent: Array, own_extent: Array) -> Array:
    """Return the affine from a sample to a channel: stretched and turned about its middle, then shifted."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("xyz", how.rotation[::-1], degrees=True).as_matrix()[::-1, ::-1]
    matrix = turn * np.array(how.stretch)
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = own_extent / 2 + how.shift - matrix @ (extent / 2)
    return affine


def _laplacian(volume: Array, spacing: Spacing) -> Array:
    """Return the sum of second differences, per µm²; the border goes on as it is."""
    from scipy.ndimage import correlate1d

    result = np.zeros_like(volume)
    for axis, size in enumerate(spacing):
        result += correlate1d(volume, np.array([1, -2, 1]) / size**2, axis=axis, mode="nearest")
    return result


def check_seed(seed: Any) -> int:
    """Return a seed, or say that it is none."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        message = f"seed is {seed!r}; expected an integer of at least 0"
        raise InputError(message)
    return seed
