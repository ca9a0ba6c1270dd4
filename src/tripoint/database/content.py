"""What makes two samples the same: hashes of their content, and of what they were computed from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tripoint._version import __version__
from tripoint.errors import InputError
from tripoint.io.formats import split_inside
from tripoint.io.tables import plain

_BLOCK = 2**22  # bytes hashed at a time


def hash_graph(
    tables: Mapping[str, pa.Table], metadata: Mapping[str, Any], summary: Mapping[str, Any]
) -> str:
    """Return the hash of the tables of a graph (`parts.tables_of`) and of its figures, 20 hexadecimal digits.

    Metadata and summary are plain values, as `io.tables.plain` makes them.
    Equal tables, metadata and figures have equal hashes, whatever wrote or read them in between.  The name
    of the sample does not count, nor what the run cost, nor the order of columns.
    """
    digest = hashlib.sha256()
    for table in tables.values():
        digest.update(f"table {table.num_rows}\n".encode())
        for name in sorted(set(table.column_names) - {"sample"}):
            _add_column(digest, name, table[name].combine_chunks())
    described = {key: value for key, value in metadata.items() if key != "name"}
    digest.update(_canonical({"metadata": described, "summary": _figures(summary)}))
    return digest.hexdigest()[:20]


def hash_settings(settings: Mapping[str, Any], input_hash: str | None = None) -> str:
    """Return the hash of what a sample is computed from: settings, input, and the version of tripoint.

    What has the same is not computed again.
    """
    whole = {"settings": settings, "input": input_hash, "tripoint": __version__}
    return hashlib.sha256(_canonical(plain(whole))).hexdigest()[:20]


def hash_columns(schemas: Mapping[str, Mapping[str, str]]) -> str:
    """Return the hash of the columns and types of several tables, 8 hexadecimal digits."""
    return hashlib.sha256(json.dumps(schemas).encode()).hexdigest()[:8]


def hash_input(path: str | Path) -> str:
    """Return the hash of an input as it lies on disk: the bytes of a file, or of all files of a folder.

    ``file.h5:/dataset`` is the file and the name of the dataset.

    Raises
    ------
    InputError
        There is no such file or folder.
    """
    source, inside = split_inside(Path(path).expanduser())
    if not source.exists():
        message = f"there is no file or folder {source}"
        raise InputError(message)
    digest = hashlib.sha256((inside or "").strip("/").encode())
    files = sorted(f for f in source.rglob("*") if f.is_file()) if source.is_dir() else [source]
    for file in files:
        name = file.relative_to(source).as_posix() if source.is_dir() else ""
        digest.update(f"\n{name}\n".encode())
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return f"file:{digest.hexdigest()}"


def hash_voxels(phases: Any) -> str:
    """Return the hash of a labelled volume, (z, y, x) uint8 on the host, plane by plane."""
    digest = hashlib.sha256(repr(tuple(phases.shape)).encode())
    step = max(1, _BLOCK // math.prod(phases.shape[1:]))
    for start in range(0, phases.shape[0], step):
        digest.update(np.ascontiguousarray(phases[start : start + step]).data)
    return f"voxels:{digest.hexdigest()}"


def _add_column(digest: Any, name: str, values: Any) -> None:
    digest.update(f"{name} {values.type}\n".encode())
    if pa.types.is_string(values.type):
        encoded = values.dictionary_encode()
        digest.update(json.dumps(encoded.dictionary.to_pylist()).encode())
        values = encoded.indices
    if values.null_count:
        digest.update(values.is_null().buffers()[1])
        values = pc.fill_null(values, pa.scalar(0).cast(values.type))  # what stands below a null may differ
    digest.update(values.buffers()[1])


def _figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a summary that an equal analysis has too."""
    figures = {key: value for key, value in summary.items() if key not in ("run", "tripoint")}
    if "sample" in figures:
        figures["sample"] = {key: value for key, value in figures["sample"].items() if key != "name"}
    return figures


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
