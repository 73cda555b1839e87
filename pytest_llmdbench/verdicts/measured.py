"""Recorded runs as what a baseline holds: run-level values, each with the setting that it was measured in."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.declared.workload import HEADER
from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.baseline import Baseline, CaseRuns, Run, case_from, gathered, read_baseline
from pytest_llmdbench.results.case_folder import VERDICT, read_json
from pytest_llmdbench.results.fields import Part
from pytest_llmdbench.results.loading import load_yaml
from pytest_llmdbench.results.recorded import CASE, SCENARIO, WORKLOAD, Recorded, find_recorded
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.results.store import RESULT
from pytest_llmdbench.verdicts.run_level import errors_of, values_of
from pytest_llmdbench.verdicts.soundness import lateness

#: The A/A noise that was measured with a case, in its folder.
NOISE: Final = "noise.json"
#: Facts of a case that a setting begins with.
_NAMES: Final = (
    "scenario", "setup_treatment", "model", "accelerator", "harness", "harness_version", "workload", "treatment",
)  # fmt: skip
#: Sections of a scenario that say nothing of what is measured.
_ELSEWHERE: Final = ("description", "slo", "sanity", "timeouts", "harness", "cluster", "load")
#: What llm-d-benchmark puts behind the name of a run's folder: seconds, six characters, pod.
_SESSION: Final = re.compile(r"-\d{10}-\w{6}(?:_\d+)?")


def read_any(path: Path, name: str | None = None) -> Baseline:
    """A baseline's file, or the runs recorded in a folder: ours, or Benchmark Reports of llm-d-benchmark.

    ``name`` is what people call it, where that is not its path.

    Raises:
        ResultsError: there is no such thing, nothing sound in it, or it cannot be read; names file and field.
    """
    origin = name or str(path)
    if path.is_file():
        return replace(read_baseline(path), origin=origin)
    if not path.is_dir():
        raise ResultsError(f"{path}: there is neither a baseline's file nor a folder of results")
    found: list[CaseRuns] = []
    notes: list[str] = []
    for run in find_recorded(path):
        if run.report is None and not (run.folder / RESULT).is_file():
            notes.append(f"{run.folder.name} ended without a result and is left out")
            continue
        verdict = run.folder / VERDICT
        outcome = read_json(verdict).text("outcome") if run.report is None and verdict.is_file() else None
        result = run.result()
        one = measured(run, result, outcome)
        if one is None:
            notes.append(f"{run.folder.name} is left out: {left_out(run, result, outcome)}")
        else:
            found.append(one)
    if not found:
        raise ResultsError(f"{path}: holds no results to compare with: {notes[0]}")
    return Baseline(origin, tuple(gathered(found)), tuple(notes))


def left_out(run: Recorded, result: Result, outcome: str | None) -> str:
    """Why a run says nothing that another could be compared with; empty where it does.

    Its verdict's ``outcome`` is INVALID, it was given up, more of its requests failed than may, or the simulator was
    late, which may meet an objective all the same: how slow it was says nothing.
    """
    if outcome == "INVALID":
        return "its verdict is INVALID"
    if result.abandoned is not None:
        return "it was given up"
    if (result.whole.requests.error_rate or 0.0) > run.max_error_rate:
        return "more of its requests failed than may"
    single = result.runs or (result,)
    if late := next((said for one in single for said in lateness(one)), ""):
        return late
    return "" if any(map(values_of, single)) else "it measured nothing that is compared"


def measured(run: Recorded, result: Result, outcome: str | None) -> CaseRuns | None:
    """The runs that a result is made of, with the setting that is recorded with it.

    None where :func:`left_out` says why.

    Raises:
        ResultsError: what is recorded with it cannot be read.
    """
    if left_out(run, result, outcome):
        return None
    facts = Part(str(run.report or run.folder / CASE), run.facts)
    session, commit = facts.text("run"), facts.below("provenance").below("git").text("commit")
    runs = tuple(
        Run(values, errors_of(one), session, one.started, commit)
        for one in result.runs or (result,)
        if (values := values_of(one))
    )
    noise = run.folder / NOISE
    floors = case_from(read_json(noise)).noise if run.report is None and noise.is_file() else None
    case = facts.text("case") or run.name
    if run.report is not None:
        return CaseRuns(_SESSION.sub("", case), _reported_setting(facts, result), runs)
    return CaseRuns(case, _setting(run.folder, facts), runs, floors)


def _reported_setting(facts: Part, result: Result) -> dict[str, str]:
    """What a Benchmark Report says of the setting of its stage."""
    asked = {"asked_rate": result.whole.asked_rate, "concurrency": result.whole.concurrency}
    return {
        **{name: text for name in _NAMES if (text := facts.text(name)) is not None},
        **{name: f"{value:g}" for name, value in asked.items() if value is not None},
    }


def _setting(folder: Path, facts: Part) -> dict[str, str]:
    """What the run in a folder was a run of, as texts; what is not known is not in it."""
    scenario, workload = folder / SCENARIO, folder / WORKLOAD
    setting: dict[str, str | None] = {name: facts.text(name) for name in _NAMES}
    here = True
    if scenario.is_file():
        deployed = load_yaml(scenario)
        here = deployed.text("deploy") in (None, "local")
        gpus = deployed.below("accelerator")
        setting["accelerator"] = None if here else gpus.text("product") or gpus.text("resource")
        setting["deployment"] = _digest(deployed.data, _ELSEWHERE)
    if workload.is_file():
        setting["load"] = _digest(load_yaml(workload).data, (HEADER,))
    machine = facts.below("provenance").below("machine")
    if here and (system := machine.text("system")):
        setting["machine"] = f"{system.partition('-')[0]}, {machine.count('processors')} processors"
    return {name: text for name, text in setting.items() if text is not None}


def _digest(tree: Mapping[str, Any], without: tuple[str, ...]) -> str:
    """A word that is the same for the same declarations alone."""
    kept = {key: value for key, value in tree.items() if key not in without}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:12]
