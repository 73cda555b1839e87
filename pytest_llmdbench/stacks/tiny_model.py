"""A model of a few hundred kilobytes without weights, made on the spot: a real engine runs it, with random numbers.

It is a Llama by its configuration, and reads and writes the simulator's words: a load program counts the same tokens on
both, and no network is needed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer

#: Models whose names begin so are made here.
OURS: Final = "llmdbench/"
#: How an engine is told that there are no weights.
LOAD_FORMAT: Final = "dummy"
_TOKENIZER: Final = ("tokenizer.json", "tokenizer_config.json")


def write_tiny_model(folder: Path) -> Path:
    """Write it into a folder, which is made, and give that back."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = simulator_tokenizer()
    for name in _TOKENIZER:
        shutil.copyfile(tokenizer / name, folder / name)
    words = json.loads((tokenizer / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    (folder / "config.json").write_text(json.dumps(_configuration(words), indent=1), encoding="utf-8")
    return folder


def _configuration(words: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        "vocab_size": words,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        # The smallest that vLLM's attention on processors knows.
        "head_dim": 32,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": True,
        # No word ends an answer: it is as long as it was asked to be.
        "bos_token_id": None,
        "eos_token_id": None,
    }
