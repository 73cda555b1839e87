"""How the files of eval-containers become a result: what a task was worth, and every call its agent made to the model.

One load pod runs one task. The grader's word is in ``task/result.json``; where the grader left nothing the image's own
pipeline writes a reward of 0 there, which is no score: ``logs/verifier/reward.txt`` tells the two apart. Nor is the -1
of a benchmark that is graded elsewhere. A task whose agent got no answer from the model says nothing of the model
either, whatever its reward.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.eval_containers_profile import language_of
from pytest_llmdbench.harnesses.eval_containers_spans import calls
from pytest_llmdbench.harnesses.eval_containers_task import NOTES, VERIFIER
from pytest_llmdbench.harnesses.fields import Fields
from pytest_llmdbench.harnesses.harness import STDERR
from pytest_llmdbench.results.agentic import NO_CALL, OUTSTANDING, PASS_RATE, REWARD, SECONDS, TASKS, UNGRADED
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Requests, Result, Stage

#: What the program was told, in the folder of the case.
CONFIG: Final = "eval-containers.json"
RESULT: Final = "task/result.json"
TRACES: Final = "traces.jsonl"
#: The exit code of an agent that was ended at its time limit.
TIMED_OUT: Final = 124
#: No task is so long, and none is worth so much.
_LARGEST: Final = 1e9
#: What a reward looks like to the image's pipeline, of no more digits than a number has.
_NUMBER: Final = re.compile(r"-?\d{1,9}(?:\.\d{1,20})?")


def read(folder: Path, name: str, version: str) -> Result:
    """The task that ran in ``folder``: its scores, as :mod:`~pytest_llmdbench.results.agentic` has them, and its calls.

    Raises:
        HarnessError: a file is absent, cut short or no such file, with file and field; or another benchmark ran than
            the profile is of.
    """
    notes = _notes(folder)
    counted = Counter(one.error for one in requests(folder))
    done = counted.pop(None, 0)
    whole = Stage(Requests(done, {str(kind): count for kind, count in counted.items()}), concurrency=1)
    scores = _scores(folder, notes, answered=done > 0)
    return Result(name, version, whole, (whole,), purpose="accuracy", scores=scores)


def requests(folder: Path) -> Iterator[Request]:
    """The calls that the agent made; where it made none, one that failed, as long as the task took.

    Raises:
        HarnessError: a line of the traces is no such line; names it.
    """
    notes = _notes(folder)
    found = calls(folder / TRACES)
    if found:
        yield from found
    else:
        started = notes.needed_number("started")
        yield Request(0, started, started + _seconds(notes), "failed", error=NO_CALL)


def _notes(folder: Path) -> Fields:
    absent = f"{folder / NOTES} is missing: the task did not come to its end; see {folder / STDERR}"
    return Fields.load(folder / NOTES, absent)


def _seconds(notes: Fields) -> float:
    """The wall time of the task."""
    seconds = notes.needed_number("seconds")
    if not 0 <= seconds < _LARGEST:
        raise notes.wrong("seconds", "a time of 0 s or more", seconds)
    return seconds


def _scores(folder: Path, notes: Fields, *, answered: bool) -> dict[str, float]:
    """What :func:`~pytest_llmdbench.results.agentic.together` makes scores from, of one task."""
    told = Fields.load(folder / CONFIG, f"{folder / CONFIG} is missing: eval-containers was not started here")
    result = Fields.load(folder / RESULT, "") if (folder / RESULT).is_file() else None
    benchmark, asked = _benchmark(result), told.text("benchmark")
    if benchmark and asked and benchmark != asked:
        raise HarnessError(
            f"load.image runs the benchmark {benchmark!r} (eval-containers says so in {folder / RESULT}), and the "
            f"workload is of {asked!r}: name the image of that one, or the workload of this one"
        )
    code = _exit_code(folder, notes)
    reward = _reward(folder, result, notes)
    if reward is None and code == TIMED_OUT:
        reward = 0.0
    ungraded = reward is None or reward == OUTSTANDING or not answered
    scores: dict[str, float] = {
        TASKS: 1,
        UNGRADED: int(ungraded),
        "passed": 0,
        "timed_out": int(code == TIMED_OUT),
        "crashed": int(code not in (0, TIMED_OUT)),
        SECONDS: _seconds(notes),
    }
    if reward is None or ungraded:
        return scores
    passed = result.get("passed") if result else None
    passed = bool(passed) if isinstance(passed, bool) else reward >= 1
    scores |= {"passed": int(passed), PASS_RATE: float(passed), REWARD: reward}
    language = language_of(benchmark or asked, _task(result, notes))
    return scores | ({f"{language}.{PASS_RATE}": float(passed)} if language else {})


def _benchmark(result: Fields | None) -> str | None:
    said = result.text("benchmark") if result else None
    return None if said == "unknown" else said


def _task(result: Fields | None, notes: Fields) -> int:
    """The task as the image counts them, which a subset of them counts otherwise than the load pods."""
    said = result.get("task_id") if result else None
    return int(said) if isinstance(said, str) and re.fullmatch(r"\d{1,9}", said) else notes.needed_count("task_id")


def _exit_code(folder: Path, notes: Fields) -> int:
    """How the agent ended, which newer images tell; of others how the image's pipeline did."""
    said = _text(folder / "agent" / ".exit-code")
    if re.fullmatch(r"\d{1,3}", said):
        return int(said)
    return notes.needed_count("exit_code")


def _reward(folder: Path, result: Fields | None, notes: Fields) -> float | None:
    """What the task was worth; None where nobody graded it."""
    graded = _of_grader(folder)
    if result is None:
        return graded
    reward = result.number("reward")
    if reward is not None and abs(reward) > _LARGEST:
        raise result.wrong("reward", "what a task was worth", reward)
    if reward == 0 and graded is None and notes.get("verifier") is True:
        # The grader had a place for its number and left none there: the pipeline has put a 0 of its own.
        return None
    return reward


def _of_grader(folder: Path) -> float | None:
    """The number that the grader itself left; None where it left none."""
    first, _, _ = _text(folder / VERIFIER / "reward.txt").partition("\n")
    return float(first) if _NUMBER.fullmatch(first.strip()) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
