"""In which order cases run, whoever else has a say in it: stacks do not stand side by side in one process."""

from __future__ import annotations

import pytest


@pytest.fixture
def two(project: pytest.Pytester) -> pytest.Pytester:
    """Two benchmarks on two stacks, one of which fails when it is told to, and a test that needs no stack."""
    project.makepyfile(
        test_bench="""
        import os
        import pytest

        @pytest.mark.workload("short")
        def test_first(result):
            pass

        @pytest.mark.workload("short")
        def test_second(stack):
            assert "FAIL" not in os.environ

        def test_plain():
            pass
        """
    )
    return project


def collected(project: pytest.Pytester, *options: str) -> list[str]:
    done = project.runpytest_subprocess("--collect-only", "-q", *options)
    assert done.ret == 0
    return [line.removeprefix("test_bench.py::") for line in done.outlines if "::" in line]


def test_the_cases_of_a_stack_come_one_after_the_other_and_tests_without_one_first(two: pytest.Pytester) -> None:
    assert collected(two, "--scenario=one,two") == [
        "test_plain",
        "test_first[one-quick-load-short]",
        "test_second[one-quick-load-short]",
        "test_first[two-quick-load-short]",
        "test_second[two-quick-load-short]",
    ]


def test_failed_first_brings_their_stack_first_with_all_of_its_cases(
    two: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "1")
    two.runpytest_subprocess("--scenario=one,two", "-k", "second").assert_outcomes(failed=2)
    assert collected(two, "--scenario=one,two", "--ff") == [
        "test_second[one-quick-load-short]",
        "test_first[one-quick-load-short]",
        "test_second[two-quick-load-short]",
        "test_first[two-quick-load-short]",
        "test_plain",
    ]


def test_a_load_that_proves_nothing_is_not_refused_where_lf_leaves_it_out(
    two: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "1")
    tests = two.path / "test_bench.py"
    tests.write_text(tests.read_text().replace("@pytest", "@pytest.mark.slo('e2e.p90 <= 20s')\n@pytest", 1))
    two.runpytest_subprocess("--scenario=one", "-k", "second").assert_outcomes(failed=1)
    assert collected(two, "--scenario=one", "--lf") == ["test_second[one-quick-load-short]"]


def test_several_benchmarks_are_cases_without_any_option_too(two: pytest.Pytester) -> None:
    (two.path / "scenarios/local.yaml").write_text("harness: quick-load\n")
    assert collected(two) == [
        "test_first[local-quick-load-short]",
        "test_second[local-quick-load-short]",
        "test_plain",
    ]
