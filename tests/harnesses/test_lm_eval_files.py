"""Files of genuine runs of lm-eval, and what can be wrong with such files, as scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.lm_eval import LmEval
from pytest_llmdbench.harnesses.lm_eval_files import NO_TEXT
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.results.result import Result

SAMPLES = Path(__file__).parents[1] / "data" / "lm-eval"


def run(folder: Path) -> Result:
    return read_run(LmEval(), [folder], folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a good run's files, to be spoilt."""
    return Path(shutil.copytree(SAMPLES / "tiny-task-no-tokenizer", tmp_path / "run"))


def results_of(folder: Path) -> Path:
    return next((folder / "out").rglob("results_*.json"))


def edit(folder: Path, change: Callable[[Any], None]) -> None:
    path = results_of(folder)
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def test_scores_are_named_by_task_and_metric_with_their_standard_error(folder: Path) -> None:
    result = run(folder)
    assert result.purpose == "accuracy"
    assert result.scores == {"tiny_sum.exact_match": 0.0, "tiny_sum.exact_match_stderr": 0.0}


@pytest.mark.parametrize(("case", "asked"), [("tiny-task-no-tokenizer", 12), ("sanity", 20)])
def test_the_questions_that_were_answered_are_those_the_server_answered(case: str, asked: int) -> None:
    result = run(SAMPLES / case)
    assert (result.whole.requests.completed, result.whole.requests.failures) == (asked, 0)
    assert result.stages == (result.whole,)
    assert (result.whole.latencies, result.whole.lengths, result.table) == ({}, {}, None)


def test_a_task_may_have_metrics_of_its_own() -> None:
    scores = run(SAMPLES / "sanity").scores
    assert scores["sanity.answered"] == 1.0
    assert scores["sanity.correct"] == 0.0


def test_a_filter_of_answers_is_part_of_the_name_and_a_group_has_scores_too(folder: Path) -> None:
    def add(data: Any) -> None:
        data["results"]["gsm8k"] = {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.25,
            "exact_match_stderr,strict-match": 0.01,
            "exact_match,flexible-extract": 0.5,
            "exact_match_stderr,flexible-extract": "N/A",
        }
        data["results"]["mmlu"] = {"alias": "mmlu", "acc,none": 0.75, "acc_stderr,none": float("nan")}

    edit(folder, add)
    scores = run(folder).scores
    assert {name: score for name, score in scores.items() if not name.startswith("tiny_sum")} == {
        "gsm8k.exact_match.strict-match": 0.25,
        "gsm8k.exact_match_stderr.strict-match": 0.01,
        "gsm8k.exact_match.flexible-extract": 0.5,
        "mmlu.acc": 0.75,
    }


def test_answers_without_a_text_are_failures(folder: Path) -> None:
    with (folder / "stderr.log").open("a", encoding="utf-8") as log:
        log.write("WARNING [models.api_models:544] API returned null content. Content filled with ``.\n" * 3)
    requests = run(folder).whole.requests
    assert (requests.completed, requests.failed) == (9, {NO_TEXT: 3})


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("fail-404-model", r"no answer after all its retries, which ends it: HTTP 404 \(16 times\); see .*stderr\.log"),
        ("fail-server-down", r"no answer after all its retries, which ends it: ClientConnectorError \(\d+ times\)"),
        ("fail-hub-unreachable", r"Hugging Face hub, which has to be reachable .*'include_path'.*stderr\.log"),
        ("fail-no-such-task", "there is no task of the name sanityy"),
    ],
)
def test_a_run_without_results_says_why(case: str, why: str) -> None:
    with pytest.raises(HarnessError, match=rf"lm-eval wrote no results: .*{why}"):
        run(SAMPLES / case)


def test_a_run_that_left_nothing_at_all_says_so(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"ended before them, and there is no .*stderr\.log"):
        run(tmp_path)


def test_several_programs_cannot_be_merged(folder: Path) -> None:
    with pytest.raises(HarnessError, match="kept no single requests"):
        read_run(LmEval(), [folder, folder], folder)


@pytest.mark.parametrize("text", ["", '{"results": {', "[1, 2]", "null", "\0", "[" * 100_000, '{"results": {}}', "{}"])
def test_a_file_that_was_cut_short_or_is_not_its_own_names_itself(folder: Path, text: str) -> None:
    results_of(folder).write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError, match=r"results_.*\.json"):
        run(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("results", [1]),
        ("results.tiny_sum", 0.5),
        ("results.tiny_sum.exact_match,none", "good"),
        ("results.tiny_sum.exact_match,none", None),
        ("results.tiny_sum.exact_match,none", True),
        ("results.tiny_sum.exact_match,none", float("nan")),
        ("results.tiny_sum.exact_match,none", 10**400),
        ("n-samples", 12),
        ("n-samples.tiny_sum", 12),
        ("n-samples.tiny_sum.effective", "12"),
        ("n-samples.tiny_sum.effective", None),
        ("n-samples.tiny_sum.effective", -1),
    ],
)
def test_a_value_of_a_wrong_kind_is_named_with_file_and_field(folder: Path, field: str, value: object) -> None:
    def spoil(data: Any) -> None:
        *above, last = field.split(".")
        for key in above:
            data = data[key]
        data[last] = value

    edit(folder, spoil)
    with pytest.raises(HarnessError, match=r"results_.*\.json: '") as caught:
        run(folder)
    assert field.split(".", maxsplit=1)[0] in str(caught.value)
