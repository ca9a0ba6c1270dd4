"""Transport and local activity as parts of an analysis: what they add to summary, tables and volume."""

import json
import math

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile

import tripoint
from tripoint import Materials, Sample, cli, synth, transport
from tripoint.errors import ConvergenceError, InputError, MaterialsError
from tripoint.physics import Measured, Simulation
from tripoint.transport import Kinetics

SPACING = (0.4, 0.4, 0.4)
SIDE = {"subvolumes": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def sample():
    return synth.solid_state_cathode((48, 44, 40), SPACING, seed=2)


@pytest.fixture(scope="module")
def result(sample):
    return tripoint.analyze(sample, transport=True, activity="simulate", **SIDE)


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    return result.save(tmp_path_factory.mktemp("physics") / "result")


@pytest.fixture
def run(tmp_path, capsys, monkeypatch, sample):
    """Run ``tripoint analyze`` on the sample; return its exit code and what it says."""
    monkeypatch.chdir(tmp_path)
    tripoint.io.write(sample, tmp_path / "cathode.zarr")

    def call(*words):
        given = ("input=cathode.zarr", "materials=solid_state_cathode", "output=out", "subvolumes=0")
        code = cli.main(["analyze", *(given[:2] if any("materials" in w for w in words) else given), *words])
        return code, capsys.readouterr().err

    return call


def test_without_being_asked(sample):
    plain = tripoint.analyze(sample, **SIDE)
    assert not {"transport", "activity"} & set(plain.summary)
    assert not {"activity", "network_potential_ion"} & set(plain.graph.nodes)
    assert plain.summary["materials"]["phases"]["active"]["conductivity"] == {}


def test_tortuosity_in_the_summary(result, sample):
    found = result.summary["transport"]["tortuosity"]
    assert set(found) == {"active", "electrolyte", "carbon", "electron", "ion"}
    assert found["ion"] == found["electrolyte"]
    alone = transport.tortuosity(sample.phases, sample.materials["electrolyte"].label, "y", SPACING)
    assert found["electrolyte"]["y"] == pytest.approx(alone.factor, rel=1e-5)
    materials = result.sample.materials
    both = {label: materials[label].conductivity["electron"] for label in materials.network("electron")}
    network = transport.tortuosity(sample.phases, both, "z", SPACING)
    assert found["electron"]["z"] == pytest.approx(network.factor, rel=1e-5)
    assert result.summary["transport"]["kinetics"]["name"] == "mixed"


def test_a_phase_that_does_not_span_has_no_factor(result):
    for name, along in result.summary["transport"]["tortuosity"].items():
        spans = result.summary["percolation"].get(name, result.summary["carriers"].get(name))
        for axis, share in zip("zyx", spans["spanning_fraction"], strict=True):
            assert (along[axis] is None) == (share == 0), (name, axis)


def test_activity_of_the_nodes(result, sample):
    nodes, entry = result.graph.nodes, result.summary["activity"]
    active = nodes["phase"] == "active"
    assert nodes.loc[active, "activity"].notna().all()
    assert nodes.loc[~active, ["activity", "reaction_current"]].isna().all(axis=None)
    assert (nodes.loc[~active, "inactive_because"] == "").all()
    assert nodes.loc[active, "reaction_current"].sum() == pytest.approx(entry["reaction"], rel=1e-9)
    assert entry["current_balance"] <= 1e-6
    dead = nodes["inactive_because"] != ""
    assert (nodes.loc[dead, "activity"] == 0).all()
    mean = np.average(nodes.loc[active, "activity"], weights=nodes.loc[active, "volume"])
    assert mean == pytest.approx(1, rel=1e-9)
    direct = transport.activity(
        sample.phases, sample.materials, Kinetics.load("mixed"), SPACING, result.regions
    ).table
    np.testing.assert_allclose(nodes.loc[active, "activity"], direct["activity"], rtol=1e-4, atol=1e-9)


def test_fragments_are_no_particles(result):
    nodes, entry = result.graph.nodes, result.summary["activity"]
    kept = nodes[(nodes["phase"] == "active") & ~nodes["fragment"]]
    assert entry["particles"] == len(kept) == result.summary["particles"]["active"]["count"]
    dead = kept[kept["inactive_because"] != ""]
    assert entry["dead_fraction"] == pytest.approx(len(dead) / len(kept))
    assert entry["by_reason"] == dead["inactive_because"].value_counts().sort_index().to_dict()
    assert entry["cv"] == pytest.approx(kept["activity"].std(ddof=0) / kept["activity"].mean())


def test_potentials_are_channels(result):
    ion, electron = (result.sample.channels[f"{c}_potential"] for c in ("ion", "electron"))
    assert ion.dtype == electron.dtype == np.float32
    assert not (np.isfinite(ion) & np.isfinite(electron)).any()
    assert np.nanmax(ion) <= 1
    assert np.nanmin(electron) >= 0
    assert np.nanmean(ion[0]) > np.nanmean(ion[-1])


def test_saved_and_loaded(result, folder):
    again = tripoint.load(folder)
    assert again.summary["activity"] == result.summary["activity"]
    pd.testing.assert_frame_equal(again.graph.nodes, result.graph.nodes)
    np.testing.assert_array_equal(
        again.sample.channels["ion_potential"], result.sample.channels["ion_potential"]
    )
    units = {f.name: f.metadata[b"unit"].decode() for f in pq.read_schema(folder / "nodes.parquet")}
    assert units["reaction_current"] == "µA"
    assert units["activity"] == "1"
    assert units["path_resistance_ion"] == "MΩ"
    units = {f.name: f.metadata[b"unit"].decode() for f in pq.read_schema(folder / "contacts.parquet")}
    assert (units["network_conductance_ion"], units["current_electron"]) == ("µS", "µA")
    assert (units["current_share_ion"], units["resistance"]) == ("1", "1/µm")
    assert again.sample.materials["carbon"].conductivity == {"electron": 30.0}


def test_critical_contacts_are_points(result, folder):
    points = pd.read_csv(folder / "critical_contacts.csv")
    listed = result.summary["transport"]["network"]
    assert set(points["carrier"]) == {c for c, one in listed.items() if one["spans"]}
    worst = listed["ion"]["critical"][0]
    first = points[points["carrier"] == "ion"].iloc[0]
    assert [first["axis-0"], first["axis-1"], first["axis-2"]] == pytest.approx(worst["centroid"])
    assert not points.duplicated(["carrier", "source", "target"]).any()
    numbers = points[points["carrier"] == "ion"]["number"].tolist()
    assert numbers[:10] == list(range(1, 11))
    assert not any(numbers[10:])
    contacts = result.graph.contacts.set_index(["source", "target"])
    row = contacts.loc[(worst["source"], worst["target"])]
    assert (
        row["dissipation_share_ion"] == contacts["dissipation_share_ion"].max() == worst["dissipation_share"]
    )


def test_regime_of_the_call_wins(sample, result):
    other = tripoint.analyze(
        sample,
        activity="simulate",
        kinetics={"exchange": 25.0, "ion": 0.1, "active": 0.01, "additive": 30.0},
        simulation=Simulation(voltage=2.0),
        **SIDE,
    )
    assert "transport" not in other.summary
    assert other.summary["activity"]["kinetics"] == "inline"
    assert other.summary["activity"]["current"] != pytest.approx(
        result.summary["activity"]["current"], rel=0.1
    )
    assert np.nanmax(other.sample.channels["ion_potential"]) > 1.5


def test_butler_volmer(sample):
    steps = [
        tripoint.analyze(
            sample, activity="simulate", simulation=Simulation(voltage=0.3, butler_volmer=nonlinear), **SIDE
        ).summary["activity"]
        for nonlinear in (False, True)
    ]
    assert steps[0]["newton_steps"] == 0 < steps[1]["newton_steps"]
    assert steps[1]["current"] > steps[0]["current"]  # sinh x > x
    assert steps[1]["current_balance"] <= 1e-6


@pytest.fixture(scope="module")
def values(sample):
    values = np.random.default_rng(0).normal(0.5, 0.1, sample.shape).astype(np.float32)
    values[:5] = np.nan
    return values


@pytest.fixture(scope="module")
def measured(sample, values):
    return tripoint.analyze(sample, activity=Measured(values, "soc"), **SIDE)


class TestMap:
    def test_of_each_particle(self, measured, values):
        nodes, entry = measured.graph.nodes, measured.summary["activity"]
        active = nodes[nodes["phase"] == "active"]
        for row in active.sample(5, random_state=1).itertuples():
            inside = values[measured.regions == row.node]
            seen = inside[np.isfinite(inside)]
            assert row.activity_missing == inside.size - seen.size
            assert row.activity_covered == pytest.approx(seen.size / inside.size)
            if seen.size:
                assert row.activity == pytest.approx(seen.mean(dtype=float), abs=1e-6)
                assert row.activity_q25 == pytest.approx(np.quantile(seen.astype(float), 0.25), abs=1e-6)
        assert nodes.loc[nodes["phase"] != "active", "activity"].isna().all()
        assert entry["source"] == "map"
        assert entry["map"] == "soc"
        assert entry["mean"] == pytest.approx(active.loc[~active["fragment"], "activity"].mean())
        assert 0.8 < entry["covered_fraction"] < 0.95
        np.testing.assert_array_equal(measured.sample.channels["activity_map"], values)

    def test_of_a_file(self, run, tmp_path, values, measured):
        tifffile.imwrite(tmp_path / "soc.tif", values)
        code, said = run("activity=soc.tif")
        assert code == 0, said
        loaded = tripoint.load(tmp_path / "out")
        np.testing.assert_array_equal(loaded.graph.nodes["activity"], measured.graph.nodes["activity"])

    def test_of_a_part_of_the_volume(self, run, tmp_path, values):
        """A map of the whole volume is cropped with it; with an affine, the affine is moved."""
        tifffile.imwrite(tmp_path / "soc.tif", values)
        np.savetxt(tmp_path / "affine.txt", np.eye(4))
        box = "roi=[[4,40],[8,44],null]"
        for extra in ([], ["map.affine=affine.txt", f"map.spacing={list(SPACING)}"]):
            code, said = run("activity=soc.tif", box, "overwrite=true", *extra)
            assert code == 0, said
            found = tripoint.load(tmp_path / "out").sample.channels["activity_map"]
            np.testing.assert_allclose(found, values[4:40, 8:44], atol=1e-6)

    def test_of_a_channel(self, run, tmp_path, sample, values):
        tripoint.io.write(
            Sample(sample.phases, SPACING, sample.materials, {"soc": values}), tmp_path / "two.zarr"
        )
        code, said = run("input=two.zarr", "activity=soc")
        assert code == 0, said
        assert json.loads((tmp_path / "out/summary.json").read_text())["activity"]["map"] == "soc"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["materials.kinetics=null", "activity=simulate"], "name no kinetics"),
        (["transport=on", "transport.exchange=0"], "expected a positive number"),
        (["transport=on", "transport.ion=-1"], "expected a positive number"),
        (["transport=nowhere"], "no regime 'nowhere'"),
        (["transport=nowhere.yaml"], "no regime 'nowhere.yaml'"),
        (["transport=on", "transport.exchnge=1"], "unknown keys ['exchnge']"),
        (["transport={}"], "no regime"),
        (["activity=simulate", "simulation.voltage=0"], "voltage of the simulation is 0"),
        (["activity=simulate", "simulation.limit=1"], "residual"),
        (["transport=on", "simulation.limit=1"], "residual"),
        (["activity=simulate", "simulation.axes=[w]"], "some of z, y, x"),
        (["activity=simulate", "simulation.butler_volmer=maybe"], "butler_volmer is 'maybe'"),
        (["activity=nowhere.tif"], "there is no file"),
        (["activity=simulate", "map.affine=affine.txt"], "map.affine is given without a map"),
        (["activity=simulate", "materials.terminals.electron=null"], "electron has no terminal"),
    ],
)  # fmt: skip
def test_refused_on_the_command_line(run, tmp_path, words, expected):
    """Bad input: one sentence, and nothing is written."""
    code, said = run(*words, "subvolumes=0", "output=out")
    assert code == 1
    sentences = [line for line in said.splitlines() if line.startswith("tripoint: ")]
    assert len(sentences) == 1, said
    assert expected in sentences[0], said
    assert not (tmp_path / "out").exists()


