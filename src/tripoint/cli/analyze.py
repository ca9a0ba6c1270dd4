"""tripoint analyze: a labelled volume becomes a particle graph with its physics and a report."""

from __future__ import annotations

import logging
from typing import Any

from tripoint import io, measured, pipeline, uncertainty
from tripoint.cli.analysis import activity_of, analysis_of
from tripoint.cli.messages import say
from tripoint.cli.output import added, is_done, output_beside, target_of
from tripoint.cli.progress import shown
from tripoint.cli.settings import check_section, check_text, stem
from tripoint.cli.trained import Network
from tripoint.errors import InputError, MaterialsError
from tripoint.materials import Materials, shipped
from tripoint.record import Progress
from tripoint.sample import Sample

log = logging.getLogger("tripoint")


def run(settings: dict[str, Any]) -> None:
    """Read, analyse, save, as the settings of ``conf/analyze.yaml`` say."""
    network = None
    if check_section(settings, "segment")["checkpoint"] is not None:
        _check_probabilities(settings)
        network = Network.of(settings)
    source = check_text(settings, "input")
    materials = _materials(settings["materials"]) if network is None else network.materials
    how = analysis_of(settings, materials)
    activity = _activity(settings)
    inputs = (source,) if network is None else (*network.images, network.checkpoint)
    target = target_of(
        settings,
        str(settings["name"] or stem(settings["input"])),
        inputs=(*inputs, activity, settings["map"]["affine"]),
        paths=("input",),
    )
    if is_done(target, settings["output"]):
        return
    output, overwrite = output_beside(settings, target)
    with shown() as progress:
        # What can be refused is refused before it is waited for: that there are no probabilities before the
        # volume is read or segmented, that they are of another volume before it is analysed.
        probabilities = None if settings["uncertainty"] is None else _probabilities(settings, materials)
        sample = _read(settings, materials, progress) if network is None else network.sample(progress)
        if activity not in (None, "simulate"):
            activity = measured.read(activity, sample, settings["map"])
        if probabilities is not None:
            uncertainty.check(sample, probabilities, settings["uncertainty"])
        result = pipeline.analyze(
            sample,
            activity=activity,
            **(how if network is not None else _where_read(how, sample)),
            progress=progress,
        )
        if probabilities is not None:
            result = uncertainty.repeat(
                result,
                probabilities,
                settings["uncertainty"],
                lambda drawn: pipeline.analyze(drawn, **_plain(how, sample)),
                correlation=settings["correlation"],
                least=uncertainty.least_voxels(_place(settings)),
                progress=progress,
            )
        if target is not None:
            target.add(result)
        if output is not None:
            result.save(output, overwrite=overwrite, progress=progress)
    for warning in result.summary["warnings"]:
        log.warning("warning: %s", warning)
    ran = result.summary["run"]
    where = ran["device_name"] or ran["device"]
    log.info("analysed in %.1f s on the device '%s'", sum(ran["seconds"].values()), where)
    say(added(target) if output is None else str(output / "report.html"))


def _read(settings: dict[str, Any], materials: Materials, progress: Progress) -> Sample:
    return io.read(
        settings["input"],
        spacing=settings["spacing"],
        units=settings["units"],
        materials=materials,
        roi=settings["roi"],
        shape=settings["shape"],
        dtype=settings["dtype"],
        byte_order=settings["byte_order"],
        channel=settings["channel"],
        name=settings["name"],
        device=settings["device"],
        progress=progress,
    )


def _where_read(how: dict[str, Any], sample: Sample) -> dict[str, Any]:
    """Return how to analyse where the sample was read to: reading has chosen, and said so."""
    return {**how, "device": "cpu"} if sample.device == "cpu" else how


def _materials(mapping: dict[str, Any]) -> Materials:
    if not mapping.get("phases"):
        message = (
            f"the materials are missing; give materials=NAME with one of {', '.join(shipped())}, "
            "the path of a .yaml file, or an inline definition"
        )
        raise MaterialsError(message)
    return Materials.from_mapping(mapping)


def _check_probabilities(settings: dict[str, Any]) -> None:
    """Look whether draws of grey values have probabilities, which are not kept when phases stay in memory."""
    if settings["uncertainty"] is not None and settings["probabilities"] is None:
        message = (
            "uncertainty needs probabilities, and analyze keeps none where it segments grey values itself; "
            "take two steps, tripoint segment mode=predict probabilities=uint8 with this checkpoint, then "
            f"tripoint analyze uncertainty={settings['uncertainty']} of its output, or give "
            "probabilities=PATH"
        )
        raise InputError(message)


def _probabilities(settings: dict[str, Any], materials: Materials) -> uncertainty.Probabilities:
    """Open the probabilities of the phases."""
    return uncertainty.read(_place(settings), materials, settings["roi"], temperature=settings["temperature"])


def _place(settings: dict[str, Any]) -> str:
    """Return where the probabilities are."""
    return str(settings["probabilities"] or settings["input"])


def _plain(how: dict[str, Any], sample: Sample) -> dict[str, Any]:
    """Return how draws are analysed: as the sample, without what flows."""
    kept = {name: how[name] for name in ("neck_ratio", "min_voxels", "connectivity", "device_memory")}
    return {**kept, "subvolumes": 0, "device": sample.device}


def _activity(settings: dict[str, Any]) -> Any:
    """Return ``"simulate"``, what leads to a map, or None."""
    unused = [f"map.{key}" for key, value in check_section(settings, "map").items() if value is not None]
    activity = activity_of(settings)
    if unused and activity in (None, "simulate"):
        message = (
            f"{unused[0]} is given without a map; name the map as activity=PATH, or leave {unused[0]} out"
        )
        raise InputError(message)
    return activity
