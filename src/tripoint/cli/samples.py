"""The database that a task reads from, and which of its samples it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tripoint.database import GraphDatabase
from tripoint.errors import InputError


def open_database(path: str) -> GraphDatabase:
    """Open a database that is there.

    Raises
    ------
    InputError
        There is none.
    """
    if "://" not in path and not Path(path).is_dir():
        message = f"there is no database {path}; fill one with tripoint synth -m database={path} …"
        raise InputError(message)
    return GraphDatabase(path)


def samples_of(database: GraphDatabase, where: Any) -> list[str]:
    """Return the names of the samples that fulfil a condition.

    Raises
    ------
    InputError
        There is none.
    """
    if where is None:
        names = sorted(database)
    else:
        names = database.sql(f"select sample from samples where {where} order by sample")["sample"].tolist()
    if not names:
        found = "is empty" if where is None else f"has no sample where {where}"
        message = (
            f"the database {database.store} {found}; fill it with tripoint synth -m database=… or "
            "tripoint analyze … database=…"
        )
        raise InputError(message)
    return [str(name) for name in names]
