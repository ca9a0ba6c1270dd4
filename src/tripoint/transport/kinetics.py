"""What a local-activity simulation takes besides the phases: conductivities and kinetics, by presets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from tripoint.errors import InputError
from tripoint.materials import Materials, Phase

SWITCHES = ("on", "off")
"""What stands beside the regimes in conf/transport: not kinetics, but whether transport is measured."""

THERMAL_VOLTAGE = 0.025693
"""RT/F at 25 °C, V."""


@dataclass(frozen=True)
class Kinetics:
    """A regime of ionic and electronic conduction with charge transfer between them.

    Parameters
    ----------
    reaction : {"interface", "junction"}
        On faces of active material with the ion conductor, or along active triple-phase boundaries.
    exchange : float
        Charge-transfer conductance: S/m² of Crofton area (``interface``) or S/m of length (``junction``).
    ion, active, additive : float, optional
        Conductivity in S/m of the ion conductors, of the active material for electrons, and of all other
        electron conductors. None takes each phase's own ``conductivity``.
    boundary_factor : float
        What the conductance of a face between two voxels of active material is multiplied by where they
        belong to different regions, at ``voxel_size``. It stands for a resistance per area,
        ``R = voxel_size / σ · (1 / factor − 1)``, which does not change with the mesh.
    enhancement_length : float
        Decay length λ, µm, of the enhancement near an additive electron conductor; 0 for none.
        The exchange at distance d from it is ``exchange · (floor + (1 − floor) · exp(−d / λ))``.
    enhancement_floor : float
        Share of the exchange far from it.
    voxel_size : float
        The voxel size, µm, with which the preset was converted from voxel units.
    thermal_voltage : float
        For Butler–Volmer kinetics: V.
    name : str

    Raises
    ------
    InputError
        Numbers that are not positive, shares outside 0 to 1, a reaction that does not exist.
    """

    reaction: Literal["interface", "junction"] = "interface"
    exchange: float = 250.0
    ion: float | None = None
    active: float | None = None
    additive: float | None = None
    boundary_factor: float = 1.0
    enhancement_length: float = 0.0
    enhancement_floor: float = 0.05
    voxel_size: float = 0.4
    thermal_voltage: float = THERMAL_VOLTAGE
    name: str = "inline"

    def __post_init__(self) -> None:
        """Check every number."""
        if self.reaction not in ("interface", "junction"):
            message = f"reaction is {self.reaction!r}; expected 'interface' or 'junction'"
            raise InputError(message)
        for name in ("exchange", "ion", "active", "additive", "voxel_size", "thermal_voltage"):
            value = getattr(self, name)
            if value is None and name in ("ion", "active", "additive"):
                continue
            if not _is_number(value) or not 0 < value < math.inf:
                message = f"{name} of the kinetics is {value!r}; expected a positive number"
                raise InputError(message)
        for name in ("boundary_factor", "enhancement_floor"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value <= 1 or (name == "boundary_factor" and value == 0):
                message = f"{name} is {value!r}; expected a share up to 1"
                raise InputError(message)
        if not _is_number(self.enhancement_length) or not 0 <= self.enhancement_length < math.inf:
            message = f"enhancement_length is {self.enhancement_length!r}; expected µm, 0 for none"
            raise InputError(message)

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Any] | Kinetics) -> Kinetics:
        """Find a regime by the name of a shipped file, by path, or take a mapping as it is.

        Raises
        ------
        InputError
            No such file, or keys that are not known.
        """
        if isinstance(source, Kinetics):
            return source
        mapping = dict(source) if isinstance(source, Mapping) else _read(source)
        unknown = set(mapping) - {field.name for field in fields(cls)}
        if unknown:
            known = sorted(field.name for field in fields(cls))
            message = f"kinetics have unknown keys {sorted(map(str, unknown))}; known keys are {known}"
            raise InputError(message)
        kinetics = cls(**mapping)
        if kinetics.name in regimes():
            # Numbers that were changed are no longer those of the regime.
            own = cls(**_read(kinetics.name))
            return kinetics if kinetics == own else replace(kinetics, name=f"{kinetics.name}, changed")
        return kinetics

    @classmethod
    def of(cls, materials: Materials, changes: Mapping[str, Any] | None = None) -> Kinetics:
        """Return the kinetics that materials name, with some of its numbers changed.

        Raises
        ------
        InputError
            Materials that name none, and no changes either.
        """
        if materials.kinetics is None and not changes:
            message = (
                f"the materials '{materials.name}' name no kinetics; choose a regime, transport=NAME with "
                f"one of {', '.join(regimes())}, or give the materials one, such as kinetics: mixed"
            )
            raise InputError(message)
        named = {} if materials.kinetics is None else cls.load(materials.kinetics).to_mapping()
        return cls.load({**named, **(changes or {})})

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values, as they stand in a file of ``conf/transport``."""
        return asdict(self)

    def conductivity(self, phase: Phase, carrier: str) -> float | None:
        """Return what a phase conducts of a carrier, S/m: as the regime says, else as the phase does."""
        role = "ion" if carrier == "ion" else "active" if phase.active else "additive"
        value: float | None = None if carrier == "gas" else getattr(self, role)
        return phase.conductivity.get(carrier) if value is None else value

    def applied(self, materials: Materials) -> Materials:
        """Return materials whose phases have the conductivities of this regime, which it is then named by."""
        phases = []
        for phase in materials.phases:
            values = {carrier: self.conductivity(phase, carrier) for carrier in phase.conducts}
            known = {carrier: value for carrier, value in values.items() if value is not None}
            phases.append(replace(phase, conductivity=known))
        return replace(materials, phases=tuple(phases), kinetics=self.to_mapping())


@cache
def regimes() -> tuple[str, ...]:
    """Names of the regimes that come with tripoint."""
    folder = resources.files("tripoint.conf") / "transport"
    names = (file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))
    return tuple(sorted(name for name in names if name not in SWITCHES))


def _read(source: str | Path) -> dict[str, Any]:
    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        return _parsed(path, source)
    return dict(_shipped(str(source)))


@cache
def _shipped(name: str) -> Mapping[str, Any]:
    return _parsed(resources.files("tripoint.conf") / "transport" / f"{name}.yaml", name)


def _parsed(file: Any, source: str | Path) -> dict[str, Any]:
    import yaml

    if not file.is_file():
        message = (
            f"there is no regime {str(source)!r}; use one of {', '.join(regimes())}, or the path of a "
            ".yaml file"
        )
        raise InputError(message)
    try:
        mapping = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        message = f"{source} is not valid YAML ({str(error).splitlines()[0]}); check its indentation"
        raise InputError(message) from error
    if not isinstance(mapping, dict):
        message = f"{source} holds {type(mapping).__name__}; expected a mapping such as {{exchange: 250}}"
        raise InputError(message)
    return mapping


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
