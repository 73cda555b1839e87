"""A baseline is a text file that gains runs, reads back as it was written, and says what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.baseline import (
    Baseline,
    CaseRuns,
    Noise,
    Run,
    added,
    gathered,
    read_baseline,
    write_baseline,
)  # fmt: skip
from pytest_llmdbench.verdicts.measured import read_any
from tests.results.recorded_runs import measured, record
from tests.verdicts.runs_made import baseline, case, ttft


def test_a_baseline_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "baselines" / "main.yaml"
    runs = ttft([0.1, 0.2], errors={"ttft.p50": 0.01}, session="20261127-101500-9f3a", commit="abc")
    kept = case(*runs, noise=Noise(10, {"ttft.p50": 0.02}))
    write_baseline(path, baseline(kept))
    assert read_baseline(path).cases == (kept,)


def test_the_file_stays_the_same_when_nothing_new_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "main.yaml"
    write_baseline(path, baseline(case(*ttft([0.1, 0.2]))))
    before = path.read_text()
    again, _ = added(read_baseline(path), [case(*ttft([0.2]))])
    write_baseline(path, again)
    assert path.read_text() == before


def test_saving_again_adds_runs_and_leaves_other_cases_alone() -> None:
    earlier = baseline(case(*ttft([0.1])), case(*ttft([0.5]), name="other"))
    after, lines = added(earlier, [case(*ttft([0.2, 0.3]))])
    assert {one.case: len(one.runs) for one in after.cases} == {"case": 3, "other": 1}
    assert lines == ["case: 3 runs"]


def test_runs_of_another_setting_replace_those_of_before_and_it_says_so() -> None:
    after, lines = added(baseline(case(*ttft([0.1, 0.2]), model="old")), [case(*ttft([0.3]), model="new")])
    (kept,) = after.cases
    assert (kept.setting["model"], len(kept.runs)) == ("new", 1)
    assert lines == ["case: 1 run; the 2 of another setting are gone"]


def test_a_test_with_several_loads_keeps_them_all() -> None:
    loads = [case(*ttft([0.1]), load="slow"), case(*ttft([0.2]), load="fast")]
    after, _ = added(baseline(), loads)
    assert len(after.cases) == 2
    again, _ = added(after, loads)
    assert [len(one.runs) for one in again.cases] == [1, 1]
    found = again.of(case(*ttft([0.3]), load="fast"))
    assert found is not None
    assert found.runs[0].values == {"ttft.p50": 0.2}


def test_a_repeated_run_counts_once_though_it_is_recorded_twice() -> None:
    runs = ttft([0.1, 0.2])
    (one,) = gathered([case(*runs), case(runs[1])])
    assert one.runs == runs


def test_a_case_is_found_by_its_load_where_its_name_is_another() -> None:
    elsewhere = baseline(case(*ttft([0.1]), name="one-chat", scenario="one"))
    assert elsewhere.of(case(name="two-chat", scenario="two")) is not None
    assert elsewhere.of(case(name="two-code", workload="code")) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not an object of fields"),
        ("form: 9\n", "is no baseline of form 1"),
        ("form: 1\ncases: 3\n", "'cases' should be a list"),
        ("form: 1\ncases: [{}]\n", "'cases.0.case' should be the name of a case"),
        ("form: 1\ncases: [{case: a, runs: [{values: {ttft.p50: fast}}]}]\n", "ttft.p50' should be a number"),
        ("form: 1\ncases: [{case: a, runs: [{values: {ttft.p50: 0}}]}]\n", "ttft.p50' should be a number above 0"),
        ("form: 1\ncases: [{case: a, runs: [{values: {ttft.p50: .nan}}]}]\n", "ttft.p50' should be a number"),
        ("form: 1\ncases: [{case: a, runs: [{values: {ttft.p50: -1.0}}]}]\n", "a number above 0"),
        ("form: 1\ncases: [{case: a, noise: {runs: many}}]\n", "'cases.0.noise.runs' should be a number"),
        ("form: 1\ncases: [{case: a, setting: {model: [1]}}]\n", "'cases.0.setting.model' should be a text"),
        ("form: 1\ncases: [{case: a, runs: [", "cannot be read, or was cut short"),
    ],
)
def test_a_file_that_is_no_baseline_names_the_field(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "main.yaml"
    path.write_text(text)
    with pytest.raises(ResultsError, match=r"main\.yaml") as caught:
        read_baseline(path)
    assert said in str(caught.value)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["case", "setting", "noise", "runs"]), anything)
def test_whatever_stands_in_a_file_is_a_baseline_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, field: str, value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.yaml"
    one: dict[str, Any] = {"case": "a", "setting": {}, "runs": [{"values": {"ttft.p50": 1.0}}], field: value}
    path.write_text(yaml.safe_dump({"form": 1, "cases": [one]}), encoding="utf-8")
    try:
        assert isinstance(read_baseline(path), Baseline)
    except ResultsError as error:
        assert "hostile.yaml" in str(error)  # noqa: PT017


def test_a_folder_of_results_is_a_baseline_too(tmp_path: Path) -> None:
    for number in range(2):
        record(tmp_path / "run" / f"case.{number}", measured(), factors={})
    record(tmp_path / "run" / "broken", None)
    found = read_any(tmp_path / "run")
    (one,) = found.cases
    assert one.case == "local-inference-perf-sanity_random"
    assert one.runs[0].values["ttft.p50"] > 0
    assert {"harness", "harness_version", "model", "load", "deployment"} <= set(one.setting)
    assert found.notes == ("broken ended without a result and is left out",)


def test_an_invalid_run_is_no_part_of_a_baseline(tmp_path: Path) -> None:
    record(tmp_path / "run", measured(), verdict={"outcome": "INVALID"})
    with pytest.raises(ResultsError, match="run is left out: its verdict is INVALID"):
        read_any(tmp_path)


def test_a_run_of_a_late_simulator_is_left_out_with_the_reason_that_its_verdict_gives(tmp_path: Path) -> None:
    late = replace(measured(), server={"lateness": {"overloaded": True, "late_p99_s": 0.015}})
    record(tmp_path / "run", late, verdict={"outcome": "PASS"})
    with pytest.raises(ResultsError, match=r"run is left out: the simulator .* steps were up to 15\.0 ms late"):
        read_any(tmp_path)


def test_reports_of_llm_d_benchmark_are_a_baseline_too() -> None:
    found = read_any(Path(__file__).parents[1] / "data" / "benchmark-reports")
    assert all("-stage" in one.case for one in found.cases)
    assert any("ttft.p50" in run.values for one in found.cases for run in one.runs)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_what_is_not_there_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultsError, match=name):
        read_any(tmp_path / name)


def test_the_setting_of_a_run_tells_scenario_and_load_apart(tmp_path: Path) -> None:
    settings: list[CaseRuns] = []
    for name, workload in (("a", {"load": {"rate": 1}}), ("b", {"load": {"rate": 2}}), ("c", {"load": {"rate": 1}})):
        record(tmp_path / name, measured(), workload=workload)
        settings += read_any(tmp_path / name).cases
    first, second, third = settings
    assert first.setting == third.setting
    assert [one.partition(":")[0] for one in second.differences(first)] == ["load"]
    assert Run({"ttft.p50": 1.0}).errors == {}
