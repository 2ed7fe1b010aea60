"""The page: one HTML file with everything in it, no script, and nothing that is fetched."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from bprune.errors import MissingExtraError
from bprune.html import escaped

__all__ = ["json_text", "render", "require_report"]

_REPLACED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def require_report() -> None:
    """Refuse early where a library is missing that reports need.

    Raises:
        MissingExtraError: Naming it.
    """
    for name in ("jinja2", "matplotlib"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingExtraError(
                f"reports need {name}, which is not installed", hint='Install it: pip install "bprune[report]"'
            ) from error


def json_text(content: Mapping[str, Any]) -> str:
    """An object as JSON that can stand in a script element: no value can end the element or begin a comment."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
    for character, code in _REPLACED.items():
        text = text.replace(character, code)
    return text


def render(parts: Mapping[str, Any]) -> str:
    """Fill the template. All text is escaped but for pictures, the style sheet, and the JSON object.

    Args:
        parts: What the template names.

    Raises:
        MissingExtraError: If jinja2 is not installed.
    """
    require_report()
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return value if isinstance(value, Markup) else Markup(escaped(value))

    folder = files("bprune.report") / "templates"
    environment = Environment(
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"svg": lambda picture: Markup(picture.svg), "url": Markup}
    style = Markup((folder / "report.css").read_text(encoding="utf-8"))
    embedded = Markup(json_text(parts["content"]))
    return environment.get_template("report.html").render({**parts, "style": style, "embedded": embedded})
