"""Load programs are put onto the search path of an image by the same way that local runs install them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_llmdbench.harnesses.install import PROGRAMS, main
from pytest_llmdbench.harnesses.registry import Harnesses


def test_every_program_that_an_image_can_hold_has_a_harness() -> None:
    assert set(PROGRAMS) <= set(Harnesses().names)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage:"),
        (["bin"], "usage:"),
        (["bin", "guidelm"], "did you mean 'guidellm'"),
        (["bin", "nop"], "no program"),
    ],
)
def test_what_cannot_be_meant_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert said in output.out + output.err


@pytest.mark.harness
def test_a_program_starts_by_its_name_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main([str(tmp_path / "bin"), "guidellm"]) == 0
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    done = subprocess.run([tmp_path / "bin/guidellm", "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Harnesses()("guidellm").version in done.stdout
