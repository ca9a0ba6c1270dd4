"""Templates, and what every page holds inside itself: styles, figures, data and the script of the 3D view."""

from __future__ import annotations

import base64
import gzip
import json
from functools import lru_cache
from importlib import resources
from typing import Any

from markupsafe import Markup

from tripoint.report.fields import Field
from tripoint.report.palette import CARRIER, JUNCTION, MISSING
from tripoint.report.wording import count, percent, plural


def rendered(template: str, context: dict[str, Any]) -> str:
    """Return a page from its template, one that extends ``layout.html``.

    Parameters
    ----------
    template : str
    context : dict
        Needs ``name``, ``version`` and ``view`` (`view_section`, or None).
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["plural"] = plural
    return environment.get_template(template).render(
        **context,
        ink=JUNCTION | CARRIER | {"missing": MISSING},
        style=Markup(_text("report.css")),
        script=Markup(_text("report.js")),
    )


def view_section(view: dict[str, Any]) -> dict[str, Any]:
    """Return what ``view.html`` says of a `scene`, and its data for the script."""
    left_out = view["particles"] - view["shown"]
    return {
        "payload": Markup(_json(view["payload"])),
        "plotly": Markup(_plotly()),
        "shown": count(view["shown"]),
        "particles": count(view["particles"]),
        "left_out": count(left_out) if left_out else "",
        "volume_share": percent(view["volume_share"]),
        "triangles": count(view["triangles"]),
        "contacts_shown": count(view["contacts_shown"]),
        "contacts": count(view["contacts"]),
        "all_contacts": view["contacts_shown"] == view["contacts"],
        "properties": [entry["label"] for entry in view["payload"]["properties"]],
        "critical": [carrier for carrier, entry in view["payload"]["critical"].items() if entry["count"]],
    }


def field_key(field: Field) -> dict[str, Any]:
    """Return what explains the colours of a field."""
    return {
        "name": field.name,
        "label": field.label,
        "unit": field.unit,
        "note": field.note,
        "gradient": field.scale.gradient,
        "ends": field.scale.ends,
        "entries": field.entries,
    }


def _json(payload: dict[str, Any]) -> str:
    """Return JSON that cannot end the script element it stands in, whatever names it holds."""
    text = json.dumps(payload, ensure_ascii=False, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


@lru_cache(maxsize=1)
def _plotly() -> str:
    """Return plotly.js from the plotly package, compressed to a third; the browser unpacks it."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode("ascii")


def _text(name: str) -> str:
    return (resources.files("tripoint.report") / name).read_text(encoding="utf-8")
