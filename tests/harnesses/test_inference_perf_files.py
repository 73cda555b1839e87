"""Files of genuine runs of inference-perf, and what can be wrong with such files, as results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.inference_perf_files import LATENCIES, read
from pytest_llmdbench.harnesses.inference_perf_requests import requests
from pytest_llmdbench.results.result import Distribution, Result

SAMPLES = Path(__file__).parents[1] / "data" / "inference-perf"


def sample(case: str) -> Result:
    return read(SAMPLES / case, "0.7.0")


def case_of(case: str) -> Any:
    """What was noted beside the files, the server's own truth for one."""
    return json.loads((SAMPLES / case / "case.json").read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a good run's files, to be spoilt."""
    return Path(shutil.copytree(SAMPLES / "constant", tmp_path / "run"))


def edit(path: Path, change: Callable[[Any], None]) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.parametrize("case", ["constant", "concurrent"])
def test_latencies_are_what_the_server_saw_and_a_little_more(case: str) -> None:
    measured, truth = sample(case).whole.latencies, case_of(case)["truth"]
    ttft, tpot, e2e = (measured[name].mean for name in ("ttft", "tpot", "e2e"))
    assert ttft is not None
    assert tpot is not None
    assert e2e is not None
    assert 0.001 <= ttft - truth["ttft_ms"]["mean"] / 1000 <= 0.0035
    assert tpot == pytest.approx(truth["itl_ms"]["mean"] / 1000, abs=0.0001)
    assert 0.001 <= e2e - truth["e2e_ms"]["mean"] / 1000 <= 0.004


@pytest.mark.parametrize("case", ["constant", "concurrent", "fail-500-30pct"])
def test_requests_and_tokens_are_those_the_server_counted(case: str) -> None:
    whole, server = sample(case).whole, case_of(case)["server_stat"]
    assert whole.requests.completed == server["ok"]
    assert whole.requests.failures == server["err"]
    assert whole.requests.unfinished == 0
    assert (whole.prompt_tokens, whole.output_tokens) == (server["prompt"], server["gen"])
    assert whole.requests_per_second == pytest.approx(case_of(case)["truth"]["req_per_s"], rel=0.005)


def test_all_that_a_good_run_reports_has_its_canonical_name() -> None:
    whole = sample("constant").whole
    assert set(whole.latencies) == {"ttft", "tpot", "itl", "e2e", "normalized_tpot"}
    assert whole.latencies["ttft"].percentiles[99.9] == pytest.approx(0.0664, abs=1e-4)
    assert whole.latencies["ttft"].statistic("median") == pytest.approx(0.0514, abs=1e-4)
    assert whole.lengths["output"] == Distribution(
        32.0, 32.0, 32.0, dict.fromkeys(whole.lengths["output"].percentiles, 32.0)
    )
    assert whole.lengths["prompt"].maximum == 69
    assert whole.duration_s == pytest.approx(22.444, abs=1e-3)
    assert whole.output_tokens_per_second == pytest.approx(213.87, abs=0.01)
    assert whole.prompt_tokens_per_second == pytest.approx(285.33, abs=0.01)


def test_stages_have_the_rate_that_was_asked_and_the_one_that_was_sent() -> None:
    first, second = sample("constant").stages
    assert (first.asked_rate, second.asked_rate) == (5.0, 10.0)
    assert second.achieved_rate == pytest.approx(10.03, abs=0.01)
    assert (first.requests.completed, second.requests.completed) == (50, 100)
    assert second.schedule_lag is not None
    assert second.schedule_lag.maximum == pytest.approx(0.00179, abs=1e-5)


def test_a_closed_loop_has_a_concurrency_and_neither_asked_rate_nor_lag() -> None:
    result = sample("concurrent")
    assert [stage.concurrency for stage in result.stages] == [4, 16]
    assert {stage.asked_rate for stage in result.stages} == {None}
    assert {stage.schedule_lag for stage in (result.whole, *result.stages)} == {None}


def test_failures_are_counted_by_kind_in_the_programs_words() -> None:
    assert sample("fail-500-30pct").whole.requests.failed == {"500 - Internal Server Error": 18}


@pytest.mark.parametrize(
    ("case", "kind"), [("fail-404-model", "404 - other"), ("fail-server-down", "Connection Error")]
)
def test_a_run_in_which_all_failed_completed_none_and_has_no_latencies(case: str, kind: str) -> None:
    assert case_of(case)["exit_code"] == 0
    whole = sample(case).whole
    assert (whole.requests.completed, dict(whole.requests.failed)) == (0, {kind: 50})
    assert (dict(whole.latencies), dict(whole.lengths)) == ({}, {})


def test_files_of_version_0_6_are_read_too(folder: Path) -> None:
    def as_before(data: Any) -> None:
        successes = data["successes"]
        prompt = successes.pop("prompt_tokens")
        successes["prompt_len"] = {
            key: value for key, value in prompt.items() if key not in ("total", "cached", "uncached")
        }
        del successes["output_tokens"]

    for file in folder.glob("s*_lifecycle_metrics.json"):
        edit(file, as_before)
    whole = read(folder, "0.6.1").whole
    assert whole.lengths["prompt"].mean == pytest.approx(42.69, abs=0.01)
    assert whole.lengths["output"].mean == 32
    assert (whole.prompt_tokens, whole.output_tokens) == (None, None)


def test_requests_that_were_asked_for_but_never_ended_are_unfinished(folder: Path) -> None:
    def cut_short(data: Any) -> None:
        data["load_summary"]["count"] = data["successes"]["count"] = 88

    edit(folder / "stage_1_lifecycle_metrics.json", cut_short)
    assert read(folder, "0.7.0").stages[1].requests.unfinished == 12


def test_without_streaming_there_is_no_time_to_first_token(folder: Path) -> None:
    def no_stream(data: Any) -> None:
        data["successes"]["latency"].update(time_to_first_token=None, inter_token_latency=None)

    edit(folder / "summary_lifecycle_metrics.json", no_stream)
    assert set(read(folder, "0.7.0").whole.latencies) == {"tpot", "e2e", "normalized_tpot"}


def test_a_run_without_a_summary_says_where_to_look(folder: Path) -> None:
    (folder / "summary_lifecycle_metrics.json").unlink()
    with pytest.raises(HarnessError, match=r"wrote no summary_lifecycle_metrics\.json.*stderr\.log"):
        read(folder, "0.7.0")


def test_a_stage_without_its_file_is_an_error(folder: Path) -> None:
    (folder / "stage_1_lifecycle_metrics.json").unlink()
    with pytest.raises(HarnessError, match=r"stage_1_lifecycle_metrics\.json"):
        read(folder, "0.7.0")


@pytest.mark.parametrize("text", ["", '{"successes": {"count": 1', "[1, 2]", "null", "\0", "[" * 100_000])
def test_a_file_that_was_cut_short_or_is_not_its_own_names_itself(folder: Path, text: str) -> None:
    (folder / "stage_0_lifecycle_metrics.json").write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError, match=r"stage_0_lifecycle_metrics\.json"):
        read(folder, "0.7.0")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("successes", "many"),
        ("successes.count", None),
        ("successes.count", "150"),
        ("successes.count", -1),
        ("successes.count", 1.5),
        ("successes.count", True),
        ("failures.count", 3),
        ("failures.by_label", [1]),
        ("failures.by_label", {"500": {"count": "x"}}),
        ("load_summary.count", 7),
        ("load_summary.schedule_delay", 0.5),
        ("successes.latency", [0.1]),
        ("successes.latency.time_to_first_token", {"mean": "fast"}),
        ("successes.latency.time_to_first_token", {"mean": 0.1, "p99.9": float("nan")}),
        ("successes.prompt_tokens.total", float("inf")),
        ("benchmark_time_seconds", [22]),
    ],
)
def test_a_value_of_a_wrong_kind_is_named_with_file_and_field(folder: Path, field: str, value: object) -> None:
    def spoil(data: Any) -> None:
        *above, last = field.split(".")
        for key in above:
            data = data[key]
        data[last] = value

    edit(folder / "summary_lifecycle_metrics.json", spoil)
    with pytest.raises(HarnessError, match=r"summary_lifecycle_metrics\.json: '") as caught:
        read(folder, "0.7.0")
    # Counts that contradict each other are told at their sum.
    assert field in str(caught.value) or "'load_summary.count'" in str(caught.value)


