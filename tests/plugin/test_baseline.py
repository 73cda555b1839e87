"""--llmd-save-baseline, --llmd-baseline: runs against the simulator, before and after it got slower."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from pytest_llmdbench.results.baseline import read_baseline
from pytest_llmdbench.verdicts.measured import read_any

BENCH = """
import os
import pytest

@pytest.mark.workload("short")
def test_chat(run):
    for _ in range(int(os.environ.get("RUNS", "3"))):
        run()
"""


def sound(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """A session whose measurements are sound: on a busy machine the simulator may not keep its time, and says so."""
    for _ in range(5):
        done = project.runpytest_subprocess(*arguments)
        if "INVALID" not in done.stdout.str():
            break
    return done


@pytest.fixture
def repeated(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The project, with a benchmark that runs its load three times, and a baseline of five runs."""
    project.makepyfile(test_bench=BENCH)
    monkeypatch.setenv("RUNS", "5")
    done = sound(project, "--scenario=one", "--llmd-save-baseline=main")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["baseline main saved in *main.yaml:", "*one-quick-load-short: * runs"])
    monkeypatch.setenv("RUNS", "3")
    return project


def slower(project: pytest.Pytester, itl: float) -> None:
    (project.path / "scenarios" / "one.yaml").write_text(f"harness: quick-load\nsimulator: {{itl: {itl}}}\n")


def regression_of(project: pytest.Pytester) -> dict[str, object]:
    found = sorted((project.path / "llmdbench-results").rglob("regression.json"), key=lambda path: path.stat().st_mtime)
    regression: dict[str, object] = json.loads(found[-1].read_text())
    return regression


def test_a_slower_simulator_is_a_regression_and_an_identical_one_is_not(repeated: pytest.Pytester) -> None:
    same = sound(repeated, "--scenario=one", "--llmd-baseline=main")
    assert same.ret == 0
    assert regression_of(repeated)["outcome"] != "REGRESSION"
    slower(repeated, 0.055)  # by 10 %
    done = sound(repeated, "--scenario=one", "--llmd-baseline=main", "--junitxml=junit.xml")
    assert done.ret == 1
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "REGRESSION: worse than the baseline: *e2e.p50 +*",
            "metric * then * now * change * interval * margin*",
            "e2e.p50 ? * ms * ms *+*% *+*% .. +*% *5.0% *REGRESSION",
            "note: not as in the baseline: deployment: *",
            "*REGRESSION *one-quick-load-short: worse than the baseline*",
        ]
    )
    done.stdout.no_fnmatch_line("*Traceback*")
    (failure,) = ElementTree.parse(repeated.path / "junit.xml").iter("failure")
    assert "REGRESSION" in (failure.text or "")


def test_a_missed_objective_is_said_before_a_regression(repeated: pytest.Pytester) -> None:
    slower(repeated, 0.07)
    done = sound(repeated, "--scenario=one", "--llmd-baseline=main", "--llmd-slo=e2e.mean<=1ms")
    assert done.ret == 1
    # The test ends with the first run that misses: one run tells nothing for sure, and that is said.
    done.stdout.fnmatch_lines(
        ["FAIL: 1 of 1 objective missed", "INCONCLUSIVE *one-quick-load-short: *it takes 5 and 3*"]
    )


def test_recorded_runs_are_compared_too(repeated: pytest.Pytester) -> None:
    slower(repeated, 0.06)
    assert sound(repeated, "--scenario=one").ret == 0
    *_, newest = sorted((repeated.path / "llmdbench-results").iterdir())
    done = repeated.runpytest_subprocess(f"--llmd-from-results={newest}", "--llmd-baseline=main")
    done.assert_outcomes(failed=3)
    done.stdout.fnmatch_lines(["REGRESSION: *"])
    done = repeated.runpytest_subprocess(f"--llmd-from-results={newest}", "--llmd-save-baseline=slow")
    assert done.ret == 0
    saved = yaml.safe_load((repeated.path / "baselines" / "slow.yaml").read_text())
    assert [len(one["runs"]) for one in saved["cases"]] == [3]


def test_a_folder_of_results_and_a_margin_serve_as_well(repeated: pytest.Pytester) -> None:
    (folder,) = (repeated.path / "llmdbench-results").iterdir()
    slower(repeated, 0.06)
    done = sound(repeated, "--scenario=one", f"--llmd-baseline={folder}", "--llmd-margin=60%")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["NO REGRESSION *one-quick-load-short: * within the margin"])


