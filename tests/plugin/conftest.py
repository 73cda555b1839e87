"""A small project of benchmarks, run by pytest in a process of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

QUICK_LOAD = Path(__file__).with_name("quick_load.py")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Two scenarios of the real simulator, the test harness quick-load, and one benchmark with two workloads."""
    for variable in ("LLMDBENCH_GUARD", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(variable, raising=False)
    shutil.copy(QUICK_LOAD, pytester.path / "quick_load.py")
    pytester.makeconftest("pytest_plugins = ['quick_load']")
    pytester.makeini("[pytest]\n")
    files = {
        "scenarios/one.yaml": "harness: quick-load\nsimulator: {itl: 0.05}\n",
        "scenarios/two.yaml": "harness: quick-load\nsimulator: {itl: 0.06}\n",
        "workloads/quick-load/short.yaml": "requests: 3\ntokens: 4\npause: 0.0\n",
        "workloads/quick-load/long.yaml": "requests: 1000\ntokens: 4\npause: 0.05\n",
    }
    for name, text in files.items():
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    pytester.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("short")
        def test_chat(result, slo):
            slo.verify(result)
        """
    )
    return pytester
