"""The template of the page, filled in: all that is told is escaped, and nothing may be fetched."""

from __future__ import annotations

import base64
import hashlib
from typing import Any


def rendered(**told: Any) -> str:
    """A whole page of HTML.

    Parameters
    ----------
    **told
        By the names that ``templates/page.html`` has for them.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("fluxrecipes.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (_part(name) for name in ("page.css", "page.js"))
    return environment.get_template("page.html").render(
        **told,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
    )


def _part(name: str) -> str:
    from importlib.resources import files

    return (files("fluxrecipes.report") / "templates" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """What a browser may do with the page: show it, with its own style and script alone."""

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    rules = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": digest(style),
        "script-src": digest(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
