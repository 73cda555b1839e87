"""What an inference-perf profile means before it runs: its stages, their time, what the program would refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pytest_llmdbench.errors import DeclarationError, nearest
from pytest_llmdbench.harnesses.harness import PlannedStage, Profile
from pytest_llmdbench.harnesses.inference_perf_keys import NEWEST, check_keys, is_0_6
from pytest_llmdbench.harnesses.streams import unseen_without

#: Seconds before the first stage and after the last one: imports, the tokenizer, the reports.
START_S: Final = 8.0
#: Seconds that a stage takes beyond its load: one until its first request, the last answers, whose end is looked for
#: once a second.
STAGE_S: Final = 4.0
#: Seconds between stages, and after the last, where the profile does not say.
INTERVAL_S: Final = 1.0

#: Which APIs a kind of data can be sent to, as the program's data generators have it.
DATA_APIS: Final[Mapping[str, frozenset[str]]] = {
    "mock": frozenset({"completion", "chat", "anthropic_messages"}),
    "shareGPT": frozenset({"completion", "chat", "anthropic_messages"}),
    "synthetic": frozenset({"completion"}),
    "random": frozenset({"completion"}),
    "shared_prefix": frozenset({"completion", "chat"}),
    "cnn_dailymail": frozenset({"completion"}),
    "infinity_instruct": frozenset({"completion", "chat"}),
    "billsum_conversations": frozenset({"completion", "chat"}),
    "otel_trace_replay": frozenset({"chat", "anthropic_messages"}),
    "weka_trace_replay": frozenset({"chat", "anthropic_messages"}),
    "conversation_replay": frozenset({"completion"}),
    "visionarena": frozenset({"chat"}),
    "synthetic_agentic": frozenset({"chat", "anthropic_messages"}),
}
#: Kinds of data that are sessions, and the only load that replays sessions.
SESSION_DATA: Final = frozenset({"otel_trace_replay", "weka_trace_replay", "synthetic_agentic"})
SESSION_LOAD: Final = "trace_session_replay"
LOADS: Final = ("constant", "poisson", "trace_replay", "concurrent", SESSION_LOAD)

#: Kinds of data that 0.6 has not.
DATA_SINCE_0_7: Final = frozenset({"synthetic_agentic"})

_SECRET_HEADERS: Final = frozenset({"authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"})


def stages(profile: Profile, version: str) -> Sequence[PlannedStage]:
    """The stages a profile will run; none for a sweep, which makes its stages from what it measures first.

    Raises:
        DeclarationError: the program would refuse the profile or send nothing; names the key, and the version where
            only another one has it.
    """
    _check(profile, version)
    load, kind = _mapping(profile, "load"), _word(profile, "load", "constant")
    if kind not in LOADS:
        raise DeclarationError(f"'load.type' {kind!r} is none of inference-perf's; {nearest(kind, LOADS)}")
    if load.get("sweep") is not None:
        if kind in ("concurrent", SESSION_LOAD):
            raise DeclarationError(f"'load.sweep' cannot be used with 'load.type: {kind}'")
        return ()
    declared = load.get("stages")
    if not isinstance(declared, list) or not declared:
        raise DeclarationError("'load.stages' must be a list of at least one stage")
    make = _STAGE_OF.get(kind, _open_stage)
    replayed = kind == "trace_replay" or _mapping(profile, "data").get("trace") is not None
    planned = []
    for index, stage in enumerate(declared):
        place = f"load.stages.{index}"
        if not isinstance(stage, Mapping):
            raise DeclarationError(f"'{place}' must be keys and values")
        check_keys(stage, (_STAGE_MODELS.get(kind, "StandardLoadStage"),), f"{place}.", version)
        made = make(stage, place)
        planned.append(PlannedStage() if replayed and made.rate is not None else made)
    return planned


def expected_seconds(profile: Profile, version: str) -> float | None:
    """Wall seconds from the program's start to its end, about; None where the load does not tell (a closed loop)."""
    durations = [stage.duration_s for stage in stages(profile, version)]
    pause = _mapping(profile, "load").get("interval", INTERVAL_S)
    if not durations or not isinstance(pause, int | float):
        return None
    total = START_S
    for duration in durations:
        if duration is None:
            return None
        total += duration + STAGE_S + pause
    return total


def unmeasured(profile: Profile) -> Mapping[str, str]:
    """Metrics that the program will not have of a profile -> why."""
    return {} if _mapping(profile, "api").get("streaming") is True else unseen_without("api.streaming: true")


