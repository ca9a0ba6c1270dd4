"""Builds a CUDA source as a shared library for the processor, once for each content and set of options."""

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
import time
from collections.abc import Callable
from pathlib import Path

HEADER = Path(__file__).with_name("cuda.h")
RUNTIME = Path(__file__).with_name("runtime.cpp")
FLAGS = (
    "-std=c++17",
    "-O2",
    "-g1",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-w",
    "-I",
    str(HEADER.parent),
)
# The calls that the sanitizers insert end in runtime.cpp; their own libraries are not linked.
UNDEFINED = "alignment,bounds,signed-integer-overflow,shift-exponent,integer-divide-by-zero"
WATCHED = ("-fsanitize=thread", f"-fsanitize={UNDEFINED}", "-fno-strict-aliasing")
# GCC and Clang spell alike all but this: volatile accesses are told from others.
VOLATILE = {
    "gcc": ("--param=tsan-distinguish-volatile=1",),
    "clang": ("-mllvm", "-tsan-distinguish-volatile=1"),
}

BOUNDS = r"(?:__launch_bounds__\s*\(\s*(?P<{}>[^()]*)\)\s*)?"
KERNEL = re.compile(rf"__global__\s+{BOUNDS.format('early')}void\s+{BOUNDS.format('late')}(?P<name>\w+)\s*\(")


KEPT_DAYS = 30  # since it was last used


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
    defines = tuple(option for option in options if option.startswith("-D"))
    folders = tuple(option for option in options if option.startswith("-I"))
    headers = [header.read_text() for folder in folders for header in sorted(Path(folder[2:]).glob("*.cuh"))]
    return _kept(
        f"{Path(name).stem}.so",
        (code, name, *defines, *headers),
        lambda built: _compile(code, (*defines, *folders), name, built),
    )


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


@functools.cache
def _volatile() -> tuple[str, ...]:
    version = _run([*compiler(), "--version"], "the compiler")
    return VOLATILE["clang" if "clang" in version else "gcc"]


def _compile(code: str, options: tuple[str, ...], name: str, built: Path) -> None:
    source = built.with_name("kernel.cpp")
    source.write_text(_translation_unit(code, options, name, built.parent))
    watched = built.with_name("kernel.o")
    _run([*compiler(), *FLAGS, *WATCHED, *_volatile(), *options, "-c", "-o", str(watched), str(source)], name)
    _run([*compiler(), "-shared", "-o", str(built), str(watched), str(_runtime())], name)


@functools.cache
def _runtime() -> Path:
    return _kept(
        "runtime.o",
        (),
        lambda built: _run([*compiler(), *FLAGS, "-c", "-o", str(built), str(RUNTIME)], RUNTIME.name),
    )


def _translation_unit(code: str, options: tuple[str, ...], name: str, folder: Path) -> str:
    """Return the kernels, in a namespace of their own, and what describes and launches them."""
    kernels = _kernels(code, options, name, folder)
    body = re.sub(r'extern(\s+)"C"(\s+)(?=__global__)', r"\1\2", code)
    find = "\n".join(
        f'    if (!strcmp(name, "{name}")) return emulator::Signature<decltype(&{name})>::enter<&{name}>;'
        for name in kernels
    )
    describe = "\n".join(
        f'    text += snprintf(text, end - text, "{kernel}|%d|", static_cast<int>({bounds}));\n'
        f"    text += emulator::Signature<decltype(&{kernel})>::describe(text, end - text);\n"
        f'    text += snprintf(text, end - text, "\\n");'
        for kernel, bounds in kernels.items()
    )
    return f"""#include "cuda.h"
namespace {{
#line 1 "{name}"
{body}
}}
#line 1 "launch.cpp"
#define EXPORTED extern "C" EMULATOR_OWN __attribute__((visibility("default")))
EMULATOR_OWN static void (*find(const char* name))(void**) {{
{find}
    return nullptr;
}}
EXPORTED int emulator_launch(const char* name, const emulator::Launch* launch) {{
    return emulator::launch(find(name), *launch);
}}
EXPORTED void emulator_describe(char* text, size_t size) {{
    char* end = text + size;
{describe}
}}
"""


def _kernels(code: str, options: tuple[str, ...], name: str, folder: Path) -> dict[str, str]:
    """Return the names of the kernels that the source has with these options, and their launch bounds."""
    plain = folder / "plain.cpp"
    plain.write_text(f'#line 1 "{name}"\n{code}')
    expanded = _run([*compiler(), "-E", "-P", "-std=c++17", *options, str(plain)], name)
    found = {
        kernel["name"]: (kernel["early"] or kernel["late"] or "0").split(",")[0].strip()
        for kernel in KERNEL.finditer(expanded)
    }
    if not found:
        message = f'{name} has no kernel: extern "C" __global__ void name(...)'
        raise CompileError(message)
    return found


def _run(command: list[str], name: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{name} does not compile:\n{done.stderr or done.stdout}"
        raise CompileError(message)
    return done.stdout


def _kept(name: str, parts: tuple[str, ...], make: Callable[[Path], None]) -> Path:
    """Return a file that is made once from what it depends on, whoever asks for it first."""
    key = hashlib.sha256()
    for part in (*parts, *compiler(), *(path.read_text() for path in (HEADER, RUNTIME, Path(__file__)))):
        key.update(part.encode() + b"\0")
    kept = _folder() / f"{key.hexdigest()[:24]}-{name}"
    if kept.exists():
        os.utime(kept)
    else:
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            built = Path(folder, kept.name)
            make(built)
            built.replace(kept)
    return kept


@functools.cache
def _folder() -> Path:
    """Return where it is kept: in the user's cache folder, or a temporary one if that is not writable."""
    user = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    folder = Path(user, "tripoint-emulator")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kept in folder.glob("*.*"):
            if time.time() - kept.stat().st_mtime > KEPT_DAYS * 86400:
                kept.unlink(missing_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.mkdtemp(prefix="tripoint-emulator-"))
