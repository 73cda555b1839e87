"""Options: the nearest wins, mistakes are usage errors, and the plan can be seen before anything starts."""

from __future__ import annotations

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
            "stack two:*",
        ]
    )
    done.stdout.no_fnmatch_line("*standing up*")
    assert not (project.path / "llmdbench-results").exists()


def test_explain_prints_the_merged_scenario_with_where_each_value_came_from(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one", "--llmd-set=simulator.max_num_seqs=8", "--llmd-explain")
    assert done.ret == 0
    done.stdout.fnmatch_lines(
        [
            "# stack one",
            "  itl: 0.03 *# scenarios/one.yaml:2",
            "  max_num_seqs: 8 *# --llmd-set",
            "harness: quick-load *# scenarios/one.yaml:1",
            "  standup_s: 60.0 *# default",
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
        (["--scenario=one", "--llmd-max-stacks=many"], "*--llmd-max-stacks*invalid int value: 'many'*"),
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


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_an_unknown_workload_is_a_collection_error_with_the_nearest_name(
    project: pytest.Pytester, workers: list[str]
) -> None:
    done = project.runpytest_subprocess("--scenario=one", "--llmd-workload=shrt", *workers)
    assert done.ret in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.TESTS_FAILED)
    done.stdout.fnmatch_lines(["*no workload 'shrt' in workloads/quick-load/; did you mean 'short'*"])
    done.stdout.no_fnmatch_line("*Traceback*")


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