def _open_stage(stage: Mapping[str, Any], place: str) -> PlannedStage:
    rate, duration = _number(stage, "rate", place), _number(stage, "duration", place)
    if duration != int(duration):
        raise DeclarationError(f"'{place}.duration' is whole seconds in inference-perf (given: {duration})")
    for key in ("num_requests", "concurrency_level"):
        if stage.get(key) is not None:
            raise DeclarationError(f"'{place}.{key}' belongs to 'load.type: concurrent'")
    requests = int(rate * duration)
    if requests < 1:
        raise DeclarationError(f"'{place}': {rate:g} requests/s for {duration:g} s is less than one request")
    return PlannedStage(rate=rate, duration_s=duration, requests=requests)


def _closed_stage(stage: Mapping[str, Any], place: str) -> PlannedStage:
    concurrency, requests = _number(stage, "concurrency_level", place), _number(stage, "num_requests", place)
    return PlannedStage(concurrency=_whole(concurrency, place), requests=_whole(requests, place))


def _session_stage(stage: Mapping[str, Any], place: str) -> PlannedStage:
    concurrency = stage.get("concurrent_sessions")
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 0:
        raise DeclarationError(f"'{place}.concurrent_sessions' must be a whole number, 0 for no limit")
    return PlannedStage(concurrency=concurrency or None)


_STAGE_OF: Final[Mapping[str, Callable[[Mapping[str, Any], str], PlannedStage]]] = {
    "concurrent": _closed_stage,
    SESSION_LOAD: _session_stage,
}


_STAGE_MODELS: Final = {"concurrent": "ConcurrentLoadStage", SESSION_LOAD: "TraceSessionReplayLoadStage"}


def _number(stage: Mapping[str, Any], key: str, place: str) -> float:
    value = stage.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise DeclarationError(f"'{place}.{key}' must be a number above 0 (given: {value!r})")
    return float(value)


def _whole(value: float, place: str) -> int:
    if value != int(value):
        raise DeclarationError(f"'{place}': requests and concurrency are whole numbers (given: {value:g})")
    return int(value)


def _check(profile: Profile, version: str) -> None:
    check_keys(profile, ("Config",), "", version)
    _check_secrets(profile)
    data = _mapping(profile, "data")
    kind, protocol = _word(profile, "data", "mock"), _word(profile, "api", "completion")
    if kind not in DATA_APIS:
        raise DeclarationError(f"'data.type' {kind!r} is none of inference-perf's; {nearest(kind, DATA_APIS)}")
    if is_0_6(version) and kind in DATA_SINCE_0_7:
        raise DeclarationError(f"inference-perf {version} has no 'data.type: {kind}' yet; {NEWEST} has")
    apis = DATA_APIS[kind]
    if kind == "synthetic" and data.get("multimodal") is not None:
        apis = frozenset({"chat"})
    if protocol not in apis:
        raise DeclarationError(
            f"inference-perf cannot send 'data.type: {kind}' to 'api.type: {protocol}'; "
            f"it can to {', '.join(sorted(apis))}"
        )
    load = _word(profile, "load", "constant")
    if (kind in SESSION_DATA) != (load == SESSION_LOAD):
        raise DeclarationError(
            f"'data.type: {kind}' does not go with 'load.type: {load}': sessions "
            f"({', '.join(sorted(SESSION_DATA))}) are replayed by {SESSION_LOAD}, and nothing else is"
        )
    if kind in ("random", "synthetic") and data.get("trace") is None:
        for key in ("input_distribution", "output_distribution"):
            if data.get(key) is None:
                raise DeclarationError(f"'data.type: {kind}' needs 'data.{key}'")
    if kind in ("shared_prefix", "conversation_replay", "visionarena") and data.get(kind) is None:
        raise DeclarationError(f"'data.type: {kind}' needs 'data.{kind}'")


def _check_secrets(profile: Profile) -> None:
    """Refuse keys and tokens: the program prints and stores its whole configuration."""
    headers = _mapping(_mapping(profile, "api"), "headers")
    found = [f"api.headers.{name}" for name in headers if str(name).lower() in _SECRET_HEADERS]
    for section, key in (("server", "api_key"), ("tokenizer", "token")):
        if _mapping(profile, section).get(key) is not None:
            found.append(f"{section}.{key}")
    if found:
        raise DeclarationError(
            f"'{found[0]}': a workload holds no secrets, for inference-perf prints and stores its whole configuration; "
            "a tokenizer's token goes into the environment variable HF_TOKEN"
        )


def _word(profile: Profile, section: str, default: str) -> str:
    """The ``type`` of a section."""
    found = _mapping(profile, section).get("type")
    return default if found is None else str(found)


def _mapping(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping below ``key``; empty where there is none."""
    value = tree.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise DeclarationError(f"'{key}' must be keys and values")
    return value
