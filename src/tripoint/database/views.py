"""The tables of a database in DuckDB, which reads their Parquet where it lies."""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from tripoint.database.layout import TABLES, Part, Snapshot
from tripoint.database.store import Store
from tripoint.errors import InputError

if TYPE_CHECKING:
    from tripoint.database.graphs import GraphDatabase

log = logging.getLogger("tripoint")

#: What an empty database answers with: the columns that every sample has.
EMPTY = {
    "samples": "sample varchar, content varchar, nodes bigint, contacts bigint, junctions bigint",
    "nodes": "sample varchar, node integer, phase varchar, label utinyint, voxels bigint, volume double",
    "contacts": "sample varchar, source integer, target integer, area double",
    "junctions": "sample varchar, a integer, b integer, c integer, length double",
}


def stream(database: GraphDatabase, query: str, parameters: list[Any], rows: int) -> Iterator[pa.RecordBatch]:
    """Run a query and give its answer in batches; the first is empty and tells the columns.

    What is damaged is named and left out, before the query is run or, without `GraphDatabase.check`, where it
    fails.  What another process tidied away is looked for anew, as long as no row has been given.

    Raises
    ------
    InputError
        A query that is wrong or would write; damage in the middle of a long answer.
    """
    snapshot = database.snapshot()
    given = False
    tables: tuple[str, ...] = TABLES
    while True:
        with tempfile.TemporaryDirectory(prefix="tripoint-") as spill, duckdb.connect() as connection:
            try:
                check_query(connection, query)
                tables = tables_read(connection, query)
                if database.check:
                    snapshot = _served(database, snapshot, tables)
                prepare(connection, database.store, snapshot, tables or TABLES, database.memory, spill)
                for batch in _batches(connection, query, parameters, rows):
                    yield batch
                    given = given or batch.num_rows > 0
                return
            except duckdb.Error as error:
                left = snapshot if given else _served(database, snapshot, tables)
                if left is snapshot:
                    raise InputError(_explained(error, snapshot)) from error
                snapshot = left


def _batches(connection: Any, query: str, parameters: list[Any], rows: int) -> Iterator[pa.RecordBatch]:
    reader = connection.sql(query, params=parameters).to_arrow_reader(rows)
    first = next(reader, None)  # before a row is given what is damaged shows, in most cases
    yield pa.RecordBatch.from_pylist([], schema=reader.schema)
    if first is not None:
        yield first
        yield from reader


def prepare(
    connection: Any,
    store: Store,
    snapshot: Snapshot,
    tables: tuple[str, ...],
    memory: str | None,
    spill: str,
) -> None:
    """Give a DuckDB connection a view per table, and a folder for what exceeds the memory."""
    connection.execute("set temp_directory = ?", [spill])
    if memory is not None:
        try:
            connection.execute("set memory_limit = ?", [memory])
        except duckdb.Error as error:
            message = f"memory is {memory!r}; expected an amount such as 4GB"
            raise InputError(message) from error
    if not store.local:
        connection.register_filesystem(store.fs)
    for table in tables:
        connection.execute(f'create view "{table}" as {_view(store, snapshot, table)}')


def check_query(connection: Any, query: str) -> None:
    """Make sure that a query is one statement that only reads.

    Raises
    ------
    InputError
        It is not.
    """
    reading = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type not in reading:
        found = f"{len(statements)} statements" if len(statements) != 1 else statements[0].type.name
        message = f"the query is {found}; expected one that reads, such as select count(*) from nodes"
        raise InputError(message)


def tables_read(connection: Any, query: str) -> tuple[str, ...]:
    """Return the tables that a query may read: those whose names stand in it other than as columns."""
    words = query
    with suppress(duckdb.Error):
        text = connection.execute("select json_serialize_sql(?)", [query]).fetchone()[0]
        tree = json.loads(text)
        words = query if tree["error"] else " ".join(_words(tree))  # it knows select alone
    return tuple(table for table in TABLES if re.search(rf"\b{table}\b", words, re.IGNORECASE))


def _words(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    for key, value in tree.items() if isinstance(tree, dict) else ():
        if key not in ("column_names", "alias"):
            yield from _words(value)
    for value in tree if isinstance(tree, list) else ():
        yield from _words(value)


def _view(store: Store, snapshot: Snapshot, table: str) -> str:
    """Return what a table is: parts of the same columns together, all of them put one below the other."""
    selects = []
    groups: dict[str, list[Part]] = {}
    for place in snapshot.where.values():
        if isinstance(place, Part):
            groups.setdefault(place.columns, []).append(place)
    for parts in groups.values():
        selects.append(_select(store, [part.file(table) for part in parts]))
    for pack in snapshot.packs:
        hidden = snapshot.hidden[pack.name]
        if len(hidden) == len(pack.contents):  # all of it is damaged
            continue
        where = f" where sample not in ({', '.join(map(_text, hidden))})" if hidden else ""
        selects.append(_select(store, [pack.file(table)]) + where)
    if not selects:
        columns = (column.split() for column in EMPTY[table].split(", "))
        return f"select {', '.join(f'null::{kind} as {name}' for name, kind in columns)} where false"
    return " union all by name ".join(f"({select})" for select in selects)


def _select(store: Store, files: list[str]) -> str:
    paths = ", ".join(_text(store.address(file)) for file in files)
    return f"select * from read_parquet([{paths}], hive_partitioning = false)"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _served(database: GraphDatabase, snapshot: Snapshot, tables: tuple[str, ...]) -> Snapshot:
    """Return what is left of a snapshot without damage, or of the new one where files went; or itself."""
    while findings := database.checks.damaged(snapshot, tables):
        latest = database.snapshot()
        if {place.file("samples") for place in snapshot.where.values()} <= set(latest.index.written):
            for finding in findings:
                log.warning("warning: %s", finding)
            return snapshot.without({sample for finding in findings for sample in finding.samples})
        snapshot = latest
    return snapshot


def _explained(error: duckdb.Error, snapshot: Snapshot) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]).split(" LINE ")[0]
    hint = (
        ""
        if snapshot.where
        else "; the database is empty, so only the columns that all samples have are there"
    )
    return f"the query cannot be answered: {text}{hint}"
