"""Where the cases of one page differ: trade-off, effects of factors, load programs side by side. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.reports.figures import loads_of, short
from pytest_llmdbench.results.result import Result, Stage

#: What cases are compared by: name, what people read, unit, whether less is better.
MEASURES: Final = (
    ("ttft_p50", "TTFT p50", "ms", True),
    ("ttft_p90", "TTFT p90", "ms", True),
    ("ttft_p99", "TTFT p99", "ms", True),
    ("tpot_p50", "TPOT p50", "ms", True),
    ("tpot_p90", "TPOT p90", "ms", True),
    ("tpot_p99", "TPOT p99", "ms", True),
    ("itl_p99", "ITL p99", "ms", True),
    ("e2e_p50", "E2E p50", "ms", True),
    ("e2e_p90", "E2E p90", "ms", True),
    ("e2e_p99", "E2E p99", "ms", True),
    ("output_tokens_per_second", "output tokens/s", "", False),
    ("requests_per_second", "requests/s", "", False),
)


@dataclass(frozen=True, slots=True)
class Compared:
    """One case in a comparison: its record's facts, what it measured, and under which key the page knows it."""

    key: str
    record: Mapping[str, Any]
    result: Result

    @property
    def outcome(self) -> str:
        """The verdict's word, or ``-``."""
        return outcome_of(self.record)

    @property
    def program(self) -> str:
        """The load program and its version."""
        return f"{self.record.get('harness') or self.result.harness} {self.result.harness_version}"

    @property
    def group(self) -> tuple[str, ...]:
        """What has to be alike before a factor's effect can be seen."""
        return (str(self.record.get("scenario") or ""), str(self.record.get("workload") or ""), self.program)

    @property
    def load(self) -> tuple[str, ...]:
        """What is sent to what, whatever sends it."""
        return tuple(
            str(self.record.get(name) or "") for name in ("scenario", "setup_treatment", "workload", "treatment")
        )

    @property
    def levels(self) -> dict[str, str]:
        """Factor -> its level, as text."""
        return levels_of(self.record)


def outcome_of(record: Mapping[str, Any]) -> str:
    """The word for how a case ended: its verdict's, ``ERROR``, ``INTERRUPTED``, or ``-`` where no load was sent."""
    verdict = record.get("verdict") or {}
    ended = "ERROR" if record.get("error") else "INTERRUPTED" if record.get("interrupted") else "-"
    return str(verdict.get("outcome") or ended)


def levels_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Factor -> its level, as text; empty where the record has none."""
    factors = record.get("factors")
    return {str(name): level_text(level) for name, level in factors.items()} if isinstance(factors, Mapping) else {}


def level_text(level: Any) -> str:
    """A factor's level as people write it."""
    return level if isinstance(level, str) else json.dumps(level, default=str)


def measures(stage: Stage) -> dict[str, float]:
    """The values that cases are compared by; times in milliseconds. Absent ones are not in it."""
    found: dict[str, float | None] = {}
    for name, _, unit, _ in MEASURES:
        if unit:
            latency, _, statistic = name.partition("_")
            distribution = stage.latencies.get(latency)
            value = distribution.statistic(statistic) if distribution else None
            found[name] = None if value is None else short(value * 1000)
        else:
            found[name] = short(getattr(stage, name))
    return {name: value for name, value in found.items() if value is not None}


def comparison(cases: Sequence[Compared]) -> dict[str, Any]:
    """Everything that the charts across cases draw; what there is nothing to compare of is empty."""
    return {
        "measures": [list(one) for one in MEASURES],
        "cases": _cases(cases),
        "factors": varied(cases),
        "programs": _side_by_side(cases),
        "bounds": _bounds(cases),
    }


def varied(cases: Sequence[Compared]) -> dict[str, list[str]]:
    """Factor -> its levels, in order, of factors that have more than one level among the cases."""
    levels: dict[str, set[str]] = defaultdict(set)
    for one in cases:
        for name, level in one.levels.items():
            levels[name].add(level)
    return {name: sorted(found, key=_order) for name, found in sorted(levels.items()) if len(found) > 1}


def effects(cases: Sequence[Compared]) -> list[dict[str, Any]]:
    """For each level of each factor, within cases alike in the rest of their names: the mean of each measure."""
    rows = []
    for name, levels in varied(cases).items():
        for group, said in _told_apart([one.group for one in cases if name in one.levels]).items():
            for level in levels:
                chosen = [one for one in cases if one.group == group and one.levels.get(name) == level]
                if chosen:
                    passed = sum(one.outcome == "PASS" for one in chosen)
                    row = {"factor": name, "group": said, "level": level, "cases": len(chosen), "passed": passed}
                    rows.append({**row, "means": _means([measures(one.result.whole) for one in chosen])})
    return rows


def _means(several: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each measure that all have."""
    shared = set.intersection(*(set(one) for one in several))
    return {name: sum(one[name] for one in several) / len(several) for name in shared}


def _cases(cases: Sequence[Compared]) -> list[dict[str, Any]]:
    groups = _told_apart([one.group for one in cases])
    # Points of one stack under one workload and program are joined: they differ in load.
    series = _told_apart([(*one.load[:3], one.program) for one in cases])
    return [{**_case(one), "group": groups[one.group], "series": series[*one.load[:3], one.program]} for one in cases]


def _told_apart(names: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Names of several parts -> what to call them: the parts in which they differ, or the last where they do not."""
    differing = [place for place, parts in enumerate(zip(*names, strict=True)) if len(set(parts)) > 1] or [-1]
    return {name: " · ".join(name[place] or "-" for place in differing) for name in sorted(set(names))}


def _case(one: Compared) -> dict[str, Any]:
    loads, unit = loads_of(one.result.stages)
    stages = [
        {"load": f"{load:g} {unit}", "measures": measures(stage)}
        for load, stage in zip(loads, one.result.stages, strict=True)
    ]
    return {
        "key": one.key,
        "name": str(one.record.get("case") or "-"),
        "program": one.program,
        "outcome": one.outcome,
        "levels": one.levels,
        "measures": measures(one.result.whole),
        "stages": stages if len(stages) > 1 else [],
    }


def _side_by_side(cases: Sequence[Compared]) -> list[dict[str, Any]]:
    """The loads that several programs sent, and which cases those are."""
    loads: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, one in enumerate(cases):
        loads[one.load].append(place)
    return [
        {"name": " · ".join(filter(None, load)), "cases": places}
        for load, places in loads.items()
        if len({cases[place].program for place in places}) > 1
    ]


def _bounds(cases: Sequence[Compared]) -> dict[str, float]:
    """Measure -> its bound in the measure's unit, where all cases that have one have the same."""
    found: dict[str, set[float]] = defaultdict(set)
    known = {name: unit for name, _, unit, _ in MEASURES}
    for one in cases:
        for objective in (one.record.get("verdict") or {}).get("objectives") or ():
            statistic = objective.get("statistic")
            name = f"{objective.get('metric')}_{statistic}" if statistic else str(objective.get("metric"))
            bound = short(objective.get("bound"))
            if name in known and bound is not None and objective.get("stage") is None:
                found[name].add(bound * 1000 if known[name] else bound)
    return {name: bounds.pop() for name, bounds in found.items() if len(bounds) == 1}


def _order(level: str) -> tuple[int, float, str]:
    """Numbers by their value, then the rest by name."""
    try:
        return (0, float(level), "")
    except ValueError:
        return (1, 0.0, level)
