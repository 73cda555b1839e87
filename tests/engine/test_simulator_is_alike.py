"""The simulator says what the real engine says: metrics, answers, streams and refusals, for the same questions."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest

from pytest_llmdbench.stacks.spec import Endpoint
from tests.engine.asking import Answer, ask, families, labels, shape

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "baba beba"}]
USAGE = {"include_usage": True}
#: Its labels are the engine's whole cache configuration, of which the simulator has a part.
PARTLY = "vllm:cache_config_info"


@pytest.fixture
def both(engine: Endpoint, simulator: Endpoint) -> tuple[str, str]:
    return engine.url, simulator.url


def asked(both: tuple[str, str], path: str, body: Any) -> tuple[Answer, Answer]:
    """The engine's answer and the simulator's; ``body`` without a model is about the served one."""
    if isinstance(body, dict):
        body = {"model": "llmdbench/tiny", **body}
    return ask(both[0], path, body), ask(both[1], path, body)


def test_its_metrics_have_the_engines_names_types_and_labels(both: tuple[str, str]) -> None:
    asked(both, COMPLETIONS, {"prompt": "baba", "max_tokens": 2})
    asked(both, COMPLETIONS, {"prompt": "baba", "max_tokens": 0})
    real, simulated = (ask(url, "/metrics").text for url in both)
    known = families(real)
    assert {name: kind for name, kind in families(simulated).items() if known.get(name) != kind} == {}
    real_labels, simulated_labels = labels(real), labels(simulated)
    assert simulated_labels.pop(PARTLY) < real_labels[PARTLY]
    assert {name: one for name, one in simulated_labels.items() if real_labels.get(name) != one} == {}


def test_its_histograms_have_the_engines_buckets(both: tuple[str, str]) -> None:
    real, simulated = ({line.partition("} ")[0] for line in ask(url, "/metrics").text.splitlines()} for url in both)
    buckets = {line for line in simulated if "_bucket{" in line}
    assert buckets
    assert buckets - real == set()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (COMPLETIONS, {"prompt": "baba beba biba", "max_tokens": 3}),
        (COMPLETIONS, {"prompt": "baba beba", "max_tokens": 4, "n": 2, "temperature": 1}),
        (COMPLETIONS, {"prompt": ["baba", "beba biba"], "max_tokens": 2}),
        (COMPLETIONS, {"prompt": [1, 2, 3], "max_tokens": 2}),
        (COMPLETIONS, {"prompt": [[1, 2, 3], [4]], "max_tokens": 2}),
        (COMPLETIONS, {"prompt": "baba"}),
        (COMPLETIONS, {"prompt": "baba", "max_tokens": "3"}),
        (COMPLETIONS, {"prompt": "baba", "max_tokens": 6, "stop": ["a", "e", "i", "o"]}),
        (COMPLETIONS, {"prompt": "baba", "max_tokens": 1, "something": "unknown"}),
        (COMPLETIONS, {"prompt": [1] * 8191, "max_tokens": 5}),
        (CHAT, {"messages": MESSAGES, "max_tokens": 3}),
        (CHAT, {"messages": MESSAGES, "max_completion_tokens": 3, "max_tokens": 9}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "baba"}]}], "max_tokens": 2}),
        ("/tokenize", {"prompt": "baba beba"}),
        ("/tokenize", {"messages": MESSAGES}),
    ],
)
def test_an_answer_has_the_engines_shape_usage_and_reason(both: tuple[str, str], path: str, body: Any) -> None:
    real, simulated = asked(both, path, body)
    assert (real.status, real.kind) == (200, "application/json")
    assert (simulated.status, simulated.kind) == (real.status, real.kind)
    assert shape(without_text(simulated.json)) == shape(without_text(real.json))
    assert simulated.json.get("usage") == real.json.get("usage")
    assert simulated.json.get("tokens") == real.json.get("tokens")
    assert reasons(simulated.json) == reasons(real.json)


def without_text(answer: Any) -> Any:
    """An answer without what depends on the words that were picked."""
    for choice in answer.get("choices") or ():
        choice["stop_reason"] = None
    return answer


def reasons(answer: Any) -> list[str]:
    return [choice["finish_reason"] for choice in answer.get("choices") or ()]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (COMPLETIONS, {"prompt": "baba beba", "max_tokens": 100}),
        (COMPLETIONS, {"prompt": "baba beba", "max_tokens": 100, "stream_options": USAGE}),
        (
            COMPLETIONS,
            {"prompt": "baba", "max_tokens": 100, "stream_options": {**USAGE, "continuous_usage_stats": True}},
        ),
        (CHAT, {"messages": MESSAGES, "max_tokens": 100}),
        (CHAT, {"messages": MESSAGES, "max_tokens": 100, "stream_options": USAGE}),
        (CHAT, {"messages": MESSAGES, "max_tokens": 100, "stream_options": {**USAGE, "continuous_usage_stats": True}}),
    ],
)
def test_a_stream_has_the_engines_events_in_their_order(both: tuple[str, str], path: str, body: Any) -> None:
    real, simulated = asked(both, path, {**body, "stream": True})
    assert (simulated.status, simulated.kind) == (real.status, real.kind) == (200, "text/event-stream; charset=utf-8")
    # The engine puts several tokens into one event where it lags, so equal events in a row are one here.
    assert kinds(simulated) == kinds(real)
    assert usages(simulated)[-1:] == usages(real)[-1:]


def kinds(answer: Answer) -> list[Any]:
    return [kind for kind, _ in groupby(shape(event) for event in answer.events)]


def usages(answer: Answer) -> list[Any]:
    return [event["usage"] for event in answer.events if isinstance(event, dict) and event.get("usage")]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (COMPLETIONS, {"model": "another", "prompt": "baba"}),
        (CHAT, {"model": "another", "messages": MESSAGES}),
        (COMPLETIONS, {"model": 5, "prompt": "baba"}),
        (COMPLETIONS, {"prompt": [1] * 9000, "max_tokens": 1}),
        (COMPLETIONS, {"prompt": [1] * 8192, "max_tokens": 1}),
        (COMPLETIONS, {"prompt": "baba", "max_tokens": 8193}),
        (CHAT, {"messages": MESSAGES, "max_tokens": 8193}),
        (COMPLETIONS, {"prompt": "baba", "max_tokens": "many"}),
        (COMPLETIONS, {"prompt": "baba", "max_tokens": 1.5}),
        (COMPLETIONS, {"prompt": "baba", "max_tokens": 0}),
        (COMPLETIONS, {"prompt": "baba", "max_tokens": 3, "min_tokens": 9}),
        (COMPLETIONS, {}),
        (COMPLETIONS, {"prompt": ""}),
        (COMPLETIONS, {"prompt": "  "}),
        (COMPLETIONS, {"prompt": 5}),
        (COMPLETIONS, {"prompt": "baba", "n": 0}),
        (COMPLETIONS, {"prompt": "baba", "n": 2, "temperature": 0}),
        (COMPLETIONS, {"prompt": "baba", "temperature": 3}),
        (COMPLETIONS, {"prompt": "baba", "temperature": "hot"}),
        (COMPLETIONS, {"prompt": "baba", "stream": "maybe"}),
        (COMPLETIONS, {"prompt": "baba", "stream_options": USAGE}),
        (COMPLETIONS, {"prompt": "baba", "stop": [""]}),
        (COMPLETIONS, {"prompt": "baba", "stop": 5}),
        (CHAT, {}),
        (CHAT, {"messages": []}),
        (CHAT, {"messages": "baba"}),
        (COMPLETIONS, [1, 2]),
        (COMPLETIONS, b'{"model": '),
    ],
)
def test_what_cannot_be_served_is_refused_as_by_the_engine(both: tuple[str, str], path: str, body: Any) -> None:
    real, simulated = asked(both, path, body)
    assert real.status >= 400
    assert (simulated.status, simulated.kind) == (real.status, real.kind)
    assert shape(simulated.json) == shape(real.json)
    said, meant = simulated.json["error"], real.json["error"]
    assert (said["type"], said["param"], said["code"]) == (meant["type"], meant["param"], meant["code"])


@pytest.mark.parametrize(
    ("path", "body"),
    [("/nowhere", None), (COMPLETIONS, None), ("/v1/models", None), ("/version", None), ("/load", None)],
)
def test_its_other_paths_answer_as_the_engines(both: tuple[str, str], path: str, body: Any) -> None:
    real, simulated = asked(both, path, body)
    assert (simulated.status, simulated.kind, shape(simulated.json)) == (real.status, real.kind, shape(real.json))


def test_health_is_an_empty_answer_of_both(both: tuple[str, str]) -> None:
    for url in both:
        for path in ("/health", "/ping"):
            assert (ask(url, path).status, ask(url, path).text) == (200, "")
