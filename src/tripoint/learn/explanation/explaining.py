"""All that explains a model on a data set, put together and written into a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tripoint._version import __version__
from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.io import tables
from tripoint.io.folder import result_folder
from tripoint.learn.checkpoint import Trained
from tripoint.learn.data import Graphs
from tripoint.learn.ensemble import Ensemble
from tripoint.learn.explanation.attribution import contact_masks, feature_attributions
from tripoint.learn.explanation.counterfactuals import (
    Volumes,
    choose_particles,
    counterfactuals,
    summarize,
)
from tripoint.learn.explanation.editing import EDITS
from tripoint.learn.explanation.importance import permutation_importance
from tripoint.learn.explanation.sensitivity import learned_conductivities, link_sensitivities
from tripoint.learn.explanation.shares import explained_shares
from tripoint.learn.explanation.subject import subject_of
from tripoint.learn.features import targets
from tripoint.learn.fitting import Fitted
from tripoint.learn.kirchhoff import CircuitView, Kirchhoff
from tripoint.learn.scores import scores
from tripoint.learn.targets import Activity
from tripoint.record import Progress
from tripoint.report import explanation as report

LOOKED_INTO = 4
"""Samples whose particles are attributed one by one, and whose links are differentiated."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a model.

    Parameters
    ----------
    repeats : int
        Permutations per group; 0 leaves permutation importance out.
    draws : int
        Permutations per set of groups for the shares, 2 at least; 0 leaves them out.
    share_samples : int or None
        Samples that the shares are taken of, evenly spread over those given; None takes all.
    attributions : int
        Particles that are attributed one by one; 0 leaves that out.
    counterfactuals : int
        Particles from which something is taken; 0 leaves them out.
    edits : tuple of str
        What is taken: of `editing.EDITS`.
    seed : int

    Raises
    ------
    InputError
        A number out of range, an edit that does not exist.
    """

    repeats: int = 5
    draws: int = 2
    share_samples: int | None = None
    attributions: int = 8
    counterfactuals: int = 20
    edits: tuple[str, ...] = tuple(EDITS)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every number."""
        for name in ("repeats", "draws", "attributions", "counterfactuals", "seed"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                message = f"{name} is {value!r}; expected a whole number, 0 to leave it out"
                raise InputError(message)
        if self.draws == 1:
            message = "draws is 1; expected 2 or more, from which the error of mean predictions is had, or 0"
            raise InputError(message)
        most = self.share_samples
        if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
            message = f"the number of samples for the shares is {most!r}; expected 1 or more, or null for all"
            raise InputError(message)
        unknown = [edit for edit in self.edits if edit not in EDITS]
        if unknown:
            message = f"there is no edit {unknown[0]!r}; the edits are {', '.join(EDITS)}"
            raise InputError(message)


@dataclass
class Explanation:
    """What was found: figures, and tables by name.

    Parameters
    ----------
    summary : dict
        As ``summary.json`` holds it.
    tables : dict of str to DataFrame
    """

    summary: dict[str, Any]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write tables, report and summary into a folder, which appears when it is complete.

        Raises
        ------
        OutputError
            The folder exists, or cannot be written.
        """
        target = Path(path).expanduser().resolve()
        with result_folder(target, overwrite) as folder:
            for name, table in self.tables.items():
                tables.write(folder / f"{name}.parquet", table)
            report.write(self.summary, self.tables, folder / "report.html")
            text = json.dumps(tables.plain(self.summary), indent=2, ensure_ascii=False, allow_nan=False)
            (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        return target


def explain(
    fitted: Fitted,
    graphs: Graphs,
    samples: list[str],
    asked: Asked | None = None,
    *,
    volumes: Volumes | None = None,
    origin: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """Explain what a model's predictions of activity rest on.

    Parameters
    ----------
    fitted : Trained, Ensemble or FittedBaseline
        Of an ensemble, attributions and sensitivities are those of its first network.
    graphs : GraphDatabase or mapping of str to Graph
    samples : list of str
        Held-out ones.
    asked : Asked, optional
    volumes : callable, optional
        Gives the volumes that counterfactuals are simulated on; without, only predictions move.
    origin : mapping, optional
        Plain values that are kept with the summary: which checkpoint, which database.
    progress : callable, optional

    Raises
    ------
    InputError
        A model of another target than activity, no samples, or samples without activity.
    """
    asked = asked or Asked()
    target = getattr(fitted, "target", Activity())
    if not isinstance(target, Activity):
        message = f"this model predicts {target.name}; explanations are of models that predict activity"
        raise InputError(message)
    told = progress or (lambda *_: None)
    told("predicting", 0, 1)
    graphs = _relative(fitted, graphs)
    subject = subject_of(fitted, graphs, samples)
    predicted = subject.predict()
    model = getattr(_network_of(fitted), "configuration", {}).get("name", type(fitted).__name__)
    found = Explanation(
        {
            "tripoint": __version__,
            **(origin or {}),
            "model": model,
            "samples": list(samples),
            "particles": len(subject.truth),
            "groups": list(subject.groups),
            "scores": scores(subject.activity, predicted),
        }
    )
    if asked.repeats:
        told("permutation importance", 0, 1)
        importance = permutation_importance(subject, repeats=asked.repeats, seed=asked.seed)
        found.tables["importance"] = importance
        found.summary["importance"] = importance.to_dict("records")
    if asked.draws:
        chosen = _spread(samples, asked.share_samples)
        part = subject if len(chosen) == len(samples) else subject_of(fitted, graphs, chosen)
        shares = explained_shares(
            part,
            draws=asked.draws,
            seed=asked.seed,
            progress=lambda done, total: told("shares of the explained variance", done, total),
        )
        found.tables |= {"shares": shares.table, "coalitions": shares.coalitions}
        found.summary["shares"] = {
            "r2": shares.r2,
            "samples": chosen,
            "groups": shares.table.to_dict("records"),
        }
    network = _network_of(fitted)
    if network is not None and asked.attributions:
        told("attributions", 0, 1)
        _look_into(network, graphs, samples, asked, found)
    if asked.counterfactuals:
        particles = choose_particles(graphs, samples, asked.counterfactuals)
        table = counterfactuals(fitted, graphs, particles, volumes, edits=asked.edits, progress=progress)
        found.tables["counterfactuals"] = table
        found.summary["counterfactuals"] = summarize(table)
    return found


@dataclass(frozen=True)
class _Shown:
    """Graphs whose activity is what the model learned from, a measured column for instance."""

    graphs: Graphs
    target: Activity

    def __iter__(self) -> Iterator[str]:
        return iter(self.graphs)

    def __getitem__(self, sample: str) -> Graph:
        graph = self.graphs[sample].to("cpu")
        found = self.target.of(graph)
        activity = np.full(len(graph.nodes), np.nan)
        activity[found.rows] = found.activity
        return replace(graph, nodes=graph.nodes.assign(activity=activity))


def _relative(fitted: Fitted, graphs: Graphs) -> Graphs:
    target = fitted.target
    if not isinstance(target, Activity) or target.column == "activity":
        return graphs
    return _Shown(graphs, target)


def _look_into(
    network: Trained, graphs: Graphs, samples: list[str], asked: Asked, found: Explanation
) -> None:
    """Attribute particles one by one, or differentiate the links of a circuit."""
    few = _spread(samples, LOOKED_INTO)
    ends = _least_and_most_active(graphs, few)
    if isinstance(network.view, CircuitView):
        kinds, links = link_sensitivities(network, graphs, few, ends)
        found.tables |= {"link_kinds": kinds, "links": links.merge(ends, how="left")}
        found.summary["link_kinds"] = kinds.to_dict("records")
        if isinstance(network.network, Kirchhoff):
            learned = learned_conductivities(network, graphs, samples)
            found.tables["conductivities"] = learned
            found.summary["conductivities"] = learned.to_dict("records")
        return
    particles = choose_particles(graphs, few, asked.attributions, LOOKED_INTO)
    attributed = feature_attributions(network, graphs, particles).merge(_activities(graphs, particles))
    found.tables["attributions"] = attributed
    sizes = attributed.assign(own=attributed["own"].abs(), others=attributed["others"].abs())
    mean = sizes.groupby("group", sort=False)[["own", "others"]].mean().reset_index()
    found.summary["attributions"] = mean.to_dict("records")
    masks = contact_masks(network, graphs, ends, seed=asked.seed)
    if len(masks):
        found.tables["contacts"] = masks.merge(ends)


def _least_and_most_active(graphs: Graphs, samples: list[str]) -> pd.DataFrame:
    """Return of each sample the particle of least activity that reacts, and that of most."""
    rows = []
    for sample in samples:
        graph = graphs[sample].to("cpu")
        known = targets(graph)
        reacting = known.rows[known.activity > 0]
        activity = graph.nodes["activity"].to_numpy()[reacting]
        if not len(reacting):
            continue
        for which, at in (("least active", activity.argmin()), ("most active", activity.argmax())):
            node = int(graph.nodes["node"].iloc[reacting[at]])
            rows.append({"sample": sample, "node": node, "particle": which, "activity": float(activity[at])})
    return pd.DataFrame(rows, columns=["sample", "node", "particle", "activity"])


def _activities(graphs: Graphs, particles: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for sample, group in particles.groupby("sample", sort=False):
        nodes = graphs[str(sample)].to("cpu").nodes
        parts.append(group.merge(nodes[["node", "activity"]], on="node"))
    return pd.concat(parts, ignore_index=True)


def _network_of(fitted: Fitted) -> Trained | None:
    if isinstance(fitted, Ensemble):
        return fitted.members[0]
    return fitted if isinstance(fitted, Trained) else None


def _spread(samples: list[str], count: int | None) -> list[str]:
    """Return so many samples, evenly spread."""
    if count is None or count >= len(samples):
        return list(samples)
    return [samples[at * len(samples) // count] for at in range(count)]
