"""Benchmark Reports of others as results: by their meaning, in one set of units, nothing made up."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_llmdbench.results.benchmark_report import Report, read
from pytest_llmdbench.results.result import UNLABELLED, Distribution, Requests
from tests.results.recorded_runs import REPORTS, measured, report_file, truth

MINIMAL = yaml.safe_load("""
version: "0.2"
run: {uid: one, eid: of-the-run, time: {start: 2026-01-01T00:00:00Z, duration: PT2M0.5S}}
scenario:
  stack:
  - metadata: {label: vllm-0, cfg_id: abc}
    standardized: {kind: inference_engine, tool: vllm, tool_version: v0.26.0, role: decode, replicas: 2,
      model: {name: org/model}, accelerator: {model: H100, count: 4, parallelism: {tp: 4}}}
    native: {}
  - metadata: {label: epp, cfg_id: def}
    standardized: {kind: generic, tool: picker, tool_version: "1"}
    native: {}
  load:
    metadata: {cfg_id: abc}
    standardized: {tool: inference-perf, tool_version: v0.6.1, source: random, stage: 3, rate_qps: 5, concurrency: .inf,
      input_seq_len: {distribution: gaussian, value: 384}}
    native: {config: {}}
results:
  request_performance:
    aggregate:
      requests: {total: 150, failures: 3, incomplete: 7, input_length: {units: count, mean: 384}}
      latency:
        time_to_first_token: {units: ms, mean: 50, p0p1: 40, p50: 50, P25: 45, p99p9: 90, stddev: 2}
        time_per_output_token: {units: ms/token, mean: 10}
      throughput:
        output_token_rate: {units: tokens/s, mean: 250}
  observability:
    drop_rate: {units: percent, mean: 1}
    components:
    - component_label: vllm-0
      aggregate: {kv_cache_usage: {units: percent, mean: 25}, gpu_memory_usage: {units: GiB, mean: 2}}
      time_series:
        gpu_utilization:
          units: percent
          series: [{ts: 2026-01-01T00:00:15Z, mean: 50}, {ts: 2026-01-01T00:00:30Z, value: busy}]
