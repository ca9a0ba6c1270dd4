"""A whole analysis on the GPU: the tables of the host, no volume comes back, twice the same bits."""

import sys
from collections import Counter
from contextlib import contextmanager
from functools import cache

import cupy as cp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import tripoint
from strategies import phase_volumes
from tripoint import Sample, pipeline
from tripoint._cuda import memory, transfer
from tripoint.errors import DeviceMemoryError
from tripoint.io import ome_zarr

PRESETS = ("lithium_ion_cathode", "solid_oxide_electrode", "solid_state_cathode")
LABELS = {"solid_oxide_electrode": (0, 128, 255), "solid_state_cathode": (0, 1, 2, 3)}
TABLES = ("nodes", "contacts", "junctions")
ROWS, TOTALS = 1e-6, 1e-9  # relative; tables may differ by 1e-2 and their sums by 1e-5, but need not


@cache
def composite(preset, shape=(24, 22, 20), grain=2.4, spacing=(0.4, 0.4, 0.4)):
    """Return a sample whose phases are where one of several smooth random fields is highest."""
    random = np.random.default_rng(7)
    labels = LABELS.get(preset, (0, 1, 2))
    fields = [ndimage.gaussian_filter(random.standard_normal(shape), grain) for _ in labels]
    phases = np.array(labels, np.uint8)[np.argmax(fields, axis=0)]
    return Sample(phases, spacing, preset, name="composite")


@cache
def on_host(preset, **shape):
    return tripoint.analyze(composite(preset, **shape), device="cpu", subvolumes=2)


def analyzed(backend, sample):
    result = tripoint.analyze(sample, device=backend.name, subvolumes=2)
    assert result.device == result.graph.device == backend.name
    return result


def assert_same_tables(found, expected, rows=ROWS, totals=TOTALS):
    for name in TABLES:
        one, other = getattr(found.graph.to("cpu"), name), getattr(expected.graph.to("cpu"), name)
        assert list(one.columns) == list(other.columns)
        for column in one.columns:
            a, b = one[column], other[column]
            assert a.dtype == b.dtype, f"{name}.{column}"
            if a.dtype.kind == "f":
                np.testing.assert_allclose(a, b, rtol=rows, atol=1e-12, err_msg=f"{name}.{column}")
                finite = np.isfinite(a)
                np.testing.assert_allclose(a[finite].sum(), b[finite].sum(), rtol=totals, atol=1e-12)
            else:
                np.testing.assert_array_equal(a, b, err_msg=f"{name}.{column}")


def assert_same_figures(found, expected, where="summary"):
    if where == "summary.run":
        return
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for key, value in expected.items():
            assert_same_figures(found[key], value, f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for one, other in zip(found, expected, strict=True):
            assert_same_figures(one, other, where)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=TOTALS), where
    else:
        assert found == expected, where


def assert_identical_tables(found, expected):
    for name in TABLES:
        pd.testing.assert_frame_equal(
            getattr(found.graph.to("cpu"), name), getattr(expected.graph.to("cpu"), name), check_exact=True
        )


# ------------------------------------------------------------------------------- the same results


@pytest.mark.parametrize("preset", PRESETS)
def test_tables_and_volumes_are_those_of_the_host(backend, preset):
    expected, found = on_host(preset), analyzed(backend, composite(preset))
    np.testing.assert_array_equal(backend.get(found.regions), expected.regions)
    np.testing.assert_array_equal(backend.get(found.junction_map), expected.junction_map)
    assert len(expected.graph.nodes) > 20
    assert len(expected.graph.junctions) > 5
    assert_same_tables(found, expected)
    assert found.summary["run"]["device"] == backend.name
    assert_same_figures(found.summary, expected.summary)


def test_anisotropic_voxels_and_subvolumes(backend):
    shape = {"shape": (33, 32, 34), "grain": 3.0, "spacing": (0.5, 0.25, 0.3)}
    expected = on_host("solid_state_cathode", **shape)
    found = analyzed(backend, composite("solid_state_cathode", **shape))
    np.testing.assert_array_equal(backend.get(found.regions), expected.regions)
    assert_same_tables(found, expected)
    intervals = found.summary["representativity"]
    assert intervals["subvolumes"] == 8
    assert_same_figures(found.summary, expected.summary)


@given(phase_volumes((0, 128, 255), smallest=2, largest=7), st.sampled_from([6, 18, 26]))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_any_small_volume_has_the_hosts_tables(gpu, phases, connectivity):
    """Absent phases, one phase alone, single regions: whatever there is, it is the same on both sides."""
    sample = Sample(phases, (0.4, 0.4, 0.4), "solid_oxide_electrode")
    asked = {"connectivity": connectivity, "min_voxels": 2, "subvolumes": 0}
    expected = tripoint.analyze(sample, device="cpu", **asked)
    found = tripoint.analyze(sample, device="cuda", **asked)
    np.testing.assert_array_equal(found.regions.get(), expected.regions)
    assert_same_tables(found, expected)
    assert_same_figures(found.summary, expected.summary)


