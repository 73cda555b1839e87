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


def test_under_xdist_it_is_refused_as_well(both: pytest.Pytester) -> None:
    done = both.runpytest_subprocess("--scenario=one", P90, "-n", "2")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*one-quick-load-short: objective 'e2e.p90*takes 29 requests*this load has 3*"])
    done.stdout.no_fnmatch_line("*standing up*")


def test_a_test_that_sends_no_load_is_not_asked_how_much_it_sends(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("short")
        def test_alone(stack, slo):
            assert stack.url.startswith("http://")
            assert len(slo.objectives) == 1
        """
    )
    assert project.runpytest_subprocess("--scenario=one", P90).ret == 0


def test_a_load_that_a_test_asks_for_only_as_it_runs_is_refused_then(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("short")
        def test_later(stack, request):
            request.getfixturevalue("run")()
        """
    )
    done = project.runpytest_subprocess("--scenario=one", P90)
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*one-quick-load-short: objective 'e2e.p90*takes 29 requests*"])
