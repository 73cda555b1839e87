"""What a guidellm profile means before it runs: its stages, what ends each of them, and how long it all takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.guidellm_keys import check_keys
from pytest_llmdbench.harnesses.guidellm_spec import check_parts, list_at, mapping_at, merged, positive, positives
from pytest_llmdbench.harnesses.harness import PlannedStage, Profile

#: Seconds from the program's start to its first stage, and that a stage takes beyond its load.
START_S: Final = 8.0
STAGE_S: Final = 7.0
#: Tokens of prompts that the program makes up in a second, before the load where it is told how many.
MADE_PER_S: Final = 100_000

OPEN: Final = frozenset({"async", "constant", "poisson"})
#: Loads of one stage each; ``replay`` sends when its trace says, the others as fast as answers come.
SINGLE: Final = frozenset({"synchronous", "throughput", "replay"})
#: What ends a stage, and under which key each kind says when.
COUNTS: Final = frozenset({"max_requests", "min_requests"})
_LIMIT: Final = {"max_duration": "seconds", **dict.fromkeys((*COUNTS, "max_errors"), "count")}
_RATES: Final = {"max_error_rate": "rate", "max_global_error_rate": "rate"}


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
    spec = merged(profile)
    check_parts(spec)
    kind = str(mapping_at(spec, "profile", "spec.").get("kind"))
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
    made = _made_before(merged(profile), len(planned)) / MADE_PER_S
    return START_S + made + sum(duration or 0.0 for duration in durations) + STAGE_S * len(durations)


def _levels(spec: Mapping[str, Any], kind: str) -> Sequence[float | None]:
    """The rate or the streams of each stage; one None for a load that has neither; nothing for a search."""
    section = mapping_at(spec, "profile", "spec.")
    if section.get("kind") is None:
        raise DeclarationError("'spec.profile.kind' must say what load it is: constant, poisson, concurrent ...")
    if section.get("max_concurrency") is not None:
        positive(section["max_concurrency"], "spec.profile.max_concurrency")
    if kind in OPEN:
        return positives(section.get("rate"), "spec.profile.rate")
    if kind == "concurrent":
        streams = positives(section.get("streams"), "spec.profile.streams")
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
    for index, one in enumerate(list_at(spec, "constraints")):
        place = f"spec.constraints.{index}"
        if not isinstance(one, Mapping):
            raise DeclarationError(f"'{place}' must be keys and values")
        kind = str(one.get("kind"))
        key = _LIMIT.get(kind) or _RATES.get(kind)
        if key is None:
            continue
        values = positives(one.get(key), f"{place}.{key}")
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
    given = mapping_at(spec, "profile", "spec.").get("rampup_duration")
    return 0.0 if given in (None, 0) else positive(given, "spec.profile.rampup_duration")


def _samples(spec: Mapping[str, Any]) -> int | None:
    """How many requests a stage can have at most, for it gets so many prompts; None where that is not said."""
    samples = mapping_at(spec, "data_loader", "spec.").get("samples")
    data = list_at(spec, "data")
    if isinstance(samples, bool) or not isinstance(samples, int | None):
        raise DeclarationError(f"'spec.data_loader.samples' must be a whole number (given: {samples!r})")
    if samples is None or samples < 1 or len(data) > 1 or data[0].get("kind") != "synthetic_text":
        return None
    turns = data[0].get("turns") or 1
    return samples * int(positive(turns, "spec.data.0.turns")) if not data[0].get("branches") else None


def _endless(spec: Mapping[str, Any]) -> bool:
    """Whether there is always another prompt; files and traces end."""
    return all(str(one.get("kind")).startswith("synthetic") for one in list_at(spec, "data"))


def _made_before(spec: Mapping[str, Any], count: int) -> float:
    """Tokens of prompts that the program makes up before its stages begin, about: all prefixes anew for each stage."""
    tokens = 0.0
    samples = max(0.0, _amount(mapping_at(spec, "data_loader", "spec."), "samples", 0))
    for one in list_at(spec, "data"):
        for bucket in one.get("prefix_buckets") or ():
            tokens += count * _amount(bucket, "prefix_count", 1) * _amount(bucket, "prefix_tokens", 0)
        tokens += samples * _amount(one, "prompt_tokens", 0) * _amount(one, "turns", 1)
    return tokens


def _amount(tree: Any, key: str, default: float) -> float:
    """A number for an estimate: whether it may be one is the program's business."""
    value = tree.get(key) if isinstance(tree, Mapping) else None
    return default if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
