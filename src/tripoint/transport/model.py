"""The two-potential problem on voxels: unknowns, conductances and terminals, from phases and kinetics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array

from tripoint import _cpu, _cuda, percolation
from tripoint.boundary import Access, contacts
from tripoint.boundary.regions import check_regions
from tripoint.distance import transform
from tripoint.errors import InputError
from tripoint.materials import CARRIERS, FACES, Materials
from tripoint.sample import Spacing
from tripoint.tables import column, namespace
from tripoint.transport.edges import RingEdges, reacting_edges
from tripoint.transport.kinetics import Kinetics
from tripoint.transport.planes import places_on_face
from tripoint.transport.roles import check_terminal, conductivities, conductors

ION, ELECTRON = 1, 2
PARTS = 16  # in which volumes are added up, to save memory


class Model:
    """The conductances of one problem, and what its solution means; volumes live where the phases do."""

    def __init__(
        self,
        phases: Any,
        materials: Materials,
        kinetics: Kinetics,
        spacing: Spacing,
        regions: Any,
        voltage: float,
    ) -> None:
        self.phases, self.spacing, self.voltage = phases, spacing, voltage
        self.xp, self.side = namespace(phases), _cuda if is_cupy_array(phases) else _cpu
        self.labels = conductors(materials)
        present = self.side.boundary.labels_present(phases)
        self.table = conductivities(present, materials, kinetics)
        self.active = mask([p.label for p in materials.phases if p.active])
        if regions is None:
            self.regions = self.of_labels(_mask_numbers(materials))
        else:
            _check_regions(regions, phases)
            self.regions = self.xp.ascontiguousarray(regions)
        access = percolation.access(phases, materials)
        self.carrier = self._unknowns(access)
        boundary = _boundary(self.table, self.active, kinetics)
        self.faces = self.side.transport.conduction_faces(
            phases,
            self.carrier,
            self.table,
            spacing,
            self.regions if boundary is not None else None,
            boundary,
        )
        self.guard = phases.shape[1] * phases.shape[2]
        self.entry, self.entry_values = self._terminal(materials.terminals["ion"], ION, "ion")
        self.leave, self.leave_values = self._terminal(materials.terminals["electron"], ELECTRON, "electron")
        self.ends = self.xp.concat([self.entry, self.leave])
        self.values = self.xp.concat([self.entry_values, self.leave_values])
        self.edges: RingEdges | None = None
        if kinetics.reaction == "interface":
            self._react_on_faces(materials, kinetics)
        else:
            self.edges = self._react_on_edges(materials, kinetics, access)

    def of_labels(self, table: np.ndarray) -> Any:
        """Return the entry of a (256,) table for the label of every voxel, where the phases live."""
        return self.xp.asarray(table)[self.phases]

    def _unknowns(self, access: Access) -> Any:
        """Return ION and ELECTRON where a voxel's component reaches the carrier's terminal, 0 elsewhere."""
        unknowns = self.xp.zeros(self.phases.shape, dtype=self.xp.uint8)
        for value, carrier in ((ION, "ion"), (ELECTRON, "electron")):
            bit = np.uint8(1 << (2 * CARRIERS.index(carrier)))
            unknowns[self.of_labels(mask(self.labels[carrier])) & ((access.volume & bit) > 0)] = value
        return unknowns

    def _terminal(self, face: str, carrier: int, name: str) -> tuple[Any, Any]:
        axis, last = divmod(FACES.index(face), 2)
        plane = places_on_face(self.phases, axis, bool(last)).reshape(-1)
        plane = plane[self.carrier.reshape(-1)[plane] == carrier]
        check_terminal(plane, name, face)
        area = math.prod(self.spacing) / self.spacing[axis]
        sigma = self.xp.asarray(self.table)[self.phases.reshape(-1)[plane]]
        return plane + self.guard, 2 * area * sigma / self.spacing[axis]

    def _react_on_faces(self, materials: Materials, kinetics: Kinetics) -> None:
        pairs, scales = _area_scales(self.regions, self.spacing)
        exchange: Any = kinetics.exchange
        if kinetics.enhancement_length > 0:
            additive = [p.label for p in materials.phases if "electron" in p.conducts and not p.active]
            far = transform(self.of_labels(mask(additive)).view(np.uint8), self.spacing)
            far /= -np.float32(kinetics.enhancement_length)
            self.xp.exp(far, out=far)
            far *= np.float32(kinetics.exchange * (1 - kinetics.enhancement_floor))
            far += np.float32(kinetics.exchange * kinetics.enhancement_floor)
            exchange = far
        self.side.transport.reaction_faces(
            self.faces, self.phases, self.carrier, self.table, self.active, self.spacing, exchange,
            self.regions, pairs, scales,
        )  # fmt: skip

    def _react_on_edges(self, materials: Materials, kinetics: Kinetics, access: Access) -> RingEdges:
        """Spread the conductance of every active junction edge over the faces around it."""
        edges = reacting_edges(self.phases, self.spacing, materials, access)
        passive = (self.carrier == ELECTRON) & ~self.of_labels(self.active)
        reacting = self.xp.where(passive, np.uint8(0), self.carrier).reshape(-1)
        axis, index, length = edges.faces(reacting, self.spacing)
        if index.size:
            self.side.transport.junction_faces(
                self.faces, self.phases, self.table, self.spacing, axis, index, kinetics.exchange * length
            )
        return edges

    def reacts(self) -> bool:
        """Return whether any face joins ion and electron conductors that both reach their terminals."""
        depth, plane = len(self.phases), self.guard
        step = -(-depth // PARTS)
        faces = self.faces[:, plane:-plane].reshape(3, *self.phases.shape)
        for begin in range(0, depth, step):
            for axis in range(3):
                # The lower voxels of the faces, of the last plane along z that of the next part.
                end = min(begin + step, depth - (axis == 0))
                lower = [slice(begin, end), slice(None), slice(None)]
                upper = list(lower)
                if axis == 0:
                    upper[0] = slice(begin + 1, end + 1)
                else:
                    lower[axis], upper[axis] = slice(None, -1), slice(1, None)
                both = self.carrier[tuple(lower)] * self.carrier[tuple(upper)] == ION * ELECTRON
                if bool((both & (faces[axis][tuple(lower)] > 0)).any()):
                    return True
        return False

    def at_rest(self) -> Any:
        """Return the potentials where nothing reacts: each carrier at that of its terminal."""
        x = self.xp.zeros(self.phases.size + 2 * self.guard, dtype=self.xp.float64)
        x[self.guard : -self.guard][self.carrier.reshape(-1) == ION] = self.voltage
        return x

    def source(self) -> Any:
        """Return the currents into the voxels at the ion terminal."""
        source = self.xp.zeros(self.phases.size + 2 * self.guard, dtype=self.xp.float64)
        source[self.entry] = self.voltage * self.entry_values
        return source

    def currents(self, x: Any) -> tuple[float, float]:
        """Return what enters and what leaves at the terminals."""
        entering = float((self.entry_values * (self.voltage - x[self.entry])).sum())
        return entering, float((self.leave_values * x[self.leave]).sum())

    def balanced(self, tolerance: float) -> Any:
        """Return the test of a potential: what is lost on either side is a small part of the current."""

        def test(x: Any, residual: Any) -> bool:
            entering, leaving = self.currents(x)
            left = sum(abs(self._sum_over(carrier, residual)) for carrier in (ION, ELECTRON))
            return left <= tolerance * max(abs(entering), abs(leaving))

        return test

    def _sum_over(self, carrier: int, values: Any) -> float:
        """Add up a flat volume over the unknowns of a carrier, some planes at a time."""
        kind, inside = self.carrier.reshape(-1), values[self.guard : -self.guard]
        step = self.guard * -(-len(self.phases) // PARTS)
        parts = (slice(begin, begin + step) for begin in range(0, kind.size, step))
        return sum(float(self.xp.where(kind[part] == carrier, inside[part], 0.0).sum()) for part in parts)

    def edge_counts(self, count: int) -> tuple[Any, Any]:
        """Return the junction edges at every region's active material, and where only the gas is missing."""
        assert self.edges is not None
        rings, status = self.edges.rings, self.edges.status
        flat = self.phases.reshape(-1)[rings]
        held = self.carrier.reshape(-1)[rings]
        mine = self.xp.asarray(self.active)[flat]
        regions = self.regions.reshape(-1)[rings]
        touching = self.xp.bincount(regions[mine], minlength=count + 1)
        both = (held == ION).any(axis=1) & (held == ELECTRON).any(axis=1) & (status != 2)
        gas = self.xp.bincount(regions[both][mine[both]], minlength=count + 1) > 0
        return touching, gas


