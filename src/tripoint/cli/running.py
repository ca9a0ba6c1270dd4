"""A task, run once or for every run of a sweep, with settings that Hydra composes."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from tripoint.cli.messages import complain, explained, log_to_stderr, report
from tripoint.cli.outcomes import Done, Outcome, Outcomes
from tripoint.cli.progress import shown
from tripoint.cli.settings import plain, stem
from tripoint.cli.sweep import Runs, count_jobs
from tripoint.errors import InputError
from tripoint.sample import choose_device

log = logging.getLogger("tripoint")

#: Launchers of Hydra whose runs stay on this machine.
LOCAL = ("basic", "joblib")


def run(task: str, arguments: list[str], debug: bool) -> int:
    """Run a task with the arguments, and return the exit code; ``-m`` among them makes a sweep."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises what it would otherwise print in its own way
    rest = [word for word in arguments if word not in ("-m", "--multirun")]
    if len(rest) == len(arguments):
        single = Single(task, debug)
        _compose(task, arguments, single)
        return 1 if single.failed else 0
    with _folder(_chosen(rest, "hydra/launcher") or "basic") as folder:
        given = _chosen(rest, "hydra.sweep.dir")
        record = [] if given else [f"hydra.sweep.dir='{folder}/hydra'"]
        member = Member(task, debug, Outcomes(str(folder)), os.getpid())
        return _sweep(member, ["-m", *rest, *record])  # Hydra takes no settings after a -m among them


def _sweep(member: Member, arguments: list[str]) -> int:
    """Do all runs of a sweep, and conclude it; return the exit code."""
    stopped: Exception | None = None
    try:
        if _chosen(arguments, "hydra/launcher") or _chosen(arguments, "hydra/sweeper"):
            _compose(member.task, arguments, member)
        else:
            _share_out(member, arguments)
    except Exception as error:  # a sweeper, a launcher or a process gave up; what was done stays
        stopped = error
    ended = list(member.outcomes)
    for outcome in ended:
        member.tell(outcome)
    done = [outcome.done for outcome in ended if outcome.done is not None]
    without_any = ended and not done and type(stopped) is ValueError  # Optuna says so, and it is said already
    if stopped is not None and not without_any:
        report(explained(stopped), stopped, member.debug)
    if done:
        load(member.task).conclude(done)
    return 0 if stopped is None and all(outcome.failure is None for outcome in ended) else 1


def _share_out(member: Member, arguments: list[str]) -> None:
    """Do the runs one after the other, or in processes of their own."""
    processes = Processes(member)
    try:
        _compose(member.task, arguments, processes)
        processes.wait()
    finally:
        processes.close()


def _compose(task: str, arguments: list[str], function: Callable[[Any], Any]) -> None:
    """Let Hydra compose the settings of each run, and call a function with them."""
    before, sys.argv = sys.argv, [f"tripoint {task}", *arguments]
    OmegaConf.register_new_resolver("stem", stem, replace=True)
    try:
        hydra.main(version_base="1.3", config_path="pkg://tripoint.conf", config_name=task)(function)()
    finally:
        sys.argv = before


@dataclass
class Single:
    """A run that is no part of a sweep."""

    task: str
    debug: bool
    failed: bool = False

    def __call__(self, config: Any) -> None:
        """Run the task."""
        try:
            load(self.task).run(plain(config))
        except Exception as error:
            self.failed = True
            report(explained(error), error, self.debug)


