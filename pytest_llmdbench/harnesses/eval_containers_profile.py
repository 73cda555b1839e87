"""What an eval-containers profile means before it runs: which benchmark, which of its tasks, and for how long.

The format is that of llm-d-benchmark's harness of the same name, whose keys are names alone, and the keys of ours that
take the place of its environment variables.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from pytest_llmdbench.declared.secret_names import refuse_secrets
from pytest_llmdbench.errors import DeclarationError, nearest
from pytest_llmdbench.harnesses.harness import Profile
from pytest_llmdbench.results.agentic import COUNTS, PASS_RATE, REWARD, SECONDS, STDERR_OF, TASKS

#: Keys of llm-d-benchmark's profiles; but for the benchmark and how many tasks it has they are names for people.
NAMES: Final = frozenset({"harness", "benchmark", "description", "tasks", "internet", "model", "endpoint"})
OURS: Final = frozenset({"task_ids", "first_task", "timeout_s", "gateway_timeout_s", "env"})
#: Variables of the images that an override may add below ``env``.
VARIABLES: Final = frozenset({"EVAL_MODEL_API", "EVAL_GAIA_SUBSET", "EVAL_AGENT_REASONING_EFFORT"})
KEYS: Final = NAMES | OURS | VARIABLES
#: Variables that the run fills in, and what says them.
_FILLED: Final = {
    "EVAL_TASK_ID": "task_ids or first_task",
    "EVAL_TIMEOUT": "timeout_s",
    "EVAL_MODEL": "the scenario's model.name",
}
_VARIABLE: Final = re.compile(r"EVAL_[A-Z0-9_]{1,100}")
#: Seconds that the gateway beside the agent gives one request to the model, where nobody says.
GATEWAY_TIMEOUT_S: Final = 600
#: aider-polyglot's tasks are in order of their languages: each with its last one, counted from 0.
POLYGLOT: Final = "aider-polyglot"
LAST_OF_LANGUAGE: Final[Mapping[str, int]] = {
    "cpp": 25, "go": 64, "java": 111, "javascript": 160, "python": 194, "rust": 224,
}  # fmt: skip


def language_of(benchmark: str | None, task: int) -> str | None:
    """The programming language of a task; None of a benchmark whose tasks have none."""
    if benchmark != POLYGLOT:
        return None
    return next((name for name, last in LAST_OF_LANGUAGE.items() if 0 <= task <= last), None)


def task_of(profile: Profile, index: int) -> int:
    """The task, counted from 0, of the load pod of this index.

    Raises:
        DeclarationError: there is none for it, with how many pods there are tasks for.
    """
    tasks, ids, first = profile.get("tasks"), _task_ids(profile), profile.get("first_task") or 0
    if ids is not None and index >= len(ids):
        raise _too_many(len(ids), "'task_ids' names", "name more")
    task: int = first + index if ids is None else ids[index]
    if tasks is None or task < tasks:
        return task
    if ids is None and first < tasks:
        raise _too_many(tasks - first, f"from 'first_task' {first} on there are", "begin with an earlier one")
    raise DeclarationError(
        f"'{'first_task' if ids is None else 'task_ids'}': there is no task {task}; of {tasks}, counted from 0, the "
        f"last one is {tasks - 1}"
    )


def scores(profile: Profile, pods: int) -> Collection[str]:
    """The names of the scores that so many tasks can come to, by their languages and by how many they are."""
    means = (PASS_RATE, REWARD)
    errors = tuple(f"{name}{STDERR_OF}" for name in means) if pods > 1 else ()
    # A profile need not say its benchmark: then the image may be of the one that has languages.
    benchmark = profile.get("benchmark") or POLYGLOT
    languages = dict.fromkeys(language_of(benchmark, task_of(profile, index)) for index in range(pods))
    by_language = (f"{one}.{name}" for one in languages if one for name in (PASS_RATE, TASKS))
    return (*means, *errors, *by_language, *COUNTS, SECONDS)


def environment(profile: Profile) -> dict[str, str]:
    """The variables of the image that a profile sets. Raises DeclarationError."""
    env = {str(name): str(value) for name, value in (profile.get("env") or {}).items() if value is not None}
    timeout = profile.get("timeout_s")
    return env if timeout is None else env | {"EVAL_TIMEOUT": str(timeout)}


def check(profile: Profile) -> None:
    """Raise DeclarationError for a key that is none, a value of a wrong kind, or a secret; names the key."""
    for key in profile:
        if key not in NAMES | OURS:
            raise DeclarationError(f"eval-containers has no key '{key}'; {nearest(str(key), NAMES | OURS)}")
    for key, least in (("tasks", 1), ("first_task", 0), ("timeout_s", 1), ("gateway_timeout_s", 1)):
        value = profile.get(key)
        if value is not None and not _is_count(value, least):
            raise DeclarationError(f"'{key}' must be a whole number, {least} or more (given: {str(value)[:40]!r})")
    benchmark = profile.get("benchmark")
    if benchmark is not None and not isinstance(benchmark, str):
        raise DeclarationError(f"'benchmark' must be a name (given: {str(benchmark)[:40]!r})")
    if _task_ids(profile) is not None and profile.get("first_task"):
        raise DeclarationError("'task_ids' and 'first_task' say both which tasks to run: leave one of them out")
    _check_environment(profile.get("env"))
    for index in range(len(_task_ids(profile) or (0,))):
        task_of(profile, index)


def _task_ids(profile: Profile) -> Sequence[int] | None:
    ids = profile.get("task_ids")
    if ids is None:
        return None
    if not isinstance(ids, list) or not ids or not all(_is_count(one, 0) for one in ids) or len(set(ids)) < len(ids):
        raise DeclarationError(f"'task_ids' must be different whole numbers, 0 or more (given: {str(ids)[:40]!r})")
    return ids


def _check_environment(env: Any) -> None:
    if env is None:
        return
    if not isinstance(env, Mapping):
        raise DeclarationError("'env' must be names of variables and their values")
    for name, value in env.items():
        if name in _FILLED:
            raise DeclarationError(f"'env.{name}' is filled in by the run: {_FILLED[name]} says it")
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise DeclarationError(f"'env.{name}': variables of the image are called EVAL_...")
        if isinstance(value, Mapping | list):
            raise DeclarationError(f"'env.{name}' must be one value")
    try:
        refuse_secrets(env, "a workload is kept with the results")
    except ValueError as error:
        raise DeclarationError(f"'env': {error}") from error


def _too_many(tasks: int, what: str, way_out: str) -> DeclarationError:
    return DeclarationError(
        f"each load pod runs a task of its own, and {what} {tasks}: take at most {tasks} pods (load.parallelism, "
        f"--llmd-parallelism {tasks}), or {way_out}"
    )


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 10**9
