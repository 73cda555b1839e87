"""What is recorded of one run in the folder of its case: what was asked for, what came out, and how it was judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.fields import Part
from pytest_llmdbench.results.loading import load_json, load_yaml
from pytest_llmdbench.results.recorded import CASE, SCENARIO, WORKLOAD
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.results.store import RESULT, read_result

if TYPE_CHECKING:
    from pytest_llmdbench.declared.scenario import Scenario

#: The verdict in the folder of a case.
VERDICT: Final = "verdict.json"


@dataclass(frozen=True, slots=True)
class CaseFolder:
    """One recorded run. ``result`` and ``verdict`` are None where the run did not get so far.

    ``facts`` is ``case.json``; ``scenario`` and ``workload`` are None and empty where their files are not there.
    """

    path: Path
    facts: Part
    result: Result | None = None
    verdict: Part | None = None
    scenario: Scenario | None = None
    workload: Mapping[str, Any] = field(default_factory=dict)


def read_case(folder: Path, *, workload: bool = True) -> CaseFolder:
    """Read the folder of a case; without ``workload`` its profile is not looked at.

    Raises:
        ResultsError: a file was cut short or is not what it should be; names file and field.
    """
    verdict, scenario, profile = folder / VERDICT, folder / SCENARIO, folder / WORKLOAD
    return CaseFolder(
        path=folder,
        facts=read_json(folder / CASE),
        result=read_result(folder) if (folder / RESULT).is_file() else None,
        verdict=read_json(verdict) if verdict.is_file() else None,
        scenario=_scenario(scenario) if scenario.is_file() else None,
        workload=load_yaml(profile).data if workload and profile.is_file() else {},
    )


def read_json(path: Path) -> Part:
    """The object of fields that a JSON file holds. Raises ResultsError."""
    data = load_json(path)
    if not isinstance(data, Mapping):
        raise ResultsError(f"{path}: is not an object of fields")
    return Part(str(path), data)


def _scenario(path: Path) -> Scenario:
    from pydantic import ValidationError

    from pytest_llmdbench.declared.scenario import Scenario

    part = load_yaml(path)
    try:
        return Scenario.model_validate(part.data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ResultsError(f"{path}: '{place}': {first['msg']}") from error
