"""The main job from end to end, on known and on real volumes."""

import json

import numpy as np
import pandas as pd
import pytest

import tripoint
from backends import has_gpu
from tripoint import Sample, percolation, synth

KEYS = {
    "schema",
    "tripoint",
    "sample",
    "junctions",
    "junctions_total",
    "interfaces",
    "percolation",
    "carriers",
    "utilization",
    "particles",
    "graph",
    "run",
}
JUNCTION_KEYS = {
    "phases",
    "edges",
    "raw_length",
    "length",
    "raw_density",
    "density",
    "active_edges",
    "unknown_edges",
    "dead_edges",
    "active_length",
    "unknown_length",
    "dead_length",
    "active_density",
}


NO_GPU = pytest.mark.skipif(not has_gpu(), reason="no GPU, and too large to emulate")


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=NO_GPU)])
def analyze(request):
    """Analyse a sample on the host or, where there is one, on the GPU, and bring the result over."""
    return lambda sample: tripoint.analyze(sample, device=request.param).to("cpu")


@pytest.fixture(scope="module")
def result(analyze):
    return analyze(synth.solid_state_cathode((72, 64, 56), (0.4, 0.4, 0.4), seed=2))


def memory_of(run):
    """Return the peak as a share of what is promised: 24 bytes per voxel on the host, 16 on the GPU."""
    return run["bytes_per_voxel"] / 24 if run["device"] == "cpu" else run["device_bytes_per_voxel"] / 16


def test_summary_has_the_documented_form(result):
    summary = result.summary
    assert set(summary) >= KEYS
    assert all(set(junction) == JUNCTION_KEYS for junction in summary["junctions"])
    assert summary["graph"] == {
        "nodes": len(result.graph.nodes),
        "contacts": len(result.graph.contacts),
        "junctions": len(result.graph.junctions),
    }
    json.dumps(summary, allow_nan=False)


def test_parts_add_up_to_the_whole(result):
    """Every voxel is in one region; areas and lengths of the tables are those of the volume."""
    sample, summary, nodes = result.sample, result.summary, result.graph.nodes
    assert nodes["voxels"].sum() == sample.phases.size
    assert nodes["volume"].sum() == pytest.approx(sample.volume)
    fractions = [phase["volume_fraction"] for phase in summary["sample"]["phases"].values()]
    np.testing.assert_allclose(fractions, [0.08, 0.55, 0.32, 0.05], atol=1e-4)
    assert result.graph.junctions["length"].sum() == pytest.approx(
        summary["junctions_total"]["length"], rel=1e-5
    )
    contacts = result.graph.contacts
    for interface in summary["interfaces"]:
        a, b = interface["phases"]
        pair = contacts[contacts["source_phase"].isin([a, b]) & contacts["target_phase"].isin([a, b])]
        pair = pair[pair["source_phase"] != pair["target_phase"]]
        assert [pair[f"faces_{axis}"].sum() for axis in "zyx"] == interface["faces"]
        assert pair["area"].sum() == pytest.approx(interface["area"], rel=0.05)
    for junction in summary["junctions"]:
        total = np.array(junction["active_edges"]) + junction["unknown_edges"] + junction["dead_edges"]
        np.testing.assert_array_equal(total, junction["edges"])
        lengths = junction["active_length"] + junction["unknown_length"] + junction["dead_length"]
        assert lengths == pytest.approx(junction["length"], rel=1e-6)


def test_graph_and_voxels_agree_on_percolation(result):
    found = percolation.measure_graph(result.graph.nodes, result.graph.contacts, result.sample.materials)
    for carrier, network in found.carriers.items():
        stated = result.summary["carriers"][carrier]
        assert network.components == stated["components"]
        assert list(network.spanning_fraction) == pytest.approx(stated["spanning_fraction"])
        assert network.terminal_fraction == pytest.approx(stated["terminal_fraction"])


def test_regions_and_nodes_speak_of_the_same(result):
    counts = np.bincount(result.regions.ravel(), minlength=len(result.graph.nodes) + 1)
    assert counts[0] == 0
    np.testing.assert_array_equal(counts[result.graph.nodes["node"]], result.graph.nodes["voxels"])
    labels = np.zeros(len(counts), np.uint8)
    labels[result.graph.nodes["node"]] = result.graph.nodes["label"]
    np.testing.assert_array_equal(labels[result.regions], result.sample.phases)


