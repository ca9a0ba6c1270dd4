"""A trained network applied to the samples of a database, or to one result, and what is written of that."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tripoint._version import __version__
from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.io.folder import check_output, result_folder
from tripoint.io.tables import plain
from tripoint.learn import ensemble
from tripoint.learn.applying import Network, apply_to, predicted_particles
from tripoint.learn.assessment import summarise
from tripoint.learn.checkpoint import Trained
from tripoint.learn.comparison import by_depth, compare, medians, weak_particles, yardsticks
from tripoint.learn.data import Graphs
from tripoint.learn.ensemble import Ensemble
from tripoint.learn.features import FLOOR
from tripoint.learn.foreign import foreign_features
from tripoint.learn.targets import Activity
from tripoint.record import Progress
from tripoint.report import prediction as page
from tripoint.result import Result

log = logging.getLogger("tripoint")

TABLE, SUMMARY, REPORT = "predictions.parquet", "summary.json", "report.html"
FORM = 1
NEW = "new"
"""Samples whose names stand in no split of the training."""

ROWS = 50_000
"""Rows of the table that are written together."""


def load(path: str | Path) -> Network:
    """Read a checkpoint of one network, or of several, that predicts activity.

    Raises
    ------
    InputError
        As of `checkpoint.Trained.load`; a checkpoint that predicts something else.
    """
    found = ensemble.load(path)
    if not isinstance(found.target, Activity):
        message = (
            f"{path} predicts {found.target.name}, and here activity is shown; ask it from Python, "
            "with tripoint.learn.ensemble.load(path).predict(graph)"
        )
        raise InputError(message)
    return found


def predict_samples(
    trained: Network,
    graphs: Graphs,
    samples: Iterable[str],
    output: str | Path,
    *,
    overwrite: bool = False,
    jobs: int = 1,
    origin: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict samples, and write a folder with table, figures and report.

    Samples that cannot be read, or have no active material, are named in the summary and left out.

    Parameters
    ----------
    trained : Trained or Ensemble
    graphs : GraphDatabase or mapping of str to Graph
    samples : iterable of str
    output : path
        The folder; it appears when it is complete. ``predictions.parquet`` has a row per particle:
        ``sample``, ``node``, ``activity`` where it is known, and what the network predicts.
    overwrite : bool
    jobs : int
        Processes (`applying.apply_to`).
    origin : mapping, optional
        Where the checkpoint and the samples come from, for the summary.
    progress : callable, optional

    Returns
    -------
    dict
        What ``summary.json`` holds.

    Raises
    ------
    InputError
        A sample that the network does not fit, nothing to predict; nothing is written then.
    OutputError
        As `io.folder.check_output`.

    Notes
    -----
    One graph per process is in memory, and of all particles the numbers that are scored.
    """
    names = list(samples)
    check_output(output, overwrite)
    left_out: list[dict[str, str]] = []
    parts: list[pd.DataFrame] = []
    with result_folder(output, overwrite) as folder:
        with _Table(folder / TABLE) as table:
            for done, found in enumerate(apply_to(trained, graphs, names, jobs)):
                if progress is not None:
                    progress("predicting", done, len(names))
                if found.frame is None:
                    log.warning("warning: %s", found.reason)
                    left_out.append({"sample": found.sample, "reason": found.reason})
                    continue
                table.add(_columns(found.sample, found.frame))
                parts.append(_scored(found.sample, found.frame))
        if not parts:
            message = f"none of the {len(names)} samples could be predicted: {left_out[0]['reason']}"
            raise InputError(message)
        whole = pd.concat(parts, ignore_index=True)
        summary = {
            **_head(trained, origin),
            "samples": len(parts),
            "particles": len(whole),
            "left_out": left_out,
            **_scores(trained, whole),
        }
        _write(folder, summary, page.of_samples(summary, whole, FLOOR))
    if progress is not None:
        progress("predicted", len(names), len(names))
    return summary


