"""A result that is written as Benchmark Reports and read again is the same, number for number."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llmdbench.results.benchmark_report import read, write
from pytest_llmdbench.results.benchmark_report.validation import check
from pytest_llmdbench.results.loading import load_yaml
from pytest_llmdbench.results.result import PERCENTILES, Distribution, Requests, Result, Stage
from tests.results.recorded_runs import measured, record, validator

SECONDS = st.floats(1e-9, 1e6)
LENGTHS = st.floats(0, 1e7)
COUNT = st.integers(0, 2**40)


def distributions(values: st.SearchStrategy[float]) -> st.SearchStrategy[Distribution]:
    known = st.none() | values
    made = st.builds(
        Distribution,
        mean=known,
        minimum=known,
        maximum=known,
        percentiles=st.dictionaries(st.sampled_from([*PERCENTILES, 97.5, 99.99]), values, max_size=5),
        stddev=known,
        count=st.none() | COUNT,
    )
    # What has neither a mean nor a percentile is no distribution.
    return made.filter(lambda one: one.mean is not None or bool(one.percentiles)).map(in_order)


def in_order(one: Distribution) -> Distribution:
    percentiles = dict(sorted(one.percentiles.items()))
    return Distribution(one.mean, one.minimum, one.maximum, percentiles, one.stddev, one.count)


NUMBERS = ("duration_s", "asked_rate", "achieved_rate", "prompt_tokens_per_second", "output_tokens_per_second",
           "requests_per_second", "tokens_per_event")  # fmt: skip
STAGES = st.builds(
    Stage,
    requests=st.builds(
        Requests,
        completed=COUNT,
        failed=st.dictionaries(st.sampled_from(["500 - Internal Server Error", "timeout", "a.b", "ünknown"]), COUNT),
        unfinished=COUNT,
    ),
    **{name: st.none() | SECONDS for name in NUMBERS},
    concurrency=st.none() | st.integers(1, 10_000),
    prompt_tokens=st.none() | COUNT,
    output_tokens=st.none() | COUNT,
    latencies=st.dictionaries(
        st.sampled_from(["ttft", "tpot", "itl", "e2e", "normalized_tpot", "queue"]), distributions(SECONDS)
    ),
    lengths=st.dictionaries(st.sampled_from(["prompt", "output"]), distributions(LENGTHS)),
    schedule_lag=st.none() | distributions(st.floats(-1, 1e6)).map(lambda one: Distribution(one.mean, count=one.count)),
)  # fmt: skip


def without_empty(stage: Stage) -> Stage:
    lag = stage.schedule_lag
    return stage if lag is None or lag.mean is not None else Stage(**{**as_fields(stage), "schedule_lag": None})


def as_fields(stage: Stage) -> dict[str, Any]:
    return {name: getattr(stage, name) for name in Stage.__slots__}


RESULTS = st.builds(
    Result,
    harness=st.sampled_from(["inference-perf", "guidellm", "aiperf", "vllm-benchmark", "own"]),
    harness_version=st.just("1.2.3"),
    whole=st.just(Stage(Requests(1))),
    stages=st.lists(STAGES.map(without_empty), min_size=1, max_size=2).map(tuple),
    scores=st.dictionaries(st.sampled_from(["hellaswag.acc", "mmlu.acc"]), st.floats(0, 1)),
    startup=st.dictionaries(st.just("load_weights_s"), SECONDS),
    economy=st.dictionaries(st.just("cost"), SECONDS),
    elapsed_s=st.none() | st.floats(0, 1e6).map(lambda seconds: round(seconds, 3)),
    exit_code=st.none() | st.integers(-64, 255),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(result=RESULTS)
def test_any_result_comes_back_as_it_was_and_every_report_is_valid(result: Result) -> None:
    with tempfile.TemporaryDirectory() as place:
        files = write(record(Path(place) / "case", result))
        for number, file in enumerate(files):
            part = load_yaml(file)
            validator(check(part)).validate(part.data)
            report = read(file)
            assert (report.own, report.stage, report.notes) == (True, number, ())
            assert report.result.whole == result.stages[number]
            again = report.result
            assert (again.scores, again.startup, again.exit_code) == (result.scores, result.startup, result.exit_code)
            assert (again.economy, again.elapsed_s) == (result.economy, result.elapsed_s)


def test_a_genuine_run_comes_back_as_it_was(tmp_path: Path) -> None:
    result = measured()
    files = write(record(tmp_path / "case", result, treatment="rate5", factors={"load.stages.0.rate": 5, "on": True}))
    reports = [read(file) for file in files]
    assert tuple(one.result.whole for one in reports) == result.stages
    assert reports[1].facts["treatment"] == "rate5"
    assert reports[1].facts["factors"] == {"load.stages.0.rate": 5, "on": True}
    assert reports[1].facts["workload"] == "sanity_random"
