"""The table of single requests gives back what was put in, by stage and outcome."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_llmdbench.results import table as table_module
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.table import TABLE, RequestTable, write_table
from pytest_llmdbench.results.table_pieces import PIECE, ROWS


@pytest.fixture(params=[1, ROWS], ids=["one row at a time", "many rows at a time"])
def table(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RequestTable:
    monkeypatch.setattr(table_module, "ROWS", request.param)
    requests = [
        Request(0, 10.0, 11.0, "completed", None, 20, 5, 5, 0.2, 0.2, [0.1, 0.3]),
        Request(0, 10.5, 10.6, "failed", "500"),
        Request(1, 12.0, 14.0, "completed", None, 20, 0),
        Request(1, 12.5, None, "unfinished"),
        Request(1, 12.7, 12.8, "failed"),
    ]
    write_table(tmp_path / TABLE, ((0, one) for one in requests))
    return RequestTable(tmp_path / TABLE)


def test_values_are_of_the_stage_and_outcome_asked_for(table: RequestTable) -> None:
    assert list(table.values("sent", None, None)) == [10.0, 10.5, 12.0, 12.5, 12.7]
    assert list(table.values("sent", 1, "unfinished")) == [12.5]
    assert list(table.values("e2e")) == [1.0, 2.0]


def test_what_was_not_recorded_is_left_out_and_not_zero(table: RequestTable) -> None:
    assert list(table.values("ttft")) == [0.2]
    assert list(table.values("lag", None, None)) == []
    assert list(table.values("ended", None, None)) == [11.0, 10.6, 14.0, 12.8]
    # Of an answer without a token there is no time per token.
    assert list(table.values("normalized_tpot")) == [0.2]


def test_a_column_has_a_place_for_every_request(table: RequestTable) -> None:
    assert list(table.column("sent")) == [10.0, 10.5, 12.0, 12.5, 12.7]
    assert list(np.isnan(table.column("ended"))) == [False, False, False, True, False]
    assert list(table.chosen(1, "failed")) == [False, False, False, False, True]
    assert list(table.runs) == [0] * 5


def test_columns_that_are_asked_for_together_are_of_the_same_requests(table: RequestTable) -> None:
    pieces = list(table.pieces("sent", "output_tokens", stage=1, outcome="completed"))
    assert [[list(column) for column in piece] for piece in pieces if len(piece[0])] == [[[12.0], [0.0]]]


def test_gaps_over_a_bound_are_counted_by_request(table: RequestTable) -> None:
    found, numbers = table.gap_counts(lambda gaps: gaps > 0.2)
    assert list(found) == [1, 0, 0, 0, 0]
    assert list(numbers) == [2, 0, 0, 0, 0]


def test_failures_are_counted_by_kind(table: RequestTable) -> None:
    assert table.errors() == {"500": 1, "unlabelled": 1}
    assert table.errors(0) == {"500": 1}
    assert [table.count(None, outcome) for outcome in ("completed", "failed", "unfinished")] == [2, 2, 1]


def test_gaps_come_piece_by_piece_and_of_completed_requests_only(tmp_path: Path) -> None:
    def many() -> list[tuple[int, Request]]:
        return [
            (0, Request(number % 2, 0.0, 1.0, "failed" if number % 3 == 0 else "completed", gaps=[0.5, 0.25]))
            for number in range(PIECE + 10)
        ]

    write_table(tmp_path / TABLE, many())
    pieces = list(RequestTable(tmp_path / TABLE).gaps(1))
    wanted = sum(2 for _, one in many() if one.stage == 1 and one.outcome == "completed")
    assert len(pieces) == 2
    assert sum(len(piece) for piece in pieces) == wanted


def test_a_table_that_could_not_be_written_whole_is_not_there(tmp_path: Path) -> None:
    def broken() -> object:
        yield (0, Request(0, 0.0, 1.0, "completed"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_table(tmp_path / TABLE, broken())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_no_requests_are_an_empty_table(tmp_path: Path) -> None:
    write_table(tmp_path / TABLE, [])
    assert len(RequestTable(tmp_path / TABLE)) == 0
    assert RequestTable(tmp_path / TABLE).errors() == {}