def test_map_of_another_shape(run, tmp_path):
    tifffile.imwrite(tmp_path / "soc.tif", np.ones((9, 9, 9), np.float32))
    code, said = run("activity=soc.tif")
    assert code == 1
    assert "(9, 9, 9)" in said
    assert "affine" in said
    code, said = run("activity=soc.tif", "map.affine=soc.tif")
    assert code == 1
    assert "soc.tif is not text" in said
    np.savetxt(tmp_path / "far.txt", np.eye(4) + 1000 * np.eye(4, k=3))
    code, said = run("activity=soc.tif", "map.affine=far.txt", "map.spacing=[0.4,0.4,0.4]")
    assert code == 1
    assert "no values where the fixed one is" in said
    assert not (tmp_path / "out").exists()


def test_refused_in_python(sample):
    with pytest.raises(InputError, match="expected 'simulate'"):
        tripoint.analyze(sample, activity="guess")
    with pytest.raises(InputError, match="shape"):
        tripoint.analyze(sample, activity=Measured(np.ones((3, 3, 3), np.float32)))
    with pytest.raises(ConvergenceError, match="residual"):
        tripoint.analyze(sample, activity="simulate", simulation=Simulation(limit=2), **SIDE)
    for wrong in ({"voltage": -1.0}, {"tolerance": math.inf}, {"limit": 1.5}, {"axes": ("q",)}):
        with pytest.raises(InputError):
            Simulation(**wrong)


