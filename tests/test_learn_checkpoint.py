"""A trained network in a file: the same predictions, and nothing that does not belong there."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from learning import graph_of, graphs
from tripoint.errors import InputError
from tripoint.learn.checkpoint import Trained, phases_of
from tripoint.learn.data import GraphDataModule
from tripoint.learn.features import materials_of
from tripoint.learn.module import predict
from tripoint.learn.splitting import Split

FOLDER = Path(__file__).parents[1] / "conf" / "model"


def made(name):
    configuration = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))
    parts = instantiate(configuration, _convert_="all")
    known = graphs(3)
    names = tuple(known)
    data = GraphDataModule(known, parts["view"], Split(names[:2], (), names[2:]))
    torch.manual_seed(1)
    network = parts["network"](data.names)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return Trained(network, parts["view"], data.names, data.scalings, data.split, configuration), data


@pytest.mark.parametrize("name", ["kirchhoff", "hetero", "gine", "known"])
def test_what_is_loaded_predicts_the_same(name, tmp_path):
    trained, data = made(name)
    trained.save(tmp_path / "model.pt")
    loaded = Trained.load(tmp_path / "model.pt")
    graph = graph_of(2)
    found, expected = loaded.predict(graph), trained.predict(graph)
    assert found.equals(expected)
    assert loaded.split == data.split
    active = graph.nodes[graph.nodes["phase"] == "active"]
    assert sorted(found["node"]) == sorted(active["node"])
    labelled = active.loc[~active["fragment"] & active["activity"].notna(), "node"]
    of_loader, activity, _ = predict(trained.network, data.test_dataloader())
    by_node = found.set_index("node").loc[labelled]
    np.testing.assert_allclose(by_node["predicted_log_activity"], of_loader, atol=1e-5)
    np.testing.assert_allclose(active.set_index("node")["activity"].loc[labelled], activity, rtol=1e-5)


def test_samples_without_activity_are_predicted():
    trained, _ = made("kirchhoff")
    graph = graph_of(2)
    bare = replace(
        graph, nodes=graph.nodes.drop(columns=["activity", "reaction_current", "inactive_because"])
    )
    assert trained.predict(bare).equals(trained.predict(graph))


def test_what_does_not_fit_is_refused(tmp_path):
    trained, _ = made("gine")
    graph = graph_of(2)
    materials = {**graph.metadata["materials"], "terminals": {"ion": "z-"}}
    other = replace(graph, metadata={**graph.metadata, "materials": materials})
    with pytest.raises(InputError, match=r"other features .* particles lacks \['bottleneck_radius_electron'"):
        trained.predict(other)
    path = tmp_path / "model.pt"
    with pytest.raises(InputError, match="there is no checkpoint"):
        Trained.load(path)
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match="no checkpoint of tripoint, or is damaged"):
        Trained.load(path)
    torch.save({"schema": 99}, path)
    with pytest.raises(InputError, match="has the form 99, and this version of tripoint reads form 2"):
        Trained.load(path)


def changed(graph, phase=None, **entries):
    """Return a graph whose materials have a phase changed, or the whole of them."""
    materials = graph.metadata["materials"]
    if phase is not None:
        phases = materials["phases"]
        entries = {"phases": {**phases, phase: {**phases[phase], **entries}}}
    return replace(graph, metadata={**graph.metadata, "materials": {**materials, **entries}})


@pytest.mark.parametrize("name", ["gine", "hetero", "kirchhoff"])
def test_samples_of_other_materials_are_refused_and_the_difference_is_named(name, tmp_path):
    trained, _ = made(name)
    graph = graph_of(2)
    replace(trained, phases=phases_of(materials_of(graph))).save(tmp_path / "model.pt")
    loaded = Trained.load(tmp_path / "model.pt")
    loaded.predict(graph)
    with pytest.raises(InputError, match=r"'void' conducts nothing in training and conducts gas here"):
        loaded.predict(changed(graph, "void", conducts=["gas"]))
    with pytest.raises(InputError, match=r"'terminal of electron' is there in training and is missing here"):
        loaded.predict(changed(graph, terminals={"ion": "z-"}))
    phases = graph.metadata["materials"]["phases"]
    fewer = {phase: entry for phase, entry in phases.items() if phase != "void"}
    junctions = [["active", "electrolyte", "carbon"]]
    with pytest.raises(InputError, match=r"'void' conducts nothing in training and is missing here"):
        loaded.predict(changed(graph, phases=fewer, junctions=junctions))
    # other conductivities are no other materials: that is what it may be asked for
    loaded.predict(changed(graph, "carbon", conductivity={"electron": 50.0}))


def test_features_that_are_lacking_are_named():
    trained, _ = made("gine")
    graph = graph_of(2)
    with pytest.raises(InputError, match="no column path_length_ion, which the features need"):
        trained.predict(replace(graph, nodes=graph.nodes.drop(columns="path_length_ion")))
    infinite = replace(graph, nodes=graph.nodes.assign(sphericity=np.inf))
    with pytest.raises(InputError, match=r"feature sphericity of region \d+ of sample .* is infinite"):
        trained.predict(infinite)
    constant = replace(graph, nodes=graph.nodes.assign(sphericity=0.7))
    assert np.isfinite(trained.predict(constant)["predicted_activity"]).all()


class Called:
    """What a file must not be able to do."""

    def __reduce__(self):
        return print, ("called",)


@pytest.mark.parametrize("target", ["os.system", "tripoint.learn.data.torch.save", "tripoint.io.read"])
def test_nothing_else_is_called(target, tmp_path, capsys):
    trained, _ = made("gine")
    path = tmp_path / "model.pt"
    called = {"_target_": target, "command": "true"}
    replace(trained, configuration={**trained.configuration, "view": called}).save(path)
    with pytest.raises(InputError, match=f"would call {target}, which is no part of tripoint"):
        Trained.load(path)
    path.write_bytes(pickle.dumps(Called()))
    with pytest.raises(InputError, match="no checkpoint"):
        Trained.load(path)
    assert not capsys.readouterr().out
