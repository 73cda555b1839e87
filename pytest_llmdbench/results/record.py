"""The one record per case that travels on the test report: every table, page and file is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.plan import Case
from pytest_llmdbench.results.result import Result

#: The latencies and statistics that reports have columns for.
LATENCIES: Final = ("ttft", "tpot", "itl", "e2e")
STATISTICS: Final = ("mean", "p50", "p90", "p99")


def case_facts(case: Case) -> dict[str, Any]:
    """What is known of a case before it runs."""
    load = case.load
    return {
        "case": case.id,
        "scenario": case.stack.name,
        "stack": case.stack.spec.key,
        "setup_treatment": case.stack.setup.name if case.stack.setup else None,
        "harness": load.harness.name,
        "harness_version": load.harness.version,
        "workload": load.workload.name,
        "treatment": load.treatment.name if load.treatment else None,
        "factors": {
            **(dict(case.stack.setup.overrides) if case.stack.setup else {}),
            **(dict(load.treatment.overrides) if load.treatment else {}),
        },
        "model": case.stack.scenario.model.name,
    }


def result_facts(result: Result) -> dict[str, Any]:
    """The numbers of a result that reports show; absent ones are not in it."""
    whole = result.whole
    facts: dict[str, Any] = {
        "requests": {
            "offered": whole.requests.offered,
            "completed": whole.requests.completed,
            "failed": whole.requests.failures,
            "unfinished": whole.requests.unfinished,
        },
        "stages": len(result.stages),
        "duration_s": whole.duration_s,
        "latencies": {},
        "scores": dict(result.scores),
        "startup": dict(result.startup),
    }
    for name, metric in METRICS.items():
        if metric.kind == "rate":
            facts[name] = getattr(whole, name)
    for latency in LATENCIES:
        distribution = whole.latencies.get(latency)
        if distribution:
            values = {name: distribution.statistic(name) for name in STATISTICS}
            facts["latencies"][latency] = {name: value for name, value in values.items() if value is not None}
    return facts


def properties(record: Mapping[str, Any]) -> list[tuple[str, object]]:
    """The record as flat pairs for JUnit's ``<property>``: ``llmd.ttft.p99`` in seconds, ``llmd.verdict``, ..."""
    pairs: list[tuple[str, object]] = [
        (f"llmd.{key}", record[key])
        for key in ("case", "scenario", "harness", "harness_version", "workload", "treatment", "model", "folder")
        if record.get(key) is not None
    ]
    numbers = record.get("result") or {}
    pairs += [(f"llmd.requests.{kind}", count) for kind, count in numbers.get("requests", {}).items()]
    pairs += [(f"llmd.{name}", numbers[name]) for name in METRICS if numbers.get(name) is not None]
    pairs += [
        (f"llmd.{latency}.{statistic}", value)
        for latency, values in numbers.get("latencies", {}).items()
        for statistic, value in values.items()
    ]
    verdict = record.get("verdict")
    if verdict:
        pairs.append(("llmd.verdict", verdict["outcome"]))
        pairs += [(f"llmd.slo.{one['objective']}", one["shown"] or "not reported") for one in verdict["objectives"]]
    return pairs
