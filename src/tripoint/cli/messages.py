"""What the user reads: answers on standard output, progress and one sentence per error on standard error."""

from __future__ import annotations

import logging
import sys
import traceback
from concurrent.futures.process import BrokenProcessPool

from tripoint.errors import TripointError

log = logging.getLogger("tripoint")

#: What the extra ``learn`` brings.
EXTRAS = {
    **dict.fromkeys(
        ("torch", "torch_geometric", "pytorch_lightning", "sklearn", "captum", "tensorboardX"), "learn"
    ),
    "monai": "segment",
}
"""Which extra brings a package."""


def explained(error: Exception) -> str:
    """Say in one sentence what went wrong."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, TripointError):
        return str(error)
    if isinstance(error, BrokenProcessPool):
        return (
            "a process of the sweep was killed, maybe for lack of memory; what was done stays, start it "
            "again with fewer runs at a time, with jobs= or hydra.launcher.n_jobs="
        )
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({error}); crop with roi=, or run on a machine with more"
    if isinstance(error, ModuleNotFoundError) and (extra := EXTRAS.get(str(error.name).split(".")[0])):
        missing = str(error.name).split(".")[0]
        return f"this needs the extra {extra}: pip install 'tripoint[{extra}]' ({missing} is not installed)"
    text = (str(error).splitlines() or [""])[0].rstrip(".")
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _explained_setting(text, getattr(error, "full_key", None))
    return (
        f"something went wrong that was not foreseen ({type(error).__name__}: {text}); see where with --debug"
    )


def _explained_setting(text: str, key: str | None) -> str:
    if "Could not find 'hydra/" in text:
        kind, name = text.rpartition("Could not find 'hydra/")[2].split("'")[0].split("/")
        return (
            f"the {kind} {name} is not installed; optuna and joblib come with pip install 'tripoint[sweep]', "
            "submitit with 'tripoint[slurm]'"
        )
    if "Missing mandatory value" in text:
        return f"the setting '{key}' is missing; give it as {key}=…"
    if text.startswith("Could not override '"):
        return f"there is no setting {text.split()[3]}; see --help for those there are"
    if text.startswith("Ambiguous value"):
        return f"{text.partition(' for argument ')[2]} holds several values; run them in turn with -m"
    if "at input '[" in text or "at input '{" in text:
        return (
            "the settings do not fit: a list is not closed, or was torn apart at a blank; write [1,2,3], or "
            "put 'slices=[1, 2, 3]' in quotes"
        )
    return f"the settings do not fit: {text}; see --help"


def report(sentence: str, error: Exception, debug: bool) -> None:
    """Say what went wrong, and where it did if that is asked for."""
    if debug:
        traceback.print_exception(error)
    complain(sentence)


def complain(message: str) -> None:
    """Say on standard error what is wrong."""
    sys.stderr.write(f"tripoint: {message}\n")


def say(text: str) -> None:
    """Write a line of the answer to standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def log_to_stderr() -> None:
    """Send what tripoint says of its progress to standard error, and to nobody else."""
    log.handlers = [_ToStderr()]
    log.setLevel(logging.INFO)
    log.propagate = False


class _ToStderr(logging.Handler):
    """Write lines to what standard error is at that moment: a progress bar takes its place to stay below."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        sys.stderr.write(self.format(record) + "\n")
