"""A recorded run as Benchmark Reports, one a stage, where llm-d-benchmark's tools look for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from pytest_llmdbench import __version__
from pytest_llmdbench.declared.workload import HEADER
from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.benchmark_report import eval_containers, observability, own_block
from pytest_llmdbench.results.benchmark_report.corrections import CANONICAL
from pytest_llmdbench.results.benchmark_report.setting import iso_duration
from pytest_llmdbench.results.benchmark_report.stack import components, config_id, without_secrets
from pytest_llmdbench.results.benchmark_report.statistics import to_statistics
from pytest_llmdbench.results.benchmark_report.units import LATENCIES, LENGTHS, canonical
from pytest_llmdbench.results.case_folder import CaseFolder, read_case
from pytest_llmdbench.results.plain_yaml import plain_yaml
from pytest_llmdbench.results.result import Distribution, Result, Stage
from pytest_llmdbench.results.store import NO_RESULT
from pytest_llmdbench.results.whole_file import whole_file

#: The name of a report's file; its beginning is what llm-d-benchmark's tools look for.
FILE: Final = "benchmark_report_v0.2,_stage_{stage}.yaml"
_LENGTHS: Final = dict(zip(("prompt", "output"), LENGTHS, strict=True))
_RATES: Final = {
    "input_token_rate": ("prompt_tokens_per_second", "tokens/s"),
    "output_token_rate": ("output_tokens_per_second", "tokens/s"),
    "request_rate": ("requests_per_second", "queries/s"),
}


def write(folder: Path) -> list[Path]:
    """Write the reports on the run recorded in ``folder``, the folder of a case, into it; made again they are the same.

    Raises:
        ResultsError: ``folder`` holds no result, a file in it is not what it should be, or nothing can be written.
    """
    case = read_case(folder)
    if case.result is None:
        raise ResultsError(f"{folder}: holds no result; {NO_RESULT}")
    written = []
    stack = components(case.scenario, _our_version(case)) if case.scenario else None
    # A run without stages of its own is one stage.
    for number in range(max(1, len(case.result.stages))):
        path = folder / FILE.format(stage=number)
        report = _report(case, case.result, stack, number)
        text = plain_yaml(report)
        try:
            with whole_file(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ResultsError(f"{path}: cannot be written: {error}") from error
        written.append(path)
    return written


def _report(case: CaseFolder, result: Result, stack: list[dict[str, Any]] | None, number: int) -> dict[str, Any]:
    """The report on one stage as plain data: version 0.2, or 0.2.1 where server metrics need it. Nothing is null."""
    stage = result.stages[number] if result.stages else result.whole
    served = observability.components(result.server)
    aggregate, unplaced = _aggregate(stage)
    block = {
        "written_by": __version__,
        **{name: case.facts.text(name) for name in own_block.CASE_TEXTS},
        "factors": case.facts.below("factors").data,
        "purpose": result.purpose,
        "exit_code": result.exit_code,
        "scores": _finite(result.scores),
        "startup": _finite(result.startup),
        "economy": _finite(result.economy),
        "server": observability.totals(result.server),
        "stage": {"number": number, **own_block.stage_block(stage, unplaced)},
        "verdict": case.verdict.data if case.verdict else None,
    }
    made = {
        "version": "0.2.1" if observability.needs_021(served) else "0.2",
        "run": _run(case, result, number),
        "scenario": {
            "stack": stack,
            "load": _load(case, result, stage, number),
        },
        "results": {
            "request_performance": {"aggregate": aggregate},
            "observability": {
                "components": served or None,
                # The stack is watched over the whole run, and not stage by stage.
                "time_series_interval": {"scope": "run"} if served else None,
                **eval_containers.written(result),
                "llmdbench": without_secrets(block),
            },
            "component_health": observability.health(result.server) or None,
        },
    }
    whole: dict[str, Any] = _without_nulls(made)
    return whole


def _run(case: CaseFolder, result: Result, number: int) -> dict[str, Any]:
    run = case.facts.text("run") or case.path.parent.name
    name = f"llmdbench:{run}"
    # The folder tells a case's repetitions apart.
    one = f"{name}/{case.facts.text('nodeid')}/{case.path.name}/{number}"
    return {
        "uid": str(uuid5(NAMESPACE_URL, one)),
        "eid": str(uuid5(NAMESPACE_URL, name)),
        "description": case.facts.text("case"),
        "time": _time(result.started, result.elapsed_s),
    }


def _time(started: str | None, elapsed_s: float | None) -> dict[str, Any]:
    seconds = elapsed_s if elapsed_s is not None and 0 <= elapsed_s < 1e9 else None
    found = {} if seconds is None else {"duration": iso_duration(seconds)}
    try:
        begin = datetime.fromisoformat(started or "")
        end = begin + timedelta(seconds=seconds or 0)
    except (ValueError, OverflowError):
        return found
    if begin.tzinfo is None:
        return found
    return {"start": begin.isoformat(), "end": end.isoformat() if found else None, **found}


def _aggregate(stage: Stage) -> tuple[dict[str, Any], dict[str, Distribution]]:
    """What the format has fields for; and the distributions that it has none for."""
    requests: dict[str, Any] = {
        "total": stage.requests.offered,
        "failures": stage.requests.failures,
        "incomplete": stage.requests.unfinished,
    }
    latency: dict[str, Any] = {}
    unplaced: dict[str, Distribution] = {}
    fields = {name: (field, canonical(LATENCIES[field])) for field, name in CANONICAL.items()}
    for name, one in stage.latencies.items():
        if name in fields and _has_mean(one):
            latency[fields[name][0]] = to_statistics(one, fields[name][1])
        else:
            unplaced[f"latencies.{name}"] = one
    for name, one in stage.lengths.items():
        if name in _LENGTHS and _has_mean(one):
            requests[_LENGTHS[name]] = to_statistics(one, "count")
        else:
            unplaced[f"lengths.{name}"] = one
    if stage.schedule_lag is not None:
        unplaced["schedule_lag"] = stage.schedule_lag
    rates = {field: (getattr(stage, name), unit) for field, (name, unit) in _RATES.items()}
    prompt, output = stage.prompt_tokens_per_second, stage.output_tokens_per_second
    if prompt is not None and output is not None:
        rates["total_token_rate"] = (prompt + output, "tokens/s")
    throughput = {
        field: {"units": unit, "mean": rate}
        for field, (rate, unit) in rates.items()
        if rate is not None and math.isfinite(rate)
    }
    return {"requests": requests, "latency": latency, "throughput": throughput}, unplaced


def _load(case: CaseFolder, result: Result, stage: Stage, number: int) -> dict[str, Any] | None:
    """What was sent; None where the length of prompts, which the format asks for, is not known."""
    prompt, output = (_measured_length(stage.lengths.get(name)) for name in ("prompt", "output"))
    if prompt is None:
        return None
    config = without_secrets({key: value for key, value in case.workload.items() if key != HEADER})
    standardized = {
        "tool": result.harness,
        "tool_version": result.harness_version,
        "parallelism": case.scenario.load.parallelism if case.scenario else None,
        "source": "unknown",
        "stage": number,
        "input_seq_len": prompt,
        "output_seq_len": output,
        "rate_qps": stage.asked_rate if stage.asked_rate and 0 < stage.asked_rate < math.inf else None,
        "concurrency": stage.concurrency or None,
    }
    metadata = {
        "schema_version": "0.0.1",
        "cfg_id": config_id(standardized, config),
        "description": case.facts.text("workload"),
    }
    return {"metadata": metadata, "standardized": standardized, "native": {"config": config}}


def _measured_length(one: Distribution | None) -> dict[str, Any] | None:
    """The lengths that were sent, as measured: what was asked for is in the native configuration."""
    if one is None or not _has_mean(one):
        return None
    fixed = one.minimum is not None and one.minimum == one.maximum
    bounds = [bound if bound is not None and math.isfinite(bound) else None for bound in (one.minimum, one.maximum)]
    low, high = (None if bound is None else round(bound) for bound in bounds)
    return {
        "distribution": "fixed" if fixed else "other",
        "value": one.mean,
        "std_dev": one.stddev if one.stddev is not None and 0 <= one.stddev < math.inf else None,
        "min": low if low is not None and low >= 0 else None,
        "max": high if high is not None and high >= 1 else None,
    }


def _has_mean(one: Distribution) -> bool:
    return one.mean is not None and math.isfinite(one.mean)


def _finite(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _our_version(case: CaseFolder) -> str:
    """The version of the simulator that was measured: of the plugin that ran the case."""
    versions = case.facts.below("provenance.versions").data
    return str(versions.get("pytest-llmdbench", __version__))


def _without_nulls(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _without_nulls(value) for key, value in tree.items() if value is not None}
    if isinstance(tree, list):
        return [_without_nulls(value) for value in tree]
    return tree
