"""What vllm bench serve's profiles mean before they run, and which ones are refused."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.harness import PlannedStage
from pytest_llmdbench.harnesses.vllm_bench_profile import START_S, arguments, expected_seconds, known_keys, stages


def profile(**keys: Any) -> dict[str, Any]:
    """A profile that the program takes, with more keys; underscores stand for dashes."""
    return {"executable": "benchmark_serving.py", "dataset-name": "random"} | {
        key.replace("_", "-"): value for key, value in keys.items()
    }


def test_a_rate_and_requests_say_how_long_it_takes() -> None:
    told = profile(request_rate=8, num_prompts=200, max_concurrency=32)
    assert stages(told) == (PlannedStage(8.0, 32, 25.0, 200),)
    assert expected_seconds(told) == START_S + 25


@pytest.mark.parametrize("rate", ["inf", float("inf"), None])
def test_a_closed_loop_has_requests_and_concurrency_but_no_time(rate: object) -> None:
    told = profile(request_rate=rate, max_concurrency=4, num_prompts=60)
    assert stages(told) == (PlannedStage(concurrency=4, requests=60),)
    assert expected_seconds(told) is None


def test_requests_are_a_thousand_where_nobody_says() -> None:
    assert stages(profile()) == (PlannedStage(requests=1000),)


def test_a_trace_and_a_rising_rate_have_no_rate_before_they_run() -> None:
    trace = profile(dataset_path="t.jsonl", num_prompts=5, request_rate=3) | {"dataset-name": "timed_trace"}
    rising = profile(ramp_up_strategy="linear", ramp_up_start_rps=1, ramp_up_end_rps=9, num_prompts=5)
    assert stages(trace) == stages(rising) == (PlannedStage(requests=5),)
    assert stages(trace | {"no-self-timed": "none"}) == (PlannedStage(3.0, None, 5 / 3, 5),)


def test_values_are_words_of_a_command_line_as_upstream_has_them() -> None:
    told = profile(
        ignore_eos="none",
        insecure=False,
        trust_remote_code=True,
        top_p=None,
        random_input_len=10,
        custom_output_len=-1,
        goodput=["ttft:100", "tpot:20"],
        metadata="a=b",
        extra_body={"chat_template_kwargs": {"thinking": True}},
        temperature=0,
    )
    assert arguments(told) == [
        "--dataset-name=random",
        "--ignore-eos",
        "--trust-remote-code",
        "--random-input-len=10",
        "--custom-output-len=-1",
        "--goodput",
        "ttft:100",
        "tpot:20",
        "--metadata=a=b",
        '--extra-body={"chat_template_kwargs": {"thinking": true}}',
        "--temperature=0",
    ]


def test_numbers_may_be_texts_as_a_filled_in_token_is() -> None:
    assert stages(profile(request_rate="2", num_prompts="10")) == (PlannedStage(2.0, None, 5.0, 10),)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"request_rat": 5}, r"no flag 'request-rat'; did you mean 'request-rate'"),
        ({"request_rate": 0}, r"'request-rate' must be above 0"),
        ({"request_rate": -1}, r"'request-rate' must be above 0"),
        ({"request_rate": "fast"}, r"'request-rate' takes a number"),
        ({"request_rate": float("nan")}, r"'request-rate' takes a number"),
        ({"request_rate": True}, r"'request-rate' needs a value"),
        ({"num_prompts": 0}, r"'num-prompts' must be 1 or more"),
        ({"num_prompts": 1.5}, r"'num-prompts' takes a whole number"),
        ({"num_prompts": float("inf")}, r"'num-prompts' takes a whole number"),
        ({"num_prompts": [1]}, r"'num-prompts' takes a whole number"),
        ({"max_concurrency": "none"}, r"'max-concurrency' needs a value; null"),
        ({"max_concurrency": 0}, r"'max-concurrency' must be 1 or more"),
        ({"ignore_eos": 3}, r"'ignore-eos' takes no value"),
        ({"dataset_name": "sonet"}, r"none of vllm bench serve's"),
        ({"dataset_name": "sonnet"}, r"gone since version 0\.32.*prefix_repetition"),
        ({"dataset_name": "sharegpt"}, r"needs 'dataset-path'"),
        ({"dataset_name": {"a": 1}}, r"'dataset-name'"),
        ({"dataset_path": ["a"]}, r"'dataset-path' takes a text"),
        ({"goodput": {"ttft": 1}}, r"'goodput' takes a word"),
        ({"executable": 3}, r"'executable' is the name"),
        ({"backend": "openai-embeddings"}, r"makes no tokens"),
        ({"backend": "openai-chat", "endpoint": "/v1/completions"}, r"speaks to '\.\.\./chat/completions'"),
        ({"ramp_up_strategy": "linear"}, r"needs 'ramp-up-start-rps'"),
        (
            {"ramp_up_strategy": "linear", "ramp_up_start_rps": 1, "ramp_up_end_rps": 2, "request_rate": 3},
            r"leave 'request-rate' out",
        ),
        ({"header": "Authorization=Bearer abc"}, r"holds no secrets.*OPENAI_API_KEY"),
        ({"header": ["a=b", "X-API-Key=abc"]}, r"holds no secrets"),
    ],
)
def test_what_the_program_would_refuse_is_refused_with_the_way_out(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message) as caught:
        stages(profile(**keys))
    assert "abc" not in str(caught.value)


def test_every_flag_and_the_executable_are_keys() -> None:
    assert {"executable", "dataset-name", "random-input-len", "ignore-eos", "seed"} <= known_keys()
