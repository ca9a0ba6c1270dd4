"""The GPU: is there one, does the volume fit, how voxels get there and back."""

import logging
import math
import sys
import time

import cupy as cp
import numpy as np
import pytest
import tifffile
import zarr

import tripoint
from backends import has_gpu
from tripoint import DeviceError, MaterialsError, Sample, sample
from tripoint._cuda import device, memory, transfer
from tripoint.errors import DeviceMemoryError
from tripoint.record import RunRecord

THREE = {"phases": {"pore": 0, "active": 128, "binder": 255}}
GIB = 2**30


@pytest.fixture(autouse=True)
def _zarr_finds_it(monkeypatch):
    """Zarr is a plugin of pytest, and looks for CuPy before there is what stands in for it."""
    monkeypatch.setattr(zarr.core.buffer.gpu, "cp", cp)


def phases(shape=(13, 7, 9), seed=0):
    return np.random.default_rng(seed).choice(np.array([0, 128, 255], np.uint8), shape)


# ---------------------------------------------------------------------------------- is there one?


def test_what_is_not_installed_is_named(monkeypatch):
    real = device.find_spec
    monkeypatch.setattr(device, "find_spec", lambda name: None if name in ("cucim", "cudf") else real(name))
    assert device.missing() == "cuCIM and cuDF are not installed"
    with pytest.raises(
        DeviceError, match=r"cuCIM and cuDF .*tripoint\[cuda\] for CUDA 13.*tripoint\[cuda12\]"
    ):
        Sample(phases(), 1, THREE).to("cuda")


@pytest.mark.skipif(has_gpu(), reason="there is a GPU")
def test_without_a_device_auto_is_the_host_and_says_so(caplog):
    with caplog.at_level(logging.INFO, "tripoint"):
        assert Sample(phases(), 1, THREE).to("auto").device == "cpu"
    assert [record.getMessage() for record in caplog.records] == [f"device: cpu (no GPU: {device.missing()})"]
    with pytest.raises(DeviceError, match=r"there is no GPU to run on \(.*driver 580 or newer.*device=cpu"):
        Sample(phases(), 1, THREE).to("cuda")


class _OldDriver:
    """The CUDA runtime under a driver that is too old."""

    supported = 12040

    def getDeviceCount(self):
        message = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
        raise RuntimeError(message)

    def driverGetVersion(self):
        return self.supported

    def runtimeGetVersion(self):
        return 13020


def test_a_driver_that_is_too_old_or_missing_is_told_apart(monkeypatch):
    monkeypatch.setattr(device, "_runtime", _OldDriver)
    assert device.missing() == "the NVIDIA driver knows CUDA up to 12.4 and CuPy needs 13.2"
    monkeypatch.setattr(_OldDriver, "supported", 0)
    assert device.missing() == "there is no NVIDIA driver"


def test_a_library_that_does_not_import_is_named(gpu, monkeypatch):
    real = device.importlib.import_module

    def without_cudf(name):
        if name == "tripoint._cuda.dataframes":
            message = "libcudf.so: cannot open shared object file\nmore"
            raise ImportError(message)
        return real(name)

    monkeypatch.setattr(device.importlib, "import_module", without_cudf)
    assert device.missing() == "cuDF cannot be imported: libcudf.so: cannot open shared object file"


def test_the_device_in_words(gpu, monkeypatch, tmp_path, caplog):
    version = tmp_path / "version"
    version.write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025\n"
    )
    monkeypatch.setattr(device, "_DRIVER", version)
    found = cp.cuda.runtime.getDeviceProperties(0)
    name, size = found["name"].decode(), found["totalGlobalMem"]
    cuda = cp.cuda.runtime.runtimeGetVersion()
    words = f"{name} ({size / GIB:.0f} GiB), CUDA {cuda // 1000}.{cuda % 1000 // 10}, driver 580.95.05"
    assert device.describe() == words
    with caplog.at_level(logging.INFO, "tripoint"):
        assert sample.choose_device("auto") == "cuda"
    assert caplog.messages == [f"device: {words}"]
    monkeypatch.setattr(device, "_DRIVER", tmp_path / "none")
    assert device.describe() == words.removesuffix(", driver 580.95.05")


# ------------------------------------------------------------------------------- there and back


