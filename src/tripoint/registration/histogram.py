"""Sums by class, the same whatever order they are made in."""

from __future__ import annotations

import math
from typing import Any

from array_api_compat import array_namespace


def sums(places: Any, weights: Any, length: int) -> Any:
    """Add weights up by place.

    On the GPU many threads add to one place in an order that changes from run to run. So weights are rounded
    to whole numbers of a unit small enough, for which double precision is exact: to 2⁻⁵² of the largest times
    their number, and no order changes the sum.

    Parameters
    ----------
    places : (n,) int
        Below ``length``.
    weights : (n,) float

    Returns
    -------
    (length,) float64
    """
    xp = array_namespace(places)
    largest = float(abs(weights).max()) if weights.size else 0.0
    if not largest:
        return xp.zeros(length, dtype=xp.float64)
    exponent = 52 - math.frexp(largest * weights.size)[1]
    whole = xp.rint(weights.astype(xp.float64) * 2.0**exponent)
    return xp.bincount(places, weights=whole, minlength=length) * 2.0**-exponent
