"""GATv2 on particles (Brody, Alon and Yahav 2022, *How attentive are graph attention networks?*)."""

from __future__ import annotations

from torch import nn
from torch_geometric.nn import GATv2Conv

from tripoint.learn.models.particles import ParticleNetwork


class GATv2(ParticleNetwork):
    r"""Weigh neighbours by attention that sees both particles and their contact.

    Parameters
    ----------
    particle_features, contact_features : int
    hidden : int
        A multiple of ``heads``.
    layers : int
        How many contacts far a particle sees.
    heads : int
    """

    def __init__(
        self,
        particle_features: int,
        contact_features: int,
        *,
        hidden: int = 64,
        layers: int = 4,
        heads: int = 4,
    ) -> None:
        convolutions: list[nn.Module] = [
            GATv2Conv(hidden, hidden // heads, heads, edge_dim=contact_features) for _ in range(layers)
        ]
        super().__init__(particle_features, convolutions, hidden)
