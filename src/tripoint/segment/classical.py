"""Methods that need no annotation: they look at grey values, and at how these change from voxel to voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import ndimage

from tripoint.errors import InputError
from tripoint.materials import Materials
from tripoint.segment.methods import Segmented
from tripoint.segment.volumes import GreyVolume

_SAMPLES = 200_000
"""Voxels from which thresholds and clusters are found."""

_SLICES = 12
"""Slices of the volume from which these are taken."""

_TRUNCATE = 3.0


@dataclass(frozen=True)
class Classical:
    """What these methods share: smoothing, and which phase is how bright.

    Parameters
    ----------
    sigma : float
        S.d. of a Gaussian that is applied first, voxels; 0 for none.
    order : sequence of str, optional
        Phases from dark to bright in the first channel; by default in the order of the materials.
    seed : int
        Of the voxels that are drawn.
    """

    sigma: float = 1.0
    order: Sequence[str] | None = None
    seed: int = 0
    materials: Any = field(default=None, repr=False)
    model: Any = field(default=None, repr=False)

    gives = ()

    @property
    def halo(self) -> int:
        """Slices that smoothing reaches."""
        return int(np.ceil(_TRUNCATE * self.sigma))

    def fit(self, grey: GreyVolume, materials: Materials) -> Any:
        """Return the method, ready for a volume.

        Raises
        ------
        InputError
            Phases in ``order`` that are not the materials', a channel that is constant, fewer grey values
            than phases.
        """
        if self.sigma < 0:
            message = f"sigma is {self.sigma}; expected a width in voxels of at least 0"
            raise InputError(message)
        chosen = replace(self, materials=materials)
        chosen._ranks()
        found = chosen._learn(chosen._drawn(grey))
        return replace(chosen, model=found)

    def __call__(self, block: np.ndarray, wanted: tuple[str, ...] = ()) -> Segmented:
        """Segment a slab; see `methods.Method`."""
        del wanted
        smooth = self._smoothed(block)
        ranked = self._label(smooth)[self.halo : smooth.shape[1] - self.halo]
        return Segmented(self._ranks()[ranked].astype(np.uint8))

    def _ranks(self) -> np.ndarray:
        """Return the position among the materials of each phase, from dark to bright."""
        names = [phase.name for phase in self.materials.phases]
        order = list(self.order or names)
        if sorted(order) != sorted(names):
            message = f"order is {order}; expected the phases {', '.join(names)}, from dark to bright"
            raise InputError(message)
        return np.array([names.index(name) for name in order])

    def _smoothed(self, block: np.ndarray) -> np.ndarray:
        if not self.sigma:
            return block
        there = ~np.isnan(block)
        if there.all():
            return self._blurred(block)
        weight = self._blurred(there.astype(np.float32))
        value = self._blurred(np.where(there, block, 0))
        return np.divide(value, weight, out=np.full_like(value, np.nan), where=there)

    def _blurred(self, block: np.ndarray) -> np.ndarray:
        widths = (0, *[self.sigma] * 3)
        found: np.ndarray = ndimage.gaussian_filter(block, widths, mode="nearest", truncate=_TRUNCATE)
        return found

    def _drawn(self, grey: GreyVolume) -> np.ndarray:
        """Return smoothed grey values (voxels, channels) of some slices."""
        depth = grey.shape[0]
        chosen = np.unique(np.linspace(0, depth - 1, min(depth, _SLICES)).astype(int))
        rng = np.random.default_rng(self.seed)
        parts = []
        for block in grey.blocks([(int(z), int(z) + 1) for z in chosen], self.halo):
            values = self._smoothed(block)[:, self.halo].reshape(len(block), -1)
            take = min(values.shape[1], -(-_SAMPLES // len(chosen)))
            parts.append(values[:, rng.choice(values.shape[1], take, replace=False)].T)
        values = np.concatenate(parts)
        values = values[~np.isnan(values).any(axis=1)]
        if not len(values):
            message = f"no voxel of {', '.join(grey.names)} is shown by all of them; check their registration"
            raise InputError(message)
        for channel, name in zip(values.T, grey.names, strict=True):
            if channel.min() == channel.max():
                message = f"{name} is constant ({channel[0]:g}); there is nothing to tell phases by"
                raise InputError(message)
        return values

    def _learn(self, values: np.ndarray) -> Any:
        raise NotImplementedError

    def _label(self, smooth: np.ndarray) -> np.ndarray:
        """Return the rank of each voxel of (channels, z, y, x), 0 the darkest."""
        raise NotImplementedError

    def _filled(self, grey: np.ndarray) -> np.ndarray:
        """Return grey values with a middle one where nothing is shown."""
        return np.nan_to_num(grey, nan=float(np.mean(self.model)))

    def _one_channel(self, values: np.ndarray, name: str) -> None:
        if values.shape[1] != 1:
            message = (
                f"{name} looks at one channel, and images has {values.shape[1]}; take "
                "algorithm=kmeans, or one of them"
            )
            raise InputError(message)


@dataclass(frozen=True)
class MultiOtsu(Classical):
    """Thresholds that part the grey values into groups of least variance (Otsu 1979, of scikit-image).

    Grey values alone decide, so that blur between the darkest and the brightest phase becomes a film of a
    middle one.
    """

    name = "multi_otsu"

    def _learn(self, values: np.ndarray) -> Any:
        self._one_channel(values, self.name)
        return _thresholds(values[:, 0], len(self.materials.phases))

    def _label(self, smooth: np.ndarray) -> np.ndarray:
        return np.digitize(self._filled(smooth[0]), self.model).astype(np.uint8)


@dataclass(frozen=True)
class KMeans(Classical):
    """Clusters of the grey values of all channels (k-means of scikit-learn), each scaled by its spread.

    Films of blur stay where no channel parts the middle phase from what lies between the others.
    """

    name = "kmeans"

    def _learn(self, values: np.ndarray) -> Any:
        from sklearn.cluster import KMeans as Clusters

        scale = values.std(axis=0)
        found = Clusters(len(self.materials.phases), n_init=4, random_state=self.seed).fit(values / scale)
        centres = found.cluster_centers_[np.argsort(found.cluster_centers_[:, 0])]
        return scale.astype(np.float32), centres.astype(np.float32)

    def _label(self, smooth: np.ndarray) -> np.ndarray:
        scale, centres = self.model
        ranks = np.empty(smooth.shape[1:], np.uint8)
        for z in range(smooth.shape[1]):
            values = smooth[:, z] / scale[:, None, None]
            shown = ~np.isnan(values)  # the other channels decide where one shows nothing
            far = [((values - centre[:, None, None]) ** 2).sum(axis=0, where=shown) for centre in centres]
            ranks[z] = np.argmin(far, axis=0)
        return ranks


@dataclass(frozen=True)
class Watershed(Classical):
    """Floods the gradient of the grey values from voxels that are surely of one phase (of scikit-image).

    Sure are voxels of a small gradient, within the middle of the range that thresholds leave their phase; the
    rest falls to the one that reaches it over the lowest ridge, so that a blurred interface is cut where it
    is steepest and mostly makes no film. It knows one channel, and loses what is as thin as the blur.

    Parameters
    ----------
    flat : float
        Share of the voxels, those of the smallest gradient, that may be sure.
    reach : int
        Slices on either side of a slab that are flooded with it: floods do not end at slabs, so that slabs
        may differ in single voxels from a volume flooded whole.
    """

    flat: float = 0.6
    reach: int = 4

    name = "watershed"

    @property
    def halo(self) -> int:
        """Slices that smoothing, gradient and floods reach."""
        return int(np.ceil(_TRUNCATE * self.sigma)) + 1 + self.reach

    def _learn(self, values: np.ndarray) -> Any:
        self._one_channel(values, self.name)
        if not 0 < self.flat <= 1:
            message = f"flat is {self.flat}; expected a share from 0 to 1"
            raise InputError(message)
        return _thresholds(values[:, 0], len(self.materials.phases))

    def _label(self, smooth: np.ndarray) -> np.ndarray:
        from skimage.segmentation import watershed

        grey = self._filled(smooth[0])
        ranks = np.digitize(grey, self.model).astype(np.int8)
        gradient = ndimage.gaussian_gradient_magnitude(grey, 0.7, mode="nearest")
        sure = gradient <= np.quantile(gradient[:, ::2, ::2], self.flat)
        markers = np.where(sure, ranks + 1, 0).astype(np.int32)
        if not markers.any():
            return ranks
        return (watershed(gradient, markers) - 1).astype(np.uint8)


def _thresholds(values: np.ndarray, phases: int) -> np.ndarray:
    from skimage.filters import threshold_multiotsu

    try:
        return np.asarray(threshold_multiotsu(values, classes=phases, nbins=128))
    except ValueError as error:
        message = f"the volume has fewer grey values than the {phases} phases of the materials; check both"
        raise InputError(message) from error
