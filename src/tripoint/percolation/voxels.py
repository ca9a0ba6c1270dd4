"""Percolation of a labelled volume: components, spanning, and which voxels reach a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array
from numpy.typing import NDArray

from tripoint import _cpu, _cuda
from tripoint.boundary.access import Access
from tripoint.errors import InputError
from tripoint.materials import CARRIERS, FACES, Materials
from tripoint.percolation.fractions import (
    Percolation,
    PhasePercolation,
    Pieces,
    of_pieces,
    root_faces,
    summarize,
)
from tripoint.sample import check_phases


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
    check_phases(phases)
    _check_connectivity(connectivity)
    labels = range(256) if labels is None else [int(label) for label in labels]
    import tripoint._cpu.percolation  # noqa: F401  numba is slow to import: only when it is needed

    implementation = _cuda if is_cupy_array(phases) else _cpu
    pieces = Pieces(*implementation.percolation.label_components(phases, labels, connectivity)[1:])
    present = np.unique(pieces.label[1:]).tolist() if len(labels) == 256 else labels
    roots = np.arange(len(pieces.label))
    return {label: of_pieces(pieces, roots, (label,), ()) for label in present}


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
        With ``.access`` for the carriers that have a terminal and a phase that conducts them.

    Raises
    ------
    InputError
        Phases that are not a 3D uint8 volume, another connectivity.

    Notes
    -----
    Peak memory beyond the input: 5 bytes per voxel (components 4, then access or recoded labels 1)
    and 18 + 8 · carriers bytes per component. Components are found once, per phase; those of a
    carrier follow by union–find where phases of one network touch.
    """
    check_phases(phases)
    _check_connectivity(connectivity)
    import tripoint._cpu.percolation  # noqa: F401  numba is slow to import: only when it is needed

    implementation = (_cuda if is_cupy_array(phases) else _cpu).percolation
    image, *table = implementation.label_components(phases, materials.labels, connectivity)
    pieces = Pieces(*table)
    conducted = np.zeros(256, np.uint8)
    for phase in materials.phases:
        conducted[phase.label] = sum(1 << CARRIERS.index(carrier) for carrier in phase.conducts)
    count = len(pieces.label) - 1
    joined = implementation.join_components(phases, image, count, conducted, len(CARRIERS), connectivity)
    roots = {carrier: joined[CARRIERS.index(carrier)] for carrier in materials.carriers}
    result = summarize(pieces, np.arange(count + 1), roots, materials)
    networks = {c: materials.network(c) for c in materials.carriers if c in materials.terminals}
    bits = np.zeros(count + 1, np.uint8)
    for carrier, labels in networks.items():
        bits |= _access_bits(pieces, roots[carrier], labels, carrier, materials.terminals[carrier])
    return Percolation(
        result.phases, result.carriers, Access(implementation.paint(image, bits), networks), result.notes
    )


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


def _access_bits(
    pieces: Pieces, roots: NDArray[np.int64], labels: Sequence[int], carrier: str, terminal: str
) -> NDArray[np.uint8]:
    bits = np.zeros(len(pieces.label), np.uint8)
    members = pieces.of(labels)
    faces = root_faces(roots[members], pieces.faces[members])
    face = 1 << FACES.index(terminal)
    c = CARRIERS.index(carrier)
    connected = ((faces & face) != 0).astype(np.uint8) << (2 * c)
    elsewhere = ((faces & (0b111111 ^ face)) != 0).astype(np.uint8) << (2 * c + 1)
    bits[members] = connected | elsewhere
    return bits


def _check_connectivity(connectivity: int) -> None:
    if connectivity not in (6, 18, 26):
        message = f"connectivity is {connectivity!r}; expected 6 (faces), 18 (and edges) or 26 (and corners)"
        raise InputError(message)
