"""Files of genuine runs of aiperf, and what can be wrong with such files, as results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.aiperf import Aiperf
from pytest_llmdbench.harnesses.aiperf_files import LATENCIES, read
from pytest_llmdbench.harnesses.aiperf_requests import requests
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.results.result import Result

SAMPLES = Path(__file__).parents[1] / "data" / "aiperf"
SUMMARY, REQUESTS = "profile_export_aiperf.json", "profile_export.jsonl"
HOSTILE = ["", "{", "null", "[1]", "\0", "[" * 100_000, '{"metadata": 7}', '{"metadata": {}}', '"x"', "9" * 5000]


def copy(case: str, to: Path) -> Path:
    return Path(shutil.copytree(SAMPLES / case, to / "run"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a good run's files, to be spoilt."""
    return copy("constant", tmp_path)


def run(folder: Path) -> Result:
    """The result as a run gives it: statistics of the single requests."""
    return read_run(Aiperf(), [folder], folder)


def case_of(case: str) -> Any:
    """What was noted beside the files, the server's own truth for one."""
    return json.loads((SAMPLES / case / "case.json").read_text(encoding="utf-8"))


def edit_summary(folder: Path, change: Callable[[Any], None]) -> None:
    path = folder / SUMMARY
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def edit_line(folder: Path, number: int, change: Callable[[Any], None]) -> None:
    lines = (folder / REQUESTS).read_text(encoding="utf-8").splitlines()
    entry = json.loads(lines[number - 1])
    change(entry)
    lines[number - 1] = json.dumps(entry)
    (folder / REQUESTS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def put(data: Any, field: str, value: object) -> None:
    *above, last = field.split(".")
    for key in above:
        data = data[key]
    data[last] = value


# The samples were made on a busy machine, where a program reads what came some milliseconds late.
@pytest.mark.parametrize(("case", "more"), [("constant", 0.007), ("fail-500-30pct", 0.015)])
def test_latencies_are_what_the_server_saw_and_a_little_more(case: str, more: float, tmp_path: Path) -> None:
    measured, truth = run(copy(case, tmp_path)).whole.latencies, case_of(case)["truth"]
    ttft, tpot, e2e = (measured[name].mean for name in ("ttft", "tpot", "e2e"))
    assert ttft is not None
    assert tpot is not None
    assert e2e is not None
    assert 0 < ttft - truth["ttft_ms"]["mean"] / 1000 < more
    assert tpot == pytest.approx(truth["itl_ms"]["mean"] / 1000, abs=0.0001)
    assert 0 < e2e - truth["e2e_ms"]["mean"] / 1000 < more


@pytest.mark.parametrize("case", ["constant", "fail-500-30pct"])
def test_requests_and_tokens_are_those_the_server_counted(case: str, tmp_path: Path) -> None:
    whole, server = run(copy(case, tmp_path)).whole, case_of(case)["server_stat"]
    assert (whole.requests.completed, whole.requests.failures) == (server["ok"], server["err"])
    assert (whole.prompt_tokens, whole.output_tokens) == (server["prompt"], server["gen"])
    assert whole.tokens_per_event == 1


@pytest.mark.parametrize("case", ["constant", "concurrent", "fail-500-30pct", "cut-off-by-time"])
def test_the_programs_own_statistics_are_read_from_its_summary_by_their_meaning(case: str) -> None:
    whole, truth = read(SAMPLES / case, "0.13.0").whole, case_of(case)["truth"]
    assert set(whole.latencies) == {"ttft", "tpot", "itl", "e2e"}
    itl = truth["itl_ms"]["mean"] / 1000 if "itl_ms" in truth else truth["itl_s"]["mean"]
    for name in ("tpot", "itl"):
        assert whole.latencies[name].mean == pytest.approx(itl, rel=0.03)
    assert whole.lengths["output"].mean == 32


def test_statistics_of_single_requests_agree_with_the_programs_own(folder: Path) -> None:
    own, ours = read(folder, "0.13.0").whole, run(folder).whole
    for name in ("ttft", "tpot", "itl", "e2e"):
        for statistic in ("mean", "median", "max"):
            expected = own.latencies[name].statistic(statistic)
            assert ours.latencies[name].statistic(statistic) == pytest.approx(expected, rel=0.002)


def test_an_open_loop_has_the_rate_that_was_asked_and_its_lag(folder: Path) -> None:
    (stage,) = run(folder).stages
    assert stage.asked_rate == 10
    assert stage.concurrency is None
    assert stage.achieved_rate == pytest.approx(10, abs=0.05)
    assert stage.schedule_lag is not None
    assert stage.schedule_lag.count == 100
    assert stage.schedule_lag.minimum is not None
    assert 0 < stage.schedule_lag.minimum < 0.01


def test_a_closed_loop_has_a_concurrency_and_neither_asked_rate_nor_lag() -> None:
    whole = read(SAMPLES / "concurrent", "0.13.0").whole
    assert (whole.concurrency, whole.asked_rate, whole.schedule_lag) == (16, None, None)
    assert whole.requests.completed == case_of("concurrent")["server_stat"]["ok"] == 337


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("fail-404-model", "404 X"),
        ("fail-server-down", "ClientConnectorError"),
        ("v0.8-fail-server-down", "ClientConnectorError"),
    ],
)
def test_a_run_in_which_all_failed_completed_none_and_has_no_latencies(case: str, kind: str, tmp_path: Path) -> None:
    whole = run(copy(case, tmp_path)).whole
    failed = 30 if case.startswith("v0.8") else 50
    assert (whole.requests.completed, dict(whole.requests.failed)) == (0, {kind: failed})
    assert (dict(whole.latencies), dict(whole.lengths)) == ({}, {})
    assert (whole.requests_per_second, whole.output_tokens) == (0, None)


