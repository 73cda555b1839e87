"""Cases are compared by what was measured alike, within what is alike in the rest."""

from __future__ import annotations

from pathlib import Path

from pytest_llmdbench.reports.comparison import Compared, comparison, effects, measures, varied
from pytest_llmdbench.results.store import read_result
from tests.reports.recorded_cases import case


def compared(folder: Path, name: str, rates: tuple[float, ...] = (2.0,), **facts: object) -> Compared:
    return Compared(name, case(folder / name, name, rates=rates, **facts), read_result(folder / name))  # type: ignore[arg-type]


def test_a_factor_with_one_level_has_no_effect_to_show(tmp_path: Path) -> None:
    cases = [compared(tmp_path, f"c{rate}", factors={"rate": rate, "stages": [1]}) for rate in (8, 16, 2)]
    assert varied(cases) == {"rate": ["2", "8", "16"]}


def test_the_effect_of_a_level_is_the_mean_over_its_cases(tmp_path: Path) -> None:
    cases = [
        compared(tmp_path, f"{rate}-{batch}", (rate,), factors={"rate": rate, "batch": batch})
        for rate in (2.0, 20.0)
        for batch in (4, 64)
    ]
    rows = {(row["factor"], row["level"]): row for row in effects(cases)}
    assert set(rows) == {("rate", "2.0"), ("rate", "20.0"), ("batch", "4"), ("batch", "64")}
    own = [measures(one.result.whole)["ttft_p99"] for one in cases if one.levels["rate"] == "20.0"]
    assert rows["rate", "20.0"]["means"]["ttft_p99"] == sum(own) / 2
    assert rows["rate", "20.0"]["cases"] == 2


def test_effects_are_not_mixed_over_workloads(tmp_path: Path) -> None:
    cases = [
        compared(tmp_path, f"{rate}-{load}", (rate,), workload=load, factors={"rate": rate})
        for rate in (2.0, 20.0)
        for load in ("chat", "code")
    ]
    assert {(row["level"], row["group"], row["cases"]) for row in effects(cases)} == {
        (level, load, 1) for level in ("2.0", "20.0") for load in ("chat", "code")
    }


def test_the_same_load_of_two_programs_stands_side_by_side(tmp_path: Path) -> None:
    cases = [compared(tmp_path, name, harness=name) for name in ("guidellm", "aiperf")]
    [load] = comparison(cases)["programs"]
    assert load["cases"] == [0, 1]
    assert comparison([cases[0], compared(tmp_path, "other", harness="aiperf", workload="code")])["programs"] == []


def test_each_stage_of_a_case_is_a_point_of_its_own(tmp_path: Path) -> None:
    data = comparison([compared(tmp_path, "a", (2.0, 8.0)), compared(tmp_path, "b", (4.0,))])
    assert [len(one["stages"]) for one in data["cases"]] == [2, 0]


def test_a_bound_is_drawn_where_all_cases_have_the_same(tmp_path: Path) -> None:
    cases = [compared(tmp_path, name) for name in ("a", "b")]
    assert comparison(cases)["bounds"] == {"ttft_p99": 500.0}
    cases[1].record["verdict"]["objectives"][0]["bound"] = 0.4
    assert comparison(cases)["bounds"] == {}
