"""The simulator's tokenizer: its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer
from pytest_llmdbench.simulator.words import CHAT_TEMPLATE, vocabulary


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMDBENCH_CACHE_DIR", str(tmp_path))
    return simulator_tokenizer()


def test_every_word_of_the_simulator_is_one_token(folder: Path) -> None:
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    assert [model["vocab"][word] for word in vocabulary()] == list(range(len(vocabulary())))
    assert model["vocab"][model["unk_token"]] == len(vocabulary())


def test_chats_are_written_out_as_the_simulator_does(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["chat_template"] == CHAT_TEMPLATE


def test_it_is_made_once_and_nothing_is_left_beside_it(folder: Path) -> None:
    made = (folder / "tokenizer.json").stat().st_mtime_ns
    assert simulator_tokenizer() == folder
    assert (folder / "tokenizer.json").stat().st_mtime_ns == made
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
