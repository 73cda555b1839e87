"""The files that the HTML report is made of: templates, style and script."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jinja2 import Environment

#: The parts of the page's script, in the order they depend on each other.
_SCRIPTS: Final = ("data.js", "draw.js", "search.js", "baseline.js", "case.js", "across.js", "table.js", "start.js")


def render(template: str, **values: Any) -> str:
    """A template of this folder, filled in; every value is escaped, wherever it comes from."""
    return _environment().get_template(template).render(**values)


def style() -> str:
    """The page's style."""
    return (files(__name__) / "page.css").read_text(encoding="utf-8")


def script() -> str:
    """The page's script."""
    parts = "\n".join((files(__name__) / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();'


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("pytest_llmdbench.reports", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
