"""A sample as Parquet: its tables, and the row that makes it visible."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tripoint._version import __version__
from tripoint.database.content import hash_columns
from tripoint.database.layout import HASH, SCHEMA, TABLES
from tripoint.graph import Graph
from tripoint.io import tables

#: Columns of ``samples`` that hold JSON.
JSON_COLUMNS = ("configuration", "metadata", "summary", "parts")
FORM = {"tripoint": json.dumps({"schema": SCHEMA})}


@dataclass(frozen=True)
class Origin:
    """Where a sample comes from.

    Parameters
    ----------
    key : str or None
        Hash of all it was computed from, by ``content.hash_settings``.
    input_hash : str or None
    configuration : mapping
        What the analysis, or the making of the sample, was asked for.
    """

    key: str | None
    input_hash: str | None
    configuration: Mapping[str, Any]


@dataclass(frozen=True)
class Encoded:
    """The files of a sample, the hash of their columns, and those of the files (`layout.Part.hashes`)."""

    files: dict[str, memoryview]
    columns: str
    hashes: str


def tables_of(graph: Graph, sample: str) -> dict[str, pa.Table]:
    """Return the tables of a graph in Arrow, with units, and with the sample's name as first column.

    So the files are read without regard to the folders' names.  A missing number (NaN) is null.
    """
    return {name: _table(sample, getattr(graph, name)) for name in TABLES[:-1]}


def encode(
    named: Mapping[str, pa.Table],
    sample: str,
    content: str,
    metadata: Mapping[str, Any],
    summary: Mapping[str, Any],
    origin: Origin,
) -> Encoded:
    """Write the tables of a sample as Parquet, in memory; metadata and summary are plain values."""
    files, parts = {}, {}
    for name, table in named.items():
        files[name] = to_parquet(table)
        columns = {field.name: str(field.type) for field in table.schema}
        parts[name] = {"rows": table.num_rows, **fingerprint(files[name]), "columns": columns}
    row = _sample_row(sample, content, metadata, summary, origin, parts)
    files["samples"] = to_parquet(row)
    schemas = {name: part["columns"] for name, part in parts.items()}
    schemas["samples"] = {field.name: str(field.type) for field in row.schema}
    whole = [fingerprint(files[name])["sha256"] for name in TABLES]
    return Encoded(files, hash_columns(schemas), "".join(digest[:HASH] for digest in whole))


def fingerprint(content: bytes | memoryview | BinaryIO) -> dict[str, Any]:
    """Return size and hash of a file, by which damage shows."""
    digest, size = hashlib.sha256(), 0
    for block in _blocks(content):
        digest.update(block)
        size += len(block)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _blocks(content: bytes | memoryview | BinaryIO) -> Iterator[bytes | memoryview]:
    if isinstance(content, bytes | memoryview):
        yield content
    else:
        while block := content.read(2**22):
            yield block


def to_parquet(table: pa.Table) -> memoryview:
    """Write a table as a Parquet file in memory, quickly: what is to stay small goes into packs."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **{**writing(table.schema), "compression": "lz4"})
    return memoryview(sink.getvalue())


def writing(schema: pa.Schema) -> dict[str, Any]:
    """Return how files are written: only names repeat, and only by sample is there anything to skip."""
    texts = [
        field.name for field in schema if pa.types.is_string(field.type) and field.name not in JSON_COLUMNS
    ]
    return {
        "compression": "zstd",
        "use_dictionary": texts,
        "write_statistics": ["sample"],
        "write_page_checksum": True,
    }


def decode(name: str, table: pa.Table, row: Mapping[str, Any]) -> Any:
    """Return a table of one sample as it was added: its own columns with their own types, as pandas."""
    columns = dict(json.loads(row["parts"])[name]["columns"])
    del columns["sample"]
    kinds = [(column, pa.type_for_alias(kind)) for column, kind in columns.items()]
    return table.select(list(columns)).cast(pa.schema(kinds)).to_pandas()


