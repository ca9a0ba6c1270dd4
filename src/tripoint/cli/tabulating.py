"""The table of all runs of a sweep."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tripoint.cli.messages import say
from tripoint.cli.outcomes import Done
from tripoint.learn import records, table


def conclude(runs: Sequence[Done]) -> None:
    """Write the table of all runs of a sweep that ended well, and say where it is.

    It goes where the first of them says, else beside the runs.
    """
    folders = list(dict.fromkeys(run.folder for run in runs))
    beside = os.path.commonpath([os.path.dirname(os.path.abspath(folder)) for folder in folders])
    page = table.write(records.collect(folders), runs[0].table or beside)
    known = [run for run in runs if run.objective is not None]
    if len(known) > 1:
        best = min(known, key=lambda run: run.objective or 0.0)
        say(f"least error on the samples to choose by: {best.objective:.4f}, {best.folder}")
    say(str(page))