def test_terminal_without_conductor(sample):
    phases = sample.phases.copy()
    phases[-1][phases[-1] != 0] = 0  # void at the electron terminal
    cut, told = Sample(phases, SPACING, sample.materials), []
    for settings in ({"activity": "simulate"}, {"transport": True}):
        with pytest.raises(InputError, match="touches no electron conductor"):
            tripoint.analyze(cut, progress=lambda *step: told.append(step), **settings, **SIDE)
    assert not told  # before the analysis


def test_nothing_reacts(sample):
    """Ions and electrons that meet nowhere: potentials of the terminals, no current, every particle dead."""
    phases = np.zeros((20, 20, 20), np.uint8)
    phases[:, :9], phases[:, 11:] = 2, 1  # electrolyte | void | active
    apart = tripoint.analyze(
        Sample(phases, SPACING, sample.materials), transport=True, activity="simulate", **SIDE
    )
    entry = apart.summary["activity"]
    assert entry["current"] == entry["current_balance"] == entry["reaction"] == entry["iterations"] == 0
    assert entry["dead_fraction"] == 1
    assert entry["by_reason"] == {"no interface": 1}
    assert entry["cv"] is None
    assert np.nanmin(apart.sample.channels["ion_potential"]) == 1
    assert np.nanmax(apart.sample.channels["electron_potential"]) == 0


