r"""Resistance of the way from one region through a contact into the next."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tripoint.errors import InputError
from tripoint.sample import Spacing

Rows = tuple[NDArray[np.int64], NDArray[np.int64]]


def contact_resistances(
    nodes: pd.DataFrame, contacts: pd.DataFrame, spacing: Spacing
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
        ``node, volume, centroid_z, centroid_y, centroid_x, inscribed_radius``.
    contacts : DataFrame
        ``source, target, centroid_z, centroid_y, centroid_x``, and ``neck_radius`` or else ``area``, of
        which the radius of the disc of equal area is taken.
    spacing : (z, y, x)
        Voxel size, µm. Lengths and necks below half the smallest voxel edge are taken as that.

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
    return (
        _half(nodes, source, contacts, neck, spacing),
        _half(nodes, target, contacts, neck, spacing),
    )


def contact_rows(nodes: pd.DataFrame, contacts: pd.DataFrame) -> Rows:
    """Return the rows of the source and the target of every contact in the table of nodes."""
    index = pd.Index(nodes["node"].to_numpy())
    source = index.get_indexer(contacts["source"].to_numpy()).astype(np.int64)
    target = index.get_indexer(contacts["target"].to_numpy()).astype(np.int64)
    missing = np.flatnonzero((source < 0) | (target < 0))
    if len(missing):
        row = contacts.iloc[missing[0]]
        message = (
            f"{len(missing)} contacts join regions that are not among the {len(nodes)} nodes, the first "
            f"{int(row['source'])}–{int(row['target'])}; take both tables from the same graph"
        )
        raise InputError(message)
    return source, target


def neck_radii(contacts: pd.DataFrame) -> NDArray[np.float64]:
    """Neck radius of every contact, µm; that of the disc of equal area where none was measured."""
    from_area = np.sqrt(contacts["area"].to_numpy(float) / np.pi)
    if "neck_radius" not in contacts:
        return from_area
    measured = contacts["neck_radius"].to_numpy(float)
    return np.where(np.isnan(measured), from_area, measured)


def duct(distance: NDArray[np.float64], volume: NDArray[np.float64], spacing: Spacing) -> NDArray[np.float64]:
    """Resistance of the prism from a region's centre to a face at this distance, 2d² / V, µm⁻¹."""
    return 2 * np.maximum(distance, min(spacing) / 2) ** 2 / volume


def separations(nodes: pd.DataFrame, rows: NDArray[np.int64], contacts: pd.DataFrame) -> NDArray[np.float64]:
    """Distance from the centroid of each contact to that of the node in this row, µm."""
    columns = ["centroid_z", "centroid_y", "centroid_x"]
    difference = nodes[columns].to_numpy(float)[rows] - contacts[columns].to_numpy(float)
    return np.sqrt((difference**2).sum(axis=1))


def _half(
    nodes: pd.DataFrame,
    rows: NDArray[np.int64],
    contacts: pd.DataFrame,
    neck: NDArray[np.float64],
    spacing: Spacing,
) -> NDArray[np.float64]:
    volume = nodes["volume"].to_numpy(float)[rows]
    radius = nodes["inscribed_radius"].to_numpy(float)[rows]
    neck = np.maximum(neck, min(spacing) / 2)
    # An unbounded phase has no inscribed radius; its necks are then unbounded too.
    with np.errstate(invalid="ignore"):
        openness = np.where(np.isfinite(neck), np.clip(1 - neck / radius, 0, 1), 0)
    return duct(separations(nodes, rows, contacts), volume, spacing) + openness**1.5 / (4 * neck)
