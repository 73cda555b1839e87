"""The single requests of ``vllm bench serve``, from the lists in its result file that belong together by place.

Times are the program's monotonic clock, in seconds. A request ends with its last event.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.fields import Fields
from pytest_llmdbench.harnesses.vllm_bench_files import CHAT, ERRORS, GAPS, REQUESTS, RESULTS, absent, backend
from pytest_llmdbench.harnesses.vllm_bench_scan import Append, lists, numbers, scan
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Result

#: What there must be; the other lists are newer than some programs that write this form.
NEEDED: Final = ("sent", "ttft", "prompt_tokens", "output_tokens")
#: More tokens than this has no answer and no prompt.
MOST_TOKENS: Final = 2**31 - 1
#: Seconds within which the event with a chat's role and that with its first token follow each other.
ROLE_S: Final = 0.001
#: Letters of an error that name its kind, where it is no exception.
KIND: Final = 100
#: The line of a traceback that names the exception, its module before it.
_EXCEPTION: Final = re.compile(r"^(?:\w+\.)*(\w+)(?=:|$)", re.MULTILINE)


#: Canonical name -> the numbers of all requests.
Columns = Mapping[str, "array[float]"]


def requests(folder: Path, own: Result) -> Iterator[Request] | None:
    """The requests; None where the file has no times of single ones.

    Raises:
        HarnessError: the file was cut short, a list holds what it should not, or is not as long as another.
    """
    path = folder / RESULTS
    columns = {one.name: array("d") for one in REQUESTS}
    errors: list[str] = []
    into = {one.field: numbers(columns[one.name], path, one.field) for one in REQUESTS}
    into[ERRORS.field] = _kinds(errors, path)
    file = Fields.of(path, scan(path, absent(folder), into))
    count = len(columns["sent"])
    held: Mapping[str, Sequence[object]] = {**columns, ERRORS.name: errors}
    for one in (*REQUESTS, ERRORS):
        file.items(one.field)  # which raises for what is no list
        length = len(held[one.name])
        if count and length != count and (length or one.name in NEEDED):
            raise HarnessError(f"{path}: '{one.field}' has {length} entries, where 'start_times' has {count}")
    if not count:
        return None
    for canonical in ("prompt_tokens", "output_tokens"):
        if max(columns[canonical]) > MOST_TOKENS:
            raise HarnessError(f"{path}: {max(columns[canonical]):g} is no number of tokens of a request")
    # Without a rate nothing was due; with a limit of requests at once, waiting was asked for.
    planned = own.whole.asked_rate is not None and own.whole.concurrency is None
    return _requests(path, columns, errors, chat=backend(file) == CHAT, planned=planned)


def _requests(path: Path, columns: Columns, errors: Sequence[str], *, chat: bool, planned: bool) -> Iterator[Request]:
    count, index = len(columns["sent"]), -1
    for index, gaps in enumerate(lists(path, GAPS.field)):
        if index == count:
            break
        one = {name: column[index] for name, column in columns.items() if column}
        if not planned:
            one.pop("lag", None)
        yield _request(one, errors[index] if errors else "", gaps, chat=chat)
    if index != count - 1:
        raise HarnessError(f"{path}: '{GAPS.field}' has {'more' if index == count else 'fewer'} entries than {count}")


def _request(one: Mapping[str, float], error: str, gaps: Sequence[float], *, chat: bool) -> Request:
    sent, ttft, output = one["sent"], one["ttft"], int(one["output_tokens"])
    prompt, lag = int(one["prompt_tokens"]), one.get("lag")
    # An answer with an error status has the status's words for an error, and some servers send none.
    if error or not ttft:
        return Request(0, sent, None, "failed", error=error or None, prompt_tokens=prompt, lag=lag)
    latency = one.get("e2e", ttft + sum(gaps))
    if chat and gaps and (1 + len(gaps) > output or gaps[0] < ROLE_S):
        # The first event held the role alone.
        ttft += gaps[0]
        gaps = gaps[1:]
    return Request(
        stage=0,
        sent=sent,
        ended=sent + latency,
        outcome="completed",
        prompt_tokens=prompt,
        output_tokens=output or None,
        events=1 + len(gaps),
        ttft=ttft,
        tpot=(latency - ttft) / (output - 1) if output > 1 and gaps else None,
        gaps=gaps,
        lag=lag,
    )


def _kinds(into: list[str], path: Path) -> Append:
    """Reads errors as their kinds, each text once in memory: there may be a traceback a request."""
    known: dict[str, str] = {}

    def append(value: Any) -> None:
        if not isinstance(value, str):
            raise HarnessError(f"{path}: 'errors' should hold texts, not {str(value)[:60]!r}")
        kind = _kind(value)
        into.append(known.setdefault(kind, kind))

    return append


def _kind(error: str) -> str:
    """An exception's name, of a traceback; the text itself of anything else."""
    if error.startswith("Traceback"):
        named = _EXCEPTION.findall(error)
        if named:
            return str(named[-1])
    return error.strip()[:KIND]