@dataclass(frozen=True)
class Member:
    """A run of a sweep, in this process or in another that a launcher of Hydra started.

    Parameters
    ----------
    task : str
    debug : bool
    outcomes : Outcomes
    home : int
        The process that was started by the user, which alone says what failed.
    """

    task: str
    debug: bool
    outcomes: Outcomes
    home: int

    def __call__(self, config: Any) -> float | None:
        """Run the task, record how it ended, and return what the sweeper makes small."""
        OmegaConf.register_new_resolver("stem", stem, replace=True)
        if os.getpid() != self.home:
            _be_quiet()
        number = HydraConfig.get().job.num
        try:
            self.outcomes.claim(number, config)
            settings = plain(config)
            self._check_jobs(settings)
        except Exception as error:
            self.fail(number, error)
            return None
        return self.carry_out(number, settings)

    def carry_out(self, number: int, settings: dict[str, Any]) -> float | None:
        """Run the task with settings; the other runs of a sweep go on where it fails."""
        try:
            done = load(self.task).run(settings)
        except Exception as error:
            self.fail(number, error)
            return None
        done = done if isinstance(done, Done) else None
        self.outcomes.record(Outcome(number, done=done))
        return None if done is None else done.objective

    def carry_out_apart(self, number: int, settings: dict[str, Any]) -> int:
        """Run the task in a process of its own; return the number of the run."""
        _be_quiet()
        self.carry_out(number, settings)
        return number

    def fail(self, number: int, error: Exception) -> None:
        """Record the sentence; say it, where that is the screen of the user."""
        outcome = Outcome(number, failure=explained(error))
        self.outcomes.record(outcome)
        if self.debug:
            traceback.print_exception(error)
        if os.getpid() == self.home:
            self.tell(outcome)

    def tell(self, outcome: Outcome) -> None:
        """Say the sentence of a run that failed, once."""
        if outcome.failure is not None and not outcome.said:
            complain(outcome.failure)
            self.outcomes.record(replace(outcome, said=True))

    @staticmethod
    def _check_jobs(settings: dict[str, Any]) -> None:
        """Refuse a number of runs at a time where Hydra starts them."""
        if settings.get("jobs", "auto") not in ("auto", 1):
            message = (
                f"jobs is {settings['jobs']}, and this sweep is run by a launcher or a sweeper of Hydra; say "
                "there how many go at a time, such as hydra/launcher=joblib hydra.launcher.n_jobs=2"
            )
            raise InputError(message)


@dataclass
class Processes:
    """The runs of a sweep that no launcher of Hydra starts: in this process, or several in others.

    Parameters
    ----------
    member : Member
    """

    member: Member
    jobs: int | None = None
    runs: Runs | None = None

    def __call__(self, config: Any) -> None:
        """Do a run, or hand it to a process."""
        number = HydraConfig.get().job.num
        try:
            self.member.outcomes.claim(number, config)
            self.jobs = self.jobs or _jobs(config)
            settings = plain(config)
        except Exception as error:  # the other runs of a sweep go on
            self.member.fail(number, error)
            return
        if self.jobs == 1:
            self.member.carry_out(number, settings)
            return
        self.runs = self.runs or Runs(self.jobs)
        self.runs.submit(self.member.carry_out_apart, number, settings)

    def wait(self) -> None:
        """Wait for the processes."""
        if self.runs is not None:
            with shown() as progress:
                for number in self.runs.results(progress):
                    self.member.tell(self.member.outcomes[number])

    def close(self) -> None:
        """Begin no more runs."""
        if self.runs is not None:
            self.runs.close()


def _be_quiet() -> None:
    """Let a process of a sweep say warnings only."""
    log_to_stderr()
    log.setLevel(logging.WARNING)


def load(task: str) -> ModuleType:
    """Return the module of a task; each brings along the rooms that it needs, and these only."""
    return import_module(f"tripoint.cli.{task}")


def _jobs(config: Any) -> int:
    """Return how many runs of a sweep go at a time: by default one per core, unless they share a GPU."""
    if "jobs" not in config:
        return 1
    alone = config.get("database") is not None and _on_the_host(config)
    return count_jobs(config.jobs, config.jobs == "auto" and alone)


def _on_the_host(config: Any) -> bool:
    if "trainer" in config:
        return bool(config.trainer.accelerator == "cpu")
    return choose_device(config.device) == "cpu"


def _chosen(arguments: Sequence[str], key: str) -> str | None:
    """Return what is given for a setting of Hydra itself."""
    return next((word.partition("=")[2] for word in arguments if word.partition("=")[0] == key), None)


@contextmanager
def _folder(launcher: str) -> Iterator[Path]:
    """Give a sweep a folder for its outcomes and for Hydra's record, which goes when the sweep is done.

    Runs on other machines see the folder in which the sweep was started; theirs stays, with their logs.
    """
    if launcher not in LOCAL:
        folder = Path(tempfile.mkdtemp(prefix="sweep-", dir=Path.cwd()))
        log.info("the runs of this sweep log into %s", folder)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="tripoint-sweep-") as folder_of_this_machine:
        yield Path(folder_of_this_machine)
