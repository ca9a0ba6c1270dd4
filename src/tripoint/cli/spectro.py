"""tripoint spectro: an energy stack becomes chemical maps, registered to the structure."""

from __future__ import annotations

import logging
from typing import Any

from tripoint import chemistry
from tripoint.cli.messages import say
from tripoint.cli.output import output_of
from tripoint.cli.progress import shown
from tripoint.cli.settings import (
    check_number,
    check_range,
    check_section,
    check_switch,
    check_text,
    read_list,
)
from tripoint.spectro import EdgePosition, Normalisation

log = logging.getLogger("tripoint")


def run(settings: dict[str, Any]) -> None:
    """Fit an energy stack and save its maps, as the settings of ``conf/spectro.yaml`` say."""
    source = check_text(settings, "input")
    energies = read_list(check_text(settings, "energies"))
    output, overwrite = output_of(settings)
    registered = check_section(settings, "register")
    with shown() as progress:
        summary = chemistry.measure(
            source,
            energies,
            output,
            spacing=settings["spacing"],
            units=settings["units"],
            within=settings["range"],
            noise=settings["noise"],
            references=settings["references"],
            use=read_list(settings["use"]),
            transmission=check_switch(settings, "transmission"),
            nonnegative=check_switch(settings, "nonnegative"),
            sum_to_one=check_switch(settings, "sum_to_one"),
            **_spectra(settings),
            register=registered if registered["to"] is not None else None,
            device=settings["device"],
            name=settings["name"],
            overwrite=overwrite,
            progress=progress,
        )
    for warning in summary["warnings"]:
        log.warning("warning: %s", warning)
    say(str(output / "maps.zarr"))


def _spectra(settings: dict[str, Any]) -> dict[str, Any]:
    """Return how spectra are normalised and where their edge is sought."""
    normalise = check_section(settings, "normalise")
    edge = check_section(settings, "edge")
    normalisation = position = None
    if normalise["edge"] is not None:
        normalisation = Normalisation(
            check_number(normalise["edge"], "normalise.edge"),
            check_range(normalise["pre"], "normalise.pre"),
            check_range(normalise["post"], "normalise.post"),
            normalise["degree"],
            check_switch(normalise, "flatten"),
        )
    if edge["method"] is not None:
        position = EdgePosition(
            str(edge["method"]),
            check_range(edge["window"], "edge.window"),
            check_number(edge["width"], "edge.width"),
            check_number(edge["level"], "edge.level"),
        )
    least_step = check_number(normalise["least_step"], "normalise.least_step")
    return {
        "normalisation": normalisation,
        "least_step": least_step,
        "edge": position,
        "charge": edge["charge"],
    }
