"""Message passing over regions of all phases, junctions and terminals."""

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


class Hetero(nn.Module):
    r"""Pass messages between regions and terminals, each type of node and of edge with its own way in.

    .. math:: h_i^0 = W_{t(i)} x_i, \qquad
              m_i = \frac{1}{|N_i|} \sum_{j \in N_i} \mathrm{ReLU}(U_l h_j + e_{ij}), \qquad
              h_i \leftarrow h_i + \mathrm{MLP}_l(\mathrm{norm}(h_i), m_i)

    e is linear in the features of a contact, or of a link to a terminal, with coefficients for each pair of
    phases, and the same in all rounds. Junctions come first: each takes up what its three regions are, and
    tells them once. Then the layers l are gone through ``repeats`` times: current has a long way to go,
    and takes as many rounds as there are regions on it. Before each of these times all nodes are told the
    mean of their sample, since activity is relative to it.

    Parameters
    ----------
    phases : sequence of str
    features : mapping of str to int
        ``regions``, ``contacts``, ``links`` and ``junction``: their numbers of columns.
    hidden : int
    layers, repeats : int
        Rounds are their product.
    """

    view = HeteroView

    def __init__(
        self,
        phases: list[str],
        features: dict[str, int],
        *,
        hidden: int = 40,
        layers: int = 1,
        repeats: int = 10,
    ) -> None:
        super().__init__()
        self.phases, self.repeats = tuple(phases), repeats
        kinds = dict.fromkeys(phases, features["regions"]) | {TERMINAL: len(CARRIERS)}
        self.encode = nn.ModuleDict({kind: nn.Linear(count, hidden) for kind, count in kinds.items()})
        contacts = {(a, "touches", b): features["contacts"] for a in phases for b in phases}
        links = {(phase, "borders", TERMINAL): features["links"] for phase in phases}
        links |= {(b, name, a): count for (a, name, b), count in links.items()}
        self.edge_types = (*contacts, *links)
        self.edges = nn.ModuleDict(
            {"__".join(kind): nn.Linear(count, hidden) for kind, count in (contacts | links).items()}
        )
        self.junction = nn.Linear(features[JUNCTION], hidden)
        self.joined = _perceptron(2 * hidden, hidden)
        self.told = nn.Linear(hidden, hidden)
        self.send = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(layers)])
        self.norms = nn.ModuleList([nn.LayerNorm(hidden) for _ in range(layers)])
        self.update = nn.ModuleList([_perceptron(2 * hidden, hidden) for _ in range(layers)])
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
        source, target, edge = self._edges(data, first)
        neighbours = Neighbours.of(source, target, len(hidden))
        sample = torch.cat([batch_of(data[kind]) for kind in parts])
        for _ in range(self.repeats):
            whole = scatter(hidden, sample, reduce="mean")
            hidden = hidden + self.context(whole).index_select(0, sample)
            for send, norm, update in zip(self.send, self.norms, self.update, strict=True):
                normed = norm(hidden)
                received = neighbours.mean_messages(send(normed), edge)
                hidden = hidden + update(torch.cat([normed, received], dim=1))
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

    def _edges(
        self, data: HeteroData, first: dict[str, int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return all contacts and links between nodes numbered through, and what is encoded of each."""
        ends, encoded = [], []
        for kind in self.edge_types:
            store = data[kind]
            offsets = torch.tensor([[first[kind[0]]], [first[kind[2]]]]).to(store.edge_index)
            ends.append(store.edge_index + offsets)
            encoded.append(self.edges["__".join(kind)](store.edge_attr))
        source, target = torch.cat(ends, dim=1)
        return source, target, torch.cat(encoded)


def _perceptron(features: int, hidden: int, out: int | None = None) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, out or hidden))
