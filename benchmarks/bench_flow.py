"""Whole analyses with transport and local activity, saved and with their report, of real volumes.

    python benchmarks/bench_flow.py [--output benchmarks/results] [--only NAME]

Each volume in a process of its own: seconds per step, peak bytes per voxel, balance of the currents, size of
the report, the load of the machine, and how the network of regions compares with the voxels: the ratio of
their effective conductivities along the axis of each carrier's terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import tripoint
from bench_analysis import cases
from measuring import argument_parser, machine, write
from tripoint import Sample

NAMES = ("synthetic_192", "nmc_cathode", "soc_electrode")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--only", choices=NAMES, help="one volume")
    parser.add_argument("--case", choices=NAMES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        sample = next(sample for name, sample in cases() if name == arguments.case)
        print(json.dumps(measure(sample)))
        return
    path = arguments.output / "flow_cpu.json"
    results = json.loads(path.read_text()) if arguments.only and path.is_file() else {}
    results["machine"] = machine()
    for name in [arguments.only] if arguments.only else NAMES:
        command = [sys.executable, __file__, "--case", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, json.dumps(results[name]), flush=True)
    write(results, arguments.output, path.name)


def measure(sample: Sample) -> dict:
    asked = {"transport": True, "activity": "simulate", "device": "cpu"}
    tripoint.analyze(
        Sample(sample.phases[:32, :64, :64], sample.spacing, sample.materials), **asked
    )  # compile
    result = tripoint.analyze(sample, **asked)
    with tempfile.TemporaryDirectory() as folder:
        saved = result.save(Path(folder) / "result")
        report = (saved / "report.html").stat().st_size
    summary = result.summary
    return {
        "shape": sample.shape,
        "seconds": round(sum(summary["run"]["seconds"].values()), 1),
        "steps": summary["run"]["seconds"],
        "bytes_per_voxel": summary["run"]["bytes_per_voxel"],
        "report_bytes": report,
        "activity": {
            key: summary["activity"][key]
            for key in ("particles", "dead_fraction", "cv", "by_reason", "current_balance", "iterations")
        },
        "tortuosity": summary["transport"]["tortuosity"],
        "network_over_voxels": dict(ratios(summary, sample)),
        "load": round(os.getloadavg()[0], 1),
    }


def ratios(summary: dict, sample: Sample):  # type: ignore[no-untyped-def]
    """Yield each carrier's tortuosity factor on the voxels over that of its network of regions."""
    voxels = summary["transport"]["tortuosity"]
    for carrier, network in summary["transport"]["network"].items():
        members = [phase.name for phase in sample.materials.phases if carrier in phase.conducts]
        factor = voxels[carrier if carrier in voxels else members[0]][network["faces"][0][0]]
        if network["spans"] and factor is not None:
            yield carrier, round(factor / network["tortuosity_factor"], 3)


if __name__ == "__main__":
    main()
