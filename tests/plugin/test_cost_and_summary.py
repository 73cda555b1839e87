"""Cost as an objective of a run, and the summary in Markdown that a run leaves; real requests to the simulator."""

from __future__ import annotations

import json
import re

import pytest

COUNTED = "--llmd-set=accelerator.price_per_hour=2.5,accelerator.gpus=4"


@pytest.fixture
def timed(project: pytest.Pytester) -> pytest.Pytester:
    """The program of quick-load, whose load is said to have taken a minute: it does not measure that itself."""
    project.makeconftest(
        """
        from dataclasses import replace

        pytest_plugins = ["quick_load"]

        def pytest_llmdbench_harnesses():
            from quick_load import QuickLoad

            class Timed(QuickLoad):
                name = "timed-load"

                def read(self, folder):
                    result = super().read(folder)
                    return replace(result, whole=replace(result.whole, duration_s=60.0))

            return [Timed()]
        """
    )
    (project.path / "workloads/quick-load").rename(project.path / "workloads/timed-load")
    return project


def run(project: pytest.Pytester, *words: str) -> pytest.RunResult:
    return project.runpytest_subprocess("--scenario=one", "--llmd-harness=timed-load", *words)


def test_a_load_that_is_too_expensive_fails_and_the_record_says_by_which_price(timed: pytest.Pytester) -> None:
    done = run(timed, COUNTED, "--llmd-slo=cost<=0.1,cost_per_1m_output_tokens<=1e6", "--junitxml=junit.xml")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["  MISSED *cost * 0.1667 *<= 0.1 *+66.7%", "  cost: 0.1667, * (4 GPUs at 2.5 an hour)"])
    (folder,) = (timed.path / "llmdbench-results").iterdir()
    (record,) = json.loads((folder / "run.json").read_text())["cases"].values()
    assert record["price"] == {
        "per_hour": 2.5, "source": "accelerator.price_per_hour", "date": None, "currency": None
    }  # fmt: skip
    (result,) = folder.glob("*/result.json")
    economy = json.loads(result.read_text())["economy"]
    assert economy["cost"] == pytest.approx(4 * 2.5 / 60)
    assert economy["cost_per_1m_output_tokens"] == pytest.approx(4 * 2.5 / 60 / 12 * 1e6)
    assert 'name="llmd.cost" value="0.16' in (timed.path / "junit.xml").read_text()


def test_a_price_table_may_be_given(timed: pytest.Pytester) -> None:
    (timed.path / "mine.yaml").write_text(
        "currency: EUR\nprices: {abacus: {per_hour: 60, date: 2026-11-01, source: our contract}}\n"
    )
    words = ["--llmd-set=accelerator.product=Abacus,accelerator.gpus=1", "--llmd-slo=cost<=1.01"]
    done = run(timed, *words, "--llmd-prices=mine.yaml", "--llmd-allow=invalid")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["  cost: 1 EUR, * (1 GPU at 60 EUR an hour, 2026-11-01)"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--llmd-prices=nowhere.yaml"], "*nowhere.yaml: cannot be read*"),
        (["--llmd-prices=scenarios/one.yaml"], "*scenarios/one.yaml:1: no key 'harness'*"),
    ],
)
def test_a_table_that_is_none_ends_the_run_before_it_starts(
    timed: pytest.Pytester, words: list[str], said: str
) -> None:
    done = run(timed, *words)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([said])


def test_an_objective_on_a_cost_that_nobody_can_know_is_refused_before_the_load(timed: pytest.Pytester) -> None:
    done = run(timed, "--llmd-slo=cost<=0.1")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*--llmd-slo: objective 'cost <= 0.1': nobody knows how many GPUs *accelerator.gpus*"])
    done.stdout.no_fnmatch_line("*standing up*")


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_a_summary_in_markdown_is_left_for_the_page_of_the_job(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: list[str]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "step.md"))
    done = project.runpytest_subprocess(
        "--scenario=one", "--llmd-slo=e2e.max<=1us", "--llmd-summary=out/s.md", *workers
    )
    assert done.ret == 1
    done.stdout.fnmatch_lines(["summary: out/s.md"])
    text = (project.path / "out/s.md").read_text()
    # On a machine that is too busy for the simulator the verdict is another, and told alike.
    assert re.match(r"## llmdbench: 1 (FAIL|INVALID)\n", text)
    assert "| MISSED | e2e.max |" in text
    assert (project.path / "step.md").read_text() == f"{text}\n"
    # One line a case fits the width, whoever ran it.
    lines = done.stdout.str().partition("= llmdbench =")[2].splitlines()
    assert max(len(line) for line in lines if "one-quick-load" in line and "FAILED" not in line) <= 100


@pytest.mark.parametrize(
    ("options", "more", "status"),
    [
        pytest.param(["-p", "no:terminal"], "", 0, id="no terminal"),
        pytest.param([], "def test_that_leaves():\n    pytest.exit('enough', returncode=7)\n", 7, id="an exit"),
    ],
)
def test_files_that_were_asked_for_are_written_where_pytest_gives_no_summary(
    project: pytest.Pytester, options: list[str], more: str, status: int
) -> None:
    tests = project.path / "test_bench.py"
    tests.write_text(f"{tests.read_text()}\n{more}")
    done = project.runpytest_subprocess("--scenario=one", "--llmd-summary=s.md", "--llmd-export=all.csv", *options)
    assert done.ret == status
    assert "one-quick-load-short" in (project.path / "s.md").read_text()
    assert "quick-load" in (project.path / "all.csv").read_text()
    (folder,) = (project.path / "llmdbench-results").iterdir()
    assert len(json.loads((folder / "run.json").read_text())["cases"]) == 1
