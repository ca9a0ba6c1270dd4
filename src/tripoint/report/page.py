"""From a result to one HTML file that stands alone."""

from __future__ import annotations

import datetime
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from tripoint._version import __version__
from tripoint.errors import OutputError
from tripoint.report import activity, distributions, sections, tables, transport
from tripoint.report.charts import LINE_NEEDS
from tripoint.report.fields import fields
from tripoint.report.html import field_key, rendered, view_section
from tripoint.report.network import critical_markers
from tripoint.report.scene import scene
from tripoint.report.slices import slices
from tripoint.report.wording import count
from tripoint.tables import on_gpu


def write(result: Any, path: str | os.PathLike[str]) -> Path:
    """Write the report of a result to an HTML file, which is there whole or not at all.

    Parameters
    ----------
    result : Result
        What an analysis returned or what was loaded from a result folder.
    path : path
        The file, such as ``out/nmc/report.html``; one that exists is replaced.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    return write_page(render(result), path)


def write_page(page: str, path: str | os.PathLike[str]) -> Path:
    """Write a page to a file, which is there whole or not at all.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    path = Path(path)
    beside = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            beside = Path(file.name)
            file.write(page)
        beside.chmod(0o644)
        beside.replace(path)
    except OSError as error:
        if beside is not None:
            beside.unlink(missing_ok=True)
        message = (
            f"the report cannot be written to {path} ({error.strerror or error}); "
            "choose a folder that exists and has room"
        )
        raise OutputError(message) from error
    return path


def render(result: Any) -> str:
    """Return the report of a result as HTML that asks nothing of the network.

    Parameters
    ----------
    result : Result
        Needs ``sample``, ``graph`` (``nodes``, ``contacts``), ``summary``, ``regions`` and ``junction_map``
        (or None). Volumes may be zarr arrays, or be on the GPU with the tables.

    Returns
    -------
    str
        Styles, figures, data and the script of the 3D view are all inside; 3 to 8 MB.

    Notes
    -----
    Reads three planes of every volume and the regions once, slab by slab; beyond a slab it takes at most
    about 0.5 GB, whatever the volume.
    """
    return rendered("template.html", _context(result))


def _context(result: Any) -> dict[str, Any]:
    if on_gpu(result.graph.nodes):
        result = replace(result, graph=result.graph.to("cpu"))
    summary = result.summary
    view = scene(result)
    if view:
        view["payload"]["critical"] = critical_markers(summary)
    found = fields(result)
    return {
        "name": result.sample.name,
        "version": summary.get("tripoint", __version__),
        "date": _date(summary),
        "facts": sections.sample_facts(result),
        "headline": sections.headline(result),
        "warnings": list(summary.get("warnings", [])),
        "phases": tables.phase_rows(result),
        "subvolumes": summary.get("representativity", {}).get("subvolumes"),
        "slices": slices(result, found),
        "fields": [field_key(field) for field in found],
        "junctions": tables.junction_rows(result),
        "has_terminals": bool(result.sample.materials.terminals),
        "interfaces": tables.interface_rows(result),
        "active_area": tables.active_area(result),
        "percolation": tables.percolation_rows(result),
        "particles": tables.particle_rows(result),
        "sizes": distributions.size_charts(result),
        "paths": distributions.path_charts(result),
        "line_needs": LINE_NEEDS,
        "transport": transport.section(result),
        "activity": activity.section(result),
        "uncertainty": tables.uncertainty_rows(result),
        "graph": {key: count(value) for key, value in summary.get("graph", {}).items()},
        "provenance": sections.provenance(result),
        "view": view_section(view) if view else None,
    }


def _date(summary: dict[str, Any]) -> str:
    given = summary.get("run", {}).get("date")
    when = datetime.datetime.fromisoformat(given) if given else datetime.datetime.now(tz=datetime.UTC)
    return when.strftime("%Y-%m-%d %H:%M UTC")
