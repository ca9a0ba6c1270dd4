"""What each kernel takes of a GPU: registers, shared memory, spills, and how many threads fit at once.

python benchmarks/kernel_resources.py [--output FOLDER]

It takes NVRTC (of the ``dev`` extra) but no GPU, and writes kernel_resources.json: by file and defines, by
kernel, by architecture.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from emulator import Module
from kernel_sources import (
    ARCHITECTURES,
    OPTIONS,
    Variant,
    compile_with_nvrtc,
    nvrtc_version,
    occupancy,
    resources,
    variants,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    if nvrtc_version() is None:
        sys.exit("NVRTC is not installed: pip install tripoint[dev]")
    kernels = {str(variant): measure(variant) for variant in variants()}
    for variant, by_kernel in kernels.items():
        for name, used in by_kernel.items():
            print(f"{variant} {name}: {used}")
    options.output.mkdir(parents=True, exist_ok=True)
    result = {"nvrtc": nvrtc_version(), "kernels": kernels}
    (options.output / "kernel_resources.json").write_text(json.dumps(result, indent=1) + "\n")


def measure(variant: Variant) -> dict[str, dict[str, object]]:
    """Return what each kernel of a file takes on each architecture."""
    emulated = Module(variant.code, (*OPTIONS, *variant.defines), variant.file.name).kernels
    threads = {name: kernel.bounds for name, kernel in emulated.items()}
    found: dict[str, dict[str, object]] = {name: {"threads": threads[name]} for name in sorted(threads)}
    for architecture in ARCHITECTURES:
        for name, used in resources(compile_with_nvrtc(variant, architecture)):
            share = round(occupancy(used, threads[name], architecture), 4)
            found[name][architecture] = {**used, "occupancy": share}
    return found


if __name__ == "__main__":
    main()
