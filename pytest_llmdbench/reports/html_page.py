"""What the HTML report adds to pytest-html's page: its top, and below the data of all charts with their script."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pytest_llmdbench.reports.comparison import comparison
from pytest_llmdbench.reports.html_data import Gathered, gather
from pytest_llmdbench.reports.html_top import top
from pytest_llmdbench.reports.page import render, script


def page_parts(records: Sequence[Mapping[str, Any]], page: Path) -> tuple[str, str]:
    """What comes before and what comes after pytest-html's own summary, as HTML.

    The charts are made from what is in the folders of the cases. ``page`` is the report's own path.
    """
    found = gather(records, page)
    return top(records, found), _tail(found)


def _tail(found: Gathered) -> str:
    across = comparison(found.compared) if len(found.compared) > 1 else None
    data = {"cases": found.cases, "texts": found.texts, "across": across}
    drawn = across is not None or any(case["charts"] for case in found.cases.values())
    library, banner = _library() if drawn else ("", "")
    return render(
        "tail.html",
        data=_packed(json.dumps(data, separators=(",", ":"), allow_nan=False).encode()),
        library=library,
        banner=banner,
        script=script(),
    )


@cache
def _library() -> tuple[str, str]:
    """plotly.js as its Python package carries it, packed, and the lines in which it names its authors and licence."""
    code = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    banner, _, _ = code.decode("utf-8", errors="replace").partition("*/")
    return _packed(code), banner.strip("/* \n").replace("--", "- ")


def _packed(content: bytes) -> str:
    """Text that the page's script unpacks: a third of the size, and nothing in it that HTML could take for its own."""
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode("ascii")
