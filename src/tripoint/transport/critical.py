"""The contacts on which the currents of a network depend most."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tripoint.errors import InputError
from tripoint.tables import to_host

#: Columns of a contact that are kept.
_PLACE = ("source", "target", "source_phase", "target_phase", "centroid_z", "centroid_y", "centroid_x")
_SIZE = ("area", "neck_radius")


def critical_contacts(
    contacts: Any,
    carrier: str,
    number: int = 10,
    by: str = "dissipation_share",
    *,
    only_bridges: bool = False,
) -> pd.DataFrame:
    """Return the contacts on which a carrier's current depends most, for a table and a 3D view.

    Parameters
    ----------
    contacts : DataFrame
        With the columns that `tripoint.transport.network` adds.
    carrier : str
    number : int
    by : {"dissipation_share", "current_share"}
        On which the network's resistance depends most, or which carry most.
    only_bridges : bool
        Leave out contacts that others could stand in for.

    Returns
    -------
    pandas.DataFrame
        At most ``number`` rows, the largest first: the contact's columns of place and size (centroid in µm),
        ``current_share, current_rank, dissipation_share`` and ``kind``, "bridge" where all that lies
        beyond has no other way to the terminal, else "bottleneck". Contacts without current are not listed.

    Raises
    ------
    InputError
        A carrier without currents, another ranking, bridges that were not sought.
    """
    measured = ("current_share", "current_rank", "dissipation_share")
    needed = [f"current_share_{carrier}", f"{by}_{carrier}", *([f"bridge_{carrier}"] if only_bridges else [])]
    missing = [name for name in needed if name not in contacts.columns]
    if missing or by not in measured:
        message = (
            f"there is no column {(missing or [by])[0]} to rank contacts by; solve the network of a graph "
            f"first, with a terminal for {carrier}"
        )
        raise InputError(message)
    kept = [name for name in (*_PLACE, *_SIZE) if name in contacts.columns]
    columns = [f"{name}_{carrier}" for name in measured]
    bridge = f"bridge_{carrier}"
    marked = [bridge] if bridge in contacts.columns else []
    rows = to_host(contacts[[*kept, *columns, *marked]])
    rows = rows.rename(columns=dict(zip(columns, measured, strict=True)))
    rows = rows[rows["current_rank"] > 0].sort_values(by, ascending=False, kind="stable")
    if only_bridges:
        rows = rows[rows[bridge]]
    rows = rows.head(number).reset_index(drop=True)
    kind = np.where(rows[bridge], "bridge", "bottleneck") if marked else "bottleneck"
    return rows.drop(columns=marked).assign(kind=kind)
