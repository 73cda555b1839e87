"""The one table of units, against the schemas that llm-d-benchmark publishes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_llmdbench.results.benchmark_report.units import FIELDS_02, SERIES_021, UNITS
from tests.results.recorded_runs import SCHEMAS

#: Statistics whose units llm-d-benchmark does not check.
UNCHECKED = {
    "results.observability.pod_startup_times.aggregate",
    "results.observability.replica_status.aggregate_ready_replicas",
}


def schema(version: str) -> Any:
    return json.loads((SCHEMAS / f"benchmark_report_v{version}.schema.json").read_text(encoding="utf-8"))


def fields_with_units(whole: Any, part: Any, place: str) -> Iterator[str]:
    """Every place in a schema that holds statistics or a series."""
    for choice in part.get("anyOf", [part]):
        name = choice.get("$ref", "").rpartition("/")[2]
        if name in ("Statistics", "TimeSeriesData"):
            yield place
        elif name:
            for key, below in whole["$defs"][name].get("properties", {}).items():
                yield from fields_with_units(whole, below, f"{place}.{key}".lstrip("."))
        elif choice.get("type") == "array":
            yield from fields_with_units(whole, choice["items"], f"{place}[]")


@pytest.mark.parametrize("version", ["0_2", "0_2_1"])
def test_every_field_with_units_has_its_kind_and_no_other_does(version: str) -> None:
    whole = schema(version)
    newer = ("multimodal", "request_size", "image_rate", "video_rate", "audio_rate", *SERIES_021)
    known = set(FIELDS_02)
    if version == "0_2":
        series = {f"results.observability.components[].time_series.{name}" for name in SERIES_021}
        known = {path for path in known - series if not any(word in path for word in newer[:5])}
    found = {place for key, part in whole["properties"].items() for place in fields_with_units(whole, part, key)}
    assert found - UNCHECKED == known


@pytest.mark.parametrize("version", ["0_2", "0_2_1"])
def test_units_are_those_of_the_schema(version: str) -> None:
    listed = schema(version)["$defs"]["Units"]["enum"]
    # It lists GiB/s, which its code lets no field have.
    assert {unit for units in UNITS.values() for unit in units} == set(listed) - {"GiB/s"}


def test_a_unit_is_worth_what_its_name_says() -> None:
    assert UNITS["time"]["ms"] == UNITS["time a token"]["ms/token"] == 0.001
    assert UNITS["memory"]["GiB"] == 1024**3
    assert UNITS["bandwidth"]["Gbit/s"] * 8 == UNITS["bandwidth"]["GB/s"]
    assert UNITS["portion"]["percent"] == 0.01
