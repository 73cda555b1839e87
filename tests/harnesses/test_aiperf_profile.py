"""What an aiperf profile means before anything runs, and what is refused with the way out."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.aiperf import Aiperf
from pytest_llmdbench.harnesses.harness import PlannedStage

SYNTHETIC = {"endpoint-type": "chat", "streaming": "none", "concurrency": 16, "request-count": 500, "isl": 1000}
RATE = {"request-rate": 10, "request-rate-mode": "constant", "request-count": 100}


@pytest.fixture(scope="module")
def aiperf() -> Aiperf:
    return Aiperf()


@pytest.mark.parametrize(
    ("profile", "stage"),
    [
        pytest.param(SYNTHETIC, PlannedStage(concurrency=16, requests=500), id="closed"),
        pytest.param(RATE, PlannedStage(rate=10.0, duration_s=10.0, requests=100), id="rate"),
        pytest.param({**RATE, "concurrency": 64}, PlannedStage(10.0, None, 10.0, 100), id="rate-held-back"),
        pytest.param({"concurrency": 4, "benchmark-duration": 30}, PlannedStage(None, 4, 30.0, None), id="for-a-time"),
        pytest.param({"num-requests": 5}, PlannedStage(concurrency=1, requests=5), id="one-by-one"),
        pytest.param({"user-centric-rate": 2, "num-users": 8, "benchmark-duration": 60}, PlannedStage(2.0, None, 60.0)),
        pytest.param({"custom-dataset-type": "mooncake_trace", "concurrency": 16}, PlannedStage(), id="replay"),
        pytest.param(
            {"custom-dataset-type": "mooncake_trace", "no-fixed-schedule": True, "concurrency": 16},
            PlannedStage(concurrency=16),
            id="lengths-of-a-trace",
        ),
    ],
)
def test_the_one_stage_says_what_the_load_says(aiperf: Aiperf, profile: dict[str, Any], stage: PlannedStage) -> None:
    assert aiperf.stages(profile) == (stage,)


def test_the_time_is_known_where_the_load_has_one(aiperf: Aiperf) -> None:
    known = aiperf.expected_seconds(RATE)
    assert known is not None
    assert known > 10
    assert aiperf.expected_seconds({**RATE, "warmup-duration": 20}) == known + 20
    assert aiperf.expected_seconds(SYNTHETIC) is None


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        ({"concurency": 4}, r"no flag 'concurency'; did you mean 'concurrency'"),
        ({"concurrency": "10,20,30"}, "several loads in one; vary a load by treatments"),
        ({"isl": "100,200"}, "several loads in one"),
        ({"num-profile-runs": 3}, "several loads in one"),
        ({"search-recipe": "pareto-sweep"}, "several loads in one"),
        ({"config": "other.yaml"}, "several loads in one"),
        ({"request-rate": 0}, "'request-rate' must be a number above 0"),
        ({"request-rate": "fast"}, "'request-rate' must be a number above 0"),
        ({"request-rate": float("nan")}, "'request-rate' must be a number above 0"),
        ({"request-count": 1.5}, "'request-count' must be a whole number"),
        ({"streaming": "yes please"}, "'streaming' takes no value"),
        ({"isl": True}, "'isl' takes one value"),
        ({"isl": [1, 2]}, "'isl' takes one value"),
        ({"extra-inputs": [{"a": 1}]}, "'extra-inputs' takes one value"),
        ({"request-count": 5, "num-requests": 6}, "'num-requests' is another name"),
        ({"server-metrics": "http://x/metrics"}, "records the metrics of its stack itself"),
    ],
)
def test_what_the_program_would_refuse_or_misread_is_told_with_its_key(
    aiperf: Aiperf, profile: dict[str, Any], told: str
) -> None:
    with pytest.raises(DeclarationError, match=told):
        aiperf.stages(profile)


@pytest.mark.parametrize(
    "profile",
    [{"api-key": "x"}, {"header": "Authorization: Bearer x"}, {"header": ["a:b", "X-API-Key:x"]}],
)
def test_secrets_do_not_belong_into_a_workload(aiperf: Aiperf, profile: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="holds no secrets"):
        aiperf.stages(profile)


def test_a_flag_of_another_version_is_refused_by_the_one_that_has_it_not() -> None:
    told = {"no-fixed-schedule": True}
    assert Aiperf("0.13.0").stages(told)
    with pytest.raises(DeclarationError, match=r"aiperf 0\.8\.0 has no flag 'no-fixed-schedule'"):
        Aiperf("0.8.0").stages(told)


def test_a_version_without_a_lock_file_is_refused_with_those_there_are() -> None:
    with pytest.raises(DeclarationError, match=r"0\.13\.0, 0\.8\.0"):
        Aiperf("0.1")
