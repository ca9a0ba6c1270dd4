"""Materials: shipped files, inline definitions, and every contradiction named."""

import pytest

from tripoint.errors import MaterialsError
from tripoint.materials import Materials, shipped


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_file_loads_and_survives_a_round_trip(name):
    materials = Materials.load(name)
    assert materials.name == name
    assert Materials.from_mapping(materials.to_mapping()) == materials
    assert materials.terminals
    assert all(len(set(triple)) == 3 for triple in materials.junction_labels)


def test_networks_are_unions_of_phases():
    materials = Materials.load("lithium_ion_cathode")
    assert materials.network("electron") == (1, 2)
    assert materials.network("ion") == (0,)
    assert materials.carriers == ("ion", "electron")
    assert materials.with_terminals(ion="x-").terminals == {"ion": "x-", "electron": "z+"}


def test_no_junctions_given_means_every_triple():
    materials = Materials.from_mapping({"phases": {"a": 1, "b": 2, "c": 3, "d": 4}})
    assert len(materials.junctions) == 4


def test_two_phases_have_no_junction():
    assert Materials.from_mapping({"phases": {"a": 0, "b": 1}}).junctions == ()


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({}, "need 'phases'"),
        ({"phases": {"a": {}}}, "needs an integer 'label'"),
        ({"phases": {"a": {"label": 1.5}}}, "needs an integer 'label'"),
        ({"phases": {"a": 300}}, "labels are 0 to 255"),
        ({"phases": {"a": 1, "b": 1}}, "stands for two phases"),
        ({"phases": {"a": {"label": 1, "conducts": ["phonon"]}}}, "carriers are ion, electron, gas"),
        ({"phases": {"a": {"label": 1, "regions": "cubes"}}}, "'separate' or 'components'"),
        ({"phases": {"a": {"label": 1, "colour": "red"}}}, "unknown keys \\['colour'\\]"),
        ({"phases": {"a": 1}, "terminals": {"ion": "w-"}}, "faces are z-, z\\+"),
        ({"phases": {"a": 1, "b": 2, "c": 3}, "junctions": [["a", "b"]]}, "three different phases"),
        ({"phases": {"a": 1, "b": 2, "c": 3}, "junctions": [["a", "b", "x"]]}, "three different phases"),
        ({"phase": {}}, "unknown keys"),
    ],
)
def test_contradictions_are_named(mapping, words):
    with pytest.raises(MaterialsError, match=words):
        Materials.from_mapping(mapping)


def test_files(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("phases: {pore: 0, solid: {label: 1, conducts: electron}}\n")
    assert Materials.load(path)["solid"].conducts == ("electron",)
    path.write_text("phases: {pore: [\n")
    with pytest.raises(MaterialsError, match="not valid YAML"):
        Materials.load(path)
    path.write_text("- 1\n")
    with pytest.raises(MaterialsError, match="expected a mapping"):
        Materials.load(path)
    with pytest.raises(MaterialsError, match="no materials file"):
        Materials.load(tmp_path / "none.yaml")
    with pytest.raises(MaterialsError, match="use one of lithium_ion_cathode"):
        Materials.load("unobtainium")
