"""The region graph as GraphML, written column by column: networkx's writer takes minutes for large graphs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pandas as pd

_HEADER = (
    '<?xml version="1.0" encoding="utf-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://graphml.graphdrawing.org/'
    'xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">\n'
)


def write(path: Path, nodes: pd.DataFrame, contacts: pd.DataFrame) -> None:
    """Write regions as nodes and contacts as undirected edges.

    Nodes carry the columns of their table and their position x, y, z in µm, edges the columns of theirs but
    ``source`` and ``target``. A value that is missing (NaN) is left out, infinity is ``INF``. Junctions join
    three regions, which GraphML's edges cannot; they stay in ``junctions.parquet``.
    """
    nodes = nodes.assign(**{axis: nodes[f"centroid_{axis}"] for axis in "xyz" if f"centroid_{axis}" in nodes})
    with path.open("w", encoding="utf-8") as file:
        file.write(_HEADER)
        node_keys = _write_keys(file, "node", nodes.drop(columns="node"), "n")
        edge_keys = _write_keys(file, "edge", contacts.drop(columns=["source", "target"]), "e")
        file.write('<graph edgedefault="undirected">\n')
        opening = (f'<node id="{node}">' for node in nodes["node"].tolist())
        _write_elements(file, opening, nodes, node_keys, "</node>")
        ends = zip(contacts["source"].tolist(), contacts["target"].tolist(), strict=True)
        opening = (f'<edge source="{source}" target="{target}">' for source, target in ends)
        _write_elements(file, opening, contacts, edge_keys, "</edge>")
        file.write("</graph>\n</graphml>\n")


def _write_keys(file: IO[str], kind: str, table: pd.DataFrame, prefix: str) -> dict[str, str]:
    keys = {name: f"{prefix}{k}" for k, name in enumerate(table.columns)}
    for name, key in keys.items():
        named = f'attr.name={quoteattr(str(name))} attr.type="{_type(table[name])}"'
        file.write(f'<key id="{key}" for="{kind}" {named}/>\n')
    return keys


def _write_elements(
    file: IO[str], opening: Iterator[str], table: pd.DataFrame, keys: dict[str, str], closing: str
) -> None:
    """Write one line per row, from one stream of text per column."""
    columns = [_data(table[name], key) for name, key in keys.items()]
    lines = ("".join(parts) for parts in zip(opening, *columns, strict=True))
    while batch := list(islice(lines, 4096)):
        file.write(f"{closing}\n".join([*batch, ""]))


def _data(column: pd.Series, key: str) -> Iterator[str]:
    start, end = f'<data key="{key}">', "</data>"
    kind = _type(column)
    if kind == "boolean":
        text = {True: f"{start}true{end}", False: f"{start}false{end}"}
        yield from (text[value] for value in column.tolist())
    elif kind == "long":
        yield from (f"{start}{value}{end}" for value in column.tolist())
    elif kind == "double":
        # Seven digits are what float32 holds, and half of the file that seventeen would make.
        special = {"nan": "", "inf": f"{start}INF{end}", "-inf": f"{start}-INF{end}"}
        yield from (
            f"{start}{value:.7g}{end}" if finite else special[str(value)]
            for value, finite in zip(column.tolist(), np.isfinite(column.to_numpy()).tolist(), strict=True)
        )
    else:
        text_of: dict[object, str] = {}
        for value in column.tolist():
            if value not in text_of:
                text_of[value] = "" if pd.isna(value) else f"{start}{escape(str(value))}{end}"
            yield text_of[value]


def _type(column: pd.Series) -> str:
    kind = getattr(column.dtype, "kind", "O")
    return {"b": "boolean", "i": "long", "u": "long", "f": "double"}.get(kind, "string")
