"""A result folder: whole or not there, and read back as it was saved."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel

import tripoint
from tripoint import report
from tripoint.errors import InputError, OutputError
from tripoint.graph import Graph
from tripoint.io import check_output, graphml, ome_zarr, tables
from tripoint.materials import Materials
from tripoint.result import Result
from tripoint.sample import Sample

FILES = {
    "volume.zarr",
    "nodes.parquet",
    "contacts.parquet",
    "junctions.parquet",
    "graph.graphml",
    "report.html",
    "summary.json",
}
MATERIALS = Materials.load("lithium_ion_cathode")


def tables_of_a_graph():
    nodes = pd.DataFrame(
        {
            "node": np.array([1, 2, 3], np.int32),
            "phase": ["pore", "active", "binder & <carbon>"],
            "label": np.array([0, 1, 2], np.uint8),
            "volume": [1.5, np.pi, 1e9],
            "centroid_z": [0.5, 1.5, 2.5],
            "centroid_y": [1.0, 2.0, 3.0],
            "centroid_x": [4.0, 5.0, 6.0],
            "touches_z_min": [True, False, True],
            "path_resistance_ion": [0.25, np.inf, np.nan],
        }
    )
    contacts = pd.DataFrame(
        {"source": [1, 1], "target": [2, 3], "area": [0.5, 2.0], "bridge_ion": [True, False]}
    )
    junctions = pd.DataFrame(
        {"a": [1], "b": [2], "c": [3], "junction": [0], "length": [1.5], "active": [True]}
    )
    return nodes, contacts, junctions


@pytest.fixture
def result(monkeypatch):
    """A result that never was computed, with a report of one word."""
    monkeypatch.setattr(report, "write", lambda result, path: path.write_text("report"), raising=False)
    rng = np.random.default_rng(0)
    shape = (12, 10, 9)
    sample = Sample(
        rng.integers(0, 3, shape).astype(np.uint8),
        (0.4, 0.3, 0.2),
        MATERIALS.with_terminals(ion="x-"),
        channels={"grey": rng.random(shape, dtype=np.float32)},
        name="cells",
    )
    metadata = {"name": "cells", "spacing": [0.4, 0.3, 0.2], "materials": sample.materials.to_mapping()}
    summary = {"schema": 1, "sample": {"name": "cells"}, "number": np.float64(0.5), "none": float("nan")}
    regions = rng.integers(0, 70000, shape).astype(np.int32)
    return Result(
        sample, Graph(*tables_of_a_graph(), metadata), summary, regions, rng.integers(0, 4, shape, np.uint8)
    )


def assert_same(loaded, saved):
    for name in ("nodes", "contacts", "junctions"):
        pd.testing.assert_frame_equal(getattr(loaded.graph, name), getattr(saved.graph, name))
    assert loaded.graph.metadata == saved.graph.metadata
    np.testing.assert_array_equal(loaded.sample.phases, saved.sample.phases)
    assert loaded.sample.spacing == saved.sample.spacing
    assert loaded.sample.materials == saved.sample.materials
    assert loaded.sample.name == saved.sample.name
    assert set(loaded.sample.channels) == set(saved.sample.channels)
    for name, channel in saved.sample.channels.items():
        np.testing.assert_array_equal(loaded.sample.channels[name], channel)
    for name in ("regions", "junction_map"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
        assert getattr(loaded, name).dtype == getattr(saved, name).dtype


# --- what is in the folder ------------------------------------------------------------------------------


def test_saved_is_loaded(result, tmp_path):
    told = []
    folder = result.save(tmp_path / "deep" / "out", progress=lambda *step: told.append(step))
    assert {f.name for f in folder.iterdir()} == FILES
    loaded = tripoint.load(folder)
    assert_same(loaded, result)
    assert loaded.summary == {**result.summary, "none": None}
    assert "cells" in repr(loaded)
    sample = tripoint.read(folder, materials=MATERIALS)  # voxel size from its volume
    np.testing.assert_array_equal(sample.phases, result.sample.phases)
    assert sample.spacing == result.sample.spacing
    assert [step for step, _, _ in told][-1] == "saved"
    loaded.save(tmp_path / "again")
    assert_same(tripoint.load(tmp_path / "again"), result)


def test_result_of_an_analysis_is_loaded(tmp_path):
    """The real thing: every column has a unit, and everything comes back."""
    sample = tripoint.synth.solid_state_cathode((40, 36, 32), (0.4, 0.4, 0.4), seed=1)
    result = tripoint.analyze(sample, device="cpu")
    result.save(tmp_path / "out")
    loaded = tripoint.load(tmp_path / "out")
    assert_same(loaded, result)
    assert loaded.summary == tables.plain(result.summary)
    assert (tmp_path / "out" / "report.html").stat().st_size > 1000
    known = documented_units()
    for table in (result.graph.nodes, result.graph.contacts, result.graph.junctions):
        names = {re.sub("_(ion|electron)$", "_<carrier>", name) for name in table.columns}
        assert {re.sub("^area_.*", "area_<phase>", name) for name in names} <= set(known)
    graph = nx.read_graphml(tmp_path / "out" / "graph.graphml", node_type=int)
    assert set(graph.edges) == set(
        zip(result.graph.contacts["source"], result.graph.contacts["target"], strict=True)
    )
    sample = tripoint.read(tmp_path / "out", materials="solid_state_cathode")  # voxel size from the volume
    np.testing.assert_array_equal(sample.phases, result.sample.phases)
    assert sample.spacing == result.sample.spacing


def test_without_junction_map(result, tmp_path):
    result.junction_map = None
    result.save(tmp_path / "out")
    assert tripoint.load(tmp_path / "out").junction_map is None


def test_summary_is_strict_json(result, tmp_path):
    result.summary["list"] = [np.int64(3), (np.bool_(True), float("inf")), {"µ": np.arange(2)}]
    folder = result.save(tmp_path / "out")
    text = (folder / "summary.json").read_text(encoding="utf-8")
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert found["list"] == [3, [True, None], {"µ": [0, 1]}]
    assert "µ" in text


def test_units_stand_in_the_tables(result, tmp_path):
    schema = pq.read_schema(result.save(tmp_path / "out") / "nodes.parquet")
    units = {field.name: field.metadata[b"unit"].decode() for field in schema}
    assert units["volume"] == "µm³"
    assert units["centroid_z"] == "µm"
    assert units["phase"] == "1"
    assert (
        pq.ParquetFile(tmp_path / "out/nodes.parquet").metadata.row_group(0).column(0).compression == "ZSTD"
    )


def documented_units():
    """Columns and units from the tables of docs/formats.md, with ``<carrier>`` and ``<phase>`` as there."""
    lines = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return {name.strip("` "): row[1] for row in rows if len(row) == 3 for name in row[0].split(",")}


def test_every_documented_column_has_the_unit_that_is_written():
    documented = documented_units()
    assert len(documented) > 60
    assert {name: tables.unit(name.replace("<", "").replace(">", "")) for name in documented} == documented


@given(st.tuples(*[st.integers(1, 40)] * 3), st.sampled_from([np.uint8, np.int32, np.float32]))
@settings(max_examples=15, deadline=None)
def test_volumes_of_any_shape(tmp_path_factory, shape, dtype):
    """With chunks and copies made small, every edge case of both is met."""
    volume = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    folder = tmp_path_factory.mktemp("zarr") / "v.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ome_zarr, "CHUNK", 8)
        patch.setattr(ome_zarr, "_SMALLEST", 12)
        group = zarr.create_group(folder, zarr_format=3)
        ome_zarr._write_image(group, volume, (3.0, 2.0, 1.0), "v")
    np.testing.assert_array_equal(ome_zarr.read_array(folder), volume)
    for dataset in group.attrs["ome"]["multiscales"][0]["datasets"]:
        scale = dataset["coordinateTransformations"][0]["scale"]
        stride = [round(s / k) for s, k in zip(scale, (3, 2, 1), strict=True)]
        np.testing.assert_array_equal(
            group[dataset["path"]][...], volume[:: stride[0], :: stride[1], :: stride[2]]
        )
        assert max(group[dataset["path"]].chunks) <= 8


def test_ome_zarr_is_valid(result, tmp_path, monkeypatch):
    """By the models of the NGFF specification 0.5: image, label images, and their pyramids."""
    monkeypatch.setattr(ome_zarr, "_SMALLEST", 6)
    volume = result.save(tmp_path / "out") / "volume.zarr"
    root = zarr.open_group(volume, mode="r")
    image = Image.from_zarr(root)
    multiscale = image.ome_attributes.multiscales[0]
    assert len(multiscale.datasets) == 2
    assert [axis.unit for axis in multiscale.axes] == ["micrometer"] * 3
    scale, translation = multiscale.datasets[0].coordinateTransformations
    assert scale.scale == [0.4, 0.3, 0.2]
    assert translation.translation == [0.2, 0.15, 0.1]  # a voxel's centre, where the tables have it
    assert sorted(root["labels"].attrs["ome"]["labels"]) == ["junctions", "regions"]
    for name in ("regions", "junctions"):
        label = ImageLabel.from_zarr(root["labels"][name])
        assert label.ome_attributes.multiscales[0].datasets[0].coordinateTransformations[0] == scale
    assert (root["0"].metadata.zarr_format, root["0"].metadata.dimension_names) == (3, ("z", "y", "x"))


def test_graphml_is_read_by_networkx(tmp_path):
    nodes, contacts, _ = tables_of_a_graph()
    graphml.write(tmp_path / "g.graphml", nodes, contacts)
    graph = nx.read_graphml(tmp_path / "g.graphml", node_type=int)
    assert not graph.is_directed()
    assert graph.nodes[2]["volume"] == pytest.approx(np.pi, rel=1e-6)
    assert [graph.nodes[3][axis] for axis in "zyx"] == [2.5, 3.0, 6.0]
    assert graph.nodes[3]["phase"] == "binder & <carbon>"
    assert graph.nodes[1]["touches_z_min"] is True
    assert graph.nodes[2]["path_resistance_ion"] == np.inf
    assert "path_resistance_ion" not in graph.nodes[3]
    assert graph.edges[1, 3] == {"area": 2.0, "bridge_ion": False}
    assert set(graph.edges) == {(1, 2), (1, 3)}


@pytest.mark.parametrize("rows", [0, 1, 40])
def test_graphml_in_batches(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(graphml, "_ROWS", 7)
    nodes = pd.DataFrame({"node": np.arange(rows), "centroid_x": np.arange(rows) / 3})
    contacts = pd.DataFrame(
        {"source": np.arange(1, rows), "target": np.arange(rows - 1), "n": np.arange(1, rows)}
    )
    contacts = contacts.astype(int)
    graphml.write(tmp_path / "g.graphml", nodes, contacts)
    graph = nx.read_graphml(tmp_path / "g.graphml", node_type=int)
    assert sorted(graph.nodes) == list(range(rows))
    assert {(a, b): d["n"] for a, b, d in graph.edges(data=True)} == {(k - 1, k): k for k in range(1, rows)}


# --- whole or not at all --------------------------------------------------------------------------------


def remains(folder):
    return sorted(f.name for f in folder.iterdir())


def test_existing_result_is_kept_unless_told(result, tmp_path):
    result.save(tmp_path / "out")
    with pytest.raises(OutputError, match=r"out exists; .*overwrite=true"):
        result.save(tmp_path / "out")
    result.summary["second"] = True
    result.save(tmp_path / "out", overwrite=True)
    assert tripoint.load(tmp_path / "out").summary["second"]
    assert remains(tmp_path) == ["out"]


def test_foreign_folder_is_never_overwritten(result, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    for overwrite, match in ((False, "exists"), (True, "not a result of tripoint")):
        with pytest.raises(OutputError, match=match):
            result.save(tmp_path / "thesis", overwrite=overwrite)
    assert remains(tmp_path / "thesis") == ["chapter.tex"]
    with pytest.raises(OutputError, match="is a file"):
        result.save(tmp_path / "thesis" / "chapter.tex", overwrite=True)


def test_empty_folder_and_link_are_taken(result, tmp_path):
    (tmp_path / "empty").mkdir()
    result.save(tmp_path / "empty")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    result.save(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert remains(tmp_path) == ["empty", "link"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError(28, "No space left on device")])
@pytest.mark.parametrize("old", [False, True])
def test_failure_leaves_nothing(result, tmp_path, monkeypatch, error, old):
    if old:
        result.save(tmp_path / "deep" / "out")
        result.summary["second"] = True

    def fail(*_):
        raise error

    monkeypatch.setattr(report, "write", fail)
    expected = OutputError if isinstance(error, OSError) else error
    with pytest.raises(expected) as caught:
        result.save(tmp_path / "deep" / "out", overwrite=old)
    if isinstance(error, OSError):
        assert "no space left for" in str(caught.value)
    if old:
        assert remains(tmp_path / "deep") == ["out"]
        assert "second" not in tripoint.load(tmp_path / "deep" / "out").summary
    else:
        assert remains(tmp_path) == []


def test_unwritable_places(result, tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "out", Path("/proc/out"), Path("/proc/deep/out")):
        with pytest.raises(OutputError, match="cannot be written"):
            check_output(place)
        with pytest.raises(OutputError, match="cannot be written"):
            result.save(place)
    assert remains(tmp_path) == ["file"]


CHILD = """
import resource, sys, time
import numpy as np
sys.path.insert(0, {tests!r})
from test_result import MATERIALS, tables_of_a_graph
from tripoint import report
from tripoint.errors import TripointError
from tripoint.graph import Graph
from tripoint.result import Result
from tripoint.sample import Sample

