"""The settings that Hydra composed, as plain values that are what they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from tripoint.errors import InputError


def plain(config: Any) -> dict[str, Any]:
    """Return the settings of a task, complete and without references to others."""
    settings = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def stem(path: Any) -> str:
    """Return the name of the result folder that belongs to an input; settings ask for it as ``${stem:…}``.

    Of several channels the first gives it.
    """
    path = read_list(path)
    path = path if isinstance(path, str | Path) or not path else next(iter(path))
    name = Path(str(path).split(":/")[0].rstrip("/")).name
    for ending in (".ome.zarr", ".ome.tiff", ".ome.tif"):
        name = name.removesuffix(ending)
    return Path(name).stem if "." in name else name


def check_text(settings: dict[str, Any], key: str) -> str:
    """Return a setting that must be there, such as a path, or say how to give it."""
    value = settings[key]
    if value is None or not str(value).strip():
        message = f"the setting '{key}' is missing; give it as {key}=…"
        raise InputError(message)
    return str(value)


def check_switch(settings: dict[str, Any], key: str) -> bool:
    """Return a setting that is true or false; a word such as 'no' is neither."""
    value = settings[key]
    if not isinstance(value, bool):
        message = f"{key} is {value!r}; expected true or false"
        raise InputError(message)
    return value


def check_section(settings: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a group of settings."""
    value = settings[key]
    if not isinstance(value, dict):
        message = f"{key} is {value!r}; expected a group of settings, such as {key}.…=…, see --help"
        raise InputError(message)
    return value


def read_list(value: Any) -> Any:
    """Return a list that came as text, ``[7090, 7095]``; anything else as it is."""
    return _inline_list(value) if isinstance(value, str) and value.lstrip().startswith("[") else value


def _inline_list(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        message = f"{text} is not a list; write it like [7090,7095]"
        raise InputError(message) from error


def check_range(value: Any, key: str) -> tuple[float, float]:
    """Return two numbers [from, to], or say how to give them."""
    try:
        low, high = map(float, value)
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high:
        message = f"{key} is {value!r}; expected [from,to] in eV, for example {key}=[7000,7100]"
        raise InputError(message)
    return low, high


def check_number(value: Any, key: str) -> float:
    """Return a number, or say that it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"{key} is {value!r}; expected a number"
        raise InputError(message)
    return float(value)
