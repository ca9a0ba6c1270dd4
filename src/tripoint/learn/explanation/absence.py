"""A group taken away: every region gets the features and the connections of another one of its sample.

Activity is relative to a sample, so that what tells its particles apart is asked for, and permuted within it.
All that is absent is permuted alike: it stays as correlated as it was, and says nothing of this particle.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data, HeteroData

from tripoint.learn.explanation.groups import (
    CONTACTS,
    ELECTRON_PATH,
    JUNCTIONS,
    SIZE,
    columns_of,
    contact_group,
    path_group,
)
from tripoint.learn.views import Names
from tripoint.materials import CARRIERS, Materials


@dataclass(frozen=True)
class Permutations:
    """Permutations by name, the same for the same seed, whichever are asked for."""

    seed: tuple[int, ...]

    def of(self, name: str, count: int) -> torch.Tensor:
        """Return which other row each row gets what it lacks from: (count,) int64."""
        random = np.random.default_rng([*self.seed, zlib.crc32(name.encode())])
        return torch.from_numpy(random.permutation(count))


def from_particles(data: Data, names: Names, absent: Collection[str], draw: Permutations) -> Data:
    """Take groups from `views.ParticleView`: contacts between particles belong to the electron path."""
    other = draw.of("particles", len(data.x))
    data = copy.copy(data)
    data.x = exchanged(data.x, columns_of(names["particles"], absent), other)
    if SIZE in absent:
        data.volume = data.volume[other]
    if ELECTRON_PATH in absent:
        data.edge_index = inverse(other)[data.edge_index]
    return data


def from_regions(
    data: HeteroData, names: Names, materials: Materials, absent: Collection[str], draw: Permutations
) -> HeteroData:
    """Take groups from `views.HeteroView`.

    A contact belongs to the path of the carrier that both its phases conduct, and its ends move to other
    regions: to other particles where particles conduct the carrier. Of other contacts the features are
    permuted, and what they join stays. Junctions move to other particles.
    """
    data = copy.copy(data)
    phases = {phase.name: phase for phase in materials.phases}
    others = {name: draw.of(name, data[name].num_nodes) for name in phases}
    for name, other in others.items():
        store = data[name]
        store.x = exchanged(store.x, columns_of(names[name], absent), other)
        if SIZE in absent and "volume" in store:
            store.volume = store.volume[other]

    def moved(carrier: str, phase: str) -> torch.Tensor:
        by_particles = any(carrier in one.conducts for one in phases.values() if one.active)
        stays = by_particles and not phases[phase].active
        return torch.arange(len(others[phase])) if stays else inverse(others[phase])

    terminals = [carrier for carrier in CARRIERS if carrier in materials.terminals]
    for kind in data.edge_types:
        source, relation, target = kind
        store = data[kind]
        if relation == "touches":
            group = contact_group(phases[source], phases[target])
            if group in absent and group == CONTACTS:
                store.edge_attr = _permuted_contacts(store, draw, "–".join(sorted((source, target))))
            elif group in absent:
                carrier = next(one for one in CARRIERS if path_group(one) == group)
                ends = (moved(carrier, source), moved(carrier, target))
                store.edge_index = torch.stack(
                    [end[row] for end, row in zip(ends, store.edge_index, strict=True)]
                )
        elif relation == "meets" and JUNCTIONS in absent:
            region, row = (source, 0) if source in phases else (target, 1)
            if phases[region].active:
                store.edge_index = _with_row(store.edge_index, row, inverse(others[region]))
        elif relation == "borders":
            region, row = (source, 0) if source in phases else (target, 1)
            for number, carrier in enumerate(terminals):
                if path_group(carrier) in absent:
                    mine = store.edge_index[1 - row] == number
                    place = _with_row(store.edge_index, row, moved(carrier, region))
                    store.edge_index = torch.where(mine, place, store.edge_index)
    return data


def exchanged(values: torch.Tensor, columns: list[int], other: torch.Tensor) -> torch.Tensor:
    """Return rows with some columns of other rows."""
    if not columns:
        return values
    values = values.clone()
    values[:, columns] = values[other][:, columns]
    return values


def inverse(other: torch.Tensor) -> torch.Tensor:
    """Return where each row's own goes when row i gets that of ``other[i]``."""
    place = torch.empty_like(other)
    place[other] = torch.arange(len(other))
    return place


def _permuted_contacts(store: Any, draw: Permutations, name: str) -> torch.Tensor:
    """Return the features of other contacts between the same two phases, alike in both directions."""
    _, first, which = np.unique(store.contact.numpy(), return_index=True, return_inverse=True)
    other = draw.of(name, len(first))
    return store.edge_attr[torch.from_numpy(first)[other]][torch.from_numpy(which)]


def _with_row(index: torch.Tensor, row: int, place: torch.Tensor) -> torch.Tensor:
    index = index.clone()
    index[row] = place[index[row]]
    return index