def test_failures_are_counted_by_requests_and_not_by_kinds(tmp_path: Path) -> None:
    assert run(copy("fail-500-30pct", tmp_path)).whole.requests.failed == {"500 X": 30}


def test_files_of_version_0_8_are_read_too(tmp_path: Path) -> None:
    whole, server = run(copy("v0.8-fail-500", tmp_path)).whole, case_of("v0.8-fail-500")["server_stat"]
    assert whole.requests.completed == server["finished"]
    assert whole.requests.failed == {"500 Internal Server Error": server["errored"]}
    assert (whole.prompt_tokens, whole.output_tokens) == (server["prompt"], server["output"])
    assert whole.asked_rate == 10
    assert whole.schedule_lag is not None


def test_a_replay_at_the_times_of_a_trace_is_no_closed_loop_whatever_was_asked_besides(tmp_path: Path) -> None:
    whole = run(copy("v0.8-replay", tmp_path)).whole
    assert (whole.requests.completed, whole.concurrency, whole.asked_rate) == (3, None, None)
    assert whole.schedule_lag is not None


def test_the_warm_up_is_left_out_and_what_the_time_cut_off_is_unfinished(tmp_path: Path) -> None:
    whole, server = run(copy("cut-off-by-time", tmp_path)).whole, case_of("cut-off-by-time")["server_stat"]
    warmup = 3
    assert whole.requests.completed == server["finished"] - warmup
    assert whole.requests.unfinished == server["aborted"] == 4
    assert (whole.requests.failures, whole.concurrency) == (0, 4)


def test_requests_that_the_profile_had_cancelled_are_unfinished_and_not_failed(tmp_path: Path) -> None:
    folder = copy("cancelled-on-purpose", tmp_path)
    requests, server = run(folder).whole.requests, case_of("cancelled-on-purpose")["server_stat"]
    assert (requests.completed, requests.unfinished) == (server["finished"], server["aborted"])
    assert requests.failures == 0


def test_without_streaming_there_is_no_time_to_first_token(folder: Path) -> None:
    def whole_answer(entry: Any) -> None:
        for name in ("time_to_first_token", "inter_token_latency", "inter_chunk_latency", "decode_duration"):
            del entry["metrics"][name]

    edit_line(folder, 1, whole_answer)
    first = next(iter(Aiperf().requests(folder, read(folder, "0.13.0")) or ()))
    assert (first.ttft, first.tpot, first.events, list(first.gaps)) == (None, None, None, [])
    assert first.output_tokens == 32


def test_tokens_that_came_in_one_event_have_no_time_between_them_and_not_0(folder: Path) -> None:
    def one_event(entry: Any) -> None:
        entry["metrics"]["inter_chunk_latency"]["value"] = []

    edit_line(folder, 1, one_event)
    first = next(iter(Aiperf().requests(folder, read(folder, "0.13.0")) or ()))
    assert (first.output_tokens, first.events, first.tpot) == (32, 1, None)
    assert first.ttft


def test_tokens_are_the_servers_count_or_else_the_programs(folder: Path) -> None:
    def no_usage(entry: Any) -> None:
        for name in ("usage_prompt_tokens", "usage_completion_tokens"):
            del entry["metrics"][name]

    edit_line(folder, 2, no_usage)
    first, second, *_ = list(Aiperf().requests(folder, read(folder, "0.13.0")) or ())
    assert (first.prompt_tokens, second.prompt_tokens) == (33, 40)
    assert (first.output_tokens, second.output_tokens) == (32, 32)


def test_a_run_that_ended_before_its_results_is_not_taken_for_a_short_one(folder: Path) -> None:
    (folder / SUMMARY).unlink()
    with pytest.raises(HarnessError, match=r"ended before its results .*100 that completed.*stdout\.log"):
        run(folder)


