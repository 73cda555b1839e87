"""Options: the nearest wins, mistakes are usage errors, and the plan can be seen before anything starts."""

from __future__ import annotations

import sys

import pytest

from pytest_llmdbench.options import OPTIONS


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_a_dry_run_prints_the_plan_and_starts_nothing(project: pytest.Pytester, workers: list[str]) -> None:
    done = project.runpytest_subprocess("--scenario=one,two", "--llmd-dry-run", *workers)
    assert done.ret == 0
    done.stdout.fnmatch_lines(
        [
            "2 cases on 2 stacks",
            "stack one: local, model llmdbench/simulated; * of load",
            "  one-quick-load-short",
            "    as the data say; 3 requests, 0 s",
            "stack two:*",
            "objectives of every case: none",
            "expected duration of all load, one after the other: 0 s",
        ]
    )
    done.stdout.no_fnmatch_line("*standing up*")
    assert not (project.path / "llmdbench-results").exists()


def test_a_dry_run_shows_objectives_once_where_all_cases_have_the_same(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one,two", "--llmd-dry-run", "--llmd-slo=e2e.max<=2s,error_rate<=1%")
    done.stdout.fnmatch_lines(["objectives of every case: e2e.max <= 2 s, error_rate <= 1%"])
    done.stdout.no_fnmatch_line("    objectives: *")


def test_a_dry_run_shows_the_objectives_of_each_case_and_test_where_they_differ(project: pytest.Pytester) -> None:
    (project.path / "scenarios/two.yaml").write_text("harness: quick-load\nslo: [error_rate <= 1%]\n")
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("short")
        def test_chat(result):
            pass

        @pytest.mark.workload("short")
        @pytest.mark.slo("e2e.max <= 2s")
        def test_fast(result):
            pass
        """
    )
    done = project.runpytest_subprocess("--scenario=one,two", "--llmd-dry-run")
    shown = [line.strip() for line in done.outlines if line.startswith("    objectives: ")]
    assert shown == [
        "objectives: none",
        "objectives: e2e.max <= 2 s",
        "objectives: error_rate <= 1%",
        "objectives: error_rate <= 1%, e2e.max <= 2 s",
    ]


def test_a_dry_run_says_what_is_not_known_of_a_load(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=local", "--llmd-harness=lm-eval", "--llmd-workload=sanity",
                                        "--llmd-dry-run")  # fmt: skip
    done.stdout.fnmatch_lines(
        [
            "stack local: local, model *; how long the load takes is not known",
            "  local-lm-eval-sanity",
            "    4 at once; how many requests and how long is not known",
            "    objectives: error_rate <= 0.1%",
            "expected duration of all load, one after the other: not known",
        ]
    )


def test_what_a_load_never_measures_is_refused_before_anything_starts(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one", "--llmd-harness=lm-eval", "--llmd-workload=sanity",
                                        "--llmd-slo=ttft.p99<=3s")  # fmt: skip
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*ttft.p99 <= 3 s' (--llmd-slo): lm-eval does not measure ttft; *error_rate, score*"])
    done.stdout.no_fnmatch_line("*standing up*")


def test_a_marker_s_score_that_there_is_not_is_refused_before_anything_starts(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("aider-polyglot")
        @pytest.mark.slo("score(pas_rate) >= 0.4")
        def test_agents(result):
            pass
        """
    )
    done = project.runpytest_subprocess("--scenario=agentic-evaluation", "--llmd-dry-run")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*(@slo of *test_agents): this load has no score 'pas_rate'; did you mean 'pass_rate'*"])


def test_a_dry_run_leaves_the_reports_of_earlier_runs_alone(project: pytest.Pytester) -> None:
    for name in ("r.html", "j.xml"):
        (project.path / name).write_text("of a run")
    assert (
        project.runpytest_subprocess("--llmd-dry-run", "--scenario=one", "--html=r.html", "--junitxml=j.xml").ret == 0
    )
    assert [(project.path / name).read_text() for name in ("r.html", "j.xml")] == ["of a run"] * 2


