"""Folders of runs as the plugin records them, from the genuine files of a load program."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.places import shipped_root
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.declared.source import load_yaml
from pytest_llmdbench.declared.strict import read_model
from pytest_llmdbench.harnesses.inference_perf_files import read
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.results.store import write_json, write_result

SAMPLES = Path(__file__).parents[1] / "data" / "inference-perf"
REPORTS = Path(__file__).parents[1] / "data" / "benchmark-reports"
SCHEMAS = Path(__file__).parents[1] / "data" / "schemas"
RUN = "20261127-101500-9f3a"


@cache
def measured(case: str = "constant") -> Result:
    """What a genuine run of inference-perf measured, as its own files say."""
    return read(SAMPLES / case, "0.7.0")


def scenario_of(name: str) -> dict[str, Any]:
    """A scenario that comes with the plugin, merged as it is recorded."""
    layers = Layers()
    layers.add_source(load_yaml(shipped_root() / "scenarios" / f"{name}.yaml"))
    return read_model(Scenario, layers).dump()


def record(
    folder: Path,
    result: Result | None,
    *,
    scenario: str | Mapping[str, Any] = "local",
    workload: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Path:
    """Record one run of a case in ``folder``, as the plugin does."""
    folder.mkdir(parents=True)
    known = {
        "case": "local-inference-perf-sanity_random",
        "scenario": scenario if isinstance(scenario, str) else "own",
        "stack": "local",
        "setup_treatment": None,
        "harness": "inference-perf",
        "harness_version": "0.7.0",
        "workload": "sanity_random",
        "treatment": None,
        "factors": {},
        "model": "llmdbench/simulated",
        "nodeid": "benchmarks/test_sanity.py::test_sanity[local-inference-perf-sanity_random]",
        "run": RUN,
        "provenance": {"versions": {"pytest-llmdbench": "0.1.0"}},
    }
    write_json(folder / "case.json", known | facts)
    merged = scenario_of(scenario) if isinstance(scenario, str) else dict(scenario)
    (folder / "scenario.yaml").write_text(yaml.safe_dump(merged, sort_keys=False), encoding="utf-8")
    profile = {"llmdbench": {"slo": ["ttft.p99 <= 500 ms"]}, **(workload or {"load": {"type": "constant"}})}
    (folder / "workload.yaml").write_text(yaml.safe_dump(profile, sort_keys=False), encoding="utf-8")
    if result is not None:
        write_result(folder, result)
    if verdict is not None:
        write_json(folder / "verdict.json", verdict)
    return folder


@cache
def validator(version: str) -> Draft202012Validator:
    """What holds a report against the schema that llm-d-benchmark publishes for a version."""
    text = (SCHEMAS / f"benchmark_report_v{version.replace('.', '_')}.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def truth(case: str) -> Any:
    """What the server noted of the run that a genuine report is about."""
    return json.loads((REPORTS / case / "truth.json").read_text(encoding="utf-8"))


def report_file(case: str, version: str) -> Path:
    """The file of a genuine report, in version 0.1 or 0.2."""
    return next((REPORTS / case).glob("benchmark_report,_*" if version == "0.1" else "benchmark_report_v0.2,_*"))


def upstream_folder(place: Path, case: str, name: str) -> Path:
    """A folder of results as llm-d-benchmark leaves it, with the genuine reports of a case."""
    return Path(shutil.copytree(REPORTS / case, place / name, ignore=shutil.ignore_patterns("truth.json")))
