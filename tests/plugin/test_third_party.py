"""Another package adds a load program with one hook: nothing of ours knows it, and everything works with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.conftest import QUICK_LOAD


@pytest.fixture
def installed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with an entry point of its own, as pip would have installed it, and a workload for it."""
    for variable in ("LLMDBENCH_GUARD", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(variable, raising=False)
    site = pytester.mkdir("site")
    (site / "their_load.py").write_text(QUICK_LOAD.read_text().replace('NAME = "quick-load"', 'NAME = "their-load"'))
    info = site / "their_load-3.2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-load\nVersion: 3.2.1\n")
    (info / "entry_points.txt").write_text("[pytest11]\ntheir_load = their_load\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    workload = pytester.path / "workloads/their-load/talk.yaml"
    workload.parent.mkdir(parents=True)
    workload.write_text("llmdbench: {use_case: chatbot}\nrequests: 3\ntokens: 4\npause: 0.0\n")
    pytester.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("chatbot")
        def test_chat(result, slo):
            slo.verify(result)
        """
    )
    return site


def test_its_load_runs_and_its_name_is_in_the_table(pytester: pytest.Pytester, installed: Path) -> None:
    words = ["--scenario=local", "--llmd-harness=their-load", "--llmd-slo=e2e.max<=20s"]
    # The scenario's own objectives are on latencies that this program does not report.
    words += ["--llmd-set=slo=[]"]
    done = pytester.runpytest_subprocess(*words)
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*their-load-talk* PASS*"])
    (result,) = (pytester.path / "llmdbench-results").rglob("result.json")
    assert '"harness": "their-load"' in result.read_text()


def test_it_is_named_among_those_there_are(pytester: pytest.Pytester, installed: Path) -> None:
    done = pytester.runpytest_subprocess("--scenario=local", "--llmd-harness=there-load")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*no harness 'there-load'; did you mean 'their-load'?"])


def test_all_means_it_too(pytester: pytest.Pytester, installed: Path) -> None:
    done = pytester.runpytest_subprocess("--scenario=local", "--llmd-harness=all", "--collect-only", "-q")
    done.stdout.fnmatch_lines(["*[[]local-inference-perf-chatbot_synthetic[]]", "*[[]local-their-load-talk[]]"])