def test_a_file_of_an_unknown_version_is_refused(folder: Path) -> None:
    def rename(data: Any) -> None:
        data["successes"]["input_tokens"] = data["successes"].pop("prompt_tokens")

    edit(folder / "summary_lifecycle_metrics.json", rename)
    with pytest.raises(HarnessError, match=r"not version 0\.6 or 0\.7"):
        read(folder, "0.7.0")


@pytest.mark.parametrize("text", ["load: 5", "load: {stages: [1]}\ndata: {}", "a: [", "\0"])
def test_a_spoilt_configuration_is_named(folder: Path, text: str) -> None:
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError, match=r"config\.yaml"):
        read(folder, "0.7.0")


def test_tokens_are_those_that_the_server_counted_and_not_the_programs_own(folder: Path) -> None:
    # Of version 0.6 they differ, of chats above all, whose template the server adds.
    path = folder / "per_request_lifecycle_metrics.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    for one in data:
        one["info"]["response_metrics"]["server_usage"]["prompt_tokens"] += 7
    path.write_text(json.dumps(data), encoding="utf-8")
    own = read(folder, "0.6.1")
    found = list(requests(folder, own) or ())
    assert sum(one.prompt_tokens or 0 for one in found) == (own.whole.prompt_tokens or 0) + 7 * len(data)


def test_the_prompt_of_a_request_that_was_not_sent_has_no_length_and_not_0(folder: Path) -> None:
    path = folder / "per_request_lifecycle_metrics.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data[0]["info"]["request_metrics"]["text"]["input_tokens"] = 0
    data[0]["info"]["response_metrics"] = None
    data[0]["error"] = {"error_type": "Connection Error", "error_msg": ""}
    path.write_text(json.dumps(data), encoding="utf-8")
    found = [one for one in requests(folder, read(folder, "0.7.0")) or () if one.outcome == "failed"]
    assert [(one.prompt_tokens, one.output_tokens, one.ttft) for one in found] == [(None, None, None)]


def test_without_a_configuration_there_are_as_many_stages_as_files(folder: Path) -> None:
    (folder / "config.yaml").unlink()
    assert [stage.asked_rate for stage in read(folder, "0.7.0").stages] == [5.0, 10.0]


def test_every_latency_of_the_table_is_in_the_samples() -> None:
    assert {one.name for one in LATENCIES} == set(sample("constant").stages[0].latencies)
