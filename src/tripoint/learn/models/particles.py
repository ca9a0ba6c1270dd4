"""Message passing over the particles of active material alone, whatever the convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import nn
from torch_geometric.data import Data

from tripoint.learn.readout import ActivityReadout, Evidence, Readout, readout_of
from tripoint.learn.targets import Target
from tripoint.learn.views import ACTIVITY, Names, ParticleView, batch_of, labels_of


class ParticleNetwork(nn.Module):
    r"""Encode every particle, pass messages along contacts, and read its activity off.

    .. math:: h^0 = W x, \qquad h^{l+1} = h^l + \mathrm{SiLU}(\mathrm{conv}_l(\mathrm{norm}(h^l), e)), \qquad
              I / V = \exp \mathrm{MLP}(h^L)

    Activity is what reacts per volume, I / V, relative to the whole sample; the `readout` makes of it, or of
    all h^L of a sample, what the target asks for.

    Parameters
    ----------
    particle_features : int
    convolutions : sequence of Module
        Each called with features, ``edge_index`` and ``edge_attr``, all of one width.
    hidden : int
        That width.
    """

    view = ParticleView

    def __init__(self, particle_features: int, convolutions: list[nn.Module], hidden: int) -> None:
        super().__init__()
        self.encode = nn.Linear(particle_features, hidden)
        self.convolutions = nn.ModuleList(convolutions)
        self.norms = nn.ModuleList([nn.LayerNorm(hidden) for _ in convolutions])
        self.read = nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1)
        )
        self.readout: Readout = ActivityReadout()

    @classmethod
    def for_names(cls, names: Names, *, target: Target = ACTIVITY, **settings: Any) -> Self:
        """Return a network for these columns of the data."""
        make: Callable[..., Self] = cls
        network = make(len(names["particles"]), len(names["contacts"]), **settings)
        network.readout = readout_of(target, network.encode.out_features)
        return network

    def forward(self, data: Data) -> torch.Tensor:
        """Return what is asked of every particle of a batch, (particles,), or of every sample."""
        hidden = self.encode(data.x)
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            passed = convolution(norm(hidden), data.edge_index, edge_attr=data.edge_attr)
            hidden = hidden + nn.functional.silu(passed)
        rate = torch.exp(self.read(hidden).squeeze(-1))
        labels = labels_of(data)
        volume, sample = labels["volume"], labels["sample"]
        return self.readout(Evidence(rate * volume, volume, sample, hidden, batch_of(data)))
