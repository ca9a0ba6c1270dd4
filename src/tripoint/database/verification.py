"""Which files of a database are damaged, missing or left over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tripoint.database.layout import TABLES, Index, Pack, Part, Snapshot
from tripoint.database.parts import fingerprint
from tripoint.database.store import Store
from tripoint.errors import InputError

if TYPE_CHECKING:
    from tripoint.database.graphs import GraphDatabase


class DamagedError(InputError):
    """A file of a database is damaged or missing."""


@dataclass(frozen=True)
class Finding:
    """A file that is not as it should be.

    Parameters
    ----------
    file : str
        Its name below the database.
    reason : str
    samples : tuple of str
        Samples that are not served because of it.
    harm : bool
        Whether something is lost; what is merely left over does none.
    """

    file: str
    reason: str
    samples: tuple[str, ...] = ()
    harm: bool = True

    def __str__(self) -> str:
        lost = ", ".join(map(repr, self.samples[:3]))
        more = f" and {len(self.samples) - 3} more" if len(self.samples) > 3 else ""
        plural = "s are" if len(self.samples) > 1 else " is"
        left_out = f"; the sample{plural} left out: {lost}{more}" if self.samples else ""
        return f"{self.file} {self.reason}{left_out}"


def verify(database: GraphDatabase) -> list[Finding]:
    """Read every file of the samples that count, and say what is damaged, missing, doubled or left over.

    Hashes of whole files are compared, so that no changed byte passes.
    """
    store = database.store
    files = [file.name for table in TABLES[:-1] for file in store.files(table)]
    snapshot = database.snapshot()
    findings = list(damaged(store, snapshot))
    readable = {pack.name for pack in snapshot.all_packs}
    findings += [
        Finding(
            Pack(name, {}, row=row).file("samples"),
            "is damaged; the samples that are only in this pack are left out",
        )
        for name, row in snapshot.index.packs.items()
        if name not in readable
    ]
    findings += [
        Finding(
            f"samples/…{sample}", f"is there with {len(contents)} contents, of which {contents[0]} is read"
        )
        for sample, contents in snapshot.twice.items()
    ]
    known = referenced(snapshot.index)
    half = "belongs to no sample: its writer was killed, or is at work; compact clears it away"
    findings += [Finding(name, half, harm=False) for name in sorted(files) if name not in known]
    return findings


def damaged(store: Store, snapshot: Snapshot) -> Iterator[Finding]:
    """Return the damaged files of the samples that count, and who is lost with them."""
    for sample, place in snapshot.where.items():
        if isinstance(place, Part):
            try:
                read_part(store, place)
            except DamagedError as error:
                file, _, reason = str(error).partition(": ")
                yield Finding(file, reason, (sample,))
    for pack in snapshot.packs:
        for file, reason in check_pack(store, pack):
            yield Finding(file, reason, snapshot.served_by(pack))


def read_part(store: Store, part: Part) -> dict[str, pa.Table]:
    """Return all tables of a sample, whose files are what was written.

    Raises
    ------
    DamagedError
        ``"<file>: is damaged (…)"``.
    """
    rows = _read_loose_row(store, part)
    expected = json.loads(rows["parts"][0].as_py())
    tables = {}
    for table in TABLES[:-1]:
        with _named(part.file(table)):
            content = store.read(part.file(table))
            _compare(expected[table], fingerprint(content))
            tables[table] = _parse(content)
    return {**tables, "samples": rows}


def _read_loose_row(store: Store, part: Part) -> pa.Table:
    with _named(part.file("samples")):
        content = store.read(part.file("samples"))
        compare(part.hash("samples"), content)
        return _parse(content)


def read_packed(store: Store, pack: Pack, sample: str, tables: Sequence[str] = TABLES) -> dict[str, pa.Table]:
    """Return tables of one sample of a pack; rows of others are skipped by the statistics of row groups.

    Raises
    ------
    DamagedError
        As `read_part`; only the pages that are read are looked at.
    """
    found = {}
    for table in tables:
        with _named(pack.file(table)), store.open(pack.file(table)) as file:
            only = [("sample", "=", sample)]
            found[table] = pq.read_table(file, filters=only, page_checksum_verification=True)
    return found


def read_row(store: Store, place: Part | Pack, sample: str) -> dict[str, Any]:
    """Return the row of ``samples`` of one sample.

    Raises
    ------
    DamagedError
        As `read_part`.
    """
    if isinstance(place, Part):
        table = _read_loose_row(store, place)
    else:
        table = read_packed(store, place, sample, ("samples",))["samples"]
    return {str(key): value for key, value in table.to_pylist()[0].items()}


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say which file is damaged, whatever its library calls that."""
    try:
        yield
    except FileNotFoundError as error:
        message = f"{name}: is missing"
        raise DamagedError(message) from error
    except (OSError, pa.ArrowException, LookupError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = f"{name}: is damaged ({reason})"
        raise DamagedError(message) from error


def check_pack(store: Store, pack: Pack) -> Iterator[tuple[str, str]]:
    """Return the files of a pack that are not what was written, and why."""
    for table in TABLES:
        name = pack.file(table)
        try:
            with _named(name), store.open(name) as file:
                if table == "samples":
                    content = file.read()
                    compare(pack.row, content)
                    _parse(content)
                else:
                    _compare(pack.parts[table], fingerprint(file))
        except DamagedError as error:
            yield name, str(error).removeprefix(f"{name}: ")


def check_file(store: Store, place: Part | Pack, table: str) -> None:
    """Make sure that the file of one table is what was written.

    Raises
    ------
    DamagedError
        As `read_part`.
    """
    name, digits = place.file(table), place.hash(table)
    if not digits and isinstance(place, Part):
        read_part(store, place)  # of earlier databases the row tells hashes, and its pages have checksums
        return
    with _named(name):
        if isinstance(place, Part):
            compare(digits, store.read(name))
            return
        with store.open(name) as file:
            if digits:
                compare(digits, file)
            else:
                _parse(file.read())


def referenced(index: Index) -> set[str]:
    """Return the files of the other tables that belong to those in ``samples/``."""
    places: list[Part | Pack] = [*index.loose, *(Pack(name, {}) for name in index.packs)]
    return {place.file(table) for place in places for table in TABLES[:-1]}


def _parse(content: bytes) -> pa.Table:
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    return file.read(use_threads=False)  # small parts are read sooner than threads start


def compare(digits: str, content: bytes | memoryview | BinaryIO) -> None:
    """Make sure that the SHA-256 of a file begins with these digits.

    Raises
    ------
    ValueError
        It does not.
    """
    if digits and not fingerprint(content)["sha256"].startswith(digits):
        message = "its bytes changed since it was written"
        raise ValueError(message)


def _compare(expected: dict[str, int | str], found: dict[str, int | str]) -> None:
    if found["bytes"] != expected["bytes"]:
        message = f"it has {found['bytes']} bytes instead of {expected['bytes']}"
        raise ValueError(message)
    if found["sha256"] != expected["sha256"]:
        message = "its bytes changed since it was written"
        raise ValueError(message)
