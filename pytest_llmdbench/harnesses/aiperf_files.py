"""How the summary of aiperf becomes a result: one table of fields, everything absent stays absent.

The program writes ``profile_export_aiperf.json`` for the whole run, ``profile_export.jsonl`` with a line a request, and
its log to its output. Times are in milliseconds, each with its unit beside it. Its "inter token latency" is the mean
gap of one request, which is a TPOT; the single gaps are its "inter chunk latency". Where not one request completed,
0.13 writes no summary, so its requests are counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.aiperf_profile import TRACES
from pytest_llmdbench.harnesses.aiperf_requests import CANCELLED, REQUESTS, error_kind, requests
from pytest_llmdbench.harnesses.fields import Fields, Mapped
from pytest_llmdbench.harnesses.harness import STDOUT
from pytest_llmdbench.results.result import Distribution, Requests, Result, Stage

SUMMARY: Final = "profile_export_aiperf.json"
#: The versions of the summary's form: of aiperf 0.8.0 and 0.13.0.
SCHEMAS: Final = ("1.1", "1.4")

#: The first field of a name that is there counts.
LATENCIES: Final = (
    Mapped("time_to_first_token", "ttft", "ms", 0.001),
    Mapped("inter_token_latency", "tpot", "ms", 0.001),
    Mapped("inter_chunk_latency", "itl", "ms", 0.001),
    Mapped("request_latency", "e2e", "ms", 0.001),
)
LENGTHS: Final = (
    Mapped("usage_prompt_tokens", "prompt", "tokens"),
    Mapped("input_sequence_length", "prompt", "tokens"),
    Mapped("usage_completion_tokens", "output", "tokens"),
    Mapped("output_sequence_length", "output", "tokens"),
)
#: Numbers of the whole run: each is the ``avg`` of its field.
NUMBERS: Final = (
    Mapped("benchmark_duration", "duration_s", "sec"),
    Mapped("request_throughput", "requests_per_second", "requests/sec"),
    Mapped("output_token_throughput", "output_tokens_per_second", "tokens/sec"),
    Mapped("total_usage_prompt_tokens", "prompt_tokens", "tokens"),
    Mapped("total_isl", "prompt_tokens", "tokens"),
    Mapped("total_usage_completion_tokens", "output_tokens", "tokens"),
    Mapped("total_osl", "output_tokens", "tokens"),
)
#: How much later than its turn came a request was sent.
LAG: Final = Mapped("credit_to_start_latency", "lag", "ms", 0.001)

#: The program's word on requests that were under way when its time was up: it leaves them out of all its files.
_CANCELLED: Final = re.compile(rb"Phase profiling\b.* complete \| completed=\d+, cancelled=(\d{1,9}), errors=")


def read(folder: Path, version: str) -> Result:
    """The canonical result of what the program left in ``folder``, whatever its exit code.

    Raises:
        HarnessError: a file is absent, cut short or of an unknown version, or the program ended before its results;
            names file and field.
    """
    path = folder / SUMMARY
    unfinished = _unfinished(folder / STDOUT)
    if not path.is_file():
        whole = Stage(_all_failed(folder, unfinished))
        return Result("aiperf", version, whole, (whole,))
    file = Fields.load(path, f"aiperf wrote no {path.name}")
    if file.text("schema_version") not in SCHEMAS:
        raise file.wrong("schema_version", f"one of {', '.join(SCHEMAS)}", file.get("schema_version"))
    if file.get("was_cancelled") is True or file.get("is_complete") is False:
        raise HarnessError(f"{path}: aiperf was stopped before its load was over; see {folder / STDOUT}")
    rate, concurrency = _asked(file)
    numbers = file.numbers(Mapped(f"{one.field}.avg", one.name, one.unit, one.scale) for one in _there(file, NUMBERS))
    tokens = {name: int(numbers[name]) for name in ("prompt_tokens", "output_tokens") if name in numbers}
    whole = Stage(
        requests=_requests(file, unfinished),
        duration_s=numbers.get("duration_s"),
        asked_rate=rate,
        concurrency=concurrency,
        prompt_tokens=tokens.get("prompt_tokens"),
        output_tokens=tokens.get("output_tokens"),
        output_tokens_per_second=numbers.get("output_tokens_per_second"),
        requests_per_second=numbers.get("requests_per_second"),
        latencies=file.distributions(_there(file, LATENCIES)),
        lengths=file.distributions(_there(file, LENGTHS)),
        schedule_lag=None if concurrency else _lag(file),
    )
    return Result("aiperf", version, whole, (whole,))


def _there(file: Fields, table: Sequence[Mapped]) -> list[Mapped]:
    """The lines of a table whose field is there. Raises HarnessError for one in another unit."""
    found = []
    for one in table:
        if file.get(one.field) is not None:
            unit = file.text(f"{one.field}.unit")
            if unit != one.unit:
                raise file.wrong(f"{one.field}.unit", f"'{one.unit}'", unit)
            found.append(one)
    return found


def _lag(file: Fields) -> Distribution | None:
    return next((file.distribution(one.field, one.scale, signed=True) for one in _there(file, (LAG,))), None)


def _requests(file: Fields, unfinished: int) -> Requests:
    """Counts of requests; the program's list of errors has an entry for each kind, with its own count."""
    failures = file.count("error_request_count.avg") or 0
    failed: Counter[str] = Counter()
    for index, entry in enumerate(file.items("error_summary")):
        error = Fields.of(file.file, entry, f"error_summary.{index}")
        failed[error_kind(error.below("error_details"))] += error.needed_count("count")
    cancelled = failed.pop(CANCELLED, 0)
    if failed.total() + cancelled != failures:
        raise file.wrong("error_summary", f"as many as the {failures} of 'error_request_count'", failed.total())
    # 0.8 has a summary without this field where none completed.
    completed = file.count("request_count.avg") if failures else file.needed_count("request_count.avg")
    return Requests(completed or 0, dict(failed), unfinished + cancelled)


