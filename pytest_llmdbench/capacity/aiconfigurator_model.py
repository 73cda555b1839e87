"""A model as aiconfigurator-core takes it: a folder with a config.json, or one of its own; and its words for types.

It would fetch a model that it does not know from the Hugging Face hub. So dense models are described to it by their
dimensions, and others are looked for among those that come with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from pytest_llmdbench.capacity.architecture import Model
from pytest_llmdbench.capacity.config_json import read_architecture
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.errors import DeclarationError, nearest

_ENDING: Final = "_config.json"
#: What tells models with experts or layers of several kinds apart.
_DIMENSIONS: Final = ("architecture", "hidden", "layers", "heads", "kv_heads", "vocabulary", "mla", "experts", "linear")


def model_path(model: Model) -> str:
    """What it is to be given as the model.

    Raises:
        DeclarationError: it does not know the model (names the nearest that it knows).
    """
    plain = model.attention_layers == model.layers and model.gated_mlp
    if plain and not (model.experts or model.mla or model.linear or model.window_layers):
        return _described(model)
    known = _known()
    found = known.get(_dimensions(model))
    if found is None:
        hint = nearest(model.name, known.values())
        raise DeclarationError(
            f"aiconfigurator-core does not know {model.name}: {hint} (it takes all dense models with full attention in "
            "each layer, and the estimator roofline takes all models)"
        )
    return found


def quantization_modes(config: Configuration) -> tuple[str, str, str]:
    """Its words for the types of products, of experts and of the KV cache."""
    how, fp4 = config.model.quantization, bool(config.gpu.fp4)
    kv_cache = "fp8" if config.kv_bytes == 1 else "bfloat16"
    return _mode(how.linear_bits, config, fp4=fp4), _mode(how.expert_bits, config, fp4=fp4), kv_cache


def _mode(bits: float | None, config: Configuration, *, fp4: bool) -> str:
    how = config.model.quantization
    if bits is None:
        return "bfloat16"
    if how.name == "mxfp4":
        return "w4a16_mxfp4"
    if how.compute == "fp4":
        return "nvfp4" if fp4 else "nvfp4_wo"
    if how.compute == "fp8":
        return "fp8_block" if how.block else "fp8"
    return "int8_wo" if bits >= 8 else "int4_wo"


@cache
def _folder() -> TemporaryDirectory[str]:
    """Gone with the process."""
    return TemporaryDirectory(prefix="llmdbench-")


@cache
def _described(model: Model) -> str:
    folder = Path(_folder().name) / str(len(list(Path(_folder().name).iterdir())))
    folder.mkdir()
    told = {
        # All that tells one dense architecture from another for it: norms of queries and keys.
        "architectures": ["Qwen3ForCausalLM" if model.query_norm else "LlamaForCausalLM"],
        "num_hidden_layers": model.layers,
        "hidden_size": model.hidden,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "intermediate_size": model.width,
        "vocab_size": model.vocabulary,
        "max_position_embeddings": model.max_positions,
    }
    (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
    return str(folder)


@cache
def _known() -> Mapping[tuple[Any, ...], str]:
    """Those that come with it, by their dimensions."""
    found: dict[tuple[Any, ...], str] = {}
    for file in sorted((files("aiconfigurator_core") / "model_configs").iterdir(), key=lambda one: one.name):
        if not file.name.endswith(_ENDING) or file.name.endswith(f"_hf_quant{_ENDING}"):
            continue
        name = file.name.removesuffix(_ENDING).replace("--", "/", 1)
        try:
            model = read_architecture(json.loads(file.read_text(encoding="utf-8")), name)
        except DeclarationError:  # of a kind that nobody here knows
            continue
        found.setdefault(_dimensions(model), name)
    return found


def _dimensions(model: Model) -> tuple[Any, ...]:
    return tuple(getattr(model, name) for name in _DIMENSIONS)
