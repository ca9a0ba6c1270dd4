"""The region graph as GraphML, put together by Arrow: networkx's writer takes minutes for large graphs."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

_HEADER = (
    '<?xml version="1.0" encoding="utf-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://graphml.graphdrawing.org/'
    'xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">\n'
)
_ROWS = 1 << 14  # turned into text at a time


def write(path: Path, nodes: pd.DataFrame, contacts: pd.DataFrame) -> None:
    """Write regions as nodes and contacts as undirected edges.

    Nodes carry the columns of their table and their position x, y, z in µm, edges the columns of theirs
    but ``source`` and ``target``. Numbers have single precision. A value that is missing (NaN) is left
    out, infinity is ``INF``. Junctions join three regions, which GraphML's edges cannot; they stay in
    ``junctions.parquet``.
    """
    nodes = nodes.assign(**{axis: nodes[f"centroid_{axis}"] for axis in "xyz" if f"centroid_{axis}" in nodes})
    node_keys = {name: f"n{k}" for k, name in enumerate(nodes.columns.drop("node"))}
    edge_keys = {name: f"e{k}" for k, name in enumerate(contacts.columns.drop(["source", "target"]))}
    with path.open("wb") as file:
        file.write(_HEADER.encode())
        file.write(_keys("node", nodes, node_keys).encode())
        file.write(_keys("edge", contacts, edge_keys).encode())
        file.write(b'<graph edgedefault="undirected">\n')
        for start in range(0, len(nodes), _ROWS):
            rows = nodes.iloc[start : start + _ROWS]
            _write_rows(file, ['<node id="', rows["node"], '">', *_data(rows, node_keys), "</node>\n"])
        for start in range(0, len(contacts), _ROWS):
            rows = contacts.iloc[start : start + _ROWS]
            ends = ['<edge source="', rows["source"], '" target="', rows["target"], '">']
            _write_rows(file, [*ends, *_data(rows, edge_keys), "</edge>\n"])
        file.write(b"</graph>\n</graphml>\n")


def _keys(kind: str, table: pd.DataFrame, keys: dict[str, str]) -> str:
    """Declare the attributes of nodes or edges and their types."""
    return "".join(
        f'<key id="{key}" for="{kind}" attr.name={quoteattr(str(name))} attr.type="{_type(table[name])}"/>\n'
        for name, key in keys.items()
    )


def _data(table: pd.DataFrame, keys: dict[str, str]) -> list[pa.Array]:
    """Return one array of text per column: the whole element of each value, nothing where it is missing."""
    elements = []
    for name, key in keys.items():
        element = pc.binary_join_element_wise(f'<data key="{key}">', _text(table[name]), "</data>", "")
        elements.append(pc.fill_null(element, ""))
    return elements


def _text(column: pd.Series) -> pa.Array:
    kind = _type(column)
    if kind == "double":
        values = column.to_numpy(np.float32)
        text = pc.cast(pa.array(values, mask=np.isnan(values)), pa.string())
        return pc.replace_substring(text, "inf", "INF")
    if kind == "string":
        names, codes = np.unique(column.astype(str).to_numpy(object), return_inverse=True)
        escaped = np.array([escape(str(name)) for name in names], object)
        return pa.array(escaped[codes], pa.string(), mask=column.isna().to_numpy())
    return pc.cast(pa.array(column.to_numpy()), pa.string())


def _write_rows(file: IO[bytes], parts: list[Any]) -> None:
    """Join constants and columns into lines; Arrow keeps the lines behind each other, ready to be written."""
    columns = [_text(part) if isinstance(part, pd.Series) else part for part in parts]
    lines = pc.binary_join_element_wise(*columns, "")
    file.write(lines.buffers()[2].slice(0, pc.sum(pc.binary_length(lines)).as_py()))


def _type(column: pd.Series) -> str:
    kind = getattr(column.dtype, "kind", "O")
    return {"b": "boolean", "i": "long", "u": "long", "f": "double"}.get(kind, "string")
