"""From connected pieces to the share of a phase or of a carrier's network that percolates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tripoint.boundary.access import Access
from tripoint.materials import AXES, CARRIERS, FACES, Materials


@dataclass(frozen=True)
class PhasePercolation:
    """How a phase, or the network of all phases that conduct a carrier, hangs together.

    Parameters
    ----------
    components : int
        Number of connected components.
    spanning_fraction : (z, y, x)
        Share of the voxels in components that touch both outer faces of the axis; 0 where the
        phase does not span or is absent.
    terminal_fraction : float or None
        Share of the voxels in components that touch the terminal face of the carrier. A phase that
        conducts several carriers must reach all their terminals. None when there is no terminal.
    """

    components: int
    spanning_fraction: tuple[float, float, float]
    terminal_fraction: float | None


@dataclass
class Percolation:
    """Percolation of every phase alone and of every carrier on the union of its phases.

    Not frozen, so that ``del result.access`` gives back its byte per voxel.

    Parameters
    ----------
    phases : mapping of phase name to PhasePercolation
    carriers : mapping of carrier to PhasePercolation
    access : Access or None
        Which voxels reach the terminals; None for a graph.
    notes : tuple of str
        One sentence for each thing a user should know: a phase that is absent, a network that does
        not span, a terminal on a face where nothing conducts.
    """

    phases: Mapping[str, PhasePercolation]
    carriers: Mapping[str, PhasePercolation]
    access: Access | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pieces:
    """Connected pieces of single phases: components of a volume, or regions of a graph.

    ``label`` (uint8) is the phase, ``voxels`` (int64) the size, ``faces`` (uint8) has bit f set where
    the piece touches ``FACES[f]``.
    """

    label: NDArray[np.uint8]
    voxels: NDArray[np.int64]
    faces: NDArray[np.uint8]

    def of(self, labels: Sequence[int]) -> NDArray[np.bool_]:
        """Return which pieces belong to these phases."""
        return np.isin(self.label, np.array(labels, np.uint8)) & (self.voxels > 0)


def summarize(
    pieces: Pieces,
    phase_roots: NDArray[np.int64],
    carrier_roots: Mapping[str, NDArray[np.int64]],
    materials: Materials,
) -> Percolation:
    """Percolation from pieces and the component (root) of each piece, per phase and per carrier."""
    phases = {}
    for phase in materials.phases:
        terminals = [materials.terminals[c] for c in phase.conducts if c in materials.terminals]
        phases[phase.name] = of_pieces(pieces, phase_roots, (phase.label,), terminals)
    carriers = {}
    for carrier in materials.carriers:
        terminals = [materials.terminals[carrier]] if carrier in materials.terminals else []
        carriers[carrier] = of_pieces(pieces, carrier_roots[carrier], materials.network(carrier), terminals)
    return Percolation(phases, carriers, notes=tuple(_notes(pieces, phases, carriers, materials)))


def of_pieces(
    pieces: Pieces, roots: NDArray[np.int64], labels: Sequence[int], terminals: Sequence[str]
) -> PhasePercolation:
    """Percolation of the pieces with these labels, grouped by root."""
    members = pieces.of(labels)
    roots, voxels = roots[members], pieces.voxels[members]
    faces = root_faces(roots, pieces.faces[members])
    total = int(voxels.sum())

    def share(needed: int) -> float:
        return int(voxels[(faces & needed) == needed].sum()) / total if total else 0.0

    needed = sum(1 << face for face in {FACES.index(t) for t in terminals})
    z, y, x = (share(0b11 << 2 * axis) for axis in range(3))
    return PhasePercolation(len(np.unique(roots)), (z, y, x), share(needed) if terminals else None)


def root_faces(roots: NDArray[np.int64], faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return for every piece the faces that its whole component touches."""
    unique, position = np.unique(roots, return_inverse=True)
    merged = np.zeros(len(unique), np.uint8)
    np.bitwise_or.at(merged, position, faces)
    return merged[position]


def access_bits(
    pieces: Pieces, roots: NDArray[np.int64], labels: Sequence[int], carrier: str, terminal: str
) -> NDArray[np.uint8]:
    """Return the bits of one carrier, for every piece; see :class:`tripoint.boundary.Access`."""
    bits = np.zeros(len(pieces.label), np.uint8)
    members = pieces.of(labels)
    faces = root_faces(roots[members], pieces.faces[members])
    face = 1 << FACES.index(terminal)
    c = CARRIERS.index(carrier)
    connected = ((faces & face) != 0).astype(np.uint8) << (2 * c)
    elsewhere = ((faces & (0b111111 ^ face)) != 0).astype(np.uint8) << (2 * c + 1)
    bits[members] = connected | elsewhere
    return bits


def _notes(
    pieces: Pieces,
    phases: Mapping[str, PhasePercolation],
    carriers: Mapping[str, PhasePercolation],
    materials: Materials,
) -> Iterable[str]:
    for name, phase in phases.items():
        if phase.components == 0:
            yield f"phase '{name}' is not in the volume"
        elif not any(phase.spanning_fraction):
            yield f"phase '{name}' does not span the sample along any axis"
    for carrier, face in materials.terminals.items():
        names = " and ".join(p.name for p in materials.phases if carrier in p.conducts)
        if not names:
            yield f"{carrier} has a terminal at {face}, but no phase conducts it"
            continue
        touching = pieces.faces[pieces.of(materials.network(carrier))] & (1 << FACES.index(face))
        if not touching.any():
            yield (
                f"the terminal of {carrier} is at {face}, where there is no {names}: nothing is "
                f"connected to it; set materials.terminals.{carrier} to another face"
            )
        elif not carriers[carrier].spanning_fraction[AXES.index(face[0])]:
            yield (
                f"the {carrier} network ({names}) does not percolate along {face[0]}, "
                "the axis of its terminal"
            )
    for carrier in materials.carriers:
        if carrier not in materials.terminals:
            yield (
                f"no terminal is set for {carrier}, so nothing is said of what is connected to it; "
                f"set materials.terminals.{carrier}, for example to z-"
            )
