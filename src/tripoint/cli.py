"""tripoint <task> [settings]: the entry point, and the only place that knows of configuration."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tripoint._version import __version__
from tripoint.errors import InputError, MaterialsError, TripointError

log = logging.getLogger("tripoint")

USAGE = """\
tripoint: topology-aware graphs of particulate composites from 3D X-ray volumes

Usage
  tripoint <task> [setting=value …]

Tasks
  analyze   a labelled volume becomes a particle graph with its physics and a report
  synth     make a synthetic composite with known particles

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
    return _run(words[0], task, words[1:])


def analyze(config: Any) -> None:
    """Read, analyse, save, as the settings of ``conf/analyze.yaml`` say."""
    from tripoint import io, pipeline

    settings = _plain(config)
    materials = _materials(settings["materials"])
    output = Path(settings["output"])
    io.check_output(output, overwrite=settings["overwrite"])
    with _progress() as progress:
        sample = io.read(
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
            progress=progress,
        )
        result = pipeline.analyze(
            sample,
            neck_ratio=settings["particles"]["neck_ratio"],
            min_voxels=settings["particles"]["min_voxels"],
            connectivity=settings["connectivity"],
            subvolumes=settings["subvolumes"],
            device=settings["device"],
            progress=progress,
        )
        result.save(output, overwrite=settings["overwrite"], progress=progress)
    for warning in result.summary["warnings"]:
        log.warning("warning: %s", warning)
    run = result.summary["run"]
    log.info("analysed in %.1f s on the device '%s'", sum(run["seconds"].values()), run["device"])
    _say(str(output / "report.html"))


def synth(config: Any) -> None:
    """Make a synthetic composite and save it, as the settings of ``conf/synth.yaml`` say."""
    from tripoint import io
    from tripoint.synth import Composite, solid_state_cathode

    settings = _plain(config)
    output = Path(settings["output"])
    io.check_output(output, overwrite=settings["overwrite"])
    with _progress() as progress:
        sample = solid_state_cathode(
            settings["shape"],
            settings["spacing"],
            composite=Composite(**settings["composite"]),
            seed=settings["seed"],
            progress=progress,
        )
        io.write(sample, output, overwrite=settings["overwrite"])
    _say(str(output))


TASKS: dict[str, Callable[[Any], None]] = {"analyze": analyze, "synth": synth}


def _run(name: str, task: Callable[[Any], None], words: list[str]) -> int:
    """Hand a task to Hydra, which composes its settings and sweeps with -m."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _log_to_stderr()
    debug = "--debug" in words
    failures: list[int] = []

    def guarded(config: Any) -> None:
        try:
            task(config)
        except TripointError as error:
            failures.append(1)  # the other runs of a sweep go on
            _report(error, debug)
        except OmegaConfBaseException as error:
            failures.append(1)
            _report(InputError(_config_message(error)), debug)
        except MemoryError as error:
            failures.append(1)
            message = f"there is not enough memory ({error}); crop with roi=, or run on a machine with more"
            _report(InputError(message), debug)

    OmegaConf.register_new_resolver("stem", _stem, replace=True)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises what it would otherwise print in its own way
    try:
        overrides = _overrides([word for word in words if word != "--debug"])
        before, sys.argv = sys.argv, [f"tripoint {name}", *overrides]
        try:
            hydra.main(version_base="1.3", config_path="pkg://tripoint.conf", config_name=name)(guarded)()
        finally:
            sys.argv = before
    except TripointError as error:
        _report(error, debug)
        return 1
    except (HydraException, OmegaConfBaseException) as error:
        _report(InputError(_config_message(error)), debug)
        return 1
    except KeyboardInterrupt:
        _complain("interrupted; nothing was written")
        return 130
    except SystemExit as stop:
        return int(stop.code or 0) if isinstance(stop.code, int | None) else 1
    return max(failures, default=0)


def _overrides(words: list[str]) -> list[str]:
    """Let ``materials=`` also take paths and a definition, and ``materials.x=`` add what is not there.

    Hydra chooses materials by name, so what a path or a definition holds is put beside the shipped files.
    """
    from hydra.core.config_store import ConfigStore

    from tripoint.materials import Materials

    def named(value: str, name: str) -> str:
        materials = Materials.load(_inline(value) if value.startswith("{") else value)
        ConfigStore.instance().store(group="materials", name=name, node=materials.to_mapping())
        return name

    result = []
    for word in words:
        key, equals, value = word.partition("=")
        if key == "materials" and equals and value:
            choices = [value] if value.lstrip().startswith("{") else value.split(",")
            names = [named(choice.strip(), f"given_{i}") for i, choice in enumerate(choices)]
            result.append(f"materials={','.join(names)}")
        elif key.startswith("materials.") and equals:
            result.append("++" + word)
        else:
            result.append(word)
    return result


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


def _log_to_stderr() -> None:
    """Send what tripoint says of its progress to standard error, and to nobody else."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def _plain(config: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    settings = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def _materials(mapping: dict[str, Any]) -> Any:
    from tripoint.materials import Materials, shipped

    if not mapping.get("phases"):
        message = (
            f"the materials are missing; give materials=NAME with one of {', '.join(shipped())}, "
            "the path of a .yaml file, or an inline definition"
        )
        raise MaterialsError(message)
    return Materials.from_mapping(mapping)


def _stem(path: Any) -> str:
    """Name of the result folder that belongs to an input."""
    name = Path(str(path).split(":/")[0].rstrip("/")).name
    for ending in (".ome.zarr", ".ome.tiff", ".ome.tif"):
        name = name.removesuffix(ending)
    return Path(name).stem if "." in name else name


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on a terminal and log lines elsewhere."""
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


def _config_message(error: Exception) -> str:
    text = str(error).splitlines()[0]
    key = getattr(error, "full_key", None)
    if "Missing mandatory value" in text or "MissingMandatory" in type(error).__name__:
        return f"the setting '{key}' is missing; give it as {key}=…"
    if text.startswith("Could not override '"):
        return f"there is no setting {text.split()[3].rstrip('.')}; see --help for those there are"
    return f"the settings do not fit: {text.rstrip('.')}; see --help"


def _report(error: Exception, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    _complain(str(error))


def _complain(message: str) -> None:
    sys.stderr.write(f"tripoint: {message}\n")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
