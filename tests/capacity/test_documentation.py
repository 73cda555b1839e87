"""The commands of docs/capacity.md answer what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pytest_llmdbench.capacity.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "capacity.md").read_text(encoding="utf-8")
COMMANDS = [
    pytest.param(command, marks=[pytest.mark.aiconfigurator] if "aiconfigurator" in command else [])
    for command in re.findall(r"^\$ llmdbench-explore (.+)$", PAGE, re.MULTILINE)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_is_answered_with_a_yes(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "aiconfigurator" in command:
        pytest.importorskip("aiconfigurator_core")
    log = "INFO 11-20 10:00:00 [x.py:3] Model loading took 15.27 GiB memory and 3.2 seconds\n"
    (tmp_path / "vllm.log").write_text(log, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out


def test_the_fixes_that_the_page_shows_are_those_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "Qwen/Qwen3-32B", "--gpu", "H100"])
    shown = capsys.readouterr().out
    for line in re.findall(r"^    --\S+ +\S+ {2,}.+$", PAGE, re.MULTILINE):
        assert line in shown
