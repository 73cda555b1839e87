"""What a profile of ``vllm bench serve`` means before it runs: a flat map of its flags, as llm-d-benchmark has it.

A key is a flag without its dashes. The value ``none``, or ``true``, stands for a flag that takes nothing; ``false`` and
no value at all leave a flag out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import DeclarationError, nearest
from pytest_llmdbench.harnesses.harness import PlannedStage, Profile

#: The one key that is no flag: which program llm-d-benchmark's image runs.
EXECUTABLE: Final = "executable"
#: Requests where the profile does not say, as the program has it.
REQUESTS: Final = 1000
#: Seconds from the program's start to its first request: imports, the tokenizer, the prompts.
START_S: Final = 20.0
#: The interface that each backend of those that generate tokens speaks.
ENDPOINTS: Final[Mapping[str, str]] = {
    "openai": "/v1/completions",
    "vllm": "/v1/completions",
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
}
BACKEND: Final = "openai"
#: Data sets that are read from a file, which the program does not have itself.
FROM_FILE: Final = frozenset(
    {"burstgpt", "custom", "custom_audio", "custom_image", "sharegpt", "spec_bench", "timed_trace"}
)

#: What a flag that takes nothing may be given, and what leaves any flag out.
_BARE: Final = ("none", "", True)
_LEFT_OUT: Final = (None, False)
_SECRETS: Final = frozenset({"authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"})


def known_keys() -> frozenset[str]:
    """Every key that a profile may have."""
    return frozenset({EXECUTABLE, *_flags()})


def stages(profile: Profile) -> Sequence[PlannedStage]:
    """The one stage that the program runs.

    Raises:
        DeclarationError: the program would refuse the profile, or could not be read afterwards; names the key.
    """
    for key, value in profile.items():
        _check(str(key), value)
    _check_together(profile)
    requests = _whole(profile, "num-prompts") or REQUESTS
    concurrency = _whole(profile, "max-concurrency")
    rate = _rate(profile)
    if not rate > 0:
        raise DeclarationError(f"'request-rate' must be above 0, or inf for all at once (given: {rate:g})")
    if math.isinf(rate) or _self_timed(profile):
        return (PlannedStage(concurrency=concurrency, requests=requests),)
    return (PlannedStage(rate, concurrency, requests / rate, requests),)


def expected_seconds(profile: Profile) -> float | None:
    """Wall seconds from start to end, about; None where requests are not sent at a rate."""
    duration = stages(profile)[0].duration_s
    return None if duration is None else START_S + duration


def arguments(profile: Profile) -> Sequence[str]:
    """The words of the command line for a profile that :func:`stages` took."""
    words: list[str] = []
    for key, value in profile.items():
        if key == EXECUTABLE or _is(value, _LEFT_OUT):
            continue
        takes = _flags()[key]
        if takes == "nothing":
            words.append(f"--{key}")
        elif isinstance(value, list):
            words += [f"--{key}", *map(str, value)]
        else:
            words.append(f"--{key}={json.dumps(value) if isinstance(value, Mapping) else value}")
    return words


def _check(key: str, value: Any) -> None:
    if key == EXECUTABLE:
        if not isinstance(value, str | None):
            raise DeclarationError(f"'{EXECUTABLE}' is the name of a program (given: {value!r})")
        return
    if key not in _flags():
        raise DeclarationError(f"vllm bench serve has no flag '{key}'; {nearest(key, known_keys())}")
    takes = _flags()[key]
    if _is(value, _LEFT_OUT) or (takes == "nothing" and _is(value, _BARE)):
        return
    if takes == "nothing":
        raise DeclarationError(f"'{key}' takes no value: say 'none' to set it, false to leave it out")
    if _is(value, _BARE):
        raise DeclarationError(f"'{key}' needs a value; null means the program's own")
    if isinstance(takes, list):
        if value not in takes:
            raise DeclarationError(f"'{key}' {value!r} is none of vllm bench serve's; {_instead(str(value), takes)}")
    elif not _TAKES[takes][0](value):
        raise DeclarationError(f"'{key}' takes {_TAKES[takes][1]} (given: {value!r})")


def _check_together(profile: Profile) -> None:
    backend = profile.get("backend") or BACKEND
    if backend not in ENDPOINTS:
        raise DeclarationError(
            f"'backend: {backend}' makes no tokens that could be timed; there is {', '.join(sorted(ENDPOINTS))}"
        )
    interface = ENDPOINTS[backend].removeprefix("/v1/")
    endpoint = profile.get("endpoint")
    if endpoint and not str(endpoint).endswith(interface):
        raise DeclarationError(f"'backend: {backend}' speaks to '.../{interface}', not to 'endpoint: {endpoint}'")
    data = profile.get("dataset-name")
    if data in FROM_FILE and not profile.get("dataset-path"):
        raise DeclarationError(f"'dataset-name: {data}' needs 'dataset-path', the file that it is in")
    if profile.get("ramp-up-strategy"):
        for key in ("ramp-up-start-rps", "ramp-up-end-rps"):
            if profile.get(key) is None:
                raise DeclarationError(f"'ramp-up-strategy' needs '{key}'")
        if not math.isinf(_rate(profile)):
            raise DeclarationError("'ramp-up-strategy' gives the rate: leave 'request-rate' out")
    headers = profile.get("header") or ()
    for header in headers if isinstance(headers, list) else [headers]:
        if str(header).partition("=")[0].strip().lower() in _SECRETS:
            raise DeclarationError(
                "'header': a workload holds no secrets; vllm bench serve takes a key from the environment variable "
                "OPENAI_API_KEY"
            )


def _instead(word: str, choices: Sequence[str]) -> str:
    if word == "sonnet":
        return (
            "it is gone since version 0.32; the same shape is 'dataset-name: prefix_repetition' with "
            "'prefix-repetition-prefix-len', '-suffix-len' and '-output-len'"
        )
    return nearest(word, choices)


def _self_timed(profile: Profile) -> bool:
    """Whether requests come at the times of a trace."""
    return profile.get("dataset-name") == "timed_trace" and _is(profile.get("no-self-timed"), _LEFT_OUT)


def _rate(profile: Profile) -> float:
    """Requests a second; infinite where all are sent at once."""
    value = profile.get("request-rate")
    return math.inf if value is None or value is False else float(value)


def _whole(profile: Profile, key: str) -> int | None:
    value = profile.get(key)
    if value is None or value is False:
        return None
    if int(value) < 1:
        raise DeclarationError(f"'{key}' must be 1 or more (given: {value})")
    return int(value)


def _is(value: Any, any_of: Sequence[Any]) -> bool:
    """Whether a value is one of some constants; 0 is not False here, nor 1 True."""
    return any(value is one if one is None or isinstance(one, bool) else value == one for one in any_of)


def _is_word(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _is_number(value: Any, *, whole: bool) -> bool:
    """Also as text: a token of a profile is filled in as one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    try:
        return not math.isnan(float(value)) and (not whole or int(value) == float(value))
    except (ValueError, OverflowError):
        return False


#: How a value is checked, and what a wrong one is told.
_TAKES: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "many": (
        lambda value: all(map(_is_word, value if isinstance(value, list) else [value])),
        "a word or a list of them",
    ),
    "text": (lambda value: _is_word(value) or isinstance(value, Mapping), "a text"),
    "int": (lambda value: _is_number(value, whole=True), "a whole number"),
    "number": (lambda value: _is_number(value, whole=False), "a number"),
}


@cache
def _flags() -> Mapping[str, Any]:
    """Flag -> what it takes: ``nothing``, ``many`` words, ``int``, ``number``, ``text``, or one of a list."""
    text = Path(__file__).with_name("vllm_bench_flags.json").read_text(encoding="utf-8")
    flags: Mapping[str, Any] = json.loads(text)
    return flags
