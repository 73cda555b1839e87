"""--llmd-compare: results folders and baselines side by side, without running anything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_llmdbench.results.baseline import Baseline, write_baseline
from pytest_llmdbench.results.distributions import distribution
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.verdicts.measured import read_any
from tests.results.recorded_runs import measured, record

REPORTS = Path(__file__).parents[1] / "data" / "benchmark-reports"


def result(level: float) -> Result:
    """A genuine result whose TTFTs are ``level`` seconds and a little."""
    times = distribution(level * (1 + np.arange(100) / 1000))
    assert times is not None
    genuine = measured()
    return replace(genuine, whole=replace(genuine.whole, latencies={"ttft": times}))


@pytest.fixture
def folders(pytester: pytest.Pytester) -> pytest.Pytester:
    """Five runs from before, and three each that are alike and slower."""
    pytester.makeini("[pytest]\n")
    for name, levels in {
        "before": [1.0, 1.001, 1.002, 1.003, 1.004], "alike": [1.0005, 1.0015, 1.0025], "slower": [1.2, 1.21, 1.22],
    }.items():  # fmt: skip
        for number, level in enumerate(levels):
            record(pytester.path / name / f"case.{number}", result(level))
    return pytester


def test_what_is_alike_and_what_is_slower_are_told_apart(folders: pytest.Pytester) -> None:
    done = folders.runpytest_subprocess("--llmd-compare=before,alike")
    assert done.ret == 0
    done.stdout.fnmatch_lines(
        [
            "alike against before",
            "local-inference-perf-sanity_random: 3 runs against 5",
            "NO REGRESSION: *",
            "ttft.p50 ?*1052 ms*1051 ms*+0.0%*-0.2% .. +0.2%*5.0%*no regression",
            "*1 case, 0 worse*",
        ]
    )
    done = folders.runpytest_subprocess("--llmd-compare=before", "--llmd-compare=alike,slower")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["alike against before", "NO REGRESSION*", "slower against before", "REGRESSION: *"])


def test_the_table_fits_a_terminal(folders: pytest.Pytester) -> None:
    lines = folders.runpytest_subprocess("--llmd-compare=before,slower").outlines
    assert max(len(line) for line in lines if line.startswith(("ttft", "requests", "metric"))) <= 100


def test_a_wider_margin_forgives(folders: pytest.Pytester) -> None:
    assert folders.runpytest_subprocess("--llmd-compare=before,slower", "--llmd-margin=40%").ret == 0


def test_with_a_place_for_results_the_comparison_is_a_file_too(folders: pytest.Pytester) -> None:
    folders.runpytest_subprocess("--llmd-compare=before,slower", "--llmd-results=out")
    said: dict[str, Any] = json.loads((folders.path / "out" / "comparison.json").read_text())
    (one,) = said["comparisons"]
    (case,) = one["cases"]
    assert case["outcome"] == "REGRESSION"
    assert {"ttft.p50", "ttft.p99"} <= {metric["metric"] for metric in case["metrics"]}


def test_stored_baselines_are_compared_by_name(folders: pytest.Pytester) -> None:
    for name in ("before", "slower"):
        cases = read_any(folders.path / name).cases
        write_baseline(folders.path / "baselines" / f"{name}-stored.yaml", Baseline("", cases))
    done = folders.runpytest_subprocess("--llmd-compare=before-stored,slower-stored")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["REGRESSION: *"])


def test_another_scenario_with_the_same_load_is_compared_and_said(folders: pytest.Pytester) -> None:
    for number in range(3):
        facts: dict[str, Any] = {"case": "other-inference-perf-sanity_random", "scenario": "kind"}
        record(folders.path / "other" / f"case.{number}", result(1.2 + number / 100), **facts)
    done = folders.runpytest_subprocess("--llmd-compare=before,other")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["REGRESSION: *", "note: not as in the baseline: scenario: kind, was local"])


def test_reports_of_llm_d_benchmark_are_compared_with_each_other(folders: pytest.Pytester) -> None:
    done = folders.runpytest_subprocess(f"--llmd-compare={REPORTS},{REPORTS}/aiperf")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*-stage*", "INCONCLUSIVE: *it takes 5 and 3*", "ttft.p50*+0.0%*"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("before", "*--llmd-compare: name what to compare and what with: before,OTHER"),
        ("before,nowhere", "*--llmd-compare: no baseline 'nowhere' in baselines/*"),
        ("before,empty", "*empty: holds no results: *"),
        ("before,strange", "*strange: no case of it is in *before"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(folders: pytest.Pytester, given: str, said: str) -> None:
    (folders.path / "empty").mkdir()
    record(folders.path / "strange" / "case", result(1.0), case="strange", workload_name="x", harness="nop")
    done = folders.runpytest_subprocess(f"--llmd-compare={given}")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([said])


def test_no_test_is_collected(folders: pytest.Pytester) -> None:
    folders.makepyfile(test_it="raise RuntimeError('imported')")
    done = folders.runpytest_subprocess("--llmd-compare=before,alike")
    assert done.ret == 0
    done.stdout.no_fnmatch_line("*imported*")
    done.stdout.no_fnmatch_line("collected *")
