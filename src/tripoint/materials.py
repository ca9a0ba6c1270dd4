"""What each phase of a composite is: its label, what it conducts, where its terminals are.

Materials are data, so that a fuel cell, a lithium-ion cathode and a solid-state cathode
differ by a file in ``conf/materials`` and not by code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from tripoint.errors import MaterialsError

AXES = ("z", "y", "x")
CARRIERS = ("ion", "electron", "gas")
FACES = ("z-", "z+", "y-", "y+", "x-", "x+")


@dataclass(frozen=True)
class Phase:
    """One phase of a composite.

    Parameters
    ----------
    label : int
        Its value in the volume, 0 to 255.
    name : str
        Its name in tables and reports.
    conducts : tuple of str
        The carriers it conducts, any of ``ion``, ``electron``, ``gas``.
    particulate : bool
        Whether it consists of particles whose statistics are of interest.
    active : bool
        Whether it is the active material, the one whose utilization is asked for.
    regions : {"separate", "components"}
        How the phase becomes regions: cut at its necks, or by connected components alone.
    conductivity : mapping of str to float
        Conductivity per carrier in S/m; 1 where none is given, so that resistances are geometric.
    """

    label: int
    name: str
    conducts: tuple[str, ...] = ()
    particulate: bool = False
    active: bool = False
    regions: Literal["separate", "components"] = "separate"
    conductivity: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Materials:
    """The phases of a sample, the junctions of interest and the terminals of each carrier.

    Parameters
    ----------
    phases : tuple of Phase
    junctions : tuple of (str, str, str)
        Names of the phases that meet at each triple-phase boundary of interest.
        Empty means every triple of phases.
    terminals : mapping of str to str
        The outer face at which each carrier enters or leaves, such as ``{"ion": "z-"}``.
    name : str
    kinetics : str, mapping or None
        Conductivities, particle boundaries and charge transfer of a simulation: the name of a regime, such
        as ``"mixed"``, the path of its file, or a mapping; see `tripoint.transport.Kinetics`.

    Raises
    ------
    MaterialsError
        Labels or names that occur twice, carriers, faces or phases that do not exist.
    """

    phases: tuple[Phase, ...]
    junctions: tuple[tuple[str, str, str], ...] = ()
    terminals: Mapping[str, str] = field(default_factory=dict)
    name: str = "inline"
    kinetics: str | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check that the description is complete and free of contradictions."""
        _check_phases(self.phases)
        names = [phase.name for phase in self.phases]
        if not self.junctions:
            object.__setattr__(self, "junctions", tuple(combinations(names, 3)))
        for triple in self.junctions:
            if len(set(triple)) != 3 or not set(triple) <= set(names):
                message = (
                    f"junction {list(triple)} is not made of three different phases of "
                    f"{names}; name three of them"
                )
                raise MaterialsError(message)
        for carrier, face in self.terminals.items():
            if carrier not in CARRIERS or face not in FACES:
                message = (
                    f"terminal {carrier}: {face} is not known; carriers are "
                    f"{', '.join(CARRIERS)} and faces are {', '.join(FACES)}"
                )
                raise MaterialsError(message)

    @property
    def labels(self) -> tuple[int, ...]:
        """Labels of all phases, in the order of the phases."""
        return tuple(phase.label for phase in self.phases)

    def __getitem__(self, key: str | int) -> Phase:
        """Return the phase of this name or label."""
        for phase in self.phases:
            if key in (phase.name, phase.label):
                return phase
        message = f"there is no phase {key!r}; the phases are {[p.name for p in self.phases]}"
        raise MaterialsError(message)

    @property
    def junction_labels(self) -> tuple[tuple[int, int, int], ...]:
        """The junction triples as labels instead of names."""
        return tuple((self[a].label, self[b].label, self[c].label) for a, b, c in self.junctions)

    @property
    def carriers(self) -> tuple[str, ...]:
        """Carriers that at least one phase conducts, in the order ion, electron, gas."""
        return tuple(c for c in CARRIERS if any(c in phase.conducts for phase in self.phases))

    def network(self, carrier: str) -> tuple[int, ...]:
        """Labels of the phases that conduct a carrier."""
        return tuple(phase.label for phase in self.phases if carrier in phase.conducts)

    def with_terminals(self, **terminals: str) -> Materials:
        """Return the same materials with other terminals, such as ``ion="x-"``."""
        return replace(self, terminals={**self.terminals, **terminals})

    def to_mapping(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, as they stand in a materials file."""
        return {
            "name": self.name,
            "phases": {
                phase.name: {
                    "label": phase.label,
                    "conducts": list(phase.conducts),
                    "particulate": phase.particulate,
                    "active": phase.active,
                    "regions": phase.regions,
                    "conductivity": dict(phase.conductivity),
                }
                for phase in self.phases
            },
            "junctions": [list(triple) for triple in self.junctions],
            "terminals": dict(self.terminals),
            "kinetics": dict(self.kinetics) if isinstance(self.kinetics, Mapping) else self.kinetics,
        }

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Materials:
        """Build materials from the mapping of a materials file or an inline definition.

        Raises
        ------
        MaterialsError
            Keys that are not known, or a phase without a label.
        """
        _check_keys(mapping, {"name", "phases", "junctions", "terminals", "kinetics"}, "materials")
        phases = mapping.get("phases")
        if not isinstance(phases, Mapping) or not phases:
            message = (
                f"materials need 'phases', a mapping of names to labels, but found {phases!r}; "
                "for example phases: {pore: {label: 0, conducts: [ion]}}"
            )
            raise MaterialsError(message)
        junctions, terminals = mapping.get("junctions") or [], mapping.get("terminals") or {}
        if not isinstance(junctions, list | tuple) or not all(isinstance(t, list | tuple) for t in junctions):
            message = (
                f"junctions are {junctions!r}; expected a list of triples such as [[pore, active, binder]]"
            )
            raise MaterialsError(message)
        if not isinstance(terminals, Mapping):
            message = f"terminals are {terminals!r}; expected a face per carrier such as {{ion: z-}}"
            raise MaterialsError(message)
        kinetics = mapping.get("kinetics")
        if not isinstance(kinetics, str | Mapping | None):
            message = f"kinetics are {kinetics!r}; expected a regime such as mixed, or a mapping"
            raise MaterialsError(message)
        return cls(
            phases=tuple(_phase(str(name), entry) for name, entry in phases.items()),
            junctions=tuple(
                (str(t[0]), str(t[1]), str(t[2])) if len(t) == 3 else tuple(t) for t in junctions
            ),
            terminals={str(carrier): str(face) for carrier, face in terminals.items() if face is not None},
            name=str(mapping.get("name") or "inline"),
            kinetics=kinetics,
        )

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Any] | Materials) -> Materials:
        """Find materials by the name of a shipped file, by path, or take a mapping as it is.

        Parameters
        ----------
        source : str, Path, mapping or Materials
            ``"lithium_ion_cathode"``, ``"my/materials.yaml"`` or an inline definition.

        Raises
        ------
        MaterialsError
            No such file, not YAML, or contents that do not describe materials.
        """
        if isinstance(source, Materials):
            return source
        if isinstance(source, Mapping):
            return cls.from_mapping(source)
        if not isinstance(source, str | Path):
            message = (
                f"materials are {source!r}; give one of {', '.join(shipped())}, the path of a .yaml file, "
                "or a mapping with 'phases'"
            )
            raise MaterialsError(message)
        return cls.from_mapping(_read_yaml(source))


def shipped() -> tuple[str, ...]:
    """Names of the materials files that come with tripoint."""
    folder = resources.files("tripoint.conf") / "materials"
    return tuple(
        sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml") and f.name != "custom.yaml")
    )


def _check_phases(phases: Iterable[Phase]) -> None:
    labels: set[int] = set()
    names: set[str] = set()
    for phase in phases:
        if not 0 <= phase.label <= 255:
            message = (
                f"phase '{phase.name}' has label {phase.label}; labels are 0 to 255 in a file of any integer "
                "type, relabel the volume"
            )
            raise MaterialsError(message)
        if phase.label in labels or phase.name in names:
            message = f"label {phase.label} or name '{phase.name}' stands for two phases; give each its own"
            raise MaterialsError(message)
        unknown = set(phase.conducts) - set(CARRIERS)
        if unknown:
            message = f"phase '{phase.name}' conducts {sorted(unknown)}; carriers are {', '.join(CARRIERS)}"
            raise MaterialsError(message)
        if phase.regions not in ("separate", "components"):
            message = f"phase '{phase.name}' has regions: {phase.regions}; use 'separate' or 'components'"
            raise MaterialsError(message)
        labels.add(phase.label)
        names.add(phase.name)


def _phase(name: str, entry: Any) -> Phase:
    if isinstance(entry, int) and not isinstance(entry, bool):
        entry = {"label": entry}
    if not isinstance(entry, Mapping) or not _is_integer(entry.get("label")):
        message = (
            f"phase '{name}' needs an integer 'label', but found {entry!r}; for example {name}: {{label: 1}}"
        )
        raise MaterialsError(message)
    known = {"label", "conducts", "particulate", "active", "regions", "conductivity"}
    _check_keys(entry, known, f"phase '{name}'")
    conducts = entry.get("conducts") or ()
    if not isinstance(conducts, str | list | tuple):
        message = f"phase '{name}' conducts {conducts!r}; expected a list of carriers such as [ion]"
        raise MaterialsError(message)
    return Phase(
        label=int(entry["label"]),
        name=name,
        conducts=(conducts,) if isinstance(conducts, str) else tuple(conducts),
        particulate=bool(entry.get("particulate", False)),
        active=bool(entry.get("active", False)),
        regions=entry.get("regions") or "separate",
        conductivity=_conductivity(name, entry.get("conductivity") or {}),
    )


def _conductivity(name: str, given: Any) -> dict[str, float]:
    values = dict(given) if isinstance(given, Mapping) else {"": given}
    for carrier, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
        if carrier not in CARRIERS or not number:
            message = (
                f"phase '{name}' has conductivity {given!r}; expected positive numbers in S/m per carrier, "
                "such as {electron: 100}"
            )
            raise MaterialsError(message)
    return {str(carrier): float(value) for carrier, value in values.items()}


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_keys(mapping: Mapping[str, Any], known: set[str], what: str) -> None:
    unknown = set(map(str, mapping)) - known
    if unknown:
        message = f"{what} has unknown keys {sorted(unknown)}; known keys are {sorted(known)}"
        raise MaterialsError(message)


def _read_yaml(source: str | Path) -> Mapping[str, Any]:
    import yaml

    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            message = f"there is no materials file {path}; give a path or one of {', '.join(shipped())}"
            raise MaterialsError(message)
        text = path.read_text()
    else:
        file = resources.files("tripoint.conf") / "materials" / f"{source}.yaml"
        if not file.is_file():
            message = (
                f"there are no materials named '{source}'; use one of {', '.join(shipped())}, "
                "the path of a .yaml file, or an inline definition"
            )
            raise MaterialsError(message)
        text = file.read_text()
    try:
        mapping = yaml.safe_load(text)
    except yaml.YAMLError as error:
        message = f"{source} is not valid YAML ({str(error).splitlines()[0]}); check its indentation"
        raise MaterialsError(message) from error
    if not isinstance(mapping, Mapping):
        message = f"{source} holds {type(mapping).__name__}, expected a mapping with 'phases'"
        raise MaterialsError(message)
    return mapping