def test_a_sample_goes_and_comes_back_and_is_checked_once(gpu, monkeypatch):
    grey = np.random.default_rng(1).random((13, 7, 9), dtype=np.float32)
    here = Sample(np.asfortranarray(phases()), (1, 2, 3), THREE, {"grey": grey}, "cells")
    monkeypatch.setattr(sample, "as_phases", lambda *_: pytest.fail("labels were looked at again"))
    there = here.to("cuda")
    assert there.device == "cuda"
    assert (there.spacing, there.materials, there.name) == (here.spacing, here.materials, "cells")
    assert there.to("cuda") is there.to("auto") is there
    back = there.to("cpu")
    np.testing.assert_array_equal(back.phases, here.phases)
    np.testing.assert_array_equal(back.channels["grey"], grey)
    assert back.channels["grey"].dtype == np.float32
    assert not back.phases.flags.writeable
    assert "cuda" in repr(there)
    without = here.to("cuda", channels=False)
    assert without.channels["grey"] is grey
    assert without.to("cuda").channels["grey"].get().sum() == grey.sum()
    assert without.to("cpu").channels["grey"] is grey


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16])
def test_labels_of_a_volume_on_the_gpu_are_checked_there(gpu, dtype):
    volume = cp.asarray(phases().astype(dtype))
    made = Sample(volume, 1, THREE)
    assert made.device == "cuda"
    assert made.phases.dtype == np.uint8
    volume[3, 2, 1] = 7
    with pytest.raises(MaterialsError, match="of which 7 are not in the materials"):
        Sample(volume, 1, THREE)


@pytest.mark.parametrize("buffer", [1, 200, 1 << 26])
@pytest.mark.parametrize("view", [np.s_[:], np.s_[::3, 1::2, 2:], np.s_[5], np.s_[:0]])
def test_parts_of_any_size_arrive_whole(gpu, monkeypatch, buffer, view):
    monkeypatch.setattr(transfer, "BUFFER", buffer)
    volume = np.random.default_rng(2).integers(0, 1 << 30, (13, 7, 9), np.int32)
    np.testing.assert_array_equal(transfer.to_device(volume[view]).get(), volume[view])
    np.testing.assert_array_equal(transfer.to_host(cp.asarray(volume)[view]), volume[view])
    out = cp.zeros((20, 7, 9), np.int32)
    transfer.to_device(volume, out=out[4:17])
    np.testing.assert_array_equal(out.get()[4:17], volume)
    assert not out.get()[17:].any()


# -------------------------------------------------------------------------------------- reading


def _stored(path, kind):
    """Write the volume and return how to read it, and whether it can go to the GPU directly."""
    volume = phases((40, 21, 17))
    if kind == "TIFF":
        tifffile.imwrite(path / "a.tif", volume)
        return volume, path / "a.tif", False
    compressors = {"plain": None, "packed": "auto"}[kind]
    zarr.create_array(
        str(path / "a.zarr"), data=volume.astype(np.int16), chunks=(16, 8, 9), compressors=compressors
    )
    return volume, path / "a.zarr", kind == "plain"


@pytest.mark.parametrize("kind", ["TIFF", "plain", "packed"])
def test_a_file_is_read_onto_the_gpu(gpu, tmp_path, kind, monkeypatch):
    volume, path, direct = _stored(tmp_path, kind)
    sent = []
    real = transfer.to_device
    monkeypatch.setattr(
        transfer, "to_device", lambda array, out=None: sent.append(array.nbytes) or real(array, out)
    )
    roi = [[3, 38], None, [1, 17]]
    read = tripoint.read(path, spacing=1, materials=THREE, roi=roi, device="cuda")
    assert read.device == "cuda"
    assert (not sent) == direct
    np.testing.assert_array_equal(read.to("cpu").phases, volume[3:38, :, 1:17])


def test_labels_that_are_too_large_are_told_from_either_side(gpu, tmp_path):
    values = np.full((4, 4, 4), 300, np.int16)
    zarr.create_array(str(tmp_path / "a.zarr"), data=values, compressors=None)
    for place in ("cpu", "cuda"):
        with pytest.raises(MaterialsError, match="holds 1 labels from 300 to 300, of which 300 are not"):
            tripoint.read(tmp_path / "a.zarr", spacing=1, materials=THREE, device=place)


def test_reading_with_auto_stays_on_the_host_where_an_analysis_would_not_fit(
    gpu, tmp_path, monkeypatch, caplog
):
    volume, path, _ = _stored(tmp_path, "plain")
    monkeypatch.setattr(memory, "largest", lambda *_, **__: ("distance", 10**15))
    with caplog.at_level(logging.WARNING, "tripoint"):
        read = tripoint.read(path, spacing=1, materials=THREE, device="auto")
    assert read.device == "cpu"
    assert "device: cpu (an analysis of 40 × 21 × 17 voxels takes" in caplog.text
    np.testing.assert_array_equal(read.phases, volume)


# --------------------------------------------------------------------------------------- memory


def test_a_thousand_cubed_takes_16_bytes_per_voxel_and_two_thousand_cubed_fit():
    _, needed = memory.largest((1024,) * 3)
    assert needed <= 16 * 1024**3
    _, needed = memory.largest((2048,) * 3)
    assert needed <= 0.9 * 139 * GIB


def test_transport_on_the_voxels_takes_a_hundred_bytes_more():
    step, needed = memory.largest((1024,) * 3, flow=100)
    assert step == "transport"
    assert needed <= 0.9 * 139 * GIB
    assert needed > 100 * 1024**3 > memory.largest((1024,) * 3)[1]


