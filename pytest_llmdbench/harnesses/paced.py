"""How each load program's profile is told to send at one rate for some time: the same load, in one stage.

A search for the highest rate needs it. Each function takes the profile, the rate in requests a second and the seconds,
leaves the profile as it is and returns a new one; DeclarationError where the load has no rate: a closed loop, a trace.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final, NoReturn

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses import aiperf_profile, guidellm_profile
from pytest_llmdbench.harnesses.harness import Profile

#: What ends a stage of guidellm, of which one is needed.
_ENDS: Final = frozenset({"max_duration", *guidellm_profile.COUNTS})
#: aiperf's own words for the length of a load, and for a rate that is not one.
_AIPERF_LENGTH: Final = ("benchmark-duration", "benchmark-grace-period", "request-rate-ramp-duration")


def inference_perf(profile: Profile, rate: float, seconds: float) -> dict[str, Any]:
    """Of ``load.type`` constant or poisson; the program takes whole seconds."""
    told = _copy(profile)
    load = dict(told.get("load") or {})
    kind = load.get("type") or "constant"
    traced = load.get("trace") or (told.get("data") or {}).get("trace")
    if kind not in ("constant", "poisson") or traced:
        _refuse("load.type", "a trace" if traced else kind, "constant or poisson")
    load.pop("sweep", None)
    load["stages"] = [{"rate": rate, "duration": math.ceil(seconds)}]
    return {**told, "load": load}


def guidellm(profile: Profile, rate: float, seconds: float) -> dict[str, Any]:
    """Of an open ``spec.profile.kind``; ended by the number of its requests, so that all of them are answered."""
    told = _copy(profile)
    told.pop("benchmarks", None)
    spec = dict(told.get("spec") or {})
    load = dict(spec.get("profile") or {})
    if load.get("kind") not in guidellm_profile.OPEN:
        _refuse("spec.profile.kind", load.get("kind"), ", ".join(sorted(guidellm_profile.OPEN)))
    load.pop("rampup_duration", None)
    requests = _requests(rate, seconds)
    others = [one for one in spec.get("constraints") or () if _kind(one) not in _ENDS]
    spec["profile"] = {**load, "rate": [rate]}
    spec["constraints"] = [{"kind": "max_requests", "count": requests}, *others]
    loader = spec.get("data_loader")
    if isinstance(loader, Mapping) and isinstance(loader.get("samples"), int) and 0 < loader["samples"] < requests:
        spec["data_loader"] = {**loader, "samples": requests}
    return {**told, "spec": spec}


def vllm_bench(profile: Profile, rate: float, seconds: float) -> dict[str, Any]:
    """Of a finite ``request-rate``."""
    told = _copy(profile)
    given = told.get("request-rate")
    if given is None or given is False or math.isinf(float(given)) or told.get("dataset-name") == "timed_trace":
        _refuse("request-rate", given, "a number")
    return {**told, "request-rate": rate, "num-prompts": _requests(rate, seconds)}


def aiperf(profile: Profile, rate: float, seconds: float, version: str) -> dict[str, Any]:
    """Of a ``request-rate``; flags come under their first names."""
    told = dict(_copy(aiperf_profile.told(profile, version)))
    replayed = aiperf_profile.stages(profile, version)[0].rate is None
    if "request-rate" not in told or replayed or told.get("request-rate-series"):
        _refuse("request-rate", told.get("request-rate"), "a number")
    for flag in _AIPERF_LENGTH:
        told.pop(flag, None)
    return {**told, "request-rate": rate, "request-count": _requests(rate, seconds)}


def priority_mix(profile: Profile, rate: float, seconds: float) -> dict[str, Any]:
    """Always: all its classes together send at the rate."""
    told = _copy(profile)
    load = dict(told.get("load") or {})
    load.pop("duration_seconds", None)
    return {**told, "load": {**load, "rate_per_second": rate, "total_requests": _requests(rate, seconds)}}


def _copy(profile: Profile) -> dict[str, Any]:
    return deepcopy(dict(profile))


def _kind(constraint: Any) -> str:
    return str(constraint.get("kind")) if isinstance(constraint, Mapping) else ""


def _requests(rate: float, seconds: float) -> int:
    return max(1, math.ceil(round(rate * seconds, 6)))


def _refuse(key: str, given: Any, possible: str) -> NoReturn:
    raise DeclarationError(
        f"'{key}: {given}' sends at no rate that could be set; the highest rate is searched with a workload that has "
        f"'{key}: {possible}'"
    )
