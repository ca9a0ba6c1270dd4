"""What is run while a GPU is at hand is tried here before, on small volumes: no minute of one is lost."""

import json
import runpy
import sys
from pathlib import Path

import cupy as cp
import pytest

from tripoint._cuda import memory

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def test_benchmarks_measure_every_operation(gpu, tmp_path, monkeypatch):
    small = ["--sizes", "24,33", "--repeats", "1", "--block", "24"]
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", "--output", str(tmp_path), *small])
    runpy.run_path(str(BENCHMARKS / "bench_gpu.py"), run_name="__main__")
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["copy_gb_per_s"] > 0
    for size in ("24^3", "33^3"):
        assert {"distance", "separation", "contacts", "junction length", "analysis"} <= set(found[size])
        assert found[size]["analysis"]["graph"]["nodes"] > 0
    assert found["24^3"]["distance"]["cpu_ms"] > 0
    assert found["24^3"]["local activity"]["iterations"] > 0
    assert found["24^3"]["tortuosity"]["cpu_ms"] > 0


def test_cases_for_the_sanitizer_run(gpu, monkeypatch):
    cases = runpy.run_path(str(BENCHMARKS / "sanitizer_cases.py"))
    monkeypatch.setitem(cases["main"].__globals__, "SHAPES", ((3, 5, 7), (2, 2, 131)))
    monkeypatch.setattr(memory, "budget", memory.budget)  # so that it comes back
    allocator = cp.cuda.get_allocator()
    try:
        cases["main"]()
    finally:
        cp.cuda.set_allocator(allocator)


def test_the_check_finds_a_checkout_that_is_not_installed(tmp_path):
    check = runpy.run_path(str(BENCHMARKS / "gpu_check.py"))
    monkeypatch = pytest.MonkeyPatch()
    with monkeypatch.context() as patched:
        patched.setattr(check["subprocess"], "run", lambda *_, **__: type("Done", (), {"returncode": 1}))
        environment = check["with_tripoint"](tmp_path)
    assert environment["PYTHONPATH"].split(":")[0] == str(tmp_path)
    assert (tmp_path / "tripoint" / "kernels" / "boundary.cu").is_file()
    assert (tmp_path / "tripoint" / "conf" / "analyze.yaml").is_file()
