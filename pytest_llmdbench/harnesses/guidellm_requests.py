"""The single requests of guidellm, from its report; times in seconds since 1970.

The report lists all requests that were begun, and counts those that overlap the measured window: so do we.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.guidellm_files import window
from pytest_llmdbench.harnesses.guidellm_report import RESULTS, Entry, benchmarks, entries
from pytest_llmdbench.results.request import Outcome, Request
from pytest_llmdbench.results.result import Result

#: What the program's lists of requests are called here.
OUTCOMES: Final[Mapping[str, Outcome]] = {
    "successful": "completed",
    "errored": "failed",
    "incomplete": "unfinished",
}
#: An error is the Python expression of an exception; of an HTTP status the text up to the address is its kind.
_KIND: Final = re.compile(r"(\w+)\(")
_STATUS: Final = re.compile(r"""HTTPStatusError\(["'](?:Client|Server) error '(\d{3}[^']*)'""")


def requests(folder: Path, own: Result) -> Iterator[Request]:
    """The requests, each with its stage.

    Raises:
        HarnessError: the report was cut short, or a request in it is not as the known versions write it.
    """
    found = benchmarks(folder)
    windows = [window(one) for one in found]
    for entry in entries(folder, found):
        number = entry.benchmark.number
        try:
            request = _request(entry)
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise HarnessError(
                f"{folder / RESULTS}: a request in 'benchmarks.{number}.requests.{entry.listed}' "
                f"is not as a known version writes it: {error!r}"
            ) from error
        begin, end = windows[number]
        if request.ended is None or request.ended < begin or request.sent > end:
            continue
        if own.stages[number].asked_rate is None:
            request.lag = None
        yield request


def _request(entry: Entry) -> Request:
    data, outcome = entry.data, OUTCOMES[entry.listed]
    timings = data["info"]["timings"]
    started = _number(timings["request_start"])
    sent = _number(timings["resolve_start"]) if started is None else started
    ended = _number(timings["request_end"])
    first, last = _number(timings["first_token_iteration"]), _number(timings["last_token_iteration"])
    events = _count(timings["token_iterations"]) if first is not None else None
    output = _count(data["output_tokens"])
    tpot = None
    if first is not None and last is not None and output and output > 1 and events and events > 1:
        tpot = (last - first) / (output - 1)
    # 0.8 tells what an earlier turn of the conversation held up, which is no lateness of the program's own.
    lag = _number(data.get("turn_scheduling_delay"))
    targeted = _number(timings["targeted_start"])
    if lag is None and started is not None and targeted is not None:
        lag = started - targeted
    return Request(
        stage=entry.benchmark.number,
        sent=_needed(sent),
        ended=_needed(_number(timings["resolve_end"])) if ended is None else ended,
        outcome=outcome,
        error=_kind(data["info"]["error"]) if outcome == "failed" else None,
        prompt_tokens=_count(data["prompt_tokens"]),
        output_tokens=output,
        events=events,
        ttft=first - started if first is not None and started is not None else None,
        tpot=tpot,
        lag=lag,
    )


def _kind(error: Any) -> str:
    text = str(error)
    status = _STATUS.match(text)
    if status:
        return f"HTTP {status[1]}"
    named = _KIND.match(text)
    return named[1] if named else text[:60]


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:40]!r} is not a number")
    return float(value)


def _needed(value: float | None) -> float:
    if value is None:
        raise ValueError("it has no times")
    return value


def _count(value: Any) -> int | None:
    number = _number(value)
    if number is None:
        return None
    if not 0 <= number < 2**31 or number != int(number):
        raise ValueError(f"{value!r} is not a count")
    return int(number)
