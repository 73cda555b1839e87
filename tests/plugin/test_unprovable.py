"""A load too short for its objective is refused before anything starts; those that are not selected are not asked."""

from __future__ import annotations

import pytest

P90 = "--llmd-slo=e2e.p90<=20s"


@pytest.fixture
def both(project: pytest.Pytester) -> pytest.Pytester:
    """Two benchmarks: one of 3 requests, one of 40."""
    (project.path / "workloads/quick-load/enough.yaml").write_text("requests: 40\ntokens: 1\npause: 0.0\n")
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("short")
        def test_few(result):
            pass

        @pytest.mark.workload("enough")
        def test_many(result):
            pass
        """
    )
    return project


def test_it_is_refused_with_the_number_that_it_takes(both: pytest.Pytester) -> None:
    done = both.runpytest_subprocess("--scenario=one", P90)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*one-quick-load-short: objective 'e2e.p90*takes 29 requests*this load has 3*"])
    done.stdout.no_fnmatch_line("*standing up*")


def test_what_is_not_selected_is_not_asked_of(both: pytest.Pytester) -> None:
    done = both.runpytest_subprocess("--scenario=one", P90, "-k", "many", "--collect-only", "-q")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*test_many[[]one-quick-load-enough[]]"])


def test_under_xdist_its_test_is_an_error_and_no_stack_is_held_for_it(both: pytest.Pytester) -> None:
    done = both.runpytest_subprocess("--scenario=one", P90, "-k", "few", "-n", "1")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*takes 29 requests*"])
    done.stdout.no_fnmatch_line("*standing up*")
