"""tripoint <task> [settings]: the entry point, and the only place that knows of configuration."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tripoint import overrides
from tripoint._version import __version__
from tripoint.errors import InputError, MaterialsError, TripointError

if TYPE_CHECKING:
    from tripoint.filling import Target
    from tripoint.sweep import Runs

log = logging.getLogger("tripoint")

USAGE = """\
tripoint: topology-aware graphs of particulate composites from 3D X-ray volumes

Usage
  tripoint <task> [setting=value …]

Tasks
  analyze   a labelled volume becomes a particle graph with its physics and a report
  synth     make a synthetic composite with known particles
  spectro   an energy stack becomes chemical maps, registered to the structure
  db        ask and keep a database of graphs

  tripoint <task> --help   shows the settings of a task
  tripoint --version"""


def main(arguments: list[str] | None = None) -> int:
    """Run a task and return the exit code: 0 done, 1 an error of the input or output, 2 wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        _say(USAGE)
        return 0 if words else 2
    if words[0] in ("-V", "--version", "version"):
        _say(f"tripoint {__version__}")
        return 0
    task = TASKS.get(words[0])
    if task is None:
        _complain(f"there is no task '{words[0]}'; the tasks are {', '.join(TASKS)}")
        return 2
    return _run(words[0], task, overrides.with_action(words[1:]) if task is db else words[1:])


