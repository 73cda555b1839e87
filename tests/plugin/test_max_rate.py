"""A test can ask for the highest rate under its SLO.

Most of these searches are on a made-up queue, whose highest rate is known and which takes no time; one is on the real
simulator, with a load program that sends real requests.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

QUEUE = Path(__file__).with_name("made_up_queue.py")
TEST = """
    import pytest

    @pytest.mark.workload("queue")
    @pytest.mark.max_rate({asked})
    def test_capacity(max_rate):
        found = max_rate()
        assert found.rate
"""


@pytest.fixture
def searching(project: pytest.Pytester) -> pytest.Pytester:
    """A project whose stack serves twenty requests a second, and not one more."""
    shutil.copy(QUEUE, project.path / QUEUE.name)
    project.makeconftest("pytest_plugins = ['made_up_queue', 'quick_load']")
    (project.path / "scenarios/one.yaml").write_text(
        "harness: made-up-queue\nslo: [ttft.p90 <= 200ms, error_rate <= 1%]"
    )
    (project.path / "workloads/made-up-queue").mkdir()
    queue = project.path / "workloads/made-up-queue/queue.yaml"
    queue.write_text("llmdbench: {warmup: none}\nrate: 2\nseconds: 1\nserves: 20\nsends: 1000\n")
    return project


def asks(project: pytest.Pytester, asked: str) -> None:
    project.makepyfile(test_bench=TEST.format(asked=asked))


def written(project: pytest.Pytester) -> tuple[dict[str, Any], Path]:
    (file,) = (project.path / "llmdbench-results").rglob("max_rate.json")
    return json.loads(file.read_text()), file.parent


def test_the_highest_rate_of_a_made_up_queue_is_found_confirmed_and_reported(searching: pytest.Pytester) -> None:
    asks(searching, 'low=1, high=50, tolerance="2%"')
    done = searching.runpytest_subprocess("--scenario=one")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*: made-up-queue: 50 requests/s: missed (ttft.p90 *, bound 200 ms)"])
    done.stdout.fnmatch_lines(["*highest rate under the SLO: * requests/s, missed at *, proven up to *"])
    found, folder = written(searching)
    assert found["limit"] == "slo"
    assert 20 / 1.021 <= found["rate"] <= 20.4
    assert found["rate"] < found["above"] <= found["rate"] * 1.021
    assert found["proven"] == found["rate"]
    assert found["runs"] == len(found["curve"]) <= 9
    rates = [point["rate"] for point in found["curve"]]
    assert rates == sorted(rates)
    saturated, confirmed = found["curve"][-1], next(one for one in found["curve"] if one["folder"] == str(folder))
    assert (saturated["rate"], saturated["met"]) == (50, False)
    assert saturated["throughput"] == pytest.approx(20, rel=0.02)
    assert (confirmed["rate"], confirmed["met"], confirmed["full"]) == (found["rate"], True, True)
    assert confirmed["values"]["ttft.p90"] <= 0.2
    # A full run has five times the 29 requests that could just prove a P90, one on the way twice.
    assert confirmed["requests"] >= 145
    assert all(point["requests"] >= 58 for point in found["curve"])
    (record,) = json.loads((folder.parent / "run.json").read_text())["cases"].values()
    assert record["max_rate"] == found
    assert record["folder"] == str(folder)
    assert record["verdict"]["outcome"] == "PASS"
    assert all((Path(point["folder"]) / "verdict.json").is_file() for point in found["curve"])


@pytest.mark.parametrize(
    ("at_least", "outcome", "said"),
    [
        (10, 0, "*highest rate under the SLO: *; at least the 10 requests/s asked for"),
        (19, 0, "*highest rate under the SLO: *; at least the 19 requests/s asked for"),
        (30, 1, "*FAIL: highest rate under the SLO: *; less than the 30 requests/s asked for"),
    ],
)
def test_a_rate_that_the_test_demands_decides(
    searching: pytest.Pytester, at_least: int, outcome: int, said: str
) -> None:
    asks(searching, f"low=1, high=50, at_least={at_least}")
    done = searching.runpytest_subprocess("--scenario=one")
    assert done.ret == outcome
    done.stdout.fnmatch_lines([said])
    done.stdout.no_fnmatch_line("*Traceback*")


def test_an_slo_that_not_even_the_lowest_rate_meets_fails_with_its_objectives(searching: pytest.Pytester) -> None:
    asks(searching, "low=2, high=50")
    done = searching.runpytest_subprocess("--scenario=one", "--llmd-slo=ttft.p90<=1ms")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*FAIL: not even 2 requests/s meets the SLO: *", "*MISSED*ttft.p90*<= 1 ms*"])


def test_an_slo_that_the_end_of_the_range_meets_is_no_answer(searching: pytest.Pytester) -> None:
    asks(searching, "low=1, high=15")
    done = searching.runpytest_subprocess("--scenario=one", "--llmd-allow=inconclusive")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*INCONCLUSIVE: *; the SLO is met at the end of the range: give a larger 'high'*"])
    assert written(searching)[0]["limit"] == "high"


def test_a_load_program_that_cannot_keep_up_is_the_limit_of_the_measurement_and_not_of_the_stack(
    searching: pytest.Pytester,
) -> None:
    asks(searching, "low=1, high=50")
    done = searching.runpytest_subprocess("--scenario=one", "--llmd-overrides=sends=12")
    assert done.ret == 1
    done.stdout.fnmatch_lines(
        ["*INCONCLUSIVE: *what the stack could serve beyond that is not known: the load program*"]
    )
    found, _ = written(searching)
    assert found["limit"] == "measurement"
    assert 12 / 1.051 <= found["rate"] <= 12.1


def test_another_objective_that_is_missed_at_the_highest_rate_fails_it(searching: pytest.Pytester) -> None:
    asks(searching, "low=1, high=50")
    done = searching.runpytest_subprocess("--scenario=one", "--llmd-slo=requests_per_second>=100")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*FAIL: highest rate under the SLO: *; there: 1 of 3 objectives missed"])


def test_ranges_that_cannot_be_meant_are_said_before_anything_runs(searching: pytest.Pytester) -> None:
    wrong = {
        "lo=1, high=5": "*@max_rate of test_0.py::test_capacity: *has no 'lo='; did you mean 'low'?",
        "1, 5": "*@max_rate of test_1.py::test_capacity: it takes names alone*",
        "low=5, high=5": "*@max_rate of test_2.py::test_capacity: low=5 must be below high=5",
        "low=0, high=5": "*low= must be a number above 0 (given: 0)",
        'low=1, high="many"': "*high= must be a number above 0 (given: 'many')",
        'low=1, high=5, tolerance="5"': "*tolerance= must be from *",
        "low=1, high=5, at_least=9": "*at_least=9 must be from low=1 to high=5",
    }
    searching.makepyfile(**{f"test_{number}": TEST.format(asked=asked) for number, asked in enumerate(wrong)})
    files = sorted(map(str, searching.path.glob("test_[0-9].py")))
    done = searching.runpytest_subprocess("--scenario=one", "--collect-only", *files)
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(list(wrong.values()))


def test_a_load_program_without_a_rate_is_refused_before_anything_runs(searching: pytest.Pytester) -> None:
    searching.makepyfile(test_bench=TEST.format(asked="low=1, high=5").replace('"queue"', '"short"'))
    done = searching.runpytest_subprocess("--scenario=two", "--collect-only")
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(["*two-quick-load-short: *quick-load sends at no rate that could be set*"])


def test_loads_without_a_rate_that_an_option_names_for_all_benchmarks_are_skipped_here(
    searching: pytest.Pytester,
) -> None:
    asks(searching, "low=1, high=5")
    words = ["--llmd-harness=quick-load", "--llmd-workload=short", "-rs"]
    done = searching.runpytest_subprocess("--scenario=two", *words)
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines(["*quick-load, short: no workload for this benchmark"])


def test_a_range_given_where_it_is_called_goes_over_the_marker(searching: pytest.Pytester) -> None:
    searching.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("queue")
        @pytest.mark.max_rate(low=1)
        def test_capacity(max_rate):
            with pytest.raises(Exception, match="'high=' is absent"):
                max_rate()
            assert 9 < max_rate(high=50, tolerance=0.5).rate < 21
        """
    )
    assert searching.runpytest_subprocess("--scenario=one").ret == 0


