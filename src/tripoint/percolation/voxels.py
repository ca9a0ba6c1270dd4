"""Percolation of a labelled volume: components, spanning, and which voxels reach a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tripoint.boundary.access import Access
from tripoint.materials import Materials
from tripoint.percolation.blocks import implementation, label_block, scan
from tripoint.percolation.fractions import Percolation, PhasePercolation


def components(
    phases: Any, labels: Sequence[int] | None = None, connectivity: int = 6
) -> dict[int, PhasePercolation]:
    """Find the connected components of phases and the share of each phase that spans the volume.

    Parameters
    ----------
    phases : (z, y, x) uint8
    labels : sequence of int, optional
        Phases to look at; all that are present by default.
    connectivity : {6, 18, 26}
        Voxels are neighbours through faces, edges as well, corners as well.

    Returns
    -------
    dict of label to PhasePercolation
        ``terminal_fraction`` is None: labels alone have no terminals.

    Raises
    ------
    InputError
        Phases that are not a 3D uint8 volume, another connectivity.

    Notes
    -----
    Peak memory beyond the input: 5 bytes per voxel and 10 per component.
    """
    return scan(phases, labels, connectivity).components()


def measure(phases: Any, materials: Materials, connectivity: int = 6) -> Percolation:
    """Percolation of every phase and every carrier, and the voxels that reach the terminals.

    A carrier's network is the union of all phases that conduct it: its components are those of the
    union, so that carbon connects particles of active material and the other way round.

    Parameters
    ----------
    phases : (z, y, x) uint8
    materials : Materials
        What each label conducts, and the terminal face of each carrier. Voxels of labels that are not
        among the phases connect nothing.
    connectivity : {6, 18, 26}

    Returns
    -------
    Percolation
        With ``.access`` for the carriers that have a terminal and a phase that conducts them, on the GPU
        where the phases are there; the fractions are on the host.

    Raises
    ------
    InputError
        Phases that are not a 3D uint8 volume, another connectivity.

    Notes
    -----
    Peak memory beyond the input: 5 bytes per voxel (components 4, then access or recoded labels 1) and
    50 bytes per component; a component takes 8 bytes from 2³² voxels on, on the GPU from 2³¹ on.
    Components are found once, per phase; those of a carrier follow by union–find where phases of one
    network touch. For a volume that does not fit into memory see :func:`tripoint.percolation.scan`, of
    which this is the case of one block.
    """
    image, whole = label_block(phases, materials, connectivity)
    found = whole.measure()
    found.access = Access(implementation(phases).paint(image, whole.access_bits), whole.networks)
    return found


def access(phases: Any, materials: Materials, connectivity: int = 6) -> Access:
    """Which voxels are connected to the terminals of the carriers they conduct; see `measure`.

    Returns
    -------
    Access
        ``volume`` has bit 2c set where the voxel's component of the network of carrier c touches the
        carrier's terminal face, and bit 2c + 1 where it touches any other outer face.
    """
    found = measure(phases, materials, connectivity).access
    assert found is not None
    return found
