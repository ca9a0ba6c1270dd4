"""What a solution is held to, and what is said where it does not get there."""

from __future__ import annotations

from tripoint.errors import ConvergenceError

BALANCE = 1e-6
"""Largest difference of currents, relative to them, that a solution may have, whatever its tolerance."""


def not_converged(residual: float, iterations: int, tolerance: float) -> ConvergenceError:
    """Return the error of a solution that is not within its tolerance."""
    if residual > tolerance:
        message = (
            f"the residual is {residual:.2g} of the start after {iterations} iterations, expected "
            f"{tolerance:.2g}; raise the limit or the tolerance, or check the ratio of the conductivities"
        )
    else:
        message = (
            f"the residual is {residual:.2g} of the start after {iterations} iterations, but the currents in "
            f"and out still differ by more than {tolerance:.2g} of them; raise the limit or the tolerance"
        )
    return ConvergenceError(message)


def check_balance(imbalance: float, tolerance: float) -> None:
    """Raise ConvergenceError where currents differ by more than rounding may account for."""
    allowed = max(BALANCE, 10 * tolerance)
    if imbalance > allowed:
        message = (
            f"the currents in, out and reacting differ by {imbalance:.2g} of them, expected {allowed:.2g} at "
            "most: the slowest step is too slow beside the quickest for double precision; bring exchange and "
            "conductivities closer together"
        )
        raise ConvergenceError(message)
