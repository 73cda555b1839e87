"""What a real start showed is kept, and the next estimate of that engine is right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_llmdbench.capacity.calibration import Compared, compare
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.corrections import corrected, store
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.main import main
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.validation import validate
from pytest_llmdbench.errors import DeclarationError

CONFIG = Configuration(find_model("Qwen/Qwen3-8B"), find_gpu("L40S"), max_model_len=8192)
ESTIMATED = memory(CONFIG).kv
LOG = f"INFO 11-20 10:00:40 [gpu_worker.py:2] Available KV cache memory: {ESTIMATED - 1.5:.2f} GiB\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "capacity.json"


def measured(kv_gib: float) -> list[Compared]:
    return compare(CONFIG, {"kv_cache_bytes": kv_gib * 2**30})


def test_the_next_estimate_is_what_the_start_showed(file: Path) -> None:
    store(CONFIG, measured(ESTIMATED - 1.5), file)
    known = corrected(CONFIG, file)
    assert memory(known).kv == pytest.approx(ESTIMATED - 1.5, abs=0.01)
    assert any("corrected by -1.50 GiB" in note for note in validate(known).notes)


def test_a_second_start_replaces_the_first(file: Path) -> None:
    store(CONFIG, measured(ESTIMATED - 1.5), file)
    store(corrected(CONFIG, file), measured(ESTIMATED + 0.5), file)
    assert corrected(CONFIG, file).correction_gib == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("change", [{"gpu": find_gpu("L4")}, {"version": "0.27.0"}, {"tensor_parallel_size": 2}])
def test_other_engines_are_not_corrected(file: Path, change: dict[str, object]) -> None:
    store(CONFIG, measured(ESTIMATED - 1.5), file)
    assert corrected(replace(CONFIG, **change), file).correction_gib == 0  # type: ignore[arg-type]


def test_what_cannot_be_an_error_is_not_kept(file: Path) -> None:
    with pytest.raises(DeclarationError, match="another engine"):
        store(CONFIG, measured(ESTIMATED / 3), file)
    with pytest.raises(DeclarationError, match="does not say"):
        store(CONFIG, [], file)
    assert not file.exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": {"kv_gib": NaN}}', "[" * 100_000])
def test_a_file_that_is_no_good_corrects_nothing(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    assert corrected(CONFIG, file) == CONFIG
    store(CONFIG, measured(ESTIMATED - 1.5), file)
    assert corrected(CONFIG, file).correction_gib < 0


def test_the_command_does_not_write_over_a_file_of_another_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, mine = tmp_path / "vllm.log", tmp_path / "mine.yaml"
    log.write_text(LOG, encoding="utf-8")
    mine.write_text("deploy: local\n", encoding="utf-8")
    words = ["compare", str(log), "Qwen/Qwen3-8B", "--gpu", "L40S", "--max-model-len", "8192", "--store"]
    assert main([*words, "--corrections", str(mine)]) == 2
    assert "no file of corrections" in capsys.readouterr().err
    assert mine.read_text(encoding="utf-8") == "deploy: local\n"


def test_the_command_keeps_and_uses_a_correction(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(LOG, encoding="utf-8")
    engine = ["Qwen/Qwen3-8B", "--gpu", "L40S", "--max-model-len", "8192", "--corrections", str(file)]
    assert main(["compare", str(log), *engine, "--store"]) == 0
    assert main(["check", *engine]) == 0
    assert "corrected by -1.50 GiB" in capsys.readouterr().out
