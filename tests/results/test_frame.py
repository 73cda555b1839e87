"""All results in one table: ours and those of llm-d-benchmark, a row a stage, typed, absent where not reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pytest_llmdbench import load_results
from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.benchmark_report import write
from pytest_llmdbench.results.columns import columns
from pytest_llmdbench.results.result import Requests, Result, Stage
from pytest_llmdbench.results.store import write_json
from tests.results.recorded_runs import RUN, measured, record, scenario_of, upstream_folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The folder of one run with two cases, one of them a treatment's."""
    run = tmp_path / "llmdbench-results" / RUN
    passed = {"outcome": "PASS", "reason": "1 objective met", "objectives": []}
    record(run / "plain", measured(), verdict=passed)
    record(
        run / "treated", measured("concurrent"), scenario="pd-disaggregation", treatment="conc16",
        setup_treatment="tp4", factors={"max-concurrency": 16, "vllm.dtype": "fp8", "cold": True},
    )  # fmt: skip
    write_json(run / "run.json", {"run": RUN, "cases": {}})
    return tmp_path / "llmdbench-results"


def row(frame: pd.DataFrame, **wanted: str) -> pd.Series:
    """The only row with these texts."""
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_a_run_has_a_row_for_the_whole_and_one_for_each_stage(results: Path) -> None:
    frame = load_results(results)
    assert list(frame["stage"]) == ["whole", "0", "1"] * 2
    plain = frame[frame["folder"].str.endswith("plain")]
    whole, second = row(plain, stage="whole"), row(plain, stage="1")
    own = measured()
    assert whole["requests_completed"] == 150
    assert whole["ttft_p99.9_s"] == own.whole.latencies["ttft"].percentiles[99.9]
    assert second["ttft_mean_s"] == own.stages[1].latencies["ttft"].mean
    assert second["asked_rate"] == 10
    assert second["output_length_max"] == 32
    assert (whole["verdict"], whole["run"], whole["harness"]) == ("PASS", RUN, "inference-perf")


def test_factors_of_treatments_are_typed_columns(results: Path) -> None:
    frame = load_results(results)
    kinds = {name: str(frame[name].dtype) for name in map(str, frame) if name.startswith("factor.")}
    assert kinds == {"factor.cold": "boolean", "factor.max-concurrency": "Int64", "factor.vllm.dtype": "string"}
    treated = row(frame[frame["treatment"] == "conc16"], stage="whole")
    assert (treated["factor.max-concurrency"], treated["factor.vllm.dtype"], treated["factor.cold"]) == (
        16,
        "fp8",
        True,
    )
    assert frame[frame["treatment"].isna()]["factor.max-concurrency"].isna().all()


def test_accelerators_are_those_that_the_scenario_asks_for(results: Path) -> None:
    frame = load_results(results)
    treated, plain = row(frame, treatment="conc16", stage="whole"), frame[frame["treatment"].isna()].iloc[0]
    # Two decode pods of two GPUs each, and one prefill pod.
    assert (treated["accelerator"], treated["accelerators"]) == ("nvidia.com/gpu", 5)
    assert pd.isna(plain["accelerator"])
    assert plain["accelerators"] == 0


def test_accelerators_are_those_that_cost_is_counted_of_where_the_scenario_says_so(tmp_path: Path) -> None:
    counted = {"accelerator": {"gpus": 2, "product": "NVIDIA-H100-80GB-HBM3"}}
    record(tmp_path / "run", replace(measured(), economy={"gpus": 2.0}), scenario=scenario_of("local") | counted)
    whole = row(load_results(tmp_path), stage="whole")
    assert (whole["accelerators"], whole["economy.gpus"]) == (2, 2.0)
    assert whole["accelerator"] == "NVIDIA-H100-80GB-HBM3"


def test_the_whole_of_a_load_of_one_stage_has_the_rate_that_was_asked_for(tmp_path: Path) -> None:
    stage = measured().stages[1]
    one = replace(measured(), whole=replace(measured().whole, asked_rate=None), stages=(stage,))
    record(tmp_path / "one", one)
    assert list(load_results(tmp_path)["asked_rate"]) == [10, 10]
    record(tmp_path / "two", measured(), case="two")
    several = load_results(tmp_path / "two")
    assert pd.isna(row(several, stage="whole")["asked_rate"])


def test_columns_have_the_same_types_whatever_was_found(results: Path, tmp_path: Path) -> None:
    others = upstream_folder(tmp_path / "others", "llm-d-guide", "guide")
    for frame in (load_results(results), load_results(others)):
        assert {name: str(frame[name].dtype) for name in columns()} == columns()


def test_what_was_not_reported_is_absent_and_not_zero(tmp_path: Path) -> None:
    record(tmp_path / "failed", measured("fail-404-model"))
    whole = load_results(tmp_path).iloc[0]
    assert (whole["requests_failed"], whole["error_rate"]) == (50, 1.0)
    assert pd.isna(whole["ttft_mean_s"])
    assert pd.isna(whole["output_length_mean"])
    assert pd.isna(whole["verdict"])