def test_an_slo_that_no_rate_can_miss_is_refused(searching: pytest.Pytester) -> None:
    (searching.path / "scenarios/one.yaml").write_text("harness: made-up-queue")
    asks(searching, "low=1, high=5")
    done = searching.runpytest_subprocess("--scenario=one", "--llmd-slo=requests_per_second>=1")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*the highest rate under which SLO? *"])
    assert not list((searching.path / "llmdbench-results").rglob("max_rate.json"))


def test_a_dry_run_shows_where_is_searched(searching: pytest.Pytester) -> None:
    asks(searching, "low=1, high=50")
    done = searching.runpytest_subprocess("--scenario=one", "--llmd-dry-run")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["    search from 1 to 50/s, in runs of at least 30 s"])
    searching.makepyfile(test_bench=TEST.replace("    @pytest.mark.max_rate({asked})\n", ""))
    done = searching.runpytest_subprocess("--scenario=one", "--llmd-dry-run")
    done.stdout.fnmatch_lines(["    search where the test says, in runs of at least 30 s"])


@pytest.mark.thorough
def test_on_the_real_simulator_the_rate_that_it_can_serve_is_found(project: pytest.Pytester) -> None:
    # Four at a time, each for four steps of a quarter of a second: it serves four a second, and then they wait. Slow
    # steps, for a machine that has other things to do.
    (project.path / "scenarios/one.yaml").write_text(
        "harness: priority-mix\nsimulator: {itl: 0.25, max_num_seqs: 4}\nslo: [ttft.p50 <= 1500ms, error_rate <= 1%]"
    )
    load = project.path / "workloads/priority-mix/queue.yaml"
    load.parent.mkdir()
    load.write_text(
        "load: {rate_per_second: 4, duration_seconds: 1, max_in_flight: 500}\n"
        "trafficClasses: [{name: all, request: {prompt: one two three, max_tokens: 4}}]\n"
    )
    asks(project, 'low=1, high=10, tolerance="20%", seconds=4')
    done = project.runpytest_subprocess("--scenario=one", "-s")
    found, folder = written(project)
    if found["limit"] == "measurement":
        # A machine that is too busy for its simulator is no reason to claim a rate.
        assert done.ret == 1
        return
    assert done.ret == 0
    assert 3 <= found["rate"] <= 5.5, found["text"]
    assert found["curve"][-1]["throughput"] == pytest.approx(4, rel=0.2)
    result = json.loads((folder / "result.json").read_text())
    assert result["whole"]["requests"]["completed"] == result["server"]["requests"]["finished"]
