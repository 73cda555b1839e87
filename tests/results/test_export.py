"""The table as files for other programs: nothing lost on the way, nothing half written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pytest_llmdbench.errors import DeclarationError, ResultsError
from pytest_llmdbench.results.export import export
from pytest_llmdbench.results.frame import frame
from tests.results.recorded_runs import measured, record


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    factors = {"rate": 5, "kind": 'a,b "c"\nd', "on": True}
    record(tmp_path / "results" / "one", measured(), factors=factors)
    record(tmp_path / "results" / "two", measured("fail-404-model"))
    return frame(tmp_path / "results")


def test_parquet_gives_the_same_table_back(table: pd.DataFrame, tmp_path: Path) -> None:
    export(table, tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), table)


def test_csv_has_every_column_and_every_digit(table: pd.DataFrame, tmp_path: Path) -> None:
    export(table, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(table)
    assert [row["ttft_p99_s"] for row in rows] == [repr(one) for one in table["ttft_p99_s"][:3]] + ["", ""]
    assert rows[0]["factor.kind"] == 'a,b "c"\nd'


@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_rows_have_what_was_measured_and_nothing_else(ending: str, table: pd.DataFrame, tmp_path: Path) -> None:
    file = tmp_path / f"out.{ending}"
    export(table, file)
    rows = json.loads(file.read_text()) if ending == "json" else yaml.safe_load(file.read_text())
    assert len(rows) == len(table)
    assert rows[0]["ttft_mean_s"] == table["ttft_mean_s"][0]
    assert (rows[0]["factor.rate"], rows[0]["factor.on"], rows[0]["requests_completed"]) == (5, True, 150)
    failed = rows[-1]
    assert failed["requests_failed"] == 50
    assert not {name for name in failed if name.startswith("ttft")}
    assert None not in failed.values()


def test_a_moment_is_written_as_others_read_it(table: pd.DataFrame, tmp_path: Path) -> None:
    table["started"] = pd.Timestamp("2026-11-27T10:15:00.25", tz="UTC")
    export(table, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())[0]["started"] == "2026-11-27T10:15:00.250000+00:00"


def test_folders_on_the_way_are_made_and_nothing_else_is_left(table: pd.DataFrame, tmp_path: Path) -> None:
    export(table, tmp_path / "new" / "out.csv")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["out.csv"]


def test_an_unknown_ending_says_which_there_are(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"did you mean '\.parquet'\?"):
        export(table, tmp_path / "out.parqet")
    with pytest.raises(DeclarationError, match=r"there is \.csv, \.json, \.parquet, \.yaml"):
        export(table, tmp_path / "out")


def test_a_place_that_cannot_be_written_is_named(table: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=r"out\.csv: cannot be written"):
        export(table, tmp_path / "file" / "out.csv")