def test_reports_of_llm_d_benchmark_are_rows_beside_ours_in_the_same_units(results: Path, tmp_path: Path) -> None:
    others = tmp_path / "workspace" / "setup-treatment-default" / "results"
    upstream_folder(others, "guidellm/constant", "guidellm-rate0p02-1795428397-a1b2c3_1")
    upstream_folder(others, "vllm-benchmark/constant", "vllm-benchmark-conc16-1795428397-d4e5f6_1")
    frame = load_results(results, tmp_path / "workspace")
    assert len(frame) == 8
    guidellm, vllm = row(frame, treatment="rate0p02"), row(frame, harness="vllm-benchmark")
    assert guidellm["source"] == "benchmark report 0.2"
    assert guidellm["ttft_mean_s"] == pytest.approx(0.057, abs=0.001)
    assert vllm["ttft_mean_s"] == pytest.approx(0.057, abs=0.001)
    assert (vllm["treatment"], vllm["stage"]) == ("conc16", "0")
    assert "time to the first token" in guidellm["notes"]


def test_a_result_in_two_forms_is_one_row_and_the_oldest_form_counts_where_it_is_alone(tmp_path: Path) -> None:
    folder = upstream_folder(tmp_path, "vllm-benchmark/fail-500-30pct", "both")
    assert list(load_results(tmp_path)["source"]) == ["benchmark report 0.2"]
    next(folder.glob("benchmark_report_v0.2,_*")).unlink()
    assert list(load_results(tmp_path)["source"]) == ["benchmark report 0.1"]


def test_reports_that_we_wrote_beside_a_result_are_not_counted_twice(results: Path) -> None:
    before = len(load_results(results))
    write(results / RUN / "plain")
    assert len(load_results(results)) == before


def test_our_own_reports_alone_say_what_our_results_say(results: Path, tmp_path: Path) -> None:
    ours = load_results(results)
    sent = tmp_path / "sent"
    sent.mkdir()
    for file in write(results / RUN / "treated"):
        file.rename(sent / file.name)
    theirs = load_results(sent)
    same = [name for name in ours if name not in ("source", "folder")]
    stages = ours[(ours["treatment"] == "conc16") & (ours["stage"] != "whole")][same].reset_index(drop=True)
    pd.testing.assert_frame_equal(theirs[[name for name in same if name in theirs]], stages, check_dtype=False)


def test_a_run_that_ended_without_a_result_has_a_row_that_says_so(tmp_path: Path) -> None:
    record(tmp_path / "crashed", None)
    crashed = load_results(tmp_path).iloc[0]
    assert (crashed["stage"], crashed["case"]) == ("whole", "local-inference-perf-sanity_random")
    assert crashed["notes"].startswith("no result")
    assert pd.isna(crashed["requests_completed"])


def test_a_case_whose_stack_did_not_come_up_has_a_row_with_the_reason(results: Path) -> None:
    error = "stack gpu: Unschedulable: 0/3 nodes are available"
    case = {"case": "gpu-inference-perf-x", "scenario": "gpu", "error": error, "verdict": None, "factors": {"tp": 2}}
    write_json(results / RUN / "run.json", {"run": RUN, "cases": {"test_x.py::test_x[gpu]": case}})
    unrun = row(load_results(results), scenario="gpu")
    assert (unrun["run"], unrun["notes"], unrun["factor.tp"]) == (RUN, error, 2)


def test_scores_figures_of_a_start_and_counts_of_servers_are_columns(tmp_path: Path) -> None:
    stage = Stage(Requests(20))
    record(tmp_path / "a", Result("lm-eval", "0.4", stage, purpose="accuracy", scores={"hellaswag.acc": 0.5}))
    record(tmp_path / "b", Result("nop", "1", stage, purpose="startup", startup={"load_weights_s": 12.5}))
    record(tmp_path / "c", replace(measured(), server={"metrics": {"totals": {"preemptions": 3}}}))
    frame = load_results(tmp_path)
    assert frame["score.hellaswag.acc"].max() == 0.5
    assert frame["startup.load_weights_s"].max() == 12.5
    assert frame["server.preemptions"].max() == 3
    assert list(frame["purpose"].unique()) == ["accuracy", "startup", "load"]


@pytest.mark.parametrize("name", ["case.json", "result.json", "verdict.json"])
def test_a_file_that_was_cut_short_is_named(name: str, results: Path) -> None:
    file = results / RUN / "plain" / name
    file.write_text(file.read_text()[:40])
    with pytest.raises(ResultsError, match=f"{name}: cannot be read, or was cut short"):
        load_results(results)


def test_a_field_of_the_wrong_kind_is_named(results: Path) -> None:
    (results / RUN / "plain" / "case.json").write_text('{"case": ["a"]}')
    with pytest.raises(ResultsError, match=r"case\.json: 'case' should be a text, not list"):
        load_results(results)


def test_a_folder_without_results_says_what_would_be_one(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"no results in .*: neither a case's folder \(case\.json\) nor a benchmark"):
        load_results(tmp_path)
    with pytest.raises(ResultsError, match="is not a folder of results"):
        load_results(tmp_path / "nowhere")
