"""A guidellm profile as one ``spec``: what its ``benchmarks`` vary is laid into it, its parts are checked.

A profile is a scenario file of the program: ``spec``, and in ``benchmarks`` what differs from stage to stage, under
keys such as ``profile.rate`` or ``constraints[0].count``. The same can be said with lists in ``spec``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.guidellm_keys import KINDS
from pytest_llmdbench.harnesses.harness import Profile

#: No rate, time or number of anything is as large as this.
_MOST: Final = 1e15

_VARIED: Final = re.compile(r"profile\.(rate|streams)|constraints\[(\d+)\]\.(seconds|count|rate)")
_SECRET_HEADERS: Final = frozenset({"authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"})


def merged(profile: Profile) -> dict[str, Any]:
    """The ``spec`` with what ``benchmarks`` vary laid into it as lists. Raises DeclarationError; names the key."""
    spec = dict(mapping_at(profile, "spec"))
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
        spec["profile"] = {**mapping_at(spec, "profile", "spec."), found[1]: values}
        return
    place, constraints = int(found[2]), list(list_at(spec, "constraints"))
    if place >= len(constraints) or not isinstance(constraints[place], Mapping):
        raise DeclarationError(f"'benchmarks': '{found[0]}' needs a 'spec.constraints.{place}' with its kind")
    constraints[place] = {**constraints[place], found[3]: values}
    spec["constraints"] = constraints


def check_parts(spec: Mapping[str, Any]) -> None:
    """Raise DeclarationError for a part that the program would refuse, that names another engine, or holds a secret."""
    for key in KINDS:
        mapping_at(spec, key, "spec.")
    seed = mapping_at(spec, "seed", "spec.").get("value", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise DeclarationError(f"'spec.seed.value' must be a whole number (given: {seed!r})")
    backend = mapping_at(spec, "backend", "spec.")
    if backend.get("kind", KINDS["backend"]) != KINDS["backend"]:
        raise DeclarationError(
            f"'spec.backend.kind: {backend['kind']}' runs an engine of its own; a stack is asked by openai_http"
        )
    headers = mapping_at(mapping_at(backend, "extras", "spec.backend."), "headers", "spec.backend.extras.")
    secret = [f"extras.headers.{name}" for name in headers if str(name).lower() in _SECRET_HEADERS]
    if backend.get("api_key") is not None:
        secret.append("api_key")
    if secret:
        raise DeclarationError(
            f"'spec.backend.{secret[0]}': a workload holds no secrets, for guidellm prints and stores its configuration"
        )
    data = list_at(spec, "data")
    if not data:
        raise DeclarationError("'spec.data' must be a list of at least one source of prompts")
    for index, one in enumerate(data):
        if not isinstance(one, Mapping):
            raise DeclarationError(f"'spec.data.{index}' must be keys and values")
        if one.get("kind") == "synthetic_text":
            positive(one.get("prompt_tokens"), f"spec.data.{index}.prompt_tokens")


def positives(value: Any, place: str) -> list[float]:
    """One number above 0 or a list of them, as a list. Raises DeclarationError with the place."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise DeclarationError(f"'{place}' must be a number above 0, or a list of them")
    return [positive(one, place) for one in values]


def positive(value: Any, place: str) -> float:
    """A number above 0. Raises DeclarationError with the place."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MOST:
        raise DeclarationError(f"'{place}' must be a number above 0 (given: {value!r})")
    return float(value)


def mapping_at(tree: Mapping[str, Any], key: str, above: str = "") -> Mapping[str, Any]:
    """The mapping below ``key``; empty where there is none. Raises DeclarationError where it is something else."""
    value = tree.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise DeclarationError(f"'{above}{key}' must be keys and values")
    return value


def list_at(spec: Mapping[str, Any], key: str) -> Sequence[Any]:
    """As :func:`mapping_at`, the list below a key of ``spec``."""
    value = spec.get(key)
    if value is not None and not isinstance(value, list):
        raise DeclarationError(f"'spec.{key}' must be a list")
    return value or ()
