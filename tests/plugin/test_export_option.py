"""A table that was asked for and cannot be written does not go unseen."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("names", ["all.xlsx", "all.csv,all.xlsx"])
def test_a_table_of_an_unknown_format_is_refused_before_any_load(project: pytest.Pytester, names: str) -> None:
    done = project.runpytest_subprocess("--scenario=one", f"--llmd-export={names}")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: --llmd-export: all.xlsx: *there is .csv, .json, .parquet, .yaml"])
    assert not (project.path / "llmdbench-results").exists()


def test_a_table_that_could_not_be_written_fails_the_session(project: pytest.Pytester) -> None:
    (project.path / "all.csv").mkdir()
    done = project.runpytest_subprocess("--scenario=one", "--llmd-export=all.csv")
    done.stdout.fnmatch_lines(["--llmd-export: all.csv: cannot be written: *", "* 1 passed *"])
    assert done.ret == pytest.ExitCode.TESTS_FAILED


def test_a_table_that_cannot_be_written_in_the_end_fails_the_session_and_loses_nothing_else(
    project: pytest.Pytester,
) -> None:
    done = project.runpytest_subprocess("--scenario=one", "--llmd-export=test_bench.py/all.csv,all.csv")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["--llmd-export: test_bench.py/all.csv: cannot be written: *", "all results: all.csv"])
    assert "one-quick-load-short" in (project.path / "all.csv").read_text()
