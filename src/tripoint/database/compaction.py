"""Many small files become few large ones, beside readers and writers."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tripoint.database.layout import HASH, SCHEMA, TABLES, Index, Pack, Part, Snapshot, new_pack_name, removed
from tripoint.database.parts import FORM, fingerprint, writing
from tripoint.database.store import Store
from tripoint.database.verification import DamagedError, check_pack, compare, read_part, referenced

if TYPE_CHECKING:
    from tripoint.database.graphs import GraphDatabase

log = logging.getLogger("tripoint")

SAMPLES_PER_PACK = 1000
ROWS_PER_PACK = 8_000_000  # of all tables
ROWS_PER_GROUP = 100_000  # what is read at least, and by one thread
SAMPLES_PER_GROUP = 100  # of the table of samples, whose texts are long
WRITERS_TAKE = 3600.0  # from the first part of a sample to its row, s, at most


@dataclass(frozen=True)
class Compacted:
    """What a compaction did.

    Parameters
    ----------
    packed : int
        Samples that were put into new packs.
    packs : int
        New packs.
    removed : int
        Files that were cleared away.
    """

    packed: int
    packs: int
    removed: int


def compact(database: GraphDatabase, grace: float = 3600.0) -> Compacted:
    """Put samples together into packs of up to 1000, and clear away what nobody reads any more.

    A pack's tables are written first and its table of samples last: with that file all of them are read from
    the pack.  The small parts stay for readers who are at it, and for the writers of half a sample, until
    they are ``grace`` old (s).  Samples whose files are damaged stay where they are.  Of packs those are
    made anew that lost samples or are less than half full.

    Memory is that of a group of 100,000 rows.  Two compactions at once do no harm: each sample counts once.
    """
    snapshot = database.snapshot()
    packed, made = 0, 0
    for batch, replaced in _batches(database.store, snapshot):
        done = _pack(database.store, snapshot, batch, replaced)
        packed += done
        made += done > 0
    return Compacted(packed, made, sweep(database, grace))


def sweep(database: GraphDatabase, grace: float) -> int:
    """Remove copies that do not count, replaced packs, and what killed writers left; return how many files.

    Parts without a row are those of a killed writer, or of one at work; they stay for an hour at least.
    """
    store, limit = database.store, time.time() - grace
    files = {file.name: file.written for table in TABLES[:-1] for file in store.files(table)}
    snapshot = database.snapshot()
    index, gone = snapshot.index, 0
    for pack in snapshot.replaced:  # oldest first: while one is there, that which replaces it must be
        newer = [other for other in snapshot.all_packs if pack.name in other.replaces] or [pack]
        since = max(index.written[other.file("samples")] for other in newer)
        if since < limit and not index.packs_of(pack.replaces):
            gone += _drop(store, index, pack)
    for part in index.loose:
        place = snapshot.where[part.sample]
        if place == part or snapshot.content(part.sample) != part.content:
            continue
        if index.written[place.file("samples")] < limit:
            for table in reversed(TABLES):
                store.remove([part.file(table)])
                gone += 1
    known = referenced(index)
    old = min(limit, time.time() - WRITERS_TAKE)
    orphans = [name for name, written in files.items() if name not in known and written < old]
    orphans += store.leftovers(old)
    store.remove(orphans)
    return gone + len(orphans)


def _drop(store: Store, index: Index, pack: Pack) -> int:
    """Remove a pack: its table of samples first, then it is not there."""
    names = [pack.file(table) for table in reversed(TABLES)]
    names += [removed(*entry) for entry in index.removed if entry[2] == pack.name]
    for name in names:
        store.remove([name])
    return len(names)


def read_pack(store: Store, name: str, row: str = "") -> Pack | None:
    """Return what a pack's table of samples says of it; None, with a warning, where that is damaged."""
    file = Pack(name, {}, row=row).file("samples")
    try:
        content = store.read(file)
        compare(row, content)
        columns = ["sample", "content"]
        table = pq.read_table(pa.BufferReader(content), columns=columns, page_checksum_verification=True)
        about = json.loads((table.schema.metadata or {})[b"tripoint"])
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        log.warning("warning: %s is damaged (%s); its samples are left out", store.address(file), error)
        return None
    contents = dict(zip(table["sample"].to_pylist(), table["content"].to_pylist(), strict=True))
    return Pack(name, contents, tuple(about["replaces"]), about["parts"], row)


def _batches(store: Store, snapshot: Snapshot) -> Iterator[tuple[list[str], list[Pack]]]:
    """Return which samples go together, and which packs they replace."""
    worn = [
        pack
        for pack in snapshot.packs
        if (snapshot.hidden[pack.name] or len(pack.contents) < SAMPLES_PER_PACK / 2)
        and not any(check_pack(store, pack))
    ]
    loose = [sample for sample, place in snapshot.where.items() if isinstance(place, Part)]
    if not loose and len(worn) < 2 and not any(snapshot.hidden[pack.name] for pack in worn):
        return
    batch: list[str] = []
    replaced: list[Pack] = []
    for pack in worn:
        batch += [sample for sample, place in snapshot.where.items() if place is pack]
        replaced.append(pack)
        if len(batch) >= SAMPLES_PER_PACK:
            yield batch, replaced
            batch, replaced = [], []
    for sample in loose:
        batch.append(sample)
        if len(batch) >= SAMPLES_PER_PACK:
            yield batch, replaced
            batch, replaced = [], []
    if batch:
        yield batch, replaced