def _table(sample: str, frame: pd.DataFrame) -> pa.Table:
    columns = [_column(values) for _, values in frame.items()]
    fields = [_field(str(name), values.type) for name, values in zip(frame.columns, columns, strict=True)]
    schema = pa.schema([_field("sample", pa.string()), *fields], metadata=FORM)
    return pa.Table.from_arrays([pa.repeat(sample, len(frame)), *columns], schema=schema)


@cache
def _field(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, metadata={"unit": tables.unit(name)})


def _column(values: pd.Series) -> pa.Array:
    """Return a column in Arrow; texts have one type, whatever pandas holds them in."""
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biufM":
        return pa.array(values.to_numpy(), from_pandas=True)
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    array = pa.array(values, from_pandas=True)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    texts = pa.types.is_large_string(array.type) or pa.types.is_null(array.type)
    return array.cast(pa.string()) if texts else array


def _sample_row(
    sample: str,
    content: str,
    metadata: Mapping[str, Any],
    summary: Mapping[str, Any],
    origin: Origin,
    parts: Mapping[str, Any],
) -> pa.Table:
    texts = {
        "sample": sample,
        "content": content,
        "key": origin.key,
        "input_hash": origin.input_hash,
        "tripoint": summary.get("tripoint", __version__),
        "added": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    counts = {name: parts[name]["rows"] for name in TABLES[:-1]}
    numbers = figures(metadata, summary)
    json_texts = {
        "configuration": tables.plain(origin.configuration),
        "metadata": {**metadata, "name": sample},
        "summary": summary,
        "parts": parts,
    }
    columns = [
        *((name, pa.string(), value, "1") for name, value in texts.items()),
        ("schema", pa.int32(), SCHEMA, "1"),
        *((name, pa.int64(), value, "1") for name, value in counts.items()),
        *((name, pa.float64(), value, unit_of_figure(name)) for name, value in numbers.items()),
        *((name, pa.string(), _json(value), "1") for name, value in json_texts.items()),
    ]
    fields = [pa.field(name, kind, metadata={"unit": unit}) for name, kind, _, unit in columns]
    schema = pa.schema(fields, metadata=FORM)
    return pa.Table.from_arrays([pa.array([value], kind) for _, kind, value, _ in columns], schema=schema)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def figures(metadata: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the numbers of a summary by which samples are found and compared, as columns of ``samples``."""
    found: dict[str, float | None] = {}
    for axis, voxels, size in zip("zyx", metadata.get("shape", ()), metadata.get("spacing", ()), strict=True):
        found |= {f"shape_{axis}": voxels, f"spacing_{axis}": size}
    for phase, entry in summary.get("sample", {}).get("phases", {}).items():
        found[f"volume_fraction_{phase}"] = entry["volume_fraction"]
    total = summary.get("junctions_total", {})
    found |= {"tpb_density": total.get("density"), "active_tpb_density": total.get("active_density")}
    found |= {name: summary.get(name) for name in ("active_area", "utilization")}
    for carrier, entry in summary.get("carriers", {}).items():
        found[f"terminal_fraction_{carrier}"] = entry["terminal_fraction"]
    for phase, entry in summary.get("particles", {}).items():
        found |= {
            f"particles_{phase}": entry["count"],
            f"diameter_{phase}": entry["equivalent_diameter_mean"],
        }
    transport = summary.get("transport") or {}
    for quantity in ("tortuosity", "effective_conductivity"):
        for name, along in transport.get(quantity, {}).items():
            found |= {f"{quantity}_{name}_{axis}": value for axis, value in along.items()}
    for carrier, entry in transport.get("network", {}).items():
        found[f"network_tortuosity_{carrier}"] = entry["tortuosity_factor"]
    activity = summary.get("activity") or {}
    found |= {f"activity_{name}": activity.get(name) for name in ("mean", "cv", "dead_fraction", "current")}
    return found


def unit_of_figure(name: str) -> str:
    """Return the unit of a column of ``samples``."""
    units = {
        "shape_": "voxel",
        "spacing_": "µm",
        "diameter_": "µm",
        "tpb_density": "µm⁻²",
        "active_tpb_density": "µm⁻²",
        "active_area": "µm⁻¹",
        "activity_current": "µA",
    }
    return next((unit for start, unit in units.items() if name.startswith(start)), "1")
