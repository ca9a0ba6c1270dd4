"""What a synthetic composite is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from typing import Any

from tripoint.errors import InputError
from tripoint.materials import AXES, Materials
from tripoint.sample import Spacing, check_spacing

SHAPES = ("sphere", "ellipsoid", "polyhedron")


@dataclass(frozen=True)
class Particles:
    """A kind of particles, all of one phase.

    Parameters
    ----------
    fraction : float
        Volume fraction of the phase, exact to the voxel.
    diameter : float
        Median diameter, that of the sphere of equal volume, µm.  Diameters are lognormal, cut at three
        standard deviations.
    spread : float
        Standard deviation of the logarithm of the diameters.
    shape : {"sphere", "ellipsoid", "polyhedron"}
    aspect : float
        Length along the axis of an ellipsoid or polyhedron over that across; below 1 it is a disc.
    roundness : float
        Of a polyhedron: 0.1 has edges, 1 has none.
    roughness : float
        Amplitude (s.d.) of the surface noise as a share of the median radius.
    gradient : float
        Difference of the fraction between the last and the first face along the axis of the gradient, as a
        share of its mean: 0.5 rises linearly from 0.75 to 1.25 times the mean.

    Raises
    ------
    InputError
        A shape that does not exist, a size that is not positive.
    """

    fraction: float
    diameter: float
    spread: float = 0.3
    shape: str = "sphere"
    aspect: float = 1.5
    roundness: float = 0.25
    roughness: float = 0.0
    gradient: float = 0.0

    def __post_init__(self) -> None:
        """Check every number."""
        if self.shape not in SHAPES:
            message = f"shape of particles is {self.shape!r}; use one of {', '.join(SHAPES)}"
            raise InputError(message)
        _check("fraction", self.fraction, 0, 1, "a volume fraction between 0 and 1")
        _check("diameter", self.diameter, 1e-6, 1e6, "a positive number of µm")
        _check("spread", self.spread, -1e-12, 1, "the s.d. of the logarithm of diameters, 0 to 1")
        _check("aspect", self.aspect, 0.2, 5, "length over width, 0.2 to 5")
        _check("roundness", self.roundness, 0.05, 1, "0.05 (edges) to 1 (none)")
        _check("roughness", self.roughness, -1e-12, 0.3, "a share of the radius, 0 to 0.3")
        _check("gradient", self.gradient, -2, 2, "a share of the mean, −2 to 2")


@dataclass(frozen=True)
class Fill:
    """A phase that fills a part of the space between the particles.

    Parameters
    ----------
    fraction : float
        Volume fraction of the phase, exact to the voxel.
    grain : float
        Correlation length (s.d. of the Gaussian that smooths white noise) of its random field, µm.
    bias : float
        How strongly it prefers the surface of particles: what its field, of unit variance, loses per
        ``grain`` of distance to the nearest particle, up to 3 grains.  0 is not at all, negative avoids.
    gradient : float
        As that of :class:`Particles`.

    Raises
    ------
    InputError
        Numbers out of range.
    """

    fraction: float
    grain: float
    bias: float = 0.0
    gradient: float = 0.0

    def __post_init__(self) -> None:
        """Check every number."""
        _check("fraction", self.fraction, -1e-12, 1, "a volume fraction between 0 and 1")
        _check("grain", self.grain, 1e-6, 1e6, "a positive number of µm")
        _check("bias", self.bias, -100, 100, "a number; 0 is no preference")
        _check("gradient", self.gradient, -2, 2, "a share of the mean, −2 to 2")


@dataclass(frozen=True)
class Cracks:
    """Cracks that run into particles from their surface.

    A voxel of a crack is of another phase and of no particle; both of its sides stay parts of one particle.

    Parameters
    ----------
    share : float
        Share of the particles that are cracked, one crack each.
    width : float
        µm.
    length : float
        How far a crack runs into its particle, as a share of the diameter; at 1 it runs through.
    phase : str
        What fills it, and counts as part of that phase's fraction.

    Raises
    ------
    InputError
        Numbers out of range.
    """

    share: float = 0.0
    width: float = 0.5
    length: float = 0.6
    phase: str = "void"

    def __post_init__(self) -> None:
        """Check every number."""
        _check("cracks.share", self.share, -1e-12, 1, "a share of the particles, 0 to 1")
        _check("cracks.width", self.width, 1e-6, 1e6, "a positive number of µm")
        _check("cracks.length", self.length, 1e-6, 1, "a share of the diameter, above 0 and at most 1")


@dataclass(frozen=True)
class Channel:
    """A further grey volume of the same composite, as another instrument, energy or contrast gives it.

    Parameters
    ----------
    grey : mapping of str to float
        Grey value of each phase; those that are not named are 0.
    blur : float
        S.d. of the Gaussian point spread, µm.
    photons : float
        Photons counted in a voxel of grey value 1; 0 for no noise.
    fringe : float
        Edge enhancement as of phase contrast by propagation: the multiple of blur² · Laplacian that is taken
        away.
    spacing : (z, y, x), optional
        Voxel size, µm; that of the sample where none is given.
    shift : (z, y, x)
        Where the middle of the sample lies beside the middle of this volume, µm.
    rotation : (z, y, x)
        By how much the sample is turned in it, about its middle: angles about x, then y, then z, degrees.
    stretch : (z, y, x)
        By what lengths in it are too large, such as 1.01 along each axis.

    Raises
    ------
    InputError
        Numbers out of range.
    """

    grey: Mapping[str, float] = field(default_factory=dict)
    blur: float = 0.25
    photons: float = 400.0
    fringe: float = 0.0
    spacing: Spacing | None = None
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        """Check every number."""
        _check("blur of a channel", self.blur, -1e-12, 1e6, "µm, at least 0")
        _check("photons of a channel", self.photons, -1e-12, 1e9, "photons per voxel; 0 for no noise")
        _check("fringe of a channel", self.fringe, -1e-12, 100, "a multiple of at least 0")
        for name, value in self.grey.items():
            _check(f"grey.{name} of a channel", value, -1e-12, 1e6, "a grey value of at least 0")
        if self.spacing is not None:
            object.__setattr__(self, "spacing", check_spacing(self.spacing))
        for name, low, high, unit in (
            ("shift", -1e6, 1e6, "µm along z, y, x"),
            ("rotation", -180, 180, "degrees about z, y, x"),
            ("stretch", 0.5, 2, "factors along z, y, x, 0.5 to 2"),
        ):
            values = getattr(self, name)
            if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 3:
                message = f"{name} of a channel is {values!r}; expected three {unit}"
                raise InputError(message)
            for value in values:
                _check(f"{name} of a channel", value, low, high, unit)
            object.__setattr__(self, name, tuple(map(float, values)))

    @property
    def displaced(self) -> bool:
        """Whether it does not lie on the sample's grid."""
        return (
            self.spacing is not None
            or any(self.shift)
            or any(self.rotation)
            or any(factor != 1 for factor in self.stretch)
        )


