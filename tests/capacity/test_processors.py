"""What has no room in the memory of this machine is refused before vLLM reads the model, with the key that mends it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.processors import Fit, MachineMemory, fit, trouble
from pytest_llmdbench.declared.engine import Vllm
from pytest_llmdbench.declared.pods import Pods
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.stacks.tiny_model import write_tiny_model

LAPTOP = MachineMemory(available=12.0, total=16.0)


def engine(name: str = "Qwen/Qwen2.5-0.5B-Instruct", space: str = "1", **flags: Any) -> Fit | None:
    """What ``deploy: local`` starts, with the flags that hold on processors."""
    pods = Pods(env=flags.pop("env", {}), vllm=Vllm(extra_args=flags.pop("extra_args", ())))
    return fit(find_model(name), Vllm(**{"dtype": "bfloat16", "block_size": 32, **flags}), pods, space, "0.32.0")


def known(*words: str, **flags: Any) -> Fit:
    found = engine(*words, **flags)
    assert found is not None
    return found


def tiny(folder: Path, **changes: Any) -> Path:
    """A tiny model of other dimensions."""
    model = write_tiny_model(folder / "model")
    config = json.loads((model / "config.json").read_text()) | changes
    (model / "config.json").write_text(json.dumps(config))
    return model


LARGER = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 64,
}


@pytest.mark.parametrize(
    ("changes", "space", "length", "tokens", "concurrency"),
    [
        # What vLLM 0.32 said of three starts on processors.
        ({}, 1, 8192, 2_097_152, 256.0),
        (LARGER, 2, 8192, 87_360, 10.66),
        (LARGER, 1, 32_768, 43_680, 1.33),
    ],
)
def test_the_kv_cache_holds_as_many_tokens_as_genuine_engines_said(
    tmp_path: Path, changes: dict[str, Any], space: int, length: int, tokens: int, concurrency: float
) -> None:
    found = known(str(tiny(tmp_path, **changes)), str(space), max_model_len=length)
    assert (found.tokens, round(found.concurrency, 2)) == (tokens, concurrency)
    assert trouble(found, LAPTOP) is None


def test_a_request_that_the_kv_cache_cannot_hold_is_refused_with_the_longest_and_the_space() -> None:
    found = known("meta-llama/Llama-3.2-1B-Instruct")
    said = trouble(found, LAPTOP)
    assert said is not None
    assert said.startswith(
        "one request of 131,072 tokens (as many as the model knows, as vllm.max_model_len is not set) needs 4.01 GiB "
        "of KV cache, and VLLM_CPU_KVCACHE_SPACE is 1. Set vllm.max_model_len: 32736 "
    )
    assert "; or pods.env.VLLM_CPU_KVCACHE_SPACE: 5 (12.0 GiB are free)" in said
    for mended in ({"max_model_len": 32736}, {"space": "5"}):
        assert trouble(known("meta-llama/Llama-3.2-1B-Instruct", **mended), LAPTOP) is None
    assert trouble(known("meta-llama/Llama-3.2-1B-Instruct", max_model_len=32737), LAPTOP) is not None


def test_the_longest_request_is_that_which_a_genuine_engine_named_when_it_refused_to_start(tmp_path: Path) -> None:
    # vLLM 0.32, after two minutes: "(1.5 GiB KV cache is needed ...) the estimated maximum model length is 43648".
    said = trouble(known(str(tiny(tmp_path, max_position_embeddings=65_536, **LARGER))), LAPTOP)
    assert said is not None
    assert "65,536 tokens" in said
    assert "needs 1.51 GiB of KV cache" in said
    assert "Set vllm.max_model_len: 43648 " in said


def test_space_that_the_machine_does_not_have_is_not_proposed() -> None:
    said = trouble(known("meta-llama/Llama-3.2-1B-Instruct"), MachineMemory(5.0, 16.0))
    assert said is not None
    assert "vllm.max_model_len: 32736" in said
    assert "pods.env" not in said


def test_a_kv_cache_that_leaves_no_room_for_the_weights_is_refused_with_the_largest_that_does() -> None:
    name = "meta-llama/Llama-3.1-8B-Instruct"
    machine = MachineMemory(20.0, 24.0)
    said = trouble(known(name, "8", max_model_len=8192), machine)
    assert said is not None
    assert re.match(
        r"meta-llama/Llama-3\.1-8B-Instruct needs 24\.3 GiB of memory, and of 24\.0 here 20\.0 are free: weights "
        r"15\.0, KV cache 8 \(VLLM_CPU_KVCACHE_SPACE\), vLLM itself 1\.3\. Set pods\.env\.VLLM_CPU_KVCACHE_SPACE: 3$",
        said,
    )
    assert trouble(known(name, "3", max_model_len=8192), machine) is None
    both = trouble(known(name, "17"), machine)
    assert both is not None
    assert both.endswith("Set pods.env.VLLM_CPU_KVCACHE_SPACE: 3 and vllm.max_model_len: 24544")
    assert trouble(known(name, "3", max_model_len=24544), machine) is None


def test_a_model_that_is_too_large_is_refused_with_the_size_that_has_room() -> None:
    said = trouble(known("meta-llama/Llama-3.1-8B-Instruct", max_model_len=8192), LAPTOP)
    assert said is not None
    assert said.endswith("Set model.name to a smaller model: one of 5.2 billion parameters has room")
    nothing = trouble(known(max_model_len=8192), MachineMemory(1.0, 16.0))
    assert nothing is not None
    assert nothing.endswith("Set model.name to a smaller model, and end other programs")


def test_more_tokens_than_the_model_knows_are_refused() -> None:
    assert trouble(known(max_model_len=40_000), LAPTOP) == (
        "40,000 tokens are more than the 32,768 positions that Qwen/Qwen2.5-0.5B-Instruct knows. "
        "Set vllm.max_model_len: 32768"
    )


def test_each_rank_has_a_share_of_the_weights_and_a_kv_cache_of_its_own() -> None:
    one, two = known(max_model_len=8192), known(max_model_len=8192, tensor_parallel_size=2)
    assert two.weights == pytest.approx(one.weights, rel=0.01)
    assert two.needed - one.needed == pytest.approx(1.0, abs=0.1)
    assert two.concurrency == pytest.approx(2 * one.concurrency, rel=0.01)


@pytest.mark.parametrize("space", ["0", "-1", "0.5", "many"])
def test_a_space_that_vllm_does_not_take_is_refused(space: str) -> None:
    with pytest.raises(DeclarationError, match=r"pods\.env\.VLLM_CPU_KVCACHE_SPACE: '.*' is no whole number of GiB"):
        engine(space=space)


@pytest.mark.parametrize(
    "changes",
    [
        {"space": ""},
        {"dtype": "acme"},
        {"kv_cache_dtype": "acme"},
        {"env": {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}},
        {"extra_args": ("--hf-overrides={}",)},
        {"pipeline_parallel_size": 100},
        {"name": "Qwen/Qwen3.5-35B-A3B"},
    ],
)
def test_what_nobody_knows_is_not_judged(changes: dict[str, Any]) -> None:
    assert engine(**changes) is None


def test_an_architecture_that_the_formulas_were_not_checked_on_is_not_judged() -> None:
    model = replace(find_model("Qwen/Qwen2.5-0.5B-Instruct"), architecture="AcmeForCausalLM")
    assert fit(model, Vllm(), Pods(), "1", "0.32.0") is None
