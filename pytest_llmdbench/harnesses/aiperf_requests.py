"""The single requests of aiperf, from ``profile_export.jsonl``: one line a request, read one by one.

Times of day are nanoseconds since 1970. A line of a request that completed has its metrics, each with its unit; one of
a request that failed has ``error``. Requests of the warm-up stand among the others and are left out.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.fields import Fields, plain
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import UNLABELLED

REQUESTS: Final = "profile_export.jsonl"
NS: Final = 1e-9
MS: Final = 1e-3
#: The kind of requests that the program itself gave up on purpose, as its profile asked for.
CANCELLED: Final = "499 RequestCancellationError"
#: More tokens than a request can have.
_MOST_TOKENS: Final = 2**31
#: Milliseconds that no gap can have: thirty years.
_LONGEST_GAP: Final = 1e12


def requests(folder: Path) -> Iterator[Request] | None:
    """The requests in the order of the file; None where there is no such file.

    Raises:
        HarnessError: a line was cut short or is not as version 0.8 or 0.13 writes it; names file, line and field.
    """
    path = folder / REQUESTS
    return _requests(path) if path.is_file() else None


def follow(folder: Path) -> Callable[[], Sequence[Request]]:
    """A function that gives the requests which were written since its last call; lines that are none are passed over.

    A line that is not whole yet waits for the next call.
    """
    path, offset = folder / REQUESTS, 0

    def look() -> Sequence[Request]:
        nonlocal offset
        try:
            with path.open("rb") as file:
                file.seek(offset)
                text = file.read()
        except OSError:
            return ()
        lines = text[: text.rfind(b"\n") + 1]
        offset += len(lines)
        came: list[Request] = []
        for line in lines.splitlines():
            # What is wrong with a line is said when the file is read as a whole.
            with contextlib.suppress(HarnessError):
                entry = Fields.of(str(path), _entry(path, 0, line))
                if entry.text("metadata.benchmark_phase") != "warmup":
                    came.append(_request(entry))
        return came

    return look


def error_kind(error: Fields) -> str:
    """The kind of an error in the program's own words: its HTTP status and reason, or what its client raised."""
    code, kind = error.count("code"), error.text("type")
    return plain(" ".join(str(part) for part in (code, kind) if part is not None)) or UNLABELLED


def _requests(path: Path) -> Iterator[Request]:
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                entry = Fields.of(f"{path}, line {number}", _entry(path, number, line))
                if entry.text("metadata.benchmark_phase") != "warmup":
                    yield _request(entry)
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error}") from error


def _entry(path: Path, number: int, line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise HarnessError(f"{path}, line {number}: was cut short, or is no JSON: {error}") from error


def _request(entry: Fields) -> Request:
    metadata = entry.below("metadata")
    sent, ended = metadata.needed_number("request_start_ns"), metadata.needed_number("request_end_ns")
    turn = metadata.number("credit_issued_ns")
    lag = None if turn is None else (sent - turn) * NS
    request = Request(0, sent * NS, ended * NS, "completed", lag=lag)
    if entry.get("error") is not None:
        kind = error_kind(entry.below("error"))
        if kind == CANCELLED:  # what is noted as its start is its end
            request.outcome, request.lag = "unfinished", None
        else:
            request.outcome, request.error = "failed", kind
        return request
    metrics = entry.below("metrics")
    request.prompt_tokens = _tokens(metrics, "usage_prompt_tokens", "input_sequence_length")
    request.output_tokens = output = _tokens(metrics, "usage_completion_tokens", "output_sequence_length")
    request.ttft = _milliseconds(metrics, "time_to_first_token")
    if request.ttft is None:  # the answer came whole
        return request
    request.gaps = _gaps(metrics)
    request.events = len(request.gaps) + 1
    if request.gaps and output is not None and output > 1:
        request.tpot = math.fsum(request.gaps) / (output - 1)
    return request


def _tokens(metrics: Fields, *names: str) -> int | None:
    """The first of several counts that is there."""
    for name in names:
        count = metrics.count(f"{name}.value")
        if count is not None:
            if count >= _MOST_TOKENS:
                raise metrics.wrong(name, "a number of tokens", count)
            return count
    return None


def _milliseconds(metrics: Fields, name: str) -> float | None:
    _check_unit(metrics, name)
    return metrics.number(f"{name}.value", MS)


def _gaps(metrics: Fields) -> list[float]:
    name = "inter_chunk_latency"
    _check_unit(metrics, name)
    gaps = metrics.items(f"{name}.value")
    if not all(type(gap) in (float, int) and abs(gap) < _LONGEST_GAP for gap in gaps):
        raise metrics.wrong(name, "a list of milliseconds", gaps)
    return [gap * MS for gap in gaps]


def _check_unit(metrics: Fields, name: str) -> None:
    unit = metrics.text(f"{name}.unit")
    if unit not in (None, "ms"):
        raise metrics.wrong(f"{name}.unit", "'ms'", unit)
