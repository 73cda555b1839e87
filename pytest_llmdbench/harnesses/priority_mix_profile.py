"""What a priority-mix profile means: its traffic classes, and what each of them sends.

The format is that of llm-d-benchmark's harness of the same name; ``{variation}`` in a prompt becomes the number of the
request, and ``promptRepeat`` says how many times the prompt is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.errors import DeclarationError, nearest
from pytest_llmdbench.harnesses.harness import PlannedStage, Profile
from pytest_llmdbench.harnesses.priority_mix_client import turns

#: The headers that llm-d's router reads a request's class from.
OBJECTIVE: Final = "x-llm-d-inference-objective"
FAIRNESS: Final = "x-llm-d-inference-fairness-id"

_REQUEST: Final = frozenset({"prompt", "promptTemplate", "promptRepeat", "max_tokens", "stream"})
_LOAD: Final = frozenset(
    {
        "duration_seconds", "rate_per_second", "total_requests", "max_in_flight", "request_timeout_seconds",
        "fail_on_error",
    }
)  # fmt: skip
_API: Final = frozenset({"type", "path"})
_CLASS: Final = frozenset({"name", "weight", "priority", "objective", "fairnessID", "headers", "request"})
_TOP: Final = frozenset({"endpoint_url", "model", "api", "load", "request", "trafficClasses"})
KEYS: Final = _TOP | _API | _LOAD | _REQUEST | _CLASS
#: What is sent, by ``api.type``.
_PATHS: Final = {"chat": "/v1/chat/completions", "completion": "/v1/completions"}
#: Headers that would hold a secret: what is sent is kept with the results.
_SECRET: Final = frozenset({"authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"})


@dataclass(frozen=True, slots=True)
class TrafficClass:
    """One class: its share of all requests, what tells the router that a request is of it, and what it asks for."""

    name: str
    weight: float
    headers: Mapping[str, str]
    prompt: str
    repeat: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Mix:
    """A whole profile. ``rate`` is in requests a second, ``requests`` how many are sent in all."""

    chat: bool
    path: str
    rate: float
    requests: int
    max_in_flight: int
    timeout_s: float
    classes: Sequence[TrafficClass]

    @property
    def stages(self) -> Sequence[PlannedStage]:
        """One for each class, in the order in which they are declared; they run side by side."""
        sent = Counter(turns([one.weight for one in self.classes], self.requests))
        return [
            PlannedStage(rate=self.rate * sent[index] / self.requests, requests=sent[index], duration_s=self.duration_s)
            for index in range(len(self.classes))
        ]

    @property
    def duration_s(self) -> float:
        """From the first request to when the last one is due, and one gap more."""
        return self.requests / self.rate


def mix(profile: Profile) -> Mix:
    """Understand a profile. Raises DeclarationError naming the wrong key, and the nearest where it is unknown."""
    top = _keys(profile, "", _TOP)
    api, load = _section(top, "api", _API), _section(top, "load", _LOAD)
    kind = _text(api, "api.type", "chat")
    if kind not in _PATHS:
        raise DeclarationError(f"'api.type' {kind!r} is none of priority-mix's; {nearest(str(kind), _PATHS)}")
    rate = _number(load, "load.rate_per_second", 1.0)
    requests = _count(load, "load.total_requests", max(1, int(_number(load, "load.duration_seconds", 30.0) * rate)))
    declared = top.get("trafficClasses")
    if not isinstance(declared, list) or not declared:
        raise DeclarationError("'trafficClasses' must be a list of at least one class")
    common = _section(top, "request", _REQUEST)
    classes = [_class(one, f"trafficClasses.{index}", common) for index, one in enumerate(declared)]
    names = Counter(one.name for one in classes)
    if len(names) < len(classes):
        raise DeclarationError(f"'trafficClasses': two of them are called {names.most_common(1)[0][0]!r}")
    return Mix(
        chat=kind == "chat",
        path=_text(api, "api.path", _PATHS[kind]),
        rate=rate,
        requests=requests,
        max_in_flight=_count(load, "load.max_in_flight", max(1, round(rate))),
        timeout_s=_number(load, "load.request_timeout_seconds", 60.0),
        classes=classes,
    )


def _class(declared: Any, place: str, common: Mapping[str, Any]) -> TrafficClass:
    keys = _keys(declared, f"{place}.", _CLASS)
    request = {**common, **_section(keys, "request", _REQUEST, f"{place}.")}
    if request.get("stream", True) is not True:
        raise DeclarationError(f"'{place}.request.stream': priority-mix always streams; leave it out, or say true")
    headers = {str(name).lower(): str(value) for name, value in _section(keys, "headers", None, f"{place}.").items()}
    for name in headers:
        if name in _SECRET:
            raise DeclarationError(
                f"'{place}.headers.{name}': a workload holds no secrets, for it is kept with results"
            )
    for key, header in (("objective", OBJECTIVE), ("fairnessID", FAIRNESS)):
        if keys.get(key) is not None:
            headers[header] = _text(keys, f"{place}.{key}", "")
    if any("\n" in value or "\r" in value for value in headers.values()):
        raise DeclarationError(f"'{place}': a header is one line")
    prompt = _text(request, f"{place}.request.prompt", "Say hello.")
    return TrafficClass(
        name=_text(keys, f"{place}.name", place),
        weight=_number(keys, f"{place}.weight", 1.0),
        headers=headers,
        prompt=_text(request, f"{place}.request.promptTemplate", prompt),
        repeat=_count(request, f"{place}.request.promptRepeat", 1),
        max_tokens=_count(request, f"{place}.request.max_tokens", 32),
    )


def _section(tree: Mapping[str, Any], key: str, known: frozenset[str] | None, above: str = "") -> Mapping[str, Any]:
    value = tree.get(key)
    return {} if value is None else _keys(value, f"{above}{key}.", known)


def _keys(tree: Any, place: str, known: frozenset[str] | None) -> Mapping[str, Any]:
    if not isinstance(tree, Mapping):
        raise DeclarationError(f"'{place.rstrip('.')}' must be keys and values")
    for key in tree:
        if known is not None and key not in known:
            raise DeclarationError(f"priority-mix has no key '{place}{key}'; {nearest(str(key), known)}")
    return tree


def _number(tree: Mapping[str, Any], place: str, default: float) -> float:
    value = tree.get(place.rpartition(".")[2])
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise DeclarationError(f"'{place}' must be a number above 0 (given: {str(value)[:40]!r})")
    return float(value)


def _count(tree: Mapping[str, Any], place: str, default: int) -> int:
    value = _number(tree, place, default)
    if value != int(value):
        raise DeclarationError(f"'{place}' must be a whole number (given: {value:g})")
    return int(value)


def _text(tree: Mapping[str, Any], place: str, default: str) -> str:
    value = tree.get(place.rpartition(".")[2], default)
    if not isinstance(value, str) or (not value and default):
        raise DeclarationError(f"'{place}' must be text (given: {str(value)[:40]!r})")
    return value