def analyze(config: Any) -> None:
    """Read, analyse, save, as the settings of ``conf/analyze.yaml`` say."""
    from tripoint import io, measured, pipeline

    settings = _plain(config)
    source = overrides.check_text(settings, "input")
    materials = _materials(settings["materials"])
    how = _analysis(settings, materials)
    activity = _activity(settings)
    target = _target(
        settings,
        str(settings["name"] or _stem(source)),
        inputs=(source, activity, settings["map"]["affine"]),
        paths=("input",),
    )
    if _is_done(target, settings["output"]):
        return
    output, overwrite = _output_beside(settings, target)
    with _progress() as progress:
        sample = io.read(
            source,
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
        if activity not in (None, "simulate"):
            activity = measured.read(activity, sample, settings["map"], roi=settings["roi"], volume=source)
        result = pipeline.analyze(
            sample,
            activity=activity,
            # Reading has chosen, and said so.
            **{**how, "device": "cpu" if sample.device == "cpu" else settings["device"]},
            progress=progress,
        )
        if target is not None:
            target.add(result)
        if output is not None:
            result.save(output, overwrite=overwrite, progress=progress)
    for warning in result.summary["warnings"]:
        log.warning("warning: %s", warning)
    run = result.summary["run"]
    where = run["device_name"] or run["device"]
    log.info("analysed in %.1f s on the device '%s'", sum(run["seconds"].values()), where)
    _say(_added(target) if output is None else str(output / "report.html"))


def synth(config: Any) -> None:
    """Make a synthetic composite, save it or add it to a database, as ``conf/synth.yaml`` says."""
    from tripoint import io, pipeline
    from tripoint.materials import Materials
    from tripoint.synth import Composite, make, vary

    settings = _plain(config)
    composite = Composite.from_mapping(overrides.check_section(settings, "synth"))
    composite = vary(composite, overrides.check_section(settings, "vary"), settings["seed"])
    imaging = overrides.check_switch(settings, "imaging")
    materials = Materials.load(composite.materials)
    how, activity = _analysis(settings, materials), overrides.check_simulation(settings)
    name = str(settings["name"] or f"{materials.name}_{settings['seed']}")
    target = _target({**settings, "synth": composite.to_mapping(), "vary": None}, name)
    if _is_done(target, settings["output"]):
        return
    output, overwrite = _output_beside(settings, target)
    with _progress() as progress:
        sample = make(
            composite,
            settings["shape"],
            settings["spacing"],
            seed=settings["seed"],
            imaging=imaging,
            progress=progress,
        )
        sample = replace(sample, name=name)
        if target is not None:
            target.add(pipeline.analyze(sample, activity=activity, **how, progress=progress))
        if output is not None:
            io.write(sample, output, overwrite=overwrite)
    _say(_added(target) if output is None else str(output))


def spectro(config: Any) -> None:
    """Fit an energy stack and save its maps, as the settings of ``conf/spectro.yaml`` say."""
    from tripoint import chemistry

    settings = _plain(config)
    source = overrides.check_text(settings, "input")
    energies = overrides.read_list(overrides.check_text(settings, "energies"))
    output, overwrite = _output(settings)
    registered = overrides.check_section(settings, "register")
    with _progress() as progress:
        summary = chemistry.measure(
            source,
            energies,
            output,
            spacing=settings["spacing"],
            units=settings["units"],
            within=settings["range"],
            noise=settings["noise"],
            references=settings["references"],
            use=overrides.read_list(settings["use"]),
            transmission=overrides.check_switch(settings, "transmission"),
            nonnegative=overrides.check_switch(settings, "nonnegative"),
            sum_to_one=overrides.check_switch(settings, "sum_to_one"),
            **_spectra(settings),
            register=registered if registered["to"] is not None else None,
            device=settings["device"],
            name=settings["name"],
            overwrite=overwrite,
            progress=progress,
        )
    for warning in summary["warnings"]:
        log.warning("warning: %s", warning)
    _say(str(output / "maps.zarr"))


def db(config: Any) -> None:
    """Ask or keep a graph database, as the settings of ``conf/db.yaml`` say."""
    from tripoint import cli_database

    with _progress() as progress:
        cli_database.run(_plain(config), _say, progress)


TASKS: dict[str, Callable[[Any], None]] = {
    "analyze": analyze,
    "synth": synth,
    "spectro": spectro,
    "db": db,
}


def _run(name: str, task: Callable[[Any], None], words: list[str]) -> int:
    """Hand a task to Hydra, which composes its settings and sweeps with -m."""
    debug = "--debug" in words
    _log_to_stderr()
    try:
        with _swept(overrides.translate([word for word in words if word != "--debug"])) as arguments:
            return _hydra(name, task, arguments, debug)
    except KeyboardInterrupt:
        swept = {"-m", "--multirun"} & set(words)
        _complain(f"interrupted; {'the runs that were done stay' if swept else 'nothing was written'}")
        return 130
    except SystemExit as stop:
        return int(stop.code or 0) if isinstance(stop.code, int | None) else 1
    except Exception as error:
        _report(_explained(error), error, debug)
        return 1


def _hydra(name: str, task: Callable[[Any], None], arguments: list[str], debug: bool) -> int:
    import hydra
    from omegaconf import OmegaConf

    from tripoint.sweep import Runs

    failures: list[str] = []
    outputs: set[Path] = set()
    runs: Runs | None = None
    jobs = None if "-m" in arguments else 1

    def guarded(config: Any) -> None:
        nonlocal jobs, runs
        try:
            _claim(config, outputs)
            jobs = jobs or _jobs(config)
            if jobs == 1:
                task(config)
                return
            runs = runs or Runs(jobs)
            runs.submit(_run_apart, name, _plain(config), debug)
        except Exception as error:  # the other runs of a sweep go on
            failures.append(_explained(error))
            _report(failures[-1], error, debug)

    OmegaConf.register_new_resolver("stem", _stem, replace=True)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises what it would otherwise print in its own way
    before, sys.argv = sys.argv, [f"tripoint {name}", *arguments]
    try:
        hydra.main(version_base="1.3", config_path="pkg://tripoint.conf", config_name=name)(guarded)()
        if runs is not None:
            with _progress() as progress:
                for failure in filter(None, runs.results(progress)):
                    failures.append(failure)
                    _complain(failure)
    finally:
        sys.argv = before
        if runs is not None:
            runs.close()
    return 1 if failures else 0


def _jobs(config: Any) -> int:
    """Return how many runs of a sweep go at a time: one, but where they fill a database on the CPU."""
    from tripoint.sample import choose_device
    from tripoint.sweep import count_jobs

    fills = config.get("database") is not None and "jobs" in config
    given = config.jobs if "jobs" in config else 1
    return count_jobs(given, fills and given == "auto" and choose_device(config.device) == "cpu")


def _run_apart(name: str, settings: dict[str, Any], debug: bool) -> str | None:
    """Do one run of a sweep in a process of its own; return the sentence where it failed."""
    _log_to_stderr()
    log.setLevel(logging.WARNING)
    try:
        TASKS[name](settings)
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        return _explained(error)
    return None


@contextmanager
def _swept(arguments: list[str]) -> Iterator[list[str]]:
    """Give Hydra's record of a sweep a folder of its own, which goes when the sweep is done."""
    rest = [word for word in arguments if word not in ("-m", "--multirun")]
    if len(rest) == len(arguments) or any("hydra.sweep.dir" in word for word in rest):
        yield arguments
        return
    with tempfile.TemporaryDirectory(prefix="tripoint-sweep-") as folder:
        yield ["-m", *rest, f"hydra.sweep.dir='{folder}'"]  # Hydra takes no settings after a -m among them


def _claim(config: Any, outputs: set[Path]) -> None:
    """Make sure that no two runs of a sweep write to the same place, whatever overwrite says."""
    from omegaconf.errors import OmegaConfBaseException

    try:
        if config.output is None:
            return  # the graph goes into a database, or the task will say that there is no output
        output = Path(str(config.output)).resolve()
    except OmegaConfBaseException:
        return  # the task will say what is missing
    if output in outputs:
        message = (
            f"two runs of this sweep would write to {output}; tell them apart with a setting that varies, "
            "for example output='out/${stem:${input}}_${particles.neck_ratio}'"
        )
        raise InputError(message)
    outputs.add(output)


def _log_to_stderr() -> None:
    """Send what tripoint says of its progress to standard error, and to nobody else."""
    log.handlers = [_ToStderr()]
    log.setLevel(logging.INFO)
    log.propagate = False


class _ToStderr(logging.Handler):
    """Write lines to what standard error is at that moment: a progress bar takes its place to stay below."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        sys.stderr.write(self.format(record) + "\n")


def _plain(config: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    if isinstance(config, dict):
        return config
    settings = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def _target(settings: dict[str, Any], sample: str, **inputs: Any) -> Target | None:
    """Return what goes into which database."""
    from tripoint.filling import Target

    overrides.check_switch(settings, "overwrite")
    return Target.of(settings, sample, **inputs)


def _is_done(target: Target | None, output: Any) -> bool:
    """Whether the database holds the sample already, and the output too; says so."""
    if target is None or not target.filled or (output is not None and not Path(str(output)).exists()):
        return False
    log.info("%s is there already, in %s", target.sample, target.database.store)
    _say(_added(target))
    return True


def _added(target: Target | None) -> str:
    assert target is not None  # without one there is an output
    return f"{target.database.store}: {target.sample}"


def _output_beside(settings: dict[str, Any], target: Target | None) -> tuple[Path | None, bool]:
    """Return the output as `_output` does; where a database is filled there may be none."""
    if settings["output"] is None and target is not None:
        return None, target.overwrite
    return _output(settings)


def _output(settings: dict[str, Any]) -> tuple[Path, bool]:
    """Return where to write and whether to replace, checked before anything is computed."""
    from tripoint import io

    output = Path(overrides.check_text(settings, "output"))
    overwrite = overrides.check_switch(settings, "overwrite")
    io.check_output(output, overwrite=overwrite)
    return output, overwrite


def _spectra(settings: dict[str, Any]) -> dict[str, Any]:
    """Return how spectra are normalised and where their edge is sought."""
    from tripoint.spectro import EdgePosition, Normalisation

    normalise = overrides.check_section(settings, "normalise")
    edge = overrides.check_section(settings, "edge")
    normalisation = position = None
    if normalise["edge"] is not None:
        normalisation = Normalisation(
            overrides.check_number(normalise["edge"], "normalise.edge"),
            overrides.check_range(normalise["pre"], "normalise.pre"),
            overrides.check_range(normalise["post"], "normalise.post"),
            normalise["degree"],
            overrides.check_switch(normalise, "flatten"),
        )
    if edge["method"] is not None:
        position = EdgePosition(
            str(edge["method"]),
            overrides.check_range(edge["window"], "edge.window"),
            overrides.check_number(edge["width"], "edge.width"),
            overrides.check_number(edge["level"], "edge.level"),
        )
    least_step = overrides.check_number(normalise["least_step"], "normalise.least_step")
    return {
        "normalisation": normalisation,
        "least_step": least_step,
        "edge": position,
        "charge": edge["charge"],
    }


def _materials(mapping: dict[str, Any]) -> Any:
    from tripoint.materials import Materials, shipped

    if not mapping.get("phases"):
        message = (
            f"the materials are missing; give materials=NAME with one of {', '.join(shipped())}, "
            "the path of a .yaml file, or an inline definition"
        )
        raise MaterialsError(message)
    return Materials.from_mapping(mapping)


def _analysis(settings: dict[str, Any], materials: Any) -> dict[str, Any]:
    """Return how a sample is analysed, but for the activity."""
    particles = overrides.check_section(settings, "particles")
    return {
        **_flow(settings, materials),
        "neck_ratio": particles["neck_ratio"],
        "min_voxels": particles["min_voxels"],
        "connectivity": settings["connectivity"],
        "subvolumes": settings["subvolumes"],
        "device": settings["device"],
        "device_memory": settings["device_memory"],
    }


def _flow(settings: dict[str, Any], materials: Any) -> dict[str, Any]:
    """Return whether transport is measured, with which kinetics, and how it is solved."""
    from tripoint.physics import Simulation
    from tripoint.transport.kinetics import SWITCHES, Kinetics

    given = overrides.check_section(settings, "transport")
    switch = given.get("name")
    changes = {key: value for key, value in given.items() if key != "name"}
    kinetics = None
    if switch not in SWITCHES:
        kinetics = Kinetics.load(given)
    elif changes:
        kinetics = Kinetics.of(materials, changes)
    return {
        "transport": switch != "off",
        "kinetics": kinetics,
        "simulation": Simulation(**overrides.check_section(settings, "simulation")),
    }


def _activity(settings: dict[str, Any]) -> Any:
    """Return ``"simulate"``, what leads to a map, or None."""
    overrides.check_section(settings, "map")
    given = str(settings["activity"] or "").strip()
    return None if given.lower() in ("", "off", "none", "false", "null") else given


def _stem(path: Any) -> str:
    """Name of the result folder that belongs to an input."""
    name = Path(str(path).split(":/")[0].rstrip("/")).name
    for ending in (".ome.zarr", ".ome.tiff", ".ome.tif"):
        name = name.removesuffix(ending)
    return Path(name).stem if "." in name else name


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on a terminal and log lines elsewhere."""
    if parent_process() is not None:  # of a sweep, which shows how far it is
        yield lambda *_: None
        return
    if not sys.stderr.isatty():

        def tell(step: str, done: int, total: int) -> None:
            if done < total and (done == 0 or total < 20):
                log.info("%s (%d/%d)", step, done + 1, total)

        yield tell
        return

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<32}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bars:
        bar = bars.add_task("starting", total=None)

        def show(step: str, done: int, total: int) -> None:
            bars.update(bar, description=step, completed=done, total=total)

        yield show


def _explained(error: Exception) -> str:
    """Say in one sentence what went wrong."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, TripointError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({error}); crop with roi=, or run on a machine with more"
    text = (str(error).splitlines() or [""])[0].rstrip(".")
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _explained_setting(text, getattr(error, "full_key", None))
    return (
        f"something went wrong that was not foreseen ({type(error).__name__}: {text}); see where with --debug"
    )


def _explained_setting(text: str, key: str | None) -> str:
    if "Missing mandatory value" in text:
        return f"the setting '{key}' is missing; give it as {key}=…"
    if text.startswith("Could not override '"):
        return f"there is no setting {text.split()[3]}; see --help for those there are"
    if text.startswith("Ambiguous value"):
        return f"{text.partition(' for argument ')[2]} holds several values; run them in turn with -m"
    return f"the settings do not fit: {text}; see --help"


def _report(sentence: str, error: Exception, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    _complain(sentence)


def _complain(message: str) -> None:
    sys.stderr.write(f"tripoint: {message}\n")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
