"""The part of a case's row that unfolds: why the verdict, every objective, what ran, and the way to the files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pytest_llmdbench.reports.comparison import levels_of, outcome_of
from pytest_llmdbench.reports.html_second import rate_table, regression_table
from pytest_llmdbench.reports.page import render
from pytest_llmdbench.reports.texts import economy_text, why_none
from pytest_llmdbench.reports.units import show_margin

#: What a record says of a case, and what people call it.
_FACTS: Final = {
    "case": "case",
    "scenario": "scenario",
    "setup_treatment": "setup treatment",
    "model": "model",
    "harness": "harness",
    "workload": "workload",
    "treatment": "run treatment",
}


def case_key(record: Mapping[str, Any]) -> str:
    """The name under which the page keeps a case's charts; empty where a case has no folder."""
    folder = record.get("folder")
    return hashlib.sha256(str(folder).encode()).hexdigest()[:12] if folder else ""


def details(record: Mapping[str, Any], page: Path) -> dict[str, Any]:
    """The part that unfolds, as the plain data that pytest-html takes in ``report.extras``: it need not be imported.

    ``page`` is the report's own path: folders are linked from there, so that both can move together. Charts are put
    in later, by the page's own script.
    """
    verdict = record.get("verdict") or {}
    facts = {title: str(record[name]) for name, title in _FACTS.items() if record.get(name)}
    if "harness" in facts and record.get("harness_version"):
        facts["harness"] += f" {record['harness_version']}"
    numbers = record.get("result") or {}
    for kind in ("scores", "startup"):
        facts |= {str(name): f"{value:.4g}" for name, value in (numbers.get(kind) or {}).items()}
    if economy := economy_text(record):
        facts["economy"] = economy
    content = render(
        "case.html",
        key=case_key(record),
        outcome=outcome_of(record),
        reason=str(verdict.get("reason") or why_none(record)),
        notes=[str(note) for note in verdict.get("notes") or ()],
        objectives=[_objective(one) for one in verdict.get("objectives") or ()],
        regression=regression_table(record),
        search=rate_table(record),
        facts=facts,
        factors=levels_of(record),
        links={name: link(record[name], page) for name in ("folder", "diagnostics") if record.get(name)},
    )
    return {"name": "llmdbench", "format_type": "html", "content": content, "mime_type": None, "extension": None}


def page_path(option: str) -> Path:
    """Where pytest-html writes what ``--html`` names."""
    return Path(os.path.expandvars(option)).expanduser()


def link(target: str | Path, page: Path) -> dict[str, str]:
    """Where a file is, seen from the page, and how to write that."""
    there = os.path.relpath(target, page.absolute().parent)
    return {"href": quote(there), "text": there}


def objective_word(one: Mapping[str, Any]) -> str:
    """How one objective was judged: PASS, FAIL, INCONCLUSIVE or NOT REPORTED."""
    if one.get("outcome"):
        return str(one["outcome"])
    if one.get("value") is None:
        return "NOT REPORTED"
    return "PASS" if one.get("met") else "FAIL"


def _objective(one: Mapping[str, Any]) -> dict[str, Any]:
    counts = {"requests": one.get("requests"), "worth": one.get("worth"), "bad": one.get("bad")}
    return {
        "word": objective_word(one),
        "text": str(one.get("objective") or ""),
        "shown": str(one.get("shown") or "not reported"),
        "interval": str(one.get("interval") or ""),
        "margin": show_margin(one.get("margin")),
        "bar": bar(one),
        "rests": _rests_on(counts, str(one.get("basis") or "")),
        "origin": str(one.get("origin") or ""),
    }


#: What a judgement rests on where it is no number of requests.
_BASES: Final = {"run": "the whole run", "reported": "what the load program reports"}


def _rests_on(counts: Mapping[str, Any], basis: str) -> str:
    """``90 requests, worth 41, 2 bad``: what the judgement rests on."""
    said = [
        f"{counts['requests']:,} requests" if isinstance(counts["requests"], int) else _BASES.get(basis, basis),
        f"worth {counts['worth']:,.0f}" if isinstance(counts["worth"], int | float) else "",
        f"{counts['bad']:,} bad" if isinstance(counts["bad"], int) else "",
    ]
    return ", ".join(filter(None, said))


def bar(one: Mapping[str, Any]) -> dict[str, float] | None:
    """Where value and interval stand from 0 to twice the bound, in percent; None where there is no bound to draw."""
    bound, value = one.get("bound"), one.get("value")
    if not _number(bound) or not _number(value) or not bound:
        return None

    def place(number: Any) -> float:
        return round(min(max(float(number) / float(bound) * 50, 0.0), 100.0), 2)

    low, high = one.get("low"), one.get("high")
    if not _number(low) and not _number(high):
        return {"value": place(value), "begin": place(value), "width": 0.0}
    # An interval may have one end alone.
    begin, end = place(low) if _number(low) else 0.0, place(high) if _number(high) else 100.0
    return {"value": place(value), "begin": begin, "width": round(max(0.0, end - begin), 2)}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # noqa: PLR0124
