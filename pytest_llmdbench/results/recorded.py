"""Runs that were recorded, found in a folder: what was run, what was good enough, and what it measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from pytest_llmdbench.declared.objective import Objective, parse_objective
from pytest_llmdbench.errors import DeclarationError, ResultsError
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.results.store import read_result

#: What says in the folder of a case what was run.
CASE: Final = "case.json"
#: And the scenario that it ran on, complete.
SCENARIO: Final = "scenario.yaml"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run of one case.

    ``facts`` are those of :func:`~pytest_llmdbench.results.record.case_facts` that are known.
    """

    name: str
    folder: Path
    facts: Mapping[str, Any]
    objectives: tuple[Objective, ...] = ()
    max_error_rate: float = 0.0

    def result(self) -> Result:
        """What it measured. Raises ResultsError, also where it ended before it had a result."""
        return read_result(self.folder)


def find_recorded(folder: Path) -> list[Recorded]:
    """All runs in ``folder`` and below, in the order of their paths.

    Raises:
        ResultsError: there is no such folder, no run in it, or what says what was run cannot be read.
    """
    if not folder.is_dir():
        raise ResultsError(f"{folder}: there is no such folder of results")
    found = list(_recorded(folder))
    if not found:
        raise ResultsError(f"{folder}: holds no results: no {CASE} is in it or below it")
    return found


def _recorded(folder: Path) -> Iterator[Recorded]:
    for path in sorted(folder.rglob(CASE)):
        case = _read(path)
        place = path.parent
        name = str(case.get("case") or place.name)
        # A repeated case has a number behind the folder's name.
        number = place.suffix if place.suffix[1:].isdigit() else ""
        objectives = tuple(_objectives(case, path))
        yield Recorded(name + number, place, {**case, "case": name}, objectives, _max_error_rate(place / SCENARIO))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        case = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"{path}: cannot be read, or was cut short: {error}") from error
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


def _max_error_rate(path: Path) -> float:
    """What the scenario allowed; 0 where it does not say."""
    try:
        return float(yaml.safe_load(path.read_text(encoding="utf-8"))["sanity"]["max_error_rate"])
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return 0.0
