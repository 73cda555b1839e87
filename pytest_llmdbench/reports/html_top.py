"""The top of the HTML report: verdicts, what ran on what, what did not pass and why, and the cases compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, Final

from pytest_llmdbench.errors import counted
from pytest_llmdbench.reports.comparison import MEASURES, Compared, effects, measures, outcome_of, varied
from pytest_llmdbench.reports.html_case import case_key, objective_word
from pytest_llmdbench.reports.html_cells import ORDER
from pytest_llmdbench.reports.html_data import Gathered
from pytest_llmdbench.reports.page import render, style
from pytest_llmdbench.reports.started_engines import stack_starts, start_tables
from pytest_llmdbench.reports.texts import why_none
from pytest_llmdbench.reports.units import show_margin

#: Causes that the top of the page has room for.
_CAUSES: Final = 8
#: Measures that the tables across cases have columns for.
_SHOWN: Final = ("ttft_p50", "ttft_p99", "tpot_p99", "e2e_p99", "output_tokens_per_second", "requests_per_second")
#: The objectives of a case that tell why it did not pass: where one is missed, that others are not proven is of no
#: matter; where the measurement is not sound, none of them tells anything.
_TELLING: Final = {"FAIL": ("FAIL", "NOT REPORTED"), "INCONCLUSIVE": ("INCONCLUSIVE", "NOT REPORTED")}


def top(records: Sequence[Mapping[str, Any]], found: Gathered) -> str:
    """The part of the page above pytest-html's own summary, with the page's style."""
    outcomes = Counter(outcome_of(record) for record in records)
    words = [*ORDER[:-1], *sorted(set(outcomes) - set(ORDER))]
    troubled = [record for word in words if word != "PASS" for record in records if outcome_of(record) == word]
    troubled += [record for record in records if outcome_of(record) == "PASS" and _regressed(record)]
    several = len(found.compared) > 1
    return render(
        "top.html",
        style=style(),
        counts=[(word, outcomes[word]) for word in words if outcomes[word]],
        said=counted(len(records), "case"),
        facts={title: ", ".join(values) for title, values in _common(records, found).items() if values},
        causes=[_cause(record) for record in troubled[:_CAUSES]],
        further=max(0, len(troubled) - _CAUSES),
        engines=start_tables(stack_starts(records)),
        across=several,
        effects=_effect_rows(found.compared) if several else [],
        treatments=_treatment_rows(found.compared) if several else None,
        titles=[_title(name) for name in _SHOWN],
    )


def _common(records: Sequence[Mapping[str, Any]], found: Gathered) -> dict[str, list[str]]:
    def all_of(*names: str) -> list[str]:
        values = (" ".join(str(record[name]) for name in names if record.get(name)) for record in records)
        return [value for value in dict.fromkeys(values) if value]

    return {
        "scenario": all_of("scenario"),
        "model": all_of("model"),
        "hardware": sorted(found.hardware),
        "load program": all_of("harness", "harness_version"),
        "workload": all_of("workload"),
        "run": list(dict.fromkeys(Path(record["folder"]).parent.name for record in records if record.get("folder"))),
    }


def _cause(record: Mapping[str, Any]) -> dict[str, Any]:
    verdict = record.get("verdict") or {}
    judged = [(objective_word(one), one) for one in verdict.get("objectives") or ()]
    missed = [one for word, one in judged if word in _TELLING.get(outcome_of(record), ())]
    worse = _regressed(record)
    # What meets its SLO and is worse than its baseline has failed for that.
    alone = outcome_of(record) == "PASS"
    lines = str((worse if alone else verdict.get("reason")) or why_none(record)).splitlines()
    return {
        "key": case_key(record),
        "case": str(record.get("case") or ""),
        "outcome": "REGRESSION" if alone else outcome_of(record),
        "reason": shorten(lines[0], 240, placeholder=" …") if lines else "",
        "missed": [
            f"{one.get('objective')}: {one.get('shown') or objective_word(one).lower()}"
            + (f" ({margin})" if (margin := show_margin(one.get("margin"))) else "")
            for one in missed
        ]
        + ([worse] if worse and not alone else []),
    }


def _regressed(record: Mapping[str, Any]) -> str:
    """In what a case is worse than its baseline; empty where it is not."""
    said = record.get("regression") or {}
    return str(said.get("reason") or "worse than the baseline") if said.get("outcome") == "REGRESSION" else ""


def _title(name: str) -> str:
    return next(f"{title}, {unit}" if unit else title for known, title, unit, _ in MEASURES if known == name)


def _effect_rows(compared: Sequence[Compared]) -> list[dict[str, Any]]:
    return [{**row, "values": _values(row["means"])} for row in effects(compared)]


def _treatment_rows(compared: Sequence[Compared]) -> dict[str, Any]:
    factors = list(varied(compared))
    best = dict(_best(compared))
    rows = []
    for one in compared:
        found = measures(one.result.whole)
        rows.append({
            "key": one.key,
            "case": str(one.record.get("case") or ""),
            "levels": [one.levels.get(name, "") for name in factors],
            "values": _values(found),
            "best": [name in found and found[name] == best.get(name) for name in _SHOWN],
            "outcome": one.outcome,
        })  # fmt: skip
    return {"factors": factors, "rows": rows}


def _best(compared: Sequence[Compared]) -> Iterator[tuple[str, float]]:
    """Measure -> the best value of all cases, for the measures of the tables."""
    for name, _, _, less in MEASURES:
        found = [value for one in compared if (value := measures(one.result.whole).get(name)) is not None]
        if len(set(found)) > 1:
            yield name, min(found) if less else max(found)


def _values(found: Mapping[str, float]) -> list[str]:
    return [_number(found[name]) if name in found else "" for name in _SHOWN]


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
