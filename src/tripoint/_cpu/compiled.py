"""How loops over voxels are compiled, and where the compiled code is kept between starts.

numba notices a change in the file of a function, but not in the files of the functions that it calls.
So the cache folder is named by a hash of all sources of this side: whatever changes, nothing stale is run.
It lies in ``NUMBA_CACHE_DIR`` where that is set, else in the user's cache folder, else, where neither can be
written, in a temporary one that lasts for the process.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numba
from numba import njit

KEPT_DAYS = 30


def compiled(**options):
    """Compile a function with numba: cached, without the interpreter's lock, dividing as NumPy does."""

    def decorate(function):
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, _FOLDER
        try:  # numba looks for the cache folder while it decorates
            return njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        finally:
            numba.config.CACHE_DIR = before

    return decorate


def _cache_folder() -> str:
    sources = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        sources.update(path.read_bytes())
    name = f"tripoint-{sources.hexdigest()[:16]}"
    for place in (os.environ.get("NUMBA_CACHE_DIR"), _user_cache()):
        if place and _writable(Path(place) / name):
            _remove_old(Path(place), name)
            return str(Path(place) / name)
    folder = tempfile.mkdtemp(prefix="tripoint-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _user_cache() -> str:
    if sys.platform == "win32":
        return os.environ.get("LOCALAPPDATA", "")
    return os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        os.utime(folder)
    except OSError:
        return False
    return True


def _remove_old(place: Path, name: str) -> None:
    """Remove what earlier versions left, once nobody has used it for a month."""
    for folder in place.glob("tripoint-" + "?" * 16):
        try:
            if folder.name != name and time.time() - folder.stat().st_mtime > KEPT_DAYS * 86400:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue


_FOLDER = _cache_folder()
