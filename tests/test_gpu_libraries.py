"""What tripoint calls in the GPU libraries exists there and takes what is passed; so do the stand-ins' names.

The libraries import without a GPU, so this runs wherever they are installed, also where tripoint's own
dependencies are not:

    python -m pytest --noconftest tests/test_gpu_libraries.py

A library that is not installed is skipped and named.
"""

import ast
import functools
import importlib
import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parent
SOURCES = TESTS.parent / "src" / "tripoint"
STAND_IN = TESTS / "stand_in"
LIBRARIES = ("cupy", "cupyx", "cucim", "pylibcugraph", "cudf")


@functools.cache
def installed(library: str) -> bool:
    """Return whether the library itself, not its stand-in, can be imported."""
    path = [folder for folder in sys.path if Path(folder or ".").resolve() != STAND_IN]
    if importlib.machinery.PathFinder.find_spec(library, path) is None:
        return False
    loaded = importlib.import_module(library)
    return STAND_IN not in Path(loaded.__file__).resolve().parents


def need(library: str) -> None:
    if not installed(library):
        pytest.skip(f"{library} is not installed, or its stand-in is in its place")


# ------------------------------------------------------------------------------------- what tripoint uses


@dataclass(frozen=True)
class Use:
    """A name of a library that a line of tripoint uses; with the arguments where it is called."""

    name: str  # "cupy.cuda.Event"
    place: str
    positional: int | None = None  # None: not called, or called with *arguments
    keywords: tuple[str, ...] = ()


