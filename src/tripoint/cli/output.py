"""Where a task writes: a path, a database, or both; checked before anything is computed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tripoint import io
from tripoint.cli.filling import Target
from tripoint.cli.messages import say
from tripoint.cli.settings import check_switch, check_text

log = logging.getLogger("tripoint")


def target_of(settings: dict[str, Any], sample: str, **inputs: Any) -> Target | None:
    """Return what goes into which database."""
    check_switch(settings, "overwrite")
    return Target.of(settings, sample, **inputs)


def is_done(target: Target | None, output: Any) -> bool:
    """Whether the database holds the sample already, and the output too; says so."""
    if target is None or not target.filled or (output is not None and not Path(str(output)).exists()):
        return False
    log.info("%s is there already, in %s", target.sample, target.database.store)
    say(added(target))
    return True


def added(target: Target | None) -> str:
    """Say which sample of which database was added."""
    assert target is not None  # without one there is an output
    return f"{target.database.store}: {target.sample}"


def output_beside(settings: dict[str, Any], target: Target | None) -> tuple[Path | None, bool]:
    """Return the output as `output_of` does; where a database is filled there may be none."""
    if settings["output"] is None and target is not None:
        return None, target.overwrite
    return output_of(settings)


def output_of(settings: dict[str, Any]) -> tuple[Path, bool]:
    """Return where to write and whether to replace, checked before anything is computed."""
    output = Path(check_text(settings, "output"))
    overwrite = check_switch(settings, "overwrite")
    io.check_output(output, overwrite=overwrite)
    return output, overwrite
