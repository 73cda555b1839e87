"""What guidellm is told, and what it says while it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses import guidellm, guidellm_tokenizer
from pytest_llmdbench.harnesses.guidellm import Guidellm
from pytest_llmdbench.harnesses.harness import Command, Place, Progress
from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer
from pytest_llmdbench.simulator.words import vocabulary
from pytest_llmdbench.stacks.spec import Endpoint

PROFILE: dict[str, Any] = {
    "spec": {
        "profile": {"kind": "constant", "rate": [10, 20]},
        "constraints": [{"kind": "max_duration", "seconds": 30}],
        "data": [{"kind": "synthetic_text", "prompt_tokens": 40}],
    }
}
SHIM = Path(guidellm.__file__).with_name("torch_shim")


def with_spec(**sections: Any) -> dict[str, Any]:
    return {"spec": PROFILE["spec"] | sections}


def started(profile: dict[str, Any], place: Place, tokenizer: str = "org/model", version: str | None = None) -> Command:
    return Guidellm(version).command(profile, Endpoint("http://127.0.0.1:8000", "sim/model", tokenizer), place)


def told(profile: dict[str, Any], folder: Path, tokenizer: str = "org/model", version: str | None = None) -> Any:
    """The scenario that the program gets, its ``spec``."""
    command = started(profile, Place.here(folder), tokenizer, version)
    assert list(command.argv[1:3]) == ["run", "--scenario"]
    return yaml.safe_load(Path(command.argv[3]).read_text(encoding="utf-8"))["spec"]


def test_what_only_the_run_knows_is_filled_in(tmp_path: Path) -> None:
    spec = told(PROFILE, tmp_path)
    assert spec["backend"] == {"kind": "openai_http", "target": "http://127.0.0.1:8000", "model": "sim/model"}
    assert spec["tokenizer"] == {"kind": "huggingface_auto", "model": "org/model"}
    assert spec["outputs"] == [{"kind": "json", "path": str(tmp_path / "results.json")}]


def test_silent_profiles_get_a_seed_and_no_prompts_in_their_report(tmp_path: Path) -> None:
    spec = told(PROFILE, tmp_path)
    assert spec["seed"] == {"kind": "static", "value": 42}
    assert spec["metrics"] == {"kind": "generative", "sample_size": 0}


def test_only_releases_that_know_it_are_told_how_many_prompts_to_make_in_advance(tmp_path: Path) -> None:
    assert told(PROFILE, tmp_path)["data_loader"] == {"kind": "pytorch", "num_workers": 1, "prefetch_factor": 64}
    assert told(PROFILE, tmp_path, version="0.7.3")["data_loader"] == {"kind": "pytorch", "num_workers": 1}


def test_what_the_profile_says_stays(tmp_path: Path) -> None:
    profile = with_spec(
        backend={"model": "adapter", "target": "http://elsewhere", "request_format": "/v1/completions", "timeout": 5},
        tokenizer={"kind": "hf_auto", "model": "org/other"},
        data_loader={"samples": 10, "num_workers": 2},
        seed={"value": 7},
        metrics={"sample_size": 5},
    )
    spec = told(profile, tmp_path)
    assert spec["backend"] == {
        "kind": "openai_http",
        "model": "adapter",
        "target": "http://127.0.0.1:8000",
        "request_format": "/v1/completions",
        "timeout": 5,
    }
    assert spec["tokenizer"] == {"kind": "hf_auto", "model": "org/other"}
    assert (spec["data_loader"]["samples"], spec["data_loader"]["num_workers"]) == (10, 2)
    assert (spec["seed"]["value"], spec["metrics"]["sample_size"]) == (7, 5)
    assert spec["profile"] == PROFILE["spec"]["profile"]


def test_the_profile_itself_is_not_changed(tmp_path: Path) -> None:
    before = yaml.safe_dump(PROFILE)
    told(PROFILE, tmp_path)
    assert yaml.safe_dump(PROFILE) == before


def test_a_profile_that_names_the_model_as_tokenizer_gets_the_models_tokenizer(tmp_path: Path) -> None:
    assert told(with_spec(tokenizer={"model": "sim/model"}), tmp_path)["tokenizer"]["model"] == "org/model"


def test_a_local_tokenizer_needs_no_network(tmp_path: Path) -> None:
    local, named = (started(PROFILE, Place.here(tmp_path), one) for one in (str(tmp_path), "org/model"))
    assert local.env["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in named.env


def test_a_profile_that_would_be_refused_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"'spec\.data'"):
        told(with_spec(data=[]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_queue_holds_some_seconds_of_an_open_load_and_half_of_a_closed_one(tmp_path: Path) -> None:
    def queued(profile: dict[str, Any], at_once: int) -> int:
        share = started(profile, Place.here(tmp_path)).env["GUIDELLM__MP_MAX_PENDING_BUFFER_PERCENT"]
        return int(at_once * float(share))

    assert queued(PROFILE, 10240) == 100
    assert queued(with_spec(profile={"kind": "constant", "rate": 1}), 10240) == 32
    assert queued(with_spec(profile={"kind": "constant", "rate": 100, "max_concurrency": 2000}), 2000) == 500
    assert queued(with_spec(profile={"kind": "concurrent", "streams": 300}), 300) == 150


def test_here_the_program_finds_a_data_loader_in_place_of_pytorch(tmp_path: Path) -> None:
    env = started(PROFILE, Place.here(tmp_path)).env
    assert (env["PYTHONPATH"], env["USE_TORCH"]) == (str(SHIM), "0")
    assert env["GUIDELLM__MAX_WORKER_PROCESSES"].isdigit()


def in_a_pod(tmp_path: Path, profile: dict[str, Any], tokenizer: str = "org/model", index: int = 0) -> Any:
    """The command of a pod that sees the folder as /workspace, and the ``spec`` that the program gets there."""
    place = Place(tmp_path, PurePosixPath("/workspace"), "path", processors=3, index=index)
    command = started(profile, place, tokenizer)
    return command, yaml.safe_load((tmp_path / "guidellm.yaml").read_text(encoding="utf-8"))["spec"]


def test_in_a_pod_the_program_is_the_images_and_all_its_paths_are_the_pods(tmp_path: Path) -> None:
    command, spec = in_a_pod(tmp_path, PROFILE)
    assert list(command.argv[:4]) == ["guidellm", "run", "--scenario", "/workspace/guidellm.yaml"]
    assert spec["outputs"][0]["path"] == "/workspace/results.json"
    assert (command.env["PYTHONPATH"], command.env["GUIDELLM__MAX_WORKER_PROCESSES"]) == ("", "2")
    assert "USE_TORCH" not in command.env
    assert dict(command.reads) == {"guidellm.yaml": tmp_path / "guidellm.yaml"}


def test_local_tokenizers_and_data_are_brought_along_into_the_pod(tmp_path: Path) -> None:
    tokenizer, prompts, trace = tmp_path / "my tokenizer", tmp_path / "prompts.jsonl", tmp_path / "trace.jsonl"
    tokenizer.mkdir()
    prompts.touch()
    trace.touch()
    data = [
        {"kind": "json_file", "path": str(prompts)},
        {"kind": "huggingface", "source": "org/data"},
        {"kind": "mooncake", "source": {"kind": "json_file", "path": str(trace)}},
    ]
    command, spec = in_a_pod(tmp_path, with_spec(data=data), str(tokenizer))
    assert spec["tokenizer"]["model"] == "/workspace/inputs/tokenizer"
    assert spec["data"] == [
        {"kind": "json_file", "path": "/workspace/inputs/data.0.jsonl"},
        {"kind": "huggingface", "source": "org/data"},
        {"kind": "mooncake", "source": {"kind": "json_file", "path": "/workspace/inputs/data.2.jsonl"}},
    ]
    assert set(command.reads.values()) == {tmp_path / "guidellm.yaml", tokenizer, prompts, trace}


def test_programs_side_by_side_send_other_prompts(tmp_path: Path) -> None:
    _, first = in_a_pod(tmp_path, PROFILE)
    _, second = in_a_pod(tmp_path, PROFILE, index=1)
    # Each stage of a load takes the seed after the last.
    assert second["seed"]["value"] - first["seed"]["value"] > 100


def test_progress_is_read_on_from_the_log_as_it_grows(tmp_path: Path) -> None:
    look = Guidellm().watch(tmp_path)
    assert look() == Progress(None, 0)
    said = b"26-11-27 01:07:32|INFO     |guidellm.benchmark.progress:_log_update:420 - Benchmark %d (constant@4.00):"
    counts = b" active | elapsed=0.0s | successful=5 errored=%d incomplete=0 | requests/s=0.00\n"
    with (tmp_path / "stderr.log").open("ab", buffering=0) as log:
        log.write(said % 1 + counts % 0)
        assert look() == Progress(0, 0)
        log.write(said % 1 + counts % 3 + said % 2)
        assert look() == Progress(0, 3)
        log.write(counts % 4)
        assert look() == Progress(1, 7)


def test_there_are_two_releases() -> None:
    assert [Guidellm(version).version for version in (None, "0.8.1", "0.7.3")] == ["0.8.1", "0.8.1", "0.7.3"]
    with pytest.raises(DeclarationError, match=r"guidellm 0\.1 has no lock file here; there is 0\.7\.3, 0\.8\.1"):
        Guidellm("0.1")


@pytest.mark.parametrize("version", ["0.7.3", "0.8.1"])
def test_a_lock_holds_the_program_and_nothing_of_pytorch(version: str) -> None:
    lines = Guidellm(version).environment.lock.read_text(encoding="utf-8").splitlines()
    packages = {line.partition("==")[0] for line in lines if "==" in line and not line.startswith("#")}
    assert {"guidellm", "jinja2", "transformers", "datasets"} <= packages
    assert not {name for name in packages if name.startswith(("torch", "nvidia", "triton", "cuda"))}
    assert f"guidellm=={version} \\" in lines


def test_what_stands_in_for_pytorch_is_a_data_loader_and_says_so() -> None:
    program = """
