"""Files of a database: in a folder, or in an object store that fsspec reaches.

A file appears whole or not at all: in a folder it is written beside and renamed, in an object store a put or
an upload of several parts is atomic.  Nothing is ever written into a file that exists.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import psutil
from fsspec.asyn import reset_lock

from tripoint.errors import InputError, OutputError

# Names carry the machine too: on a shared file system the same process number lives on many.
_OWNER = f"{os.getpid()}@{socket.gethostname()}"
_PARTIAL = re.compile(rf"\..*\.partial-(\d+)@{re.escape(socket.gethostname())}(-\d+)?")


@dataclass(frozen=True)
class File:
    """A file: its name below the database's root, its size in bytes, when it was written (s since 1970)."""

    name: str
    size: int
    written: float


class Store:
    """What a database needs of the place that it lies in.

    Parameters
    ----------
    path : str or Path
        A folder, or an address such as ``s3://bucket/folder``, whose fsspec package must be installed.

    Raises
    ------
    InputError
        An address of an unknown kind, or one whose package is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        if not str(path).strip():
            message = (
                "the path of the database is empty; give a folder, or an address such as s3://bucket/folder"
            )
            raise InputError(message)
        try:
            fs, root = fsspec.core.url_to_fs(str(path))
        except (ValueError, ImportError) as error:
            message = f"{path} cannot be opened ({error}); give a folder or an address that fsspec knows"
            raise InputError(message) from error
        protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
        self.local = "file" in protocols
        self.root = (
            str(Path(str(path).removeprefix("file://")).expanduser().resolve()) if self.local else root
        )
        self._prefix = "" if self.local else f"{protocols[0]}://"
        self._path = self.root if self.local else str(path)
        self._fs, self._process = fs, os.getpid()

    @property
    def fs(self) -> Any:
        """The filesystem of this process: connections and their threads do not live on in a fork."""
        if self._process != os.getpid():
            reset_lock()  # else the loop of the parent is waited for
            self._fs, self._process = fsspec.core.url_to_fs(self._path)[0], os.getpid()
        return self._fs

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        """Another process opens the place anew."""
        return Store, (self._path,)

    def __str__(self) -> str:
        return self._prefix + self.root

    def address(self, name: str) -> str:
        """Return the path or address of a file, as DuckDB takes it."""
        return f"{self._prefix}{self.root}/{name}"

    def exists(self, name: str = "") -> bool:
        """Whether there is such a file, or anything at all."""
        path = f"{self.root}/{name}".rstrip("/")
        if self.local:
            return os.path.exists(path)
        self.fs.invalidate_cache()
        return bool(self.fs.exists(path))

    def empty(self) -> bool:
        """Whether nothing is there yet."""
        if self.local:
            return not (os.path.isdir(self.root) and os.listdir(self.root))
        self.fs.invalidate_cache()
        return not self.fs.exists(self.root) or not self.fs.ls(self.root)

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        if self.local:
            return Path(self.root, name).read_bytes()
        return bytes(self.fs.cat_file(f"{self.root}/{name}"))

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for reading."""
        with self.fs.open(f"{self.root}/{name}", "rb") as file:
            yield file

    def put(self, files: Mapping[str, bytes | memoryview]) -> None:
        """Write files by name, each of which is there when all of it is; to an object store all at once.

        Raises
        ------
        OutputError
            The place cannot be written to, or is full.
        """
        try:
            if self.local:
                for name, content in files.items():
                    self._put_beside(name, content)
            else:
                self.fs.pipe({f"{self.root}/{name}": bytes(content) for name, content in files.items()})
        except OSError as error:
            raise OutputError(self._refused(error)) from error

    def _put_beside(self, name: str, content: bytes | memoryview) -> None:
        for tries_left in range(5, -1, -1):
            try:
                with self._beside(name) as path:
                    Path(path).write_bytes(content)
                return
            except FileNotFoundError:  # its folder went, empty, while another process tidied up
                if not tries_left:
                    raise

    @contextmanager
    def written(self, name: str) -> Iterator[str]:
        """Give the path of a file to write, and put it in its place when it is complete.

        Raises
        ------
        OutputError
            The place cannot be written to, or is full.
        """
        try:
            if self.local:
                with self._beside(name) as path:
                    yield path
            else:
                with tempfile.TemporaryDirectory(prefix="tripoint-") as folder:
                    path = f"{folder}/part"
                    yield path
                    self.fs.put_file(path, f"{self.root}/{name}")
        except OSError as error:
            raise OutputError(self._refused(error)) from error

    @contextmanager
    def _beside(self, name: str) -> Iterator[str]:
        folder, base = os.path.split(f"{self.root}/{name}")
        partial = f"{folder}/.{base}.partial-{_OWNER}-{time.monotonic_ns()}"
        os.makedirs(folder, exist_ok=True)
        try:
            yield partial
            os.replace(partial, f"{folder}/{base}")
        finally:
            with suppress(FileNotFoundError):
                os.unlink(partial)

    def files(self, folder: str) -> Iterator[File]:
        """Return the files in a folder and in those below it, but no partial ones."""
        if self.local:
            yield from _walk(self.root, folder)
            return
        self.fs.invalidate_cache()
        start = len(self.root) + 1
        try:
            found = self.fs.find(f"{self.root}/{folder}", detail=True)
        except FileNotFoundError:
            return
        for path, entry in found.items():
            yield File(path[start:], entry["size"], _moment(entry))

    def states(self, folder: str, names: Iterable[str]) -> dict[str, str]:
        """Return the state of each of some files below a folder: size in bytes and times, as a text.

        Those that are missing have none.
        """
        if not self.local:
            found = {file.name: f"{file.size} {file.written}" for file in self.files(folder)}
            return {name: found[name] for name in names if name in found}
        states = {}
        for name in names:
            with suppress(FileNotFoundError):
                seen = os.stat(f"{self.root}/{name}")
                states[name] = f"{seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns}"  # a copy differs too
        return states

    def leftovers(self, older_than: float) -> Iterator[str]:
        """Return partial files of dead processes of this machine, and those untouched since a moment."""
        if not self.local:
            return
        for folder, _, names in os.walk(self.root):
            for name in names:
                if ".partial-" not in name or not name.startswith("."):
                    continue
                path = f"{folder}/{name}"
                mine = _PARTIAL.fullmatch(name)
                with suppress(FileNotFoundError):
                    if (mine and not psutil.pid_exists(int(mine[1]))) or os.stat(path).st_mtime < older_than:
                        yield os.path.relpath(path, self.root)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are gone already are no error.

        Raises
        ------
        OutputError
            The place cannot be written to.
        """
        names = list(names)
        try:
            if self.local:
                for name in names:
                    with suppress(FileNotFoundError):
                        os.unlink(f"{self.root}/{name}")
                for folder in {os.path.dirname(name) for name in names if name.count("/") > 1}:
                    with suppress(OSError):  # only those that are empty now go
                        os.rmdir(f"{self.root}/{folder}")
            elif names:
                with suppress(FileNotFoundError):
                    self.fs.rm([f"{self.root}/{name}" for name in names])
        except OSError as error:
            raise OutputError(self._refused(error)) from error

    def _refused(self, error: OSError) -> str:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return f"there is no space left for the database {self}; free some, half a sample is not there"
        reason = error.strerror or str(error) or type(error).__name__
        return f"the database {self} cannot be written ({reason}); choose a place that you may write to"


def _walk(root: str, folder: str) -> Iterator[File]:
    try:
        entries = list(os.scandir(f"{root}/{folder}"))
    except FileNotFoundError:
        return
    for entry in entries:
        name = f"{folder}/{entry.name}"
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(root, name)
        else:
            with suppress(FileNotFoundError):
                found = entry.stat()
                yield File(name, found.st_size, found.st_mtime)


def _moment(entry: dict[str, Any]) -> float:
    """When an object was written, by whichever name its store has for that; now where it does not tell."""
    for key in ("LastModified", "last_modified", "updated", "mtime", "created"):
        value: Any = entry.get(key)
        if hasattr(value, "timestamp"):
            return float(value.timestamp())
        if isinstance(value, int | float):
            return float(value)
    return time.time()
