r"""Resistance of the way from one region through a contact into the next."""

from __future__ import annotations

from typing import Any

import numpy as np

from tripoint.errors import InputError
from tripoint.sample import Spacing
from tripoint.tables import column, find_rows, namespace


def contact_resistances(
    nodes: Any, contacts: Any, spacing: Spacing, shares: tuple[Any, Any] | None = None
) -> tuple[Any, Any]:
    r"""Geometric resistance of the two halves of every contact, µm⁻¹.

    Half a contact leads from the centre of a region to the neck. It is a duct and a constriction in
    series, as the conduits of a pore network (Gostick et al. 2016, Comput. Sci. Eng. 18, 60):

    .. math:: R = \frac{2 d^2}{V} + \frac{(1 - a / r)^{3/2}}{4 a}

    with d the distance from the region's centroid to the contact's, V the region's volume, r its
    inscribed radius and a the neck radius. The duct is a prism of volume V whose middle is the
    centroid and whose end is the contact, so its cross-section is V / 2d: exact for a straight bar cut
    anywhere. 1 / 4a is Maxwell's constriction into a half-space through a round spot (Holm 1967,
    *Electric Contacts*); the factor, for a spot in a tube of radius r, is that of Cooper, Mikic and
    Yovanovich (1969, Int. J. Heat Mass Transf. 12, 279) and vanishes for a neck as wide as the region.
    For two cubes joined by a square hole the sum is within 20 % of the solution of Laplace's equation.

    Parameters
    ----------
    nodes : DataFrame
        ``node, volume, centroid_z, centroid_y, centroid_x, inscribed_radius``; pandas, or cuDF as the
        contacts.
    contacts : DataFrame
        ``source, target, centroid_z, centroid_y, centroid_x``, and ``neck_radius`` or else ``area``, of
        which the radius of the disc of equal area is taken.
    spacing : (z, y, x)
        Voxel size, µm. Lengths and necks below half the smallest voxel edge are taken as that.
    shares : (source, target), two (contacts,) float64, optional
        Share s of the region's cross-section that a contact has where others leave it towards the same
        side: the duct is s times as wide, the tube √s times. A single path through the region has it all.

    Returns
    -------
    (source, target) : two (contacts,) float64
        Positive and finite. Divided by a conductivity they add up along a path; in MΩ where
        conductivities are in S/m.

    Raises
    ------
    InputError
        A contact of a region that is not in the table of nodes.
    """
    neck = neck_radii(contacts)
    source, target = contact_rows(nodes, contacts)
    of_source, of_target = shares or (None, None)
    return (
        _half(nodes, source, contacts, neck, spacing, of_source),
        _half(nodes, target, contacts, neck, spacing, of_target),
    )


def contact_rows(nodes: Any, contacts: Any) -> tuple[Any, Any]:
    """Return the rows of the source and the target of every contact in the table of nodes."""
    node = column(nodes, "node", np.int64)
    ends = column(contacts, "source", np.int64), column(contacts, "target", np.int64)
    source, target = find_rows(node, ends[0]), find_rows(node, ends[1])
    missing = namespace(source).nonzero((source < 0) | (target < 0))[0]
    if len(missing):
        first = int(missing[0])
        message = (
            f"{len(missing)} contacts join regions that are not among the {len(node)} nodes, the first "
            f"{int(ends[0][first])}–{int(ends[1][first])}; take both tables from the same graph"
        )
        raise InputError(message)
    return source, target


def neck_radii(contacts: Any) -> Any:
    """Neck radius of every contact, µm; that of the disc of equal area where none was measured."""
    area = column(contacts, "area", np.float64)
    xp = namespace(area)
    from_area = xp.sqrt(area / np.pi)
    if "neck_radius" not in contacts.columns:
        return from_area
    measured = column(contacts, "neck_radius", np.float64)
    return xp.where(xp.isnan(measured), from_area, measured)


def duct(distance: Any, volume: Any, spacing: Spacing) -> Any:
    """Resistance of the prism from a region's centre to a face at this distance, 2d² / V, µm⁻¹."""
    xp = namespace(distance)
    return 2 * xp.square(xp.maximum(distance, min(spacing) / 2)) / volume


def separations(nodes: Any, rows: Any, contacts: Any) -> Any:
    """Distance from the centroid of each contact to that of the node in this row, µm."""
    squares = []
    for name in ("centroid_z", "centroid_y", "centroid_x"):
        difference = column(nodes, name, np.float64)[rows] - column(contacts, name, np.float64)
        squares.append(difference * difference)
    # In this order on either side, so that both find the same bits.
    return namespace(squares[0]).sqrt((squares[0] + squares[1]) + squares[2])


def _half(nodes: Any, rows: Any, contacts: Any, neck: Any, spacing: Spacing, share: Any = None) -> Any:
    volume = column(nodes, "volume", np.float64)[rows]
    radius = column(nodes, "inscribed_radius", np.float64)[rows]
    xp = namespace(neck)
    if share is not None:
        volume, radius = volume * share, radius * xp.sqrt(share)
    neck = xp.maximum(neck, min(spacing) / 2)
    # An unbounded phase has no inscribed radius; its necks are then unbounded too.
    with np.errstate(invalid="ignore"):
        openness = xp.where(xp.isfinite(neck), xp.minimum(xp.maximum(1 - neck / radius, 0), 1), 0)
    # A power of 3/2 by the root: powers differ in their last bit from one library to the next.
    constriction = openness * xp.sqrt(openness) / (4 * neck)
    return duct(separations(nodes, rows, contacts), volume, spacing) + constriction
