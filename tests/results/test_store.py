"""Results are kept on disk and read back the same; what cannot be read says which file and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.result import Distribution, Requests, Result, Stage
from pytest_llmdbench.results.store import RESULT, case_folder, case_folders, read_result, write_result

STAGE = Stage(
    Requests(9, {"500": 1}, 2),
    duration_s=12.5,
    asked_rate=1.0,
    output_tokens=90,
    latencies={"ttft": Distribution(0.1, 0.05, 0.2, {50.0: 0.1, 99.9: 0.2}, 0.01, 9)},
)


def test_a_result_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    result = Result("guidellm", "0.8.1", STAGE, (STAGE, STAGE), scores={"a.acc": 0.5}, server={"lateness": {"x": 1}})
    write_result(tmp_path, result)
    assert read_result(tmp_path) == result


def test_the_table_is_found_beside_the_result_wherever_the_folder_is(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    write_result(first, Result("guidellm", "0.8.1", STAGE, table=first / "requests.parquet"))
    first.rename(second)
    assert read_result(second).table == second / "requests.parquet"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.update(form=1), r"form 1; .* reads form 2"),
        (lambda data: data.pop("whole"), r"'whole': Field required"),
        (lambda data: data["whole"]["requests"].update(completed="many"), r"'whole.requests.completed'"),
        (lambda data: data["whole"]["latencies"]["ttft"].update(mean=[]), r"'whole.latencies.ttft.mean'"),
    ],
)
def test_a_spoilt_result_names_file_and_field(tmp_path: Path, change: Any, said: str) -> None:
    write_result(tmp_path, Result("guidellm", "0.8.1", STAGE))
    data = json.loads((tmp_path / RESULT).read_text())
    change(data)
    (tmp_path / RESULT).write_text(json.dumps(data))
    with pytest.raises(ResultsError, match=rf"result\.json: .*{said}"):
        read_result(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"form": 2', "[" * 100_000])
def test_a_file_that_is_no_result_is_an_error_of_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / RESULT).write_text(text)
    with pytest.raises(ResultsError, match=r"result\.json"):
        read_result(tmp_path)


def test_a_run_that_ended_too_early_is_told_in_one_sentence_that_names_its_folder_once(tmp_path: Path) -> None:
    with pytest.raises(ResultsError) as told:
        read_result(tmp_path)
    assert str(told.value) == f"{tmp_path}: has no result.json: the run ended before its result was written"


def test_each_run_of_a_case_has_a_folder_of_its_own_and_they_are_found_again(tmp_path: Path) -> None:
    made = [case_folder(tmp_path / "run", "a/test_x.py::test_chat[local-nop]") for _ in range(3)]
    assert [one.name for one in made] == ["test_x.py_test_chat_local-nop" + end for end in ("", ".2", ".3")]
    assert case_folders(tmp_path / "run", "a/test_x.py::test_chat[local-nop]") == made
    assert case_folders(tmp_path / "run", "a/test_x.py::test_other[local-nop]") == []


def test_a_place_where_no_folder_can_be_made_is_one_sentence_with_the_way_out() -> None:
    with pytest.raises(ResultsError, match=r"/proc/nowhere/run/test: cannot be made: .*; --llmd-results says where"):
        case_folder(Path("/proc/nowhere/run"), "test")


def test_a_file_in_the_place_of_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "test").write_text("")
    with pytest.raises(ResultsError, match="test: is a file, where results were to go"):
        case_folder(tmp_path, "test")
