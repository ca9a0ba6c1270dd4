"""The circuit of a carrier: its regions, joined by contacts and linked to two faces of the volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tripoint import _cpu, _cuda
from tripoint.errors import InputError
from tripoint.materials import AXES, Materials
from tripoint.percolation.carriers import conductivities, depths, touches
from tripoint.percolation.conduits import contact_resistances, contact_rows, duct
from tripoint.sample import Spacing
from tripoint.tables import column, namespace, on_gpu, sums
from tripoint.transport.roles import check_alike

OPPOSITE = {"-": "+", "+": "-"}


@dataclass(frozen=True)
class Circuit:
    """The part of a carrier's network that joins the two faces; regions are numbered anew."""

    carrier: str
    faces: tuple[str, str]
    regions: Any  # (nodes,) bool
    at: Any  # rows of its contacts
    source: Any
    target: Any
    conductance: Any
    inlet: Any  # (its regions,) conductance to the terminal's face, 0 where it is not touched
    outlet: Any
    conducting: float  # Σ V σ of all regions


def spanning_circuit(
    nodes: Any,
    contacts: Any,
    ends: tuple[Any, Any],
    materials: Materials,
    carrier: str,
    shape: tuple[int, int, int],
    spacing: Spacing,
) -> Circuit:
    """Return what of a carrier's network joins its terminal's face with the opposite one.

    Parameters
    ----------
    nodes, contacts, materials, shape, spacing
        As for `tripoint.transport.network`.
    ends : (source, target)
        Rows of every contact's regions in the table of nodes.
    carrier : str
        One that has a terminal.

    Returns
    -------
    Circuit
        Without a region where no component touches both faces.

    Raises
    ------
    InputError
        Conductivities that are not positive or that only some phases of the network have; a terminal that
        no conductor touches.
    """
    terminal = materials.terminals[carrier]
    faces = (terminal, terminal[0] + OPPOSITE[terminal[1]])
    check_alike(materials, carrier)
    conductivity = conductivities(nodes, materials, carrier)
    xp = namespace(conductivity)
    links = [_links(nodes, conductivity, face, shape, spacing) for face in faces]
    if not bool((links[0] > 0).any()):
        message = (
            f"the terminal of {carrier} is {terminal}, where no region conducts it; choose another face or "
            f"say which phases conduct {carrier}"
        )
        raise InputError(message)
    source, target = ends
    inside = (conductivity[source] > 0) & (conductivity[target] > 0)
    side = (_cuda if on_gpu(nodes) else _cpu).percolation
    roots = side.graph_roots(source[inside], target[inside], len(conductivity))
    touched = [xp.zeros(len(conductivity), dtype=xp.bool) for _ in faces]
    for marks, link in zip(touched, links, strict=True):
        marks[roots[link > 0]] = True
    spanning = (touched[0] & touched[1])[roots]
    inside = inside & spanning[source]
    at = xp.nonzero(inside)[0]
    shares = contact_shares(nodes, contacts, conductivity, inside)
    halves = contact_resistances(nodes, contacts, spacing, shares)
    # both conduct
    resistance = halves[0][at] / conductivity[source[at]] + halves[1][at] / conductivity[target[at]]
    number = xp.cumulative_sum(xp.astype(spanning, xp.int64)) - 1
    return Circuit(
        carrier,
        faces,
        spanning,
        at,
        number[source[at]],
        number[target[at]],
        1 / resistance,
        links[0][spanning],
        links[1][spanning],
        float((column(nodes, "volume", np.float64) * conductivity).sum()),
    )


def contact_shares(nodes: Any, contacts: Any, conductivity: Any, inside: Any) -> tuple[Any, Any]:
    r"""Share of a region's cross-section that each contact has, on either of its sides.

    A duct that ends in two contacts has not two cross-sections, unless one of them leads into what hardly
    conducts. For contact k of region i, in direction **u**\_k from its centroid, with area A,

    .. math:: s_k = \frac{A_k}{\max(A_k, (1 - h_k) A_k + \sum_j h_j A_j \, w(u_j \cdot u_k))}, \qquad
              w(c) = \frac{c (1 + c)}{2}, \qquad h_j = \min(1, \frac{2 \sigma_j}{\sigma_i + \sigma_j})

    w is 1 for contacts in the same direction and 0 for those beside and behind, so that a bar, or a
    cube with six neighbours, has s = 1, and n equal contacts at the end of a bar have s = 1 / n. It is the
    polynomial of second degree that does so, and only sums over a region's contacts are needed. h is
    what the neighbour's conductivity lets through, compared with the region's own.

    Parameters
    ----------
    nodes, contacts : DataFrame
    conductivity : (nodes,) float64
        Of every region; positive where its contacts take part.
    inside : (contacts,) bool
        Contacts that take part; the others have s = 1.

    Returns
    -------
    (source, target) : two (contacts,) float64
        Above 0 and up to 1.
    """
    xp = namespace(inside)
    kept = xp.nonzero(inside)[0]
    source, target = (end[kept] for end in contact_rows(nodes, contacts))
    rows = xp.concat((source, target))
    own, beyond = conductivity[rows], conductivity[xp.concat((target, source))]
    passing = xp.minimum(2 * beyond / (own + beyond), xp.ones(1))
    area = column(contacts, "area", np.float64)[kept]
    area = xp.concat((area, area))
    weight = area * passing
    unit = _directions(nodes, rows, contacts, kept)
    count = len(conductivity)
    total = xp.zeros(len(rows))
    for a in range(3):
        total = total + unit[a] * sums(rows, weight * unit[a], count)[rows]
        for b in range(3):
            total = total + unit[a] * unit[b] * sums(rows, weight * unit[a] * unit[b], count)[rows]
    share = area / xp.maximum(area - weight + total / 2, area)
    both = xp.ones((2, len(inside)))
    both[0, kept], both[1, kept] = share[: len(kept)], share[len(kept) :]
    return both[0], both[1]


def _links(nodes: Any, conductivity: Any, face: str, shape: tuple[int, int, int], spacing: Spacing) -> Any:
    """Conductance of every node to the plane of a face, 0 where it does not touch it or not conduct."""
    depth, volume = depths(nodes, face, shape, spacing), column(nodes, "volume", np.float64)
    xp = namespace(depth)
    return xp.where(touches(nodes, face), conductivity, 0) / duct(depth, volume, spacing)


def _directions(nodes: Any, rows: Any, contacts: Any, kept: Any) -> list[Any]:
    """Return unit vectors, as arrays z, y and x, from the regions in these rows to their contacts."""
    xp = namespace(rows)
    offsets = []
    for axis in AXES:
        place = column(contacts, f"centroid_{axis}", np.float64)[kept]
        offsets.append(xp.concat((place, place)) - column(nodes, f"centroid_{axis}", np.float64)[rows])
    length = xp.sqrt(offsets[0] ** 2 + offsets[1] ** 2 + offsets[2] ** 2)
    return [xp.where(length > 0, offset / xp.where(length > 0, length, 1), 0) for offset in offsets]
