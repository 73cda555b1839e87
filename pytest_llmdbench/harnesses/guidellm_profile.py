"""What a guidellm profile means before it runs: its stages, their time, what the program would refuse.

A profile is a scenario file of the program: ``spec``, and in ``benchmarks`` what differs from stage to stage, under
keys such as ``profile.rate`` or ``constraints[0].count``. The same can be said with lists in ``spec``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.guidellm_keys import KINDS, check_keys
from pytest_llmdbench.harnesses.harness import PlannedStage, Profile

#: Seconds from the program's start to its first stage, and that a stage takes beyond its load.
START_S: Final = 8.0
STAGE_S: Final = 7.0
#: Tokens of prompts that the program makes up in a second, before the load where it is told how many.
MADE_PER_S: Final = 100_000

#: No rate, time or number of anything is as large as this.
MOST: Final = 1e15

OPEN: Final = frozenset({"async", "constant", "poisson"})
#: Loads of one stage each; ``replay`` sends when its trace says, the others as fast as answers come.
SINGLE: Final = frozenset({"synchronous", "throughput", "replay"})
#: What ends a stage, and under which key each kind says when.
COUNTS: Final = frozenset({"max_requests", "min_requests"})
_LIMIT: Final = {"max_duration": "seconds", **dict.fromkeys((*COUNTS, "max_errors"), "count")}
_RATES: Final = {"max_error_rate": "rate", "max_global_error_rate": "rate"}

_VARIED: Final = re.compile(r"profile\.(rate|streams)|constraints\[(\d+)\]\.(seconds|count|rate)")
_SECRET_HEADERS: Final = frozenset({"authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"})


@dataclass(frozen=True, slots=True)
class _Limits:
    """What ends a stage: its time, the number of its requests."""

    seconds: float | None
    requests: int | None


def stages(profile: Profile, version: str) -> Sequence[PlannedStage]:
    """The stages a profile will run; none for a search (sweep, knee, goodput), which makes its stages as it goes.

    Raises:
        DeclarationError: the program would refuse the profile, or never end; names the key.
    """
    check_keys(profile, version)
    spec = _merged(profile)
    _check_parts(spec)
    kind = str(_mapping(spec, "profile", "spec.").get("kind"))
    levels = _levels(spec, kind)
    limits = [_limits(spec, number) for number in range(len(levels) or 1)]
    if not levels:
        return ()
    most = _samples(spec)
    if most is None and any(one.seconds is None and one.requests is None for one in limits) and _endless(spec):
        raise DeclarationError(
            "'spec.constraints' ends no stage: without max_duration or max_requests the load would never end"
        )
    ramp = _ramp(spec)
    return [_stage(kind, level, limit, most, ramp) for level, limit in zip(levels, limits, strict=True)]


def expected_seconds(profile: Profile, version: str) -> float | None:
    """Wall seconds from the program's start to its end, about; None where the load does not tell (a closed loop)."""
    planned = stages(profile, version)
    durations = [stage.duration_s for stage in planned]
    if not durations or None in durations:
        return None
    made = _made_before(_merged(profile), len(planned)) / MADE_PER_S
    return START_S + made + sum(duration or 0.0 for duration in durations) + STAGE_S * len(durations)


def _merged(profile: Profile) -> dict[str, Any]:
    """The ``spec`` with what ``benchmarks`` vary laid into it as lists."""
    spec = dict(_mapping(profile, "spec"))
    benchmarks = profile.get("benchmarks")
    if benchmarks is not None and not isinstance(benchmarks, list):
        raise DeclarationError("'benchmarks' must be a list of keys and values")
    varied: dict[str, list[Any]] = {}
    found: dict[str, re.Match[str]] = {}
    for index, one in enumerate(benchmarks or ()):
        if one is None:
            continue
        if not isinstance(one, Mapping):
            raise DeclarationError(f"'benchmarks.{index}' must be keys and values")
        for key, value in one.items():
            match = _VARIED.fullmatch(str(key))
            if match is None:
                raise DeclarationError(
                    f"'benchmarks.{index}': '{key}' cannot vary from benchmark to benchmark; profile.rate, "
                    "profile.streams and constraints[0].seconds, .count or .rate can. The rest belongs into 'spec'"
                )
            found[str(key)] = match
            varied.setdefault(str(key), []).extend(value if isinstance(value, list) else [value])
    if len({len(values) for values in varied.values()}) > 1:
        raise DeclarationError(f"'benchmarks': all must set the same keys ({', '.join(varied)})")
    for key, values in varied.items():
        _lay(spec, found[key], values)
    return spec


