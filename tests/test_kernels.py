"""Every kernel compiles for the GPUs it is meant for, without spilling registers, and for the emulator.

NVRTC is what CuPy compiles with, and stricter than nvcc; where either is missing, its tests are skipped.
"""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import emulator
import tripoint
from emulator import Module
from kernel_sources import (
    ARCHITECTURES,
    OPTIONS,
    compile_with_nvcc,
    compile_with_nvrtc,
    nvcc_version,
    nvrtc_version,
    occupancy,
    resources,
    variants,
)
from tripoint import Sample
from tripoint.errors import DeviceError

RECORDED = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "kernel_resources.json"
RECORD_ANEW = "run 'python benchmarks/kernel_resources.py' and commit what it writes"
VARIANTS = variants()
needs_nvcc = pytest.mark.skipif(nvcc_version() is None, reason="there is no nvcc")
needs_nvrtc = pytest.mark.skipif(nvrtc_version() is None, reason="NVRTC or cuda.core is not installed")


@pytest.fixture(scope="module")
def recorded():
    return json.loads(RECORDED.read_text())


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_emulator_builds(variant):
    kernels = Module(variant.code, (*OPTIONS, *variant.defines), variant.file.name).kernels
    without = [kernel.name for kernel in kernels.values() if not kernel.bounds]
    assert not without, f"__launch_bounds__ is missing: {without}"


@needs_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_nvrtc_spills_no_register(variant, architecture, recorded):
    found = dict(resources(compile_with_nvrtc(variant, architecture)))
    assert found
    assert {name: used["spill_bytes"] for name, used in found.items()} == dict.fromkeys(found, 0)
    if nvrtc_version() == recorded["nvrtc"]:
        kernels = recorded["kernels"].get(str(variant), {})
        told = {name: kernels.get(name, {}).get(architecture, {}) for name in found}
        told = {
            name: {key: value for key, value in kept.items() if key != "occupancy"}
            for name, kept in told.items()
        }
        assert told == found, RECORD_ANEW


@needs_nvcc
@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_nvcc_spills_no_register(variant, architecture):
    found = dict(resources(compile_with_nvcc(variant, architecture)))
    assert found
    assert {name: used["spill_bytes"] for name, used in found.items()} == dict.fromkeys(found, 0)


def test_recorded_kernels_are_those_there_are(recorded):
    there = {
        str(variant): sorted(Module(variant.code, (*OPTIONS, *variant.defines), variant.file.name).kernels)
        for variant in VARIANTS
    }
    assert {variant: sorted(kernels) for variant, kernels in recorded["kernels"].items()} == there, (
        RECORD_ANEW
    )


@pytest.mark.slow
@pytest.mark.parametrize("order", ["forward", "reverse"])
def test_no_kernel_of_an_analysis_races(gpu, order):
    """Watch the memory of every kernel that an analysis of four phases launches."""
    if not gpu.emulated:
        pytest.skip("compute-sanitizer looks for races on a GPU")
    random = np.random.default_rng(3)
    fields = [ndimage.gaussian_filter(random.standard_normal((18, 20, 34)), 2.0) for _ in range(4)]
    phases = np.argmax(fields, axis=0).astype(np.uint8)
    with emulator.order(order), emulator.races():
        result = tripoint.analyze(Sample(phases, (0.4, 0.4, 0.4), "solid_state_cathode"), device="cuda")
    assert len(result.graph.nodes) > 20


def test_loader_compiles_once_and_again_when_a_header_changes(cp, tmp_path, monkeypatch):
    from tripoint._cuda import compiled

    monkeypatch.setattr(compiled, "KERNELS", tmp_path)
    (tmp_path / "value.cuh").write_text("#define VALUE 1\n")
    (tmp_path / "write.cu").write_text(
        '#include "value.cuh"\nextern "C" __global__ void f(int* x) { x[0] = VALUE + MORE; }\n'
    )
    x = cp.zeros(1, cp.int32)
    first = compiled.kernel("write", "f", MORE=10)
    first((1,), (1,), (x,))
    assert int(x[0]) == 11
    assert compiled.kernel("write", "f", MORE=10) is first
    compiled.kernel("write", "f", MORE=20)((1,), (1,), (x,))
    assert int(x[0]) == 21
    (tmp_path / "value.cuh").write_text("#define VALUE 2\n")
    compiled.kernel("write", "f", MORE=30)((1,), (1,), (x,))
    assert int(x[0]) == 32


def test_loader_says_which_kernel_does_not_compile(cp, tmp_path, monkeypatch):
    from tripoint._cuda import compiled

    monkeypatch.setattr(compiled, "KERNELS", tmp_path)
    (tmp_path / "broken.cu").write_text('extern "C" __global__ void f(int* x) { x[0] = UNKNOWN; }\n')
    with pytest.raises(DeviceError, match=r"(?s)kernels/broken.cu .*'N': 3.*UNKNOWN"):
        compiled.kernel("broken", "f", N=3)


def test_occupancy_of_known_cases():
    """Against NVIDIA's occupancy calculator."""
    assert occupancy({"registers": 32, "shared_bytes": 0}, 256, "sm_90") == 1.0
    assert occupancy({"registers": 40, "shared_bytes": 0}, 256, "sm_80") == 0.75
    assert occupancy({"registers": 64, "shared_bytes": 0}, 256, "sm_80") == 0.5
    assert occupancy({"registers": 32, "shared_bytes": 48 * 1024}, 256, "sm_80") == 0.375
    assert occupancy({"registers": 32, "shared_bytes": 48 * 1024}, 256, "sm_90") == 0.5
    assert occupancy({"registers": 16, "shared_bytes": 0}, 32, "sm_90") == 0.5


def test_the_page_on_performance_shows_what_is_recorded(recorded):
    script = runpy.run_path(str(RECORDED.parents[1] / "kernel_resources.py"))
    shown = script["PAGE"].read_text().partition(script["BEGIN"] + "\n")[2].partition(script["END"])[0]
    assert shown == script["table"](recorded["kernels"]), "run python benchmarks/kernel_resources.py"
