"""The tokenizer of simulated models: one whitespace-separated word is one token, made here, needs no network.

Written as a folder that Hugging Face loaders take for a pretrained tokenizer (``tokenizer.json`` in the format of the
``tokenizers`` library), so load programs use it like any other.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.harnesses.cache import cache_folder
from pytest_llmdbench.simulator.words import CHAT_TEMPLATE, vocabulary

#: Stands for every word outside the vocabulary; a special token, so generators of random text never draw it.
UNKNOWN: Final = "<unk>"


def simulator_tokenizer() -> Path:
    """The folder of the simulator's tokenizer, made now if it is not there yet.

    Its name is made from its content: another vocabulary is another folder.
    """
    files = _files()
    content = hashlib.sha256("".join(files.values()).encode()).hexdigest()[:10]
    folder = cache_folder() / "tokenizers" / f"simulator-{content}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        for name, text in files.items():
            (made / name).write_text(text, encoding="utf-8")
        made.chmod(0o755)
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _files() -> dict[str, str]:
    words = vocabulary()
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": len(words),
                "content": UNKNOWN,
                "single_word": True,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        # Nothing is put before or after a text: what is counted is what was written.
        "post_processor": None,
        # No decoder means: the words, a space between each two.
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: index for index, word in enumerate([*words, UNKNOWN])},
            "unk_token": UNKNOWN,
        },
    }
    settings = {
        # This very class name is known to every release of the loader in use; newer names are not.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": UNKNOWN,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    # Some loaders look for a model's configuration before they look for a tokenizer; any known type will do.
    model = {"model_type": "gpt2", "vocab_size": len(words) + 1, "bos_token_id": None, "eos_token_id": None}
    return {
        "tokenizer.json": json.dumps(tokenizer, separators=(",", ":")),
        "tokenizer_config.json": json.dumps(settings, indent=1),
        "config.json": json.dumps(model, indent=1),
    }