@pytest.mark.slow
def test_a_larger_volume_has_the_hosts_tables(large_backend):
    sample = tripoint.synth.solid_state_cathode((160, 150, 140), (0.4, 0.4, 0.4), seed=3)
    expected = tripoint.analyze(sample, device="cpu", subvolumes=2)
    found = analyzed(large_backend, sample)
    np.testing.assert_array_equal(large_backend.get(found.regions), expected.regions)
    assert_same_tables(found, expected)
    assert_same_figures(found.summary, expected.summary)


def test_two_runs_and_another_order_of_threads_give_the_same_bits(gpu):
    sample = composite("solid_state_cathode").to("cuda")
    once = analyzed(gpu, sample)
    assert_identical_tables(analyzed(gpu, sample), once)
    if not gpu.emulated:
        return  # there the order of threads is another one each time
    with cp.emulator_order("reverse"):
        again = analyzed(gpu, sample)
    assert_identical_tables(again, once)
    np.testing.assert_array_equal(again.regions.get(), once.regions.get())
    np.testing.assert_array_equal(again.junction_map.get(), once.junction_map.get())


# --------------------------------------------------------------------------------- what comes back


@contextmanager
def copies_to_host(monkeypatch):
    """Record (bytes, where) of every copy from the GPU: all there are on the stand-in, ``get`` on a GPU."""
    recorded = []
    if hasattr(cp, "transfers"):
        cp.transfers.clear()
        yield recorded
        recorded += [(one.nbytes, one.caller) for one in cp.transfers if one.direction == "to_host"]
        return
    get = cp.ndarray.get
    with monkeypatch.context() as patched:
        patched.setattr(
            cp.ndarray, "get", lambda a, *r, **n: recorded.append((a.nbytes, "get")) or get(a, *r, **n)
        )
        yield recorded


def by_place(copies):
    total = Counter()
    for nbytes, place in copies:
        total[place] += nbytes
    return total


@pytest.mark.parametrize("preset", ["solid_oxide_electrode", "solid_state_cathode"])
def test_nothing_of_a_volumes_size_comes_back(gpu, preset, monkeypatch):
    """The same structure twice as fine: eight times the voxels, and what comes back stays what it was.

    So neither a volume nor its slabs or planes, four times as large, are copied anywhere in the analysis.
    """
    coarse = composite(preset, grain=3.0)
    fine = Sample(np.kron(coarse.phases, np.ones((2, 2, 2), np.uint8)), (0.2, 0.2, 0.2), preset)
    copies = []
    for sample in (coarse.to("cuda"), fine.to("cuda")):
        with copies_to_host(monkeypatch) as recorded:
            result = tripoint.analyze(sample, device="cuda", subvolumes=0)
        copies.append(recorded)
    assert fine.phases.size == 8 * coarse.phases.size
    assert max(nbytes for nbytes, _ in copies[1]) < fine.phases.size / 8
    small, large = map(by_place, copies)
    grown = {
        place: (small[place], nbytes) for place, nbytes in large.items() if nbytes > 3 * small[place] + 4096
    }
    assert not grown
    brought, regions = sum(large.values()), len(result.graph.nodes)
    sys.stdout.write(f"\n{preset}: {brought} bytes in {len(copies[1])} copies of {regions} regions\n")


def test_what_flows_is_that_of_the_host_and_stays_on_the_gpu(gpu, monkeypatch):
    sample = composite("solid_state_cathode")
    asked = {"subvolumes": 0, "transport": True, "activity": "simulate"}
    expected = tripoint.analyze(sample, device="cpu", **asked)
    with copies_to_host(monkeypatch) as recorded:
        found = tripoint.analyze(sample, device="cuda", **asked)
    assert max(nbytes for nbytes, _ in recorded) < sample.phases.size
    assert isinstance(found.sample.channels["ion_potential"], cp.ndarray)
    one, other = found.graph.to("cpu").nodes, expected.graph.nodes
    np.testing.assert_allclose(one["activity"], other["activity"], atol=1e-5)
    assert one["inactive_because"].tolist() == other["inactive_because"].tolist()
    for name, factors in expected.summary["transport"]["tortuosity"].items():
        assert found.summary["transport"]["tortuosity"][name] == pytest.approx(factors, rel=1e-5)


def test_saving_and_the_report_take_slabs_and_planes(gpu, monkeypatch, tmp_path):
    preset = "lithium_ion_cathode"
    result = analyzed(gpu, composite(preset))
    monkeypatch.setattr(ome_zarr, "CHUNK", 8)
    with copies_to_host(monkeypatch) as recorded:
        result.save(tmp_path / "out")
    slab = 8 * np.prod(result.sample.shape[1:]) * result.regions.itemsize
    of_volumes = [(nbytes, place) for nbytes, place in recorded if nbytes > 4096]
    if gpu.emulated:
        assert all("transfer.py" in place for _, place in of_volumes)
    picked = (
        result.regions.size * result.regions.itemsize
    )  # of so small a volume the report looks at every voxel
    assert sorted(nbytes for nbytes, _ in of_volumes)[-2] <= slab < picked
    saved, expected = tripoint.load(tmp_path / "out"), on_host(preset)
    np.testing.assert_array_equal(saved.sample.phases, expected.sample.phases)
    np.testing.assert_array_equal(saved.regions, expected.regions)
    np.testing.assert_array_equal(saved.junction_map, expected.junction_map)
    assert_same_tables(saved, expected)
    report = (tmp_path / "out" / "report.html").read_text()
    assert f"on {result.summary['run']['device_name']}" in report
    assert "bytes per voxel; on the GPU" in report


