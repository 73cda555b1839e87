"""Options: the nearest wins, mistakes are usage errors, and the plan can be seen before anything starts."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from pytest_llmdbench.options import OPTIONS, unknown_variables


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
            "objectives of every load: none",
            "expected duration of all load, one after the other: 0 s",
        ]
    )
    done.stdout.no_fnmatch_line("*standing up*")
    assert not (project.path / "llmdbench-results").exists()


def test_a_dry_run_shows_objectives_once_where_all_cases_have_the_same(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one,two", "--llmd-dry-run", "--llmd-slo=e2e.max<=2s,error_rate<=1%")
    done.stdout.fnmatch_lines(["objectives of every load: e2e.max <= 2 s, error_rate <= 1%"])
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
    assert "results in" not in done.stdout.str()  # there will be none


def test_a_dry_run_tells_tests_of_one_workload_apart_and_what_is_known_of_the_whole(project: pytest.Pytester) -> None:
    (project.path / "scenarios/local.yaml").write_text("slo: []\nload: {size: quick}\n")
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("sanity_random")
        def test_chat(result):
            pass

        @pytest.mark.workload("sanity_random")
        def test_stack_alone(stack):
            pass

        @pytest.mark.workload("chatbot_synthetic")
        @pytest.mark.max_rate(low=1, high=30)
        def test_search(max_rate):
            pass
        """
    )
    done = project.runpytest_subprocess("--scenario=local", "--llmd-dry-run")
    assert done.ret == 0
    done.stdout.fnmatch_lines(
        [
            "stack local: local, model *; at least * s of load",
            "  test_bench.py::test_chat[[]local-inference-perf-sanity_random[]]",
            "    1/s for 10 s; 10 requests, * s",
            "  test_bench.py::test_stack_alone[[]local-inference-perf-sanity_random[]]",
            "    no load: the test has the stack alone",
            "  local-inference-perf-chatbot_synthetic",
            "    search from 1 to 30/s, in runs of at least 10 s",
            "expected duration of all load, one after the other: at least * s",
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


SHORT = "import pytest\n\n@pytest.mark.workload('short')\ndef test_it(result):\n    pass\n"
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
    done = project.runpytest_subprocess("-n", "2")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: to run benchmarks with pytest-xdist, name the scenario: --scenario=local"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--llmd-overrides=request=5", "*: 'request' matches nothing in quick-load/short; did you mean 'requests'?"),
        ("--llmd-dataset=nope", "*--llmd-dataset nope: there is no such file or folder"),
        ("--llmd-slo=cost<=20", "*--llmd-slo: objective 'cost <= 20': nobody knows how many GPUs the stack has; *"),
        ("--llmd-slo=e2e.max@stage5<=2s", "*--llmd-slo: objective *: the last stage of short is stage0"),
    ],
)
@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_an_option_that_does_not_go_with_a_selected_load_is_one_line_and_exit_status_4(
    project: pytest.Pytester, option: str, message: str, workers: list[str]
) -> None:
    project.makepyfile(**dict.fromkeys(("test_one", "test_two"), SHORT))
    done = project.runpytest_subprocess("--scenario=one", option, *workers)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    said = [line for line in done.errlines if line.strip()]
    assert len(said) == 1
    done.stderr.fnmatch_lines([message])
    done.stdout.no_fnmatch_line("*standing up*")


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_an_option_need_not_go_with_a_load_that_is_not_selected(project: pytest.Pytester, workers: list[str]) -> None:
    for name, further in (("short", "further: 1\n"), ("other", "")):
        (project.path / f"workloads/quick-load/{name}.yaml").write_text(
            f"requests: 3\ntokens: 4\npause: 0.0\n{further}"
        )
    project.makepyfile(test_other=SHORT.replace("short", "other").replace("test_it", "test_other"))
    done = project.runpytest_subprocess("--scenario=one", "--llmd-overrides=further=2", "-k", "chat", *workers)
    assert done.ret == 0
    refused = project.runpytest_subprocess("--scenario=one", "--llmd-overrides=further=2", *workers)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*: 'further' matches nothing in quick-load/other; *"])


def test_what_is_wrong_in_the_environment_is_told_where_a_benchmark_is_selected_and_not_elsewhere(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMDBENCH_SCENARIO", "on")
    project.makepyfile(test_plain="def test_plain(): pass")
    done = project.runpytest_subprocess()
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*no scenario 'on' in scenarios/; did you mean 'one'*"])
    assert project.runpytest_subprocess("-k", "plain").ret == 0


def test_without_xdist_and_html_everything_else_works(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one", "-p", "no:xdist", "-p", "no:html", "-p", "no:metadata")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*1 passed*"])


@pytest.mark.parametrize("arguments", [["--scenario=one"], ["--scenario=one", "-q"], ["--scenario=one", "-n2"], []])
def test_a_misspelt_variable_is_told_once_with_the_nearest_before_anything_starts(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    (project.path / "scenarios/local.yaml").write_text("harness: quick-load\n")
    monkeypatch.setenv("LLMDBENCH_SCENARO", "two")
    done = project.runpytest_subprocess(*arguments)
    told = "$LLMDBENCH_SCENARO is no variable of an option and changes nothing; did you mean $LLMDBENCH_SCENARIO?"
    said = [number for number, line in enumerate(done.outlines) if line == f"llmdbench: {told}"]
    begun = next(number for number, line in enumerate(done.outlines) if "standing up" in line)
    assert done.ret == 0
    assert len(said) == 1
    assert said[0] < begun


def test_a_misspelt_variable_is_not_told_where_there_are_no_benchmarks(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMDBENCH_SCENARO", "two")
    pytester.makepyfile("def test_it(): pass")
    pytester.runpytest_subprocess().stdout.no_fnmatch_line("*LLMDBENCH*")


def test_variables_of_options_of_llm_d_benchmark_and_of_these_tests_are_not_told() -> None:
    words = ("CACHE_DIR", "TEST_CHARTS", "CLUSTER_TOOL", "HF_TOKEN", "VLLM_COMMON_PVC")
    names = [*(option.variable for option in OPTIONS), *(f"LLMDBENCH_{word}" for word in words), "MY_LLMDBENCH_X"]
    assert list(unknown_variables(dict.fromkeys(names, "x"))) == []


def test_a_variable_that_is_like_none_is_told_with_where_to_find_them_all() -> None:
    (said,) = unknown_variables({"LLMDBENCH_XYZZY": "1"})
    assert said.endswith("changes nothing; pytest --help names them all")


def test_every_variable_that_the_project_reads_is_known() -> None:
    root = Path(__file__).parents[2]
    files = [*(root / "pytest_llmdbench").rglob("*.py"), *(root / ".ci").iterdir(), *(root / "tests").rglob("*.py")]
    read = r"(?:environ(?:\.get\(|\[)|setenv\(|\$\{?)[\"']?(LLMDBENCH_[A-Z_]+)"
    found = {name for file in files for name in re.findall(read, file.read_text(encoding="utf-8"))}
    assert "LLMDBENCH_CACHE_DIR" in found
    assert [line.split()[0] for line in unknown_variables(dict.fromkeys(found, "x"))] == ["$LLMDBENCH_SCENARO"], (
        "those of the tests above"
    )