def test_save_and_load(result, tmp_path):
    result.save(tmp_path / "out")
    loaded = tripoint.load(tmp_path / "out")
    assert loaded.summary == json.loads(json.dumps(result.summary))
    for table in ("nodes", "contacts", "junctions"):
        pd.testing.assert_frame_equal(
            getattr(loaded.graph, table), getattr(result.graph, table), check_dtype=False
        )
    np.testing.assert_array_equal(np.asarray(loaded.regions), result.regions)
    np.testing.assert_array_equal(np.asarray(loaded.junction_map), result.junction_map)
    assert loaded.sample.spacing == result.sample.spacing
    assert loaded.sample.materials == result.sample.materials
    again = tripoint.read(tmp_path / "out" / "volume.zarr", materials="solid_state_cathode")
    np.testing.assert_array_equal(again.phases, result.sample.phases)
    assert again.spacing == pytest.approx(result.sample.spacing)


def test_two_runs_give_equal_tables(analyze, result):
    again = analyze(result.sample)
    np.testing.assert_array_equal(again.regions, result.regions)
    for table in ("nodes", "contacts", "junctions"):
        pd.testing.assert_frame_equal(getattr(again.graph, table), getattr(result.graph, table))


def test_scaling_the_spacing_scales_the_figures(analyze, result):
    """Twice the voxel size: lengths × 2, areas × 4, volumes × 8, counts and shares as before."""
    double = analyze(
        Sample(result.sample.phases, tuple(2 * s for s in result.sample.spacing), result.sample.materials)
    )
    np.testing.assert_array_equal(double.regions, result.regions)
    one, two = result.summary, double.summary
    assert two["junctions"][0]["edges"] == one["junctions"][0]["edges"]
    assert two["junctions"][0]["length"] == pytest.approx(2 * one["junctions"][0]["length"], rel=1e-5)
    assert two["interfaces"][0]["area"] == pytest.approx(4 * one["interfaces"][0]["area"])
    assert two["carriers"] == one["carriers"]
    assert two["utilization"] == one["utilization"]


def test_renaming_the_labels_changes_nothing(analyze, result):
    """Labels are names: 0/1/2/3 and 255/7/128/30 give the same figures and the same partition."""
    renamed = result.sample.materials.to_mapping()
    table = np.arange(256, dtype=np.uint8)
    for phase, label in zip(renamed["phases"].values(), (255, 7, 128, 30), strict=True):
        table[phase["label"]] = label
        phase["label"] = label
    other = analyze(Sample(table[result.sample.phases], result.sample.spacing, renamed))
    np.testing.assert_array_equal(other.regions, result.regions)
    for key in (
        "junctions",
        "junctions_total",
        "percolation",
        "carriers",
        "utilization",
        "particles",
        "graph",
    ):
        assert other.summary[key] == result.summary[key]


def test_a_mirrored_volume_has_the_same_boundaries(analyze, result):
    """Counts are exact under mirroring; terminals are mirrored with it."""
    materials = result.sample.materials.with_terminals(ion="z+", electron="z-")
    mirrored = analyze(
        Sample(np.ascontiguousarray(result.sample.phases[::-1]), result.sample.spacing, materials)
    )
    for key in ("edges", "active_edges", "unknown_edges", "dead_edges"):
        found, expected = ([j[key] for j in r.summary["junctions"]] for r in (mirrored, result))
        assert found == expected
    faces = {tuple(i["phases"]): i["faces"] for i in result.summary["interfaces"]}
    assert {tuple(i["phases"]): i["faces"] for i in mirrored.summary["interfaces"]} == faces
    for carrier, network in result.summary["carriers"].items():
        assert mirrored.summary["carriers"][carrier]["terminal_fraction"] == network["terminal_fraction"]


@pytest.mark.slow
def test_nmc_cathode(analyze, nmc_cathode):
    """Check values computed by an independent program."""
    result = analyze(Sample(nmc_cathode, (0.398,) * 3, "lithium_ion_cathode"))
    summary = result.summary
    (junction,) = summary["junctions"]
    assert junction["edges"] == [333799, 383622, 387139]
    assert summary["junctions_total"]["edges"] == junction["edges"]
    assert sum(junction["active_edges"]) == 1_094_927
    faces = {frozenset(i["phases"]): sum(i["faces"]) for i in summary["interfaces"]}
    assert faces[frozenset(("pore", "active"))] == 1_291_082
    assert faces[frozenset(("pore", "binder"))] == 1_854_595
    assert faces[frozenset(("active", "binder"))] == 2_181_973
    phases = summary["percolation"]
    assert [phases[name]["components"] for name in ("pore", "active", "binder")] == [226, 144, 64441]
    assert memory_of(summary["run"]) <= 1


@pytest.mark.slow
def test_soc_electrode(analyze, soc_electrode):
    """A volume of 83 million voxels with labels 0/128/255 stays within its bytes per voxel."""
    result = analyze(Sample(soc_electrode, (1, 1, 1), "solid_oxide_electrode"))
    assert memory_of(result.summary["run"]) <= 1
    assert result.graph.nodes["voxels"].sum() == soc_electrode.size
    assert result.summary["carriers"]["ion"]["terminal_fraction"] > 0.9
