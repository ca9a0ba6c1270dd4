"""Message passing over regions of all phases, junctions and terminals, near and far."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch_geometric.data import HeteroData
from torch_geometric.utils import scatter

from tripoint.learn.messages import Neighbours
from tripoint.learn.readout import ActivityReadout, Evidence, Readout, readout_of
from tripoint.learn.targets import Target
from tripoint.learn.views import ACTIVITY, HeteroView, Names, batch_of, labels_of
from tripoint.materials import CARRIERS

TERMINAL, JUNCTION = "terminal", "junction"

LARGEST = 15.0
"""Natural logarithm of the largest conductance; the smallest is one by it."""


class Hetero(nn.Module):
    r"""Pass messages between regions and terminals, each type of node and of edge with its own way in.

    .. math:: h_i^0 = W_{t(i)} x_i, \qquad
              m_i = \frac{1}{|N_i|} \sum_{j \in N_i} \mathrm{ReLU}(U_l h_j + e_{ij}), \qquad
              h_i \leftarrow h_i + \mathrm{MLP}_l(\mathrm{norm}(h_i), m_i, u_i)

    e is linear in the features of a contact, or of a link to a terminal, with coefficients for each pair of
    phases, and the same in all rounds. Junctions come first: each takes up what its three regions are, and
    tells them once. Then the layers l are gone through ``repeats`` times. Before each of these times all
    nodes are told the mean of their sample, since activity is relative to it.

    Current has a long way to go, and m comes from next neighbours. So in each round u comes from afar: some
    channels of the hidden features diffuse over ``steps`` contacts (personalised propagation, Gasteiger et
    al. 2019, here with learned weights),

    .. math:: u_i^0 = V_l h_i, \qquad
              u_i^{k+1} = \frac{s_i\, u_i^0 + \sum_{j \in N_i} g_{ij}\, u_j^k}{s_i + \sum_{j \in N_i} g_{ij}}

    where the logarithms of g are linear in the features of a contact as e is, and those of s in what a node
    is at first, for each channel others. A network can let one of them spread as ions do and another as
    electrons do.

    Parameters
    ----------
    phases : sequence of str
    features : mapping of str to int
        ``regions``, ``contacts``, ``links`` and ``junction``: their numbers of columns.
    hidden : int
    layers, repeats : int
        Rounds are their product.
    channels, steps : int
        Those that diffuse, and how far in each round.
    """

    view = HeteroView

    def __init__(
        self,
        phases: list[str],
        features: dict[str, int],
        *,
        hidden: int = 48,
        layers: int = 1,
        repeats: int = 3,
        channels: int = 16,
        steps: int = 24,
    ) -> None:
        super().__init__()
        self.phases, self.repeats, self.steps = tuple(phases), repeats, steps
        kinds = dict.fromkeys(phases, features["regions"]) | {TERMINAL: len(CARRIERS)}
        self.encode = nn.ModuleDict({kind: nn.Linear(count, hidden) for kind, count in kinds.items()})
        contacts = {(a, "touches", b): features["contacts"] for a in phases for b in phases}
        links = {(phase, "borders", TERMINAL): features["links"] for phase in phases}
        links |= {(b, name, a): count for (a, name, b), count in links.items()}
        self.edge_types = (*contacts, *links)
        of_edges = {"__".join(kind): count for kind, count in (contacts | links).items()}
        self.edges = nn.ModuleDict({kind: nn.Linear(count, hidden) for kind, count in of_edges.items()})
        self.conduct = nn.ModuleDict({kind: nn.Linear(count, channels) for kind, count in of_edges.items()})
        self.hold = nn.Linear(hidden, channels)
        self.junction = nn.Linear(features[JUNCTION], hidden)
        self.joined = _perceptron(2 * hidden, hidden)
        self.told = nn.Linear(hidden, hidden)
        self.send = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(layers)])
        self.norms = nn.ModuleList([nn.LayerNorm(hidden) for _ in range(layers)])
        self.depart = nn.ModuleList([nn.Linear(hidden, channels) for _ in range(layers)])
        self.update = nn.ModuleList([_perceptron(2 * hidden + channels, hidden) for _ in range(layers)])
        self.context = nn.Linear(hidden, hidden)
        self.read = nn.Sequential(nn.LayerNorm(hidden), _perceptron(hidden, hidden, 1))
        self.readout: Readout = ActivityReadout()

    @classmethod
    def for_names(cls, names: Names, *, target: Target = ACTIVITY, **settings: Any) -> Hetero:
        """Return a network for these columns of the data."""
        phases = [key for key in names if key not in (JUNCTION, "contacts", "links")]
        features = {key: len(names[key]) for key in (JUNCTION, "contacts", "links")}
        network = cls(phases, {**features, "regions": len(names[phases[0]])}, **settings)
        network.readout = readout_of(target, network.context.out_features)
        return network

    def forward(self, data: HeteroData) -> torch.Tensor:
        """Return what is asked of every region of active material, (particles,), or of every sample."""
        parts = {kind: encode(data[kind].x) for kind, encode in self.encode.items()}
        first, offset = {}, 0
        for kind, part in parts.items():
            first[kind] = offset
            offset += len(part)
        hidden = torch.cat(list(parts.values()))
        hidden = hidden + self._from_junctions(hidden, data, first)
        source, target = self._ends(data, first)
        edge = self._encoded(data, self.edges)
        neighbours = Neighbours.of(source, target, len(hidden))
        keep, weight = self._weights(data, hidden, target)
        sample = torch.cat([batch_of(data[kind]) for kind in parts])
        for _ in range(self.repeats):
            whole = scatter(hidden, sample, reduce="mean")
            hidden = hidden + self.context(whole).index_select(0, sample)
            for send, depart, norm, update in zip(*self._layers(), strict=True):
                normed = norm(hidden)
                near = neighbours.mean_messages(send(normed), edge)
                far = neighbours.diffused(depart(normed), keep, weight, self.steps)
                hidden = hidden + update(torch.cat([normed, near, far], dim=1))
        active = [kind for kind in data.node_types if "y" in data[kind]]
        particles = torch.cat([hidden[first[kind] : first[kind] + len(parts[kind])] for kind in active])
        rate = torch.exp(self.read(particles).squeeze(-1))
        labels = labels_of(data)
        evidence = Evidence(rate * labels["volume"], labels["volume"], labels["sample"], hidden, sample)
        return self.readout(evidence)

    def _from_junctions(self, hidden: torch.Tensor, data: HeteroData, first: dict[str, int]) -> torch.Tensor:
        """Return what its junctions tell every region."""
        pairs = [
            data[phase, "meets", JUNCTION].edge_index + torch.tensor([[first[phase]], [0]]).to(hidden.device)
            for phase in self.phases
        ]
        region, junction = torch.cat(pairs, dim=1)
        own = self.junction(data[JUNCTION].x)
        of_regions = scatter(hidden.index_select(0, region), junction, dim_size=len(own), reduce="mean")
        joined = self.joined(torch.cat([own, of_regions], dim=1))
        return self.told(
            scatter(joined.index_select(0, junction), region, dim_size=len(hidden), reduce="mean")
        )

    def _layers(self) -> tuple[nn.ModuleList, ...]:
        return self.send, self.depart, self.norms, self.update

    def _ends(self, data: HeteroData, first: dict[str, int]) -> torch.Tensor:
        """Return source and target of all contacts and links, nodes numbered through: (2, edges)."""
        ends = []
        for kind in self.edge_types:
            index = data[kind].edge_index
            ends.append(index + torch.tensor([[first[kind[0]]], [first[kind[2]]]]).to(index))
        return torch.cat(ends, dim=1)

    def _encoded(self, data: HeteroData, encoders: nn.ModuleDict) -> torch.Tensor:
        """Return what is made of all contacts and links, each type in its own way: (edges, width)."""
        return torch.cat([encoders["__".join(kind)](data[kind].edge_attr) for kind in self.edge_types])

    def _weights(
        self, data: HeteroData, hidden: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the shares of what nodes hold, and of what comes along every edge, that add up to 1."""
        # In float32 also where the layers are not, so that the shares do add up to 1.
        hold = self.hold(hidden).float().clamp(-LARGEST, LARGEST).exp()
        conductance = self._encoded(data, self.conduct).float().clamp(-LARGEST, LARGEST).exp()
        total = hold.index_add(0, target, conductance)
        return hold / total, conductance / total.index_select(0, target)


def _perceptron(features: int, hidden: int, out: int | None = None) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, out or hidden))
