"""Numbers as a reader wants them: few digits, a unit, and a dash where there is none."""

from __future__ import annotations

import math
from typing import Any

NOTHING = "–"
_THIN = "\u2009"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: Any, digits: int = 3) -> str:
    """Return a value with so many significant digits, as ``0.0123``, ``1 230`` or ``1.2 × 10⁻⁷``."""
    value = as_float(value)
    if not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    value = float(f"{value:.{digits}g}")
    exponent = math.floor(math.log10(abs(value)))
    if not -4 < exponent < 7:
        mantissa = f"{value / 10.0**exponent:.{digits - 1}f}"
        return f"{mantissa}{_THIN}×{_THIN}10{str(exponent).translate(_SUPERSCRIPT)}"
    return grouped(f"{value:.{max(0, digits - 1 - exponent)}f}")


def short(value: Any, digits: int = 3) -> str:
    """Return a number without the zeros at its end: ``10`` and not ``10.0``."""
    text = number(value, digits)
    return text.rstrip("0").rstrip(".") if "." in text and "×" not in text else text


def count(value: Any) -> str:
    """Return an integer in groups of three digits."""
    value = as_float(value)
    return grouped(f"{value:.0f}") if math.isfinite(value) else NOTHING


def percent(fraction: Any, digits: int = 1) -> str:
    """Return a fraction as per cent; what is nearly but not all stays below 100 %."""
    fraction = as_float(fraction)
    if not math.isfinite(fraction):
        return NOTHING
    shown = f"{100 * fraction:.{digits}f}"
    edge = 10.0**-digits
    if float(shown) == 100 and fraction < 1:
        return f">{_THIN}{100 - edge:.{digits}f}{_THIN}%"
    if float(shown) == 0 and fraction > 0:
        return f"<{_THIN}{edge:.{digits}f}{_THIN}%"
    shown = "100" if fraction == 1 else "0" if fraction == 0 else shown
    return f"{shown}{_THIN}%"


def quantity(value: Any, unit: str, digits: int = 3) -> str:
    """Return a number with its unit, or a dash alone."""
    text = number(value, digits)
    return text if text == NOTHING else f"{text}\u00a0{unit}"


def interval(entry: Any, *, as_percent: bool = False) -> str:
    """Return ``low – high`` of a mapping with these keys, or a dash."""
    if not isinstance(entry, dict):
        return NOTHING
    low, high = as_float(entry.get("low")), as_float(entry.get("high"))
    if not (math.isfinite(low) and math.isfinite(high)):
        return NOTHING
    if as_percent:
        return f"{100 * low:.1f}{_THIN}–{_THIN}{100 * high:.1f}{_THIN}%"
    return f"{number(low)}{_THIN}–{_THIN}{number(high)}"


def seconds(value: Any) -> str:
    """Return a duration in s, or in min and s above two minutes."""
    value = as_float(value)
    if not math.isfinite(value):
        return NOTHING
    if value >= 120:
        return f"{int(value // 60)}{_THIN}min {value % 60:.0f}{_THIN}s"
    return f"{value:.2f}{_THIN}s" if value < 10 else f"{value:.1f}{_THIN}s"


def memory(value: Any) -> str:
    """Return bytes as MB or GB."""
    value = as_float(value)
    if not math.isfinite(value):
        return NOTHING
    return f"{value / 1e9:.2f}{_THIN}GB" if value >= 1e9 else f"{value / 1e6:.0f}{_THIN}MB"


def size(shape: Any, digits: int = 3) -> str:
    """Return three numbers as ``a × b × c``."""
    return f"{_THIN}×{_THIN}".join(short(s, digits) if isinstance(s, float) else count(s) for s in shape)


def grouped(digits: str) -> str:
    """Put thin spaces between thousands from 10 000 on."""
    whole, point, rest = digits.partition(".")
    sign, whole = ("−", whole[1:]) if whole.startswith("-") else ("", whole)
    if len(whole) > 4:
        whole = f"{int(whole):,}".replace(",", _THIN)
    return sign + whole + point + rest


def as_float(value: Any) -> float:
    """Return a float, NaN where the value is missing or no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def plural(carrier: str) -> str:
    """Return what a carrier is called in a sentence: ``ions``, ``electrons``, ``gas``."""
    return carrier if carrier == "gas" else f"{carrier}s"


def minus(face: str) -> str:
    """Return a face such as ``z-`` with a proper minus sign."""
    return face.replace("-", "−")
