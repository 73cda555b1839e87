"""What files of eval-containers come to: scores and calls, of folders made up by hand and of one published trace."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.eval_containers import EvalContainers
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.results.agentic import NO_CALL
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.results.table import RequestTable
from pytest_llmdbench.verdicts.verdict import judge
from tests.harnesses.made_up_eval_files import BEGUN, call, span, write_task
from tests.harnesses.test_hostile_files import HOSTILE, places, put


def merged(folder: Path, folders: Sequence[Path]) -> Result:
    return read_run(EvalContainers(), folders, folder)


def test_a_made_up_task_that_passed_is_a_pass_rate_of_its_language_and_a_reward(tmp_path: Path) -> None:
    result = merged(tmp_path, [write_task(tmp_path / "pod-0", 200)])
    assert result.purpose == "accuracy"
    assert result.scores == {
        "pass_rate": 1, "reward": 1, "rust.pass_rate": 1, "rust.tasks": 1, "tasks": 1, "passed": 1, "ungraded": 0,
        "timed_out": 0, "crashed": 0, "task_s": 60,
    }  # fmt: skip
    whole = result.whole
    assert (whole.requests.completed, whole.requests.failures, whole.concurrency) == (1, 0, 1)
    assert (whole.prompt_tokens, whole.output_tokens) == (100, 20)
    assert whole.latencies["e2e"].mean == pytest.approx(2)
    assert "ttft" not in whole.latencies
    assert judge(result, (), 0.0).outcome == "PASS"


def test_scores_of_several_made_up_tasks_are_means_with_standard_errors_and_by_language(tmp_path: Path) -> None:
    worth = {200: 1.0, 201: 0.0, 170: 1.0, 0: 0.25}
    folders = [write_task(tmp_path / f"pod-{task}", task, reward=reward) for task, reward in worth.items()]
    result = merged(tmp_path, folders)
    scores = result.scores
    assert (scores["tasks"], scores["passed"], scores["ungraded"]) == (4, 2, 0)
    assert scores["pass_rate"] == 0.5
    assert scores["pass_rate_stderr"] == pytest.approx(math.sqrt(0.5 * 0.5 / 3))
    assert scores["reward"] == pytest.approx(2.25 / 4)
    languages = {name: scores[name] for name in scores if "." in name}
    assert languages == {
        "cpp.pass_rate": 0, "cpp.tasks": 1, "python.pass_rate": 1, "python.tasks": 1, "rust.pass_rate": 0.5,
        "rust.tasks": 2,
    }  # fmt: skip
    assert result.whole.requests.completed == 4
    assert result.whole.concurrency == 4


@pytest.mark.parametrize("tasks", [[200], [200, 201, 170, 0]])
def test_scores_of_made_up_tasks_have_the_names_that_were_known_before(tasks: list[int], tmp_path: Path) -> None:
    result = merged(tmp_path, [write_task(tmp_path / f"pod-{task}", task) for task in tasks])
    for benchmark in ("aider-polyglot", None):
        known = EvalContainers().scores({"benchmark": benchmark, "task_ids": tasks}, len(tasks))
        assert sorted(known) == sorted(result.scores)


def test_of_a_benchmark_without_languages_no_score_of_one_is_known() -> None:
    assert not [name for name in EvalContainers().scores({"benchmark": "gaia"}, 3) if "." in name]


def test_a_made_up_agent_that_asked_nothing_is_no_reward_of_0(tmp_path: Path) -> None:
    result = merged(tmp_path, [write_task(tmp_path / "pod", reward=0.0, spans=())])
    assert result.scores == {}
    assert result.whole.requests.failed == {NO_CALL: 1}
    verdict = judge(result, (), 0.0)
    assert verdict.outcome == "FAIL"
    assert "no request completed" in verdict.reason
    assert NO_CALL in verdict.reason


def test_a_made_up_run_of_which_one_agent_asked_nothing_scores_the_others_and_does_not_pass(tmp_path: Path) -> None:
    folders = [write_task(tmp_path / "pod-0"), write_task(tmp_path / "pod-1", 1, reward=0.0, spans=())]
    result = merged(tmp_path, folders)
    assert (result.scores["pass_rate"], result.scores["tasks"], result.scores["ungraded"]) == (1, 2, 1)
    verdict = judge(result, (), 0.0)
    assert (verdict.outcome, NO_CALL in verdict.reason) == ("FAIL", True)


def test_a_made_up_task_whose_every_call_failed_is_no_reward_of_0(tmp_path: Path) -> None:
    refused = span("/openai/v1/responses", 1, 2, key="h", http__status_code=504, error__type="upstream timeout")
    result = merged(tmp_path, [write_task(tmp_path / "pod", reward=0.0, spans=[refused])])
    assert result.scores == {}
    assert result.whole.requests.failed == {"504 - upstream timeout": 1}
    assert judge(result, (), 1.0).outcome == "FAIL"


def test_a_made_up_reward_of_0_that_no_grader_wrote_is_no_score(tmp_path: Path) -> None:
    result = merged(tmp_path, [write_task(tmp_path / "pod", reward=0.0, reward_txt=None)])
    assert result.scores == {}
    assert judge(result, (), 0.0).reason == "1 request completed, but there is no score"


@pytest.mark.parametrize("agent_code", [0, 1, 124])
@pytest.mark.parametrize("result_there", [True, False])
def test_a_made_up_task_whose_grade_is_outstanding_is_not_graded(
    result_there: bool, agent_code: int, tmp_path: Path
) -> None:
    # Images of benchmarks that are graded elsewhere say -1, however their agents ended.
    folder = write_task(tmp_path / "pod", reward=-1.0, reward_txt="-1\n", agent_code=agent_code)
    if not result_there:
        (folder / "task" / "result.json").unlink()
    result = merged(tmp_path, [folder])
    assert (result.scores, result.whole.requests.completed) == ({}, 1)
    assert judge(result, (), 0.0).reason == "1 request completed, but there is no score"


def test_a_made_up_task_whose_grade_is_outstanding_leaves_the_others_theirs(tmp_path: Path) -> None:
    folders = [write_task(tmp_path / "pod-0"), write_task(tmp_path / "pod-1", 1, reward=-1.0)]
    scores = merged(tmp_path, folders).scores
    assert (scores["pass_rate"], scores["reward"], scores["tasks"], scores["ungraded"]) == (1, 1, 2, 1)


def test_a_made_up_reward_of_0_counts_where_the_grader_has_no_place_for_its_own(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "pod", reward=0.0, reward_txt=None)
    notes = json.loads((folder / "eval-task.json").read_text(encoding="utf-8"))
    (folder / "eval-task.json").write_text(json.dumps({**notes, "verifier": False}), encoding="utf-8")
    assert merged(tmp_path, [folder]).scores["reward"] == 0


@pytest.mark.parametrize("written", ["", "no number", "1e3", "1" * 30])
def test_a_made_up_task_without_its_result_has_no_score_where_the_grader_wrote_no_number(
    written: str, tmp_path: Path
) -> None:
    assert merged(tmp_path, [write_task(tmp_path / "pod", reward=None, reward_txt=written)]).scores == {}


def test_a_made_up_task_without_its_result_has_what_the_grader_wrote(tmp_path: Path) -> None:
    result = merged(tmp_path, [write_task(tmp_path / "pod", 5, reward=None, reward_txt="1.0")])
    assert (result.scores["reward"], result.scores["cpp.pass_rate"]) == (1, 1)


@pytest.mark.parametrize(("code", "name"), [(124, "timed_out"), (1, "crashed"), (137, "crashed")])
def test_how_a_made_up_agent_ended_is_told_apart(code: int, name: str, tmp_path: Path) -> None:
    scores = merged(tmp_path, [write_task(tmp_path / "pod", reward=0.0, agent_code=code)]).scores
    assert {one: scores[one] for one in ("timed_out", "crashed") if scores[one]} == {name: 1}
    assert scores["pass_rate"] == 0


def test_a_made_up_task_that_nobody_graded_after_its_time_was_up_did_not_pass(tmp_path: Path) -> None:
    scores = merged(tmp_path, [write_task(tmp_path / "pod", reward=None, reward_txt=None, agent_code=124)]).scores
    assert (scores["pass_rate"], scores["reward"], scores["timed_out"], scores["ungraded"]) == (0, 0, 1, 0)


def test_an_image_of_another_benchmark_than_the_made_up_workload_s_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"load\.image runs the benchmark 'gaia'.*workload is of 'aider-polyglot'"):
        merged(tmp_path, [write_task(tmp_path / "pod", benchmark="gaia")])


def test_a_task_that_did_not_come_to_its_end_is_no_result(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "pod")
    (folder / "eval-task.json").unlink()
    with pytest.raises(HarnessError, match=r"eval-task\.json is missing: the task did not come to its end"):
        merged(tmp_path, [folder])


def found(tmp_path: Path, spans: Sequence[Any]) -> list[tuple[float, float, str | None]]:
    """What became of spans: when each call began, how long it took, its error."""
    result = merged(tmp_path, [write_task(tmp_path / "pod", spans=spans)])
    assert result.table is not None
    table = RequestTable(result.table)
    sent, ended = table.column("sent"), table.column("ended")
    failed = dict(result.whole.requests.failed)
    assert sum(failed.values()) <= 1
    return [(round(a - BEGUN, 3), round(b - a, 3), next(iter(failed), None)) for a, b in zip(sent, ended, strict=True)]


@pytest.mark.parametrize(
    ("name", "is_call"),
    [
        ("/openai/v1/responses", True),
        ("/openai/v1/chat/completions", True),
        ("/anthropic/v1/messages?beta=true", True),
        ("/genai/v1beta/models/org/m:generateContent", True),
        ("/genai/v1beta/models/org/m:streamGenerateContent?alt=sse", True),
        ("litellm_request", True),
        ("/anthropic/v1/messages/count_tokens", False),
        ("plugin.telemetry.prehook", False),
        ("key.selection", False),
        ("dock-gateway", False),
    ],
)
def test_spans_of_requests_to_the_gateway_are_the_calls(name: str, is_call: bool, tmp_path: Path) -> None:
    spans = [*call(10, 12), span(name, 1, 2, key="x", http__status_code=200)]
    assert len(found(tmp_path, spans)) == 1 + is_call


def test_tokens_are_the_provider_s_and_reasoning_is_a_part_of_them(tmp_path: Path) -> None:
    usage = {
        "gen_ai__usage__input_tokens": 1000,
        "gen_ai__usage__output_tokens": 200,
        "gen_ai__usage__reasoning__output_tokens": 77,
    }
    spans = [
        span("/openai/v1/responses", 1, 3, key="h"),
        span("chat m", 1.1, 2.9, key="p", above="k", **usage),
        span("key.selection", 1.05, 1.06, key="k", above="h"),
    ]
    whole = merged(tmp_path, [write_task(tmp_path / "pod", spans=spans)]).whole
    assert (whole.requests.offered, whole.prompt_tokens, whole.output_tokens) == (1, 1000, 200)


def test_of_several_tries_to_the_model_the_last_one_counts(tmp_path: Path) -> None:
    spans = [
        span("chat m", 1, 2, key="p1", above="h", status=2, error__type="overloaded"),
        *(span("chat m", 2, 4, key="p2", above="h", status=1, gen_ai__usage__output_tokens=7),),
        span("/openai/v1/responses", 1, 4, key="h"),
    ]
    assert found(tmp_path, spans) == [(1, 3, None)]


def test_a_call_that_only_the_provider_s_span_tells_of_is_one(tmp_path: Path) -> None:
    assert found(tmp_path, [span("llm.call", 1, 2, key="p", above="gone", status=1)]) == [(1, 1, None)]


def test_calls_of_one_agent_that_share_a_trace_are_calls_of_their_own(tmp_path: Path) -> None:
    assert found(tmp_path, [*call(1, 2), *call(3, 5), *call(3.5, 4)]) == [(1, 1, None), (3, 2, None), (3.5, 0.5, None)]


def test_an_error_is_called_by_status_and_kind_or_by_its_own_words(tmp_path: Path) -> None:
    spans = [span("litellm_request", 1, 2, key="h", status=2, error__message="no  such\nmodel")]
    assert found(tmp_path, spans) == [(1, 1, "no such model")]


def test_an_error_whose_words_are_no_text_is_called_by_what_is_left_of_them(tmp_path: Path) -> None:
    assert found(tmp_path, [span("litellm_request", 1, 2, error__type="bad \ud800")]) == [(1, 1, "bad ?")]


def test_a_streamed_call_of_a_published_trace_ends_with_its_stream_and_has_no_ttft(tmp_path: Path) -> None:
    # Two of the spans of bifrost 1.5.4 in a trace that Exgentic publishes, without their texts: the span of the request
    # ends 0.6 s before the stream does, and what is called time to the first token would be 4.8 s if in microseconds.
    usage = {
        "gen_ai__usage__prompt_tokens": 4061,
        "gen_ai__usage__completion_tokens": 116,
        "gen_ai__response__total_latency_ms": 4080,
        "gen_ai__response__time_to_first_token": 4824776,
    }
    outer = span("/openai/v1/chat/completions", 0.164502461, 3.753760946, key="be1c", status=1, http__status_code=200)
    inner = span("llm.call", 0.248209120, 4.377881722, key="c813", above="be1c", status=1, **usage)
    whole = merged(tmp_path, [write_task(tmp_path / "pod", spans=[outer, inner])]).whole
    assert whole.latencies["e2e"].mean == pytest.approx(4.213379261, abs=1e-5)
    assert (whole.prompt_tokens, whole.output_tokens) == (4061, 116)
    assert "ttft" not in whole.latencies


def test_a_last_line_that_was_not_written_to_its_end_is_left_out(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "pod", spans=[*call(1, 2), *call(3, 5)])
    traces = folder / "traces.jsonl"
    traces.write_text(traces.read_text(encoding="utf-8")[:-30], encoding="utf-8")
    assert merged(tmp_path, [folder]).whole.requests.completed == 2


@pytest.mark.parametrize("line", ["{", "[]", "5", '{"resourceSpans": 5}', '{"resourceSpans": [{"scopeSpans": [5]}]}'])
def test_a_line_that_is_no_batch_of_spans_is_named(line: str, tmp_path: Path) -> None:
    folder = write_task(tmp_path / "pod")
    with (folder / "traces.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(HarnessError, match=r"traces\.jsonl:3"):
        merged(tmp_path, [folder])


def test_spans_that_are_above_each_other_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    spans = [span("/v1/responses", 1, 2, key="a", above="b"), span("/v1/responses", 1, 3, key="b", above="a")]
    assert len(found(tmp_path, spans)) == 2


FILES = ("traces.jsonl", "task/result.json", "eval-task.json", "eval-containers.json")


def spoilt(folder: Path) -> None:
    """A result or the one error; anything else is the test's failure."""
    with tempfile.TemporaryDirectory() as target:
        try:
            said = read_run(EvalContainers(), [folder], Path(target)).harness
        except HarnessError as error:
            said = str(error)
        assert 0 < len(said) < 2000


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_value_that_was_not_meant_in_a_made_up_folder_is_no_other_error(name: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = write_task(Path(place) / "run", 3)
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        tree = json.loads(lines[-1])
        at = data.draw(st.sampled_from(list(places(tree))))
        put(tree, at, data.draw(HOSTILE))
        (folder / name).write_text("\n".join([*lines[:-1], json.dumps(tree)]) + "\n", encoding="utf-8")
        spoilt(folder)


@pytest.mark.parametrize("name", [*FILES, "agent/.exit-code", "logs/verifier/reward.txt"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[" * 50_000, b'{"a":' * 5_000, b"null", b"1e999", b"-1"])
def test_a_file_of_something_else_in_a_made_up_folder_is_no_other_error(
    name: str, content: bytes, tmp_path: Path
) -> None:
    folder = write_task(tmp_path / "run")
    (folder / name).write_bytes(content)
    spoilt(folder)


def test_a_folder_where_a_file_should_be_is_no_other_error(tmp_path: Path) -> None:
    for name in FILES:
        folder = Path(shutil.copytree(write_task(tmp_path / name / "a"), tmp_path / name / "b"))
        (folder / name).unlink()
        (folder / name).mkdir()
        spoilt(folder)
