"""YAML files of recorded runs: many are alike, and each is its own all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.loading import SHORT, load_yaml


def test_of_files_that_are_alike_an_error_names_the_one_that_was_read(tmp_path: Path) -> None:
    for name in ("first.yaml", "second.yaml"):
        (tmp_path / name).write_text("rate: fast\n", encoding="utf-8")
        with pytest.raises(ResultsError, match=rf"{name}: 'rate' should be a number"):
            load_yaml(tmp_path / name).number("rate")


def test_a_broken_file_is_told_each_time_it_is_read(tmp_path: Path) -> None:
    for name in ("first.yaml", "second.yaml"):
        (tmp_path / name).write_text("rate: [1", encoding="utf-8")
        with pytest.raises(ResultsError, match=f"{name}: cannot be read, or was cut short"):
            load_yaml(tmp_path / name)


@pytest.mark.parametrize("filler", ["", "#" * SHORT], ids=["short", "long"])
def test_a_file_that_has_changed_is_read_anew(tmp_path: Path, filler: str) -> None:
    path = tmp_path / "workload.yaml"
    for rate in (1, 2):
        path.write_text(f"rate: {rate}\n{filler}\n", encoding="utf-8")
        assert load_yaml(path).get("rate") == rate
