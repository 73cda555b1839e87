"""The calls of an agent to the model, from the trace of the gateway beside it: OpenTelemetry's JSON, a batch a line.

A call is the span of a request to the gateway. How many tokens it took stands in a span below it, that of the gateway's
own request to the model, and so does the end of a streamed answer: the span of the request is closed while the stream
still runs (in one published trace of bifrost's after 3.6 s, where the answer took 4.2 s). So a call ends with the last
of its spans. What the gateway calls the time to the first token is left out: in published traces it is, in whatever
unit one reads it, longer than the whole call or shorter than any network.

The format: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding and, for the names of attributes,
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.fields import plain
from pytest_llmdbench.results.request import Request

#: How the name of a span ends, without its query, that is a request to the gateway: bifrost's, and litellm's.
_CALL: Final = re.compile(r"(?i)(?:/completions|/responses|/messages|:(?:stream)?generatecontent|^litellm_request)$")
#: Names of spans that are the gateway's own request to the model; others are told by the tokens in them.
_PROVIDER: Final = re.compile(r"(?i)llm\.call|chat .*", re.DOTALL)
#: Attributes by what they say, the first that is there. None of them is a part of another.
_PROMPT: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "prompt_tokens")
_OUTPUT: Final = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "completion_tokens")
_STATUS: Final = ("http.response.status_code", "http.status_code")
_KIND: Final = ("error.type", "gen_ai.error.type")
_WORDS: Final = ("error.message", "gen_ai.error")
_SCALARS: Final = ("stringValue", "intValue", "doubleValue", "boolValue")
#: A span's own word on how it ended: by number or by name.
_FAILED: Final = (2, "STATUS_CODE_ERROR")
_GOOD: Final = (1, "STATUS_CODE_OK")
#: Of a failure's own words so many letters make its kind.
_LONGEST: Final = 100
_NANO: Final = 1e-9


@dataclass(frozen=True, slots=True)
class _Span:
    """A span that is a call, or a part of one. ``good`` is None where it does not say how it ended."""

    call: bool
    key: tuple[str, str]
    above: tuple[str, str]
    sent: float
    ended: float
    good: bool | None
    error: str
    prompt: int | None
    output: int | None


def calls(path: Path) -> list[Request]:
    """The calls in a file of traces in the order in which they were sent; none where there is no such file.

    A last line that was not written to its end is left out: the collector goes when the task is over.

    Raises:
        HarnessError: a line is no batch of spans, or a span's field is not what it should be; names file and line.
    """
    spans: list[_Span] = []
    parents: dict[tuple[str, str], tuple[str, str]] = {}
    number = 0
    try:
        # The agent's texts, which nobody reads here, need not be good ones.
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    for data in _spans(json.loads(line)):
                        key, above = _place(data, number, len(parents))
                        parents[key] = above
                        if (span := _span(data, key, above)) is not None:
                            spans.append(span)
                except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
                    if isinstance(error, json.JSONDecodeError) and not line.endswith("\n"):
                        break
                    raise HarnessError(f"{path}:{number}: is no batch of spans: {error!r}"[:500]) from error
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error}") from error
    return sorted(_requests(spans, parents), key=lambda one: one.sent)


def _spans(batch: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for resource in batch["resourceSpans"]:
        for scope in resource.get("scopeSpans") or ():
            yield from scope.get("spans") or ()


def _place(data: Mapping[str, Any], line: int, number: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """The identity of a span and that of the one above it; a span that has none of its own is nobody's relative."""
    trace, own = str(data.get("traceId") or ""), str(data.get("spanId") or "")
    key = (trace, own) if trace and own else (f"line {line}", str(number))
    return key, (trace, str(data.get("parentSpanId") or ""))


