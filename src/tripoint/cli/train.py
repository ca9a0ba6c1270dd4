"""tripoint train: a model learns from a database of graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tripoint.cli import tabulating
from tripoint.cli.messages import say
from tripoint.cli.outcomes import Done
from tripoint.cli.progress import shown
from tripoint.cli.samples import open_database, samples_of
from tripoint.cli.settings import check_number, check_section, check_switch, check_text
from tripoint.errors import InputError
from tripoint.learn import records
from tripoint.learn.splitting import Split
from tripoint.learn.trial import Trial, carry_out

conclude = tabulating.conclude


def run(settings: dict[str, Any]) -> Done | None:
    """Train and test a model, as ``conf/train.yaml`` says; return what a sweep asks for."""
    if settings.get("benchmark") is not None:
        from tripoint.cli.benchmark import run as run_benchmark

        run_benchmark(settings)
        return None
    database = str(check_text(settings, "database"))
    graphs = open_database(database)
    names = samples_of(graphs, settings["where"])
    labels, training = check_section(settings, "labels"), dict(check_section(settings, "training"))
    trial = Trial(
        model=check_section(settings, "model"),
        split=_split(check_section(settings, "split"), names),
        seed=settings["seed"],
        noise=check_number(labels["noise"], "labels.noise"),
        share=check_number(labels["share"], "labels.share"),
        training={**training, "trainer": check_section(settings, "trainer")},
        data={"database": database},
    )
    tests = {}
    for name, path in check_section(settings, "tests").items():
        others = open_database(str(path))
        tests[str(name)] = (others, samples_of(others, None))
    folder = check_text(settings, "output")
    overwrite = check_switch(settings, "overwrite")
    with shown() as progress:
        record = carry_out(trial, graphs, folder, tests=tests, overwrite=overwrite, progress=progress)
    for name, scores in record["scores"].items():
        say(f"{name}: {sentence(scores)}")
    say(folder)
    validation = record["validation"]
    return Done(folder, None if validation is None else validation["mae"], settings["table"])


def sentence(scores: dict[str, Any]) -> str:
    """Say how far off predictions are."""
    r2 = "–" if scores["r2"] is None else f"{scores['r2']:.3f}"
    return (
        f"mean absolute error of log10 activity {scores['mae']:.4f} "
        f"[{scores['mae_low']:.4f}, {scores['mae_high']:.4f}], R² {r2}, of activity "
        f"{scores['linear_mae']:.4f}, on {scores['particles']} particles of {scores['samples']} samples"
    )


def _split(section: dict[str, Any], names: list[str]) -> Split:
    """Return the split of another run, or draw one."""
    file = section["file"]
    if file is None:
        shares = {side: check_number(section[side], f"split.{side}") for side in ("validation", "test")}
        return Split.of(names, **shares, seed=section["seed"])
    path = Path(str(file))
    record = records.read(path.parent if path.name == records.RECORD else path)
    if record is None:
        message = f"there is no run in {file}; give the folder of a run, or its {records.RECORD}"
        raise InputError(message)
    split = Split.from_mapping(record["settings"]["split"])
    missing = sorted({*split.train, *split.validation, *split.test} - set(names))
    if missing:
        message = f"the split of {file} names sample '{missing[0]}', which is not among those taken"
        raise InputError(message)
    return split