def test_refused_before_the_analysis(sample):
    """What materials and labels alone tell is told at once, and not when the graph is built."""
    told = []
    bare = {"exchange": 1.0, "ion": 0.1}
    one = {"exchange": 1.0, "ion": 0.1, "active": 1.0}
    for settings, expected in (
        ({"activity": "simulate", "kinetics": bare}, "no conductivity for the electron"),
        ({"transport": True, "kinetics": one}, "'carbon' conducts electron but has no conductivity"),
        ({"activity": "simulate", "kinetics": one}, "phase 'carbon' has no conductivity"),
    ):
        with pytest.raises(InputError, match=expected):
            tripoint.analyze(sample, progress=lambda *step: told.append(step), **settings, **SIDE)
    assert not told


def test_warned(sample):
    bare = Materials.from_mapping({**sample.materials.to_mapping(), "kinetics": None})
    plain = Sample(sample.phases, SPACING, bare)
    found = tripoint.analyze(plain, transport=True, simulation=Simulation(axes=("z",)), **SIDE).summary
    assert "electron" not in found["transport"]["tortuosity"]
    assert any("active, carbon have no conductivity for electron" in text for text in found["warnings"])
    values = np.full(sample.shape, np.nan, np.float32)
    values[:8] = 1
    found = tripoint.analyze(sample, activity=Measured(values), **SIDE).summary
    assert any("the map covers only" in text for text in found["warnings"])


