"""What an analysis is asked of transport and local activity, checked before it begins, and carried out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from tripoint import physics
from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.physics import Measured, Simulation
from tripoint.record import RunRecord
from tripoint.sample import Sample
from tripoint.transport import Kinetics, check_simulation
from tripoint.transport.roles import check_network


@dataclass(frozen=True)
class Flow:
    """What an analysis was asked of transport and local activity."""

    transport: bool
    activity: Literal["simulate"] | Measured | None
    kinetics: Kinetics | None
    simulation: Simulation

    @classmethod
    def of(
        cls, sample: Sample, transport: bool, activity: Any, kinetics: Any, simulation: Simulation
    ) -> Flow:
        """Find the kinetics, and refuse what could only fail later."""
        if not (activity is None or activity == "simulate" or isinstance(activity, Measured)):
            message = f"activity is {activity!r}; expected 'simulate', a Measured map, or None"
            raise InputError(message)
        if isinstance(activity, Measured) and tuple(activity.values.shape) != sample.shape:
            message = (
                f"the map '{activity.name}' has shape {tuple(activity.values.shape)} and the sample "
                f"{sample.shape}; bring it onto the sample's grid with spectro.onto_grid"
            )
            raise InputError(message)
        regime = None
        if kinetics is not None:
            regime = Kinetics.load(kinetics)
        elif activity == "simulate" or (transport and sample.materials.kinetics is not None):
            regime = Kinetics.of(sample.materials)
        if regime is not None and activity == "simulate":
            check_simulation(sample.phases, sample.materials, regime)
        if transport:
            used = sample.materials if regime is None else regime.applied(sample.materials)
            check_network(sample.phases, used)
        return cls(transport, activity, regime, simulation)

    @property
    def simulates(self) -> bool:
        """Whether local activity is simulated."""
        return self.activity == "simulate"

    @property
    def steps(self) -> int:
        """Number of steps of an analysis."""
        return 2 * self.transport + (self.activity is not None)

    @property
    def bytes_per_voxel(self) -> float:
        """What the solvers take beyond phases, regions and the junction map."""
        if self.simulates:
            return 147.0 if self.simulation.butler_volmer else 100.0
        return 90.0 if self.transport else 0.0

    def prepare(self, sample: Sample) -> Sample:
        """Give the phases the conductivities of the kinetics, which all that follows then takes."""
        if self.kinetics is None or not (self.transport or self.simulates):
            return sample
        return replace(sample, materials=self.kinetics.applied(sample.materials))

    def configuration(self) -> dict[str, Any]:
        """Return what is kept of it with the result."""
        if not self.steps:
            return {}
        measured = self.activity if isinstance(self.activity, Measured) else None
        source = self.activity if measured is None else measured.name
        settings = asdict(self.simulation) if self.transport or self.simulates else {}
        return {
            "transport": self.transport,
            "activity": source,
            **({"simulation": settings} if settings else {}),
            **({"map": dict(measured.source)} if measured is not None and measured.source else {}),
        }

    def follow(
        self, sample: Sample, built: Graph, regions: Any, record: RunRecord
    ) -> tuple[Sample, Graph, dict[str, Any]]:
        """Take the steps that were asked for; return sample and graph with them, and parts of the summary."""
        entries: dict[str, Any] = {}
        if self.transport:
            named = None if self.kinetics is None else self.kinetics.to_mapping()
            with record.step("tortuosity"):
                entries["transport"] = {"kinetics": named, **physics.tortuosities(sample, self.simulation)}
            with record.step("network currents"):
                built, entries["transport"]["network"] = physics.currents(built, sample)
        if isinstance(self.activity, Measured):
            with record.step("measured map"):
                sample, built, entries["activity"] = physics.assign_map(sample, built, regions, self.activity)
        elif self.kinetics is not None and self.simulates:
            with record.step("local activity"):
                sample, built, entries["activity"] = physics.simulate(
                    sample, built, regions, self.kinetics, self.simulation
                )
        return sample, built, entries
