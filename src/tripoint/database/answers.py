"""The answer of a query as text or as a file, batch by batch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tripoint.database.store import Store
from tripoint.errors import InputError
from tripoint.io.tables import plain

FORMATS = ("table", "csv", "json", "parquet")


def check_format(form: str | None, output: str | None) -> str:
    """Return the format of an answer: what was asked for, else that of the file's ending, else a table.

    Raises
    ------
    InputError
        There is no such format, or Parquet without a file.
    """
    ending = Path(output).suffix.lstrip(".").lower() if output else "table"
    chosen = str(form or {"txt": "table", "pq": "parquet", "jsonl": "json"}.get(ending, ending))
    if chosen not in FORMATS:
        message = f"there is no format '{chosen}'; use one of {', '.join(FORMATS)}"
        raise InputError(message)
    if chosen == "parquet" and not output:
        message = "Parquet is written into a file; give one as output=answer.parquet"
        raise InputError(message)
    return chosen


def show(answer: Iterator[pa.RecordBatch], form: str, rows: int, say: Callable[[str], None]) -> None:
    """Say an answer: a table of at most so many rows, or all of it as CSV or as JSON, an object per line."""
    first = next(answer)
    if form == "table":
        say(_table(first, answer, rows))
        return
    for text in _texts(first, answer, form):
        if text:
            say(text)


def write(answer: Iterator[pa.RecordBatch], form: str, output: str) -> int:
    """Write an answer into a file, which is there when it is complete; return its rows.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    folder, name = Path(output).expanduser().resolve().parent, Path(output).name
    first, count = next(answer), 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal count
        for batch in answer:
            count += batch.num_rows
            yield batch

    with Store(folder).written(name) as path:
        if form == "parquet":
            with pq.ParquetWriter(path, first.schema, compression="zstd") as file:
                for batch in counted():
                    file.write_batch(batch)
        else:
            with open(path, "w", encoding="utf-8") as text_file:
                if form == "table":
                    text_file.write(_table(first, counted(), None) + "\n")
                    return count
                for text in _texts(first, counted(), form):
                    text_file.write(text + "\n" if text else "")
    return count


def _table(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch], rows: int | None) -> str:
    """Return rows as columns of text, at most so many of them; what is cut is said."""
    taken, count = [first], 0
    for batch in rest:
        taken.append(batch)
        count += batch.num_rows
        if rows is not None and count > rows:
            break
    frame = pa.Table.from_batches(taken).to_pandas()
    more = rows is not None and len(frame) > rows
    with pd.option_context("display.max_colwidth", 60, "display.width", None):
        text = frame.head(rows if rows is not None else len(frame)).to_string(index=False, na_rep="")
    if frame.empty:
        text = "  ".join(map(str, frame.columns)) + "\n(no rows)"
    return f"{text}\n… only {rows} rows are shown; rows=… shows more, format=csv all" if more else text


def _texts(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch], form: str) -> Iterator[str]:
    names = first.schema.names
    if form == "csv":
        yield _csv([names])
    for batch in rest:
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        if form == "csv":
            yield _csv(rows)
        else:
            yield "\n".join(
                json.dumps(plain(dict(zip(names, row, strict=True))), ensure_ascii=False) for row in rows
            )


def _csv(rows: object) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    return text.getvalue().rstrip("\n")