def test_explain_prints_the_merged_scenario_with_where_each_value_came_from(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one", "--llmd-set=simulator.max_num_seqs=8", "--llmd-explain")
    assert done.ret == 0
    done.stdout.fnmatch_lines(
        [
            "# stack one",
            "  itl: 0.05 *# scenarios/one.yaml:2",
            "  max_num_seqs: 8 *# --llmd-set",
            "harness: quick-load *# scenarios/one.yaml:1",
            "# all default, see docs/reference/scenario.md: *timeouts*",
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario=on"], "*no scenario 'on' in scenarios/; did you mean 'one'*there is*one*two*"),
        (
            ["--scenario=one", "--llmd-set=simulator.itll=1"],
            "*--llmd-set: no key 'simulator.itll'; did you mean 'itl'*",
        ),
        (["--scenario=one", "--llmd-slo=tftf.p99<=1s"], "*no metric 'tftf'; did you mean 'ttft'*"),
        (["--scenario=one", "--treatments=nowhere.yaml"], "*nowhere.yaml: cannot be read*"),
        (
            ["--scenario=one", "--llmd-max-stacks=many"],
            "*--llmd-max-stacks: expected a whole number*found 'many'*",
        ),
        (
            ["--scenario=one", "--llmd-max-stacks=0"],
            "*--llmd-max-stacks: expected a whole number*found '0'*",
        ),
        (["--scenario="], "*--scenario: no name given*"),
        (["--scenario=one", "--llmd-overrides=rate"], "*--llmd-overrides 'rate': expected KEY=VALUE*"),
        (["--scenario=one", "--llmd-harness=nope"], "*no harness 'nope'*"),
        (
            ["--scenario=one", "--llmd-workload=shrt"],
            "*no workload 'shrt' in workloads/quick-load/; did you mean 'short'*",
        ),
        (
            ["--scenario=one", "--llmd-results=test_bench.py"],
            "*--llmd-results: *test_bench.py is not a writable folder*",
        ),
    ],
)
@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_what_cannot_be_meant_is_one_line_and_exit_status_4(
    project: pytest.Pytester, arguments: list[str], message: str, workers: list[str]
) -> None:
    done = project.runpytest_subprocess(*arguments, *workers)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([message])
    assert "Traceback" not in done.stderr.str() + done.stdout.str()


MISTAKES_IN_TESTS = {
    "@pytest.mark.workload('shrt')": "*no workload 'shrt' in workloads/quick-load/; did you mean 'short'*",
    "@pytest.mark.workload('short', harnes='x')": "*@pytest.mark.workload takes names and harness=, not harnes=*",
    "@pytest.mark.workload()": "*names no workload: give it @pytest.mark.workload('NAME')*",
    "@pytest.mark.workload('short')\n@pytest.mark.slo('e2e.p99 <= 15')": "*@slo of *test_chat: *needs a unit*",
    "@pytest.mark.workload('short')\n@pytest.mark.slo('e2e.p99@stage4 <= 15s')": "*the last stage of short is stage0*",
}


@pytest.mark.parametrize("marker", MISTAKES_IN_TESTS)
@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_a_mistake_in_a_marker_is_found_when_tests_are_collected(
    project: pytest.Pytester, marker: str, workers: list[str]
) -> None:
    project.makepyfile(test_bench=f"import pytest\n\n{marker}\ndef test_chat(result):\n    pass\n")
    done = project.runpytest_subprocess("--scenario=one", *workers)
    assert done.ret == (pytest.ExitCode.TESTS_FAILED if workers else pytest.ExitCode.INTERRUPTED)
    done.stdout.fnmatch_lines([MISTAKES_IN_TESTS[marker]])
    done.stdout.no_fnmatch_line("*Traceback*")
    done.stdout.no_fnmatch_line("*standing up*")


def test_set_adds_up_over_the_environment_and_the_nearer_place_wins(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMDBENCH_SET", "model.name=a,simulator.seed=7")
    done = project.runpytest_subprocess(
        "--scenario=one", "--llmd-model=b", "--llmd-set=simulator.itl=1", "--llmd-explain"
    )
    done.stdout.fnmatch_lines(["  name: b *# --llmd-model", "  seed: 7 *# $LLMDBENCH_SET", "  itl: 1.0 *# --llmd-set"])


def test_a_flag_in_the_environment_is_true_or_false(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMDBENCH_DRY_RUN", "maybe")
    done = project.runpytest_subprocess("--scenario=one")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*$LLMDBENCH_DRY_RUN: expected true or false, found 'maybe'*"])


@pytest.mark.parametrize("workers", [[], ["-n", "auto"]], ids=["alone", "xdist"])
def test_variables_for_another_project_do_not_disturb_one_without_benchmarks(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: list[str]
) -> None:
    monkeypatch.setenv("LLMDBENCH_SCENARIO", "of-somebody-else")
    monkeypatch.setenv("LLMDBENCH_MAX_STACKS", "x")
    pytester.makepyfile("def test_it(): pass\n")
    assert pytester.runpytest_subprocess(*workers).ret == 0


def test_paths_in_the_ini_file_are_relative_to_it(project: pytest.Pytester) -> None:
    (project.path / "vary.yaml").write_text("run: {factors: {requests: [1, 2]}}\n")
    project.makeini("[pytest]\nllmd_scenario = ./scenarios/one.yaml\nllmd_treatments = vary.yaml\n")
    below = project.mkdir("below")
    done = project.run(sys.executable, "-c", f"import os, sys; os.chdir({str(below)!r}); import pytest; "
                       "sys.exit(pytest.main(['..', '--llmd-dry-run']))")  # fmt: skip
    done.stdout.fnmatch_lines(["2 cases on 1 stack"])


def test_the_command_line_wins_over_the_environment_and_that_over_the_ini_file(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makeini("[pytest]\nllmd_model = from-ini\nllmd_scenario = one\n")
    project.runpytest_subprocess("--llmd-explain").stdout.fnmatch_lines(["  name: from-ini *# ini key llmd_model"])
    monkeypatch.setenv("LLMDBENCH_MODEL", "from-env")
    project.runpytest_subprocess("--llmd-explain").stdout.fnmatch_lines(["  name: from-env *# $LLMDBENCH_MODEL"])
    done = project.runpytest_subprocess("--llmd-explain", "--llmd-model=from-option")
    done.stdout.fnmatch_lines(["  name: from-option *# --llmd-model"])


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.word)
def test_every_option_begins_alike_and_explains_itself(option: object) -> None:
    from pytest_llmdbench.options import Option

    assert isinstance(option, Option)
    assert option.flag in ("--scenario", "--treatments") or option.flag.startswith("--llmd-")
    assert option.dest == f"llmd_{option.word}"
    assert option.help


def test_help_lists_the_options_with_their_variables(project: pytest.Pytester) -> None:
    help_text = project.runpytest_subprocess("--help").stdout.str()
    for option in OPTIONS:
        assert option.flag in help_text
        assert option.variable in help_text.replace("\n", " ")


def test_a_project_that_merely_has_the_plugin_installed_sees_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass\n")
    done = pytester.runpytest_subprocess("-n", "2", "--dist", "loadfile", "-v")
    assert done.ret == 0
    assert "llmdbench:" not in done.stdout.str()
    done.stdout.fnmatch_lines(["*LoadFileScheduling*"])


@pytest.mark.parametrize(("options", "workers"), [(["--scenario=one,two"], 2), (["--scenario=one"], 1)])
def test_n_auto_starts_a_worker_for_each_stack(project: pytest.Pytester, options: list[str], workers: int) -> None:
    done = project.runpytest_subprocess("-n", "auto", *options)
    assert done.ret == 0
    done.stdout.fnmatch_lines([f"created: {workers}/{workers} worker*"])


def test_no_more_stacks_are_up_at_once_than_allowed(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess(
        "-n", "2", "--scenario=one,two", "--llmd-max-stacks=1", "--llmd-overrides=pause=0.3"
    )
    assert done.ret == 0
    said = done.stdout.str()
    first, second = sorted(("one", "two"), key=lambda key: said.index(f"stack {key}: standing up"))
    assert said.index(f"{first}-quick-load-short: quick-load: stage") < said.index(f"stack {second}: standing up")


def test_under_xdist_the_scenario_must_be_named(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("-n", "1")
    assert done.ret != 0
    done.stdout.fnmatch_lines(["*to run benchmarks with pytest-xdist, name the scenario: --scenario=local*"])


def test_without_xdist_and_html_everything_else_works(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one", "-p", "no:xdist", "-p", "no:html", "-p", "no:metadata")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*1 passed*"])
