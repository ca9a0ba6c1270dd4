"""tripoint register: a second volume comes onto the grid of a first one."""

from __future__ import annotations

import logging
from typing import Any

from tripoint import alignment
from tripoint.cli.messages import say
from tripoint.cli.output import output_of
from tripoint.cli.progress import shown
from tripoint.cli.settings import check_number, check_text

log = logging.getLogger("tripoint")


def run(settings: dict[str, Any]) -> None:
    """Register a volume and save it, as the settings of ``conf/register.yaml`` say."""
    units = settings["units"]
    fixed = alignment.Volume(
        check_text(settings, "fixed"),
        settings["spacing"],
        units,
        settings["channel"],
        settings["roi"],
        settings["blank"],
    )
    moving = alignment.Volume(
        check_text(settings, "moving"),
        settings["moving_spacing"],
        units,
        settings["moving_channel"],
        blank=settings["moving_blank"],
    )
    output, overwrite = output_of(settings)
    with shown() as progress:
        summary = alignment.align(
            fixed,
            moving,
            output,
            method=str(settings["method"]),
            rotation=check_number(settings["rotation"], "rotation"),
            affine=settings["affine"],
            start=settings["start"],
            truth=settings["truth"],
            outside=settings["outside"],
            device=settings["device"],
            name=settings["name"],
            overwrite=overwrite,
            progress=progress,
        )
    for warning in summary["warnings"]:
        log.warning("warning: %s", warning)
    if summary["covered"] is not None:
        log.info("the moved volume shows all of roi=%s", str(summary["covered"]).replace(" ", ""))
    say(str(output / "report.html"))
