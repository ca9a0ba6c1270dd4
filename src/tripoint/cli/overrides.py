"""What a user types, in the grammar of Hydra's overrides.

Hydra reads ``(``, ``=``, ``,`` and letters such as µ in a value as its own; file names hold them all the
time. And it chooses materials by name, where a user may have a file or a definition.
"""

from __future__ import annotations

import re
from typing import Any

from tripoint.errors import MaterialsError
from tripoint.materials import Materials
from tripoint.transport.kinetics import SWITCHES, Kinetics

#: Settings that are text, whatever stands in them.
TEXTS = (
    "input",
    "output",
    "name",
    "activity",
    "map.affine",
    "energies",
    "references",
    "use",
    "register.to",
    "register.start",
    "database",
    "checkpoint",
    "fixed",
    "moving",
    "affine",
    "start",
    "truth",
    "split.file",
    "images",
    "labels",
    "mask",
    "prediction",
)
_SETTING = re.compile(
    r"(action|arguments|database|format|output|rows|memory|check|name|overwrite|grace|[~+]*hydra\.[^=]*)="
)
#: Parts of the materials that a new value replaces; Hydra would merge them.
WHOLE = ("materials.terminals", "materials.junctions", "materials.phases")


def translate(words: list[str]) -> list[str]:
    """Return the words of a command line as overrides that Hydra understands.

    Raises
    ------
    InputError
        Several inputs without ``-m``.
    MaterialsError
        Materials that do not exist or are not valid.
    """
    sweep = any(word in ("-m", "--multirun") for word in words)
    result = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            result.append(word)
        elif key == "materials" and value:
            result.append(f"materials={_materials(value)}")
        elif key in WHOLE:
            result += [f"~{key}", f"+{word}"] if value.strip() not in ("{}", "[]") else [f"~{key}"]
        elif key == "transport" and value:
            result.append(f"transport={_regimes(value)}")
        elif key.startswith(("materials.", "transport.")):
            result.append("++" + word)
        elif key == "where":
            result.append(f"{key}={_text(value, sweep=False)}")  # a condition in SQL has commas of its own
        elif key.startswith("tests."):
            result.append(f"++{key}={_text(value, sweep)}")
        elif key in TEXTS:
            result.append(f"{key}={_text(value, sweep)}")
        else:
            result.append(word)
    return result


def with_action(words: list[str]) -> list[str]:
    """Return the words of ``tripoint db <action> <argument>… <setting>=…``, all of them as settings.

    A query holds ``=`` as well, so a setting is a word that begins with the name of one.
    """
    settings = [word for word in words if word.startswith("-") or _SETTING.match(word)]
    rest = [_text(word, sweep=False) for word in words if word not in settings]
    return [*(f"action={word}" for word in rest[:1]), f"arguments=[{','.join(rest[1:])}]", *settings]


def _materials(value: str) -> str:
    """Put what a path or a definition holds beside the shipped materials, and return what to choose."""
    from hydra.core.config_store import ConfigStore

    names = []
    for number, choice in enumerate([value] if value.lstrip().startswith("{") else value.split(",")):
        source = choice.strip()
        materials = Materials.load(_inline(source) if source.startswith("{") else source)
        names.append(f"given_{number}")
        ConfigStore.instance().store(group="materials", name=names[-1], node=materials.to_mapping())
    return ",".join(names)


def _inline(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        message = (
            f"the inline materials are not valid YAML ({str(error).splitlines()[0]}); write them like "
            "materials='{phases: {pore: {label: 0, conducts: [ion]}}}'"
        )
        raise MaterialsError(message) from error


def _regimes(value: str) -> str:
    """Put what the path of a regime holds beside those that come along, and return what to choose."""
    from hydra.core.config_store import ConfigStore

    names = []
    for number, choice in enumerate(value.split(",")):
        names.append(choice.strip())
        if names[-1] not in SWITCHES:
            regime = Kinetics.load(names[-1])
            names[-1] = f"given_{number}"
            ConfigStore.instance().store(group="transport", name=names[-1], node=regime.to_mapping())
    return ",".join(names)


def _text(value: str, sweep: bool) -> str:
    """Quote a text; in a sweep each of the values between commas, unless brackets hold them together."""
    if value in ("", "null") or (value[0] in "'\"" and value[-1] == value[0] and len(value) > 1):
        return value
    parts = value.split(",") if sweep and not value.startswith("[") else [value]
    return ",".join("'" + part.replace("\\'", "'").replace("'", "\\'") + "'" for part in parts)