import torch
from torch.utils.data.dataloader import DataLoader
from torch.utils.data.dataset import IterableDataset

class Numbers(IterableDataset[int]):
    def __iter__(self):
        assert torch.utils.data.get_worker_info() is None
        yield from range(3)

class Loader(DataLoader[int]):
    pass

seeded = torch.Generator()
seeded.manual_seed(1)
loader = Loader(dataset=Numbers(), batch_size=1, collate_fn=lambda batch: batch[0], num_workers=1, generator=seeded)
print(list(loader), list(loader))
try:
    torch.Tensor
except AttributeError as error:
    print(error)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(SHIM)}, capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith(
        "[0, 1, 2] [0, 1, 2]\ntorch.Tensor is not here: the load program was installed without"
    )


@pytest.fixture
def simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tokenizer of simulated models."""
    monkeypatch.setenv("LLMDBENCH_CACHE_DIR", str(tmp_path / "cache"))
    return simulator_tokenizer()


def test_a_simulated_models_tokenizer_is_made_to_know_all_words(simulated: Path, tmp_path: Path) -> None:
    model = Path(told(PROFILE, tmp_path, str(simulated))["tokenizer"]["model"])
    assert model == tmp_path / guidellm_tokenizer.FOLDER
    made, given = (json.loads((one / "tokenizer.json").read_text(encoding="utf-8")) for one in (model, simulated))
    assert made.pop("normalizer")["type"] == "Sequence"
    assert given.pop("normalizer") is None
    assert made == given
    assert made["model"]["vocab"].keys() >= set(vocabulary())


def test_in_a_pod_that_tokenizer_is_brought_along(simulated: Path, tmp_path: Path) -> None:
    command, spec = in_a_pod(tmp_path, PROFILE, str(simulated))
    assert spec["tokenizer"]["model"] == "/workspace/inputs/tokenizer"
    assert command.reads["inputs/tokenizer"] == tmp_path / guidellm_tokenizer.FOLDER


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model": {"type": "BPE", "vocab": {}}}', '{"model": 5}'])
def test_any_other_tokenizer_stays_what_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    assert guidellm_tokenizer.for_prompts(str(tmp_path), tmp_path / "case") == str(tmp_path)
    assert guidellm_tokenizer.for_prompts("org/model", tmp_path / "case") == "org/model"
    assert not (tmp_path / "case").exists()
