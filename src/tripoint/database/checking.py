"""Files are compared with their hashes before a query reads them, once for each state that they are in.

DuckDB does not look at the checksums of Parquet's pages: of a changed byte it makes another number.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tripoint.database.layout import TABLES, Pack, Part, Snapshot
from tripoint.database.store import Store
from tripoint.database.verification import DamagedError, Finding, check_file

log = logging.getLogger("tripoint")

WORTH_KEEPING = 2**26  # bytes; fewer are hashed again about as soon as their states are read
KEPT_DAYS = 90
REQUESTS = 16  # at a time, to an object store


class Checks:
    """What is known of the files of a database.

    Which files were found whole, and in which state (size, time of writing), is kept in the user's cache
    folder too, so that the next process need not hash them again.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._whole: dict[str, str] = {}  # states by name
        self._begun = False
        self._damaged: dict[str, tuple[str, str]] = {}  # states and reasons by name

    def damaged(self, snapshot: Snapshot, tables: tuple[str, ...]) -> list[Finding]:
        """Return the files of these tables that are damaged or missing, and the samples lost with them."""
        if not self._begun:
            self._whole, self._begun = self._kept(), True
        found: list[tuple[str, str, Part | Pack]] = []
        new = 0
        for table in tables:
            places = {place.file(table): place for place in snapshot.where.values()}
            states = self._store.states(table, places)
            missing = [name for name in places if name not in states]
            unknown = [name for name, state in states.items() if self._whole.get(name) != state]
            new += self._look(table, {name: places[name] for name in unknown}, states)
            reasons = dict.fromkeys(missing, "is missing")
            reasons |= {name: self._damaged[name][1] for name in unknown if name in self._damaged}
            found += [(name, reason, places[name]) for name, reason in reasons.items()]
        if new >= WORTH_KEEPING:
            self._keep(snapshot)
        return [
            Finding(name, reason, (place.sample,) if isinstance(place, Part) else snapshot.served_by(place))
            for name, reason, place in found
        ]

    def _look(self, table: str, places: dict[str, Part | Pack], states: dict[str, str]) -> int:
        """Hash files whose state is not known, and return how many bytes they have."""
        new = {
            name: place
            for name, place in places.items()
            if self._damaged.get(name, ("", ""))[0] != states[name]
        }
        size = sum(int(states[name].split()[0]) for name in new)
        if size > WORTH_KEEPING:
            log.info("%d files of %s are compared with their hashes, %d MiB", len(new), table, size >> 20)
        with ThreadPoolExecutor(os.cpu_count() if self._store.local else REQUESTS) as pool:
            reasons = pool.map(lambda place: _reason(self._store, place, table), new.values())
            for name, reason in zip(new, reasons, strict=True):
                self._damaged.pop(name, None)
                if reason is None:
                    self._whole[name] = states[name]
                else:
                    self._damaged[name] = (states[name], reason)
        return size

    def _kept(self) -> dict[str, str]:
        with suppress(OSError, ValueError, AttributeError):
            return {str(name): str(state) for name, state in json.loads(self._file.read_bytes()).items()}
        return {}

    def _keep(self, snapshot: Snapshot) -> None:
        """Write what is known of files that are still there, also what other processes found."""
        known = self._kept() | self._whole
        names = {place.file(table) for place in snapshot.where.values() for table in TABLES}
        content = json.dumps({name: known[name] for name in names if name in known})
        with suppress(OSError):  # then the next process hashes again
            file = self._file
            Store(file.parent).put({file.name: content.encode()})
            for other in file.parent.iterdir():
                if time.time() - other.stat().st_mtime > KEPT_DAYS * 86400:
                    other.unlink()

    @property
    def _file(self) -> Path:
        name = hashlib.sha256(str(self._store).encode()).hexdigest()[:16]
        return _cache_folder() / "tripoint-database" / f"{name}.json"


def _reason(store: Store, place: Part | Pack, table: str) -> str | None:
    try:
        check_file(store, place, table)
    except DamagedError as error:
        return str(error).partition(": ")[2]
    return None


def _cache_folder() -> Path:
    variable, usual = ("LOCALAPPDATA", "~") if sys.platform == "win32" else ("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get(variable) or usual).expanduser()
