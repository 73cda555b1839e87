"""The workloads that come with the plugin: each one loads, plans and is what its harness can be told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from pytest_llmdbench.declared.places import shipped_root
from pytest_llmdbench.declared.tokens import DATASET, dataset_values, fill_tokens
from pytest_llmdbench.declared.workload import Workload, load_workload
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.harness import Place
from pytest_llmdbench.harnesses.registry import Harnesses
from pytest_llmdbench.planned_load import PlannedLoad, plan_load
from pytest_llmdbench.stacks.spec import Endpoint
from pytest_llmdbench.verdicts.share import requests_to_prove

HARNESSES = Harnesses()
ROOT = shipped_root() / "workloads"
FILES = [path for path in sorted(ROOT.glob("*/*.yaml")) if path.parent.name in HARNESSES.names]
STACK: dict[str, Any] = {
    "LLMDBENCH_DEPLOY_CURRENT_MODEL": "org/model",
    "LLMDBENCH_DEPLOY_CURRENT_TOKENIZER": "org/model",
    "LLMDBENCH_DEPLOY_CURRENT_MAX_MODEL_LEN": 32768,
    "LLMDBENCH_HARNESS_STACK_ENDPOINT_URL": "http://127.0.0.1:8000",
}
#: Harnesses whose programs run in load pods alone.
IN_PODS = ("eval-containers",)
#: eval-containers' profiles: how many tasks their benchmarks have.
TASKS = {"aider-polyglot": 225, "gaia": 165}
#: inference-perf's profiles: how many requests they plan, in how many seconds of load, without the pauses.
#: None: the load does not say; a closed loop has no time, and a replay neither.
SHAPES: dict[str, tuple[int | None, float | None]] = {
    "agent_llm_traces_v2": (None, None),
    "agentic_code_generation": (2100, None),
    "chatbot_sharegpt": (1800, 480),
    "chatbot_synthetic": (1800, 480),
    "code_completion_synthetic": (1800, 480),
    "guide_kimi-k3-h100_1": (580, None),
    "guide_multimodal-serving_1": (17000, 1300),
    "guide_optimized-baseline_1": (17084, 502),
    "guide_optimized-baseline_2": (1910, 220),
    "guide_p2p-kv-cache-sharing_1": (1152, None),
    "guide_pd-disaggregation_1": (5400, 120),
    "guide_pd-disaggregation_2": (120, 120),
    "guide_precise-prefix-cache-routing_1": (17084, 502),
    "guide_precise-prefix-cache-routing_2": (4768, 252),
    "guide_predicted-latency-routing_1": (192, None),
    "guide_tiered-prefix-cache_1": (10800, 480),
    "guide_wide-ep-lws_1": (8192, None),
    "interactive-chat": (1500, None),
    "otel_traces": (None, None),
    "random_concurrent": (480, None),
    "sanity_random": (30, 30),
    "shared_prefix_multi_turn_chat": (840, 240),
    "shared_prefix_synthetic": (3600, 350),
    "shared_prefix_synthetic_heavy": (660, 420),
    "shared_prefix_synthetic_short": (60, 60),
    "summarization_synthetic": (1800, 480),
    "weka_traces": (None, None),
}


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def shipped(path: Path) -> Workload:
    return load_workload(path, path.parent.name)


def needs(workload: Workload) -> str | None:
    """What ``--llmd-dataset`` has to name for this workload: ``folder``, ``file``, or nothing."""
    text = str({**workload.profile, **workload.header.dataset})
    folder, file = (f"REPLACE_ENV_{name}" in text for name in DATASET)
    return "file" if file else "folder" if folder else None


def planned(path: Path, tmp_path: Path, *, quick: bool) -> tuple[PlannedLoad, dict[str, Any]]:
    """The load as planned, and the profile with everything filled in."""
    workload, program = shipped(path), HARNESSES(path.parent.name)
    (tmp_path / "data.json").write_text("[]", encoding="utf-8")
    dataset = {"folder": tmp_path, "file": tmp_path / "data.json", None: None}[needs(workload)]
    load = plan_load(workload, program, None, (), quick=quick, dataset=dataset)
    return load, fill_tokens(load.profile, STACK | (dataset_values(dataset) if dataset else {}))


@pytest.mark.parametrize("size", ["full", "quick"])
@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_shipped_workload_plans_and_becomes_a_command(path: Path, size: str, tmp_path: Path) -> None:
    load, profile = planned(path, tmp_path, quick=size == "quick")
    folder = tmp_path / "case"
    folder.mkdir()
    endpoint = Endpoint("http://127.0.0.1:8000", "org/model", "org/model")
    pod = Place(folder, PurePosixPath("/workspace"), "path")
    command = load.harness.command(profile, endpoint, pod if load.harness.name in IN_PODS else Place.here(folder))
    assert command.argv
    assert "REPLACE_ENV" not in "".join(file.read_text() for file in folder.rglob("*") if file.is_file())
    assert "REPLACE_ENV" not in " ".join(command.argv)


def test_every_folder_of_workloads_is_a_harness_s() -> None:
    assert {path.name for path in ROOT.iterdir() if path.is_dir()} <= set(HARNESSES.names)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_shipped_workload_says_in_one_line_what_it_is(path: Path) -> None:
    description = shipped(path).header.description
    assert description
    assert len(description) <= 150
    assert "\n" not in description


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_quick_form_of_a_load_takes_about_a_minute(path: Path, tmp_path: Path) -> None:
    load, _ = planned(path, tmp_path, quick=True)
    assert load.expected_s is None or load.expected_s <= 90
    assert sum(stage.requests or 0 for stage in load.stages) <= 500


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_quick_form_of_a_load_has_enough_requests_to_prove_a_p90(path: Path, tmp_path: Path) -> None:
    load, _ = planned(path, tmp_path, quick=True)
    counted = [stage.requests for stage in load.stages[load.workload.warmup.stages :]]
    if load.harness.purpose == "load" and not load.workload.header.smoke and None not in counted:
        assert sum(one or 0 for one in counted) >= requests_to_prove(0.1)


def test_a_harness_has_one_main_workload_of_a_use_case() -> None:
    named = Counter((path.parent.name, use_case) for path in FILES if (use_case := shipped(path).header.use_case))
    assert [one for one, count in named.items() if count > 1] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_workload_without_its_data_set_is_refused_or_reads_the_hubs(path: Path) -> None:
    workload, program = shipped(path), HARNESSES(path.parent.name)
    if needs(workload) and not workload.header.dataset:
        with pytest.raises(DeclarationError, match="--llmd-dataset"):
            plan_load(workload, program, None, (), quick=False)
    else:
        plan_load(workload, program, None, (), quick=False)


@pytest.mark.parametrize("size", ["full", "quick"])
@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_stage_that_fills_the_caches_sends_each_prompt_once(path: Path, size: str, tmp_path: Path) -> None:
    load, profile = planned(path, tmp_path, quick=size == "quick")
    if load.workload.header.warmup == "stage0" and path.parent.name == "inference-perf":
        shared = profile["data"]["shared_prefix"]
        assert load.stages[0].requests == shared["num_groups"] * shared["num_prompts_per_group"]


def test_all_profiles_of_inference_perf_are_here() -> None:
    assert {path.stem for path in FILES if path.parent.name == "inference-perf"} == set(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_a_profile_of_inference_perf_has_the_published_load(name: str) -> None:
    path = ROOT / "inference-perf" / f"{name}.yaml"
    stages = HARNESSES("inference-perf").stages(shipped(path).profile)
    requests = [stage.requests for stage in stages if stage.requests is not None]
    seconds = [stage.duration_s for stage in stages if stage.duration_s is not None]
    assert (sum(requests) if requests else None, sum(seconds) if seconds else None) == SHAPES[name]


def test_both_profiles_of_eval_containers_are_here_with_all_their_tasks() -> None:
    found = {path.stem: shipped(path) for path in FILES if path.parent.name == "eval-containers"}
    assert {name: one.profile["tasks"] for name, one in found.items()} == TASKS
    assert {one.profile["benchmark"] for one in found.values()} == set(TASKS)


def test_no_name_of_an_agentic_workload_holds_that_of_another_use_case() -> None:
    others = {shipped(path).header.use_case for path in FILES if path.stem not in TASKS} - {""}
    assert not [(name, one) for name in TASKS for one in others if one in name]