def _span(data: Mapping[str, Any], key: tuple[str, str], above: tuple[str, str]) -> _Span | None:
    """What a span says, if it is about a call. Raises ValueError and the like."""
    name = str(data["name"])
    said = {str(one["key"]): _value(one.get("value") or {}) for one in data.get("attributes") or ()}
    call = _CALL.search(name.partition("?")[0]) is not None
    prompt, output = (_tokens(_first(said, names)) for names in (_PROMPT, _OUTPUT))
    if not call and prompt is None and output is None and not _PROVIDER.fullmatch(name):
        return None
    sent, ended = _time(data["startTimeUnixNano"]), _time(data["endTimeUnixNano"])
    if ended < sent:
        raise ValueError(f"span {name[:40]!r} ends before it begins")
    good, error = _outcome(data.get("status") or {}, said)
    return _Span(call, key, above, sent, ended, good, error, prompt, output)


def _value(value: Mapping[str, Any]) -> Any:
    """The scalar of an attribute; None of a list or a mapping."""
    return next((value[kind] for kind in _SCALARS if kind in value), None)


def _first(said: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((said[name] for name in names if said.get(name) is not None), None)


def _outcome(status: Mapping[str, Any], said: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Whether a span's request went well, and else how its failure is called."""
    code = _whole(_first(said, _STATUS))
    refused = code is not None and code >= 400
    kind, words = _first(said, _KIND), _first(said, _WORDS) or status.get("message")
    if refused or status.get("code") in _FAILED or kind or _first(said, _WORDS):
        parts = [str(code) if refused else "", str(kind or words or "")]
        return False, " - ".join(" ".join(part.split())[:_LONGEST] for part in parts if part) or "error"
    return (True if code is not None or status.get("code") in _GOOD else None), ""


def _time(value: object) -> float:
    nanoseconds = _whole(value)
    if nanoseconds is None or nanoseconds <= 0:
        raise ValueError(f"{str(value)[:40]} is no time in nanoseconds since 1970")
    return nanoseconds * _NANO


def _tokens(value: object) -> int | None:
    number = _whole(value)
    if number is not None and not 0 <= number < 2**31:
        raise ValueError(f"{str(value)[:40]} is no number of tokens")
    return number


def _whole(value: object) -> int | None:
    """A whole number, which this format writes as a text, or a program as a number with a point."""
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or int(value) != value or abs(value) > 1e20:
        raise ValueError(f"{str(value)[:40]} is no whole number")
    return int(value)


def _requests(spans: list[_Span], parents: Mapping[tuple[str, str], tuple[str, str]]) -> Iterator[Request]:
    """One request for each outermost call with all that is below it, or for a provider's span that has none above."""
    outer = {span.key for span in spans if span.call}
    parts: dict[tuple[str, str], list[_Span]] = defaultdict(list)
    for span in spans:
        parts[_outermost(span.key, parents, outer)].append(span)
    for key, own in parts.items():
        own.sort(key=lambda one: (one.key != key, one.ended))
        # The call's own word counts; of several tries to the model the last one's.
        judged = [*own[:1], *reversed(own[1:])]
        settled = next((one for one in judged if one.good is not None), None)
        told = next((one for one in judged if one.prompt is not None or one.output is not None), None)
        error = None
        if settled is not None and not settled.good:
            error = next((one.error for one in judged if one.good is False and one.error), "error")
            error = plain(error)
        yield Request(
            stage=0,
            sent=min(one.sent for one in own),
            ended=max(one.ended for one in own),
            outcome="failed" if error else "completed",
            error=error,
            prompt_tokens=told.prompt if told else None,
            output_tokens=told.output if told else None,
        )


def _outermost(
    key: tuple[str, str], parents: Mapping[tuple[str, str], tuple[str, str]], outer: set[tuple[str, str]]
) -> tuple[str, str]:
    """The highest call above a span, or the span itself."""
    found, seen = key, {key}
    while (key := parents.get(key, ("", ""))) in parents and key not in seen:
        seen.add(key)
        if key in outer:
            found = key
    return found
