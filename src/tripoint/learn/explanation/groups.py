"""Which of a particle's qualities each feature speaks of, said once by the features' names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tripoint.learn.circuit import KINDS
from tripoint.materials import CARRIERS, Phase

SIZE, JUNCTIONS, DEPTH, CONTACTS, SURROUNDINGS = "size and shape", "TPB", "depth", "contacts", "surroundings"


def path_group(carrier: str) -> str:
    """Return the group of what leads a carrier to its terminal."""
    return f"{carrier} path"


ION_PATH, ELECTRON_PATH = path_group("ion"), path_group("electron")

GROUPS = (SIZE, JUNCTIONS, *map(path_group, CARRIERS), DEPTH, CONTACTS, SURROUNDINGS)
"""All groups, in the order in which they are shown."""

_CARRIER = f"(?P<carrier>{'|'.join(CARRIERS)})"

# The first that fits tells the group. What lies in the columns towards a terminal is a part of that carrier's
# path: it says how well the straight way there conducts. What surrounds a particle is the window alone.
_RULES = (
    (r".*junction_.*|length|active_length", JUNCTIONS),
    (rf"depth_.*|touches_{_CARRIER}_terminal", DEPTH),
    (rf"reaches_{_CARRIER}", "path"),
    (rf".*(path_resistance|path_length|path_tortuosity|bottleneck_radius)_{_CARRIER}", "path"),
    (rf"column_fraction_{_CARRIER}_.*", "path"),
    (r"window_fraction_.*", SURROUNDINGS),
    (r"area_share_.*|specific_area_.*|coordination_number|degree", CONTACTS),
    (r".*volume|.*surface_area|sphericity|aspect_ratio|flatness|compactness|cut_share", SIZE),
)


def group_of(feature: str) -> str:
    """Return the group of a feature of a region or of a junction.

    Raises
    ------
    LookupError
        A feature that no group has: whoever adds one says here of what it speaks.
    """
    for pattern, group in _RULES:
        found = re.fullmatch(pattern, feature)
        if found:
            return path_group(found["carrier"]) if group == "path" else group
    message = f"the feature {feature} is in no group of explanation"
    raise LookupError(message)


def columns_of(names: Iterable[str], groups: Iterable[str]) -> list[int]:
    """Return which columns of some features are in these groups."""
    wanted = set(groups)
    return [at for at, name in enumerate(names) if group_of(name) in wanted]


def contact_group(one: Phase, other: Phase) -> str:
    """Return the group of contacts between two phases: the path of the carrier that both conduct, if one."""
    shared = [carrier for carrier in CARRIERS if carrier in one.conducts and carrier in other.conducts]
    return path_group(shared[0]) if len(shared) == 1 else CONTACTS


KIND_GROUPS = tuple(
    CONTACTS if kind == "reaction" else ION_PATH if kind.startswith("ion") else ELECTRON_PATH
    for kind in KINDS
)
"""Group of the links of each of `circuit.KINDS`: charge transfer takes place on contacts."""


def in_order(groups: Iterable[str]) -> tuple[str, ...]:
    """Return these groups in the order of `GROUPS`."""
    found = set(groups)
    return tuple(group for group in GROUPS if group in found)
