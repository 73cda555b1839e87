"""What a report says of an agentic evaluation: ``eval_containers_*`` below ``results.observability``.

The format has no field for scores. llm-d-benchmark writes these, a report for each task and one for the whole run; we
write them beside our own block, and read them where that is absent. Our names of the scores are those of
:func:`~pytest_llmdbench.results.agentic.together`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pytest_llmdbench.results.agentic import COUNTS, NO_CALL, OUTSTANDING, PASS_RATE, REWARD, SECONDS, TASKS, UNGRADED
from pytest_llmdbench.results.fields import Part
from pytest_llmdbench.results.result import UNLABELLED, Requests, Result

PLACE: Final = "results.observability"
_BEGINS: Final = "eval_containers_"
_CALLS: Final = f"{_BEGINS}llm_calls"
_ERRORS: Final = f"{_BEGINS}call_errors"
#: The counts and means whose names differ by no more than that.
_NAMES: Final[Mapping[str, str]] = {
    "passed": "passed_count",
    "timed_out": "tasks_exit_timeout",
    "crashed": "tasks_exit_error",
    PASS_RATE: "pass_rate",
    REWARD: "reward_mean",
}
#: What ends the name of a language's share of passed tasks, and of their number, with us.
_OF_LANGUAGE: Final[Mapping[str, str]] = {f".{PASS_RATE}": "pass_rate_", f".{TASKS}": "tasks_"}
#: Names of numbers of tasks that begin as those of a language do.
_NO_LANGUAGE: Final = frozenset({"scored", "exit_timeout", "exit_error"})
#: Of a report on a whole run: its rates are requests and tokens by the second of a task, of however many ran at once.
BY_TASK: Final = "the rates of a run of several tasks are by the second of one task: left out"


def written(result: Result) -> dict[str, Any]:
    """The keys of a run whose tasks were graded; none of another harness's."""
    scores, whole = result.scores, result.whole
    if result.harness != "eval-containers" or TASKS not in scores:
        return {}
    tasks = int(scores[TASKS])
    graded = tasks - int(scores[UNGRADED])
    errors = whole.requests.failures - whole.requests.failed.get(NO_CALL, 0)
    calls = whole.requests.completed + errors
    found: dict[str, Any] = {
        TASKS: tasks,
        "tasks_scored": graded,
        "llm_calls": calls,
        "call_errors": errors,
        "input_tokens": whole.prompt_tokens,
        "output_tokens": whole.output_tokens,
        "reward_sum": scores[REWARD] * graded,
        "llm_calls_per_task_mean": calls / tasks,
        "task_latency_seconds": {"units": "s", "mean": scores[SECONDS]},
    }
    if whole.prompt_tokens is not None and whole.output_tokens is not None:
        found["total_tokens"] = whole.prompt_tokens + whole.output_tokens
    found |= {theirs: int(scores[ours]) if ours in COUNTS else scores[ours] for ours, theirs in _NAMES.items()}
    for ending, beginning in _OF_LANGUAGE.items():
        found |= {f"{beginning}{name.removesuffix(ending)}": scores[name] for name in scores if name.endswith(ending)}
    if tasks == 1:
        found |= {"reward": scores[REWARD], "passed": bool(scores["passed"])}
    return {f"{_BEGINS}{name}": value for name, value in found.items()}


def is_there(report: Part) -> bool:
    """Whether a report is one of llm-d-benchmark's on an agentic evaluation."""
    return report.get(f"{PLACE}.{_CALLS}") is not None


def of_several(report: Part) -> bool:
    """Whether it is on a whole run, and not on one task."""
    return report.get(f"{PLACE}.{_BEGINS}{TASKS}") is not None


def requests(report: Part) -> Requests:
    """The agents' calls to the model. Raises ResultsError."""
    part = report.below(PLACE)
    calls, errors = part.needed_count(_CALLS), part.count(_ERRORS) or 0
    if errors > calls:
        raise part.wrong(_ERRORS, f"at most the {calls} calls", errors)
    return Requests(calls - errors, {UNLABELLED: errors} if errors else {})


def tokens(report: Part) -> dict[str, Any]:
    """Tokens of all calls, as fields of a stage; those that are said. Raises ResultsError."""
    part = report.below(PLACE)
    found = {ours: part.count(f"{_BEGINS}{theirs}") for ours, theirs in
             (("prompt_tokens", "input_tokens"), ("output_tokens", "output_tokens"))}  # fmt: skip
    return {name: count for name, count in found.items() if count is not None}


def scores(report: Part) -> dict[str, float]:
    """The scores by our names; none where no task was graded, or not yet. Raises ResultsError."""
    part = report.below(PLACE)

    def number(name: str) -> float | None:
        return part.number(f"{_BEGINS}{name}")

    if not of_several(report):
        reward, passed = number("reward"), part.get(f"{_BEGINS}passed")
        if reward is None or reward == OUTSTANDING:
            return {}
        value = float(passed) if isinstance(passed, bool) else float(reward >= 1)
        return {PASS_RATE: value, REWARD: reward, TASKS: 1, UNGRADED: 0, "passed": value}
    tasks, graded = part.needed_count(f"{_BEGINS}{TASKS}"), part.needed_count(f"{_BEGINS}tasks_scored")
    if graded > tasks:
        raise part.wrong(f"{_BEGINS}tasks_scored", f"at most the {tasks} tasks", graded)
    # Theirs counts a task whose grade is outstanding among the graded ones; of an image all of them are.
    if not graded or number(_NAMES[REWARD]) == OUTSTANDING:
        return {}
    found: dict[str, float | None] = {ours: number(theirs) for ours, theirs in _NAMES.items()}
    found |= {TASKS: tasks, UNGRADED: tasks - graded, SECONDS: number("task_latency_seconds.mean")}
    for ending, beginning in _OF_LANGUAGE.items():
        for key in part.data:
            language = str(key).removeprefix(f"{_BEGINS}{beginning}")
            if language != str(key) and language not in _NO_LANGUAGE:
                found[f"{language}{ending}"] = part.checked(str(key), part.data[key])
    return {name: value for name, value in found.items() if value is not None}
