"""How the files of priority-mix become a result: one stage for each traffic class, in the order of the profile."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.fields import Fields, plain
from pytest_llmdbench.harnesses.harness import STDERR
from pytest_llmdbench.harnesses.priority_mix_client import REQUESTS, SUMMARY
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Requests, Result, Stage

#: What the program was told, in the folder of the case.
CONFIG: Final = "priority-mix.json"


def read(folder: Path, name: str, version: str) -> Result:
    """The counts of each class, and the rate that was asked for.

    Raises:
        HarnessError: a file is absent, cut short, or not the program's; names file and field.
    """
    told = Fields.load(folder / CONFIG, f"{folder / CONFIG} is missing: priority-mix was not started here")
    absent = f"priority-mix wrote no {SUMMARY}: it ended before its last request; see {folder / STDERR}"
    summary = Fields.load(folder / SUMMARY, absent)
    rate, asked = told.needed_number("rate"), [Fields.of(told.file, one) for one in told.items("classes")]
    done = [Fields.of(summary.file, one) for one in summary.items("classes")]
    if [one.text("name") for one in asked] != [one.text("name") for one in done]:
        raise summary.wrong("classes", f"the classes of {CONFIG}", [one.text("name") for one in done])
    counts = [_requests(one) for one in done]
    total = max(1, told.needed_count("requests"))
    stages = [
        Stage(count, asked_rate=rate * one.needed_count("requests") / total)
        for one, count in zip(asked, counts, strict=True)
    ]
    failed = sum((Counter(one.failed) for one in counts), Counter[str]())
    whole = Stage(Requests(sum(one.completed for one in counts), dict(failed)), asked_rate=rate)
    return Result(name, version, whole, tuple(stages))


def requests(folder: Path, own: Result) -> Iterator[Request]:
    """The single requests; the stage of each is its class.

    Raises:
        HarnessError: a line that is no request, or another number of them than the program counted.
    """
    path, number = folder / REQUESTS, 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield _request(json.loads(line), len(own.stages))
                except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
                    raise HarnessError(f"{path}:{number}: is no request, or was cut short: {error!r}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(f"{path}: cannot be read: {error}") from error
    if number != own.whole.requests.offered:
        raise HarnessError(f"{path}: holds {number} requests, where {SUMMARY} counts {own.whole.requests.offered}")


def _requests(done: Fields) -> Requests:
    failed = done.below("failed")
    kinds: Counter[str] = Counter()
    for kind, count in failed.data.items():
        kinds[plain(kind)] += Fields.of(done.file, {"count": count}, failed.named(kind)).needed_count("count")
    return Requests(done.needed_count("completed"), dict(kinds))


def _request(record: Mapping[str, Any], classes: int) -> Request:
    sent, times = _time(record["sent"]), [_time(one) for one in record["times"]]
    usage = record["usage"] or {}
    prompt, output = (_tokens(usage.get(key)) for key in ("prompt_tokens", "completion_tokens"))
    failed = record["error"] is not None
    stage = record["class"]
    if type(stage) is not int or not 0 <= stage < classes:
        raise ValueError(f"class {stage!r}")
    return Request(
        stage=stage,
        sent=sent,
        ended=_time(record["ended"]),
        outcome="failed" if failed else "completed",
        error=plain(str(record["error"])) if failed else None,
        prompt_tokens=prompt,
        output_tokens=output,
        events=len(times) or None,
        ttft=times[0] - sent if times else None,
        tpot=(times[-1] - times[0]) / (output - 1) if len(times) > 1 and output and output > 1 else None,
        gaps=[after - before for before, after in pairwise(times)],
        # A wait for a free place is what the profile asks for, and no lag of the program.
        lag=sent - _time(record["free"]),
    )


def _time(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:40]} is no time")
    return float(value)


def _tokens(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError(f"{str(value)[:40]} is no number of tokens")
    return value
