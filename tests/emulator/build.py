"""Builds a CUDA source as a shared library for the processor, once for each content, compiler and set of options."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HEADER = Path(__file__).with_name("cuda.h")
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-w", "-ffp-contract=off", "-fno-strict-aliasing")
KERNEL = re.compile(
    r"__global__\s+void\s+(?:__launch_bounds__\s*\(\s*(?P<before>[^()]*)\)\s*)?(?P<name>\w+)\s*\((?P<parameters>[^)]*)\)"
)


class CompileError(RuntimeError):
    """A kernel's source does not compile."""


def build(code: str, options: tuple[str, ...], name: str) -> Path:
    """Return the shared library of a CUDA source, built now or by an earlier run.

    Parameters
    ----------
    code : str
        The source.
    options : tuple of str
        As NVRTC takes them; of these, ``-D`` and ``-I`` count here.
    name : str
        What the compiler calls the source in its messages.
    """
    options = tuple(option for option in options if option.startswith(("-D", "-I")))
    key = hashlib.sha256()
    for part in (code, name, *(option for option in options if option.startswith("-D")), *compiler(), *FLAGS):
        key.update(part.encode() + b"\0")
    for header in (HEADER, Path(__file__), *_headers(options)):
        key.update(header.read_bytes())
    library = _folder() / f"{Path(name).stem}-{key.hexdigest()[:24]}.so"
    if not library.exists():
        _compile(code, options, name, library)
    return library


@functools.cache
def compiler() -> tuple[str, ...]:
    """Return the command of a C++ compiler of this machine, or of the ``ziglang`` package."""
    for command in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if command and shutil.which(command.split()[0]):
            return tuple(command.split())
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "c++")
    message = "kernels are emulated with a C++ compiler: install g++ or clang++, or 'pip install ziglang'"
    raise CompileError(message)


def _headers(options: tuple[str, ...]) -> list[Path]:
    folders = [Path(option[2:]) for option in options if option.startswith("-I")]
    return [header for folder in folders for header in sorted([*folder.glob("*.cuh"), *folder.glob("*.h")])]


def _compile(code: str, options: tuple[str, ...], name: str, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        source = Path(folder, "kernel.cpp")
        source.write_text(_translation_unit(code, options, name, folder))
        built = Path(folder, "kernel.so")
        command = [*compiler(), *FLAGS, *options, "-o", str(built), str(source)]
        _run(command, name)
        built.replace(library)


def _translation_unit(code: str, options: tuple[str, ...], name: str, folder: str) -> str:
    """Return the kernels, inside a namespace of their own, and a table through which they are launched."""
    plain = Path(folder, "plain.cpp")
    plain.write_text(code)
    expanded = _run([*compiler(), "-E", "-P", "-std=c++17", "-x", "c++", *options, str(plain)], name)
    kernels = [
        (found["name"], (found["before"] or "").split(",")[0].strip()) for found in KERNEL.finditer(expanded)
    ]
    if not kernels:
        message = f'{name} has no kernel: extern "C" __global__ void name(...)'
        raise CompileError(message)
    body = re.sub(r'extern(\s+)"C"(\s+)(?=__global__|__launch_bounds__)', r"\1\2", code)
    cases = "\n".join(
        f'    if (!strcmp(name, "{kernel}")) return emulator::Signature<decltype(&{kernel})>::enter<&{kernel}>;'
        for kernel, _ in kernels
    )
    lines = "\n".join(
        f'    length += snprintf(text + length, size - length, "{kernel}|%d|", {bounds or 1024});\n'
        f"    length += emulator::Signature<decltype(&{kernel})>::describe(text + length, size - length);\n"
        f'    length += snprintf(text + length, size - length, "\\n");'
        for kernel, bounds in kernels
    )
    return f"""#include "{HEADER}"
namespace {{
#line 1 "{name}"
{body}
}}
#line 1 "launch.cpp"
static void (*find(const char* name))(void**) {{
{cases}
    return nullptr;
}}
extern "C" int emulator_launch(const char* name, const unsigned* grid, const unsigned* block, void** values, int reverse,
                               char* error, size_t error_size) {{
    return emulator::launch(find(name), grid, block, values, reverse, error, error_size);
}}
extern "C" int emulator_describe(char* text, size_t size) {{
    int length = 0;
{lines}
    return length;
}}
"""


def _run(command: list[str], name: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{name} does not compile:\n{done.stderr or done.stdout}"
        raise CompileError(message)
    return done.stdout


@functools.cache
def _folder() -> Path:
    """Return where libraries are kept: the user's cache folder, or a temporary one where that is not writable."""
    user = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    folder = Path(user, "tripoint-emulator")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.mkdtemp(prefix="tripoint-emulator-"))
