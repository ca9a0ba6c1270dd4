"""tripoint synth: a synthetic composite with known particles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from tripoint import io, pipeline, synth
from tripoint.cli.analysis import activity_of, analysis_of
from tripoint.cli.messages import say
from tripoint.cli.output import added, is_done, output_beside, target_of
from tripoint.cli.progress import shown
from tripoint.cli.settings import check_section, check_switch, read_list
from tripoint.errors import InputError
from tripoint.materials import Materials
from tripoint.synth.views import check_channels


def run(settings: dict[str, Any]) -> None:
    """Make a synthetic composite, save it or add it to a database, as ``conf/synth.yaml`` says."""
    composite = synth.Composite.from_mapping(check_section(settings, "synth"))
    composite = synth.vary(composite, check_section(settings, "vary"), settings["seed"])
    imaging = check_switch(settings, "imaging")
    materials = Materials.load(composite.materials)
    how, activity = analysis_of(settings, materials), _activity(settings)
    name = str(settings["name"] or f"{materials.name}_{settings['seed']}")
    target = target_of(_decisive(settings, composite), name)
    if is_done(target, settings["output"]):
        return
    output, overwrite = output_beside(settings, target)
    channels = _channels(settings, composite)
    displaced = [name for name in channels if composite.imaging.channels[name].displaced]
    with shown() as progress:
        sample = synth.make(
            composite,
            settings["shape"],
            settings["spacing"],
            seed=settings["seed"],
            imaging=imaging,
            channels=[name for name in channels if name not in displaced],
            progress=progress,
        )
        sample = replace(sample, name=name)
        if target is not None:
            target.add(pipeline.analyze(sample, activity=activity, **how, progress=progress))
        if output is not None:
            seen = synth.views(sample, composite, displaced, settings["seed"])
            apart = {name: (view.values, view.spacing, view.affine) for name, view in seen.items()}
            io.write(sample, output, overwrite=overwrite, displaced=apart)
    say(added(target) if output is None else str(output))


def _decisive(settings: dict[str, Any], composite: synth.Composite) -> dict[str, Any]:
    """Return what the graph of a sample depends on: not on further channels, of which it knows nothing."""
    made = composite.to_mapping()
    del made["imaging"]["channels"]
    kept = {name: value for name, value in settings.items() if name != "channels"}
    return {**kept, "synth": made, "vary": None}


def _channels(settings: dict[str, Any], composite: synth.Composite) -> list[str]:
    """Return the names of the further channels, which the composite has."""
    names = read_list(settings["channels"]) or []
    check_channels(composite, names)
    return list(names)


def _activity(settings: dict[str, Any]) -> Literal["simulate"] | None:
    """Return the activity of a made sample: ``simulate`` or None."""
    activity = activity_of(settings)
    if activity not in (None, "simulate"):
        message = f"activity is {activity!r}; of a made sample it can only be simulate"
        raise InputError(message)
    return None if activity is None else "simulate"
