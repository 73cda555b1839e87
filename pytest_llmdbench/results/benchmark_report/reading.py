"""A Benchmark Report as a canonical result: versions 0.1, 0.2 and 0.2.1, of llm-d-benchmark's making or of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, get_args

from pytest_llmdbench.results.benchmark_report import eval_containers, own_block
from pytest_llmdbench.results.benchmark_report.corrections import (
    CANONICAL,
    NO_MEASUREMENT,
    NO_PROMPTS,
    ROLE_IN_GAPS,
    ROLE_MAYBE_IN_GAPS,
    Correction,
    correction,
    lengths_of_completed,
)
from pytest_llmdbench.results.benchmark_report.observability import read_components
from pytest_llmdbench.results.benchmark_report.setting import asked_load, chat_spoken, moments, setting
from pytest_llmdbench.results.benchmark_report.statistics import from_statistics
from pytest_llmdbench.results.benchmark_report.units import LATENCIES, LENGTHS, RATES
from pytest_llmdbench.results.benchmark_report.validation import check
from pytest_llmdbench.results.fields import LARGEST_COUNT, Part
from pytest_llmdbench.results.loading import load_yaml
from pytest_llmdbench.results.result import UNLABELLED, Distribution, Purpose, Requests, Result, Stage

#: The report's names of lengths and rates by ours.
_LENGTHS: Final = {"input_length": "prompt", "output_length": "output"}
_RATES: Final = {
    "input_token_rate": "prompt_tokens_per_second",
    "output_token_rate": "output_tokens_per_second",
    "total_token_rate": "total",
    "request_rate": "requests_per_second",
}
#: The scalar rates of 0.1, in a second.
_RATES_01: Final = {
    "input_tokens_per_sec": "prompt_tokens_per_second",
    "output_tokens_per_sec": "output_tokens_per_second",
    "total_tokens_per_sec": "total",
    "requests_per_sec": "requests_per_second",
}
_NOTHING: Final = Distribution()


@dataclass(frozen=True, slots=True)
class Report:
    """What a Benchmark Report says: one stage of one run.

    ``result`` has this stage as its whole and its only stage. ``facts`` is what is known of the case, by the names of
    ``case.json`` where it has them (``model``, ``treatment``, ``workload`` ...), and ``run``, ``accelerator``,
    ``accelerators`` (how many in all) and ``verdict``; None for what the report does not say. ``stage`` is the number
    of the stage in its run. ``own``: we wrote it. ``notes`` are sentences on what was read otherwise than it is
    written, and on what is missing.
    """

    version: str
    result: Result
    stage: int
    own: bool
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read(source: Path | Mapping[str, Any]) -> Report:
    """Read a report from its file, or from the plain data of one.

    Raises:
        ResultsError: no report, cut short, of an unknown version, or a value that is not what its field says; names
            file and field.
    """
    part = load_yaml(source) if isinstance(source, Path) else Part("the report", source)
    version = check(part)
    block = part.below(own_block.PLACE) if version != "0.1" else Part(part.file, {})
    own = bool(block.data)
    facts = setting(part, version) | {name: value for name, value in own_block.case_facts(block).items() if value}
    rule = Correction() if own else correction(facts["harness"])
    notes = [] if own else list(rule.notes)
    measured = part.below("metrics" if version == "0.1" else "results.request_performance.aggregate")
    agentic = not own and version != "0.1" and eval_containers.is_there(part)
    stage = _stage(measured, version, block, rule, notes, eval_containers.requests(part) if agentic else None)
    if not own:
        stage = _asked(stage, asked_load(part), rule)
        stage = _without_role(stage, chat_spoken(part), rule, notes)
    if agentic:
        stage = replace(stage, **eval_containers.tokens(part))
        if eval_containers.of_several(part) and stage.requests_per_second is not None:
            stage = replace(stage, requests_per_second=None)
            notes.append(eval_containers.BY_TASK)
    started, duration = moments(part, version)
    window = version in rule.window
    if window:
        stage = replace(stage, duration_s=duration)
    place = "scenario.load.metadata.stage" if version == "0.1" else "scenario.load.standardized.stage"
    number = block.count("stage.number") if own else None
    result = Result(
        harness=facts["harness"] or "unknown",
        harness_version=facts["harness_version"] or "unknown",
        whole=stage,
        stages=(stage,),
        purpose="accuracy" if agentic else _purpose(block),
        scores=eval_containers.scores(part) if agentic else _numbers(block, "scores"),
        startup=_numbers(block, "startup"),
        economy=_numbers(block, "economy"),
        started=started,
        # In 0.1 a duration is never that of the whole program.
        elapsed_s=None if window or version == "0.1" else duration,
        exit_code=_exit_code(block),
        server=_server(part, block) if version != "0.1" else {},
    )
    stage_number = number if number is not None else part.count(place) or 0
    return Report(version, result, stage_number, own, facts, tuple(notes))


def _purpose(block: Part) -> Purpose:
    said = block.text("purpose") or "load"
    purposes: tuple[Purpose, ...] = get_args(Purpose)
    for one in purposes:
        if said == one:
            return one
    raise block.wrong("purpose", f"one of {', '.join(purposes)}", said)


def _stage(
    measured: Part, version: str, block: Part, rule: Correction, notes: list[str], counted: Requests | None
) -> Stage:
    """What was measured; ``counted`` are the requests where the report says them in another place."""
    requests = counted or _requests(measured.below("requests"), block, rule, notes)
    own = bool(block.data)
    names = CANONICAL | dict(rule.latencies)
    latencies = _distributions(measured.below("latency"), LATENCIES, names)
    lengths = _distributions(measured.below("requests"), LENGTHS, _LENGTHS)
    rates = _rates(measured.below("throughput"), version)
    unplaced = own_block.unplaced(block)
    for name, one in unplaced.items():
        group, _, rest = name.partition(".")
        if rest and group in ("latencies", "lengths"):
            (latencies if group == "latencies" else lengths)[rest] = one
    if own:
        numbers = own_block.stage_numbers(block)
    elif requests.completed:
        if rates.get("prompt_tokens_per_second") and lengths.get("prompt", _NOTHING).mean == 0:
            notes.append(NO_PROMPTS)
            del lengths["prompt"]
        if rule.lengths_of_all:
            lengths = lengths_of_completed(rates)
        numbers = {**rates, **_tokens(requests, lengths)}
    else:
        if latencies or lengths:
            notes.append(NO_MEASUREMENT)
        latencies, lengths, numbers = {}, {}, {}
    return Stage(
        requests=requests, latencies=latencies, lengths=lengths, schedule_lag=unplaced.get("schedule_lag"), **numbers
    )


def _requests(part: Part, block: Part, rule: Correction, notes: list[str]) -> Requests:
    if not part.data:
        notes.append("the report counts no requests")
        return Requests(0)
    total = part.needed_count("total")
    failures, unfinished = part.count("failures"), part.count("incomplete") or 0
    if failures is None:
        notes.append("the report does not say how many requests failed")
        failures = 0
    completed = total if rule.total_is_completed else total - failures - unfinished
    if completed < 0:
        raise part.wrong("total", f"at least the {failures} failures and {unfinished} incomplete ones", total)
    kinds = own_block.failed(block)
    if not kinds or sum(kinds.values()) != failures:
        kinds = {UNLABELLED: failures} if failures else {}
    return Requests(completed, kinds, unfinished)


def _distributions(part: Part, kinds: Mapping[str, str], names: Mapping[str, str]) -> dict[str, Distribution]:
    found = {}
    for field_name, kind in kinds.items():
        if part.get(field_name) is not None:
            one = from_statistics(part.below(field_name), kind)
            if one is not None:
                found[names[field_name]] = one
    return found


def _rates(part: Part, version: str) -> dict[str, float]:
    """Rates by our names. The total is prompt and output together: where only one is said, the other follows."""
    found: dict[str, float | None]
    if version == "0.1":
        found = {ours: part.number(theirs) for theirs, ours in _RATES_01.items()}
    else:
        found = {_RATES[theirs]: part.number(f"{theirs}.mean") for theirs in RATES}
    total, output = found.pop("total"), found["output_tokens_per_second"]
    if found["prompt_tokens_per_second"] is None and total is not None and output is not None and total >= output:
        found["prompt_tokens_per_second"] = total - output
    return {name: value for name, value in found.items() if value is not None}


def _tokens(requests: Requests, lengths: Mapping[str, Distribution]) -> dict[str, int]:
    """Tokens of all completed requests: their mean length, so often."""
    found = {}
    for name, one in lengths.items():
        amount = (one.mean or 0.0) * requests.completed
        if one.mean is not None and 0 <= amount <= LARGEST_COUNT:
            found[f"{name}_tokens"] = round(amount)
    return found


def _asked(stage: Stage, asked: Mapping[str, Any], rule: Correction) -> Stage:
    """With the load that was asked for."""
    closed = rule.rate_of_closed and asked["concurrency"] is not None
    return replace(stage, concurrency=asked["concurrency"], asked_rate=None if closed else asked["asked_rate"])


def _without_role(stage: Stage, chat: bool | None, rule: Correction, notes: list[str]) -> Stage:
    """Without gaps that count the event with a chat's role; ``chat`` None: the report does not say what was spoken."""
    if not rule.role_is_a_gap or chat is False or "itl" not in stage.latencies:
        return stage
    if chat is None:
        notes.append(ROLE_MAYBE_IN_GAPS)
        return stage
    notes.append(ROLE_IN_GAPS)
    return replace(stage, latencies={name: one for name, one in stage.latencies.items() if name != "itl"})


def _server(report: Part, block: Part) -> dict[str, Any]:
    components, totals = read_components(report), _numbers(block, "server")
    found = {"components": components, "totals": totals}
    return {"metrics": {name: one for name, one in found.items() if one}} if components or totals else {}


def _numbers(block: Part, name: str) -> dict[str, float]:
    part = block.below(name)
    found = {str(key): part.checked(str(key), value) for key, value in part.data.items()}
    return {key: value for key, value in found.items() if value is not None}


def _exit_code(block: Part) -> int | None:
    value = block.number("exit_code")
    if value is not None and (value != int(value) or abs(value) > LARGEST_COUNT):
        raise block.wrong("exit_code", "a whole number", value)
    return None if value is None else int(value)
