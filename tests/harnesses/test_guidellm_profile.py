"""What guidellm profiles mean before they run, and what is wrong with them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.declared.overrides import apply_overrides
from pytest_llmdbench.declared.workload import load_workload
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.guidellm import Guidellm
from pytest_llmdbench.harnesses.guidellm_keys import known_keys
from pytest_llmdbench.harnesses.guidellm_profile import expected_seconds, stages
from pytest_llmdbench.harnesses.harness import PlannedStage

WORKLOADS = Path(__file__).parents[2] / "workloads" / "guidellm"
V = "0.8.1"
PROMPTS = {"kind": "synthetic_text", "prompt_tokens": 40, "output_tokens": 32}
HALF_A_MINUTE = {"kind": "max_duration", "seconds": 30}


def profile(load: Any, *limits: Any, **sections: Any) -> dict[str, Any]:
    """A profile that the program takes, with whole sections replaced."""
    return {"spec": {"profile": load, "constraints": list(limits), "data": [PROMPTS]} | sections}


def rate(*rates: float, **keys: Any) -> dict[str, Any]:
    return {"kind": "constant", "rate": list(rates), **keys}


def streams(*counts: int) -> dict[str, Any]:
    return {"kind": "concurrent", "streams": list(counts)}


def requests(count: Any) -> dict[str, Any]:
    return {"kind": "max_requests", "count": count}


@pytest.mark.parametrize("kind", ["constant", "poisson", "async"])
def test_rates_and_durations_say_how_many_requests_are_sent(kind: str) -> None:
    planned = stages(profile({"kind": kind, "rate": [1, 2.5]}, HALF_A_MINUTE), V)
    assert planned == [
        PlannedStage(rate=1, duration_s=30, requests=30),
        PlannedStage(rate=2.5, duration_s=30, requests=75),
    ]


def test_one_rate_needs_no_list() -> None:
    assert stages(profile({"kind": "constant", "rate": 3}, HALF_A_MINUTE), V)[0].rate == 3


def test_a_rate_with_a_number_of_requests_has_a_duration() -> None:
    assert stages(profile(rate(4), requests(20)), V) == [PlannedStage(rate=4, duration_s=5, requests=20)]


def test_a_ramp_sends_half_of_what_the_full_rate_would() -> None:
    assert stages(profile(rate(4, rampup_duration=10), HALF_A_MINUTE), V)[0].requests == 100
    assert stages(profile(rate(4, rampup_duration=60), HALF_A_MINUTE), V)[0].requests == 30


def test_fewer_prompts_than_requests_end_a_stage_early() -> None:
    told = profile(rate(1, 10), HALF_A_MINUTE, data_loader={"samples": 100})
    assert [(one.duration_s, one.requests) for one in stages(told, V)] == [(30, 30), (10, 100)]


def test_a_closed_loop_has_a_concurrency() -> None:
    assert stages(profile(streams(2, 8), requests([10, 40])), V) == [
        PlannedStage(concurrency=2, requests=10),
        PlannedStage(concurrency=8, requests=40),
    ]
    assert stages(profile({"kind": "synchronous"}, HALF_A_MINUTE), V) == [PlannedStage(concurrency=1, duration_s=30)]
    most = {"kind": "throughput", "max_concurrency": 64}
    assert stages(profile(most, HALF_A_MINUTE), V) == [PlannedStage(concurrency=64, duration_s=30)]
    replayed = profile({"kind": "replay"}, data=[{"kind": "trace_synthetic", "source": {"kind": "json_file"}}])
    assert stages(replayed, V) == [PlannedStage()]


def test_the_last_limit_of_a_list_holds_for_the_stages_after_it() -> None:
    told = profile(streams(1, 2, 3), {"kind": "max_duration", "seconds": [10, 20]})
    assert [one.duration_s for one in stages(told, V)] == [10, 20, 20]


def test_benchmarks_say_the_same_as_lists() -> None:
    told = profile({"kind": "concurrent"}, {"kind": "max_requests"})
    told["benchmarks"] = [
        {"profile.streams": 32, "constraints[0].count": 320},
        {"profile.streams": 64, "constraints[0].count": 640},
    ]
    assert stages(told, V) == stages(profile(streams(32, 64), requests([320, 640])), V)


def test_a_search_makes_its_stages_itself() -> None:
    told = profile({"kind": "sweep", "sweep_size": 4}, HALF_A_MINUTE)
    assert stages(told, V) == ()
    assert expected_seconds(told, V) is None


def test_the_time_of_a_load_is_known_unless_it_is_a_number_of_answers() -> None:
    short, long = (expected_seconds(profile(streams(*of), HALF_A_MINUTE), V) for of in ((1,), (1, 2)))
    assert short is not None
    assert long is not None
    assert 30 < short < 60
    assert long > short + 30
    assert expected_seconds(profile(streams(1), requests(5)), V) is None


def test_prompts_that_are_made_before_the_load_take_their_time() -> None:
    prefixes = [PROMPTS | {"prefix_buckets": [{"prefix_tokens": 10000, "prefix_count": 1000}]}]
    plain = expected_seconds(profile(rate(1), HALF_A_MINUTE), V)
    made = expected_seconds(profile(rate(1), HALF_A_MINUTE, data=prefixes), V)
    assert plain is not None
    assert made is not None
    assert made > plain + 60


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "'spec.data' must be a list"),
        ({"spec": 5}, "'spec' must be keys and values"),
        ({"spce": {}}, "no key 'spce'; did you mean 'spec'"),
        (profile(5, HALF_A_MINUTE), "'spec.profile' must be keys and values"),
        (profile({}, HALF_A_MINUTE), "'spec.profile.kind' is missing; there is async, concurrent"),
        (profile({"kind": "constnat", "rate": 1}, HALF_A_MINUTE), "did you mean 'constant'"),
        (profile({"kind": "constant"}, HALF_A_MINUTE), "'spec.profile.rate' must be a number above 0"),
        (profile(rate(), HALF_A_MINUTE), "'spec.profile.rate'"),
        (profile(rate(10**400), HALF_A_MINUTE), "'spec.profile.rate'"),
        (profile(rate(float("nan")), HALF_A_MINUTE), "'spec.profile.rate'"),
        (profile(rate(0), HALF_A_MINUTE), "'spec.profile.rate' must be a number above 0 (given: 0)"),
        (profile({"kind": "constant", "rate": "fast"}, HALF_A_MINUTE), "given: 'fast'"),
        (profile(streams(True), HALF_A_MINUTE), "'spec.profile.streams'"),
        (profile({"kind": "concurrent", "streams": 1.5}, HALF_A_MINUTE), "whole numbers"),
        (profile({"kind": "concurrent", "rate": 4}, HALF_A_MINUTE), "no key 'spec.profile.rate'"),
        (profile(rate(1), {"kind": "max_seconds", "seconds": 3}), "'spec.constraints.0.kind' 'max_seconds'"),
        (profile(rate(1), {"kind": "max_duration"}), "'spec.constraints.0.seconds' must be a number above 0"),
        (profile(rate(1), {"kind": "max_duration", "second": 3}), "did you mean 'seconds'"),
        (profile(rate(1), 30), "'spec.constraints.0' must be keys and values"),
        (profile(rate(1), HALF_A_MINUTE, {"kind": "max_error_rate", "rate": 5}), "a share of requests, below 1"),
        (profile(rate(1), constraints=30), "'spec.constraints' must be a list"),
        (profile(rate(1)), "the load would never end"),
        (profile(streams(1), {"kind": "max_errors", "count": 3}), "the load would never end"),
        (profile(rate(1), HALF_A_MINUTE, data=[]), "'spec.data'"),
        (profile(rate(1), HALF_A_MINUTE, data=["x"]), "'spec.data.0'"),
        (profile(rate(1), HALF_A_MINUTE, data=[{"kind": "synthetic"}]), "did you mean 'synthetic_text'"),
        (profile(rate(1), HALF_A_MINUTE, data=[{"kind": "synthetic_text"}]), "'spec.data.0.prompt_tokens'"),
        (profile(rate(1), HALF_A_MINUTE, data=[PROMPTS | {"input_tokens": 4}]), "no key 'spec.data.0.input_tokens'"),
        (profile(rate(1), HALF_A_MINUTE, data_loader={"samples": "all"}), "'spec.data_loader.samples'"),
        (profile(rate(1), HALF_A_MINUTE, backend={"kind": "vllm_python"}), "runs an engine of its own"),
        (profile(rate(1), HALF_A_MINUTE, seed=7), "'spec.seed' must be keys and values"),
        (profile(rate(1), HALF_A_MINUTE, seed={"value": "x"}), "'spec.seed.value' must be a whole number"),
        (profile(rate(1), HALF_A_MINUTE, tokenizer=["x"]), "'spec.tokenizer' must be keys and values"),
        (profile(rate(1, max_concurrency="x"), HALF_A_MINUTE), "'spec.profile.max_concurrency'"),
        (profile(rate(1), HALF_A_MINUTE) | {"benchmarks": 5}, "'benchmarks' must be a list"),
        (profile(rate(1), HALF_A_MINUTE) | {"benchmarks": [5]}, "'benchmarks.0' must be keys and values"),
        (
            profile(rate(1), HALF_A_MINUTE) | {"benchmarks": [{"backend.model": "x"}]},
            "'backend.model' cannot vary from benchmark to benchmark",
        ),
        (
            profile(rate(1)) | {"benchmarks": [{"constraints[0].seconds": 3}]},
            "'constraints[0].seconds' needs a 'spec.constraints.0' with its kind",
        ),
        (
            profile(rate(1), HALF_A_MINUTE)
            | {"benchmarks": [{"profile.rate": 1}, {"profile.rate": 2, "constraints[0].seconds": 3}]},
            "all must set the same keys",
        ),
    ],
)
def test_what_the_program_would_refuse_is_refused_before(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        stages(wrong, V)
    assert message in str(caught.value)


@pytest.mark.parametrize("secret", [{"api_key": "sk-1"}, {"extras": {"headers": {"Authorization": "Bearer sk-1"}}}])
def test_secrets_have_no_place_in_a_workload(secret: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="holds no secrets") as caught:
        stages(profile(rate(1), HALF_A_MINUTE, backend=secret), V)
    assert "sk-1" not in str(caught.value)


def test_other_headers_and_bodies_are_taken() -> None:
    extras = {"headers": {"x-slo-ttft-ms": "200"}, "body": {"temperature": 0, "any": {"thing": 1}}}
    assert len(stages(profile(rate(1), HALF_A_MINUTE, backend={"extras": extras}), V)) == 1


def test_a_key_of_a_later_release_is_refused_by_an_earlier_one() -> None:
    told = profile(rate(1), HALF_A_MINUTE, data_loader={"prefetch_factor": 8})
    assert len(stages(told, "0.8.1")) == 1
    with pytest.raises(DeclarationError, match=r"guidellm 0\.7\.3 has no key 'spec\.data_loader\.prefetch_factor'"):
        stages(told, "0.7.3")


def test_an_override_may_add_any_key_of_the_program() -> None:
    assert {"rampup_duration", "max_concurrency", "turns", "prefetch_factor", "timeout"} <= known_keys("0.8.1")
    assert "prefetch_factor" not in known_keys("0.7.3")


def workloads() -> list[Path]:
    return sorted(WORKLOADS.glob("*.yaml"))


@pytest.mark.parametrize("version", ["0.8.1", "0.7.3"])
@pytest.mark.parametrize("path", workloads(), ids=lambda path: path.stem)
def test_the_shipped_workloads_are_taken_and_their_quick_parts_are_quick(path: Path, version: str) -> None:
    program = Guidellm(version)
    workload = load_workload(path, program.name)
    assert workload.header.description
    assert program.stages(workload.profile)
    quick = apply_overrides(workload.profile, workload.header.quick, program.known_keys, "quick")
    planned = program.stages(quick)
    assert len(planned) >= 1
    expected = program.expected_seconds(quick)
    assert expected is None or expected <= 70
    assert expected is not None or sum(one.requests or 0 for one in planned) <= 150


@pytest.mark.parametrize(
    ("name", "loads"),
    [
        ("sanity_random", [(1, 30, 30)]),
        ("sanity_concurrent", [(2, 30, None)]),
        ("summarization_synthetic", [(1, 120, 120), (2, 120, 240), (4, 120, 480), (8, 120, 960)]),
        ("concurrent-1k-1k", [(of, 600, None) for of in (300, 200, 100, 50, 1)]),
        ("concurrent-heavy-heterogeneous", [(of, 600, None) for of in (300, 200, 100, 50, 1)]),
        ("multi-turn", [(of, None, of * 10) for of in (32, 64, 128, 256, 512)]),
    ],
)
def test_the_shipped_workloads_have_the_loads_of_their_names(name: str, loads: list[Any]) -> None:
    workload = load_workload(WORKLOADS / f"{name}.yaml", "guidellm")
    planned = stages(workload.profile, V)
    assert [(one.rate or one.concurrency, one.duration_s, one.requests) for one in planned] == loads


@pytest.mark.parametrize(
    ("overrides", "planned"),
    [
        ({"rate": 5}, [(5, 120, 600)]),
        ({"rate": [5, 6], "seconds": 10}, [(5, 10, 50), (6, 10, 60)]),
        ({"spec.profile.kind": "poisson", "rate": 1}, [(1, 120, 120)]),
        ({"spec.constraints.0.seconds": 3, "rate": 2}, [(2, 3, 6)]),
        ({"spec.profile.max_concurrency": 4, "rate": 2}, [(2, 120, 240)]),
        ({"samples": 30, "rate": 2}, [(2, 15, 30)]),
    ],
)
def test_what_people_set_reaches_the_load(overrides: dict[str, Any], planned: list[Any]) -> None:
    told = load_workload(WORKLOADS / "summarization_synthetic.yaml", "guidellm").profile
    changed = stages(apply_overrides(told, overrides, known_keys(V), "-o"), V)
    assert [(one.rate, one.duration_s, one.requests) for one in changed] == planned


def test_streams_and_counts_are_set_as_lists_or_single_values() -> None:
    told = load_workload(WORKLOADS / "multi-turn.yaml", "guidellm").profile
    changed = stages(apply_overrides(told, {"streams": 4, "count": 40, "turns": 2}, known_keys(V), "-o"), V)
    assert changed == [PlannedStage(concurrency=4, requests=40)]


@pytest.mark.parametrize("value", [None, [], {}, "x", -1, 10**400, float("nan"), [[1]], {"kind": ["x"]}])
@pytest.mark.parametrize("key", ["profile", "constraints", "data", "data_loader", "tokenizer", "seed", "metrics"])
def test_whatever_stands_in_a_profile_is_no_worse_than_refused(key: str, value: Any) -> None:
    told = profile(rate(1), HALF_A_MINUTE)
    told["spec"][key] = value
    for wrong in (told, told | {"benchmarks": [value]}, told | {"benchmarks": value}):
        with contextlib.suppress(DeclarationError):
            expected_seconds(wrong, V)
