"""The plan: which cases there are, on which stacks, with which load. Pure: starts nothing, asks nobody."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.asked import Asked
from pytest_llmdbench.case import Case
from pytest_llmdbench.declared.objective import Objective, nearest_wins, parse_objectives
from pytest_llmdbench.declared.overrides import Overrides, parse_overrides
from pytest_llmdbench.declared.places import Places, stem
from pytest_llmdbench.declared.tokens import dataset_values
from pytest_llmdbench.declared.treatments import Treatment, Treatments, load_treatments
from pytest_llmdbench.declared.workload import Workload, load_workload
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.harness import Harness
from pytest_llmdbench.harnesses.registry import AT, Harnesses
from pytest_llmdbench.planned_load import PlannedLoad, load_id, plan_load
from pytest_llmdbench.planned_slo import slo_of
from pytest_llmdbench.planned_stack import PlannedStack, plan_stack
from pytest_llmdbench.refused import Refused
from pytest_llmdbench.repeats import repeats_of

#: The scenario that runs when nobody names one: the embedded stack, which every machine can hold.
DEFAULT_SCENARIO = "local"
#: Every harness that has the workload.
_ALL: Final = "all"


@dataclass
class Plan:
    """All that was declared and asked for; the cases of each benchmark are made from it."""

    places: Places
    asked: Asked
    harnesses: Harnesses
    deployments: Sequence[str]
    _loads: dict[tuple[str, str, bool], tuple[PlannedLoad | Refused, ...]] = field(default_factory=dict)

    def check(self) -> None:
        """Find what cannot be meant in the options, before anything is collected. Raises DeclarationError."""
        for stack in self.stacks:
            programs = self._programs(stack, None)
            for program in programs:
                self.harnesses(program)
            for name in self.asked.get("workload", ()):
                self._with_workload(name, programs)
        _ = self.overrides, self.option_objectives, self.dataset

    @cached_property
    def treatments(self) -> Treatments:
        """The treatments file, or none."""
        path = self.asked.get("treatments")
        return load_treatments(Path(path).expanduser()) if path else Treatments()

    @cached_property
    def dataset(self) -> Path | None:
        """The data set that was given, if one was. Raises DeclarationError where it is not there."""
        given = self.asked.get("dataset")
        if not given:
            return None
        dataset_values(Path(given))
        return Path(given)

    @cached_property
    def overrides(self) -> tuple[Overrides, ...]:
        """What the options change in every load, the nearest last."""
        return tuple((parse_overrides(one.value, one.origin), one.origin) for one in self.asked.given("overrides"))

    @cached_property
    def option_objectives(self) -> tuple[Objective, ...]:
        """The objectives given as an option: the nearest of all."""
        return nearest_wins(*(parse_objectives([one.value], one.origin) for one in self.asked.given("slo")))

    @cached_property
    def stacks(self) -> tuple[PlannedStack, ...]:
        """Scenarios x setup treatments. Raises DeclarationError for anything in them that cannot be meant."""
        paths = [self.places.scenario(given) for given in self.asked.get("scenario", (DEFAULT_SCENARIO,))]
        setups: Sequence[Treatment | None] = self.treatments.setup or (None,)
        stacks = tuple(plan_stack(path, setup, self.asked, self.deployments) for path in paths for setup in setups)
        keys = [stack.spec.key for stack in stacks]
        for key in keys:
            if keys.count(key) > 1:
                raise DeclarationError(f"two stacks would be called '{key}'; rename a scenario or a setup treatment")
        for path in paths:
            _refuse_equal(
                ((stack.setup, stack.spec.config) for stack in stacks if stack.name == stem(path)),
                f"stack from {path}",
            )
        return stacks

    def cases(
        self, workloads: Sequence[str] = (), harness: str | None = None, *, asked_by: str = "the benchmark"
    ) -> list[Case | Refused]:
        """The cases of one benchmark that names ``workloads`` (and a harness, if it does).

        Refused is a case that what was asked for does not fit: an override that matches nothing in its workload, a
        harness that cannot run where the load of the stack does.

        Raises:
            DeclarationError: unknown workload or harness, or no workload at all.
        """
        names = self.asked.get("workload") or ([self.treatments.workload] if self.treatments.workload else workloads)
        if not names:
            raise DeclarationError(
                f"{asked_by} names no workload: give it @pytest.mark.workload('NAME'), or say --llmd-workload"
            )
        return [
            case
            for stack in self.stacks
            for name in names
            for program in self._with_workload(name, self._programs(stack, harness))
            for case in self._cases_on(stack, name, program)
        ]

    def _cases_on(self, stack: PlannedStack, name: str, program: str) -> Iterator[Case | Refused]:
        for load in self._planned_loads(name, program, stack.scenario.load.size == "quick"):
            if isinstance(load, Refused):
                yield replace(load, id=f"{stack.spec.key}-{load.id}")
                continue
            case = Case(stack, load, repeats_of(self.asked, load.harness))
            try:
                case.check_pods()
                yield case
            except DeclarationError as error:
                yield Refused(case.id, str(error))

    def _programs(self, stack: PlannedStack, of_benchmark: str | None) -> Sequence[str]:
        """The harnesses of a benchmark on a stack, as they were asked for; the nearest declaration counts."""
        asked: Sequence[str] = self.asked.get("harness", ())
        if _ALL in asked:
            return self.harnesses.names
        return asked or [self.treatments.harness or of_benchmark or stack.scenario.harness]

    def _with_workload(self, name: str, programs: Sequence[str]) -> Sequence[str]:
        """Those of ``programs`` that have the workload; none where only harnesses that nobody asked for have it.

        Raises:
            DeclarationError: no harness at all has it.
        """
        found = [one for one in programs if self.places.has_workload(name, self.harnesses(one).name)]
        if not found and not (
            self.asked.get("harness") and any(self.places.has_workload(name, one) for one in self.harnesses.names)
        ):
            self.places.workload(name, self.harnesses(programs[0]).name)
        # A name that says its harness itself is found by each of them, and is one.
        return found[:1] if "/" in name else found

    def objectives(self, case: Case, of_test: Iterable[Objective]) -> tuple[Objective, ...]:
        """The SLO of a case in one test, see :func:`.slo_of`. Raises DeclarationError."""
        asked = self.asked.get("harness") or ()
        several = len(asked) > 1 or _ALL in asked
        return slo_of(case, of_test, self.option_objectives, of_several=several)

    def _planned_loads(self, name: str, asked: str, quick: bool) -> tuple[PlannedLoad | Refused, ...]:
        key = (name, asked, quick)
        if key not in self._loads:
            harness, path = self._find(name, asked)
            program = f"{harness.name}-{harness.version}" if AT in asked else harness.name
            runs: Sequence[Treatment | None] = self.treatments.run or (None,)
            loads = [self._planned_load(harness, path, program, run, quick) for run in runs]
            planned = [load for load in loads if isinstance(load, PlannedLoad)]
            try:
                _refuse_equal(((load.treatment, load.profile) for load in planned), f"load of {stem(path)}")
            except DeclarationError as error:
                loads = [Refused(load.id, str(error)) for load in loads]
            self._loads[key] = tuple(loads)
        return self._loads[key]

    def _planned_load(
        self, harness: Harness, path: Path, program: str, run: Treatment | None, quick: bool
    ) -> PlannedLoad | Refused:
        try:
            workload = _workload(path, harness.name)
            return plan_load(workload, harness, run, self.overrides, quick=quick, program=program, dataset=self.dataset)
        except DeclarationError as error:
            return Refused(load_id(program, stem(path), run), str(error))

    def _find(self, name: str, harness_name: str) -> tuple[Harness, Path]:
        """A workload's file and its harness: the folder's where the name was given with it."""
        harness = self.harnesses(harness_name)
        path = self.places.workload(name, harness.name)
        if "/" in name and path.parent.parent.name == "workloads":
            harness = self.harnesses(path.parent.name)
        return harness, path


@cache
def _workload(path: Path, harness: str) -> Workload:
    return load_workload(path, harness)


def _refuse_equal(made: Iterable[tuple[Treatment | None, Any]], what: str) -> None:
    """Treatments that come out the same vary nothing: say so, do not measure it."""
    seen: dict[str, Treatment] = {}
    for treatment, outcome in made:
        if treatment is None:
            continue
        first = seen.setdefault(json.dumps(outcome, sort_keys=True, default=str), treatment)
        if first is not treatment:
            raise DeclarationError(
                f"{treatment.origin}: treatments '{first.name}' and '{treatment.name}' make the same {what}: "
                "their keys do nothing there, or an option sets what they vary"
            )