def _asked(file: Fields) -> tuple[float | None, int | None]:
    """The rate that was asked for, or else the concurrency; neither for a replay at the times of a data set."""
    phases = [Fields.of(file.file, one, "input_config.phases") for one in file.items("input_config.phases")]
    measured = [one for one in phases if one.text("kind") == "profiling"]
    if measured:
        load = measured[-1]
        scheduled, rate = load.text("type") == "fixed_schedule", load.number("rate")
    else:  # 0.8, which keeps to the times of a trace without saying so, but says where it does not
        load, data = file.below("input_config.loadgen"), file.below("input_config.input")
        closed = load.text("arrival_pattern") == "concurrency_burst"
        scheduled = bool(data.get("fixed_schedule")) or (data.text("custom_dataset_type") in TRACES and not closed)
        rate = load.number("request_rate") or load.number("user_centric_rate")
    if scheduled:
        return None, None
    return rate, None if rate else load.count("concurrency")


def _unfinished(log: Path) -> int:
    """How many requests were under way when the program's time was up; 0 where its log does not say."""
    try:
        with log.open("rb") as lines:
            return sum(int(match[1]) for line in lines if (match := _CANCELLED.search(line)))
    except OSError:
        return 0


def _all_failed(folder: Path, unfinished: int) -> Requests:
    """Counts of a run without a summary: the single requests, of which none may have completed."""
    outcomes: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for request in requests(folder) or ():
        outcomes[request.outcome] += 1
        if request.error is not None:
            failed[request.error] += 1
    if outcomes["completed"] or not outcomes:
        what = "ended before its results" if outcomes else "recorded not one request"
        raise HarnessError(
            f"aiperf wrote no {SUMMARY} in {folder}: it {what} ({REQUESTS} has {outcomes['completed']} that completed);"
            f" see {folder / STDOUT}"
        )
    return Requests(0, dict(failed), unfinished + outcomes["unfinished"])
