"""Simulated samples of a benchmark, each made from its seed alone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from tripoint import pipeline, synth, transport
from tripoint.database import GraphDatabase
from tripoint.database.content import hash_settings
from tripoint.errors import InputError
from tripoint.physics import Measured, Simulation
from tripoint.result import Result
from tripoint.sample import Sample
from tripoint.synth import Composite
from tripoint.transport import Kinetics


@dataclass(frozen=True)
class SampleSet:
    """Samples that are made alike and differ by their seeds.

    Parameters
    ----------
    name : str
    first, count : int
        Seeds from ``first`` on. Sets with the same seeds and ranges have the same microstructures.
    vary : mapping
        Ranges of `synth.vary`.
    regime : str
        Conductivities and charge transfer.
    composite : str
    shape : (z, y, x)
        Voxels.
    spacing : (z, y, x)
        Voxel size, µm.
    butler_volmer : bool
        Nonlinear kinetics.
    voltage : float
        Between the terminals, V; matters with nonlinear kinetics.
    measured : bool
        The simulation sees the particles that were made, the graph those that were separated, and a particle
        has for activity the mean of the map over its voxels: what a measured map would give.
    """

    name: str
    first: int
    count: int
    vary: Mapping[str, Any]
    regime: str = "mixed"
    composite: str = "solid_state_cathode"
    shape: tuple[int, int, int] = (96, 96, 96)
    spacing: tuple[float, float, float] = (0.4, 0.4, 0.4)
    butler_volmer: bool = False
    voltage: float = 1.0
    measured: bool = False

    @property
    def samples(self) -> list[str]:
        """Names of the samples, in the order of their seeds."""
        return [self.sample(seed) for seed in range(self.first, self.first + self.count)]

    def sample(self, seed: int) -> str:
        """Return the name of the sample of a seed."""
        return f"{self.name}_{seed:04d}"

    def database(self, folder: str) -> str:
        """Return where the graphs are."""
        return f"{folder}/graphs_{self.name}"

    def key(self, seed: int) -> str:
        """Return the hash of all that a sample is computed from."""
        settings = {name: value for name, value in asdict(self).items() if name not in ("first", "count")}
        return hash_settings({**settings, "seed": seed})


def make_sample(of: SampleSet, seed: int, folder: str) -> float:
    """Make the sample of a seed, simulate it and add its graph; nothing is done where it is there.

    Returns
    -------
    float
        Seconds of processor time that it took.
    """
    database = GraphDatabase(of.database(folder))
    name, key = of.sample(seed), of.key(seed)
    if database.has(name, key):
        return 0.0
    begun = time.process_time()
    composite = synth.vary(Composite.load(of.composite), of.vary, seed)
    sample = synth.make(composite, of.shape, of.spacing, seed=seed)
    result = _measured(sample, of) if of.measured else _simulated(sample, of)
    configuration = {**asdict(of), "seed": seed, "synth": composite.to_mapping()}
    database.add(result, name, configuration=configuration, key=key, overwrite=True)
    return time.process_time() - begun


def made_again(configuration: Mapping[str, Any]) -> tuple[Sample, dict[str, Any]] | None:
    """Make the volume of a sample again, from what the database keeps of it.

    Returns
    -------
    (Sample, dict)
        And the arguments of `pipeline.analyze` with which it was simulated. None of what `make_sample` did
        not add, and of measured samples, whose activity is not that of an analysis.
    """
    if not {"synth", "seed", "regime", "measured"} <= set(configuration) or configuration["measured"]:
        return None
    known = {one.name: configuration[one.name] for one in fields(SampleSet) if one.name in configuration}
    of = SampleSet(**known)
    composite = Composite.from_mapping(configuration["synth"])
    sample = synth.make(composite, of.shape, of.spacing, seed=configuration["seed"])
    return sample, _analysis(of)


def _simulated(sample: Sample, of: SampleSet) -> Result:
    return pipeline.analyze(sample, **_analysis(of), activity="simulate")


def _analysis(of: SampleSet) -> dict[str, Any]:
    simulation = Simulation(axes=(), voltage=of.voltage, butler_volmer=of.butler_volmer)
    return {"subvolumes": 0, "kinetics": of.regime, "simulation": simulation, "device": "cpu"}


def _measured(sample: Sample, of: SampleSet) -> Result:
    """Return the graph of separated particles, with the activity of those that were made."""
    kinetics = Kinetics.load(of.regime)
    materials = kinetics.applied(sample.materials)
    truth = np.asarray(sample.channels["particle"]).astype(np.int32)
    # Phases that are not particulate are one region each, which the simulation needs no more of.
    regions = np.where(truth > 0, truth, truth.max() + 1 + sample.phases).astype(np.int32)
    found = transport.activity(
        sample.phases, materials, kinetics, sample.spacing, regions,
        voltage=of.voltage, nonlinear=of.butler_volmer,
    )  # fmt: skip
    values = np.full(int(regions.max()) + 1, np.nan, np.float32)
    values[found.table["region"].to_numpy()] = found.table["activity"].to_numpy()
    plain = replace(sample, materials=materials, channels={})
    return pipeline.analyze(plain, subvolumes=0, activity=Measured(values[regions]), device="cpu")


@dataclass(frozen=True)
class Sets:
    """The sets of a benchmark by name."""

    sets: Mapping[str, SampleSet] = field(default_factory=dict)

    @classmethod
    def of(cls, common: Mapping[str, Any], sets: Mapping[str, Mapping[str, Any]]) -> Sets:
        """Return the sets of some plain values, those of ``common`` being the same in all.

        Raises
        ------
        InputError
            A value that a set does not have, or one that lacks seeds.
        """
        made = {}
        for name, own in sets.items():
            values = {**common, **own, "name": name}
            for key in ("shape", "spacing"):
                if key in values:
                    values[key] = tuple(values[key])
            try:
                made[name] = SampleSet(**values)
            except TypeError as error:
                message = f"the set of samples '{name}' does not fit: {error}"
                raise InputError(message) from error
        return cls(made)

    def __getitem__(self, name: str) -> SampleSet:
        try:
            return self.sets[name]
        except KeyError:
            message = f"there is no set of samples '{name}'; the sets are {', '.join(self.sets)}"
            raise InputError(message) from None
