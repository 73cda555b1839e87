"""The estimator aiconfigurator: its answers, what it leaves out, and that it never uses the network."""

from __future__ import annotations

import json
import socket
import statistics
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from pytest_llmdbench.capacity import aiconfigurator, aiconfigurator_model
from pytest_llmdbench.capacity.asked import Asked
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.explore import explore
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.main import main
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.speed import Speed, speed
from pytest_llmdbench.errors import DeclarationError
from tests.capacity.measured import timed

LOAD = Load(1024, 1024, concurrency=16)
WORDS = ("--input-tokens", "1024", "--output-tokens", "1024", "--estimator", "aiconfigurator")


def engine(model: str = "Qwen/Qwen3-32B", gpu: str = "h100", how: str | None = None, **flags: Any) -> Configuration:
    return Configuration(find_model(model, how), find_gpu(gpu), **{"max_model_len": 4096, **flags})


@pytest.fixture
def extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra, on a machine without a network."""
    pytest.importorskip("aiconfigurator_core")

    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiconfigurator, "find_spec", lambda _: None)


@pytest.mark.usefixtures("missing")
@pytest.mark.parametrize("command", [("check", "Qwen/Qwen3-8B", "--gpu", "h100"), ("recommend", "Qwen/Qwen3-8B")])
def test_without_the_extra_the_error_says_how_to_install_it(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *WORDS, "--concurrency", "4"]) == 2
    assert "pip install 'pytest-llmdbench[aiconfigurator]'" in capsys.readouterr().err


@pytest.mark.usefixtures("missing")
def test_without_the_extra_the_roofline_answers_and_says_that_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "Qwen/Qwen3-8B", "--gpu", "h100", *WORDS[:4], "--concurrency", "4"]) == 0
    assert "by roofline" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (engine(), ("bfloat16", "bfloat16", "bfloat16")),
        (engine(how="fp8", kv_cache_dtype="fp8"), ("fp8", "fp8", "fp8")),
        (engine("Qwen/Qwen3-235B-A22B-FP8"), ("fp8_block", "fp8_block", "bfloat16")),
        (engine(how="awq"), ("int4_wo", "int4_wo", "bfloat16")),
        (engine("openai/gpt-oss-120b"), ("bfloat16", "w4a16_mxfp4", "bfloat16")),
        (engine("moonshotai/Kimi-K2.5"), ("bfloat16", "int4_wo", "bfloat16")),
        (engine(how="nvfp4", gpu="b200"), ("nvfp4", "nvfp4", "bfloat16")),
        (engine(how="nvfp4", gpu="h100"), ("nvfp4_wo", "nvfp4_wo", "bfloat16")),
    ],
)
def test_types_are_told_in_its_own_words(config: Configuration, words: tuple[str, str, str]) -> None:
    assert aiconfigurator_model.quantization_modes(config) == words


def made_up(config: Configuration, load: Load) -> Speed:
    """An estimator that knows nothing of the L40S, and on the H100 only one and two GPUs."""
    if config.gpu.name == "L40S" or config.tensor_parallel_size > 2:
        raise DeclarationError("no kernels")
    return replace(speed(config, load), source="made up")


def test_what_a_made_up_estimator_cannot_tell_is_left_out_with_the_reason() -> None:
    gpus = [find_gpu("l40s"), find_gpu("h100")]
    found = explore(Asked(find_model("Qwen/Qwen3-8B"), LOAD, gpus=gpus, estimate=made_up))
    assert {one.label for one in found.best} == {"1 x H100-SXM-80GB", "2 x H100-SXM-80GB, tp2"}
    assert {one.speed.source for one in found.best} == {"made up"}
    assert found.refused == {
        "L40S": "no kernels",
        "4 x H100-SXM-80GB, tp4": "no kernels",
        "8 x H100-SXM-80GB, tp8": "no kernels",
    }


@pytest.mark.aiconfigurator
@pytest.mark.usefixtures("extra")
class TestInstalled:
    """With the extra itself."""

    @pytest.mark.parametrize(
        "config",
        [
            engine("meta-llama/Llama-3.1-70B-Instruct", how="fp8", tensor_parallel_size=4),
            engine("Qwen/Qwen2.5-7B"),
            engine("openai/gpt-oss-120b", tensor_parallel_size=2),
        ],
    )
    def test_it_and_the_roofline_are_of_the_same_mind(self, config: Configuration) -> None:
        one, other = aiconfigurator.speed(config, LOAD), speed(config, LOAD)
        assert one.tpot == pytest.approx(other.tpot, rel=0.2)
        assert one.ttft == pytest.approx(other.ttft, rel=0.6)
        assert one.requests_per_second == pytest.approx(other.requests_per_second, rel=0.2)
        assert one.source.startswith("aiconfigurator-core 0.12")

    def test_its_ranges_hold_most_of_what_was_timed(self) -> None:
        inside: list[tuple[bool, bool]] = []
        for row in timed():
            if row.suspect or memory(row.config).kv <= 0:
                continue
            try:
                found = aiconfigurator.speed(row.config, row.load)
            except DeclarationError:  # no kernels
                continue
            ranges = zip((found.tpot_range, found.ttft_range), (row.tpot, row.ttft), strict=True)
            tpot, ttft = (low <= truth <= high for (low, high), truth in ranges)
            inside.append((tpot, ttft))
        assert len(inside) >= 40
        assert statistics.mean(tpot for tpot, _ in inside) >= 0.7
        assert statistics.mean(ttft for _, ttft in inside) >= 0.7

    def test_a_dense_model_is_the_same_by_its_dimensions_as_by_its_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        described = aiconfigurator.speed(engine(tensor_parallel_size=2), LOAD)
        monkeypatch.setattr(aiconfigurator, "model_path", lambda model: model.name)
        named = aiconfigurator.speed(engine(tensor_parallel_size=2), LOAD)
        assert described.tpot == pytest.approx(named.tpot, rel=1e-6)
        assert described.ttft == pytest.approx(named.ttft, rel=1e-6)

    @pytest.mark.parametrize(
        ("config", "reason"),
        [
            (engine("Qwen/Qwen3-8B", "mi300x"), "it has a100_sxm, b200_sxm"),
            (engine("google/gemma-3-12b-it"), "does not know google/gemma-3-12b-it: did you mean 'google/gemma-4"),
            (engine("Qwen/Qwen3-14B", how="awq"), "GEMM perf data missing for quant 'int4_wo'"),
        ],
    )
    def test_what_it_does_not_know_is_refused_with_what_it_has(self, config: Configuration, reason: str) -> None:
        with pytest.raises(DeclarationError) as caught:
            aiconfigurator.speed(config, LOAD)
        assert reason in str(caught.value)
        assert "site-packages" not in str(caught.value)

    def test_a_rate_is_carried_and_one_that_is_too_high_is_refused_with_the_replicas(self) -> None:
        assert aiconfigurator.speed(engine("Qwen/Qwen3-8B"), Load(1000, 500, rate=5)).requests_per_second == 5
        with pytest.raises(DeclarationError, match=r"it takes \d+ replicas"):
            aiconfigurator.speed(engine("Qwen/Qwen3-8B"), Load(1000, 500, rate=500))

    def test_what_has_no_place_waits_and_what_is_in_the_cache_is_not_computed(self) -> None:
        config = engine("Qwen/Qwen3-8B", max_num_seqs=4)
        few, many = (aiconfigurator.speed(config, replace(LOAD, concurrency=number)) for number in (4, 16))
        assert many.ttft > few.ttft + 1000 * few.tpot
        warm = aiconfigurator.speed(config, replace(LOAD, concurrency=4, shared=0.9))
        assert warm.ttft < few.ttft

    def test_two_engines_do_not_get_the_answer_of_one(self) -> None:
        one, two = (aiconfigurator.speed(engine(tensor_parallel_size=size), LOAD) for size in (1, 2))
        assert two.tpot < one.tpot

    def test_an_answer_of_one_token_has_no_time_between_tokens(self) -> None:
        found = aiconfigurator.speed(engine(), Load(1000, 1, concurrency=4))
        assert found.tpot == 0
        assert found.requests_per_second == pytest.approx(4 / found.ttft)

    @pytest.mark.parametrize("flags", [{"data_parallel_size": 8, "enable_expert_parallel": True}, {}])
    def test_experts_are_asked_for_however_they_are_spread(self, flags: dict[str, Any]) -> None:
        config = engine("openai/gpt-oss-120b", **{"tensor_parallel_size": 1 if flags else 8, **flags})
        assert 0.001 < aiconfigurator.speed(config, LOAD).tpot < 0.1

    def test_a_recommendation_says_what_it_is_by_and_what_it_leaves_out(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        gpus = ("--gpu", "h100", "--gpu", "l4")
        assert main(["recommend", "Qwen/Qwen3-8B", *WORDS, *gpus]) == 0
        shown = capsys.readouterr()
        assert "not on L4: aiconfigurator-core has no kernels" in shown.out
        assert "estimated by aiconfigurator-core 0.12" in shown.out
        assert not shown.err
        assert main(["check", "Qwen/Qwen3-8B", "--gpu", "h100", *WORDS, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["speed"]["source"].startswith("aiconfigurator-core")


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """Models that are described to it are described anew."""
    yield
    aiconfigurator_model._described.cache_clear()
