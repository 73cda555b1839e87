"""What a Benchmark Report must keep to beyond its JSON schema: the rules that llm-d-benchmark checks in code."""

from __future__ import annotations

import math
from typing import Final, Literal

from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.benchmark_report.units import FIELDS_01, FIELDS_02, UNITS
from pytest_llmdbench.results.fields import Part

Version = Literal["0.1", "0.2", "0.2.1"]
VERSIONS: Final[tuple[Version, ...]] = ("0.1", "0.2", "0.2.1")
#: Lists of 0.1 that have one item for each instance of the engine.
_INSTANCES: Final = (
    "scenario.host.accelerator",
    "scenario.host.type",
    "scenario.platform.engine",
    "metrics.resources.accelerator",
)


def version(report: Part) -> Version:
    """The version that a report says it is of; a YAML file may say it as a number. Raises ResultsError."""
    found = report.get("version")
    said = str(found) if isinstance(found, float) else found
    for one in VERSIONS:
        if said == one:
            return one
    raise report.wrong("version", f"one of {', '.join(VERSIONS)}", found)


def check(report: Part) -> Version:
    """The version of a report that keeps to the rules.

    Raises:
        ResultsError: names the file and the first field that does not.
    """
    found = version(report)
    _check_units(report, FIELDS_01 if found == "0.1" else FIELDS_02)
    if found == "0.1":
        _check_instances(report)
    else:
        _check_load(report.below("scenario.load.standardized"))
    return found


def _check_units(report: Part, fields: dict[str, str]) -> None:
    for path, kind in fields.items():
        for one in report.everywhere(path):
            unit = one.get("units")
            if not isinstance(unit, str) or unit not in UNITS[kind]:
                raise one.wrong("units", f"one of {', '.join(UNITS[kind])}", unit)
            if ".time_series." not in path and one.number("mean") is None:
                raise one.wrong("mean", "a number", None)


def _check_load(load: Part) -> None:
    found = load.get("concurrency")
    if found != math.inf and load.count("concurrency") == 0:
        raise load.wrong("concurrency", "a whole number of at least 1, or infinite", found)
    # Without a limit all requests are sent at once: 0.2 writes an infinite rate for it.
    rate = None if load.get("rate_qps") == math.inf else load.number("rate_qps")
    if rate is not None and rate <= 0:
        raise load.wrong("rate_qps", "above 0", rate)


def _check_instances(report: Part) -> None:
    lengths = {}
    for path in _INSTANCES:
        found = report.get(path)
        if found is None:
            continue
        if not isinstance(found, list):
            raise report.wrong(path, "a list", found)
        lengths[path] = len(found)
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"'{path}' {length}" for path, length in lengths.items())
        raise ResultsError(f"{report.file}: lists with an item for each instance differ in length: {said}")
    roles = [str(role) for role in report.get("scenario.host.type") or ()]
    if "replica" in roles and {"prefill", "decode"} & set(roles):
        raise report.wrong("scenario.host.type", "either all 'replica', or 'prefill' and 'decode'", ", ".join(roles))
