"""The summary that ``vllm bench serve`` (version 0.32, and programs that share its form) writes, as a result."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pytest_llmdbench.harnesses.fields import Fields, Mapped
from pytest_llmdbench.harnesses.harness import STDERR
from pytest_llmdbench.harnesses.vllm_bench_scan import scan
from pytest_llmdbench.results.result import UNLABELLED, Distribution, Requests, Result, Stage

#: The file with all it measured, in the folder of the case.
RESULTS: Final = "vllm-bench.json"

#: What the fields of the file are: units for people, and what makes them canonical. Of a latency it has statistics:
#: ``mean_ttft_ms``, ``p99_ttft_ms``.
LATENCIES: Final = (
    Mapped("ttft_ms", "ttft", "ms", 0.001),
    Mapped("tpot_ms", "tpot", "ms a token after the first", 0.001),
    Mapped("itl_ms", "itl", "ms between two events", 0.001),
    Mapped("e2el_ms", "e2e", "ms", 0.001),
)
NUMBERS: Final = (
    Mapped("duration", "duration_s", "s"),
    Mapped("request_throughput", "requests_per_second", "completed requests/s"),
    Mapped("output_throughput", "output_tokens_per_second", "tokens/s"),
)
COUNTS: Final = (
    Mapped("total_input_tokens", "prompt_tokens", "tokens of completed requests, as the server counts"),
    Mapped("total_output_tokens", "output_tokens", "tokens, as the server counts"),
    Mapped("max_concurrency", "concurrency", "requests at once"),
)
#: Lists with an entry a request.
REQUESTS: Final = (
    Mapped("start_times", "sent", "s, monotonic clock"),
    Mapped("ttfts", "ttft", "s"),
    Mapped("latencies", "e2e", "s until the last event"),
    Mapped("queue_times", "lag", "s from when a request was due until it was sent"),
    Mapped("input_lens", "prompt_tokens", "tokens"),
    Mapped("output_lens", "output_tokens", "tokens"),
)
#: And the one with a list a request.
GAPS: Final = Mapped("itls", "gaps", "s between two events")
ERRORS: Final = Mapped("errors", "error", "a text, empty where there was none or the server sent none")

#: The backend whose streams begin with an event that holds a role and no token.
CHAT: Final = "openai-chat"


def backend(file: Fields) -> str | None:
    """Which interface was spoken to; old programs name it otherwise."""
    return file.text("backend") or file.text("endpoint_type")


def read(folder: Path, name: str, version: str) -> Result:
    """What the summary in ``folder`` says, a run of one stage.

    ``failed`` has no kinds here: those are with the single requests. The zeros that the program writes where nothing
    was measured are left out. So is its ITL of chats, which counts the event with the role as a token, at no distance.

    Raises:
        HarnessError: the file is absent, cut short, or a field is not what it should be.
    """
    file = load(folder)
    completed = file.needed_count("completed")
    failed = file.count("failed")
    if failed is None:
        failed = max(0, file.needed_count("num_prompts") - completed)
    numbers = file.numbers(NUMBERS) if completed else {}
    counts = {one.name: file.count(one.field) for one in COUNTS}
    prompt, duration = counts["prompt_tokens"], file.number("duration")
    stage = Stage(
        requests=Requests(completed, {UNLABELLED: failed} if failed else {}),
        duration_s=duration,
        asked_rate=None if file.get("request_rate") == "inf" else file.number("request_rate"),
        concurrency=counts["concurrency"],
        prompt_tokens=prompt if completed else None,
        output_tokens=(counts["output_tokens"] or None) if completed else None,
        prompt_tokens_per_second=prompt / duration if prompt and duration else None,
        output_tokens_per_second=numbers.get("output_tokens_per_second") or None,
        requests_per_second=numbers.get("requests_per_second"),
        latencies=_latencies(file) if completed else {},
    )
    return Result(name, version, stage, (stage,))


def load(folder: Path) -> Fields:
    """The single values of the file in ``folder``. Raises HarnessError."""
    path = folder / RESULTS
    return Fields.of(path, scan(path, absent(folder)))


def absent(folder: Path) -> str:
    """The sentence on a run without results."""
    return f"vllm bench serve wrote no {RESULTS}: it ended before its results; see {folder / STDERR}"


def _latencies(file: Fields) -> dict[str, Distribution]:
    found: dict[str, dict[str, object]] = {}
    for key, value in file.data.items():
        statistic, _, latency = key.partition("_")
        found.setdefault(latency, {})[statistic] = value
    if backend(file) == CHAT:
        found.pop("itl_ms", None)
    made = {one.name: Fields(file.file, found.get(one.field, {}), one.field).statistics(one.scale) for one in LATENCIES}
    # No latency is nothing at all: where the mean is 0 there was no value.
    return {name: one for name, one in made.items() if one is not None and one.mean}
