"""All that is to be done while a GPU is at hand: its tests, its sanitizer, its benchmarks, into one folder.

    python benchmarks/gpu_check.py FOLDER [--steps imports,tests,sanitizer,benchmarks] [--sizes 256,1024,2048]

Needs what tripoint[cuda] installs, pytest and hypothesis, no network.  tripoint itself is taken from this
checkout, installed or not.  Writes gpu_check.json (what it ran on, how it went) after every step, gpu.json
(the benchmarks), and the whole output of each step beside them; exits with 1 where a step failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("memcheck", "racecheck", "synccheck")
STEPS = ("imports", "tests", "sanitizer", "benchmarks")
HINT = "run it where there is one; GPU_PYTHON=python3 names the Python that has CuPy, pytest and hypothesis"
NEEDED = (
    "numpy", "scipy", "pandas", "pyarrow", "zarr", "hydra", "array_api_compat", "psutil", "jinja2", "plotly",
    "numba", "cc3d", "edt", "pytest", "hypothesis", "cupy", "cucim.skimage.measure", "pylibcugraph", "cudf",
    "tripoint.pipeline",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--sizes", default="256,512,1024,2048", help="of the benchmarks")
    parser.add_argument("--commit", default=commit(), help="where the checkout does not know")
    parser.add_argument("--limit", type=int, default=540, help="seconds after which a command is stopped")
    parser.add_argument("--select", default="cuda and not stood_in", help="which tests, as pytest's -k")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if not driver()["gpu"]:
        print(f"there is no NVIDIA GPU here (nvidia-smi names none); {HINT}", file=sys.stderr)
        return 1
    report: dict[str, Any] = {"commit": options.commit, "date": time.strftime("%Y-%m-%d"), **driver()}
    with tempfile.TemporaryDirectory() as place:
        environment = with_tripoint(Path(place))
        for step in options.steps.split(","):
            start = time.perf_counter()
            if step == "imports":
                report[step] = imports(environment)
            elif step == "tests":
                report[step] = tests(options, environment)
            elif step == "sanitizer":
                report[step] = sanitizer(options, environment)
            else:
                report[step] = benchmarks(options, environment, report)
            report[step]["seconds"] = round(time.perf_counter() - start, 1)
            (options.folder / "gpu_check.json").write_text(json.dumps(report, indent=2) + "\n")
            print(step, json.dumps(report[step]), flush=True)
    return 1 if any(report[step]["passed"] is False for step in options.steps.split(",")) else 0


def with_tripoint(place: Path) -> dict[str, str]:
    """Return an environment in which this checkout is importable, kernels and settings included."""
    done = subprocess.run([sys.executable, "-c", "import tripoint.kernels, tripoint.conf"],
                          capture_output=True, check=False)  # fmt: skip
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if done.returncode:  # laid out as an installation, for which such a machine may lack what it takes
        for source, target in {"src/tripoint": "", "kernels": "kernels", "conf": "conf"}.items():
            shutil.copytree(ROOT / source, place / "tripoint" / target, dirs_exist_ok=True)
        environment["PYTHONPATH"] = os.pathsep.join([str(place), environment.get("PYTHONPATH", "")])
    return environment


def imports(environment: dict[str, str]) -> dict[str, Any]:
    """Try every import in a process of its own, so that one that fails or hangs is named and not the end."""
    found: dict[str, str] = {}
    for module in NEEDED:
        try:
            done = subprocess.run([sys.executable, "-c", f"import {module}"], env=environment,
                                  capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
            lines = done.stderr.strip().splitlines()
            found[module] = "" if done.returncode == 0 else lines[-1] if lines else f"exit {done.returncode}"
        except subprocess.TimeoutExpired:
            found[module] = "did not return within a minute"
    return {"passed": not any(found.values()), "failed": {name: why for name, why in found.items() if why}}


def tests(options: argparse.Namespace, environment: dict[str, str]) -> dict[str, Any]:
    """Run the tests that run on a GPU."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--continue-on-collection-errors",
        "-k",
        options.select,
        "-q",
        "tests",
    ]
    text, _ = logged(command, options.folder / "tests.txt", environment, options.limit)
    counts = {
        word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)", text)
    }
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+::\S+)", text, re.MULTILINE)
    # Files of tests that ask for what the machine lacks, such as a reader of some format, do not count.
    lacking = re.findall(r"^ERROR ([^\s:]+\.py)", text, re.MULTILINE)
    passed = counts.get("passed", 0) > 0 and not failed
    return {"passed": passed, "counts": counts, "failed": failed[:50], "not_importable": lacking}


def sanitizer(options: argparse.Namespace, environment: dict[str, str]) -> dict[str, Any]:
    """Run the kernels' small cases under compute-sanitizer, where there is one."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        return {"passed": None, "skipped": "there is no compute-sanitizer on the PATH"}
    found: dict[str, Any] = {"passed": True}
    for tool in TOOLS:
        command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable,
                   str(ROOT / "benchmarks" / "sanitizer_cases.py")]  # fmt: skip
        text, code = logged(command, options.folder / f"{tool}.txt", environment, options.limit)
        summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: .*", text)
        found[tool] = {"exit": code, "summary": summary[-1] if summary else ""}
        found["passed"] &= code == 0
    return found


def benchmarks(
    options: argparse.Namespace, environment: dict[str, str], report: dict[str, Any]
) -> dict[str, Any]:
    """Measure; the figures are in gpu.json, with what they were measured on."""
    command = [sys.executable, str(ROOT / "benchmarks" / "bench_gpu.py"), "--output", str(options.folder),
               "--sizes", options.sizes]  # fmt: skip
    _, code = logged(command, options.folder / "benchmarks.txt", environment, options.limit)
    figures = options.folder / "gpu.json"
    if figures.is_file():
        measured = json.loads(figures.read_text())
        measured["machine"] |= {key: report[key] for key in ("commit", "date", "driver")}
        figures.write_text(json.dumps(measured, indent=2) + "\n")
    return {"passed": code == 0}


def logged(command: list[str], log: Path, environment: dict[str, str], limit: int) -> tuple[str, int]:
    """Run a command for so many seconds at most, keep its output, and return it with the exit code."""
    with log.open("w") as out:
        try:
            code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, env=environment,
                                  timeout=limit, check=False).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = 124
            out.write(f"\nstopped after {limit} s\n")
    return log.read_text(errors="replace"), code


def commit() -> str:
    """Return the commit of the checkout, marked where files differ from it; empty without git."""
    done = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"],
                          cwd=ROOT, capture_output=True, text=True, check=False)  # fmt: skip
    return done.stdout.strip()


def driver() -> dict[str, str]:
    """Return the name of the GPU and the version of its driver, as nvidia-smi tells them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {"gpu": "", "driver": ""}
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    first = (done.stdout.splitlines() or [""])[0]
    name, _, version = first.partition(", ")
    return {"gpu": name, "driver": version}


if __name__ == "__main__":
    sys.exit(main())
