"""How the files of inference-perf become a result: one table of fields, everything absent stays absent.

The program writes ``summary_lifecycle_metrics.json`` for the whole run, ``stage_<n>_lifecycle_metrics.json`` for each
stage and ``config.yaml``, what it was told (all defaults filled in). Times are in seconds. Version 0.6.1 says
``prompt_len`` beside ``prompt_tokens``, earlier ones in its place; 0.7 no longer does, and has messages with failures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.fields import LARGEST_COUNT
from pytest_llmdbench.harnesses.fields import Fields, Mapped, plain, unreadable
from pytest_llmdbench.harnesses.harness import STDERR
from pytest_llmdbench.results.result import UNLABELLED, Requests, Result, Stage

SUMMARY: Final = "summary_lifecycle_metrics.json"
CONFIG: Final = "config.yaml"
_STAGE_FILE: Final = re.compile(r"stage_(\d+)_lifecycle_metrics\.json")

#: All times are seconds. The first field of a name that is there counts.
LATENCIES: Final = (
    Mapped("successes.latency.time_to_first_token", "ttft", "s"),
    Mapped("successes.latency.time_per_output_token", "tpot", "s/token, first token excluded"),
    Mapped("successes.latency.inter_token_latency", "itl", "s, every gap of every stream"),
    Mapped("successes.latency.request_latency", "e2e", "s"),
    Mapped("successes.latency.normalized_time_per_output_token", "normalized_tpot", "s/token, whole request"),
)
LENGTHS: Final = (
    Mapped("successes.prompt_tokens", "prompt", "tokens, 0.7: as the server counts"),
    Mapped("successes.prompt_len", "prompt", "tokens, 0.6"),
    Mapped("successes.output_tokens", "output", "tokens, 0.7: as the server counts"),
    Mapped("successes.output_len", "output", "tokens, 0.6: as the client counts"),
)
NUMBERS: Final = (
    Mapped("benchmark_time_seconds", "duration_s", "s, first request sent to last answer ended"),
    Mapped("load_summary.requested_rate", "asked_rate", "requests/s"),
    Mapped("load_summary.achieved_rate", "achieved_rate", "requests/s sent"),
    Mapped("successes.throughput.requests_per_sec", "requests_per_second", "requests/s completed"),
    Mapped("successes.throughput.input_tokens_per_sec", "prompt_tokens_per_second", "tokens/s"),
    Mapped("successes.throughput.output_tokens_per_sec", "output_tokens_per_second", "tokens/s"),
)
COUNTS: Final = (
    Mapped("load_summary.concurrency", "concurrency", "requests (or sessions) at once"),
    Mapped("successes.prompt_tokens.total", "prompt_tokens", "tokens of completed requests"),
    Mapped("successes.output_tokens.total", "output_tokens", "tokens of completed requests"),
)
#: How much later than planned a request was sent: seconds, below 0 where it was sent a little early.
SCHEDULE_LAG: Final = "load_summary.schedule_delay"


def read(folder: Path, version: str) -> Result:
    """The canonical result of what the program left in ``folder``, whatever its exit code.

    ``unfinished`` counts the requests that the stages asked for and that neither completed nor failed. Rates of the
    whole run include the pauses between its stages. A stage of fixed concurrency has neither asked rate nor lag: the
    program queues all its requests in the first second.

    Raises:
        HarnessError: a file is absent, cut short, or not as version 0.6 or 0.7 writes it; names file and field.
    """
    planned = _planned_requests(folder / CONFIG)
    summary = _load(folder / SUMMARY)
    files = [_load(folder / f"stage_{index}_lifecycle_metrics.json") for index in range(_stages(folder, planned))]
    asked: list[int | None] = planned or [None] * len(files)
    stages = tuple(_stage(file, count) for file, count in zip(files, asked, strict=True))
    known = [count for count in planned if count is not None]
    total = sum(known) if planned and len(known) == len(planned) else None
    closed = any(stage.concurrency is not None for stage in stages)
    return Result("inference-perf", version, _stage(summary, total, closed=closed), stages)


def _load(path: Path) -> Fields:
    absent = (
        f"inference-perf wrote no {path.name}: it ended before its results, or recorded not one request; "
        f"see {path.with_name(STDERR)}"
    )
    return Fields.load(path, absent)


def _planned_requests(config: Path) -> list[int | None]:
    """How many requests each stage asked for, None where that is not said; empty where there is no configuration."""
    try:
        told = Fields.of(config, yaml.safe_load(config.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise unreadable(config, error) from error
    if told.get("load.stages") is None:
        raise told.wrong("load.stages", "a list: it is the configuration of a load", None)
    stages = [Fields.of(config, one, f"load.stages.{number}") for number, one in enumerate(told.items("load.stages"))]
    # Of a closed loop the program itself notes a rate: all requests in one second.
    return [None if told.get("data.trace") is not None else _asked(stage) for stage in stages]


def _asked(stage: Fields) -> int | None:
    requests = (stage.amount("rate") or 0.0) * (stage.amount("duration") or 0.0)
    if requests > LARGEST_COUNT:
        raise stage.wrong("rate", "a number of requests a second", stage.get("rate"))
    return int(requests) or None


def _stages(folder: Path, planned: list[int | None]) -> int:
    """How many stages there are: as configured; without a configuration, as many as have files."""
    if planned:
        return len(planned)
    found = [int(match[1]) for path in folder.iterdir() if (match := _STAGE_FILE.fullmatch(path.name))]
    return max(found, default=-1) + 1


def _stage(file: Fields, asked: int | None, *, closed: bool = False) -> Stage:
    requests = _requests(file, asked)
    if requests.completed and file.get("successes.prompt_tokens") is None and file.get("successes.prompt_len") is None:
        raise HarnessError(f"{file.file}: neither 'successes.prompt_tokens' nor '.prompt_len': not version 0.6 or 0.7")
    numbers = file.numbers(NUMBERS)
    counts = {one.name: file.count(one.field) for one in COUNTS}
    # 0 sessions at once is how a replay says that it has no limit.
    concurrency = counts["concurrency"] or None
    closed = closed or counts["concurrency"] is not None
    return Stage(
        requests=requests,
        duration_s=numbers.get("duration_s"),
        asked_rate=None if closed else numbers.get("asked_rate"),
        achieved_rate=numbers.get("achieved_rate"),
        concurrency=concurrency,
        prompt_tokens=counts["prompt_tokens"],
        output_tokens=counts["output_tokens"],
        prompt_tokens_per_second=numbers.get("prompt_tokens_per_second"),
        output_tokens_per_second=numbers.get("output_tokens_per_second"),
        requests_per_second=numbers.get("requests_per_second"),
        latencies=file.distributions(LATENCIES),
        lengths=file.distributions(LENGTHS),
        schedule_lag=None if closed else file.distribution(SCHEDULE_LAG, signed=True),
    )


def _requests(file: Fields, asked: int | None) -> Requests:
    completed, failures = file.needed_count("successes.count"), file.needed_count("failures.count")
    labels = file.below("failures.by_label")
    failed: dict[str, int] = {}
    for label, entry in labels.data.items():
        # 0.6 has the bare count where 0.7 has count and messages.
        bare = {"count": entry} if not isinstance(entry, Mapping) else entry
        count = Fields.of(file.file, bare, f"failures.by_label.{label}").needed_count("count")
        failed[plain(label)] = failed.get(plain(label), 0) + count
    unlabelled = failures - sum(failed.values())
    if unlabelled < 0:
        raise file.wrong("failures.by_label", f"no more than the {failures} of 'failures.count'", sum(failed.values()))
    if unlabelled:
        failed[UNLABELLED] = unlabelled
    recorded = file.needed_count("load_summary.count")
    if recorded != completed + failures:
        raise file.wrong("load_summary.count", f"{completed} completed and {failures} failed", recorded)
    return Requests(completed, failed, max(0, asked - recorded) if asked is not None else 0)
