"""--llmd-from-results: recorded runs get verdicts and reports again, without a stack and without a load program."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest


@pytest.fixture
def recorded(project: pytest.Pytester) -> Path:
    """The results of one benchmark that passed; nothing that could run it again is left."""
    assert project.runpytest_subprocess("--scenario=one", "--llmd-slo=e2e.max<=20s").ret == 0
    for name in ("scenarios", "workloads"):
        shutil.rmtree(project.path / name)
    for name in ("test_bench.py", "quick_load.py", "conftest.py"):
        (project.path / name).unlink()
    (folder,) = (project.path / "llmdbench-results").iterdir()
    return folder


def test_the_verdict_is_given_again_by_the_objectives_of_then(project: pytest.Pytester, recorded: Path) -> None:
    done = project.runpytest_subprocess(f"--llmd-from-results={recorded}")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*judging the runs recorded in*", "one-quick-load-short * 3 *PASS"])
    done.stdout.no_fnmatch_line("*standing up*")


def test_a_nearer_objective_changes_the_verdict_and_names_the_others_origins(
    project: pytest.Pytester, recorded: Path
) -> None:
    done = project.runpytest_subprocess(f"--llmd-from-results={recorded}", "--llmd-slo=e2e.mean<=1us")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["MISSED *e2e.mean * <= 1 us *(--llmd-slo)", "ok *e2e.max *<= 20 s *(--llmd-slo)"])


def test_reports_are_written_again(project: pytest.Pytester, recorded: Path) -> None:
    before = sorted(path.stat().st_mtime_ns for path in recorded.rglob("*"))
    done = project.runpytest_subprocess(
        f"--llmd-from-results={recorded}", "--junitxml=junit.xml", "--html=again.html", "--self-contained-html"
    )
    assert done.ret == 0
    names = {one.get("name") for one in ElementTree.parse(project.path / "junit.xml").iter("property")}
    assert {"llmd.verdict", "llmd.e2e.p99"} <= names
    assert "one-quick-load-short" in (project.path / "again.html").read_text()
    assert sorted(path.stat().st_mtime_ns for path in recorded.rglob("*")) == before


def test_many_sessions_are_judged_at_once_and_selected_by_name(project: pytest.Pytester, recorded: Path) -> None:
    shutil.copytree(recorded, recorded.parent / "another")
    done = project.runpytest_subprocess("--llmd-from-results=llmdbench-results")
    done.assert_outcomes(passed=2)
    project.runpytest_subprocess("--llmd-from-results=llmdbench-results", "-k", "another").assert_outcomes(
        passed=1, deselected=1
    )


def test_a_result_that_was_lost_is_an_error_that_says_so(project: pytest.Pytester, recorded: Path) -> None:
    (result,) = recorded.rglob("result.json")
    result.unlink()
    done = project.runpytest_subprocess(f"--llmd-from-results={recorded}")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*one-quick-load-short: has no result.json: *"])
    done.stdout.no_fnmatch_line("*Traceback*")


def test_an_interrupted_run_does_not_spoil_the_others(project: pytest.Pytester, recorded: Path) -> None:
    shutil.copytree(recorded, recorded.parent / "interrupted")
    for name in ("result.json", "verdict.json", "run.json"):
        for file in (recorded.parent / "interrupted").rglob(name):
            file.unlink()
    done = project.runpytest_subprocess("--llmd-from-results=llmdbench-results")
    assert done.ret == 0
    done.stdout.fnmatch_lines(
        ["  INTERRUPTED: the run ended before its result was written", "*1 passed, 1 interrupted in *"],
    )


def test_a_run_that_had_an_error_has_it_again(project: pytest.Pytester, recorded: Path) -> None:
    (result,) = recorded.rglob("result.json")
    result.unlink()
    told = json.loads((recorded / "run.json").read_text())
    for case in told["cases"].values():
        case |= {"verdict": None, "error": "quick-load: it went up in smoke"}
    (recorded / "run.json").write_text(json.dumps(told))
    done = project.runpytest_subprocess(f"--llmd-from-results={recorded}")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*one-quick-load-short: has no result: quick-load: it went up in smoke"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--llmd-from-results=nowhere"], "*--llmd-from-results*nowhere: there is no such folder of results"),
        (["--llmd-from-results=."], "*: holds no results: no case.json and no Benchmark Report is in it or below it"),
        (["--llmd-from-results=.", "test_x.py"], "*leave out*test_x.py*"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(project: pytest.Pytester, arguments: list[str], said: str) -> None:
    (project.path / "test_x.py").write_text("")
    done = project.runpytest_subprocess(*arguments)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([said])
    assert "Traceback" not in done.stderr.str() + done.stdout.str()


def test_upstreams_results_are_judged_stage_by_stage(pytester: pytest.Pytester) -> None:
    reports = Path(__file__).parents[1] / "data/benchmark-reports/inference-perf"
    shutil.copytree(reports, pytester.path / "theirs/shared_prefix")
    done = pytester.runpytest_subprocess("--llmd-from-results=theirs", "--llmd-slo=ttft.p99<=10s", "--html=theirs.html")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["constant-stage0 *PASS*", "constant-stage1 *PASS*"])
    done = pytester.runpytest_subprocess("--llmd-from-results=theirs", "--llmd-slo=ttft.p99<=1us")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["MISSED *ttft.p99*", "note: there are no single requests*"])
