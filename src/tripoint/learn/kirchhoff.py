"""The network that solves Kirchhoff's equations: learned conductances, exact currents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch_geometric.data import Data

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.circuit import KINDS, LINK_FEATURES, REACTION, reaction_circuit
from tripoint.learn.features import region_features
from tripoint.learn.multigrid import IteratedSolution
from tripoint.learn.readout import ActivityReadout, Evidence, Readout, readout_of
from tripoint.learn.solution import CircuitSolution, elimination_order
from tripoint.learn.targets import Target
from tripoint.learn.views import ACTIVITY, Names, label_rows, label_sample, labels_of

SPAN = 6.0
"""The multilayer perceptron moves a conductance by a factor of exp(± this) at most."""


@dataclass(frozen=True)
class EliminatedSolution:
    """`solution.CircuitSolution` of tensors on the host."""

    potential: torch.Tensor
    arrays: CircuitSolution

    @classmethod
    def of(
        cls,
        conductance: torch.Tensor,
        link_index: torch.Tensor,
        fixed: torch.Tensor,
        free: torch.Tensor,
        order: torch.Tensor | None = None,
    ) -> EliminatedSolution:
        """Solve Kirchhoff's equations, as `multigrid.IteratedSolution.of` does by iteration."""
        given = (tensor.numpy() for tensor in (conductance, *link_index, fixed, free))
        arrays = CircuitSolution.of(*given, order=None if order is None else order.numpy())
        return cls(torch.from_numpy(arrays.potential), arrays)

    def adjoint(self, gradient: torch.Tensor) -> torch.Tensor:
        """Solve with the same matrix for the gradient of a number to the potentials."""
        return torch.from_numpy(self.arrays.adjoint(gradient.numpy()))