def test_a_run_that_was_stopped_is_not_taken_for_a_whole_one(folder: Path) -> None:
    edit_summary(folder, lambda data: put(data, "is_complete", False))
    with pytest.raises(HarnessError, match="stopped before its load was over"):
        run(folder)


def test_a_program_that_sent_nothing_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"recorded not one request.*stdout\.log"):
        run(copy("config-error", tmp_path))


def test_requests_that_are_missing_from_the_file_contradict_the_summary(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"200 requests that completed.* counts 337"):
        run(copy("concurrent", tmp_path))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_summary_that_was_cut_short_or_is_not_its_own_names_itself(folder: Path, text: str) -> None:
    (folder / SUMMARY).write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError, match=r"profile_export_aiperf\.json"):
        run(folder)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_line_that_was_cut_short_or_is_none_names_file_and_line(folder: Path, text: str) -> None:
    with (folder / REQUESTS).open("a", encoding="utf-8") as file:
        file.write(text or "\n")
    with pytest.raises(HarnessError, match=r"profile_export\.jsonl, line 101\b"):
        run(folder)


def test_a_last_line_that_was_cut_off_names_file_and_line(folder: Path) -> None:
    path = folder / REQUESTS
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(HarnessError, match=r"profile_export\.jsonl, line 100: was cut short"):
        run(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema_version", "9.9"),
        ("schema_version", None),
        ("request_count", 100),
        ("request_count.avg", "many"),
        ("request_count.avg", None),
        ("request_count.avg", -1),
        ("request_count.avg", 1.5),
        ("error_request_count", {"unit": "requests", "avg": 3}),
        ("error_summary", {}),
        ("error_summary", [7]),
        ("error_summary", [{"error_details": {"code": 500}}]),
        ("time_to_first_token", [1]),
        ("time_to_first_token.unit", "s"),
        ("time_to_first_token.p99", float("nan")),
        ("request_latency.avg", 10**400),
        ("benchmark_duration.avg", "long"),
        ("input_config", [1]),
        ("input_config.phases", {}),
        ("input_config.phases", [1]),
        ("input_config.phases", [{"kind": "profiling", "rate": "fast"}]),
    ],
)
def test_a_value_of_a_wrong_kind_is_named_with_file_and_field(folder: Path, field: str, value: object) -> None:
    edit_summary(folder, lambda data: put(data, field, value))
    with pytest.raises(HarnessError, match=r"profile_export_aiperf\.json: ") as caught:
        run(folder)
    assert field.split(".", maxsplit=1)[0] in str(caught.value) or "error_summary" in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metadata.request_start_ns", None),
        ("metadata.request_start_ns", "now"),
        ("metadata.request_end_ns", float("inf")),
        ("metadata.credit_issued_ns", [1]),
        ("metadata.benchmark_phase", 7),
        ("metrics", 7),
        ("metrics.time_to_first_token", 57.0),
        ("metrics.time_to_first_token.value", "fast"),
        ("metrics.time_to_first_token.unit", "s"),
        ("metrics.inter_chunk_latency.value", 9.9),
        ("metrics.inter_chunk_latency.value", [9.9, "x"]),
        ("metrics.inter_chunk_latency.value", [9.9, float("nan")]),
        ("metrics.inter_chunk_latency.value", [9.9, 10**400]),
        ("metrics.usage_completion_tokens.value", -1),
        ("metrics.usage_completion_tokens.value", 1.5),
        ("metrics.usage_completion_tokens.value", 10**18),
        ("error", "bad"),
        ("error", {"code": "500", "type": "X"}),
        ("error", {"code": 500, "type": [1]}),
    ],
)
def test_a_value_of_a_wrong_kind_in_a_line_names_file_line_and_field(folder: Path, field: str, value: object) -> None:
    edit_line(folder, 3, lambda entry: put(entry, field, value))
    with pytest.raises(HarnessError, match=r"profile_export\.jsonl, line 3: ") as caught:
        run(folder)
    assert field.split(".")[1 if field.count(".") else 0] in str(caught.value)


def test_every_latency_of_the_table_is_in_the_samples() -> None:
    assert {one.name for one in LATENCIES} == set(read(SAMPLES / "constant", "0.13.0").whole.latencies)


def test_its_requests_can_be_followed_while_the_file_grows(folder: Path) -> None:
    whole = list(requests(folder) or ())
    path = folder / REQUESTS
    text = path.read_bytes()
    path.unlink()
    look = Aiperf().follow(folder)
    assert list(look()) == []
    # A line that is not whole yet waits, and one that is none is passed over.
    path.write_bytes(text[:-30])
    first = list(look())
    path.write_bytes(text + b"no request\n")
    assert [*first, *look()] == whole
    assert len(first) == len(whole) - 1
    assert list(look()) == []
