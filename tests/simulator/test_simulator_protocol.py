"""What a client of the simulated server meets: the protocol of a vLLM server, over real sockets."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from pytest_llmdbench.simulator.words import IMAGE_TOKENS, count_tokens

Simulator = Any


def read_until(client: Any, marker: bytes) -> bytes:
    data = b""
    while marker not in data:
        received = client.recv(65536)
        assert received, f"closed after {data[-200:]!r}"
        data += received
    return data


def test_a_completion_has_max_tokens_words_and_counts_them(simulator: Simulator) -> None:
    reply = simulator.complete("one two three", model="tiny", max_tokens=7, temperature=0, top_k=-1, unheard_of=1)
    assert reply.status == 200
    answer = reply.json
    assert count_tokens(answer["choices"][0]["text"]) == 7
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["object"] == "text_completion"
    assert {key: answer["usage"][key] for key in ("prompt_tokens", "completion_tokens", "total_tokens")} == {
        "prompt_tokens": 3,
        "completion_tokens": 7,
        "total_tokens": 10,
    }


def test_max_tokens_is_16_for_a_completion_and_the_rest_of_the_context_for_a_chat(simulator: Simulator) -> None:
    assert simulator.complete("a").json["usage"]["completion_tokens"] == 16
    chat = simulator.chat([{"role": "user", "content": " ".join(["a"] * 2040)}]).json
    assert chat["usage"]["completion_tokens"] == 8
    longer = simulator.complete(" ".join(["a"] * 2040), max_tokens=100).json
    assert longer["usage"]["completion_tokens"] == 8


def test_a_streamed_completion_has_an_event_per_token_then_usage_then_done(simulator: Simulator) -> None:
    reply = simulator.complete("a b", max_tokens=5, stream=True, stream_options={"include_usage": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.body.endswith(b"data: [DONE]\n\n")
    *events, last = reply.events
    text = "".join(event["choices"][0]["text"] for event in events)
    assert text == simulator.complete("a b", max_tokens=5).json["choices"][0]["text"]
    assert [event["choices"][0]["finish_reason"] for event in events] == [None] * 4 + ["length"]
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}


def test_a_streamed_chat_begins_with_the_role(simulator: Simulator) -> None:
    reply = simulator.chat([{"role": "user", "content": "hello"}], max_completion_tokens=3, stream=True)
    events = reply.events
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert count_tokens("".join(event["choices"][0]["delta"]["content"] for event in events)) == 3
    assert all(event["object"] == "chat.completion.chunk" and "usage" not in event for event in events)
    assert len({event["id"] for event in events}) == 1


def test_a_whole_chat_answer_is_an_assistant_message(simulator: Simulator) -> None:
    answer = simulator.chat([{"role": "user", "content": "hello"}], max_tokens=3).json
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert count_tokens(answer["choices"][0]["message"]["content"]) == 3


def test_continuous_usage_counts_along(simulator: Simulator) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    events = simulator.chat(
        [{"role": "user", "content": "a b"}], max_tokens=3, stream=True, stream_options=options
    ).events
    assert [event["usage"]["completion_tokens"] for event in events] == [0, 1, 2, 3, 3]


def test_n_and_several_prompts_give_one_choice_each(simulator: Simulator) -> None:
    answer = simulator.complete(["a b", "c"], n=2, max_tokens=4).json
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert answer["usage"]["prompt_tokens"] == 3
    assert answer["usage"]["completion_tokens"] == 16
    assert len({choice["text"] for choice in answer["choices"]}) == 4
    reply = simulator.complete(["a b", "c"], n=2, max_tokens=4, stream=True)
    texts = dict.fromkeys(range(4), "")
    for event in reply.events:
        texts[event["choices"][0]["index"]] += event["choices"][0]["text"]
    assert list(texts.values()) == [choice["text"] for choice in answer["choices"]]


def test_token_ids_are_prompts_too(simulator: Simulator) -> None:
    assert simulator.complete([1, 2, 3, 4], max_tokens=1).json["usage"]["prompt_tokens"] == 4
    assert simulator.complete([[1, 2], [3]], max_tokens=1).json["usage"]["prompt_tokens"] == 3


def test_images_in_a_chat_count_a_fixed_number_of_tokens(simulator: Simulator) -> None:
    parts = [{"type": "text", "text": "what is this"}, {"type": "image_url", "image_url": {"url": "data:,x"}}]
    answer = simulator.chat([{"role": "user", "content": parts}], max_tokens=1).json
    assert answer["usage"]["prompt_tokens"] == 3 + IMAGE_TOKENS


def test_a_stop_sequence_is_reported_and_left_out(simulator: Simulator) -> None:
    words = simulator.complete("a b", max_tokens=10).json["choices"][0]["text"].split()
    choice = simulator.complete("a b", max_tokens=10, stop=words[4]).json["choices"][0]
    assert choice == {**choice, "text": " ".join(words[:4]) + " ", "finish_reason": "stop", "stop_reason": words[4]}
    events = simulator.complete("a b", max_tokens=10, stop=words[4], stream=True).events
    assert "".join(event["choices"][0]["text"] for event in events) == " ".join(words[:4]) + " "
    assert events[-1]["choices"][0]["stop_reason"] == words[4]


@pytest.mark.parametrize(
    ("body", "kind", "param", "said"),
    [
        (b"{", "Bad Request", "body.1", "JSON decode error"),
        (b"[1]", "Bad Request", "body", "valid dictionary"),
        ({}, "BadRequestError", "prompt", "must be provided and non-empty"),
        ({"prompt": ""}, "BadRequestError", "prompt", "must be provided and non-empty"),
        ({"prompt": " "}, "BadRequestError", None, "prompt cannot be empty"),
        ({"prompt": {"a": 1}}, "Bad Request", "body.prompt", "Input should be"),
        ({"prompt": [-1]}, "Bad Request", "body.prompt", "Input should be"),
        ({"prompt": "a", "max_tokens": 0}, "BadRequestError", "max_tokens", "max_tokens must be at least 1, got 0."),
        ({"prompt": "a", "max_tokens": "x"}, "Bad Request", "body.max_tokens", "valid integer"),
        ({"prompt": "a", "max_tokens": 1.5}, "Bad Request", "body.max_tokens", "valid integer"),
        ({"prompt": "a", "min_tokens": 20}, "BadRequestError", None, "less than or equal to max_tokens=16, got 20"),
        ({"prompt": "a", "n": 0}, "BadRequestError", None, "n must be at least 1"),
        ({"prompt": "a", "n": 2, "temperature": 0}, "BadRequestError", None, "greedy"),
        ({"prompt": "a", "temperature": -1}, "BadRequestError", "temperature", "non-negative"),
        ({"prompt": "a", "stop": [""]}, "BadRequestError", None, "empty string"),
        ({"prompt": "a", "stream": "maybe"}, "Bad Request", "body.stream", "valid boolean"),
        (
            {"prompt": "a", "stream_options": {"include_usage": True}},
            "BadRequestError",
            "stream_options",
            "stream=True",
        ),
        (
            {"prompt": "a", "max_tokens": 2049},
            "BadRequestError",
            "max_tokens",
            "cannot be greater than max_model_len=2048",
        ),
        ({"prompt": "a " * 2049}, "BadRequestError", "input_tokens", "maximum context length is 2048 tokens"),
        ({"prompt": "a " * 2048}, "BadRequestError", "max_tokens", "max_tokens must be at least 1, got 0."),
    ],
)
def test_a_request_that_cannot_be_served_gets_400_as_from_vllm(
    simulator: Simulator, body: Any, kind: str, param: str | None, said: str
) -> None:
    reply = simulator.ask("POST", "/v1/completions", body)
    assert reply.status == 400
    error = reply.json["error"]
    assert (error["type"], error["param"], error["code"]) == (kind, param, 400)
    assert said in error["message"]


@pytest.mark.parametrize("messages", [None, [], "hello", [{"content": "no role"}], [{"role": "user", "content": 5}]])
def test_messages_that_are_none_get_400(simulator: Simulator, messages: Any) -> None:
    assert simulator.chat(messages).status == 400


@pytest.mark.parametrize("given", [{"max_tokens": "3"}, {"max_tokens": 3.0}, {"max_tokens": True}, {"stream": "true"}])
def test_what_vllm_takes_for_a_number_or_a_flag_is_taken(simulator: Simulator, given: dict[str, Any]) -> None:
    assert simulator.complete("a", **given).status == 200


def test_another_model_gets_404_with_the_name_of_the_served_one(simulator: Simulator) -> None:
    reply = simulator.complete("a", model="gpt")
    assert reply.status == 404
    assert reply.json == {
        "error": {
            "message": "The model `gpt` does not exist. Valid aliases: tiny.",
            "type": "NotFoundError",
            "param": "model",
            "code": 404,
        }
    }


def test_other_paths_methods_and_media_types_are_refused(simulator: Simulator) -> None:
    nowhere = simulator.ask("GET", "/nowhere")
    assert (nowhere.status, nowhere.json) == (404, {"detail": "Not Found"})
    assert simulator.ask("GET", "/v1/completions").status == 405
    assert simulator.ask("POST", "/v1/completions", b"prompt=a", {"content-type": "text/plain"}).status == 400


def test_the_side_routes_of_vllm_are_there(simulator: Simulator) -> None:
    models = simulator.ask("GET", "/v1/models").json
    assert [(card["id"], card["max_model_len"]) for card in models["data"]] == [("tiny", 2048)]
    assert simulator.ask("GET", "/health").status == simulator.ask("POST", "/ping").status == 200
    assert simulator.ask("GET", "/version").json == {"version": "0.32.0"}
    assert simulator.ask("GET", "/load").json == {"server_load": 0}
    tokens = simulator.ask("POST", "/tokenize", {"prompt": "baba beba Zebra"}).json
    assert (tokens["count"], tokens["tokens"][:2], tokens["max_model_len"]) == (3, [0, 1], 2048)
    chat = simulator.ask("POST", "/tokenize", {"messages": [{"role": "user", "content": "a b"}]}).json
    assert chat["count"] == 2


@pytest.mark.parametrize("path", ["/health", "/metrics", "/v1/models"])
def test_head_answers_like_get_without_the_body(simulator: Simulator, path: str) -> None:
    reply = simulator.ask("HEAD", path)
    assert (reply.status, reply.body) == (200, b"")


def request(body: bytes, *headers: str) -> bytes:
    lines = ["POST /v1/completions HTTP/1.1", "Host: x", "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def test_one_connection_serves_pipelined_requests_in_order(simulator: Simulator) -> None:
    bodies = [
        json.dumps({"prompt": "a " * count, "max_tokens": 1, "stream": count == 2}).encode() for count in (3, 2, 4)
    ]
    with simulator.connect() as client:
        client.sendall(b"".join(request(body, f"Content-Length: {len(body)}") for body in bodies))
        data = b""
        while data.count(b'"finish_reason":"length"') < 3:
            data += client.recv(65536)
    assert data.index(b'"prompt_tokens":3') < data.index(b"data: [DONE]") < data.index(b'"prompt_tokens":4')


def test_a_body_in_chunks_is_read_however_it_arrives(simulator: Simulator) -> None:
    body = json.dumps({"prompt": "a b c", "max_tokens": 1}).encode()
    chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:])) + b"0\r\n\r\n"
    message = request(chunks, "Transfer-Encoding: chunked")
    with simulator.connect() as client:
        for at in range(0, len(message), 7):
            client.sendall(message[at : at + 7])
        assert b'"prompt_tokens":3' in read_until(client, b"kv_transfer_params")


def test_expect_100_continue_is_answered_before_the_body_is_sent(simulator: Simulator) -> None:
    body = json.dumps({"prompt": "a", "max_tokens": 1}).encode()
    with simulator.connect() as client:
        client.sendall(request(b"", f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert b"200 OK" in read_until(client, b"kv_transfer_params")


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(simulator: Simulator) -> None:
    with simulator.connect() as client:
        client.sendall(request(b"", f"Content-Length: {10**10}"))
        assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "message",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n"],
)
def test_what_is_not_http_gets_400_and_is_closed(simulator: Simulator, message: bytes) -> None:
    with simulator.connect() as client:
        client.sendall(message)
        data = b""
        while received := client.recv(65536):
            data += received
    assert data.startswith(b"HTTP/1.1 400 ")


def test_a_client_of_http_1_0_gets_its_stream_unframed_and_then_the_end(simulator: Simulator) -> None:
    body = json.dumps({"prompt": "a", "max_tokens": 2, "stream": True}).encode()
    with simulator.connect() as client:
        client.sendall(request(body, f"Content-Length: {len(body)}").replace(b"HTTP/1.1", b"HTTP/1.0"))
        data = b""
        while received := client.recv(65536):
            data += received
    head, _, events = data.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert events.startswith(b"data: {")
    assert events.endswith(b"data: [DONE]\n\n")


def test_the_same_prompt_gets_the_same_answer_and_another_one_another(simulator: Simulator) -> None:
    texts = [simulator.complete(prompt, max_tokens=9).json["choices"][0]["text"] for prompt in ("a b", "a b", "a c")]
    assert texts[0] == texts[1] != texts[2]


def test_metrics_measure_what_was_served(simulate: Any) -> None:
    server = simulate(model="tiny", itl=0.002, ttft=0.01, block_size=4)
    for _ in range(3):
        server.complete("a b c d e f g h i", max_tokens=5, stream=True)
    label = '{engine="0",model_name="tiny"}'
    assert server.metric(f"vllm:prompt_tokens_total{label}") == 27
    assert server.metric(f"vllm:generation_tokens_total{label}") == 15
    assert server.metric(f"vllm:prefix_cache_queries_total{label}") == 27
    assert server.metric(f"vllm:prefix_cache_hits_total{label}") == 16
    assert server.metric('vllm:request_success_total{engine="0",finished_reason="length"') == 3
    assert server.metric(f"vllm:time_to_first_token_seconds_count{label}") == 3
    assert server.metric(f"vllm:inter_token_latency_seconds_count{label}") == 12
    assert server.metric(f"vllm:time_to_first_token_seconds_sum{label}") >= 0.03
    assert server.metric(f"vllm:e2e_request_latency_seconds_sum{label}") >= 3 * 0.018
    assert server.metric(f"vllm:num_requests_running{label}") == 0


def test_stats_tell_the_true_latencies_and_a_reset_begins_anew(simulate: Any) -> None:
    server = simulate(itl=0.002, ttft=0.01)
    for _ in range(4):
        server.complete("a b c", max_tokens=5)
    stats = server.stats()
    assert stats["requests"] == {"seen": 4, "finished": 4, "aborted": 0, "errored": 0, "running": 0, "waiting": 0}
    assert (stats["tokens"]["prompt"], stats["tokens"]["output"]) == (12, 20)
    assert stats["scheduled"]["ttft_s"]["mean"] == pytest.approx(0.01)
    assert stats["scheduled"]["itl_s"]["count"] == 16
    assert stats["sent"]["e2e_s"]["mean"] >= stats["scheduled"]["e2e_s"]["mean"]
    assert stats["cpu_s"] > 0
    assert isinstance(stats["lateness"]["overloaded"], bool)
    server.ask("POST", "/sim/reset")
    fresh = server.stats()
    assert fresh["requests"]["seen"] == fresh["lateness"]["steps"] == 0
    assert fresh["scheduled"]["ttft_s"]["mean"] is None


def test_the_prefix_cache_can_be_dropped_when_nothing_runs(simulate: Any) -> None:
    server = simulate(itl=0.0, block_size=4)
    prompt = "a b c d e f g h i"
    for path in ("/reset_prefix_cache", "/sim/reset?prefix_cache=1"):
        server.complete(prompt, max_tokens=1)
        assert True in server.ask("POST", path).json.values()
    server.complete(prompt, max_tokens=1)
    assert server.metric("vllm:prefix_cache_hits_total") == 0


def test_tokens_can_be_merged_into_fewer_events(simulate: Any) -> None:
    events = simulate(itl=0.0, tokens_per_event=4).complete("a", max_tokens=10, stream=True).events
    assert [count_tokens(event["choices"][0]["text"]) for event in events] == [4, 4, 2]


def test_a_client_that_goes_away_frees_its_place(simulate: Any) -> None:
    server = simulate(itl=0.01, max_num_seqs=1)
    body = json.dumps({"prompt": "a", "max_tokens": 10_000, "stream": True}).encode()
    with server.connect() as client:
        client.sendall(request(body, f"Content-Length: {len(body)}"))
        read_until(client, b"data: ")
        assert server.ask("GET", "/load").json == {"server_load": 1}
    assert server.complete("b", max_tokens=1).status == 200
    stats = server.stats()
    assert (stats["requests"]["aborted"], stats["requests"]["running"]) == (1, 0)


def test_a_waiting_client_that_goes_away_is_forgotten(simulate: Any) -> None:
    server = simulate(itl=5.0)
    body = json.dumps({"prompt": "a"}).encode()
    with server.connect() as client:
        client.sendall(request(body, f"Content-Length: {len(body)}"))
        while not server.ask("GET", "/load").json["server_load"]:
            time.sleep(0.01)
    deadline = time.monotonic() + 10
    while server.ask("GET", "/load").json["server_load"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.ask("GET", "/load").json == {"server_load": 0}


def test_metrics_count_answers_that_the_engine_never_saw(simulate: Any) -> None:
    server = simulate(model="tiny", faults={"error_rate": 1.0})
    for _ in range(3):
        server.complete("a b", max_tokens=1)
    assert server.metric('http_requests_total{handler="/v1/completions",method="POST",status="5xx"}') == 3
