"""A benchmark is a test: it has cases, it passes or fails, and its numbers are where people look for them."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest


def run_folder(project: pytest.Pytester) -> Path:
    (folder,) = (project.path / "llmdbench-results").iterdir()
    return folder


def test_a_case_that_meets_its_objectives_passes_and_is_in_the_table(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one", "--llmd-slo=e2e.max<=20s,error_rate<=0.1%")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["case*requests*E2E*verdict", "one-quick-load-short * 3 *PASS"])
    done.stdout.fnmatch_lines(["stack one: up in * s, 1 load, down in * s", "results: *"])


def test_a_missed_objective_fails_and_is_named_with_value_and_bound(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one", "--llmd-slo=e2e.max<=1us,error_rate<=0.1%")
    assert done.ret == 1
    done.stdout.fnmatch_lines(
        [
            "FAIL: 1 of 2 objectives missed",
            "MISSED *e2e.max * us *<= 1 us *(--llmd-slo)",
            "ok *error_rate *0% *<= 0.1%*",
        ]
    )
    done.stdout.fnmatch_lines(["*objective *value*", "one-quick-load-short", "  MISSED *e2e.max * us *<= 1 us*"])
    done.stdout.no_fnmatch_line("*Traceback*")


def test_an_objective_in_the_marker_is_nearer_than_the_scenario_and_farther_than_the_option(
    project: pytest.Pytester,
) -> None:
    (project.path / "scenarios/one.yaml").write_text("harness: quick-load\nslo: [e2e.max <= 1us]\n")
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("short")
        @pytest.mark.slo("e2e.max <= 20s")
        def test_chat(result, slo):
            slo.verify(result)
        """
    )
    assert project.runpytest_subprocess("--scenario=one").ret == 0
    done = project.runpytest_subprocess("--scenario=one", "--llmd-slo=e2e.max<=2us")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["MISSED *<= 2 us*"])


def test_a_load_that_the_test_forgot_to_judge_is_judged(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("short")
        def test_chat(run):
            run()
        """
    )
    done = project.runpytest_subprocess("--scenario=one", "--llmd-slo=e2e.max<=1us")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["FAIL: 1 of 1 objective missed"])


def test_a_test_may_run_its_load_several_times_with_overrides(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("short")
        def test_chat(run, stack):
            assert run().whole.requests.completed == 3
            assert run(requests=5).whole.requests.completed == 5
            assert stack.url.startswith("http://127.0.0.1:")
        """
    )
    assert project.runpytest_subprocess("--scenario=one").ret == 0
    assert sorted(path.name for path in run_folder(project).iterdir()) == [
        "run.json",
        "test_bench.py_test_chat_one-quick-load-short",
        "test_bench.py_test_chat_one-quick-load-short.2",
    ]


def test_everything_needed_to_repeat_a_case_is_in_its_folder(project: pytest.Pytester) -> None:
    project.runpytest_subprocess("--scenario=one", "--llmd-overrides=requests=2", "--llmd-slo=e2e.max<=20s")
    (folder,) = (path for path in run_folder(project).iterdir() if path.is_dir())
    case = json.loads((folder / "case.json").read_text())
    assert case["scenario_origins"]["simulator.itl"] == "scenarios/one.yaml:2"
    assert "--llmd-overrides=requests=2" in case["provenance"]["command_line"]
    assert case["provenance"]["versions"]["pytest"]
    assert case["objectives"] == [{"objective": "e2e.max <= 20 s", "origin": "--llmd-slo"}]
    assert "requests: 2" in (folder / "workload.yaml").read_text()
    result = json.loads((folder / "result.json").read_text())
    assert result["whole"]["requests"]["completed"] == 2
    assert "overloaded" in result["server"]["lateness"]
    assert json.loads((folder / "verdict.json").read_text())["outcome"] == "PASS"


def test_a_run_can_be_repeated_from_its_folder_alone(project: pytest.Pytester) -> None:
    project.runpytest_subprocess("--scenario=one", "--llmd-overrides=requests=2", "--llmd-set=simulator.seed=5")
    (folder,) = (path for path in run_folder(project).iterdir() if path.is_dir())
    done = project.runpytest_subprocess(
        f"--scenario={folder}/scenario.yaml", f"--llmd-workload={folder}/workload.yaml", "--llmd-results=again"
    )
    assert done.ret == 0
    (again,) = (project.path / "again").glob("*/*/result.json")
    assert json.loads(again.read_text())["whole"]["requests"]["completed"] == 2
    assert (again.parent / "scenario.yaml").read_text() == (folder / "scenario.yaml").read_text()


def test_a_secret_on_the_command_line_is_not_stored(project: pytest.Pytester) -> None:
    project.runpytest_subprocess("--scenario=one", "-o", "cache_dir=.c", "--junit-prefix=token=hunter2")
    for path in (project.path / "llmdbench-results").rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes()