def _check_regions(regions: Any, phases: Any) -> None:
    check_regions(regions)
    if regions.shape != phases.shape:
        message = f"regions have the shape {regions.shape}, the phases {phases.shape}; expected the same"
        raise InputError(message)
    if is_cupy_array(regions) != is_cupy_array(phases):
        sides = ["the GPU" if is_cupy_array(volume) else "the host" for volume in (regions, phases)]
        message = f"regions are on {sides[0]} and the phases on {sides[1]}; bring both to one side"
        raise InputError(message)


def _boundary(table: np.ndarray, active: np.ndarray, kinetics: Kinetics) -> np.ndarray | None:
    if kinetics.boundary_factor == 1:
        return None
    return np.where(active, kinetics.voxel_size / table * (1 / kinetics.boundary_factor - 1), 0.0)


def _area_scales(regions: Any, spacing: Spacing) -> tuple[Any, Any]:
    """Return every pair of regions as lower · 2³² + higher, sorted, and Crofton area / area of the faces."""
    table = contacts(regions, spacing).table
    faces = sum(
        column(table, f"faces_{axis}") * (math.prod(spacing) / h)
        for axis, h in zip("zyx", spacing, strict=True)
    )
    pairs = (column(table, "source", np.int64) << 32) | column(table, "target", np.int64)
    return pairs, column(table, "area") / faces


def mask(labels: Sequence[int]) -> np.ndarray:
    """Return which of the 256 labels are among these."""
    chosen = np.zeros(256, bool)
    chosen[list(labels)] = True
    return chosen


def _mask_numbers(materials: Materials) -> np.ndarray:
    """Return the region 1, 2, … of every phase, where the phases themselves are the regions."""
    numbers = np.zeros(256, np.int32)
    numbers[list(materials.labels)] = np.arange(1, len(materials.labels) + 1)
    return numbers
