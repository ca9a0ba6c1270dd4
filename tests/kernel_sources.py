"""The project's kernels: which defines each file is built with, and what compilers make of them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

KERNELS = Path(__file__).resolve().parents[1] / "kernels"
ARCHITECTURES = ("sm_80", "sm_90")
OPTIONS = ("-std=c++17", f"-I{KERNELS}", "--fmad=false")

FOR_DATA = re.compile(r"^// build for the data:", re.MULTILINE)
ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(sm_\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")

# Per multiprocessor; CUDA C++ Programming Guide, table of technical specifications.
REGISTERS, MAX_WARPS, MAX_BLOCKS = 65536, 64, 32
SHARED_BYTES = {"sm_80": 164 * 1024, "sm_90": 228 * 1024}
RESERVED_SHARED = 1024  # of each block, by the system


@dataclass(frozen=True)
class Variant:
    """A kernel file and a set of defines that it is built with."""

    file: Path
    defines: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join([self.file.name, *self.defines])

    @property
    def code(self) -> str:
        return self.file.read_text(encoding="utf-8")


def variants() -> list[Variant]:
    """Return every file with each set of defines that its lines ``// build: -DNAME=VALUE ...`` tell."""
    return [
        Variant(file, tuple(defines.split()))
        for file in sorted(KERNELS.glob("*.cu"))
        for defines in re.findall(r"^// build:(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE) or [""]
    ]


def unlisted(built: Iterable[tuple[str, tuple[str, ...]]]) -> list[str]:
    """Return the sets of defines that kernels were built with and that no file lists.

    A file with a line ``// build for the data: ...`` lists only some of its sets: there are too many.
    """
    listed = {(variant.file.name, frozenset(variant.defines)) for variant in variants()}
    used = {
        (name, frozenset(o for o in options if o.startswith("-D") and not o.startswith("-DHEADERS=")))
        for name, options in built
        if (KERNELS / name).exists() and not FOR_DATA.search((KERNELS / name).read_text(encoding="utf-8"))
    }
    return [" ".join([name, *sorted(defines)]) for name, defines in sorted(used - listed)]


def resources(log: str) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each kernel that ``ptxas -v`` tells of, with its registers, shared memory, stack and spills."""
    parts = re.split(r"(?=Compiling entry function)", log)[1:]
    for part in parts:
        stack, stores, loads = STACK.search(part).groups()
        shared = SHARED.search(part)
        yield (
            ENTRY.search(part)[1],
            {
                "registers": int(USED.search(part)[1]),
                "shared_bytes": int(shared[1]) if shared else 0,
                "stack_bytes": int(stack),
                "spill_bytes": int(stores) + int(loads),
            },
        )


def occupancy(used: dict[str, int], threads: int, architecture: str) -> float:
    """Return the share of a multiprocessor's threads that fit at once."""
    warps = -(-threads // 32)
    registers_of_warp = -(-used["registers"] * 32 // 256) * 256
    by_registers = REGISTERS // registers_of_warp // 4 * 4 // warps
    by_shared = SHARED_BYTES[architecture] // (used["shared_bytes"] + RESERVED_SHARED)
    return min(by_registers, by_shared, MAX_BLOCKS, MAX_WARPS // warps) * warps / MAX_WARPS


@functools.cache
def nvcc_version() -> str | None:
    """Return the version of the machine's nvcc, or None."""
    if not shutil.which("nvcc"):
        return None
    said = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"release [\d.]+, V([\d.]+)", said)[1]


def compile_with_nvcc(variant: Variant, architecture: str) -> str:
    """Return what nvcc and ptxas say; raise with it where the file does not compile."""
    with tempfile.TemporaryDirectory() as folder:
        cubin = str(Path(folder, "kernel.cubin"))
        command = ["nvcc", "-cubin", f"-arch={architecture}", *OPTIONS, *variant.defines, "-Xptxas", "-v"]
        done = subprocess.run(
            [*command, "-o", cubin, str(variant.file)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stderr


@functools.cache
def nvrtc_version() -> str | None:
    """Return the version of NVRTC, or None where it or ``cuda.core`` is not installed."""
    with contextlib.suppress(ImportError, PackageNotFoundError):
        importlib.import_module("cuda.core")
        return version("nvidia-cuda-nvrtc")
    return None


def compile_with_nvrtc(variant: Variant, architecture: str) -> str:
    """Return what NVRTC and ptxas say, asked as CuPy asks them; it takes no GPU."""
    from cuda.core import Program, ProgramOptions

    defines = [tuple(define.removeprefix("-D").split("=")) for define in variant.defines]
    options = ProgramOptions(
        name=variant.file.name,
        std="c++17",
        arch=architecture,
        fma=False,
        ftz=True,
        device_as_default_execution_space=True,
        include_path=str(KERNELS),
        define_macro=defines or None,
        ptxas_options=["-v"],
    )
    log = io.StringIO()
    Program(variant.code, "c++", options).compile("cubin", logs=log)
    return log.getvalue()
