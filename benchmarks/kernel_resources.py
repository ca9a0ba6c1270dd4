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
from typing import Any

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

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- kernel resources -->", "<!-- /kernel resources -->"


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
    page = PAGE.read_text()
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table(kernels)}{END}{after}")


def table(kernels: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Return what docs/performance.md shows, a row for each kernel and set of defines."""
    rows = ["| kernel | defines | threads | registers, sm_80 / sm_90 | shared, bytes | spills | occupancy |"]
    rows.append("| --- | --- | --- | --- | --- | --- | --- |")
    for variant, by_kernel in kernels.items():
        file, *defines = variant.split()
        shown = " ".join(define.removeprefix("-D") for define in defines)
        for name, used in by_kernel.items():
            old, new = used["sm_80"], used["sm_90"]
            cells = [
                f"`{file.removesuffix('.cu')}` {name}",
                f"`{shown}`" if shown else "",
                str(used["threads"]),
                f"{old['registers']} / {new['registers']}",
                str(new["shared_bytes"]),
                str(max(old["spill_bytes"], new["spill_bytes"])),
                f"{old['occupancy']:.0%} / {new['occupancy']:.0%}",
            ]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


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