def test_a_result_and_its_graph_can_be_had_on_the_host(gpu):
    result = analyzed(gpu, composite("lithium_ion_cathode"))
    host, expected = result.to("cpu"), on_host("lithium_ion_cathode")
    assert host.device == host.sample.device == host.graph.device == "cpu"
    np.testing.assert_array_equal(host.sample.phases, expected.sample.phases)
    np.testing.assert_array_equal(host.regions, expected.regions)
    np.testing.assert_array_equal(host.junction_map, expected.junction_map)
    assert result.to("cuda") is result
    assert host.to("cpu") is host
    for thing in (host, host.graph):
        with pytest.raises(tripoint.DeviceError, match="only to cpu"):
            thing.to("cuda")
    assert repr(result.graph) == repr(expected.graph)
    assert len(result.graph.subgraph("active").nodes) == len(expected.graph.subgraph("active").nodes)
    assert result.graph.to_networkx().number_of_edges() == len(expected.graph.contacts)


# ------------------------------------------------------------------------------------------ memory


def test_memory_is_what_the_plan_says(gpu):
    """Of the same structure twice as fine the peak grows by no more bytes per voxel than are planned for."""
    peaks = []
    for times in (1, 2):
        fine = np.ones((times,) * 3, np.uint8)
        coarse = composite("solid_state_cathode", shape=(28, 32, 30), grain=4.0)
        sample = Sample(np.kron(coarse.phases, fine), (0.4 / times,) * 3, coarse.materials)
        run = tripoint.analyze(sample, device="cuda", subvolumes=0).summary["run"]
        assert run["device_bytes_per_voxel"] == round(run["device_peak_bytes"] / sample.phases.size, 2)
        peaks.append((sample.phases.size, run["device_peak_bytes"]))
    (few, low), (many, high) = peaks
    slope = (high - low) / (many - few)
    planned = memory.largest((1024,) * 3)[1] / 1024**3
    sys.stdout.write(f"\npeak {slope:.1f} bytes per voxel, {planned} planned\n")
    assert slope <= planned <= 16


def test_a_volume_that_does_not_fit_is_analysed_on_the_host_where_that_is_left_open(gpu, monkeypatch, caplog):
    sample = composite("lithium_ion_cathode")
    monkeypatch.setattr(memory, "largest", lambda *_, **__: ("distance", 10**15))
    with pytest.raises(
        DeviceMemoryError, match=r"takes 931322\.6 GiB of GPU memory .* in the step 'distance'"
    ):
        tripoint.analyze(sample, device="cuda")
    result = tripoint.analyze(sample, device="auto", subvolumes=2)
    assert result.device == "cpu"
    assert "device: cpu (an analysis of 24 × 22 × 20 voxels takes" in caplog.text
    assert_identical_tables(result, on_host("lithium_ion_cathode"))
    there = sample.to("cuda")
    assert tripoint.analyze(there, device="auto", subvolumes=0).device == "cpu"


def test_running_out_of_memory_leaves_nothing_behind(gpu, monkeypatch, caplog):
    sample = composite("lithium_ion_cathode")
    pool = cp.get_default_memory_pool()
    pool.free_all_blocks()
    before = pool.used_bytes()
    monkeypatch.setattr(pipeline.distance, "transform", lambda *_: cp.empty(1 << 50, np.uint8))
    with pytest.raises(
        DeviceMemoryError, match=r"the GPU ran out of memory \(Out of memory allocating.*roi="
    ):
        tripoint.analyze(sample, device="cuda")
    monkeypatch.undo()
    assert pool.used_bytes() == before
    real, calls = pipeline.distance.transform, []

    def fails_on_the_gpu(phases, spacing):
        calls.append(type(phases).__module__)
        return real(phases, spacing) if isinstance(phases, np.ndarray) else cp.empty(1 << 50, np.uint8)

    monkeypatch.setattr(pipeline.distance, "transform", fails_on_the_gpu)
    result = tripoint.analyze(sample, device="auto", subvolumes=2)
    assert result.device == "cpu"
    assert len(calls) == 2
    assert "device: cpu (the GPU ran out of memory" in caplog.text
    assert_identical_tables(result, on_host("lithium_ion_cathode"))
    assert pool.used_bytes() == before


def test_transfers_take_turns(gpu, monkeypatch):
    """Moving a sample of several buffers there and back gives the sample."""
    monkeypatch.setattr(transfer, "BUFFER", 1000)
    sample = composite("lithium_ion_cathode")
    np.testing.assert_array_equal(sample.to("cuda").to("cpu").phases, sample.phases)
