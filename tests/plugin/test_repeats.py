"""What a load's tail is proven to be: inside, outside or at the bound, in one run or several; and when to give up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.results.store import read_result

PACED_LOAD = Path(__file__).with_name("paced_load.py")
#: Requests, tokens of each answer, and how late each is sent; more tokens than a stack takes are an error.
LOADS = {
    "short": (150, 1, 0),
    "long": (6000, 1, 0),
    "few": (30, 1, 0),
    "starved": (60, 1, 0.2),
    "refused": (40, 1_000_000, 0),
}
SLO = "--llmd-slo=e2e.p90<=2s"


@pytest.fixture
def loads(project: pytest.Pytester) -> pytest.Pytester:
    """Stacks of which a known share of answers takes 5 s and all others far less."""
    shutil.copy(PACED_LOAD, project.path / "paced_load.py")
    project.makeconftest("pytest_plugins = ['quick_load', 'paced_load']")
    # So many good answers for each bad one, by stack: of ten in a hundred that may be bad. Good ones take 0.2 to 1.4 s.
    for name, good in {"inside": 99, "at": 9, "outside": 2}.items():
        table = [0.2 + 1.2 * number / good for number in range(good)] + [5.0]
        # Steps are long, so that a busy machine keeps their time.
        spread = f"{{distribution: table, table: {table}}}"
        simulator = f"{{seed: 6, itl: 0.2, ttft: {sum(table) / len(table)}, ttft_spread: {spread}}}"
        _write(project, f"scenarios/{name}.yaml", f"simulator: {simulator}\n")
    for harness in ("paced-load", "live-load"):
        for name, (requests, tokens, late) in LOADS.items():
            load = f"rate: 60\nrequests: {requests}\ntokens: {tokens}\nlate: {late}\n"
            _write(project, f"workloads/{harness}/{name}.yaml", "llmdbench: {warmup: none}\n" + load)
    return project


def _write(project: pytest.Pytester, name: str, text: str) -> None:
    path = project.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(project: pytest.Pytester, scenario: str, workload: str, *more: str, harness: str = "paced-load") -> Any:
    return project.runpytest_subprocess(
        f"--scenario={scenario}", f"--llmd-harness={harness}", f"--llmd-workload={workload}", SLO, *more
    )


def verdict(project: pytest.Pytester, folder: str = "*") -> dict[str, Any]:
    (path,) = project.path.glob(f"llmdbench-results/*/{folder}/verdict.json")
    said: dict[str, Any] = json.loads(path.read_text())
    return said


@pytest.mark.parametrize(("scenario", "outcome"), [("inside", "PASS"), ("at", "INCONCLUSIVE"), ("outside", "FAIL")])
def test_a_known_tail_gets_the_verdict_that_it_should(loads: pytest.Pytester, scenario: str, outcome: str) -> None:
    done = run(loads, scenario, "short")
    assert verdict(loads)["outcome"] == outcome
    assert done.ret == (0 if outcome == "PASS" else 1)


def test_a_starved_load_program_makes_the_run_invalid(loads: pytest.Pytester) -> None:
    run(loads, "inside", "starved")
    said = verdict(loads)
    assert (said["outcome"], "could not keep up" in said["reason"]) == ("INVALID", True)


def test_a_run_of_which_every_request_failed_fails(loads: pytest.Pytester) -> None:
    run(loads, "inside", "refused")
    assert (verdict(loads)["outcome"], "no request completed" in verdict(loads)["reason"]) == ("FAIL", True)


def test_repeated_runs_are_judged_together_and_each_is_kept(loads: pytest.Pytester) -> None:
    done = run(loads, "inside", "few", "--llmd-repeats=3")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*: run 3 of 3", "*inside-paced-load-few * 90 *"])
    said = verdict(loads, "*.pooled")
    (one,) = said["objectives"]
    assert (said["outcome"], one["requests"], one["runs"], one["basis"]) == ("PASS", 90, 3, "runs")
    (folder,) = loads.path.glob("llmdbench-results/*/*.pooled")
    result = read_result(folder)
    assert [one.whole.requests.completed for one in result.runs] == [30, 30, 30]
    assert all(one.table is not None and one.table.is_file() for one in result.runs)
    # Judged again from what was kept, it is one case with the same verdict.
    again = loads.runpytest_subprocess("--llmd-from-results=llmdbench-results")
    again.assert_outcomes(passed=1)


def test_a_load_that_cannot_tell_is_run_again_until_it_can(loads: pytest.Pytester) -> None:
    # Alone, 30 requests are too few to be as sure as three looks take.
    done = run(loads, "inside", "few", "--llmd-extend-inconclusive=2")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*neither proven nor disproven*one more, of at most 2"])
    said = verdict(loads, "*.pooled")
    assert said["outcome"] == "PASS"
    assert any("98.3% sure" in note for note in said["notes"])


@pytest.mark.parametrize("harness", ["live-load", pytest.param("paced-load", marks=pytest.mark.thorough)])
def test_a_doomed_load_is_given_up_and_what_it_measured_is_kept(loads: pytest.Pytester, harness: str) -> None:
    done = run(loads, "outside", "long", "--llmd-abort-doomed", harness=harness)
    assert done.ret == 1
    said = verdict(loads)
    assert said["outcome"] == "FAIL"
    assert said["reason"].startswith("given up after ")
    (folder,) = (path.parent for path in loads.path.glob("llmdbench-results/*/*/result.json"))
    result = read_result(folder)
    assert result.abandoned == said["reason"]
    assert 0 < result.whole.requests.completed < 3000
    # Nor is it judged better when it is judged again.
    assert loads.runpytest_subprocess("--llmd-from-results=llmdbench-results").ret == 1


def test_a_load_that_can_pass_is_not_given_up(loads: pytest.Pytester) -> None:
    assert run(loads, "inside", "short", "--llmd-abort-doomed", harness="live-load").ret == 0


def test_the_plan_counts_all_runs(loads: pytest.Pytester) -> None:
    refused = run(loads, "inside", "few", "--llmd-slo=e2e.p95<=2s")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*takes 59 requests to prove*this load has 30*"])
    shown = run(loads, "inside", "few", "--llmd-slo=e2e.p95<=2s", "--llmd-repeats=2", "--llmd-dry-run")
    assert shown.ret == 0
    shown.stdout.fnmatch_lines(["*30 requests*; 2 times"])
