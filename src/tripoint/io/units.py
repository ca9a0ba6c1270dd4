"""Units of length, as files and people spell them, in micrometres."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from tripoint.errors import InputError

_SPELLINGS = {
    1e-6: ("pm", "picometer", "picometre"),
    1e-4: ("å", "ångstrom", "ångström", "angstrom"),
    1e-3: ("nm", "nanometer", "nanometre"),
    1.0: ("μm", "um", "micron", "micrometer", "micrometre"),
    1e3: ("mm", "millimeter", "millimetre"),
    1e4: ("cm", "centimeter", "centimetre"),
    1e6: ("m", "meter", "metre"),
    25400.0: ("in", "inch", "inches"),
}
_MICROMETRES = {spelling: factor for factor, names in _SPELLINGS.items() for spelling in names}
_NO_UNIT = {"", "pixel", "pixels", "px", "voxel", "voxels", "none", "null", "unknown"}


def is_unit(text: object) -> bool:
    """Whether a file's unit says anything; "pixel" and the empty word do not."""
    return isinstance(text, str) and _plain(text) not in _NO_UNIT


def to_micrometres(values: Iterable[float], unit: str) -> tuple[float, ...]:
    """Convert lengths to µm.

    Parameters
    ----------
    values : iterable of float
    unit : str
        Such as ``"nm"``, ``"µm"``, ``"micron"``, ``"Å"`` or ``"millimeter"``.

    Raises
    ------
    InputError
        A unit that is not known.
    """
    name = _plain(unit)
    factor = _MICROMETRES.get(name) or _MICROMETRES.get(name.removesuffix("s"))
    if factor is None:
        message = (
            f"the unit '{unit}' is not known; use one of {', '.join(n[0] for n in _SPELLINGS.values())} "
            "or give the voxel size in µm with spacing=[z,y,x]"
        )
        raise InputError(message)
    # Decimal factors below one are divided by their inverse, so that 400 nm is exactly 0.4 µm.
    return tuple(v * factor if factor >= 1 else v / round(1 / factor) for v in map(float, values))


def attribute_spacing(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return voxel size and units from the attributes of an HDF5 or Zarr array.

    Understood are ``element_size_um`` (z, y, x; written by ilastik and Fiji), and ``spacing`` or
    ``voxel_size`` with ``units`` or ``unit``.
    """
    if "element_size_um" in attributes:
        return {"spacing": _three(attributes["element_size_um"]), "units": ("µm",) * 3}
    for key in ("spacing", "voxel_size"):
        if key in attributes:
            unit = attributes.get("units", attributes.get("unit"))
            unit = unit.decode() if isinstance(unit, bytes) else unit
            units = [unit] * 3 if unit is None or isinstance(unit, str) else [str(u) for u in unit][-3:]
            return {"spacing": _three(attributes[key]), "units": units}
    return {}


def _three(values: Any) -> tuple[float | None, ...]:
    try:
        numbers = tuple(float(v) for v in values)
    except (TypeError, ValueError):
        return (None,) * 3
    return numbers[-3:] if len(numbers) >= 3 else (None,) * 3


def _plain(unit: str) -> str:
    """Bring the two micro signs, the two Ångström signs, and escapes that ImageJ leaves, to one form."""
    unit = unit.replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace("\\xb5", "µ")
    return unicodedata.normalize("NFKC", unit).strip().strip('"').lower()