def test_a_run_with_every_request_failed_fails_whatever_its_program_returned(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess(
        "--scenario=one", "--llmd-set=simulator.faults.error_rate=1.0,timeouts.standup_s=3"
    )
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*a completion failed: 500 Internal Server Error*"])


def test_a_project_s_own_fixture_called_stack_does_not_disturb_a_result(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import pytest

        pytest_plugins = ["quick_load"]

        @pytest.fixture
        def stack():
            return ["mine"]
        """
    )
    assert project.runpytest_subprocess("--scenario=one").ret == 0


def test_a_case_with_several_runs_shows_the_numbers_and_the_folder_of_its_worst(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("short")
        @pytest.mark.slo("e2e.max <= 800ms")
        def test_chat(run, slo):
            slo.judge(run(tokens=20))
            slo.judge(run())
        """
    )
    done = project.runpytest_subprocess("--scenario=one", "--junitxml=j.xml")
    done.stdout.re_match_lines([r"one-quick-load-short .* 1[0-3]\d\d/\d+ ms .* FAIL"])
    properties = {
        found.get("name"): found.get("value") for found in ElementTree.parse(project.path / "j.xml").iter("property")
    }
    assert not (properties["llmd.folder"] or "").endswith(".2")


def test_a_test_that_only_looks_at_its_stack_has_no_verdict_and_no_error(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("short")
        def test_chat(stack):
            assert stack.model
        """
    )
    done = project.runpytest_subprocess("--scenario=one")
    assert done.ret == 0
    done.stdout.re_match_lines([r"one-quick-load-short .* -$"])


def test_tests_that_share_a_case_have_rows_of_their_own(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_bench="""
        import pytest

        pytestmark = pytest.mark.workload("short")

        def test_a(result): pass
        def test_b(result): pass
        """
    )
    done = project.runpytest_subprocess("--scenario=one")
    done.stdout.fnmatch_lines(["test_a?one-quick-load-short? *PASS", "test_b?one-quick-load-short? *PASS"])


def test_failures_above_the_sane_share_fail_before_any_objective(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_bench="""
        import json, urllib.request
        import pytest

        @pytest.mark.workload("short")
        def test_chat(run, slo, stack):
            faults = json.dumps({"error_rate": 1.0}).encode()
            urllib.request.urlopen(urllib.request.Request(stack.url + "/sim/faults", faults, method="POST")).read()
            slo.verify(run())
        """
    )
    done = project.runpytest_subprocess("--scenario=one", "--llmd-slo=e2e.max<=20s")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["FAIL: no request completed, of 3 sent (3 x error)", "NOT REPORTED  e2e.max*"])


def test_a_stand_in_of_a_stack_that_was_overloaded_is_not_slow_but_invalid(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        pytest_plugins = ["quick_load"]
        from pytest_llmdbench.stacks.local import LocalDeployment

        class Lame(LocalDeployment):
            def observe(self):
                return {**super().observe(), "lateness": {"overloaded": True, "late_p99_s": 0.02}}

        def pytest_llmdbench_deployments():
            return {"lame": Lame}
        """
    )
    words = ["--scenario=one", "--llmd-set=deploy=lame", "-v"]
    done = project.runpytest_subprocess(*words, "--llmd-slo=e2e.max<=150ms")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*::test_chat* INVALID*", "INVALID: the simulator could not keep its own time*"])
    met = project.runpytest_subprocess(*words, "--llmd-slo=e2e.max<=20s")
    assert met.ret == 0
    met.stdout.fnmatch_lines(["*note: the simulator could not keep its own time*"])


def test_a_stack_that_does_not_come_up_is_an_error_once_with_its_reason(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess(
        "--scenario=one",
        "--llmd-workload=short,long",
        "--llmd-set=timeouts.standup_s=0.5,simulator.faults.startup_s=30",
    )
    assert done.ret == 1
    done.assert_outcomes(errors=2)
    done.stdout.fnmatch_lines(["*did not listen within 0.5 s (timeouts.standup_s)*", "  ERROR: stack one: *"])
    assert done.stdout.str().count("standing up") == 1
    done.stdout.no_fnmatch_line("*Traceback*")


def test_no_stack_is_held_while_a_load_program_is_installed(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one")
    done.stdout.fnmatch_lines(["quick-load: nothing to install", "stack one: standing up"])


def test_junit_has_every_number_as_a_property(project: pytest.Pytester) -> None:
    project.runpytest_subprocess("--scenario=one", "--junitxml=j.xml", "--llmd-slo=e2e.max<=20s")
    properties = {
        found.get("name"): found.get("value") for found in ElementTree.parse(project.path / "j.xml").iter("property")
    }
    assert properties["llmd.verdict"] == "PASS"
    assert properties["llmd.requests.completed"] == "3"
    assert float(properties["llmd.e2e.p99"] or "") > 0


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_the_html_report_has_the_numbers_in_columns(project: pytest.Pytester, workers: list[str]) -> None:
    done = project.runpytest_subprocess("--scenario=one", "--html=r.html", "--self-contained-html", *workers)
    assert done.ret == 0
    page = (project.path / "r.html").read_text()
    for column in ("Verdict", "Requests", "TTFT p99", "E2E p99"):
        assert column in page
    assert "PASS" in page
    assert "3 of 3" in page


def test_what_comes_from_outside_is_escaped_in_the_html_report(project: pytest.Pytester) -> None:
    (project.path / "scenarios/one.yaml").write_text(
        "harness: quick-load\nmodel: {name: '<script>alert(1)</script>'}\nsimulator: {itl: 0.05}\n"
    )
    project.runpytest_subprocess("--scenario=one", "--html=r.html", "--self-contained-html")
    assert "<script>alert(1)" not in (project.path / "r.html").read_text()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("result.whole.latencies['ttfb']", "KeyError: 'ttfb'"),
        ("raise ValueError", "ValueError"),
        ("pytest.fail('not what I expected')", "not what I expected"),
    ],
)
def test_an_error_of_a_test_s_own_code_says_of_what_kind_it_is(
    project: pytest.Pytester, statement: str, said: str
) -> None:
    project.makepyfile(
        test_bench=f"""
        import pytest

        @pytest.mark.workload("short")
        def test_chat(result):
            {statement}
        """
    )
    assert project.runpytest_subprocess("--scenario=one").ret == 1
    (record,) = json.loads((run_folder(project) / "run.json").read_text())["cases"].values()
    assert record["error"] == said