def _lay(spec: dict[str, Any], found: re.Match[str], values: list[Any]) -> None:
    if found[1]:
        spec["profile"] = {**_mapping(spec, "profile", "spec."), found[1]: values}
        return
    place, constraints = int(found[2]), list(_list(spec, "constraints"))
    if place >= len(constraints) or not isinstance(constraints[place], Mapping):
        raise DeclarationError(f"'benchmarks': '{found[0]}' needs a 'spec.constraints.{place}' with its kind")
    constraints[place] = {**constraints[place], found[3]: values}
    spec["constraints"] = constraints


def _check_parts(spec: Mapping[str, Any]) -> None:
    for key in KINDS:
        _mapping(spec, key, "spec.")
    seed = _mapping(spec, "seed", "spec.").get("value", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise DeclarationError(f"'spec.seed.value' must be a whole number (given: {seed!r})")
    backend = _mapping(spec, "backend", "spec.")
    if backend.get("kind", KINDS["backend"]) != KINDS["backend"]:
        raise DeclarationError(
            f"'spec.backend.kind: {backend['kind']}' runs an engine of its own; a stack is asked by openai_http"
        )
    headers = _mapping(_mapping(backend, "extras", "spec.backend."), "headers", "spec.backend.extras.")
    secret = [f"extras.headers.{name}" for name in headers if str(name).lower() in _SECRET_HEADERS]
    if backend.get("api_key") is not None:
        secret.append("api_key")
    if secret:
        raise DeclarationError(
            f"'spec.backend.{secret[0]}': a workload holds no secrets, for guidellm prints and stores its configuration"
        )
    data = _list(spec, "data")
    if not data:
        raise DeclarationError("'spec.data' must be a list of at least one source of prompts")
    for index, one in enumerate(data):
        if not isinstance(one, Mapping):
            raise DeclarationError(f"'spec.data.{index}' must be keys and values")
        if one.get("kind") == "synthetic_text":
            _number(one.get("prompt_tokens"), f"spec.data.{index}.prompt_tokens")


def _levels(spec: Mapping[str, Any], kind: str) -> Sequence[float | None]:
    """The rate or the streams of each stage; one None for a load that has neither; nothing for a search."""
    section = _mapping(spec, "profile", "spec.")
    if section.get("kind") is None:
        raise DeclarationError("'spec.profile.kind' must say what load it is: constant, poisson, concurrent ...")
    if section.get("max_concurrency") is not None:
        _number(section["max_concurrency"], "spec.profile.max_concurrency")
    if kind in OPEN:
        return _numbers(section.get("rate"), "spec.profile.rate")
    if kind == "concurrent":
        streams = _numbers(section.get("streams"), "spec.profile.streams")
        if any(one != int(one) for one in streams):
            raise DeclarationError(f"'spec.profile.streams' must be whole numbers (given: {section['streams']!r})")
        return streams
    if kind == "throughput":
        return [section.get("max_concurrency")]
    return [None] if kind in SINGLE else []


def _limits(spec: Mapping[str, Any], number: int) -> _Limits:
    """What ends the stage of a number: the last value of a list holds for all stages after it, as in the program."""
    seconds: list[float] = []
    requests: list[int] = []
    for index, one in enumerate(_list(spec, "constraints")):
        place = f"spec.constraints.{index}"
        if not isinstance(one, Mapping):
            raise DeclarationError(f"'{place}' must be keys and values")
        kind = str(one.get("kind"))
        key = _LIMIT.get(kind) or _RATES.get(kind)
        if key is None:
            continue
        values = _numbers(one.get(key), f"{place}.{key}")
        value = values[min(number, len(values) - 1)]
        if kind in _RATES and value >= 1:
            raise DeclarationError(f"'{place}.{key}' is a share of requests, below 1 (given: {value:g})")
        if kind == "max_duration":
            seconds.append(value)
        elif kind in COUNTS:
            requests.append(math.ceil(value))
    return _Limits(min(seconds, default=None), min(requests, default=None))


def _stage(kind: str, level: float | None, limits: _Limits, most: int | None, ramp_s: float) -> PlannedStage:
    requests = min((one for one in (limits.requests, most) if one is not None), default=None)
    if kind not in OPEN or level is None:
        concurrency = 1 if kind == "synchronous" else int(level) if level else None
        return PlannedStage(concurrency=concurrency, duration_s=limits.seconds, requests=requests)
    # A ramp from 0 sends half of what the full rate would.
    ramp_s = ramp_s if kind != "poisson" else 0.0
    duration = limits.seconds
    if requests is not None:
        duration = min(duration or math.inf, requests / level + ramp_s / 2)
    if duration is not None:
        sent = int(level * (duration - ramp_s / 2)) if duration >= ramp_s else int(level * duration**2 / ramp_s / 2)
        requests = max(1, min(sent, requests if requests is not None else sent))
    return PlannedStage(rate=level, duration_s=duration, requests=requests)


def _ramp(spec: Mapping[str, Any]) -> float:
    given = _mapping(spec, "profile", "spec.").get("rampup_duration")
    return 0.0 if given in (None, 0) else _number(given, "spec.profile.rampup_duration")


def _samples(spec: Mapping[str, Any]) -> int | None:
    """How many requests a stage can have at most, for it gets so many prompts; None where that is not said."""
    samples = _mapping(spec, "data_loader", "spec.").get("samples")
    data = _list(spec, "data")
    if isinstance(samples, bool) or not isinstance(samples, int | None):
        raise DeclarationError(f"'spec.data_loader.samples' must be a whole number (given: {samples!r})")
    if samples is None or samples < 1 or len(data) > 1 or data[0].get("kind") != "synthetic_text":
        return None
    turns = data[0].get("turns") or 1
    return samples * int(_number(turns, "spec.data.0.turns")) if not data[0].get("branches") else None


def _endless(spec: Mapping[str, Any]) -> bool:
    """Whether there is always another prompt; files and traces end."""
    return all(str(one.get("kind")).startswith("synthetic") for one in _list(spec, "data"))


def _made_before(spec: Mapping[str, Any], count: int) -> float:
    """Tokens of prompts that the program makes up before its stages begin, about: all prefixes anew for each stage."""
    tokens = 0.0
    samples = max(0.0, _amount(_mapping(spec, "data_loader", "spec."), "samples", 0))
    for one in _list(spec, "data"):
        for bucket in one.get("prefix_buckets") or ():
            tokens += count * _amount(bucket, "prefix_count", 1) * _amount(bucket, "prefix_tokens", 0)
        tokens += samples * _amount(one, "prompt_tokens", 0) * _amount(one, "turns", 1)
    return tokens


def _amount(tree: Any, key: str, default: float) -> float:
    """A number for an estimate: whether it may be one is the program's business."""
    value = tree.get(key) if isinstance(tree, Mapping) else None
    return default if isinstance(value, bool) or not isinstance(value, int | float) else float(value)


def _numbers(value: Any, place: str) -> list[float]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise DeclarationError(f"'{place}' must be a number above 0, or a list of them")
    return [_number(one, place) for one in values]


def _number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < MOST:
        raise DeclarationError(f"'{place}' must be a number above 0 (given: {value!r})")
    return float(value)


def _mapping(tree: Mapping[str, Any], key: str, above: str = "") -> Mapping[str, Any]:
    """The mapping below ``key``; empty where there is none."""
    value = tree.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise DeclarationError(f"'{above}{key}' must be keys and values")
    return value


def _list(spec: Mapping[str, Any], key: str) -> Sequence[Any]:
    """The list below a key of ``spec``; empty where there is none."""
    value = spec.get(key)
    if value is not None and not isinstance(value, list):
        raise DeclarationError(f"'spec.{key}' must be a list")
    return value or ()
