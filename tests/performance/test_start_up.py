"""What the plugin costs a project, in CPU seconds: installed, in use, and with ten thousand cases."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.performance

ROUNDS = 5


def cpu_seconds(folder: Path, *arguments: str) -> float:
    """Median CPU seconds of one pytest run in ``folder``, after one to write the bytecode that users have too."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    taken = []
    for _ in range(ROUNDS + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:html", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environ)
        assert done.returncode == 0, done.stdout + done.stderr
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(taken[1:])


def project(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


PLAIN = "def test_it():\n    pass\n"
BENCHMARK = "import pytest\n\n@pytest.mark.workload('sanity_random')\ndef test_it(result):\n    pass\n"


def test_the_plugin_costs_an_ordinary_project_next_to_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = project(tmp_path / "plain", PLAIN)
    without = cpu_seconds(plain, "--collect-only", "-p", "no:llmdbench")
    installed = cpu_seconds(plain, "--collect-only")
    used = cpu_seconds(project(tmp_path / "used", BENCHMARK), "--collect-only", "--scenario=local")
    with capsys.disabled():
        print(f"\ncollect-only, merely installed: +{installed - without:.3f} CPU-s (goal <= 0.03)")
        print(f"collect-only, in use:           +{used - without:.3f} CPU-s (goal <= 0.15)")


def test_ten_thousand_cases_collect_about_as_fast_as_plain_parametrization(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = project(
        tmp_path / "plain",
        "import pytest\n\n@pytest.mark.parametrize('a', range(100))\n@pytest.mark.parametrize('b', range(100))\n"
        "def test_it(a, b):\n    pass\n",
    )
    used = project(tmp_path / "used", BENCHMARK)
    stacks, loads = list(range(100)), list(range(1, 101))
    (used / "t.yaml").write_text(
        f"setup: {{factors: {{simulator.seed: {stacks}}}}}\nrun: {{factors: {{rate: {loads}}}}}\n"
    )
    reference = cpu_seconds(plain, "--collect-only")
    ours = cpu_seconds(used, "--collect-only", "--scenario=local", "--treatments=t.yaml")
    ratio = ours / reference
    with capsys.disabled():
        print(f"\ncollecting 10,000 cases: {ours:.2f} against {reference:.2f} CPU-s: x{ratio:.2f} (goal <= 1.5)")
