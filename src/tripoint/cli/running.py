"""A task, run once or for every run of a sweep, with settings that Hydra composes."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import hydra
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tripoint.cli.messages import complain, explained, log_to_stderr, report
from tripoint.cli.progress import shown
from tripoint.cli.settings import plain, stem
from tripoint.cli.sweep import Runs, count_jobs
from tripoint.errors import InputError
from tripoint.sample import choose_device

log = logging.getLogger("tripoint")


def run(task: str, arguments: list[str], debug: bool) -> int:
    """Run a task with the arguments, and return the exit code; ``-m`` among them makes a sweep."""
    with _swept(arguments) as complete:
        return _hydra(task, complete, debug)


def _hydra(task: str, arguments: list[str], debug: bool) -> int:
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
                _load(task)(plain(config))
                return
            runs = runs or Runs(jobs)
            runs.submit(_run_apart, task, plain(config), debug)
        except Exception as error:  # the other runs of a sweep go on
            failures.append(explained(error))
            report(failures[-1], error, debug)

    OmegaConf.register_new_resolver("stem", stem, replace=True)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises what it would otherwise print in its own way
    before, sys.argv = sys.argv, [f"tripoint {task}", *arguments]
    try:
        hydra.main(version_base="1.3", config_path="pkg://tripoint.conf", config_name=task)(guarded)()
        if runs is not None:
            with shown() as progress:
                for failure in filter(None, runs.results(progress)):
                    failures.append(failure)
                    complain(failure)
    finally:
        sys.argv = before
        if runs is not None:
            runs.close()
    return 1 if failures else 0


def _load(task: str) -> Callable[[dict[str, Any]], None]:
    """Return what runs a task; each brings along the rooms that it needs, and these only."""
    run: Callable[[dict[str, Any]], None] = import_module(f"tripoint.cli.{task}").run
    return run


def _jobs(config: Any) -> int:
    """Return how many runs of a sweep go at a time: one, but where they fill a database on the CPU."""
    fills = config.get("database") is not None and "jobs" in config
    given = config.jobs if "jobs" in config else 1
    return count_jobs(given, fills and given == "auto" and choose_device(config.device) == "cpu")


def _run_apart(task: str, settings: dict[str, Any], debug: bool) -> str | None:
    """Do one run of a sweep in a process of its own; return the sentence where it failed."""
    log_to_stderr()
    log.setLevel(logging.WARNING)
    try:
        _load(task)(settings)
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        return explained(error)
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