def test_a_volume_that_does_not_fit_is_refused_before_it_is_moved(gpu):
    free, _ = cp.cuda.runtime.memGetInfo()
    side = math.ceil((free / 8) ** (1 / 3))
    with pytest.raises(DeviceMemoryError) as refused, memory.budget((side,) * 3):
        pytest.fail("it was begun")
    text = str(refused.value)
    assert text.startswith(f"an analysis of {side} × {side} × {side} voxels takes ")
    assert "(90% of what is free)" in text
    for way in ("roi=", "device=cpu", "percolation.scan", "boundary.count_contacts", "particles.measure"):
        assert way in text


def test_the_gauge_keeps_the_most_that_was_in_use(gpu):
    pool = cp.get_default_memory_pool()
    before, limit = pool.used_bytes(), pool.get_limit()
    with memory.budget((10, 10, 10)) as gauge:
        one = cp.zeros(1 << 20, np.uint8)
        two = cp.zeros(1 << 20, np.uint8)
        del one
        three = cp.zeros(1 << 19, np.uint8)
        assert pool.get_limit() > 0
    assert gauge.peak_bytes == before + (2 << 20)
    assert gauge.device == device.name()
    assert pool.get_limit() == limit
    del two, three


def test_cudf_leaves_cupy_its_pool(gpu, monkeypatch):
    pool = cp.get_default_memory_pool()
    cp.cuda.set_allocator(pool.malloc)
    if gpu.emulated:  # the library itself is not imported twice
        for module in ("cudf", "tripoint._cuda.dataframes"):
            monkeypatch.delitem(sys.modules, module, raising=False)
    device.check()
    assert cp.cuda.get_allocator() == pool.malloc


def test_a_budget_holds_where_the_program_allocates_by_other_means(gpu):
    def other(nbytes):
        return cp.get_default_memory_pool().malloc(nbytes)

    pool = cp.get_default_memory_pool()
    before = pool.used_bytes()
    cp.cuda.set_allocator(other)
    try:
        with memory.budget((10, 10, 10)) as gauge:
            assert cp.cuda.get_allocator() == pool.malloc
            cp.zeros(1 << 20, np.uint8)
        assert cp.cuda.get_allocator() == other
    finally:
        cp.cuda.set_allocator(pool.malloc)
    assert gauge.peak_bytes == before + (1 << 20)


def test_the_share_of_the_memory_reaches_the_plan(gpu, monkeypatch):
    seen = {}

    def plan(shape, **given):
        seen.update(given, shape=shape)
        message = "enough"
        raise DeviceMemoryError(message)

    monkeypatch.setattr(memory, "plan", plan)
    sample = Sample(phases(), 1, THREE)
    for given, resident in ((sample, 0), (sample.to("cuda"), sample.phases.size)):
        with pytest.raises(DeviceMemoryError, match="enough"):
            tripoint.analyze(given, device="cuda", device_memory=0.25)
        assert seen == {"shape": sample.shape, "resident": resident, "share": 0.25, "flow": 0.0}


def test_a_sample_that_is_too_large_to_move_says_so(gpu, monkeypatch):
    pool = cp.get_default_memory_pool()
    limit = pool.get_limit()
    here = Sample(phases(), 1, THREE)
    pool.free_all_blocks()
    pool.set_limit(size=pool.total_bytes() + 512)
    with pytest.raises(DeviceMemoryError, match=r"the GPU ran out of memory .*roi="):
        here.to("cuda")
    pool.set_limit(size=limit)
    assert here.to("cuda").device == "cuda"


def test_running_out_of_memory_is_told_in_the_same_way(gpu):
    share = 0.001
    limit = cp.get_default_memory_pool().get_limit()
    with (
        pytest.raises(DeviceMemoryError, match=r"ran out of memory .*expected.*allowed.*roi="),
        memory.budget((4, 4, 4), share=share),
    ):
        cp.empty(int(0.002 * cp.cuda.runtime.memGetInfo()[0]), np.uint8)
    assert cp.get_default_memory_pool().get_limit() == limit
    with pytest.raises(DeviceMemoryError), memory.told_in_our_words():
        raise MemoryError("std::bad_alloc: out_of_memory: CUDA error at: cuda_memory_resource")
    with pytest.raises(MemoryError, match="host"), memory.told_in_our_words():
        raise MemoryError("Unable to allocate on the host")


def test_a_step_is_over_when_the_gpu_is_done_with_it():
    class Busy:
        device, peak_bytes = "a GPU", 5

        def synchronize(self):
            time.sleep(0.05)

        def give_back(self):
            pass

    record = RunRecord(1, gauge=Busy())
    with record.step("distance"):
        pass
    assert record.seconds["distance"] >= 0.05
    assert (record.device_name, record.device_peak_bytes) == ("a GPU", 5)
    assert RunRecord(1).device_name is RunRecord(1).device_peak_bytes is None
