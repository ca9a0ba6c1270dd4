"""GINE on particles (Hu et al. 2020, *Strategies for pre-training graph neural networks*)."""

from __future__ import annotations

from torch import nn
from torch_geometric.nn import GINEConv

from tripoint.learn.models.particles import ParticleNetwork


class GINE(ParticleNetwork):
    r"""Sum what neighbours say through their contacts: h' = MLP((1 + ε) h + Σ ReLU(h_j + W e_ij)).

    Parameters
    ----------
    particle_features, contact_features : int
    hidden : int
    layers : int
        How many contacts far a particle sees.
    """

    def __init__(
        self, particle_features: int, contact_features: int, *, hidden: int = 64, layers: int = 4
    ) -> None:
        convolutions: list[nn.Module] = [
            GINEConv(
                nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden)),
                train_eps=True,
                edge_dim=contact_features,
            )
            for _ in range(layers)
        ]
        super().__init__(particle_features, convolutions, hidden)
