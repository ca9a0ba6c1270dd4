"""tripoint db <action>: ask and keep a database of graphs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tripoint.cli.messages import say
from tripoint.cli.progress import shown
from tripoint.cli.settings import check_number, check_switch, check_text
from tripoint.database import GraphDatabase, answers
from tripoint.errors import InputError
from tripoint.record import Progress
from tripoint.result import load


def run(settings: dict[str, Any]) -> None:
    """Do what the settings of ``conf/db.yaml`` say.

    Raises
    ------
    InputError
        There is no such action, or it lacks what it is for.
    """
    action = ACTIONS.get(str(settings["action"]))
    if action is None:
        given = settings["action"]
        found = "no action is given" if given is None else f"there is no action '{given}'"
        message = f"{found}; the actions are {', '.join(ACTIONS)}, for example tripoint db list"
        raise InputError(message)
    database = GraphDatabase(
        check_text(settings, "database"), memory=settings["memory"], check=check_switch(settings, "check")
    )
    with shown() as progress:
        action(database, settings, progress)


def query(database: GraphDatabase, settings: dict[str, Any], _: Progress) -> None:
    """Answer a query, on standard output or into a file."""
    (text,) = _arguments(settings, 'a query, such as "select count(*) from nodes"', 1)
    output = settings["output"]
    form = answers.check_format(settings["format"], output)
    rows = settings["rows"]
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
        message = f"rows is {rows!r}; expected a whole number of at least 1"
        raise InputError(message)
    if output is None:
        answers.show(database.stream(text), form, rows, say)
        return
    answers.write(database.stream(text), form, str(output))
    say(str(output))


def add(database: GraphDatabase, settings: dict[str, Any], progress: Progress) -> None:
    """Add saved results."""
    folders = _arguments(settings, "the folder of a result")
    overwrite, name = check_switch(settings, "overwrite"), settings["name"]
    if name is not None and len(folders) > 1:
        message = f"name={name} stands for {len(folders)} results; add them one by one, or leave it out"
        raise InputError(message)
    for done, folder in enumerate(folders):
        progress(Path(folder).name, done, len(folders))
        result = load(folder)
        sample = str(name if name is not None else result.sample.name)
        added = database.add(result, sample, overwrite=overwrite)
        say(f"{sample}: {'added' if added else 'is there already'}")
    progress("added", len(folders), len(folders))


def names(database: GraphDatabase, settings: dict[str, Any], _: Progress) -> None:
    """List the samples."""
    _none(settings)
    columns = "sample, nodes, contacts, junctions, tripoint, added"
    form = answers.check_format(settings["format"], settings["output"])
    answers.show(
        database.stream(f"select {columns} from samples order by sample"), form, len(database) + 1, say
    )


def remove(database: GraphDatabase, settings: dict[str, Any], _: Progress) -> None:
    """Take samples out."""
    for sample in _arguments(settings, "the name of a sample"):
        database.remove(sample)
        say(f"{sample}: removed")


def compact(database: GraphDatabase, settings: dict[str, Any], _: Progress) -> None:
    """Put small files together."""
    _none(settings)
    done = database.compact(check_number(settings["grace"], "grace"))
    packs = "1 pack" if done.packs == 1 else f"{done.packs} packs"
    say(f"{done.packed} samples put into {packs}, {done.removed} files cleared away")


def verify(database: GraphDatabase, settings: dict[str, Any], _: Progress) -> None:
    """Name what is damaged, and fail where something is."""
    _none(settings)
    findings = database.verify()
    for finding in findings:
        say(str(finding))
    harm = [finding for finding in findings if finding.harm]
    if harm:
        message = f"{len(harm)} of the files of {database.store} are damaged; all other samples are served"
        raise InputError(message)
    say(f"{len(database)} samples are whole")


ACTIONS: dict[str, Callable[[GraphDatabase, dict[str, Any], Progress], None]] = {
    "query": query,
    "list": names,
    "add": add,
    "remove": remove,
    "compact": compact,
    "verify": verify,
}


def _arguments(settings: dict[str, Any], what: str, count: int | None = None) -> list[str]:
    given = [str(argument) for argument in settings["arguments"] or ()]
    if not given or (count is not None and len(given) != count):
        message = f"tripoint db {settings['action']} takes {what}; {len(given)} are given"
        raise InputError(message)
    return given


def _none(settings: dict[str, Any]) -> None:
    if settings["arguments"]:
        message = (
            f"tripoint db {settings['action']} takes nothing but settings, not {settings['arguments'][0]!r}"
        )
        raise InputError(message)
