"""What an lm-eval profile means, what is refused with the way out, and what the program is told."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.harness import Command, Place, PlannedStage
from pytest_llmdbench.harnesses.lm_eval import LmEval
from pytest_llmdbench.stacks.spec import Endpoint

ENDPOINT = Endpoint("http://127.0.0.1:9", "org/model", "org/tokenizer")
DEFAULT = {"tasks": "hellaswag,mmlu, piqa", "num_fewshot": 0, "limit": None, "num_concurrent": 4}


def told(folder: Path, profile: dict[str, Any], **place: Any) -> tuple[Command, dict[str, Any]]:
    """The command, and the configuration that it was written for."""
    inside = PurePosixPath("/workspace") if place else PurePosixPath(folder)
    made = LmEval().command(profile, ENDPOINT, Place(folder, inside, **place))
    return made, yaml.safe_load((folder / "lm-eval.yaml").read_text(encoding="utf-8"))


def test_the_one_stage_asks_so_many_questions_at_once() -> None:
    lm_eval = LmEval()
    assert lm_eval.stages(DEFAULT) == (PlannedStage(concurrency=4),)
    assert lm_eval.stages({"tasks": ["piqa"]}) == (PlannedStage(concurrency=1),)
    assert lm_eval.expected_seconds(DEFAULT) is None
    assert lm_eval.purpose == "accuracy"


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"task": "piqa"}, r"no setting 'task'; did you mean 'tasks'\?"),
        ({}, "'tasks' must be names of tasks"),
        ({"tasks": ""}, "at least one task"),
        ({"tasks": [1]}, "'tasks' must be names of tasks"),
        ({"tasks": "piqa", "num_concurrent": 0}, "'num_concurrent' must be a whole number, 1 or more"),
        ({"tasks": "piqa", "num_concurrent": True}, "'num_concurrent' must be a whole number, 1 or more"),
        ({"tasks": "piqa", "num_fewshot": -1}, "'num_fewshot' must be a whole number"),
        ({"tasks": "piqa", "limit": 0}, "'limit' must be a number of samples"),
        ({"tasks": "piqa", "limit": 1.5}, "'limit' must be a number of samples"),
        ({"tasks": "piqa", "model": "hf"}, "'model' 'hf' is no way to ask a server"),
        ({"tasks": "piqa", "auth_token": "x"}, "holds no secrets"),
    ],
)
def test_what_the_program_would_refuse_is_told_with_its_key(profile: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        LmEval().stages(profile)


def test_settings_of_the_run_and_of_the_server_go_where_the_program_has_them(tmp_path: Path) -> None:
    made, config = told(tmp_path, DEFAULT | {"max_retries": 5, "limit": 0.5})
    assert list(made.argv[1:]) == ["run", "--config", str(tmp_path / "lm-eval.yaml")]
    assert config["tasks"] == ["hellaswag", "mmlu", "piqa"]
    assert (config["num_fewshot"], config["limit"], config["log_samples"]) == (0, 0.5, True)
    assert config["output_path"] == str(tmp_path / "out")
    assert config["model_args"] == {
        "model": "org/model",
        "base_url": "http://127.0.0.1:9/v1/completions",
        "tokenizer_backend": "None",
        "num_concurrent": 4,
        "max_retries": 5,
    }


def test_a_chat_is_asked_at_the_path_of_chats(tmp_path: Path) -> None:
    _, config = told(tmp_path, {"tasks": "gsm8k", "model": "local-chat-completions", "apply_chat_template": True})
    assert config["model_args"]["base_url"].endswith("/v1/chat/completions")


@pytest.mark.parametrize("named", [{}, {"tokenizer": "org/model"}])
def test_tasks_that_need_a_tokenizer_get_that_of_the_stack(tmp_path: Path, named: dict[str, str]) -> None:
    _, config = told(tmp_path, {"tasks": "piqa", "tokenizer_backend": "huggingface", **named})
    assert config["model_args"]["tokenizer"] == "org/tokenizer"


def test_the_tasks_that_come_with_the_workloads_are_copied_beside_the_results(tmp_path: Path) -> None:
    _, config = told(tmp_path, {"tasks": "sanity", "include_path": "tasks"})
    assert config["include_path"] == str(tmp_path / "tasks")
    assert {file.name for file in (tmp_path / "tasks").iterdir()} == {"sanity.yaml", "sanity.jsonl", "sanity.py"}


def test_a_folder_of_own_tasks_is_found_from_where_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.yaml").write_text("task: own\n", encoding="utf-8")
    (tmp_path / "case").mkdir()
    monkeypatch.chdir(tmp_path)
    told(tmp_path / "case", {"tasks": "own", "include_path": "./mine"})
    assert (tmp_path / "case" / "tasks" / "own.yaml").is_file()


def test_a_folder_of_tasks_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="'include_path': there is no folder nowhere in workloads/lm-eval/"):
        told(tmp_path, {"tasks": "own", "include_path": "nowhere"})
    with pytest.raises(DeclarationError, match=r"'include_path': there is no folder \./nowhere"):
        told(tmp_path, {"tasks": "own", "include_path": "./nowhere"})


def test_a_folder_of_the_same_name_elsewhere_does_not_hide_the_tasks_of_the_workloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "case").mkdir()
    monkeypatch.chdir(tmp_path)
    told(tmp_path / "case", {"tasks": "sanity", "include_path": "tasks"})
    assert (tmp_path / "case" / "tasks" / "sanity.yaml").is_file()


def test_a_pod_gets_the_configuration_and_the_tasks(tmp_path: Path) -> None:
    made, config = told(tmp_path, {"tasks": "sanity", "include_path": "tasks"}, programs="path")
    assert made.argv == ("lm_eval", "run", "--config", "/workspace/lm-eval.yaml")
    assert made.reads == {"lm-eval.yaml": tmp_path / "lm-eval.yaml", "tasks": tmp_path / "tasks"}
    assert (config["include_path"], config["output_path"]) == ("/workspace/tasks", "/workspace/out")


def test_progress_is_whether_questions_are_asked_yet(tmp_path: Path) -> None:
    look = LmEval().watch(tmp_path)
    assert look().stage is None
    (tmp_path / "stderr.log").write_text("Requesting API:   0%|    | 0/12", encoding="utf-8")
    assert look().stage == 0
