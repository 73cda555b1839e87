"""What a run costs besides its load: borrowing, preparing, launching, reading, judging, storing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from tests.plugin.conftest import project

pytestmark = pytest.mark.performance
__all__ = ["project"]  # a fixture of the neighbouring folder

RUNS = 10


def wall_and_load(project: pytest.Pytester, runs: int) -> tuple[float, float]:
    """Wall seconds of a session with so many runs, and the seconds that the load program itself took of them."""
    (project.path / "t.yaml").write_text(f"run: {{factors: {{tokens: {list(range(1, runs + 1))}}}}}\n")
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    results = project.path / f"results{runs}"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--scenario=one",
        "--treatments=t.yaml",
        f"--llmd-results={results}",
    ]
    began = time.monotonic()
    done = subprocess.run(command, cwd=project.path, env=environ, capture_output=True, text=True, check=False)
    wall = time.monotonic() - began
    assert done.returncode == 0, done.stdout
    loads = [json.loads(path.read_text())["elapsed_s"] for path in results.rglob("result.json")]
    assert len(loads) == runs
    return wall, sum(loads)


def test_a_run_adds_little_to_its_load(project: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    wall_one, load_one = wall_and_load(project, 1)
    wall_many, load_many = wall_and_load(project, RUNS)
    each = ((wall_many - load_many) - (wall_one - load_one)) / (RUNS - 1)
    with capsys.disabled():
        print(f"\norchestration of a run besides its load program: {each:.3f} s (goal <= 1)")
        print(f"session with one run, besides its load program:  {wall_one - load_one:.2f} s")
