"""The real lm-eval against the simulator: installs about 680 MB on first use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from pytest_llmdbench.declared.places import shipped_root
from pytest_llmdbench.declared.workload import load_workload
from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.harness import Place
from pytest_llmdbench.harnesses.launcher import launch
from pytest_llmdbench.harnesses.lm_eval import LmEval
from pytest_llmdbench.harnesses.progress_line import Outline
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.stacks.spec import Endpoint
from tests.harnesses.inference_perf_runs import MODEL, simulator

pytestmark = pytest.mark.harness

SANITY = dict(load_workload(shipped_root() / "workloads" / "lm-eval" / "sanity.yaml", "lm-eval").profile)


@pytest.fixture(scope="module")
def program() -> LmEval:
    """lm-eval, installed."""
    one = LmEval()
    one.prepare(print)
    return one


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with simulator(tmp_path_factory.mktemp("simulator")) as one:
        yield one


def run(program: LmEval, profile: dict[str, Any], url: str, folder: Path, model: str = MODEL) -> Result:
    endpoint = Endpoint(url, model, str(simulator_tokenizer()))
    command = program.command(profile, endpoint, Place.here(folder))
    launch(command, Outline(program.name, url, 1, None), timeout_s=240, watch=program.watch(folder), say=print)
    return read_run(program, [folder], folder)


def seen(url: str) -> Any:
    with urlopen(f"{url}/sim/stats") as answer:
        return json.load(answer)["requests"]


def begin(url: str, **faults: float) -> None:
    """Begin a new window of the simulator's statistics."""
    for path, body in (("/sim/faults", faults), ("/sim/reset", {})):
        told = Request(url + path, json.dumps(body).encode(), {"content-type": "application/json"}, method="POST")
        with urlopen(told) as answer:
            assert answer.status == 200


def test_the_sanity_workload_asks_all_its_questions_and_needs_no_network(
    program: LmEval, url: str, tmp_path: Path
) -> None:
    begin(url)
    result = run(program, SANITY, url, tmp_path)
    assert result.whole.requests.completed == seen(url)["finished"] == 20
    assert result.scores["sanity.answered"] == 1.0
    assert 0 <= result.scores["sanity.correct"] < 0.5  # the simulator answers in words drawn at random
    samples = next((tmp_path / "out").rglob("samples_sanity_*.jsonl"))
    assert len(samples.read_text(encoding="utf-8").splitlines()) == 20


def test_questions_can_be_asked_as_a_chat_and_failed_ones_are_asked_again(
    program: LmEval, url: str, tmp_path: Path
) -> None:
    begin(url, error_rate=0.2)
    told = {**SANITY, "limit": 8, "max_retries": 10, "model": "local-chat-completions", "apply_chat_template": True}
    result = run(program, told, url, tmp_path)
    assert result.whole.requests.completed == seen(url)["finished"] == 8
    assert result.scores["sanity.answered"] == 1.0


def test_a_question_that_gets_no_answer_ends_the_run_and_says_why(program: LmEval, url: str, tmp_path: Path) -> None:
    begin(url)
    with pytest.raises(HarnessError, match=r"no answer after all its retries.*HTTP 404"):
        run(program, {**SANITY, "limit": 2, "max_retries": 1}, url, tmp_path, model="nope")