""")


def genuine(case: str, version: str = "0.2") -> Report:
    return read(report_file(case, version))


def mean(report: Report, latency: str) -> float:
    value = report.result.whole.latencies[latency].mean
    assert value is not None
    return value


def test_a_report_of_inference_perf_has_the_numbers_of_its_own_files() -> None:
    report = read(REPORTS / "inference-perf-partial" / "constant" / "inference-perf.partial.stage_1.yaml")
    own = measured().stages[1]
    found = report.result.whole
    assert (report.version, report.own) == ("0.2.1", False)
    assert found.requests == Requests(100)
    for latency in ("ttft", "tpot", "itl", "e2e", "normalized_tpot"):
        assert found.latencies[latency].percentiles == own.latencies[latency].percentiles
        assert found.latencies[latency].mean == own.latencies[latency].mean
    assert found.output_tokens == own.output_tokens
    assert found.prompt_tokens_per_second == own.prompt_tokens_per_second
    assert found.requests_per_second == own.requests_per_second


@pytest.mark.parametrize("version", ["0.1", "0.2"])
@pytest.mark.parametrize("case", ["guidellm/constant", "vllm-benchmark/constant", "aiperf/fail-500-30pct"])
def test_times_of_all_programs_are_seconds_and_mean_what_the_server_saw(case: str, version: str) -> None:
    report, server = genuine(case, version), truth(case)["truth"]
    # Clients see their own delays on top: these ran on a busy machine.
    for latency, seen, most in (("ttft", "ttft_ms", 0.012), ("tpot", "itl_ms", 0.001), ("e2e", "e2e_ms", 0.015)):
        assert -0.0005 <= mean(report, latency) - server[seen]["mean"] / 1000 <= most


@pytest.mark.parametrize("version", ["0.1", "0.2"])
def test_guidellms_time_per_output_token_is_read_as_what_it_is(version: str) -> None:
    report = genuine("guidellm/constant", version)
    # 32 tokens: (TTFT + 31 x TPOT) / 32.
    expected = mean(report, "e2e") / 32
    assert mean(report, "normalized_tpot") == pytest.approx(expected, rel=0.01)
    assert "itl" not in report.result.whole.latencies
    assert any("contains the time to the first token" in note for note in report.notes)


def test_aiperfs_failures_are_at_least_those_kinds_that_were_counted() -> None:
    report = genuine("aiperf/fail-500-30pct")
    server = truth("aiperf/fail-500-30pct")["server_stat"]
    assert report.result.whole.requests.completed == server["ok"]
    assert report.result.whole.requests.failed == {UNLABELLED: 1}
    assert server["err"] > 1
    assert any("there may be more" in note for note in report.notes)


def test_vllms_prompts_are_divided_by_the_requests_that_completed() -> None:
    whole, server = genuine("vllm-benchmark/fail-500-30pct").result.whole, truth("vllm-benchmark/fail-500-30pct")
    assert whole.requests == Requests(server["server_stat"]["ok"], {UNLABELLED: server["server_stat"]["err"]})
    assert whole.prompt_tokens == server["server_stat"]["prompt"]
    assert whole.output_tokens == server["server_stat"]["gen"]


@pytest.mark.parametrize("version", ["0.1", "0.2"])
def test_lengths_of_inferencemax_are_those_of_completed_requests_which_its_report_mixes_with_the_failed_ones(
    version: str,
) -> None:
    report, server = genuine("inferencemax/fail-500-30pct", version), truth("vllm-benchmark/fail-500-30pct")
    whole, seen = report.result.whole, server["server_stat"]
    assert (whole.prompt_tokens, whole.output_tokens) == (seen["prompt"], seen["gen"])
    assert whole.lengths["output"].mean == pytest.approx(server["truth"]["out_tokens_mean"])
    assert 50.0 not in whole.latencies["e2e"].percentiles
    assert any("medians" in note for note in report.notes)


@pytest.mark.parametrize(("backend", "has_itl"), [("openai-chat", False), ("vllm", True), (None, True)])
def test_gaps_of_a_chat_that_count_the_event_with_the_role_are_absent(backend: str | None, has_itl: bool) -> None:
    case = "vllm-benchmark/constant"  # a chat, of which its converter was not told
    data = yaml.safe_load(report_file(case, "0.2").read_text(encoding="utf-8"))
    if backend:
        data["scenario"]["load"]["native"] = {"args": {"backend": backend}}
    report = read(data)
    assert ("itl" in report.result.whole.latencies) is has_itl
    assert any("event with the role" in note for note in report.notes) is (backend != "vllm")
    # As many gaps as tokens, one of them of no length: 31 of 32 of what the server did.
    read_as_written = data["results"]["request_performance"]["aggregate"]["latency"]["inter_token_latency"]["mean"]
    assert read_as_written == pytest.approx(truth(case)["truth"]["itl_ms"]["mean"] * 31 / 32, rel=0.01)


def test_a_closed_loop_of_inference_perf_has_no_rate_though_its_report_has_one() -> None:
    path = report_file("inference-perf-0.6.1/concurrent", "0.2")
    written = yaml.safe_load(path.read_text(encoding="utf-8"))["scenario"]["load"]["standardized"]
    whole = read(path).result.whole
    assert (written["rate_qps"], whole.requests.completed) == (24, 24)
    assert (whole.asked_rate, whole.concurrency) == (None, 4)


def test_a_closed_loop_has_no_rate_where_the_report_says_infinite() -> None:
    whole = genuine("vllm-benchmark/concurrent").result.whole
    assert (whole.asked_rate, whole.concurrency) == (None, 16)


def test_lengths_that_a_converter_did_not_know_are_absent_and_not_zero() -> None:
    report = genuine("inference-perf/constant", "0.1")
    assert "prompt" not in report.result.whole.lengths
    assert report.result.whole.prompt_tokens is None
    assert any("inference-perf 0.7" in note for note in report.notes)


@pytest.mark.parametrize("version", ["0.1", "0.2"])
def test_zeros_of_a_run_in_which_nothing_completed_are_no_latencies(version: str) -> None:
    report = genuine("guidellm/fail-404-model", version)
    whole = report.result.whole
    assert whole.requests == Requests(0, {UNLABELLED: 51})
    assert (whole.latencies, whole.lengths, whole.requests_per_second) == ({}, {}, None)
    assert any(note.startswith("no request completed") for note in report.notes)


def test_a_report_that_counts_nothing_but_failures_is_read() -> None:
    report = read(REPORTS / "inference-perf-partial" / "fail-404-model" / "inference-perf.partial.stage_0.yaml")
    assert report.result.whole.requests == Requests(0, {UNLABELLED: 50})


def test_the_result_that_llm_d_publishes_is_read_in_its_oldest_form() -> None:
    report = read(next((REPORTS / "llm-d-guide").glob("*.yaml")))
    whole = report.result.whole
    assert (report.version, report.stage) == ("0.1", 2)
    assert whole.requests == Requests(1500)
    assert mean(report, "ttft") == pytest.approx(0.1203, abs=1e-4)
    # The guide's table says so; the report itself has output and total only.
    assert whole.prompt_tokens_per_second == pytest.approx(109_192.83, abs=0.01)
    assert report.facts["harness"] == "inference-perf"
    assert report.facts["model"] is None
    # For how long requests were sent is neither the window nor the program's time.
    assert (whole.duration_s, report.result.elapsed_s) == (None, None)


def test_every_field_of_a_report_becomes_canonical() -> None:
    report = read(MINIMAL)
    whole = report.result.whole
    assert (report.stage, report.facts["run"]) == (3, "of-the-run")
    assert whole.requests == Requests(140, {UNLABELLED: 3}, 7)
    assert whole.latencies["ttft"] == Distribution(
        0.05, percentiles={0.1: 0.04, 25.0: 0.045, 50.0: 0.05, 99.9: 0.09}, stddev=0.002
    )
    assert whole.latencies["tpot"].mean == pytest.approx(0.01)
    assert (whole.asked_rate, whole.concurrency) == (5.0, None)
    assert (whole.prompt_tokens, whole.output_tokens) == (384 * 140, None)
    assert (report.result.started, report.result.elapsed_s) == ("2026-01-01T00:00:00+00:00", 120.5)
    assert (report.facts["model"], report.facts["accelerator"], report.facts["accelerators"]) == (
        "org/model",
        "H100",
        8,
    )


def test_what_the_stack_said_becomes_canonical_too() -> None:
    component = read(MINIMAL).result.server["metrics"]["components"][0]
    assert component["aggregate"]["kv_cache_usage"] == {"unit": "fraction", "mean": 0.25}
    assert component["aggregate"]["gpu_memory"] == {"unit": "bytes", "mean": 2.0 * 1024**3}
    assert component["series"]["gpu_utilization"] == {"unit": "fraction", "points": [[1767225615.0, 0.5]]}


def test_what_a_report_leaves_out_is_absent() -> None:
    report = read({"version": "0.2", "run": {"uid": "one"}, "results": {}})
    whole = report.result.whole
    assert whole.requests == Requests(0)
    assert (whole.latencies, whole.duration_s, report.result.started, report.facts["model"]) == ({}, None, None, None)
    assert report.notes == ("the report counts no requests",)


def test_a_report_that_does_not_say_how_many_failed_says_so() -> None:
    data: Any = deepcopy(MINIMAL)
    del data["results"]["request_performance"]["aggregate"]["requests"]["failures"]
    assert "the report does not say how many requests failed" in read(data).notes


def test_a_version_that_yaml_takes_for_a_number_is_one(tmp_path: Path) -> None:
    file = tmp_path / "report.yaml"
    file.write_text("version: 0.2\nrun: {uid: one, time: {start: 2026-01-01 10:00:00}}\nresults: {}\n")
    assert read(file).result.started == "2026-01-01T10:00:00"
