"""How far a task is: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process

from tripoint.record import Progress

log = logging.getLogger("tripoint")


@contextmanager
def shown() -> Iterator[Progress]:
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
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<32}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Bars(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bars:
        bar = bars.add_task("starting", total=None)

        def show(step: str, done: int, total: int) -> None:
            bars.update(bar, description=step, completed=done, total=total)

        yield show
