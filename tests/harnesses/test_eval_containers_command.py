"""eval-containers before it runs: what a profile means, which task a load pod gets, and what its program is told."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses import eval_containers_task
from pytest_llmdbench.harnesses.eval_containers import EvalContainers
from pytest_llmdbench.harnesses.eval_containers_profile import LAST_OF_LANGUAGE, language_of
from pytest_llmdbench.harnesses.harness import Command, Place
from pytest_llmdbench.stacks.spec import Endpoint

PROFILE = {"harness": "eval-containers", "benchmark": "aider-polyglot", "tasks": 225, "internet": False}


def command(profile: dict[str, Any], folder: Path, index: int = 0, url: str = "http://stack:80/") -> Command:
    place = Place(folder, PurePosixPath("/workspace"), "path", 2, index)
    return EvalContainers().command(profile, Endpoint(url, "org/model", "org/model"), place)


def tasks(profile: dict[str, Any], folder: Path, pods: int) -> list[str]:
    return [command(profile, folder, index).env["EVAL_TASK_ID"] for index in range(pods)]


def test_each_load_pod_runs_a_task_of_its_own_in_order(tmp_path: Path) -> None:
    assert tasks(PROFILE, tmp_path, 3) == ["0", "1", "2"]


def test_a_wave_begins_with_its_first_task(tmp_path: Path) -> None:
    assert tasks({**PROFILE, "first_task": 60}, tmp_path, 2) == ["60", "61"]


def test_tasks_that_are_named_are_run_in_that_order(tmp_path: Path) -> None:
    assert tasks({**PROFILE, "task_ids": [200, 3, 70]}, tmp_path, 3) == ["200", "3", "70"]


@pytest.mark.parametrize(
    ("profile", "index", "words"),
    [
        ({"first_task": 220}, 5, r"on there are 5: take at most 5 pods \(.*--llmd-parallelism 5\), or begin with an"),
        ({"task_ids": [1, 2]}, 2, r"'task_ids' names 2: take at most 2 pods .*or name more"),
        ({}, 225, r"'first_task' 0 on there are 225: take at most 225 pods"),
    ],
)
def test_more_pods_than_tasks_are_refused_with_how_many_there_may_be(
    profile: dict[str, Any], index: int, words: str, tmp_path: Path
) -> None:
    with pytest.raises(DeclarationError, match=words):
        command({**PROFILE, **profile}, tmp_path, index)


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"task_id": 3}, r"no key 'task_id'; did you mean 'task_ids'"),
        ({"tasks": "all"}, "'tasks' must be a whole number, 1 or more"),
        ({"first_task": -1}, "'first_task' must be a whole number, 0 or more"),
        ({"first_task": 225}, "'first_task': there is no task 225; of 225, counted from 0, the last one is 224"),
        ({"task_ids": [3, 300]}, "'task_ids': there is no task 300"),
        ({"task_ids": []}, "'task_ids' must be different whole numbers"),
        ({"task_ids": [1, 1]}, "'task_ids' must be different whole numbers"),
        ({"task_ids": [1], "first_task": 1}, "leave one of them out"),
        ({"timeout_s": 0}, "'timeout_s' must be a whole number, 1 or more"),
        ({"gateway_timeout_s": 1.5}, "'gateway_timeout_s' must be a whole number"),
        ({"benchmark": 3}, "'benchmark' must be a name"),
        ({"env": ["EVAL_X=1"]}, "'env' must be names of variables and their values"),
        ({"env": {"EVAL_TASK_ID": 3}}, "'env.EVAL_TASK_ID' is filled in by the run: task_ids or first_task says it"),
        ({"env": {"EVAL_TIMEOUT": 3}}, "timeout_s says it"),
        ({"env": {"PATH": "/"}}, "'env.PATH': variables of the image are called EVAL_"),
        ({"env": {"EVAL_API_KEY": "x"}}, "EVAL_API_KEY looks like a secret"),
        ({"env": {"EVAL_X": [1]}}, "'env.EVAL_X' must be one value"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(profile: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        EvalContainers().stages({**PROFILE, **profile})


@pytest.mark.parametrize(
    ("benchmark", "image"),
    [
        ("terminal-bench", "evals/terminal-bench-hello-world--codex:latest"),
        ("tbench", "ghcr.io/exgentic/evals/terminal-bench-hello-world--codex"),
        ("webarena-verified", "ghcr.io/exgentic/evals/webarena--codex:latest"),
        (None, "ghcr.io/exgentic/evals/webarena--codex:latest"),
    ],
)
def test_an_image_of_one_task_or_by_the_benchmark_s_other_name_can_run_it(benchmark: str | None, image: str) -> None:
    EvalContainers().check_pods({"benchmark": benchmark}, 1, image)


@pytest.mark.parametrize("image", ["evals/gaia2--codex", "registry:5000/x/evals/webarena--gaia-agent:1"])
def test_an_image_whose_name_says_another_benchmark_cannot_run_it(image: str) -> None:
    with pytest.raises(DeclarationError, match=r"benchmark '(gaia2|webarena)'.*load\.image=.*evals/gaia--AGENT"):
        EvalContainers().check_pods({"benchmark": "gaia"}, 1, image)


def test_another_version_is_that_of_the_image() -> None:
    with pytest.raises(DeclarationError, match=r"not 9\.9; the version of the benchmark is that of load\.image"):
        EvalContainers("9.9")


def test_on_this_machine_it_says_that_it_runs_in_load_pods(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"load pods of a cluster alone.*load\.where: cluster.*load\.image"):
        EvalContainers().command(PROFILE, Endpoint("http://h", "m", "m"), Place.here(tmp_path))


def test_the_image_is_told_the_endpoint_s_root_and_the_bare_name_of_the_model(tmp_path: Path) -> None:
    told = {**PROFILE, "timeout_s": 1500, "env": {"EVAL_MODEL_API": "openai", "EVAL_NOTHING": None}}
    env = command(told, tmp_path, url="http://stack:80/v1").env
    assert env == {
        "EVAL_MODEL_API": "openai",
        "EVAL_TIMEOUT": "1500",
        "OPENAI_API_BASE": "http://stack:80",
        "OPENAI_API_KEY": "none",
        "EVAL_MODEL": "org/model",
        "EVAL_TASK_ID": "0",
    }


def test_the_program_is_brought_along_with_what_it_is_told(tmp_path: Path) -> None:
    made = command({**PROFILE, "gateway_timeout_s": 900}, tmp_path, 7)
    assert list(made.argv) == [
        "python3", "-I", "/workspace/eval_containers_task.py", "/workspace/eval-containers.json",
    ]  # fmt: skip
    assert set(made.reads) == {"eval_containers_task.py", "eval-containers.json"}
    assert json.loads((tmp_path / "eval-containers.json").read_text(encoding="utf-8")) == {
        "task_id": 7,
        "benchmark": "aider-polyglot",
        "entrypoint": ["/entrypoint.sh", "/usr/local/bin/run"],
        "output": "/output",
        "verifier": "/logs/verifier",
        "gateway": {"template": "/opt/gateway/data/config.json.template", "timeout_s": 900},
    }


def test_the_program_imports_nothing_but_python() -> None:
    text = Path(eval_containers_task.__file__).read_text(encoding="utf-8")
    assert set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)) <= sys.stdlib_module_names


def test_each_language_of_aider_polyglot_has_the_tasks_up_to_its_last_one() -> None:
    bounds = {"cpp": (0, 25), "go": (26, 64), "java": (65, 111), "javascript": (112, 160), "python": (161, 194)}
    for language, ends in {**bounds, "rust": (195, 224)}.items():
        assert {language_of("aider-polyglot", task) for task in ends} == {language}
    assert language_of("aider-polyglot", LAST_OF_LANGUAGE["rust"] + 1) is None
    assert language_of("gaia", 3) is None
