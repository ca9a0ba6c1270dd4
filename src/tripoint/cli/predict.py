"""tripoint predict: a trained network tells the activity of particles, in a database or in one result."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tripoint.cli.messages import say
from tripoint.cli.output import output_of
from tripoint.cli.progress import shown
from tripoint.cli.samples import open_database, samples_of
from tripoint.cli.settings import check_text
from tripoint.cli.sweep import count_jobs
from tripoint.errors import InputError
from tripoint.learn import prediction
from tripoint.learn.training import WEIGHTS
from tripoint.report.prediction import sentence
from tripoint.result import load

log = logging.getLogger("tripoint")

MANY = 20
"""Samples for which it is worth while to begin other processes."""


def run(settings: dict[str, Any]) -> None:
    """Predict, and write table, figures and report, as ``conf/predict.yaml`` says."""
    checkpoint = Path(check_text(settings, "checkpoint")).expanduser()
    checkpoint = checkpoint / WEIGHTS if checkpoint.is_dir() else checkpoint
    database, source = settings["database"], settings["input"]
    if (database is None) == (source is None):
        found = "neither is" if database is None else "both are"
        message = f"{found} given; give database=PATH for many samples, or input=FOLDER for one result"
        raise InputError(message)
    output, overwrite = output_of(settings)
    trained = prediction.load(checkpoint)
    origin = {"checkpoint": str(checkpoint)}
    if source is not None:
        if settings["where"] is not None:
            message = "where chooses samples of a database; leave it out with input"
            raise InputError(message)
        origin["input"] = str(source)
        summary = prediction.predict_result(
            trained, load(str(source)), output, overwrite=overwrite, origin=origin
        )
    else:
        graphs = open_database(str(database))
        names = samples_of(graphs, settings["where"])
        origin |= {"database": str(database), "where": settings["where"]}
        with shown() as progress:
            summary = prediction.predict_samples(
                trained,
                graphs,
                names,
                output,
                overwrite=overwrite,
                jobs=count_jobs(settings["jobs"], len(names) >= MANY),
                origin=origin,
                progress=progress,
            )
    log.info(sentence(summary))
    say(str(output / prediction.REPORT))
