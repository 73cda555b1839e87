"""The scores of an agentic evaluation: what each task was worth, and what many of them say together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

#: Scores that count tasks; of a language there is also ``LANGUAGE.tasks``.
TASKS: Final = "tasks"
UNGRADED: Final = "ungraded"
COUNTS: Final = (TASKS, UNGRADED, "passed", "timed_out", "crashed")
#: Scores that are means over the tasks that were graded, each with its standard error.
PASS_RATE: Final = "pass_rate"  # noqa: S105 - no password
REWARD: Final = "reward"
STDERR_OF: Final = "_stderr"
#: The reward of a benchmark that is graded by somebody else, outside of its image: the grade is outstanding. Of a task
#: that was graded it is from 0 to 1.
OUTSTANDING: Final = -1.0
#: The mean wall time of a task in seconds, graded or not.
SECONDS: Final = "task_s"
#: The kind of failure of a task whose agent asked the model nothing at all: it stands for the calls that are missing.
NO_CALL: Final = "the agent made no call to the model"


def together(tasks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The scores of a run, from those of single tasks; none where not one was graded.

    ``pass_rate`` and ``reward`` are means over the tasks that were graded, with their standard errors ``_stderr`` (of
    two tasks or more: the sample's standard deviation by the root of their number), and ``LANGUAGE.pass_rate`` is one
    over those of a programming language. ``tasks``, ``passed``, ``ungraded``, ``timed_out`` (the agent was ended at its
    time limit) and ``crashed`` (it ended with another error) count tasks.

    Of a single task there are all counts and ``task_s``, and if it was graded ``pass_rate`` and ``reward``, and where
    it has a language that one's ``LANGUAGE.pass_rate``.
    """
    graded = [one for one in tasks if not one[UNGRADED]]
    if not graded:
        return {}
    scores: dict[str, float] = {}
    for name in (PASS_RATE, REWARD):
        values = [one[name] for one in graded]
        scores[name] = _mean(values)
        if len(values) > 1:
            scores[name + STDERR_OF] = _error_of_mean(values)
    for name in sorted({name for one in graded for name in one if name.endswith(f".{PASS_RATE}")}):
        values = [one[name] for one in graded if name in one]
        scores[name] = _mean(values)
        scores[f"{name.removesuffix(PASS_RATE)}{TASKS}"] = len(values)
    scores |= {name: sum(one[name] for one in tasks) for name in COUNTS}
    return scores | {SECONDS: _mean([one[SECONDS] for one in tasks])}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _error_of_mean(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.sqrt(math.fsum((one - mean) ** 2 for one in values) / (len(values) - 1) / len(values))
