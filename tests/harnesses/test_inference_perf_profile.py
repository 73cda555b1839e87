"""What inference-perf's profiles mean before they run, and which ones are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses import inference_perf_profile
from pytest_llmdbench.harnesses.harness import PlannedStage
from pytest_llmdbench.harnesses.inference_perf_keys import known_keys

NEW, OLD = "0.7.0", "0.6.1"
LENGTHS = {"min": 20, "max": 60, "mean": 40, "std_dev": 8}


def profile(**sections: Any) -> dict[str, Any]:
    """A profile that the program takes, with whole sections replaced."""
    return {
        "api": {"type": "completion", "streaming": True},
        "load": {"type": "constant", "interval": 0, "stages": [{"rate": 5, "duration": 10}]},
        "data": {"type": "random", "input_distribution": LENGTHS, "output_distribution": LENGTHS},
    } | sections


def load(kind: str, *of_stages: Any, **keys: Any) -> dict[str, Any]:
    return profile(load={"type": kind, "stages": list(of_stages), **keys})


def stages(profile: dict[str, Any], version: str = NEW) -> Sequence[PlannedStage]:
    return inference_perf_profile.stages(profile, version)


def expected_seconds(profile: dict[str, Any]) -> float | None:
    return inference_perf_profile.expected_seconds(profile, NEW)


@pytest.mark.parametrize("kind", ["constant", "poisson"])
def test_rates_and_durations_say_how_many_requests_are_sent(kind: str) -> None:
    planned = stages(load(kind, {"rate": 5, "duration": 10}, {"rate": 0.5, "duration": 3}))
    assert planned == [
        PlannedStage(rate=5, duration_s=10, requests=50),
        PlannedStage(rate=0.5, duration_s=3, requests=1),
    ]


def test_a_closed_loop_has_requests_and_concurrency_but_no_time() -> None:
    profile = load("concurrent", {"concurrency_level": 4, "num_requests": 60})
    assert stages(profile) == [PlannedStage(concurrency=4, requests=60)]
    assert expected_seconds(profile) is None


def test_replayed_sessions_have_a_concurrency_only() -> None:
    profile = load("trace_session_replay", {"concurrent_sessions": 4}, {"concurrent_sessions": 0})
    profile |= {"data": {"type": "otel_trace_replay"}, "api": {"type": "chat"}}
    assert stages(profile) == [PlannedStage(concurrency=4), PlannedStage()]


def test_a_sweep_makes_its_stages_itself() -> None:
    swept = profile(load={"type": "constant", "sweep": {"type": "linear"}})
    assert stages(swept) == ()
    assert expected_seconds(swept) is None


def test_a_replayed_trace_says_nothing_before_it_runs() -> None:
    traced = profile(data={"type": "random", "trace": {"file": "trace.csv", "format": "AzurePublicDataset"}})
    assert stages(traced) == [PlannedStage()]


def test_pauses_between_stages_are_expected_time() -> None:
    short = load("constant", {"rate": 5, "duration": 10}, {"rate": 5, "duration": 10}, interval=0)
    long = load("constant", {"rate": 5, "duration": 10}, {"rate": 5, "duration": 10}, interval=30)
    told = [expected_seconds(short), expected_seconds(long)]
    assert None not in told
    assert told[1] == pytest.approx((told[0] or 0) + 60)
    assert told[0] == pytest.approx(20 + 8 + 2 * 4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (load("constnat", {"rate": 5, "duration": 10}), "did you mean 'constant'"),
        (load("constant"), "at least one stage"),
        (load("constant", 5), "'load.stages.0' must be keys and values"),
        (load("constant", {"rate": 5}), "'load.stages.0.duration' must be a number above 0"),
        (load("constant", {"rate": 0, "duration": 10}), "'load.stages.0.rate'"),
        (load("constant", {"rate": "fast", "duration": 10}), "'load.stages.0.rate'"),
        (load("constant", {"rate": True, "duration": 10}), "'load.stages.0.rate'"),
        (load("constant", {"rate": 5, "duration": 2.5}), "whole seconds"),
        (load("constant", {"rate": 0.1, "duration": 5}), "less than one request"),
        (load("constant", {"rate": 5, "duration": 5, "num_requests": 3}), "belongs to 'load.type: concurrent'"),
        (load("concurrent", {"num_requests": 5}), "concurrency_level"),
        (load("concurrent", {"num_requests": 5, "concurrency_level": 1.5}), "whole numbers"),
        (load("concurrent", {"num_requests": 5, "concurrency_level": 1}, sweep={"type": "linear"}), "'load.sweep'"),
        (load("trace_session_replay", {"concurrent_sessions": 1}), "does not go with"),
        (profile(api={"type": "chat"}), "cannot send 'data.type: random' to 'api.type: chat'; it can to completion"),
        (profile(data={"type": "radnom"}), "did you mean 'random'"),
        (profile(data={"type": ["random"]}), "none of inference-perf's"),
        (profile(api={"type": {"chat": 1}}), "cannot send"),
        (profile(load={"type": ["constant"]}), "none of inference-perf's"),
        (profile(data={"type": "random", "input_distribution": LENGTHS}), "needs 'data.output_distribution'"),
        (profile(data={"type": "shared_prefix"}), "needs 'data.shared_prefix'"),
        (profile(loda={}), "no key 'loda'; did you mean 'load'"),
        (profile(load=5), "'load' must be keys and values"),
        (
            profile(data={"type": "random", "input_distribution": {"mean": 4, "std": 1}}),
            "no key 'data.input_distribution.std'; did you mean 'std_dev'",
        ),
    ],
)
def test_what_the_program_would_refuse_is_refused_before(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        stages(wrong)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "secret",
    [
        {"server": {"api_key": "sk-1"}},
        {"tokenizer": {"token": "hf_1"}},
        {"api": {"headers": {"Authorization": "Bearer sk-1"}}},
    ],
)
def test_secrets_have_no_place_in_a_workload(secret: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="holds no secrets") as caught:
        stages(profile(**secret))
    assert not any(word in str(caught.value) for word in ("sk-1", "hf_1"))


def test_other_headers_and_free_keys_are_taken() -> None:
    sent = profile(api={"type": "completion", "headers": {"x-slo-ttft-ms": "200"}})
    assert len(stages(sent)) == 1


def test_an_override_may_add_any_key_of_the_program() -> None:
    assert {"num_workers", "worker_max_concurrency", "num_groups", "ignore_eos", "std_dev"} <= known_keys(NEW)
    assert "std" not in known_keys(NEW)


@pytest.mark.parametrize(
    "newer",
    [
        profile(load={"type": "constant", "request_retries": 2, "stages": [{"rate": 5, "duration": 10}]}),
        profile(tokenizer={"load_timeout": 5}),
        profile(api={"type": "completion", "session_token_header_key": "x"}),
        profile(
            api={"type": "chat"},
            load={"type": "trace_session_replay", "stages": [{"concurrent_sessions": 1}]},
            data={"type": "weka_trace_replay", "weka_trace_replay": {"filter": "lambda x: True"}},
        ),
        profile(
            api={"type": "chat"},
            load={"type": "trace_session_replay", "stages": [{"concurrent_sessions": 1}]},
            data={"type": "synthetic_agentic"},
        ),
    ],
)
def test_an_older_version_refuses_what_only_the_newer_one_has_and_names_that(newer: dict[str, Any]) -> None:
    assert len(stages(newer, NEW)) == 1
    with pytest.raises(DeclarationError, match=r"inference-perf 0\.6\.1 has no .* yet; 0\.7\.0 has"):
        stages(newer, OLD)


def test_an_override_may_add_only_what_the_version_has() -> None:
    assert known_keys(OLD) < known_keys(NEW)
    assert "request_retries" in known_keys(NEW) - known_keys(OLD)
    assert "filter" in known_keys(OLD)