phases = np.random.default_rng(0).integers(0, 3, (64, 64, 64)).astype(np.uint8)
result = Result(Sample(phases, 1, MATERIALS), Graph(*tables_of_a_graph()), {{}}, phases.astype(np.int32))
"""

FILL_UP = """
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    result.save(sys.argv[1])
except TripointError as error:
    print(type(error).__name__, error)
"""

STAND_STILL = """
report.write = lambda result, path: (print("writing", flush=True), time.sleep(60))
result.save(sys.argv[1])
"""


def child(tmp_path, action):
    (tmp_path / "child.py").write_text(CHILD.format(tests=str(Path(__file__).parent)) + action)
    return [sys.executable, str(tmp_path / "child.py"), str(tmp_path / "out" / "result")]


def test_disk_that_fills_up(tmp_path):
    """A real refusal by the system, deep inside the writing of chunks by other threads."""
    done = subprocess.run(child(tmp_path, FILL_UP), capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.startswith("OutputError there is no space left for"), done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signal_while_writing(tmp_path, result, number):
    """A terminated run cleans up behind itself; what a killed one leaves, the next run does."""
    with subprocess.Popen(
        child(tmp_path, STAND_STILL),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # Where the tests are a shell's background job, it ignores Ctrl-C, and what it starts would.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        process.stdout.readline()
        assert any(name.startswith(".result.partial") for name in os.listdir(tmp_path / "out"))
        time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(30) != 0
    if number != signal.SIGKILL:
        assert not (tmp_path / "out").exists()
    result.save(tmp_path / "out" / "result")
    assert remains(tmp_path / "out") == ["result"]


def test_kill_between_the_two_renames(result, tmp_path):
    """The old result stands aside then; the next run puts it back before it looks whether one exists."""
    folder = result.save(tmp_path / "out")
    owner = f"{dead_process()}@{os.uname().nodename}"
    folder.rename(tmp_path / f".out.replaced-{owner}")
    (tmp_path / f".out.partial-{owner}").mkdir()
    with pytest.raises(OutputError, match="exists"):
        check_output(tmp_path / "out")
    assert remains(tmp_path) == ["out"]
    assert_same(tripoint.load(tmp_path / "out"), result)


def test_partial_of_a_living_process_is_left_alone(result, tmp_path):
    theirs = tmp_path / f".out.partial-{os.getppid()}@{os.uname().nodename}"
    theirs.mkdir()
    result.save(tmp_path / "out")
    assert theirs.is_dir()


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


# --- what cannot be loaded ------------------------------------------------------------------------------


def test_load_what_is_no_result(tmp_path, result):
    with pytest.raises(InputError, match="no such folder"):
        tripoint.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"lacks summary\.json, volume\.zarr"):
        tripoint.load(tmp_path)
    folder = result.save(tmp_path / "out")
    (folder / "summary.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        tripoint.load(folder)
    (folder / "summary.json").write_text("{}")
    (folder / "contacts.parquet").write_bytes(b"PAR1")
    (folder / "volume.zarr" / "0" / "zarr.json").unlink()
    loaded = tripoint.load(folder)
    for attribute in ("graph", "sample"):
        with pytest.raises(InputError, match="damaged"):
            getattr(loaded, attribute)
