"""A tokenizer that guidellm can make prompts with, where the model is a simulated one.

guidellm writes English words, turns them into as many tokens as it wants, and those into text again. To the tokenizer
of simulated models (one word of its vocabulary is one token) English words are unknown, and unknown ones are left out
of the text: prompts would be short, or empty. Here any other word is read as a word of the vocabulary instead, by its
first letters, so that a prompt has the tokens that were asked for and prompts differ as their words do.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.simulator.words import vocabulary

#: The folder of such a tokenizer, in the folder of the case.
FOLDER: Final = "tokenizer"

_FILE: Final = "tokenizer.json"
#: Words of the vocabulary are consonant, vowel, consonant, vowel: what stands in the place of each as well.
_CONSONANTS: Final[Mapping[str, str]] = {
    "b": "[a0]", "c": "[e1]", "d": "[i2]", "f": "[o3]", "g": "[u4]", "h": "[w5]",
    "j": "[x6]", "k": "[y7]", "l": "[z8]", "m": "[q9]", "n": r"[^a-z\s]",
}  # fmt: skip
_VOWELS: Final[Mapping[str, str]] = {"a": "[bcdfgh012]", "e": "[jklmn34]", "i": "[pqrst567]", "o": r"[^aei\s]"}
#: What a shorter word is filled up with, by its length.
_FILL: Final[Mapping[int, str]] = {1: "aba", 2: "ba", 3: "a"}


def for_prompts(tokenizer: str, folder: Path) -> str:
    """The tokenizer that guidellm gets: a copy in ``folder`` of a simulated model's, or else the given one."""
    source = Path(tokenizer)
    try:
        content = json.loads((source / _FILE).read_text(encoding="utf-8"))
        words = content["model"]["vocab"] if content["model"]["type"] == "WordLevel" else {}
    except (OSError, ValueError, KeyError, TypeError):
        return tokenizer
    if content.get("normalizer") is not None or not set(vocabulary()) <= set(words):
        return tokenizer
    copy = folder / FOLDER
    shutil.copytree(source, copy, dirs_exist_ok=True)
    content["normalizer"] = {"type": "Sequence", "normalizers": list(_rules())}
    (copy / _FILE).write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
    return str(copy)


def _rules() -> Iterator[dict[str, Any]]:
    """Any word becomes one of the vocabulary; a word of the vocabulary stays what it is."""
    yield {"type": "Lowercase"}
    yield _replace(r"(?<=\S\S\S\S)\S", "")
    for length, fill in _FILL.items():
        yield _replace(rf"{_after(length)}\s", f"{fill} ")
    for letter, others in _CONSONANTS.items():
        yield _replace(rf"{_after(0)}{others}|{_after(2)}{others}", letter)
    for letter, others in _VOWELS.items():
        yield _replace(rf"{_after(1)}{others}|{_after(3)}{others}", letter)


def _after(length: int) -> str:
    """Where just so much of a word has passed."""
    passed = r"\S" * length
    return rf"(?<=^{passed}|\s{passed})" if length else r"(?<!\S)"


def _replace(pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}