class _Uses(ast.NodeVisitor):
    """Collects the uses of a file: names are followed from imports through attributes."""

    def __init__(self, file: Path) -> None:
        self.file, self.uses, self.names = file, set(), {}
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            self._note_import(node)
        self.visit(tree)

    def _note_import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in LIBRARIES:
                    self.names[alias.asname or alias.name.split(".")[0]] = (
                        alias.name if alias.asname else alias.name.split(".")[0]
                    )
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LIBRARIES:
            for alias in node.names:
                self.names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                self._note(f"{node.module}.{alias.name}", node)
        elif _imports_by_name(node):
            self._note(node.args[0].value, node)

    def _resolve(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._resolve(node.value)
            return owner and f"{owner}.{node.attr}"
        return None

    def _note(self, name: str, node: ast.AST, positional: int | None = None, keywords: tuple = ()) -> None:
        place = f"{self.file.relative_to(SOURCES)}:{node.lineno}"
        self.uses.add(Use(name, place, positional, keywords))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self._resolve(node)
        if name:
            self._note(name, node)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._resolve(node.func)
        if name:
            spread = any(isinstance(a, ast.Starred) for a in node.args) or any(
                k.arg is None for k in node.keywords
            )
            keywords = tuple(sorted(keyword.arg for keyword in node.keywords if keyword.arg))
            self._note(name, node, None if spread else len(node.args), keywords)
        self.generic_visit(node)


def _imports_by_name(node: ast.AST) -> bool:
    """Return whether a node is ``import_module("cudf")`` or the like."""
    return (
        isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module"
        and bool(node.args)
        and isinstance(node.args[0], ast.Constant)
        and str(node.args[0].value).split(".")[0] in LIBRARIES
    )


@functools.cache
def uses() -> tuple[Use, ...]:
    found = {use for file in SOURCES.rglob("*.py") for use in _Uses(file).uses}
    return tuple(sorted(found, key=lambda use: (use.name, use.place)))


def look_up(name: str) -> Any:
    """Return what a dotted name stands for; raise AttributeError where it does not exist."""
    parts = name.split(".")
    found = importlib.import_module(parts[0])
    for k, part in enumerate(parts[1:], 2):
        if not hasattr(found, part) and inspect.ismodule(found):
            with_module = ".".join(parts[:k])
            if not hasattr(found, "__path__") or importlib.util.find_spec(with_module) is None:
                message = f"{with_module} does not exist"
                raise AttributeError(message)
            importlib.import_module(with_module)
        found = getattr(found, part)
    return found


def signature(function: Any) -> inspect.Signature | None:
    """Return the parameters of a function, from its docstring where it is compiled; None if nobody tells."""
    for told in (function, getattr(function, "__init__", None) if inspect.isclass(function) else None):
        try:
            found = inspect.signature(told)
        except (TypeError, ValueError):
            continue
        kinds = {parameter.kind for parameter in found.parameters.values()}
        if told is function and kinds != {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
            return found
    name, text = getattr(function, "__name__", ""), inspect.getdoc(function) or ""
    told = re.match(rf"(?:\w+\.)*{re.escape(name)}\((?P<parameters>(?:[^()]|\([^()]*\))*)\)", text)
    return _parsed(told["parameters"]) if told else None


def _parsed(parameters: str) -> inspect.Signature | None:
    """Return the signature that a docstring tells: ``Type name=default`` without what Cython adds."""
    cleaned = []
    for part in re.split(r",(?![^(\[]*[)\]])", parameters):
        plain, _, default = part.partition("=")
        words = re.sub(r":.*", "", plain).split()
        if words and words[-1] != "self":
            cleaned.append(words[-1] + ("=None" if default else ""))
    try:
        return inspect.signature(eval(f"lambda {', '.join(cleaned)}: None"))
    except SyntaxError:
        return None


def documented(function: Any, word: str) -> bool:
    """Return whether compiled code without a signature documents a parameter, or keeps it as an attribute."""
    text = inspect.getdoc(function) or ""
    return bool(re.search(rf"^\s*{word}\s*(?:\(.*\))?:", text, re.MULTILINE)) or hasattr(function, word)


def refusal(function: Any, use: Use) -> str | None:
    """Return why a call would be refused, as far as can be told."""
    if type(function).__name__ == "ufunc":
        unknown = set(use.keywords) - {"out", "dtype", "casting"}
        return f"no parameters {sorted(unknown)}" if unknown else None
    parameters = signature(function)
    if parameters is None:
        unknown = [word for word in use.keywords if not documented(function, word)]
        return f"its docstring names no {unknown}" if unknown else None
    try:
        values, named = [None] * (use.positional or 0), dict.fromkeys(use.keywords)
        (parameters.bind_partial if use.positional is None else parameters.bind)(*values, **named)
    except TypeError as error:
        return f"{error}; it takes {parameters}"
    return None


def test_uses_are_found():
    names = {use.name for use in uses()}
    assert {"cupy.RawModule", "cupy.empty", "cucim.skimage.measure.label"} <= names
    call = next(use for use in uses() if use.name == "cucim.skimage.measure.label" and use.keywords)
    assert "connectivity" in call.keywords


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_name_that_is_used_exists(library):
    need(library)
    missing = []
    for use in uses():
        if use.name.split(".")[0] == library:
            try:
                look_up(use.name)
            except AttributeError as error:
                missing.append(f"{use.place}: {use.name}: {error}")
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_call_fits_the_parameters(library):
    need(library)
    calls = [
        use
        for use in uses()
        if use.name.split(".")[0] == library and (use.positional is not None or use.keywords)
    ]
    refused = []
    for use in calls:
        reason = refusal(look_up(use.name), use)
        if reason:
            refused.append(f"{use.place}: {use.name}: {reason}")
    assert not refused, "\n".join(refused)


def test_names_of_the_array_namespace_exist():
    """What is written once for both sides, ``xp.name``, is there on the GPU."""
    need("cupy")
    xp = pytest.importorskip("array_api_compat.cupy")
    missing = []
    for file in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            of_xp = isinstance(node, ast.Attribute) and "xp" in (
                getattr(node.value, "id", ""),
                getattr(node.value, "attr", ""),  # self.xp
            )
            if of_xp and not hasattr(xp, node.attr):
                missing.append(f"{file.relative_to(SOURCES)}:{node.lineno}: {node.attr}")
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize(
    ("name", "positional", "keywords"),
    [
        ("cupy.unique", 1, ("return_count",)),
        ("cupy.add", 2, ("order_of_sums",)),
        ("cupy.RawModule", 0, ("source",)),
        ("cupy.arange", 5, ()),
    ],
)
def test_wrong_calls_would_be_told(name, positional, keywords):
    need("cupy")
    assert refusal(look_up(name), Use(name, "here", positional, keywords))


# ------------------------------------------------------------------------------------------- the stand-ins

DUMP = """
import importlib, inspect, json, pkgutil, sys

def parameters(value):
    try:
        given = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    return [p.name for p in given if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY)]

def describe(module):
    own = set(getattr(module, "__stand_in__", ()))
    names = {}
    for name in getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")]):
        value = getattr(module, name)
        if name in own or inspect.ismodule(value) or name == "annotations" or not local(value, module):
            continue
        members = {}
        if inspect.isclass(value):
            members = {n: parameters(m) if callable(m) else None for n, m in vars(value).items()
                       if not n.startswith("_") and n not in getattr(value, "__stand_in__", ())}
        names[name] = {"parameters": parameters(value) if callable(value) else None, "members": members}
    return names

def local(value, module):
    defined = getattr(value, "__module__", None) or type(value).__module__
    return str(defined).split(".")[0] == module.__name__.split(".")[0] or module.__name__ == "cupy"

library = sys.argv[1]
package = importlib.import_module(library)
found = pkgutil.walk_packages(package.__path__, library + ".")
modules = [library, *(m.name for m in found if "._" not in m.name)]
print(json.dumps({name: describe(importlib.import_module(name)) for name in modules}))
"""


@functools.cache
def stand_in_names(library: str) -> dict[str, dict[str, Any]]:
    """Return what a stand-in defines, by module; in a process where it takes the library's place."""
    paths = os.pathsep.join((str(STAND_IN), str(TESTS)))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", DUMP, library]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def named(library: str) -> Iterator[tuple[str, list[str] | None]]:
    for module, names in stand_in_names(library).items():
        for name, described in names.items():
            yield f"{module}.{name}", described["parameters"]
            for member, parameters in described["members"].items():
                yield f"{module}.{name}.{member}", parameters


@pytest.mark.parametrize("library", LIBRARIES)
def test_stand_ins_define_only_names_that_exist(library):
    need(library)
    missing = []
    for name, _ in named(library):
        try:
            look_up(name)
        except AttributeError as error:
            missing.append(f"{name}: {error}")
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("library", LIBRARIES)
def test_stand_ins_take_only_parameters_that_exist(library):
    need(library)
    unknown = []
    for name, parameters in named(library):
        if not parameters:
            continue
        try:
            real = signature(look_up(name))
        except AttributeError:  # the test above tells
            continue
        if real is None or any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in real.parameters.values()):
            continue  # compiled code that does not tell
        extra = [word for word in parameters if word not in real.parameters and word != "self"]
        if extra:
            unknown.append(f"{name}: {extra}; it takes {real}")
    assert not unknown, "\n".join(unknown)


@pytest.mark.parametrize("first", ["", "cudf", "pylibcugraph", "cucim.skimage"])
def test_the_libraries_can_be_imported_whatever_came_before(first, tmp_path):
    """Some orders never end, and cuDF takes CuPy's pool away; imported tripoint's way, they do neither."""
    for library in LIBRARIES:
        need(library)
    for source, target in {"src/tripoint": "", "kernels": "kernels", "conf": "conf"}.items():
        shutil.copytree(TESTS.parent / source, tmp_path / "tripoint" / target, dirs_exist_ok=True)
    code = f"""
import sys, importlib
sys.path.insert(0, {str(tmp_path)!r})
{f"import {first}" if first else ""}
import cupy
from tripoint._cuda import device
before = cupy.cuda.get_allocator()
for name, module in device.LIBRARIES.values():
    importlib.import_module(module)
assert cupy.cuda.get_allocator() == before
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200)