def _pack(store: Store, snapshot: Snapshot, batch: list[str], replaced: list[Pack]) -> int:
    """Write one pack, and return how many samples are in it."""
    pack = Pack(new_pack_name(), {}, tuple(pack.name for pack in replaced))
    loose = [part for sample in batch if isinstance(part := snapshot.where[sample], Part)]
    schemas = _schemas(store, loose, replaced)
    with ExitStack() as stack:
        paths = {table: stack.enter_context(store.written(pack.file(table))) for table in TABLES[:-1]}
        writers = {table: _Writer(paths[table], schemas[table]) for table in TABLES[:-1]}
        rows: list[pa.Table] = []
        for tables in _sources(store, snapshot, loose, replaced):
            for table, content in tables.items():
                if table == "samples":
                    rows.append(_conform(content, schemas[table]))
                else:
                    writers[table].add(content)
        for writer in writers.values():
            writer.close()
        for table, path in paths.items():
            with open(path, "rb") as file:
                pack.parts[table] = fingerprint(file)
    if not rows:
        store.remove(pack.file(table) for table in TABLES[:-1])
        return 0
    samples = pa.concat_tables(rows)
    about = {"schema": SCHEMA, "replaces": pack.replaces, "parts": pack.parts}
    samples = samples.replace_schema_metadata({"tripoint": json.dumps(about)})
    sink = pa.BufferOutputStream()
    pq.write_table(samples, sink, row_group_size=SAMPLES_PER_GROUP, **writing(samples.schema))
    content = memoryview(sink.getvalue())
    pack = replace(pack, row=fingerprint(content)["sha256"][:HASH])
    store.put({pack.file("samples"): content})
    _follow_removals(store, snapshot, pack.name, samples["sample"].to_pylist())
    return samples.num_rows


def _follow_removals(store: Store, snapshot: Snapshot, pack: str, samples: list[str]) -> None:
    """Take out of a new pack what another process removed while it was written."""
    index = Index.of(store)
    loose = {(part.sample, part.content) for part in index.loose}
    for sample in samples:
        place, content = snapshot.where[sample], snapshot.content(sample)
        if isinstance(place, Part):
            gone = (sample, content) not in loose
        else:
            gone = (sample, content, place.name) in index.removed
        if gone:
            store.put({removed(sample, content, pack): b""})


def _schemas(store: Store, loose: list[Part], packs: list[Pack]) -> dict[str, pa.Schema]:
    """Return for each table the columns of all: parts with one hash have the same."""
    found: dict[str, list[pa.Schema]] = {table: [] for table in TABLES}
    for pack in packs:
        for table in TABLES:
            with store.open(pack.file(table)) as file:
                found[table].append(pq.read_schema(file))
    known = set()
    for part in loose:
        if part.columns not in known:
            with suppress(DamagedError):
                for table, content in read_part(store, part).items():
                    found[table].append(content.schema)
                known.add(part.columns)
    bare = {table: [schema.remove_metadata() for schema in schemas] for table, schemas in found.items()}
    return {
        table: pa.unify_schemas(schemas, promote_options="permissive").with_metadata(FORM)
        for table, schemas in bare.items()
    }


def _sources(
    store: Store, snapshot: Snapshot, loose: list[Part], packs: list[Pack]
) -> Iterator[dict[str, pa.Table]]:
    """Return the tables of one sample after the other, or of some rows of a pack."""
    for pack in packs:
        hidden = pa.array(snapshot.hidden[pack.name], pa.string())
        for table in TABLES:
            with store.open(pack.file(table)) as file:
                parquet = pq.ParquetFile(file)
                for group in range(parquet.num_row_groups):
                    rows = parquet.read_row_group(group)
                    yield {table: rows.filter(pc.invert(pc.is_in(rows["sample"], hidden)))}
    for part in loose:
        try:
            yield read_part(store, part)
        except DamagedError as error:
            log.warning("warning: %s; the sample %r stays as it is", error, part.sample)


class _Writer:
    """A Parquet file whose row groups hold many samples."""

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._schema = schema
        self._file = pq.ParquetWriter(path, schema, **writing(schema))
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def add(self, table: pa.Table) -> None:
        self._waiting.append(_conform(table, self._schema))
        self._rows += table.num_rows
        if self._rows >= ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(pa.concat_tables(self._waiting), row_group_size=2 * ROWS_PER_GROUP)
        self._waiting, self._rows = [], 0


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give a table all columns of a schema, in its order; those that it lacks are null."""
    at = {name: number for number, name in enumerate(table.column_names)}
    columns = []
    for field in schema:
        if field.name not in at:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(at[field.name])
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)
