"""Folders of results in which files were spoilt: a table, or one sentence that names the file."""

from __future__ import annotations

import json
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.benchmark_report import write
from pytest_llmdbench.results.export import export
from pytest_llmdbench.results.frame import frame
from tests.results.recorded_runs import measured, record, report_file
from tests.results.test_benchmark_report_hostile import ANYTHING, places

FILES = ("case.json", "result.json", "verdict.json", "scenario.yaml")
VERDICT = {"outcome": "PASS", "reason": "1 objective met", "objectives": []}


def spoil(data: st.DataObject, tree: Any) -> Any:
    """The tree with one of its values replaced."""
    tree = deepcopy(tree)
    *above, last = data.draw(st.sampled_from(places(tree)))
    part = tree
    for key in above:
        part = part[key]
    part[last] = data.draw(ANYTHING)
    return tree


def sentence_on(folder: Path) -> str | None:
    """What is said of a folder in which a file may be spoilt; any other exception than ours comes through."""
    try:
        table = frame(folder)
        assert isinstance(table, pd.DataFrame)
        for ending in ("csv", "parquet", "json"):
            export(table, folder / f"out.{ending}")
        for case in folder.glob("*/case.json"):
            write(case.parent)
    except ResultsError as error:
        return str(error)
    return None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_spoilt_file_of_ours_is_a_table_or_a_sentence(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = record(Path(place) / "case", measured(), verdict=VERDICT, factors={"rate": 5}, scenario="gpu")
        file = folder / data.draw(st.sampled_from(FILES))
        as_json = file.suffix == ".json"
        tree = spoil(data, json.loads(file.read_text()) if as_json else yaml.safe_load(file.read_text()))
        file.write_text(json.dumps(tree) if as_json else yaml.safe_dump(tree))
        sentence = sentence_on(Path(place))
        assert sentence is None or str(folder) in sentence


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_spoilt_report_of_others_is_a_table_or_a_sentence(data: st.DataObject) -> None:
    tree = spoil(data, yaml.safe_load(report_file("vllm-benchmark/constant", "0.2").read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "benchmark_report_v0.2,_x.yaml").write_text(yaml.safe_dump(tree))
        sentence = sentence_on(Path(place))
        assert sentence is None or sentence.startswith(place)


def test_a_count_that_is_none_is_named(tmp_path: Path) -> None:
    folder = record(tmp_path / "case", measured())
    result = json.loads((folder / "result.json").read_text())
    result["stages"][1]["requests"]["completed"] = 10**30
    (folder / "result.json").write_text(json.dumps(result))
    with pytest.raises(ResultsError, match=r"result\.json: stage 1: requests_offered is no count: 1000"):
        frame(tmp_path)
