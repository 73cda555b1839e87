"""Benchmark Reports that we write: valid for others, complete, the same when made again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.benchmark_report import read, write
from pytest_llmdbench.results.benchmark_report.validation import check
from pytest_llmdbench.results.loading import load_yaml
from pytest_llmdbench.results.result import Distribution, Requests, Result, Stage
from tests.results.recorded_runs import measured, record, validator

VERDICT = {
    "outcome": "FAIL",
    "reason": "1 of 1 objectives missed",
    "objectives": [{"objective": "ttft.p99 <= 50 ms", "bound": 0.05, "value": 0.066, "met": False, "shown": "66 ms"}],
}
SERVER = {
    "metrics": {
        "targets": [{"label": "decode-0", "role": "decode", "pod": "ms-decode-0", "scrapes": 4, "restarts": 1}],
        "components": [
            {
                "label": "decode-0",
                "role": "decode",
                "pod": "ms-decode-0",
                "aggregate": {
                    "running": {"kind": "gauge", "unit": "requests", "mean": 3.5, "max": 8, "p99.9": 7.5, "count": 4},
                    "kv_cache_usage": {"kind": "gauge", "unit": "fraction", "mean": 0.25},
                    "preemptions": {"kind": "counter", "unit": "preemptions", "increase": 2},
                    "prefix_cache_hit_rate": {"kind": "rate", "unit": "fraction", "value": 0.8},
                    "ttft": {"kind": "histogram", "unit": "s", "mean": 0.05, "buckets": [[0.1, 4]]},
                },
                "series": {
                    "running": {"unit": "requests", "points": [[1795428397.0, 3], [1795428412.0, 4]]},
                    "preemptions": {"unit": "preemptions", "points": [[1795428397.0, 0], [1795428412.0, 2]]},
                },
            }
        ],
        "totals": {"preemptions": 2, "prefix_cache_hit_rate": 0.8, "running.max": 8},
    }
}


def valid(path: Path) -> Any:
    """The report in a file, after it was held against the published schema of its version and the rules beside it."""
    report = load_yaml(path)
    validator(check(report)).validate(report.data)
    return report.data


@pytest.mark.parametrize(
    "scenario", ["local", "gpu", "cpu", "pd-disaggregation", "optimized-baseline", "wide-ep-lws", "simulated"]
)
def test_a_run_on_any_stack_becomes_valid_reports(scenario: str, tmp_path: Path) -> None:
    folder = record(tmp_path / "case", measured(), scenario=scenario, verdict=VERDICT)
    for path in write(folder):
        valid(path)


def test_there_is_one_report_a_stage_where_the_tools_of_llm_d_benchmark_look(tmp_path: Path) -> None:
    folder = record(tmp_path / "case", measured())
    written = write(folder)
    assert written == sorted(folder.glob("benchmark_report_v0.2,_*.yaml"))
    reports = [valid(path) for path in written]
    assert [one["scenario"]["load"]["standardized"]["stage"] for one in reports] == [0, 1]
    assert [one["scenario"]["load"]["standardized"]["rate_qps"] for one in reports] == [5.0, 10.0]
    assert len({one["run"]["eid"] for one in reports}) == 1
    assert len({one["run"]["uid"] for one in reports}) == 2


def test_reports_made_again_are_the_same(tmp_path: Path) -> None:
    folder = record(tmp_path / "case", measured())
    first = [path.read_bytes() for path in write(folder)]
    assert [path.read_bytes() for path in write(folder)] == first


def test_repetitions_of_a_case_have_ids_of_their_own_and_share_that_of_the_run(tmp_path: Path) -> None:
    first, second = (valid(write(record(tmp_path / name, measured()))[0])["run"] for name in ("case", "case.2"))
    assert first["uid"] != second["uid"]
    assert first["eid"] == second["eid"]


def test_numbers_are_in_the_units_that_the_format_asks_for(tmp_path: Path) -> None:
    report = valid(write(record(tmp_path / "case", measured()))[1])
    aggregate = report["results"]["request_performance"]["aggregate"]
    assert aggregate["requests"] | {"input_length": 0, "output_length": 0} == {
        "total": 100, "failures": 0, "incomplete": 0, "input_length": 0, "output_length": 0,
    }  # fmt: skip
    latency = aggregate["latency"]
    assert latency["time_to_first_token"]["units"] == "s"
    assert latency["time_to_first_token"]["p99p9"] == pytest.approx(0.05494837)
    assert latency["time_per_output_token"]["units"] == "s/token"
    assert aggregate["throughput"]["total_token_rate"]["mean"] == pytest.approx(411.683474 + 309.827638)


def test_time_is_when_the_program_ran_and_how_long(tmp_path: Path) -> None:
    result = replace(measured(), started="2026-11-27T10:15:00.250+00:00", elapsed_s=61.5)
    time = valid(write(record(tmp_path / "case", result))[0])["run"]["time"]
    assert time == {
        "start": "2026-11-27T10:15:00.250000+00:00", "end": "2026-11-27T10:16:01.750000+00:00", "duration": "PT61.5S",
    }  # fmt: skip


def test_pods_of_a_disaggregated_stack_are_components_with_roles_and_gpus(tmp_path: Path) -> None:
    report = valid(write(record(tmp_path / "case", measured(), scenario="pd-disaggregation"))[0])
    decode, prefill, picker = (one["standardized"] for one in report["scenario"]["stack"])
    assert (decode["role"], decode["replicas"], decode["accelerator"]["count"]) == ("decode", 2, 2)
    assert decode["accelerator"]["parallelism"]["tp"] == 2
    assert (prefill["role"], prefill["replicas"], prefill["accelerator"]["count"]) == ("prefill", 1, 1)
    assert picker["kind"] == "generic"
    ids = [one["metadata"]["cfg_id"] for one in report["scenario"]["stack"]]
    assert len({*ids}) == 3
    assert all(len(one) == 64 for one in ids)


def test_verdict_treatment_and_factors_are_where_further_keys_are_legal(tmp_path: Path) -> None:
    folder = record(
        tmp_path / "case", measured(), verdict=VERDICT, treatment="rate5", factors={"load.stages.0.rate": 5}
    )
    block = valid(write(folder)[0])["results"]["observability"]["llmdbench"]
    assert block["verdict"]["outcome"] == "FAIL"
    assert block["verdict"]["objectives"][0]["objective"] == "ttft.p99 <= 50 ms"
    assert (block["treatment"], block["factors"]) == ("rate5", {"load.stages.0.rate": 5})


def test_what_servers_counted_is_there_with_the_version_that_its_series_need(tmp_path: Path) -> None:
    report = valid(write(record(tmp_path / "case", replace(measured(), server=SERVER)))[0])
    assert report["version"] == "0.2.1"
    component = report["results"]["observability"]["components"][0]
    assert (component["component_label"], component["replica_id"]) == ("decode-0", "ms-decode-0")
    assert component["aggregate"]["running_requests"] == {"units": "count", "mean": 3.5, "max": 8.0, "p99p9": 7.5}
    assert component["aggregate"]["cache_hit_rate"] == {"units": "fraction", "mean": 0.8}
    assert component["time_series"]["num_preemptions"]["series"][1]["value"] == 2
    assert report["results"]["component_health"] == [{"component_label": "decode-0", "total_restarts": 1}]
    assert report["results"]["observability"]["llmdbench"]["server"]["running.max"] == 8


@pytest.mark.parametrize(
    "server",
    [
        {},
        {"metrics": None},
        {"metrics": {"components": "none"}},
        {"metrics": {"components": [None, {"aggregate": 3, "series": {"running": {"points": [[1e99, 1], "x", [1]]}}}]}},
        {"metrics": {"components": [{"aggregate": {"running": {"mean": float("nan")}, "waiting": {"mean": "many"}}}]}},
        {"metrics": {"targets": [{"restarts": "often"}], "totals": {"running": float("inf")}}},
    ],
    ids=str,
)
def test_a_stack_that_said_nothing_or_nonsense_is_no_reason_for_no_report(
    server: dict[str, Any], tmp_path: Path
) -> None:
    assert valid(write(record(tmp_path / "case", replace(measured(), server=server)))[0])["version"] == "0.2"


def test_a_run_with_every_request_failed_is_reported_as_counts_alone(tmp_path: Path) -> None:
    report = valid(write(record(tmp_path / "case", measured("fail-404-model")))[0])
    aggregate = report["results"]["request_performance"]["aggregate"]
    assert aggregate["requests"] == {"total": 50, "failures": 50, "incomplete": 0}
    assert aggregate["latency"] == {}
    assert "load" not in report["scenario"]


def test_scores_of_an_accuracy_run_are_kept(tmp_path: Path) -> None:
    result = Result("lm-eval", "0.4.13", Stage(Requests(20)), purpose="accuracy", scores={"hellaswag.acc": 0.55})
    path, *others = write(record(tmp_path / "case", result))
    assert not others
    valid(path)
    again = read(path).result
    assert (again.purpose, again.scores) == ("accuracy", {"hellaswag.acc": 0.55})


def test_a_distribution_of_percentiles_alone_is_kept_though_the_format_asks_for_a_mean(tmp_path: Path) -> None:
    stage = Stage(Requests(9), latencies={"ttft": Distribution(percentiles={99.0: 0.5})})
    path = write(record(tmp_path / "case", Result("inference-perf", "0.7.0", stage, (stage,))))[0]
    valid(path)
    assert read(path).result.whole == stage


def test_no_secret_gets_into_a_report(tmp_path: Path) -> None:
    folder = record(
        tmp_path / "case",
        measured(),
        workload={
            "server": {"api_key": "hunter2"},
            "tokenizer": {"token": "hunter2"},
            "cmd": "--header=Bearer hunter2",
        },
        factors={"tokenizer.token": "hunter2", "url": "https://me:hunter2@host/v1"},
    )
    assert all(b"hunter2" not in path.read_bytes() for path in write(folder))


def test_what_merely_sounds_like_a_secret_stays(tmp_path: Path) -> None:
    folder = record(tmp_path / "case", measured(), workload={"max_tokens": 5, "tokenizer": {"name": "org/model"}})
    config = valid(write(folder)[0])["scenario"]["load"]["native"]["config"]
    assert config == {"max_tokens": 5, "tokenizer": {"name": "org/model"}}


def test_a_run_without_a_result_says_so(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="holds no result; the run ended before its result was written"):
        write(record(tmp_path / "case", None))


def test_a_recorded_scenario_that_was_spoilt_is_named(tmp_path: Path) -> None:
    folder = record(tmp_path / "case", measured())
    (folder / "scenario.yaml").write_text("model: {name: 3}")
    with pytest.raises(ResultsError, match=r"scenario\.yaml: 'model\.name'"):
        write(folder)


def test_a_set_in_a_load_is_a_list_in_the_report_always_in_one_order(tmp_path: Path) -> None:
    folder = record(tmp_path / "case", measured(), workload={"load": {"tags": {"b", "c", "a"}}})
    report = valid(write(folder)[0])
    assert report["scenario"]["load"]["native"]["config"] == {"load": {"tags": ["a", "b", "c"]}}