def predict_result(
    trained: Network,
    result: Result,
    output: str | Path,
    *,
    overwrite: bool = False,
    origin: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Predict the particles of one result, and write a folder with table, figures and report.

    Where the result has an activity, figures and report hold the prediction against it, beside what is had
    without learning (`comparison.yardsticks`).

    Parameters
    ----------
    trained : Trained or Ensemble
    result : Result
        Of `pipeline.analyze` or `result.load`.
    output, overwrite, origin
        As of `predict_samples`.

    Returns
    -------
    dict
        What ``summary.json`` holds.

    Raises
    ------
    InputError
        A result that the network does not fit, in what it differs; nothing is written then.
    OutputError
        As `io.folder.check_output`.
    """
    check_output(output, overwrite)
    graph = result.graph.to("cpu")
    frame = predicted_particles(trained, graph)
    sample = str(graph.metadata.get("name", ""))
    summary = {
        **_head(trained, origin),
        "sample": sample,
        "particles": len(frame),
        "foreign": foreign_features(_members(trained)[0], graph),
        **(_against(graph, frame) if frame["activity"].notna().any() else {}),
    }
    with result_folder(output, overwrite) as folder:
        with _Table(folder / TABLE) as table:
            table.add(_columns(sample, frame))
        _write(folder, summary, page.of_result(summary, result, frame, FLOOR))
    return summary


def _against(graph: Graph, frame: pd.DataFrame) -> dict[str, Any]:
    return {
        "scores": compare(frame),
        "without_learning": yardsticks(graph, frame),
        "weak": weak_particles(frame),
        "by_depth": by_depth(frame),
    }


def _scores(trained: Network, whole: pd.DataFrame) -> dict[str, Any]:
    """Return scores of the samples whose activity is known: of those that training did not see, if any."""
    known = whole[whole["activity"].notna()]
    if known.empty:
        return {}
    side = {name: side for side, names in trained.split.to_mapping().items() for name in names}
    apart = known["sample"].map(side).fillna(NEW)
    unseen = known[apart.isin((NEW, "test"))]
    scored = known if unseen.empty else unseen
    return {
        "scores": {**compare(scored), **summarise(scored)},
        "without_learning": {"median": medians(scored)},
        "unseen": not unseen.empty,
        "by_split": {str(name): compare(part) | summarise(part) for name, part in known.groupby(apart)},
        "by_sample": [
            {"sample": name, "split": side.get(str(name), NEW), **compare(part)}
            for name, part in known.groupby("sample")
        ],
    }


def _head(trained: Network, origin: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "form": FORM,
        "tripoint": __version__,
        "model": _members(trained)[0].configuration.get("name", ""),
        "networks": len(_members(trained)),
        "trained_on": len(trained.split.train),
        **(origin or {}),
    }


def _members(trained: Network) -> tuple[Trained, ...]:
    return trained.members if isinstance(trained, Ensemble) else (trained,)


def _columns(sample: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return what the table holds of a sample."""
    columns = [name for name in frame.columns if name not in ("depth", "inactive")]
    return frame[columns].assign(sample=sample)[["sample", *columns]]


def _scored(sample: str, frame: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in frame.columns if "activity" in name]
    return frame[names].assign(sample=sample)


class _Table:
    """A Parquet file that is written part by part."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts: list[pd.DataFrame] = []
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def add(self, frame: pd.DataFrame) -> None:
        self._parts.append(frame)
        if sum(map(len, self._parts)) >= ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._parts:
            return
        schema = self._writer.schema if self._writer is not None else None
        whole = pd.concat(self._parts, ignore_index=True)
        table = pa.Table.from_pandas(whole, schema=schema, preserve_index=False)
        self._writer = self._writer or pq.ParquetWriter(self.path, table.schema, compression="zstd")
        self._writer.write_table(table)
        self._parts = []


def _write(folder: Path, summary: dict[str, Any], html: str) -> None:
    (folder / REPORT).write_text(html, encoding="utf-8")
    text = json.dumps(plain(summary), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
