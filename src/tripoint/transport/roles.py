"""What conducts what in a simulation of local activity, and what has to be there before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array

from tripoint import _cpu, _cuda
from tripoint.errors import InputError
from tripoint.materials import FACES, Materials
from tripoint.transport.kinetics import Kinetics


def check_simulation(phases: Any, materials: Materials, kinetics: Kinetics) -> None:
    """Refuse what a simulation of local activity would refuse, at the cost of a look at the labels.

    Raises
    ------
    InputError
        No active material, a carrier without conductor, conductivity or terminal, a terminal that touches no
        conductor, a phase that conducts both carriers, a reaction along junctions of which none can react.
    """
    labels = conductors(materials)
    side = _cuda if is_cupy_array(phases) else _cpu
    conductivities(side.boundary.labels_present(phases), materials, kinetics)
    check_terminals(phases, materials, tuple(labels))
    if kinetics.reaction == "junction":
        reacting_triples(materials)


def check_network(phases: Any, materials: Materials) -> None:
    """Refuse what the currents of a network would refuse, at the cost of a look at the labels.

    Raises
    ------
    InputError
        A terminal that touches no conductor, conductivities that only some phases of a network have.
    """
    for carrier in materials.terminals:
        check_alike(materials, carrier)
    check_terminals(phases, materials, tuple(materials.terminals))


def check_terminals(phases: Any, materials: Materials, carriers: Sequence[str]) -> None:
    """Raise InputError where no conductor of a carrier lies in the plane of its terminal."""
    side = _cuda if is_cupy_array(phases) else _cpu
    for carrier in carriers:
        face = materials.terminals[carrier]
        axis, last = divmod(FACES.index(face), 2)
        place: list[Any] = [slice(None)] * 3
        place[axis] = slice(-1, None) if last else slice(0, 1)
        touching = side.boundary.labels_present(phases[tuple(place)])
        check_terminal(set(touching) & set(materials.network(carrier)), carrier, face)


def conductors(materials: Materials) -> dict[str, tuple[int, ...]]:
    """Return the labels of the ion and of the electron conductors."""
    labels = {carrier: materials.network(carrier) for carrier in ("ion", "electron")}
    for carrier, members in labels.items():
        if not members:
            message = (
                f"no phase conducts the {carrier}; say so in the materials, such as conducts: [{carrier}]"
            )
            raise InputError(message)
        if carrier not in materials.terminals:
            message = f"the {carrier} has no terminal; name its face, such as terminals.{carrier}=z-"
            raise InputError(message)
    both = set(labels["ion"]) & set(labels["electron"])
    if both:
        message = (
            f"phases with labels {sorted(both)} conduct ions and electrons at once, which this model does "
            "not hold; let each conduct the one that limits"
        )
        raise InputError(message)
    if not any(phase.active for phase in materials.phases):
        message = "no phase is active, so there is nothing that reacts; mark one with active: true"
        raise InputError(message)
    return labels


def conductivities(present: Sequence[int], materials: Materials, kinetics: Kinetics) -> np.ndarray:
    """Return S/m of every label for the carrier it conducts, (256,) float64; 1 where it conducts none."""
    table = np.ones(256)
    for phase in materials.phases:
        for carrier in ("ion", "electron"):
            if carrier not in phase.conducts:
                continue
            value = kinetics.conductivity(phase, carrier)
            if value is None and phase.label in present:
                message = (
                    f"phase '{phase.name}' has no conductivity for the {carrier}; give it in the materials, "
                    f"such as conductivity: {{{carrier}: 0.1}} in S/m, or choose a regime"
                )
                raise InputError(message)
            table[phase.label] = value or 1.0
    return table


def check_alike(materials: Materials, carrier: str) -> None:
    """Raise InputError where some phases of a network have a conductivity and others have none."""
    phases = [phase for phase in materials.phases if carrier in phase.conducts]
    given = [phase.name for phase in phases if carrier in phase.conductivity]
    if given and len(given) < len(phases):
        missing = next(phase.name for phase in phases if phase.name not in given)
        message = (
            f"phase '{missing}' conducts {carrier} but has no conductivity for it, and '{given[0]}' has one; "
            "give it to all phases of the network or to none"
        )
        raise InputError(message)


def check_terminal(touching: Any, carrier: str, face: str) -> None:
    """Raise InputError where nothing touches a terminal."""
    if len(touching) == 0:
        message = (
            f"the {carrier} terminal {face} touches no {carrier} conductor; choose another face or "
            "check the labels"
        )
        raise InputError(message)


def reacting_triples(materials: Materials) -> list[tuple[int, int, int]]:
    """Return the labels of every junction that holds an ion and an electron conductor.

    Raises
    ------
    InputError
        No junction does.
    """
    networks = [set(materials.network(carrier)) for carrier in ("ion", "electron")]
    triples = [t for t in materials.junction_labels if all(set(t) & network for network in networks)]
    if not triples:
        message = (
            f"none of the junctions {[list(t) for t in materials.junctions]} holds an ion and an electron "
            "conductor, so nothing reacts along them; name one that does, or use reaction: interface"
        )
        raise InputError(message)
    return triples
