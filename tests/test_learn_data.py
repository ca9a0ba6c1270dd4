"""Graphs as models take them: views, scaling by the training split, Lightning's data module."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from learning import graph_of, graphs
from tripoint.errors import InputError
from tripoint.learn import features
from tripoint.learn.data import GraphDataModule, GraphDataset
from tripoint.learn.kirchhoff import CircuitView
from tripoint.learn.scaling import REACH
from tripoint.learn.splitting import Split
from tripoint.learn.views import CONTACT_FEATURES, HeteroView, ParticleView, labels_of

PHASES = {"void", "active", "electrolyte", "carbon"}


def test_particles_are_joined_by_their_contacts():
    graph = graph_of()
    data, names = ParticleView("own").build(graph)
    data.validate()
    active = graph.nodes[graph.nodes["phase"] == "active"]
    assert names["particles"] == features.region_features(graph, "own").names
    assert data.x.shape == (len(active), len(names["particles"]))
    inside = (graph.contacts[["source_phase", "target_phase"]] == "active").all(axis=1)
    node = active["node"].to_numpy()
    found = {tuple(pair) for pair in node[data.edge_index.numpy()].T.tolist()}
    pairs = graph.contacts.loc[inside, ["source", "target"]].to_numpy().tolist()
    assert found == {tuple(p) for p in pairs} | {tuple(p[::-1]) for p in pairs}
    area = 10 ** data.edge_attr[:, CONTACT_FEATURES.index("log_area")].numpy()
    np.testing.assert_allclose(area, np.tile(graph.contacts.loc[inside, "area"], 2), rtol=1e-5)


def test_labels_are_those_of_particles_with_a_value():
    graph = graph_of()
    nodes = graph.nodes.copy()
    found = features.targets(graph)
    nodes.loc[found.rows[0], "activity"] = np.nan
    data, _ = ParticleView("size").build(replace(graph, nodes=nodes))
    active = np.flatnonzero(nodes["phase"] == "active")
    np.testing.assert_array_equal(active[data.labelled.numpy()], found.rows[1:])
    np.testing.assert_allclose(data.y[data.labelled], found.log_activity[1:], rtol=1e-6)
    np.testing.assert_allclose(data.volume, nodes["volume"].to_numpy()[active], rtol=1e-6)
    bare = replace(graph, nodes=nodes.drop(columns=["activity", "inactive_because"]))
    assert not ParticleView("size").build(bare)[0].labelled.any()


def test_regions_of_all_phases_with_junctions_and_terminals():
    graph = graph_of()
    data, names = HeteroView().build(graph)
    data.validate()
    assert set(data.node_types) == PHASES | {"junction", "terminal"}
    assert set(names) == PHASES | {"junction", "contacts", "links"}
    edges = [(a, "touches", b) for a in PHASES for b in PHASES]
    assert sum(data[kind].edge_index.shape[1] for kind in edges) == 2 * len(graph.contacts)
    found = features.region_features(graph)
    for phase in PHASES:
        rows = np.flatnonzero(graph.nodes["phase"] == phase)
        np.testing.assert_allclose(data[phase].x, found.values[rows].astype(np.float32))
    nodes = graph.nodes
    linked = data["electrolyte", "borders", "terminal"].edge_index
    expected = nodes[(nodes["phase"] == "electrolyte") & nodes["touches_z_min"]]["node"]
    np.testing.assert_array_equal(data["electrolyte"].node[linked[0]], expected)
    assert (data["terminal"].x[linked[1]] == torch.eye(3)[0]).all()
    assert data["void", "borders", "terminal"].edge_index.shape == (2, 0)
    assert torch.equal(data["terminal", "borders", "electrolyte"].edge_index, linked.flip(0))


def test_what_a_sample_has_none_of_is_there_and_empty():
    graph = graph_of().subgraph("active", "electrolyte")
    data, _ = HeteroView("own").build(graph)
    data.validate()
    whole, _ = HeteroView("own").build(graph_of())
    assert set(data.metadata()[0]) == set(whole.metadata()[0])
    assert set(data.metadata()[1]) == set(whole.metadata()[1])
    assert data["carbon"].num_nodes == data["junction"].num_nodes == 0


@pytest.mark.parametrize("view", [ParticleView(), HeteroView()])
def test_scaling_knows_the_training_split_alone(view):
    known = graphs(5)
    names = list(known)
    split = Split(tuple(names[:3]), (names[3],), (names[4],))
    module = GraphDataModule(known, view, split, batch_size=2)
    for key in module.names:
        scaled = [
            store[attribute].numpy()
            for data in module["train"]
            for kind, store, attribute in view.tables(data)
            if kind == key
        ]
        whole = np.concatenate(scaled)
        assert np.isfinite(whole).all()
        varies = [name not in module.scalings[key].constant for name in module.names[key]]
        inside = (np.abs(whole) < REACH).all(axis=0)
        np.testing.assert_allclose(whole.mean(axis=0)[inside], 0, atol=2e-2)
        assert (whole.std(axis=0)[varies] > 0.4).all()  # NaN have the mean
    other = GraphDataModule({**known, names[4]: known[names[0]]}, view, split)
    for key, scaling in module.scalings.items():
        np.testing.assert_array_equal(scaling.mean, other.scalings[key].mean)
    batches = list(module.train_dataloader())
    assert sum(batch.num_graphs for batch in batches) == 3
    assert len(list(module.val_dataloader())) == len(list(module.test_dataloader())) == 1


def test_order_of_training_is_that_of_the_seed():
    known = graphs(4)
    split = Split(tuple(known), (), ())

    def order(seed):
        module = GraphDataModule(known, ParticleView("size"), split, batch_size=1, seed=seed)
        return [[float(b.volume.sum()) for b in loader] for loader in [module.train_dataloader()] * 2]

    assert order(1) == order(1) != order(2)


def test_samples_of_other_materials_are_refused():
    graph = graph_of()
    materials = {**graph.metadata["materials"], "terminals": {"ion": "z-"}}
    other = replace(graph, metadata={**graph.metadata, "materials": materials})
    dataset = GraphDataset({"a": graph, "b": other}, ("a", "b"), ParticleView("own"))
    assert len(dataset) == 2
    dataset[0]
    with pytest.raises(InputError, match=r"sample 'b' has other features .* lacks \['depth_electron'"):
        dataset[1]
    with pytest.raises(InputError, match="training split is empty"):
        GraphDataModule({"a": graph}, ParticleView(), Split((), (), ("a",))).setup()


@pytest.mark.parametrize("view", [ParticleView("own"), HeteroView("own"), CircuitView()])
def test_data_move_to_a_device_as_a_whole(view):
    data = view.build(graph_of())[0]
    for given in (data, Batch.from_data_list([data, data])):
        labels = labels_of(given.clone().to("meta"))
        assert {values.device.type for values in labels.values()} == {"meta"}
        assert {name: values.shape for name, values in labels.items()} == {
            name: values.shape for name, values in labels_of(given).items()
        }


def test_batches_keep_the_circuits_of_their_samples_apart():
    parts = [CircuitView().build(graph_of(seed))[0] for seed in (0, 1)]
    batch = Batch.from_data_list(parts)
    free = torch.nonzero(batch.free).squeeze(-1)
    assert torch.equal(batch.elimination_index.sort().values, free)
    assert torch.equal(batch.elimination_index[: parts[0].free.sum()], parts[0].elimination_index)
