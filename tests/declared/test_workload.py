"""A workload file keeps the lines of its keys, so that what a load program would refuse is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdbench.declared.overrides import Overrides
from pytest_llmdbench.declared.workload import Workload, load_workload

TEXT = """\
llmdbench:
  quick:
    load.stages.0.duration: 12
load:
  type: constant
  stages:
    - rate: 1
      duration: 60
"""
OPTION: Overrides = ({"rate": 5}, "--llmd-overrides")


@pytest.fixture
def workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workload:
    monkeypatch.chdir(tmp_path)
    Path("w.yaml").write_text(TEXT)
    return load_workload(Path("w.yaml"), "inference-perf")


def test_overrides_of_the_header_have_their_lines(workload: Workload) -> None:
    assert workload.said("quick") == [({"load.stages.0.duration": 12}, "w.yaml:3")]
    assert workload.said("dataset") == []


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ("'load.stages.0.duration' must be a number above 0 (given: None)", "w.yaml:3"),
        ("'load.stages.0.rate' must be a number above 0 (given: 'abc')", "w.yaml, --llmd-overrides"),
        ("'load.type' 'constnat' is none of inference-perf's", "w.yaml:5"),
        ("'data.type: random' does not go with 'load.type: constant'", "w.yaml, w.yaml:3, --llmd-overrides"),
        ("'load.type: constant' does not go with it", "w.yaml:5"),
        ("inference-perf has no key 'load.stages.0.durtion'; did you mean 'duration'?", "w.yaml:7"),
        ("'load.sweep' is missing", "w.yaml:4"),
        ("nothing is quoted here", "w.yaml, w.yaml:3, --llmd-overrides"),
    ],
)
def test_the_key_that_a_message_quotes_first_says_where_it_was_declared(
    workload: Workload, message: str, place: str
) -> None:
    assert workload.where(message, [*workload.said("quick"), OPTION]) == place
