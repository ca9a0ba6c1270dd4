"""From words to an exit code."""

from __future__ import annotations

import os
import sys

from tripoint._version import __version__
from tripoint.cli.messages import complain, explained, log_to_stderr, report, say

USAGE = """\
tripoint: topology-aware graphs of particulate composites from 3D X-ray volumes

Usage
  tripoint <task> [setting=value …]

Tasks
  analyze   a labelled volume becomes a particle graph with its physics and a report
  synth     make a synthetic composite with known particles
  register  a second volume comes onto the grid of a first one
  spectro   an energy stack becomes chemical maps, registered to the structure
  db        ask and keep a database of graphs
  train     models learn to predict local activity from a database of graphs
  predict   a trained model tells the activity of other graphs
  explain   what a trained model's predictions rest on
  segment   grey values become phases, by a network trained on a few slices or without one

  tripoint <task> --help   shows the settings of a task
  tripoint --version"""

TASKS = ("analyze", "synth", "register", "spectro", "db", "train", "predict", "explain", "segment")


def main(arguments: list[str] | None = None) -> int:
    """Run a task and return the exit code: 0 done, 1 an error of the input or output, 2 wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        say(USAGE)
        return 0 if words else 2
    if words[0] in ("-V", "--version", "version"):
        say(f"tripoint {__version__}")
        return 0
    if words[0] not in TASKS:
        complain(f"there is no task '{words[0]}'; the tasks are {', '.join(TASKS)}")
        return 2
    return _run(words[0], words[1:])


def _run(task: str, words: list[str]) -> int:
    """Run a task with the settings that the words say; an error becomes a sentence."""
    debug = "--debug" in words
    log_to_stderr()
    try:
        from tripoint.cli import overrides, running  # take a second, which usage and version do without

        given = overrides.with_action(words) if task == "db" else words
        translated = overrides.translate([word for word in given if word != "--debug"])
        return running.run(task, translated, debug)
    except KeyboardInterrupt:
        complain(f"interrupted; {_left(task, words)}")
        return 130
    except BrokenPipeError:  # whoever read what is printed has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as stop:
        return int(stop.code or 0) if isinstance(stop.code, int | None) else 1
    except Exception as error:
        report(explained(error), error, debug)
        return 1


def _left(task: str, words: list[str]) -> str:
    """Say what there is when a task was interrupted."""
    if task in ("train", "segment"):
        return "what was done stays, and the same command goes on from there"
    return "the runs that were done stay" if {"-m", "--multirun"} & set(words) else "nothing was written"
