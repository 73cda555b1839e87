"""Several runs of one load are one result: requests together, rates averaged, and each run still there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_llmdbench.results.pooling import pool
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Distribution, Requests, Result, Stage
from pytest_llmdbench.results.store import read_result, write_result
from pytest_llmdbench.results.table import RequestTable
from tests.verdicts.requests_made import made, recorded


def runs(tmp_path: Path, *times: list[float]) -> list[Result]:
    made_of: list[Result] = []
    for number, each in enumerate(times):
        folder = tmp_path / f"case.{number + 1}"
        folder.mkdir()
        made_of.append(recorded(folder, made(each, gaps=[0.1, 0.2]), requests_per_second=float(number + 1)))
    return made_of


def test_requests_add_up_and_rates_are_averaged(tmp_path: Path) -> None:
    pooled = pool(runs(tmp_path, [1.0, 2.0], [3.0]), tmp_path)
    assert pooled.whole.requests == Requests(3)
    assert pooled.whole.requests_per_second == 1.5
    assert pooled.whole.output_tokens == 200
    assert pooled.whole.latencies["e2e"].mean == 2.0
    assert pooled.whole.latencies["itl"].count == 6
    assert len(pooled.runs) == 2


def test_the_table_tells_the_runs_apart(tmp_path: Path) -> None:
    pooled = pool(runs(tmp_path, [1.0, 2.0], [3.0]), tmp_path)
    assert pooled.table is not None
    table = RequestTable(pooled.table)
    assert list(table.runs) == [0, 0, 1]
    assert int(table.chosen(outcome="completed", run=1).sum()) == 1
    assert [gap.round(1) for piece in table.gaps() for gap in piece] == pytest.approx([0.1, 0.2] * 3)


def test_failures_keep_their_kinds(tmp_path: Path) -> None:
    def failing(folder: str, error: str) -> Result:
        (tmp_path / folder).mkdir()
        return recorded(tmp_path / folder, [Request(0, 0.0, 1.0, "failed", error), *made([1.0])])

    pooled = pool([failing("a", "500"), failing("b", "timeout")], tmp_path)
    assert pooled.whole.requests.failed == {"500": 1, "timeout": 1}
    assert pooled.table is not None
    assert RequestTable(pooled.table).errors() == {"500": 1, "timeout": 1}


def test_without_single_requests_distributions_are_averaged() -> None:
    def reported(median: float, most: float, *more: float) -> Result:
        percentiles = {50.0: median, **dict.fromkeys(more, most)}
        whole = Stage(Requests(10), latencies={"ttft": Distribution(median, 0.1, most, percentiles)})
        return Result("quick", "1", whole, (whole,))

    ttft = pool([reported(1.0, 5.0, 99.0), reported(2.0, 9.0)], Path()).whole.latencies["ttft"]
    assert (ttft.mean, ttft.maximum) == (1.5, 9.0)
    assert ttft.percentiles == {50.0: 1.5}


def test_what_a_run_did_not_report_is_absent_and_not_zero(tmp_path: Path) -> None:
    first, second = runs(tmp_path, [1.0], [2.0])
    pooled = pool([first, replace(second, whole=replace(second.whole, requests_per_second=None))], tmp_path)
    assert pooled.whole.requests_per_second is None
    assert pooled.whole.prompt_tokens is None


def test_costs_add_up_and_a_million_tokens_cost_what_they_do_together() -> None:
    whole = Stage(Requests(1), output_tokens=500_000)
    one = Result("quick", "1", whole, economy={"cost": 1.0, "cost_per_1m_output_tokens": 2.0})
    two = Result("quick", "1", whole, economy={"cost": 2.0, "cost_per_1m_output_tokens": 4.0})
    assert pool([one, two], Path()).economy == {"cost": 3.0, "cost_per_1m_output_tokens": 3.0}


def test_it_is_kept_with_its_runs_and_their_tables_wherever_the_folder_goes(tmp_path: Path) -> None:
    folder = tmp_path / "here" / "case.pooled"
    folder.mkdir(parents=True)
    pooled = pool(runs(tmp_path / "here", [1.0, 2.0], [3.0]), folder)
    write_result(folder, pooled)
    (tmp_path / "here").rename(tmp_path / "there")
    again = read_result(tmp_path / "there" / "case.pooled")
    assert again == pooled
    assert again.table is not None
    assert again.table.is_file()
    assert all(one.table is not None and one.table.is_file() for one in again.runs)


def test_a_load_that_was_given_up_in_one_run_was_given_up(tmp_path: Path) -> None:
    first, second = runs(tmp_path, [1.0], [2.0])
    assert pool([first, replace(second, abandoned="given up", stages=())], tmp_path).abandoned == "given up"


@pytest.mark.parametrize("exit_codes", [(0, 3), (3, 0)])
def test_an_exit_code_that_tells_of_trouble_is_kept(tmp_path: Path, exit_codes: tuple[int, int]) -> None:
    both = zip(runs(tmp_path, [1.0], [2.0]), exit_codes, strict=True)
    assert pool([replace(run, exit_code=code) for run, code in both], tmp_path).exit_code == 3
