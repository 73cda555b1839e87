"""How the report of guidellm becomes a result: one table of fields, everything absent stays absent.

Its statistics are of the requests that overlap the measured window, by outcome; where none had an outcome they are all
0. Its words are not the field's: what it calls the time per output token holds the first token too, and what it calls
the inter-token latency leaves it out, a mean a request. It does not record the gaps of a stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.fields import Fields, Mapped
from pytest_llmdbench.harnesses.guidellm_report import RESULTS, Benchmark, benchmarks
from pytest_llmdbench.results.result import UNLABELLED, Distribution, Requests, Result, Stage

LATENCIES: Final = (
    Mapped("metrics.time_to_first_token_ms.successful", "ttft", "ms", 0.001),
    Mapped("metrics.inter_token_latency_ms.successful", "tpot", "ms/token, first token excluded", 0.001),
    Mapped("metrics.request_latency.successful", "e2e", "s"),
    Mapped("metrics.time_per_output_token_ms.successful", "normalized_tpot", "ms/token, whole request", 0.001),
)
LENGTHS: Final = (
    Mapped("metrics.prompt_token_count.successful", "prompt", "tokens, as the server counts"),
    Mapped("metrics.output_token_count.successful", "output", "tokens, as the server counts"),
)
NUMBERS: Final = (
    Mapped("duration", "duration_s", "s, the measured window: without warm-up and what it did not wait for"),
    Mapped("metrics.requests_per_second.successful.mean", "requests_per_second", "requests/s completed"),
    Mapped("metrics.prompt_tokens_per_second.successful.mean", "prompt_tokens_per_second", "tokens/s"),
    Mapped("metrics.output_tokens_per_second.successful.mean", "output_tokens_per_second", "tokens/s"),
)
#: What was asked for, by the kind of load: other kinds have neither.
ASKED_RATE: Final[Mapping[str, str]] = dict.fromkeys(("constant", "poisson"), "config.strategy.rate")
CONCURRENCY: Final[Mapping[str, str]] = {
    "concurrent": "config.strategy.streams",
    "throughput": "config.strategy.max_concurrency",
}
#: How much later than planned a request was sent, seconds; of open loads only.
SCHEDULE_LAG: Final = Mapped("metrics.request_dispatch_delay.total", "schedule_lag", "s")
#: The program's names of percentiles have no point.
PERCENTILES: Final[Mapping[str, float]] = {
    "p001": 0.1, "p01": 1.0, "p05": 5.0, "p10": 10.0, "p25": 25.0, "p50": 50.0,
    "p75": 75.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9,
}  # fmt: skip


def read(folder: Path, version: str) -> Result:
    """The canonical result of the report in ``folder``, whatever the program's exit code.

    Requests that were under way when a stage's time was up are ``unfinished``: the program ends them itself.

    Raises:
        HarnessError: there is no report, it was cut short or is of an unknown version; names file and field.
    """
    found = benchmarks(folder)
    if not found:
        raise HarnessError(f"{folder / RESULTS}: holds no benchmark: guidellm ended before the first was over")
    stages = tuple(_stage(one) for one in found)
    return Result("guidellm", version, _whole(stages), stages)


def window(benchmark: Benchmark) -> tuple[float, float]:
    """Begin and end of a benchmark's measured window, in seconds since 1970."""
    fields = benchmark.fields
    return fields.needed_number("start_time"), fields.needed_number("end_time")


def _stage(benchmark: Benchmark) -> Stage:
    fields = benchmark.fields
    totals = {key: fields.needed_count(f"metrics.request_totals.{key}") for key in ("successful", "errored")}
    requests = Requests(
        totals["successful"],
        {UNLABELLED: totals["errored"]} if totals["errored"] else {},
        fields.count("metrics.request_totals.incomplete") or 0,
    )
    kind = str(fields.text("config.strategy.type_"))
    rate, streams = ASKED_RATE.get(kind), CONCURRENCY.get(kind)
    asked = Stage(
        requests=requests,
        duration_s=fields.amount("duration"),
        asked_rate=fields.number(rate) if rate else None,
        concurrency=1 if kind == "synchronous" else fields.count(streams) if streams else None,
    )
    if not requests.completed:
        return asked
    numbers = fields.numbers(NUMBERS)
    return replace(
        asked,
        requests_per_second=numbers.get("requests_per_second"),
        prompt_tokens_per_second=numbers.get("prompt_tokens_per_second"),
        output_tokens_per_second=numbers.get("output_tokens_per_second"),
        latencies=_distributions(fields, LATENCIES),
        lengths=_distributions(fields, LENGTHS),
        schedule_lag=_distribution(fields, SCHEDULE_LAG, signed=True) if rate else None,
    )


def _whole(stages: tuple[Stage, ...]) -> Stage:
    """The sum of the stages' counts; all else of several stages is made from their requests."""
    if len(stages) == 1:
        return stages[0]
    failures = sum(stage.requests.failures for stage in stages)
    return Stage(
        Requests(
            sum(stage.requests.completed for stage in stages),
            {UNLABELLED: failures} if failures else {},
            sum(stage.requests.unfinished for stage in stages),
        )
    )


def _distributions(fields: Fields, table: Iterable[Mapped]) -> dict[str, Distribution]:
    found = {one.name: _distribution(fields, one) for one in table}
    # What was not measured, as of answers that came whole, is 0 throughout.
    return {name: one for name, one in found.items() if one is not None and one.maximum}


def _distribution(fields: Fields, mapped: Mapped, *, signed: bool = False) -> Distribution | None:
    made = fields.distribution(mapped.field, mapped.scale, signed=signed)
    if made is None:
        return None
    named = fields.below(f"{mapped.field}.percentiles")
    number = named.number if signed else named.amount
    values = {percent: number(name, mapped.scale) for name, percent in PERCENTILES.items()}
    known = {percent: value for percent, value in values.items() if value is not None}
    return replace(made, percentiles={**made.percentiles, **known}, count=fields.count(f"{mapped.field}.count"))
