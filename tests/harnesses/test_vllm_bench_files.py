"""Files of genuine runs of vllm bench serve, and what can be wrong with such files, as results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.harnesses.vllm_bench import VllmBench
from pytest_llmdbench.harnesses.vllm_bench_files import LATENCIES, RESULTS
from pytest_llmdbench.results.result import Result, Stage

SAMPLES = Path(__file__).parents[1] / "data" / "vllm-benchmark"
HARNESS = VllmBench()


def case_of(case: str) -> Any:
    """What was noted beside the files, the server's own truth for one."""
    return json.loads((SAMPLES / case / "case.json").read_text(encoding="utf-8"))


@pytest.fixture
def whole(tmp_path: Path) -> Callable[[str], Stage]:
    """Reads a sample to its end: what is made from its single requests."""
    return lambda case: read_run(HARNESS, [SAMPLES / case], tmp_path).whole


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a run in which some requests failed, to be spoilt."""
    return Path(shutil.copytree(SAMPLES / "fail-500-30pct", tmp_path / "run"))


def edit(folder: Path, change: Callable[[Any], None]) -> None:
    path = folder / RESULTS
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def read(folder: Path) -> Result:
    """All there is to read in a folder."""
    return read_run(HARNESS, [folder], folder)


@pytest.mark.parametrize("case", ["constant", "concurrent"])
def test_tpot_is_what_the_server_saw_and_ttft_never_less(whole: Callable[[str], Stage], case: str) -> None:
    latencies, truth = whole(case).latencies, case_of(case)["truth"]
    assert latencies["tpot"].mean == pytest.approx(truth["itl_ms"]["mean"] / 1000, abs=0.0001)
    assert latencies["itl"].mean == pytest.approx(truth["itl_ms"]["mean"] / 1000, abs=0.0001)
    # The client shared two busy processors with the server, and read late what had come in time.
    ttft, e2e = latencies["ttft"].mean, latencies["e2e"].mean
    assert ttft is not None
    assert e2e is not None
    assert 0 <= ttft - truth["ttft_ms"]["mean"] / 1000 <= 0.02
    assert 0 <= e2e - truth["e2e_ms"]["mean"] / 1000 <= 0.02


@pytest.mark.parametrize("case", ["constant", "concurrent", "fail-500-30pct"])
def test_requests_and_tokens_are_those_the_server_counted(whole: Callable[[str], Stage], case: str) -> None:
    made, server = whole(case), case_of(case)["server_stat"]
    assert (made.requests.completed, made.requests.failures) == (server["ok"], server["err"])
    assert (made.prompt_tokens, made.output_tokens) == (server["prompt"], server["gen"])
    assert made.requests_per_second == pytest.approx(case_of(case)["truth"]["req_per_s"], rel=0.005)


@pytest.mark.parametrize("case", ["constant", "concurrent", "fail-500-30pct"])
def test_the_statistics_of_single_requests_are_the_programs_own(whole: Callable[[str], Stage], case: str) -> None:
    made, own = whole(case), HARNESS.read(SAMPLES / case).whole
    assert made.requests.completed == own.requests.completed
    assert (made.prompt_tokens, made.output_tokens) == (own.prompt_tokens, own.output_tokens)
    for name, said in own.latencies.items():
        assert made.latencies[name].mean == pytest.approx(said.mean, rel=2e-4), name
        for percentile in (50.0, 90.0, 99.0):
            # Of gaps there is a histogram, of 0.1 %.
            assert made.latencies[name].percentiles[percentile] == pytest.approx(
                said.percentiles[percentile], rel=2e-3
            ), (name, percentile)


def test_the_event_with_a_chats_role_is_no_token(whole: Callable[[str], Stage]) -> None:
    data = json.loads((SAMPLES / "constant" / RESULTS).read_text(encoding="utf-8"))
    assert data["mean_itl_ms"] == pytest.approx(9.677, abs=0.001)
    assert "itl" not in HARNESS.read(SAMPLES / "constant").whole.latencies
    made = whole("constant")
    assert made.latencies["itl"].mean == pytest.approx(0.00999, abs=0.00001)
    assert made.latencies["itl"].count == 100 * 31
    assert made.tokens_per_event == 1.0


def test_a_role_that_comes_long_before_the_first_token_is_not_the_first_token(folder: Path) -> None:
    def early_role(data: Any) -> None:
        data["backend"] = data["endpoint_type"] = "openai-chat"
        for index, gaps in enumerate(data["itls"]):
            if gaps:
                gaps.insert(0, data["ttfts"][index] - 0.001)
                data["ttfts"][index] = 0.001

    before = read(folder).whole.latencies
    edit(folder, early_role)
    after = read(folder).whole.latencies
    assert after["ttft"].mean == pytest.approx(before["ttft"].mean)
    assert after["tpot"].mean == pytest.approx(before["tpot"].mean)
    assert after["itl"].mean == pytest.approx(before["itl"].mean)


def test_a_rate_that_was_asked_has_a_lag_and_a_closed_loop_a_concurrency(whole: Callable[[str], Stage]) -> None:
    opened, closed = whole("constant"), whole("concurrent")
    assert (opened.asked_rate, opened.concurrency) == (10.0, None)
    assert opened.achieved_rate == pytest.approx(10.0, abs=0.1)
    assert opened.schedule_lag is not None
    assert opened.schedule_lag.maximum == pytest.approx(0.0013, abs=1e-4)
    assert (closed.asked_rate, closed.concurrency, closed.schedule_lag) == (None, 16, None)


def test_all_requests_at_once_were_due_at_no_time(folder: Path) -> None:
    edit(folder, lambda data: data.update(request_rate="inf"))
    assert read(folder).whole.schedule_lag is None


@pytest.mark.parametrize(("case", "kind"), [("fail-404-model", "X"), ("fail-server-down", "ClientConnectorError")])
def test_a_run_in_which_all_failed_has_kinds_of_failures_and_no_latencies(
    whole: Callable[[str], Stage], case: str, kind: str
) -> None:
    assert case_of(case)["exit_code"] == 0
    made, own = whole(case), HARNESS.read(SAMPLES / case).whole
    assert (made.requests.completed, dict(made.requests.failed)) == (0, {kind: 50})
    assert own.requests.failures == 50
    for one in (made, own):
        assert (dict(one.latencies), dict(one.lengths)) == ({}, {})
        assert (one.prompt_tokens, one.output_tokens, one.output_tokens_per_second) == (None, None, None)


def test_a_failure_to_which_the_server_gave_no_words_is_a_failure(folder: Path) -> None:
    edit(folder, lambda data: data.update(errors=[""] * len(data["errors"])))
    assert read(folder).whole.requests.failed == {"unlabelled": 27}


def test_a_stream_that_broke_after_its_first_token_is_a_failure_and_no_latency(folder: Path) -> None:
    def cut(data: Any) -> None:
        data["errors"][0] = (
            "Traceback (most recent call last):\n  File 'x.py', line 1, in y\n    z()\n"
            "aiohttp.client_exceptions.ClientPayloadError: Response payload is not completed: <TransferEncodingError>\n"
        )
        data["completed"] -= 1
        data["failed"] += 1

    edit(folder, cut)
    made = read(folder).whole
    assert made.requests.failed == {"X": 27, "ClientPayloadError": 1}
    assert made.latencies["ttft"].count == 52


def test_without_latencies_a_request_takes_its_first_token_and_all_gaps(folder: Path) -> None:
    before = read(folder).whole.latencies["e2e"]
    edit(folder, lambda data: data.pop("latencies"))
    assert read(folder).whole.latencies["e2e"].mean == pytest.approx(before.mean, rel=1e-6)


def test_an_answer_of_one_token_has_no_time_per_token(folder: Path) -> None:
    def short(data: Any) -> None:
        for index, gaps in enumerate(data["itls"]):
            data["latencies"][index] -= sum(gaps)
            gaps.clear()
        data["output_lens"] = [min(1, tokens) for tokens in data["output_lens"]]
        data.update({key: 0.0 for key in data if key.endswith(("_tpot_ms", "_itl_ms"))})

    edit(folder, short)
    assert set(read(folder).whole.latencies) == {"ttft", "e2e", "normalized_tpot"}
    assert set(HARNESS.read(folder).whole.latencies) == {"ttft", "e2e"}


def test_a_program_that_keeps_no_times_of_requests_is_read_from_its_summary(folder: Path) -> None:
    def older(data: Any) -> None:
        for key in ("start_times", "latencies", "queue_times", "failed"):
            del data[key]

    edit(folder, older)
    result = read(folder)
    assert result.table is None
    assert (result.whole.requests.completed, result.whole.requests.failures) == (53, 27)
    assert result.whole.latencies["ttft"].statistic("p99") == pytest.approx(0.302, abs=1e-3)
    assert set(result.whole.latencies) == {one.name for one in LATENCIES}


def test_a_run_without_results_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"wrote no vllm-bench\.json.*stderr\.log"):
        HARNESS.read(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", '{"completed": 1', "[1, 2]", "null", "3", "\0", "[" * 100_000, '{"a":' * 100_000, "{} {}", '{"a": NaN}'],
)
def test_a_file_that_was_cut_short_or_is_not_its_own_names_itself(folder: Path, text: str) -> None:
    (folder / RESULTS).write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError, match=r"vllm-bench\.json"):
        read(folder)


def test_a_file_that_ends_anywhere_is_told_so(folder: Path) -> None:
    text = (folder / RESULTS).read_text(encoding="utf-8")
    for end in range(0, len(text), len(text) // 40):
        (folder / RESULTS).write_text(text[:end], encoding="utf-8")
        with pytest.raises(HarnessError, match=r"vllm-bench\.json"):
            read(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("completed", None),
        ("completed", "53"),
        ("completed", -1),
        ("completed", 1.5),
        ("completed", True),
        ("completed", 7),
        ("failed", [1]),
        ("failed", 3),
        ("request_rate", "fast"),
        ("max_concurrency", "many"),
        ("duration", {"s": 1}),
        ("mean_ttft_ms", "quick"),
        ("p99_itl_ms", True),
        ("total_input_tokens", 10**400),
        ("backend", 3),
        ("start_times", ["now"] * 80),
        ("start_times", [1.0] * 79),
        ("start_times", {"a": 1}),
        ("ttfts", [0.1] * 79),
        ("ttfts", [-0.1] * 80),
        ("ttfts", [[0.1]] * 80),
        ("ttfts", None),
        ("latencies", [None] * 80),
        ("latencies", [1.0]),
        ("input_lens", [2**40] * 80),
        ("output_lens", [10**400] * 80),
        ("output_lens", [True] * 80),
        ("itls", [[0.1]] * 79),
        ("itls", [[0.1]] * 81),
        ("itls", [0.1] * 80),
        ("itls", [["x"]] * 80),
        ("itls", [[-1.0]] * 80),
        ("itls", [None] * 80),
        ("itls", None),
        ("errors", [None] * 80),
        ("errors", [""] * 3),
    ],
)
def test_a_value_of_a_wrong_kind_is_an_error_that_names_the_file(folder: Path, field: str, value: object) -> None:
    edit(folder, lambda data: data.update({field: value}))
    with pytest.raises(HarnessError, match=r"vllm-bench\.json|the program itself counts"):
        read(folder)


def test_two_programs_side_by_side_are_one_load(tmp_path: Path) -> None:
    both = read_run(HARNESS, [SAMPLES / "fail-500-30pct", SAMPLES / "constant"], tmp_path).whole
    assert (both.requests.completed, both.requests.failures, both.asked_rate) == (153, 27, 20.0)
    assert both.latencies["ttft"].count == 153
