"""The figures of an analysis that segmentation decides on, and their intervals over draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

UNITS = {
    "volume_fraction": "",
    "tpb_density": "µm⁻²",
    "active_tpb_density": "µm⁻²",
    "interface_area": "µm⁻¹",
    "spanning_fraction": "",
    "terminal_fraction": "",
    "utilization": "",
    "particles": "",
}

COLUMNS = ["quantity", "of", "unit", "value", "mean", "sd", "low", "high", "draws"]


def figures(summary: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """Return the figures of a summary by quantity and what they are of; NaN where one is not defined.

    Of an interface that is absent there is none; its area is 0.

    Parameters
    ----------
    summary : mapping
        Of a result, as in ``summary.json``.

    Returns
    -------
    dict
        Volume fraction of phases, density of triple-phase boundaries (all, active) and area of interfaces per
        volume, spanning fraction of phases and carriers along each axis, share of carriers that reaches their
        terminals, utilization, number of particles.
    """
    found: dict[tuple[str, str], Any] = {}
    for name, phase in summary["sample"]["phases"].items():
        found["volume_fraction", name] = phase["volume_fraction"]
    for junction in summary["junctions"]:
        of = "|".join(junction["phases"])
        found["tpb_density", of] = junction["density"]
        found["active_tpb_density", of] = junction["active_density"]
    for interface in summary["interfaces"]:
        found["interface_area", "|".join(interface["phases"])] = interface["specific_area"]
    for group in ("percolation", "carriers"):
        for name, one in summary[group].items():
            for axis, share in zip("zyx", one["spanning_fraction"], strict=True):
                found["spanning_fraction", f"{name} {axis}"] = share
    for name, one in summary["carriers"].items():
        found["terminal_fraction", name] = one["terminal_fraction"]
    found["utilization", "active material"] = summary["utilization"]
    for name, one in summary["particles"].items():
        found["particles", name] = one["count"]
    return {key: math.nan if value is None else float(value) for key, value in found.items()}


def intervals(
    drawn: Sequence[Mapping[tuple[str, str], float]], likeliest: Mapping[tuple[str, str], float]
) -> pd.DataFrame:
    r"""Return mean, s.d. and the 95 % interval of every figure over draws and the likeliest phases.

    .. math:: \bar f \pm t_{0.975, N - 1}\, s \sqrt{1 + 1 / N}

    holds the figure of one further draw, and so that of the true volume as far as the probabilities are
    right, for figures that scatter normally. What is absent from some of them, such as an interface of two
    phases of which one is not there, counts as 0 there; what is not defined, NaN, does not count.

    Parameters
    ----------
    drawn : sequence of mapping
        `spread.figures` of each draw, two at least.
    likeliest : mapping
        `spread.figures` of the phases as they were segmented.

    Returns
    -------
    DataFrame
        ``quantity``, ``of``, ``unit``, ``value`` (likeliest phases), ``mean``, ``sd``, ``low``, ``high``,
        ``draws`` (in which it is defined).
    """
    rows = []
    order = list(UNITS)
    keys = dict.fromkeys(key for one in (likeliest, *drawn) for key in one)
    for quantity, of in sorted(keys, key=lambda key: order.index(key[0])):
        key = (quantity, of)
        somewhere = [one[key] for one in (likeliest, *drawn) if key in one]
        absent = 0.0 if np.isfinite(somewhere).any() else math.nan
        value = likeliest.get(key, absent)
        values = np.array([one.get(key, absent) for one in drawn])
        known = values[np.isfinite(values)]
        count = len(known)
        mean = float(known.mean()) if count else math.nan
        spread = float(known.std(ddof=1)) if count > 1 else math.nan
        half = float(stats.t.ppf(0.975, max(count - 1, 1))) * spread * math.sqrt(1 + 1 / max(count, 1))
        most = 1.0 if quantity.endswith("fraction") or quantity == "utilization" else math.inf
        low, high = max(mean - half, 0.0), min(mean + half, most)
        rows.append((quantity, of, UNITS[quantity], value, mean, spread, low, high, count))
    return pd.DataFrame(rows, columns=COLUMNS)
