"""Agentic evaluations as Benchmark Reports: the keys of llm-d-benchmark, written and read, of made-up tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.harnesses.eval_containers import EvalContainers
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.results.benchmark_report import read, write
from pytest_llmdbench.results.benchmark_report.eval_containers import BY_TASK
from tests.harnesses.made_up_eval_files import call, span, write_task
from tests.results.recorded_runs import record
from tests.results.test_benchmark_report_written import valid

#: A report as llm-d-benchmark's analysis makes one of a whole run.
OF_A_RUN: dict[str, Any] = {
    "eval_containers_tasks": 4,
    "eval_containers_tasks_scored": 3,
    "eval_containers_passed_count": 2,
    "eval_containers_llm_calls": 40,
    "eval_containers_call_errors": 4,
    "eval_containers_retries": 1,
    "eval_containers_input_tokens": 4000,
    "eval_containers_output_tokens": 400,
    "eval_containers_total_tokens": 4400,
    "eval_containers_tasks_exit_timeout": 1,
    "eval_containers_tasks_exit_error": 0,
    "eval_containers_ttft_valid_calls": 0,
    "eval_containers_ttft_discarded_calls": 0,
    "eval_containers_pass_rate": 2 / 3,
    "eval_containers_reward_mean": 0.7,
    "eval_containers_reward_sum": 2.1,
    "eval_containers_llm_calls_per_task_mean": 10.0,
    "eval_containers_pass_rate_rust": 0.5,
    "eval_containers_tasks_rust": 2,
    "eval_containers_task_latency_seconds": {"units": "s", "mean": 120.0, "min": 60.0, "max": 240.0},
}
OF_A_TASK: dict[str, Any] = {
    "eval_containers_reward": 1.0,
    "eval_containers_passed": True,
    "eval_containers_llm_calls": 9,
    "eval_containers_input_tokens": 900,
    "eval_containers_output_tokens": None,
}


def theirs(observability: dict[str, Any], rate: float = 0.25) -> dict[str, Any]:
    """A report with these keys, as their converter writes the rest."""
    latency = {"request_latency": {"units": "ms", "mean": 2000.0, "p50": 1900.0, "p99": 3900.0}}
    throughput = {"request_rate": {"units": "queries/s", "mean": rate}}
    load = {
        "metadata": {"schema_version": "0.0.1"},
        "standardized": {
            "tool": "eval-containers",
            "tool_version": "",
            "source": "sampled",
            "input_seq_len": {"distribution": "other", "value": 0},
        },
        "native": {"args": {"benchmark": "aider-polyglot"}},
    }
    return {
        "version": "0.2",
        "run": {"uid": "run"},
        "scenario": {"load": load},
        "results": {
            "request_performance": {"aggregate": {"latency": latency, "throughput": throughput}},
            "observability": observability,
        },
    }


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """The folder of a recorded run of three tasks, of which nobody graded the last one."""
    refused = span("/openai/v1/responses", 5, 6, key="h", http__status_code=500)
    folders = [
        write_task(tmp_path / "pod-0", 200, spans=[*call(1, 3), refused]),
        write_task(tmp_path / "pod-1", 201, reward=0.0, agent_code=124),
        write_task(tmp_path / "pod-2", 202, reward=0.0, reward_txt=None, agent_code=1),
    ]
    result = read_run(EvalContainers(), folders, tmp_path)
    return record(tmp_path / "case", result, harness="eval-containers", workload={"benchmark": "aider-polyglot"})


def test_a_report_of_ours_has_the_keys_that_llm_d_benchmark_has(made_up: Path) -> None:
    (path,) = write(made_up)
    found = valid(path)["results"]["observability"]
    assert {key: found[key] for key in found if key.startswith("eval_containers_")} == {
        "eval_containers_tasks": 3,
        "eval_containers_tasks_scored": 2,
        "eval_containers_passed_count": 1,
        "eval_containers_pass_rate": 0.5,
        "eval_containers_reward_mean": 0.5,
        "eval_containers_reward_sum": 1.0,
        "eval_containers_llm_calls": 4,
        "eval_containers_call_errors": 1,
        "eval_containers_llm_calls_per_task_mean": 4 / 3,
        "eval_containers_input_tokens": 300,
        "eval_containers_output_tokens": 60,
        "eval_containers_total_tokens": 360,
        "eval_containers_tasks_exit_timeout": 1,
        "eval_containers_tasks_exit_error": 1,
        "eval_containers_pass_rate_rust": 0.5,
        "eval_containers_tasks_rust": 2,
        "eval_containers_task_latency_seconds": {"units": "s", "mean": 60.0},
    }


def test_a_report_of_ours_is_read_with_all_its_scores(made_up: Path) -> None:
    (path,) = write(made_up)
    report = read(path)
    assert report.own
    assert report.result.purpose == "accuracy"
    assert report.result.scores["pass_rate_stderr"] == 0.5
    assert report.result.scores["rust.tasks"] == 2


def test_a_report_of_ours_on_one_task_also_says_what_their_report_on_a_task_does(tmp_path: Path) -> None:
    result = read_run(EvalContainers(), [write_task(tmp_path / "pod")], tmp_path)
    (path,) = write(record(tmp_path / "case", result, harness="eval-containers"))
    found = valid(path)["results"]["observability"]
    assert (found["eval_containers_reward"], found["eval_containers_passed"]) == (1.0, True)


def test_a_report_of_a_run_that_nobody_graded_has_no_score(tmp_path: Path) -> None:
    result = read_run(EvalContainers(), [write_task(tmp_path / "pod", reward=0.0, reward_txt=None)], tmp_path)
    (path,) = write(record(tmp_path / "case", result, harness="eval-containers"))
    assert not [one for one in valid(path)["results"]["observability"] if one.startswith("eval_containers_")]


def test_their_report_on_a_run_gives_scores_calls_and_tokens_and_no_rate() -> None:
    report = read(theirs(OF_A_RUN))
    result, whole = report.result, report.result.whole
    assert (result.harness, result.purpose, report.own) == ("eval-containers", "accuracy", False)
    assert result.scores == {
        "pass_rate": 2 / 3, "reward": 0.7, "tasks": 4, "passed": 2, "ungraded": 1, "timed_out": 1, "crashed": 0,
        "rust.pass_rate": 0.5, "rust.tasks": 2, "task_s": 120,
    }  # fmt: skip
    assert (whole.requests.completed, whole.requests.failures) == (36, 4)
    assert (whole.prompt_tokens, whole.output_tokens) == (4000, 400)
    assert whole.latencies["e2e"].mean == 2
    # By the second of a task: of tasks side by side no rate of the run.
    assert whole.requests_per_second is None
    assert BY_TASK in report.notes


def test_their_report_on_a_task_gives_its_reward_and_its_rate() -> None:
    result = read(theirs(OF_A_TASK)).result
    assert result.scores == {"pass_rate": 1, "reward": 1, "tasks": 1, "ungraded": 0, "passed": 1}
    assert (result.whole.requests.completed, result.whole.prompt_tokens) == (9, 900)
    assert result.whole.requests_per_second == 0.25


@pytest.mark.parametrize(
    "observability",
    [
        {**OF_A_TASK, "eval_containers_reward": None},
        {**OF_A_RUN, "eval_containers_tasks_scored": 0},
        # A grade that is outstanding, which they count as one.
        {**OF_A_TASK, "eval_containers_reward": -1, "eval_containers_passed": False},
        {**OF_A_RUN, "eval_containers_reward_mean": -1.0, "eval_containers_pass_rate": 0.0},
    ],
)
def test_their_report_on_tasks_that_nobody_graded_has_no_score(observability: dict[str, Any]) -> None:
    result = read(theirs(observability)).result
    assert (result.scores, result.purpose) == ({}, "accuracy")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eval_containers_llm_calls", -1),
        ("eval_containers_llm_calls", "many"),
        ("eval_containers_call_errors", 41),
        ("eval_containers_tasks_scored", 5),
        ("eval_containers_tasks", 2.5),
        ("eval_containers_pass_rate", "high"),
        ("eval_containers_pass_rate_rust", []),
        ("eval_containers_task_latency_seconds", 5),
    ],
)
def test_a_spoilt_key_of_their_report_is_named(key: str, value: Any) -> None:
    with pytest.raises(ResultsError, match=key):
        read(theirs({**OF_A_RUN, key: value}))
