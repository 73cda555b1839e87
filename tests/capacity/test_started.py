"""What engines that really started say of their memory, beside what was estimated before.

Logs of GPUs are made up: figures that somebody measured, in the words that vLLM has for them. Those of processors are
genuine.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.capacity import FACT
from pytest_llmdbench.capacity.configuration import DEFAULT_VERSION
from pytest_llmdbench.capacity.corrections import default_file
from pytest_llmdbench.capacity.engines import engines
from pytest_llmdbench.capacity.main import main
from pytest_llmdbench.capacity.preflight import check_scenario
from pytest_llmdbench.capacity.products import Product
from pytest_llmdbench.capacity.started import (
    Started,
    facts_of_start,
    products_of_start,
    read_started,
    store_started,
    without_gpu,
)
from pytest_llmdbench.capacity.texts import started_line
from pytest_llmdbench.declared.scenario import Scenario
from tests.capacity.made_up_log import made_up_log

GENUINE = sorted((Path(__file__).parents[1] / "data" / "vllm-startup").glob("*.log"))


def scenario(**changes: Any) -> Scenario:
    data: dict[str, Any] = {
        "deploy": "standalone",
        "model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
        "accelerator": {"product": "NVIDIA-H100-80GB-HBM3"},
        "vllm": {"max_model_len": 8192, "gpu_memory_utilization": 0.95},
    }
    return Scenario.model_validate(data | changes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "corrections.json"


def started(folder: Path, file: Path, text: str | None = None, **changes: Any) -> list[Started]:
    """What is read from the fact of a stack with one engine that left this log."""
    log = folder / "server.log"
    log.write_text(made_up_log() if text is None else text, encoding="utf-8")
    fact = facts_of_start(scenario(**changes), {"server": str(log)}, file)
    return read_started(json.loads(json.dumps({"engine": "vllm", **fact})))


def test_a_start_is_set_beside_the_estimate_for_the_release_that_the_made_up_log_states(
    tmp_path: Path, file: Path
) -> None:
    (one,) = started(tmp_path, file, engine={"image": "docker.io/vllm/vllm-openai:v0.26.0"})
    assert (one.role, one.name) == ("server", "meta-llama/Llama-3.1-8B-Instruct on 1 x H100-SXM-80GB, vLLM 0.19.0")
    errors = {each.name: each.error for each in one.compared}
    assert list(errors) == ["weights", "KV cache", "KV cache tokens", "concurrency"]
    assert all(error == pytest.approx(0, abs=0.01) for error in errors.values())
    assert re.fullmatch(
        r"server: KV cache 58\.11 GiB, estimated 58\.\d\d \(.0\.\d%\); concurrency 58\.1, estimated 58\.\d \(.0\.\d%\)",
        started_line(one),
    )


def test_a_log_that_states_no_release_is_of_that_of_the_image(tmp_path: Path, file: Path) -> None:
    for version in (None, "0.1.dev1+g01234ab"):
        (one,) = started(
            tmp_path, file, made_up_log(version=version), engine={"image": "docker.io/vllm/vllm-openai:v0.20.1"}
        )
        assert one.vllm == "0.20.1"


@pytest.mark.parametrize(
    ("image", "release"),
    [
        ("docker.io/vllm/vllm-openai:v0.19.1", "0.19.1"),
        ("vllm/vllm-openai:v0.19.0-cu129", "0.19.0"),
        ("registry:5000/vllm/vllm-openai", DEFAULT_VERSION),
        ("vllm/vllm-openai:nightly", DEFAULT_VERSION),
        ("ghcr.io/llm-d/llm-d-cuda:v0.7.0", DEFAULT_VERSION),
    ],
)
def test_only_an_image_named_for_vllm_has_its_release_for_a_tag(image: str, release: str) -> None:
    (engine,) = engines(scenario(engine={"image": image}))
    assert engine.config.version == release


def test_each_role_has_the_log_of_its_own_name(tmp_path: Path, file: Path) -> None:
    logs = {}
    for role, tokens in (("decode", 476_016), ("prefill", 400_000)):
        log = tmp_path / f"{role}.log"
        log.write_text(made_up_log(kv_tokens=tokens), encoding="utf-8")
        logs[role] = str(log)
    pair = scenario(deploy="modelservice", prefill={"replicas": 1})
    found = read_started(facts_of_start(pair, logs, file))
    measured = {one.role: each.measured for one in found for each in one.compared if each.name == "KV cache tokens"}
    assert measured == {"decode": 476_016, "prefill": 400_000}
    del logs["prefill"]
    assert [one.role for one in read_started(facts_of_start(pair, logs, file))] == ["decode"]


@pytest.mark.parametrize("log", GENUINE, ids=lambda path: path.stem)
def test_a_genuine_log_of_an_engine_on_processors_is_compared_with_no_gpu(log: Path, file: Path) -> None:
    assert facts_of_start(scenario(), {"server": str(log)}, file) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"accelerator": {}},
        {"accelerator": {"product": "ACME-1000"}},
        {"model": {"name": "acme/secret-9000B"}},
        {"engine": {"kind": "simulator"}},
        {"deploy": "local", "engine": {"kind": "vllm"}},
        {"pods": {"gpus": 0}},
        {"vllm": {"dtype": "acme"}},
        {"vllm": {"extra_args": ["--speculative-config={}"]}},
    ],
)
def test_an_engine_of_which_too_little_is_known_is_left_out(
    tmp_path: Path, file: Path, changes: dict[str, Any]
) -> None:
    assert started(tmp_path, file, **changes) == []


PAIR = {"deploy": "modelservice", "prefill": {"replicas": 1}, "accelerator": {}}
H100 = Product("NVIDIA-H100-80GB-HBM3", "by the label nvidia.com/gpu.product of its node")


def pair_of_logs(folder: Path, device: str | None = None) -> dict[str, str]:
    """Made-up logs of a prefill and a decode engine."""
    for role in ("decode", "prefill"):
        (folder / f"{role}.log").write_text(made_up_log(device=device), encoding="utf-8")
    return {role: str(folder / f"{role}.log") for role in ("decode", "prefill")}


def test_where_the_scenario_names_no_gpu_each_role_is_compared_on_that_of_its_node(tmp_path: Path, file: Path) -> None:
    pair, logs = scenario(**PAIR), pair_of_logs(tmp_path)
    found = products_of_start(pair, logs, {"decode": H100, "prefill": Product("NVIDIA-H200", "by its node")})
    decode, prefill = read_started(json.loads(json.dumps(facts_of_start(pair, logs, file, found))))
    assert (decode.gpu, decode.gpu_known) == ("H100-SXM-80GB", H100.source)
    assert (prefill.gpu, prefill.gpu_known) == ("H200-SXM-141GB", "by its node")
    # The made-up figures are those of an H100.
    assert next(one.error for one in decode.compared if one.name == "KV cache") == pytest.approx(0, abs=0.01)
    assert without_gpu(pair, logs, found) == []


def test_a_gpu_that_no_node_tells_is_that_which_the_made_up_log_names(tmp_path: Path, file: Path) -> None:
    pair, logs = scenario(**PAIR), pair_of_logs(tmp_path, "NVIDIA_L40S")
    found = products_of_start(pair, logs, {"decode": H100})
    decode, prefill = read_started(facts_of_start(pair, logs, file, found))
    assert (decode.gpu, prefill.gpu, prefill.gpu_known) == ("H100-SXM-80GB", "L40S", "by its own log")


def test_a_slice_that_a_label_names_is_not_taken_for_the_gpu_of_the_made_up_log(tmp_path: Path, file: Path) -> None:
    pair, logs = scenario(**PAIR), pair_of_logs(tmp_path, "NVIDIA_H100_80GB_HBM3")
    slices = dict.fromkeys(("decode", "prefill"), Product("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", "by its node"))
    found = products_of_start(pair, logs, slices)  # type: ignore[arg-type]
    assert facts_of_start(pair, logs, file, found) == {}
    assert without_gpu(pair, logs, found) == []


def test_a_gpu_that_the_scenario_names_is_believed_whatever_its_made_up_log_says(tmp_path: Path, file: Path) -> None:
    logs = pair_of_logs(tmp_path, "NVIDIA_L40S")
    named = scenario(deploy="modelservice")
    assert products_of_start(named, logs, {}) == {}
    (decode,) = read_started(facts_of_start(named, logs, file, {"decode": Product("NVIDIA-L4", "by its node")}))
    assert (decode.gpu, decode.gpu_known) == ("H100-SXM-80GB", "")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, ["decode", "prefill"]),
        ({"model": {"name": "acme/secret-9000B"}}, []),
        ({"accelerator": {"resource": "gpu.intel.com/i915"}}, []),
        ({"accelerator": {"product": "ACME-1000"}}, []),
        ({"pods": {"gpus": 0}}, []),
    ],
)
def test_roles_of_which_the_gpu_alone_is_not_known_are_named(
    tmp_path: Path, changes: dict[str, Any], named: list[str]
) -> None:
    logs = pair_of_logs(tmp_path)
    assert without_gpu(scenario(**PAIR | changes), logs, {}) == named
    (tmp_path / "prefill.log").write_text("hello\n", encoding="utf-8")
    assert without_gpu(scenario(**PAIR | changes), logs, {}) == named[:1]


def test_what_a_start_showed_is_kept_for_the_gpu_that_it_was_found_on(tmp_path: Path, file: Path) -> None:
    logs = {"server": pair_of_logs(tmp_path)["decode"]}
    unnamed = scenario(accelerator={})
    found = read_started(facts_of_start(unnamed, logs, file, {"pods": H100}))
    (line,) = store_started(unnamed, found, file)
    assert "H100-SXM-80GB" in line
    assert " | H100-SXM-80GB | " in next(iter(json.loads(file.read_text())))


def test_a_log_that_is_not_there_or_says_nothing_is_left_out(tmp_path: Path, file: Path) -> None:
    assert started(tmp_path, file, "hello\n") == []
    assert facts_of_start(scenario(), {"server": str(tmp_path / "none.log")}, file) == {}


@pytest.mark.parametrize("fact", [None, [], 3, {FACT: "x"}, {FACT: [{}]}, {FACT: [{"role": 1}]}, {FACT: {"a": []}}])
def test_facts_of_another_form_tell_of_no_engine(fact: Any) -> None:
    assert read_started(fact) == []


def test_what_a_start_showed_counts_before_the_next_one(tmp_path: Path) -> None:
    file = default_file()
    log = made_up_log(version=DEFAULT_VERSION, kv_gib=55.0)
    (before,) = check_scenario(scenario())
    (line,) = store_started(scenario(), started(tmp_path, file, log), file)
    assert str(file) in line
    (after,) = check_scenario(scenario())
    assert before.validation.memory.kv != pytest.approx(55.0, abs=0.1)
    assert after.validation.memory.kv == pytest.approx(55.0, abs=0.01)
    (again,) = started(tmp_path, file, log)
    assert next(one.error for one in again.compared if one.name == "KV cache") == pytest.approx(0, abs=0.001)
    assert again.correction_gib == pytest.approx(after.validation.config.correction_gib)


def test_what_cannot_be_a_correction_is_told_and_not_kept(tmp_path: Path, file: Path) -> None:
    (line,) = store_started(scenario(), started(tmp_path, file, made_up_log(kv_gib=20.0)), file)
    assert "nothing was stored" in line
    assert not file.exists()
    found = [replace(one, role="another") for one in started(tmp_path, file)]
    assert list(store_started(scenario(), found, file)) == []


def test_the_command_takes_the_release_of_the_log_unless_one_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(made_up_log(), encoding="utf-8")
    words = [
        "compare",
        str(log),
        "meta-llama/Llama-3.1-8B-Instruct",
        "--gpu",
        "H100",
        "--max-model-len",
        "8192",
        "--json",
    ]
    words += ["--gpu-memory-utilization", "0.95"]
    estimates = []
    for more in ([], ["--vllm", "0.19"], ["--vllm", "0.26"]):
        assert main([*words, *more]) == 0
        found = {one["name"]: one["estimated"] for one in json.loads(capsys.readouterr().out)}
        estimates.append(found["KV cache"])
    assert estimates[0] == estimates[1] != estimates[2]


def test_the_command_refuses_a_genuine_log_of_an_engine_on_processors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(GENUINE[0]), "Qwen/Qwen3-8B", "--gpu", "H100"]) == 2
    assert "ran on processors" in capsys.readouterr().err
