"""What the page says of a case beyond its record: its stages and failures, how to run it again, and its files."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.capacity import FACT
from pytest_llmdbench.reports.comparison import level_text
from pytest_llmdbench.reports.figures import LATENCIES
from pytest_llmdbench.reports.html_case import link
from pytest_llmdbench.reports.page import render
from pytest_llmdbench.reports.recorded_case import recorded_case
from pytest_llmdbench.reports.units import show_duration, show_pair, show_rate
from pytest_llmdbench.results.recorded import SCENARIO
from pytest_llmdbench.results.result import Result, Stage

#: Files that are shown in the page, and what they are.
_SHOWN: Final = {SCENARIO: "merged scenario", "workload.yaml": "workload as it was sent"}
#: A longer text is cut in the page: it is in the folder.
_LONGEST: Final = 20_000
_MOST_FILES: Final = 40


def more(folder: Path, result: Result | None, problem: str, page: Path, texts: dict[str, str]) -> dict[str, Any]:
    """HTML, and the texts to show below it by title and key; long texts are put into ``texts``, each once."""
    case = recorded_case(folder)
    return {
        "html": render(
            "more.html",
            problem=problem,
            stages=list(_stages(result)) if result else [],
            latencies=list(LATENCIES.values()),
            failed=dict(result.whole.requests.failed) if result else {},
            totals=_totals(result) if result else {},
            command=_command(case),
            facts=dict(_facts(case, result)),
            files=_files(folder, page),
        ),
        "texts": list(_texts(folder, texts)),
    }


def _stages(result: Result) -> Iterator[list[str]]:
    rows = [("whole", result.whole)]
    if len(result.stages) > 1:
        rows += [(f"stage {number}", stage) for number, stage in enumerate(result.stages)]
    rows += [(f"run {number}", run.whole) for number, run in enumerate(result.runs)]
    for name, stage in rows:
        requests = stage.requests
        yield [
            name,
            _load(stage),
            show_rate(stage.achieved_rate),
            f"{requests.completed} of {requests.offered}",
            show_duration(stage.duration_s),
            *(_pair(stage, latency) for latency in LATENCIES),
            show_rate(stage.requests_per_second),
            show_rate(stage.output_tokens_per_second),
            _pair(stage, "lag"),
        ]


def _load(stage: Stage) -> str:
    if stage.asked_rate is not None:
        return f"{stage.asked_rate:g}/s"
    return f"{stage.concurrency} at once" if stage.concurrency is not None else "-"


def _pair(stage: Stage, name: str) -> str:
    one = stage.schedule_lag if name == "lag" else stage.latencies.get(name)
    return show_pair(one.statistic("p50"), one.statistic("p99")) if one else "-"


def _totals(result: Result) -> dict[str, str]:
    """What the servers say of the whole load, one number each."""
    metrics = result.server.get("metrics")
    totals = metrics.get("totals") if isinstance(metrics, Mapping) else None
    if not isinstance(totals, Mapping):
        return {}
    return {str(name): _number(value) for name, value in totals.items()}


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return level_text(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _command(case: Mapping[str, Any]) -> str:
    words = _mapping(case.get("provenance")).get("command_line")
    return shlex.join(map(str, words)) if isinstance(words, list) else ""


def _facts(case: Mapping[str, Any], result: Result | None) -> Iterator[tuple[str, str]]:
    """Versions, machine, git state and what the stack said of itself: digests, replicas, engine."""
    if result:
        yield "load began", result.started or "-"
        yield "load program", f"{result.harness} {result.harness_version}"
    known = _mapping(case.get("provenance"))
    for part in ("versions", "machine", "git"):
        for name, value in _mapping(known.get(part)).items():
            yield (str(name) if part == "versions" else f"{part} {name}".replace("_", " ")), level_text(value)
    for name, value in _mapping(case.get("stack_facts")).items():
        if name == FACT:  # the page has a table of it
            continue
        yield f"stack {name}".replace("_", " "), _number(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _files(folder: Path, page: Path) -> list[dict[str, str]]:
    try:
        names = sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))
    except OSError:
        return []
    return [{"name": name, **link(folder / name, page)} for name in names[:_MOST_FILES]]


def _texts(folder: Path, texts: dict[str, str]) -> Iterator[list[str]]:
    for name, title in _SHOWN.items():
        try:
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]}\n... (the rest is in {name})\n"
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        texts[key] = text
        yield [title, key]