def test_a_network_unlike_its_voxels_is_told(result):
    entry = result.summary["transport"]
    for carrier, network in entry["network"].items():
        voxels = entry["tortuosity"][carrier][network["faces"][0][0]]
        told = [text for text in result.summary["warnings"] if f"as tortuous for {carrier}" in text]
        if network["spans"] and voxels:
            assert bool(told) == (not 1 / 1.3 < network["tortuosity_factor"] / voxels < 1.3)


def test_without_tortuosity_factors(sample):
    found = tripoint.analyze(sample, transport=True, simulation=Simulation(axes=()), **SIDE).summary[
        "transport"
    ]
    assert found["tortuosity"] == {}
    assert found["network"]["ion"]["spans"]


def test_where_it_comes_from_is_kept(run, tmp_path, values):
    tifffile.imwrite(tmp_path / "soc.tif", values)
    code, said = run("activity=soc.tif", "roi=[[0,40],null,null]")
    assert code == 0, said
    configuration = tripoint.load(tmp_path / "out").summary["run"]["configuration"]
    assert configuration["input"] == {"path": "cathode.zarr", "roi": [[0, 40], [0, 44], [0, 40]]}
    assert configuration["map"] == {"path": "soc.tif"}


def test_kinetics_of_materials():
    materials = Materials.load("solid_state_cathode")
    assert materials.kinetics == "mixed"
    assert Kinetics.of(materials, {"exchange": 1.0}).exchange == 1.0
    assert Kinetics.of(materials, {"exchange": 1.0}).additive == 30.0
    assert Kinetics.of(materials, {"exchange": 1.0}).name == "mixed, changed"
    assert Kinetics.load(Kinetics.load("mixed").to_mapping()).name == "mixed"
    applied = Kinetics.of(materials).applied(materials)
    assert applied["electrolyte"].conductivity == {"ion": 0.1}
    assert Materials.from_mapping(applied.to_mapping()) == applied
    with pytest.raises(MaterialsError, match="kinetics are 3"):
        Materials.from_mapping({**materials.to_mapping(), "kinetics": 3})


@pytest.mark.parametrize("volume", ["nmc_cathode", "soc_electrode"])
def test_real_volumes(volume, request):
    """On real electrodes currents balance, and regions conduct about as well as voxels do."""
    phases = request.getfixturevalue(volume)
    real = {
        "nmc_cathode": lambda: Sample(phases[60:180, 100:220, 100:220], 0.398, "lithium_ion_cathode"),
        "soc_electrode": lambda: Sample(phases[::3, ::3, ::3], 3.0, "solid_oxide_electrode"),
    }[volume]()
    found = tripoint.analyze(
        real, transport=True, activity="simulate", simulation=Simulation(axes=("z",)), **SIDE
    )
    entry = found.summary["activity"]
    assert entry["current_balance"] <= 1e-6
    assert 0 < entry["dead_fraction"] < 0.5
    assert sum(entry["by_reason"].values()) == round(entry["dead_fraction"] * entry["particles"])
    ionic = real.materials[real.materials.network("ion")[0]].name
    voxels = found.summary["transport"]["tortuosity"][ionic]["z"]
    regions = found.summary["transport"]["network"]["ion"]
    assert regions["current_balance"] <= 1e-9
    assert regions["tortuosity_factor"] == pytest.approx(voxels, rel=0.2)
