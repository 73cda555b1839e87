"""What the files of a checkpoint tell, where its config.json does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.validation import validate
from pytest_llmdbench.errors import DeclarationError
from tests.capacity.test_mixed_precision import ATTENTION, FORWARD, bits, mixed
from tests.capacity.test_model_folders import found


def write_safetensors(path: Path, tensors: dict[str, tuple[str, list[int], int]]) -> None:
    """A file with a header of ``tensors`` (name -> type, shape, bytes) and, as this is a test, without their values."""
    header, at = {}, 0
    for name, (kind, shape, size) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw)


def stored() -> dict[str, tuple[str, list[int], int]]:
    """Llama-3.1-8B with attention in FP8 and the rest in 4 bits, packed two in a byte, with a layer that guesses."""
    found: dict[str, tuple[str, list[int], int]] = {
        "model.embed_tokens.weight": ("BF16", [128256, 4096], 2 * 128256 * 4096),
        "lm_head.weight": ("BF16", [128256, 4096], 2 * 128256 * 4096),
    }
    for layer in range(33):
        at = f"model.layers.{layer}"
        found[f"{at}.self_attn.qkv_proj.weight"] = ("F8_E4M3", [6144, 4096], 6144 * 4096)
        found[f"{at}.self_attn.o_proj.weight"] = ("F8_E4M3", [4096, 4096], 4096 * 4096)
        found[f"{at}.mlp.weight_packed"] = ("U8", [FORWARD // 8192, 4096], FORWARD // 2)
        found[f"{at}.mlp.weight_scale"] = ("F8_E4M3", [FORWARD // 16], FORWARD // 16)
        found[f"{at}.input_layernorm.weight"] = ("BF16", [4096], 8192)
    return found


def test_bits_are_counted_from_the_files_where_the_config_json_is_silent(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model-00001-of-00001.safetensors", stored())
    how = bits(tmp_path, mixed({}))
    assert how.linear_bits == pytest.approx((8 * ATTENTION + 4.5 * FORWARD) / (ATTENTION + FORWARD), rel=1e-3)
    assert how.compute == "fp8"


def test_bits_are_counted_from_the_index_where_the_files_are_not_there(tmp_path: Path) -> None:
    names = stored()
    size = sum(size for _, _, size in names.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict.fromkeys(names, "model-00001-of-00004.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    how = bits(tmp_path, {"quant_method": "torchao"})
    assert how.linear_bits == pytest.approx((8 * ATTENTION + 4.5 * FORWARD) / (ATTENTION + FORWARD), rel=0.01)


@pytest.mark.parametrize(
    "raw", [b"", b"1234567", b"\xff" * 8 + b"{}", (2).to_bytes(8, "little") + b"[]", (2).to_bytes(8, "little") + b"{"]
)
def test_files_that_are_no_checkpoint_tell_nothing(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(raw)
    (tmp_path / "model.safetensors.index.json").write_text('{"metadata": {"total_size": 1e999}}', encoding="utf-8")
    with pytest.raises(DeclarationError, match="safetensors"):
        bits(tmp_path, mixed({}))


def test_the_files_of_another_model_tell_nothing(tmp_path: Path) -> None:
    other = {"model.layers.0.self_attn.q_proj.weight": ("F8_E4M3", [64, 64], 64 * 64)}
    write_safetensors(tmp_path / "model.safetensors", other)
    with pytest.raises(DeclarationError, match="is so of no file here"):
        bits(tmp_path, mixed({}))


def test_files_are_not_looked_at_where_the_config_json_tells(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", stored())
    assert bits(tmp_path, {"quant_method": "fp8"}).linear_bits == 8


def plain(layers: int = 32, more: int = 0) -> dict[str, tuple[str, list[int], int]]:
    """Llama-3.1-8B in 16 bits, with ``more`` parameters a layer than its config.json tells of."""
    size = 2 * 128256 * 4096
    found = {f"{name}.weight": ("BF16", [128256, 4096], size) for name in ("model.embed_tokens", "lm_head")}
    for layer in range(layers):
        weights = 2 * (ATTENTION + FORWARD + more)
        found[f"model.layers.{layer}.mlp.up_proj.weight"] = ("BF16", [weights // 8192, 4096], weights)
    return found


def test_files_that_agree_with_the_config_json_change_nothing(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", plain())
    assert found(tmp_path, "llama-3.1-8b").files_share == 1


def test_files_that_hold_more_than_the_config_json_tells_of_count(tmp_path: Path) -> None:
    told = memory(Configuration(found(tmp_path, "llama-3.1-8b"), find_gpu("H100")))
    write_safetensors(tmp_path / "model.safetensors", plain(more=50_000_000))
    config = Configuration(find_model(str(tmp_path)), find_gpu("H100"))
    assert memory(config).weights - told.weights == pytest.approx(2 * 32 * 50e6 / 2**30, rel=0.02)
    assert any("1.20 times what its config.json tells of" in note for note in validate(config).notes)


def test_what_is_not_loaded_does_not_count(tmp_path: Path) -> None:
    again = {"mtp.layers.0.mlp.up_proj.weight": ("BF16", [1 << 18, 4096], 1 << 31)}
    write_safetensors(tmp_path / "model.safetensors", plain(layers=36) | again)
    assert found(tmp_path, "llama-3.1-8b").files_share == 1


def test_numbers_of_four_bytes_are_loaded_as_two(tmp_path: Path) -> None:
    wide = {name: ("F32", shape, 2 * size) for name, (_, shape, size) in plain().items()}
    write_safetensors(tmp_path / "model.safetensors", wide)
    assert found(tmp_path, "llama-3.1-8b", torch_dtype="float32").files_share == 1


def test_what_is_stored_a_second_time_counts_once(tmp_path: Path) -> None:
    for name in ("model-00001-of-00001", "consolidated", "adapter_model"):
        write_safetensors(tmp_path / f"{name}.safetensors", plain())
    assert found(tmp_path, "llama-3.1-8b").files_share == 1


@pytest.mark.parametrize("layers", [3, 32])
def test_a_folder_without_all_of_its_files_tells_nothing(layers: int, tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model-00001-of-00002.safetensors", plain(layers, more=50_000_000))
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert found(tmp_path, "llama-3.1-8b").files_share == 1


def test_the_files_of_a_much_smaller_model_tell_nothing(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", plain(layers=1))
    assert found(tmp_path, "llama-3.1-8b").files_share == 1
