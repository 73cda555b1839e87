"""Runs that were recorded, found in a folder: what was run, what was good enough, and what it measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.declared.objective import Objective, parse_objective
from pytest_llmdbench.declared.warmup import AUTO, Warmup, parse_warmup
from pytest_llmdbench.declared.workload import HEADER
from pytest_llmdbench.errors import DeclarationError, ResultsError
from pytest_llmdbench.results.loading import load_json, load_yaml
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.results.store import read_result

#: What says in the folder of a case what was run.
CASE: Final = "case.json"
#: In there: the names of the single runs' folders, beside its own, of a repeated load; how sure its verdict has to be.
RUNS: Final = "runs"
SURE: Final = "confidence"
#: And the scenario that it ran on, complete.
SCENARIO: Final = "scenario.yaml"
#: And the load.
WORKLOAD: Final = "workload.yaml"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run of one case; or one stage of it, where ``report`` is the Benchmark Report that tells of it.

    A repeated load is one of them, whose result has its single runs. ``facts`` are those of
    :func:`~pytest_llmdbench.results.record.case_facts` that are known; ``confidence`` is how sure its verdict had to
    be, where it says.
    """

    name: str
    folder: Path
    facts: Mapping[str, Any]
    objectives: tuple[Objective, ...] = ()
    max_error_rate: float = 0.0
    warmup: Warmup = AUTO
    confidence: float | None = None
    report: Path | None = None

    def result(self) -> Result:
        """What it measured. Raises ResultsError, also where it ended before it had a result."""
        if self.report is None:
            return read_result(self.folder)
        from pytest_llmdbench.results.benchmark_report import read

        return read(self.report).result


def find_recorded(folder: Path) -> list[Recorded]:
    """All runs in ``folder`` and below, in the order of their paths.

    Raises:
        ResultsError: there is no such folder, no run in it, or what says what was run cannot be read.
    """
    if not folder.is_dir():
        raise ResultsError(f"{folder}: there is no such folder of results")
    found = [*_recorded(folder), *_reported(folder)]
    if not found:
        raise ResultsError(f"{folder}: holds no results: no {CASE} and no Benchmark Report is in it or below it")
    return found


def _recorded(folder: Path) -> Iterator[Recorded]:
    cases = {path: _read(path) for path in sorted(folder.rglob(CASE))}
    parts = {path.parent.parent / str(name) for path, case in cases.items() for name in _names(case.get(RUNS))}
    for path, case in cases.items():
        place = path.parent
        if place in parts:
            continue
        name = str(case.get("case") or place.name)
        # A repeated case has a number behind the folder's name.
        number = place.suffix if place.suffix[1:].isdigit() else ""
        objectives = tuple(_objectives(case, path))
        max_error_rate = _said(place / SCENARIO, "sanity.max_error_rate")
        warmup = _said(place / WORKLOAD, f"{HEADER}.warmup")
        yield Recorded(
            name + number,
            place,
            {**case, "case": name},
            objectives,
            float(max_error_rate) if isinstance(max_error_rate, int | float) else 0.0,
            parse_warmup(warmup, str(place / WORKLOAD)) if isinstance(warmup, str) else AUTO,
            sure if isinstance(sure := case.get(SURE), float) and 0 < sure < 1 else None,
        )


def _names(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _reported(folder: Path) -> Iterator[Recorded]:
    """Runs of others, a report a stage; what is in the folder of a case is made from it."""
    from pytest_llmdbench.results.benchmark_report import read
    from pytest_llmdbench.results.benchmark_report.files import reports

    for place in sorted({path.parent for path in folder.rglob("benchmark_report*.yaml")}):
        if any((above / CASE).is_file() for above in (place, *place.parents)):
            continue
        for name in reports({path.name for path in place.iterdir()}):
            report = read(place / name)
            case = f"{report.facts.get('case') or place.name}-stage{report.stage}"
            facts = {
                "harness": report.result.harness,
                "harness_version": report.result.harness_version,
                **{key: value for key, value in report.facts.items() if value is not None},
                "case": case,
                "stack": place.name,
            }
            # What others let pass is not known: failures alone make nothing of theirs insane.
            yield Recorded(case, place, facts, max_error_rate=1.0, report=place / name)


def _read(path: Path) -> Mapping[str, Any]:
    case = load_json(path)
    if not isinstance(case, dict):
        raise ResultsError(f"{path}: does not say what was run")
    return case


def _objectives(case: Mapping[str, Any], path: Path) -> Iterator[Objective]:
    try:
        for one in case.get("objectives") or ():
            yield parse_objective(one["objective"], str(one["origin"]))
    except (TypeError, KeyError, AttributeError) as error:
        raise ResultsError(f"{path}: 'objectives' is not a list of objectives and origins") from error
    except DeclarationError as error:
        raise ResultsError(f"{path}: {error}") from error


def _said(path: Path, field: str) -> Any:
    """A value in a YAML file of a case; None where it does not say."""
    try:
        return load_yaml(path).get(field)
    except ResultsError:
        return None
