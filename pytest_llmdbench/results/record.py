"""The one record per case that travels on the test report: every table, page and file is made from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from pytest_llmdbench.case import Case
from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.declared.prices import price_of
from pytest_llmdbench.results.result import Result

#: The latencies and statistics that reports have columns for.
LATENCIES: Final = ("ttft", "tpot", "itl", "e2e")
STATISTICS: Final = ("mean", "p50", "p90", "p99")
#: What reports show of the servers, by the names of their totals.
SERVER: Final = ("prefix_cache_hit_rate", "preemptions", "kv_cache_usage.max", "waiting.max", "restarts")
#: What a record's properties say of every objective; numbers in canonical units.
_JUDGED: Final = ("outcome", "value", "operator", "bound", "low", "high", "margin")


def case_facts(case: Case) -> dict[str, Any]:
    """What is known of a case before it runs.

    Raises:
        DeclarationError: the price table that the scenario names cannot be read.
    """
    load = case.load
    price = price_of(case.stack.scenario.accelerator)
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
        "price": asdict(price) if price else None,
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
        "economy": dict(result.economy),
        "server": dict(_server_facts(result.server)),
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


def _server_facts(server: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    metrics = server.get("metrics")
    totals = metrics.get("totals") if isinstance(metrics, Mapping) else None
    for name in SERVER:
        value = totals.get(name) if isinstance(totals, Mapping) else None
        if isinstance(value, int | float) and math.isfinite(value):
            yield name, value


def properties(record: Mapping[str, Any]) -> list[tuple[str, object]]:
    """The record as flat pairs for JUnit's ``<property>``: ``llmd.ttft.p99`` in seconds, ``llmd.verdict``, ...

    Of every objective there are ``llmd.slo.SUBJECT.outcome``, ``.value``, ``.operator``, ``.bound``, ``.low`` and
    ``.high`` (the confidence interval) and ``.margin``, those that are known.
    """
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
    pairs += [(f"llmd.{name}", value) for name, value in numbers.get("economy", {}).items()]
    pairs += [(f"llmd.server.{name}", value) for name, value in numbers.get("server", {}).items()]
    verdict = record.get("verdict")
    if verdict:
        pairs += [("llmd.verdict", verdict["outcome"]), ("llmd.reason", verdict["reason"])]
        pairs += [
            (f"llmd.slo.{one['subject']}.{what}", one[what])
            for one in verdict["objectives"]
            for what in _JUDGED
            if one[what] is not None
        ]
    if record.get("regression"):
        pairs.append(("llmd.regression", record["regression"]["outcome"]))
    return pairs
