"""Tables as Parquet, with the unit of every column in its field's metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

# First match wins; a column that matches none has the unit "1".
_UNITS = (
    (r"centroid_[zyx]|[zyx]", "µm"),
    (r"bbox_.*|voxels|.*_missing", "voxel"),
    (r"volume", "µm³"),
    (r"area|area_.*|surface_area|cut_area|active_area", "µm²"),
    (r".*_diameter|axis_.*_length|.*_radius|bottleneck_radius_.*", "µm"),
    (r"depth_.*|path_length_.*|length|junction_length|active_length|active_junction_length", "µm"),
    (r"(path_)?resistance(_.*)?", "1/µm"),
    (r"reaction_current", "µA"),
    (r"(current|dissipation)_share_.*|current_rank_.*", "1"),
    (r"conductance|network_conductance_.*|current_.*", "µm"),
)
# Of a carrier whose phases have conductivities in S/m, where others have 1.
_ELECTRIC = {"1/µm": "MΩ", "µm": "µS"}


def unit(column: str, carriers: Iterable[str] = ()) -> str:
    """Return the unit of a table's column; ``"1"`` for numbers, names and flags.

    ``carriers`` are those whose conductivities are given: their resistances are in MΩ, conductances in µS,
    and currents in µA for 1 V.
    """
    plain_unit = next((unit for pattern, unit in _UNITS if re.fullmatch(pattern, column)), "1")
    electric = re.fullmatch(r"(path_resistance|resistance|network_conductance|current)_(\w+)", column)
    if electric is None or electric[2] not in set(carriers):
        return plain_unit
    return "µA" if electric[1] == "current" else _ELECTRIC[plain_unit]


def write(
    path: Path, table: Any, metadata: Mapping[str, Any] | None = None, carriers: Iterable[str] = ()
) -> None:
    """Write a table as Parquet: units as field metadata, ``metadata`` as JSON under ``tripoint``."""
    on_host = table.to_pandas() if hasattr(table, "to_pandas") else table  # cuDF has it
    arrow = pa.Table.from_pandas(on_host, preserve_index=False)
    schema = pa.schema(
        [field.with_metadata({"unit": unit(field.name, carriers)}) for field in arrow.schema],
        metadata={**(arrow.schema.metadata or {}), b"tripoint": json.dumps(plain(metadata or {})).encode()},
    )
    pq.write_table(arrow.cast(schema), path, compression="zstd")


def read(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a table and the metadata that was written with it."""
    arrow = pq.read_table(path)
    return arrow.to_pandas(), json.loads((arrow.schema.metadata or {}).get(b"tripoint", b"{}"))


def plain(value: Any) -> Any:
    """Turn a value into what strict JSON holds: NumPy's numbers into Python's, NaN and infinity into null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return str(value)