class Potentials(torch.autograd.Function):
    r"""Potentials of a circuit as a function of its conductances.

    .. math:: A(g) \varphi = b(g), \qquad A \lambda = \frac{\partial L}{\partial \varphi}, \qquad
              \frac{\partial L}{\partial g_k} = -(\lambda_i - \lambda_j)(\varphi_i - \varphi_j)

    for a link k between the nodes i and j, with λ = 0 where the potential is held: one further solution with
    the same matrix, whatever the number of links. In float64: by elimination on the host, by conjugate
    gradients on a GPU.
    """

    @staticmethod
    def forward(
        ctx: Any,
        conductance: torch.Tensor,
        link_index: torch.Tensor,
        fixed: torch.Tensor,
        free: torch.Tensor,
        order: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Solve.

        Parameters
        ----------
        conductance : (links,)
        link_index : (2, links) int64
        fixed : (nodes,)
            Potential of the nodes that are not free.
        free : (nodes,) bool
        order : (free nodes,) int64, optional
            Of `solution.elimination_order`.
        """
        side = IteratedSolution if conductance.is_cuda else EliminatedSolution
        solution = side.of(conductance.detach().double(), link_index, fixed, free, order)
        potential = solution.potential.to(conductance)
        ctx.solution = solution
        ctx.save_for_backward(link_index, potential)
        return potential

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Solve for the adjoint potentials."""
        link_index, potential = ctx.saved_tensors
        adjoint = ctx.solution.adjoint(gradients[0]).to(potential)
        source, target = link_index
        drop = potential[source] - potential[target]
        return -(adjoint[source] - adjoint[target]) * drop, None, None, None, None


@dataclass(frozen=True)
class CircuitView:
    """The circuit of a sample, as ``torch_geometric.data.Data``.

    ``link_index`` (2, links), ``link_attr`` (links, features), ``kind``, ``log_geometric`` (of µm) and
    ``log_known`` (of µS) per link; ``fixed`` and ``free`` per node; ``elimination_index``, in which order
    `solution` takes the free nodes; ``particle_index``, ``x`` and the targets
    of `views.label_rows` per region of active material. All as `circuit.ReactionCircuit` describes them.

    Parameters
    ----------
    features : {"size", "own", "surroundings"}
        Of the particles.
    target : Target
    """

    features: str = "own"
    target: Target = ACTIVITY

    def build(self, graph: Graph) -> tuple[Data, Names]:
        """Return the circuit of a sample."""
        graph = graph.to("cpu")
        circuit = reaction_circuit(graph)
        found = region_features(graph, self.features, circuit.particles)
        with np.errstate(divide="ignore"):  # kinetics along junctions let some contacts not react
            known = np.log(circuit.known)
        data = Data(
            link_index=torch.from_numpy(np.stack([circuit.source, circuit.target])),
            link_attr=torch.from_numpy(circuit.features.astype(np.float32)),
            kind=torch.from_numpy(circuit.kind),
            log_geometric=torch.from_numpy(np.log(circuit.geometric)),
            log_known=torch.from_numpy(known),
            fixed=torch.from_numpy(circuit.fixed_potential),
            free=torch.from_numpy(circuit.free),
            elimination_index=torch.from_numpy(
                elimination_order(circuit.source, circuit.target, circuit.free)
            ),
            particle_index=torch.from_numpy(circuit.particles),
            x=torch.from_numpy(found.values.astype(np.float32)),
            num_nodes=circuit.count,
            **label_rows(graph, circuit.particles, self.target),
            **label_sample(graph, self.target),
        )
        return data, {"links": LINK_FEATURES, "particles": found.names}

    def tables(self, data: Data) -> Iterator[tuple[str, Any, str]]:
        """Go through the links and the particles."""
        yield "links", data, "link_attr"
        yield "particles", data, "x"


class Kirchhoff(nn.Module):
    r"""Predict activity by currents through a circuit whose conductances are learned.

    .. math:: \ln g_k = \ln g_k^0 + c_{\mathrm{kind}(k)} + s \tanh(f(x_k) / s), \qquad
              a_p = \frac{I_p e^{h(x_p)} / V_p}{\sum_q I_q e^{h(x_q)} / \sum_q V_q}

    f and h are multilayer perceptrons, c starts at 0. The currents I into the particles are those of
    Kirchhoff's equations, so that what enters reacts, and h gives none to a particle without any; after it
    the activities have the mean 1 by volume again.

    What is learned depends on g⁰. From conductivities of 1 S/m everywhere, which is wrong, a network learns
    the constants of what it is shown, and so of one regime. From the known conductivities and kinetics
    of each sample it learns what regions and contacts get wrong about voxels, which other regimes share.

    Parameters
    ----------
    link_features, particle_features : int
    hidden : int
        Width of both perceptrons.
    head : bool
        Whether there is an h.
    start : {"unit", "known"}
        g⁰: conductances for 1 S/m (S/m² of charge transfer), or those of `KnownCircuit`.

    Raises
    ------
    InputError
        No such start.
    """

    view = CircuitView

    def __init__(
        self,
        link_features: int,
        particle_features: int,
        *,
        hidden: int = 48,
        head: bool = True,
        start: str = "unit",
    ) -> None:
        super().__init__()
        if start not in ("unit", "known"):
            message = f"a circuit cannot start from {start!r}; choose unit or known"
            raise InputError(message)
        self.base = "log_geometric" if start == "unit" else "log_known"
        self.constants = nn.Parameter(torch.zeros(len(KINDS)))
        self.conductance = _perceptron(link_features + len(KINDS), hidden)
        self.head = _perceptron(particle_features, hidden) if head else None
        self.readout: Readout = ActivityReadout()

    @classmethod
    def for_names(cls, names: Names, *, target: Target = ACTIVITY, **settings: Any) -> Kirchhoff:
        """Return a network for these columns of the data."""
        network = cls(len(names["links"]), len(names["particles"]), **settings)
        network.readout = readout_of(target)
        return network

    def log_conductance(self, data: Data) -> torch.Tensor:
        """Return the logarithm of every link's conductance, up to a common summand: (links,) float64."""
        kinds = nn.functional.one_hot(data.kind, len(KINDS)).to(data.link_attr)
        moved = self.conductance(torch.cat([data.link_attr, kinds], dim=1)).squeeze(-1)
        moved = self.constants[data.kind] + SPAN * torch.tanh(moved / SPAN)
        base = data.log_geometric if self.base == "log_geometric" else _known(data)
        return base + moved.double()

    def forward(self, data: Data) -> torch.Tensor:
        """Return what is asked of every particle of a batch, (particles,), or of every sample."""
        current = reaction_currents(self.log_conductance(data), data)
        if self.head is not None:
            current = current * torch.exp(self.head(data.x).squeeze(-1).double())
        return self.readout(_evidence(current, data))


class KnownCircuit(nn.Module):
    """The same circuit with the constants of the simulation: nothing is learned."""

    view, base = CircuitView, "log_known"

    def __init__(self) -> None:
        super().__init__()
        self.readout: Readout = ActivityReadout()

    @classmethod
    def for_names(cls, names: Names, *, target: Target = ACTIVITY) -> KnownCircuit:
        """Return the network, whatever the columns of the data."""
        network = cls()
        network.readout = readout_of(target)
        return network

    def forward(self, data: Data) -> torch.Tensor:
        """Return what is asked of every particle of a batch, (particles,), or of every sample."""
        return self.readout(_evidence(reaction_currents(_known(data), data), data))


def reaction_currents(log_conductance: torch.Tensor, data: Data) -> torch.Tensor:
    """Solve the circuit: the current from ions to electrons in every particle, (particles,) float64."""
    conductance = torch.exp(log_conductance)
    potential = Potentials.apply(conductance, data.link_index, data.fixed, data.free, data.elimination_index)
    reaction = data.kind == REACTION
    particle, ion = data.link_index[:, reaction]
    flow = conductance[reaction] * (potential[ion] - potential[particle])
    return torch.zeros_like(potential).index_add(0, particle, flow)[data.particle_index]


def _known(data: Data) -> torch.Tensor:
    """Return the logarithms of the simulation's conductances, and refuse samples that have none."""
    if data.log_known.isnan().any():
        message = (
            "a sample has no conductivities or no kinetics, so that the constants of its circuit are not "
            "known; analyse it with a regime, transport=NAME, or take model=kirchhoff, which needs none"
        )
        raise InputError(message)
    return data.log_known


def _evidence(current: torch.Tensor, data: Data) -> Evidence:
    labels = labels_of(data)
    return Evidence(current, labels["volume"], labels["sample"])


def _perceptron(features: int, hidden: int) -> nn.Sequential:
    """Return two hidden layers whose output begins at 0."""
    last = nn.Linear(hidden, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), last)