def test_under_xdist_the_controller_saves_and_says_it(project: pytest.Pytester) -> None:
    project.makepyfile(test_bench=BENCH)
    sound(project, "--scenario=one,two", "-n2", "--llmd-save-baseline=./here.yaml").assert_outcomes(passed=2)
    saved = yaml.safe_load((project.path / "here.yaml").read_text())
    assert [one["case"] for one in saved["cases"]] == ["one-quick-load-short", "two-quick-load-short"]
    assert all(len(one["runs"]) >= 3 for one in saved["cases"])
    done = sound(project, "--scenario=one,two", "-n2", "--llmd-baseline=here.yaml")
    done.stdout.re_match_lines([r".* two-quick-load-short: .*(it takes 5 and 3|within the margin)"])
    assert done.ret == 0


def test_the_noise_of_the_same_thing_is_measured_said_and_kept(project: pytest.Pytester) -> None:
    done = sound(project, "--scenario=one", "--llmd-aa=2", "--llmd-save-baseline=main")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["A/A noise of one-quick-load-short, by 4 runs: *e2e.p50 *%, e2e.p99 *%"])
    (saved,) = read_baseline(project.path / "baselines" / "main.yaml").cases
    assert saved.noise is not None
    assert saved.noise.runs == 4
    assert 0 <= saved.noise.floors["e2e.p50"] < 1
    *_, newest = sorted((project.path / "llmdbench-results").iterdir())
    (recorded,) = read_any(newest).cases
    assert len(recorded.runs) == 4
    assert recorded.noise is not None
    assert set(recorded.noise.floors) == set(saved.noise.floors)


def test_repeated_runs_count_each_for_itself(project: pytest.Pytester) -> None:
    assert sound(project, "--scenario=one", "--llmd-repeats=5").ret == 0
    *_, newest = sorted((project.path / "llmdbench-results").iterdir())
    slower(project, 0.06)
    done = sound(project, "--scenario=one", "--llmd-repeats=3", f"--llmd-baseline={newest}")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["REGRESSION: worse than the baseline: *"])
    *_, newest = sorted((project.path / "llmdbench-results").iterdir())
    done = project.runpytest_subprocess(f"--llmd-from-results={newest}", f"--llmd-baseline={newest}")
    assert done.ret == 0
    done.assert_outcomes(passed=1)


def test_the_baseline_is_for_people_and_holds_no_path(repeated: pytest.Pytester) -> None:
    text = (repeated.path / "baselines" / "main.yaml").read_text()
    assert text.startswith("# A baseline of pytest-llmdbench")
    assert str(repeated.path) not in text
    assert "e2e.p50" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--llmd-baseline=mian"], "*--llmd-baseline: no baseline 'mian'*did you mean 'main'?"),
        (["--llmd-baseline=./none.yaml"], "*--llmd-baseline: no baseline at './none.yaml'*"),
        (["--llmd-baseline=broken"], "*broken.yaml: is no baseline of form 1*"),
        (["--llmd-save-baseline=broken"], "*broken.yaml: is no baseline of form 1*"),
        (["--llmd-save-baseline=a/b"], "*--llmd-save-baseline: 'a/b' is no name of a baseline's file*"),
        (["--llmd-baseline=main", "--llmd-margin=5"], "*--llmd-margin: expected a share like 5%*"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_before_anything_starts(
    project: pytest.Pytester, arguments: list[str], said: str
) -> None:
    place = project.path / "baselines"
    place.mkdir()
    (place / "main.yaml").write_text("form: 1\ncases: []\n")
    (place / "broken.yaml").write_text("form: 7\n")
    done = project.runpytest_subprocess("--scenario=one", *arguments)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([said])
    assert not (project.path / "llmdbench-results").exists()


def test_nothing_is_saved_where_nothing_sound_was_measured(project: pytest.Pytester) -> None:
    (project.path / "scenarios" / "one.yaml").write_text(
        "harness: quick-load\nsimulator: {faults: {error_rate: 1.0}}\n"
    )
    done = project.runpytest_subprocess("--scenario=one", "--llmd-save-baseline=main")
    assert done.ret != 0
    assert not Path(project.path / "baselines").exists()


def test_where_nothing_is_saved_it_is_told_of_each_case_why(project: pytest.Pytester) -> None:
    (project.path / "workloads/quick-load/short.yaml").write_text("requests: 3\ntokens: 9999999\npause: 0.0\n")
    done = project.runpytest_subprocess("--scenario=one", "--llmd-save-baseline=main")
    assert done.ret == 1
    done.stdout.fnmatch_lines(
        ["baseline main: nothing to save", "  one-quick-load-short: more of its requests failed than may"]
    )