@dataclass(frozen=True)
class Imaging:
    """How an instrument would see the composite.

    Parameters
    ----------
    grey : mapping of str to float
        Grey value of each phase; those that are not named are 0.
    blur : float
        S.d. of the Gaussian point spread, µm.
    photons : float
        Photons counted in a voxel of grey value 1, or of active material in the chemical map; 0 for no noise.
    state, spread, depth, core : float
        State of charge of the active material: its mean, the s.d. between particles, the difference between
        the last and the first face along the axis of the gradient, and between centre and surface.
    channels : mapping of str to Channel
        Further grey volumes that can be asked for, by name.

    Raises
    ------
    InputError
        Numbers out of range.
    """

    grey: Mapping[str, float] = field(default_factory=dict)
    blur: float = 0.25
    photons: float = 400.0
    state: float = 0.5
    spread: float = 0.12
    depth: float = 0.3
    core: float = 0.1
    channels: Mapping[str, Channel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every number."""
        for name, value in self.grey.items():
            _check(f"imaging.grey.{name}", value, -1e-12, 1e6, "a grey value of at least 0")
        _check("imaging.blur", self.blur, -1e-12, 1e6, "µm, at least 0")
        _check("imaging.photons", self.photons, -1e-12, 1e9, "photons per voxel; 0 for no noise")
        _check("imaging.state", self.state, -1e-12, 1, "a state of charge, 0 to 1")
        _check("imaging.spread", self.spread, -1e-12, 1, "an s.d. of the state of charge, 0 to 1")
        _check("imaging.depth", self.depth, -1, 1, "a difference of states of charge, −1 to 1")
        _check("imaging.core", self.core, -1, 1, "a difference of states of charge, −1 to 1")


@dataclass(frozen=True)
class Composite:
    """A composite: packed particles, what fills the space between them, and how it is seen.

    Parameters
    ----------
    materials : Materials or str
    particles : mapping of str to Particles
        By the phase that they are of.  Several kinds are packed together.
    fill : mapping of str to Fill
        By the phase, in the order in which they take their place.
    rest : str
        The phase that takes what is left.
    overlap : float
        How far two particles may grow into each other: centres of spheres are at least
        ``(1 − overlap) · (r₁ + r₂)`` apart; others are apart when shrunk by ``1 − overlap``.  Negative keeps
        a gap.  A voxel inside several particles belongs to the one that it lies deepest in.
    cut : bool
        Whether the border cuts particles, as that of a field of view does.  Without, all particles are whole
        and at least a voxel away from it.
    axis : {"z", "y", "x"}
        Axis of all gradients.
    cracks : Cracks
    imaging : Imaging
    spacing : (z, y, x)
        Voxel size that suits the sizes, µm; that of the sample where none is asked for.

    Raises
    ------
    InputError
        Fractions that leave no room, phases that the materials do not have, numbers out of range.
    MaterialsError
        Materials that do not exist.
    """

    materials: Materials | str
    particles: Mapping[str, Particles]
    fill: Mapping[str, Fill]
    rest: str
    overlap: float = 0.08
    cut: bool = True
    axis: str = "z"
    cracks: Cracks = field(default_factory=Cracks)
    imaging: Imaging = field(default_factory=Imaging)
    spacing: Spacing = (0.25, 0.25, 0.25)

    def __post_init__(self) -> None:
        """Check that phases exist and that their fractions leave room for each other."""
        materials = Materials.load(self.materials)
        object.__setattr__(self, "materials", materials)
        object.__setattr__(self, "spacing", check_spacing(self.spacing))
        _check("overlap", self.overlap, -0.5, 0.6, "a share of the radii, −0.5 to 0.6")
        if self.axis not in AXES:
            message = f"axis is {self.axis!r}; use one of {', '.join(AXES)}"
            raise InputError(message)
        if not isinstance(self.cut, bool):
            message = f"cut is {self.cut!r}; expected true or false"
            raise InputError(message)
        if not self.particles:
            message = "there are no particles; give at least one kind, such as particles.active.fraction=0.55"
            raise InputError(message)
        self._check_names(materials)
        self._check_fractions()

    @property
    def phases(self) -> list[str]:
        """Names of the phases: particles, fill, rest."""
        return [*self.particles, *self.fill, self.rest]

    def _check_names(self, materials: Materials) -> None:
        known = [phase.name for phase in materials.phases]
        for name in self.phases:
            if name not in known:
                message = (
                    f"there is no phase '{name}' in the materials '{materials.name}' ({', '.join(known)})"
                )
                raise InputError(message)
            if self.phases.count(name) > 1:
                message = f"phase '{name}' stands twice among particles, fill and rest; name it once"
                raise InputError(message)
        if self.cracks.share > 0 and self.cracks.phase not in [*self.fill, self.rest]:
            message = (
                f"cracks are of '{self.cracks.phase}'; they can be of {', '.join([*self.fill, self.rest])}"
            )
            raise InputError(message)

    @property
    def parts(self) -> dict[str, Particles | Fill]:
        """All but the rest, in their order."""
        return {**self.particles, **self.fill}

    def _check_fractions(self) -> None:
        parts = self.parts
        shown = ", ".join(f"{name} {part.fraction:g}" for name, part in parts.items())
        if sum(part.fraction for part in parts.values()) > 1 + 1e-9:
            message = f"the volume fractions {shown} add up to more than 1; '{self.rest}' is what they leave"
            raise InputError(message)
        for side in (-0.5, 0.5):
            if sum(part.fraction * (1 + side * part.gradient) for part in parts.values()) > 1 + 1e-9:
                message = (
                    f"with their gradients the volume fractions {shown} add up to more than 1 at a face; "
                    "make the gradients or the fractions smaller"
                )
                raise InputError(message)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Composite:
        """Build a composite from the mapping of a preset.

        Raises
        ------
        InputError
            Keys that are not known or missing.
        """
        mapping = _keys(cls, mapping, "a composite")
        return cls(
            **{
                **mapping,
                "particles": _each(Particles, mapping["particles"], "particles"),
                "fill": _each(Fill, mapping["fill"], "fill"),
                "cracks": Cracks(**_keys(Cracks, mapping.get("cracks") or {}, "cracks")),
                "imaging": _imaging(mapping.get("imaging") or {}),
            }
        )

    @classmethod
    def load(cls, name: str, changes: Mapping[str, Any] | None = None) -> Composite:
        """Return a preset of ``conf/synth``, with some of its values changed.

        Parameters
        ----------
        name : str
            ``"solid_state_cathode"``, ``"lithium_ion_cathode"`` or ``"solid_oxide_electrode"``.
        changes : mapping
            Nested as the preset: ``{"overlap": 0.1, "particles": {"active": {"fraction": 0.6}}}``.

        Raises
        ------
        InputError
            No such preset, or changes that do not fit it.
        """
        import yaml

        if name not in shipped():
            message = f"there is no composite '{name}'; use one of {', '.join(shipped())}"
            raise InputError(message)
        text = (resources.files("tripoint.conf") / "synth" / f"{name}.yaml").read_text()
        return cls.from_mapping(_merged(yaml.safe_load(text), changes or {}))

    def changed(self, changes: Mapping[str, Any]) -> Composite:
        """Return the composite with some values changed, as :meth:`load` takes them."""
        return Composite.from_mapping(_merged(self.to_mapping(), changes))

    def to_mapping(self) -> dict[str, Any]:
        """Return the composite as plain values, from which :meth:`from_mapping` builds it again."""
        assert not isinstance(self.materials, str)
        mapping = {f.name: getattr(self, f.name) for f in fields(self)}
        for part in ("particles", "fill"):
            mapping[part] = {name: asdict(entry) for name, entry in mapping[part].items()}
        named = {"materials": self.materials.to_mapping(), "spacing": list(self.spacing)}
        return {**mapping, **named, "cracks": asdict(self.cracks), "imaging": asdict(self.imaging)}


def shipped() -> tuple[str, ...]:
    """Names of the presets that come with tripoint."""
    folder = resources.files("tripoint.conf") / "synth"
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml")))


def _check(name: str, value: Any, low: float, high: float, expected: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:
        message = f"{name} is {value!r}; expected {expected}"
        raise InputError(message)


def _keys(cls: type, mapping: Any, what: str) -> dict[str, Any]:
    """Return a mapping whose keys are those of a class, or say which are not."""
    known = {f.name: f for f in fields(cls)}
    if not isinstance(mapping, Mapping):
        message = f"{what} is {mapping!r}; expected a group of settings: {', '.join(known)}"
        raise InputError(message)
    if unknown := sorted(set(map(str, mapping)) - set(known)):
        message = f"{what} has no setting {', '.join(unknown)}; its settings are {', '.join(known)}"
        raise InputError(message)
    needed = [name for name in known if name in ("materials", "particles", "fill", "rest")]
    needed += [name for name in known if name in ("fraction", "diameter", "grain")]
    if missing := [name for name in needed if name not in mapping]:
        message = f"{what} lacks {', '.join(missing)}; its settings are {', '.join(known)}"
        raise InputError(message)
    return {str(key): value for key, value in mapping.items()}


def _imaging(mapping: Any) -> Imaging:
    given = _keys(Imaging, mapping, "imaging")
    channels = _each(Channel, given.get("channels") or {}, "imaging.channels")
    return Imaging(**{**given, "channels": channels})


def _each(cls: type, entries: Any, what: str) -> dict[str, Any]:
    if not isinstance(entries, Mapping):
        message = f"{what} is {entries!r}; expected settings per phase, such as {what}.active.fraction=0.5"
        raise InputError(message)
    return {str(name): cls(**_keys(cls, entry, f"{what}.{name}")) for name, entry in entries.items()}


def _merged(mapping: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(mapping)
    for key, value in changes.items():
        inner = result.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            result[key] = _merged(inner, value)
        else:
            result[key] = value
    return result
