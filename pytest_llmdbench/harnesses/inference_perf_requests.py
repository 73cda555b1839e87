"""The single requests of inference-perf, from ``per_request_lifecycle_metrics.json``.

The file has them in no order and without their stage. Stages never overlap, so the requests in the order of their
starts are cut where the stages' own counts say. Times are the program's monotonic clock, in seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.fields import plain, unreadable
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Result

PER_REQUEST: Final = "per_request_lifecycle_metrics.json"
#: Under which names servers say how many tokens they were sent, and how many they made.
_PROMPT_KEYS: Final = ("prompt_tokens", "input_tokens")
_OUTPUT_KEYS: Final = ("completion_tokens", "output_tokens")
_NOT_AS_WRITTEN: Final = (
    TypeError, KeyError, ValueError, AttributeError, IndexError, OverflowError, RecursionError,
)  # fmt: skip
#: Letters of an error on a request.
LONGEST: Final = 500


def requests(folder: Path, own: Result) -> Iterator[Request] | None:
    """The requests, each with its stage; None where the program was told not to keep them.

    Raises:
        HarnessError: the file was cut short, or has other requests than the stages' own files count.
    """
    path = folder / PER_REQUEST
    if not path.is_file():
        return None
    return _requests(path, own)


def _requests(path: Path, own: Result) -> Iterator[Request]:
    begins = _begins(path, own)
    for entry in _entries(path, "item"):
        try:
            request = _request(entry)
        except _NOT_AS_WRITTEN as error:
            raise HarnessError(
                f"{path}: a request was not written by version 0.6 or 0.7 with "
                f"'report.request_lifecycle.per_request_fields.info': {error!r}"[:LONGEST]
            ) from error
        request.stage = max(0, bisect_right(begins, request.sent) - 1)
        yield request


def _begins(path: Path, own: Result) -> Sequence[float]:
    """When the first request of each stage was sent."""
    import numpy as np

    try:
        starts = np.fromiter((float(start) for start in _entries(path, "item.start_time")), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise HarnessError(f"{path}: 'start_time' of a request is not a number: {error}") from error
    counts = [stage.requests.completed + stage.requests.failures for stage in own.stages]
    if sum(counts) != len(starts):
        raise HarnessError(f"{path}: holds {len(starts)} requests, where the stages' own files count {sum(counts)}")
    places = [place for place in accumulate([0, *counts[:-1]]) if place < len(starts)]
    if places:
        starts.partition(places)  # in place: a sorted list would take five times as much
    return [float(starts[place]) for place in places]


def _entries(path: Path, prefix: str) -> Iterator[Any]:
    import ijson

    try:
        with path.open("rb") as file:
            yield from ijson.items(file, prefix, use_float=True)
    except (OSError, ValueError, RecursionError, ijson.JSONError) as error:
        raise unreadable(path, error) from error


def _request(entry: Mapping[str, Any]) -> Request:
    """One entry of the file; its stage is not known yet."""
    started = float(entry["start_time"])
    info = entry["info"]
    response = info["response_metrics"] or {}
    # Of several tokens in one event the program notes the same time for each.
    times = [time for time, _ in groupby(float(time) for time in response.get("output_token_times") or ())]
    usage = response.get("server_usage") or {}
    prompt = _tokens(usage, _PROMPT_KEYS, info["request_metrics"]["text"]["input_tokens"])
    output = _tokens(usage, _OUTPUT_KEYS, response.get("output_tokens"))
    # An answer that came whole has no first token that somebody saw.
    streamed = len(times) > 1
    failed = entry["error"] is not None
    return Request(
        stage=0,
        sent=started,
        ended=float(entry["end_time"]),
        outcome="failed" if failed else "completed",
        error=plain(str(entry["error"].get("error_type"))) if failed else None,
        prompt_tokens=prompt or None,  # of a request that was not sent it is 0
        output_tokens=output,
        events=len(times) if streamed else None,
        ttft=times[0] - started if streamed else None,
        tpot=(times[-1] - times[0]) / (output - 1) if streamed and output and output > 1 else None,
        gaps=[after - before for before, after in pairwise(times)],
    )


def _tokens(usage: Mapping[str, Any], keys: Sequence[str], counted: Any) -> int | None:
    """Tokens as the server counts them, or else as the program does; None where neither did."""
    found = next((usage[key] for key in keys if usage.get(key) is not None), counted)
    return None if found is None else int(found)
