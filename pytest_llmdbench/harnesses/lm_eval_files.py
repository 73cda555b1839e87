"""How the files of lm-eval become scores: what each task's metrics came to, and how many questions were answered.

The program writes ``results_<time>.json`` into a folder named after the model, once, when all questions are answered:
a question that got no answer after all its retries ends the program, and there is no such file.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.fields import Fields, plain
from pytest_llmdbench.harnesses.harness import STDERR
from pytest_llmdbench.results.result import Requests, Result, Stage

#: Where the program writes, in the folder of the case.
OUTPUT: Final = "out"
#: The filter of metrics that were made from the answers as they are.
NO_FILTER: Final = "none"
STDERR_OF: Final = "_stderr"
#: The kind of an answer that the server gave no text for.
NO_TEXT: Final = "no text in the answer"

_NO_TEXT: Final = b"API returned null content"
_STATUS: Final = re.compile(rb"API request failed! Status code: (\d{3})")
_RAISED: Final = re.compile(rb"Exception:(\w+)\(")
#: What is raised for a status, or in requests under way when the program gives up.
_FOLLOWS: Final = ("ClientResponseError", "CancelledError", "RuntimeError")
#: What the log says -> what that means for people.
_REASONS: Final = (
    (re.compile(rb"ValueError: Tasks not found: ([^\n]{1,200})"), "there is no task of the name {}"),
    (
        re.compile(
            rb"(LocalEntryNotFoundError|OfflineModeIsEnabled|Couldn't (?:reach|find) [^\n]{1,80}|"
            rb"Cannot send a request[^\n]{1,80}|We couldn't connect to 'https://huggingface[^\n]{1,40}|"
            rb"Failed to resolve '[^']{1,80}'|Name or service not known|Temporary failure in name resolution|"
            rb"ConnectError)"
        ),
        "a data set or a tokenizer could not be loaded ({}); they come from the Hugging Face hub, which has to be"
        " reachable where lm-eval runs, or from a local folder ('include_path', 'tokenizer')",
    ),
    (re.compile(rb"(Tokenizer is required for loglikelihood)"), "its tasks need 'tokenizer_backend: huggingface'"),
)


def read(folder: Path, version: str) -> Result:
    """The scores of what the program left in ``folder``.

    ``scores`` has ``task.metric``, its standard error as ``task.metric_stderr``, and where answers went through a named
    filter ``task.metric.filter``.

    Raises:
        HarnessError: there are no results, with the reason from the program's log; or a file was cut short or is of an
            unknown form, with file and field.
    """
    found = sorted((folder / OUTPUT).rglob("results_*.json"))
    if not found:
        raise HarnessError(f"lm-eval wrote no results: {_why(folder / STDERR)}")
    file = Fields.load(found[-1], f"{found[-1]}: is gone")
    for field in ("results", "n-samples"):
        if file.get(field) is None:
            raise file.wrong(field, "there, as version 0.4 writes it", None)
    scores: dict[str, float] = {}
    for task, entry in file.below("results").data.items():
        scores.update(_scores(plain(task), Fields.of(file.file, entry, f"results.{task}")))
    counts = [
        Fields.of(file.file, entry, f"n-samples.{task}").needed_count("effective")
        for task, entry in file.below("n-samples").data.items()
    ]
    asked = sum(counts)
    silent = min(asked, _count(folder / STDERR, _NO_TEXT))
    whole = Stage(Requests(asked - silent, {NO_TEXT: silent} if silent else {}))
    return Result("lm-eval", version, whole, (whole,), purpose="accuracy", scores=scores)


def _scores(task: str, entry: Fields) -> Iterator[tuple[str, float]]:
    """The metrics of a task: the program's fields are ``metric,filter``, all else is about the task."""
    for key, value in entry.data.items():
        metric, comma, filtered = plain(key).partition(",")
        if not comma:
            continue
        error = metric.endswith(STDERR_OF)
        if error and not _is_number(value):  # of so few samples that there is none
            continue
        if not _is_number(value):
            raise entry.wrong(key, "a number", value)
        yield f"{task}.{metric}" + ("" if filtered == NO_FILTER else f".{filtered}"), float(value)


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _why(log: Path) -> str:
    """Why there are no results, as far as the program's log tells."""
    try:
        text = log.read_bytes()
    except OSError:
        return f"it ended before them, and there is no {log}"
    kinds = Counter(f"HTTP {int(one)}" for one in _STATUS.findall(text))
    kinds += Counter(one for one in (found.decode() for found in _RAISED.findall(text)) if one not in _FOLLOWS)
    if kinds:
        times = ", ".join(f"{kind} ({count} times)" for kind, count in kinds.most_common(3))
        return f"a question got no answer after all its retries, which ends it: {times}; see {log}"
    for pattern, meaning in _REASONS:
        if match := pattern.search(text):
            return f"{meaning.format(match[1].decode(errors='replace'))}; see {log}"
    return f"it ended before them; see {log}"


def _count(log: Path, word: bytes) -> int:
    try:
        with log.open("rb") as lines:
            return sum(line.count(word) for line in lines)
    except OSError:
        return 0
