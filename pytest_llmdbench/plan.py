"""The plan: which cases there are, on which stacks, with which load. Pure: starts nothing, asks nobody."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.asked import Asked
from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.declared.objective import Objective, nearest_wins, parse_objectives
from pytest_llmdbench.declared.overrides import parse_overrides
from pytest_llmdbench.declared.places import Places, stem
from pytest_llmdbench.declared.prices import countable
from pytest_llmdbench.declared.treatments import Treatment, Treatments, load_treatments
from pytest_llmdbench.declared.workload import Workload, load_workload
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.harness import Harness, InPods
from pytest_llmdbench.harnesses.registry import AT, Harnesses
from pytest_llmdbench.measurable import cannot_measure
from pytest_llmdbench.planned_load import Overrides, PlannedLoad, plan_load
from pytest_llmdbench.planned_stack import PlannedStack, plan_stack
from pytest_llmdbench.provable import cannot_prove
from pytest_llmdbench.repeats import ONCE, Repeats, repeats_of

#: The scenario that runs when nobody names one: the embedded stack, which every machine can hold.
DEFAULT_SCENARIO = "local"
#: Every harness that has the workload.
_ALL: Final = "all"


@dataclass(frozen=True, eq=False)
class Case:
    """One pytest item: a stack, a load, and what is good enough."""

    stack: PlannedStack
    load: PlannedLoad
    repeats: Repeats = ONCE

    @property
    def pods(self) -> int:
        """How many load pods send it; 0: it is sent from this machine."""
        scenario = self.stack.scenario
        return scenario.load.parallelism if scenario.load_in_cluster else 0

    @cached_property
    def id(self) -> str:
        """``local-inference-perf-chatbot_synthetic-rate5``: what ``-k`` selects by."""
        parts = [self.stack.spec.key, self.load.program, self.load.workload.name]
        return "-".join([*parts, self.load.treatment.name] if self.load.treatment else parts)


@dataclass
class Plan:
    """All that was declared and asked for; the cases of each benchmark are made from it."""

    places: Places
    asked: Asked
    harnesses: Harnesses
    deployments: Sequence[str]
    _loads: dict[tuple[str, str, bool], tuple[PlannedLoad, ...]] = field(default_factory=dict)

    def check(self) -> None:
        """Find what cannot be meant in the options, before anything is collected. Raises DeclarationError."""
        for stack in self.stacks:
            programs = self._programs(stack, None)
            for program in programs:
                self.harnesses(program)
            for name in self.asked.get("workload", ()):
                self._with_workload(name, programs)
        _ = self.overrides, self.option_objectives

    @cached_property
    def treatments(self) -> Treatments:
        """The treatments file, or none."""
        path = self.asked.get("treatments")
        return load_treatments(Path(path).expanduser()) if path else Treatments()

    @cached_property
    def dataset(self) -> Path | None:
        """The data set that was given, if one was."""
        given = self.asked.get("dataset")
        return Path(given) if given else None

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
    ) -> list[Case]:
        """The cases of one benchmark that names ``workloads`` (and a harness, if it does).

        Raises:
            DeclarationError: unknown workload or harness, an override that matches nothing, no workload at all, or a
                harness that cannot run where the load of a stack does.
        """
        names = self.asked.get("workload") or ([self.treatments.workload] if self.treatments.workload else workloads)
        if not names:
            raise DeclarationError(
                f"{asked_by} names no workload: give it @pytest.mark.workload('NAME'), or say --llmd-workload"
            )
        cases = [
            Case(stack, load, repeats_of(self.asked, load.harness))
            for stack in self.stacks
            for name in names
            for program in self._with_workload(name, self._programs(stack, harness))
            for load in self._planned_loads(name, program, stack.scenario.load.size == "quick")
        ]
        for case in cases:
            _check_pods(case)
        return cases

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
        """The SLO of a case: scenario < workload < test < option, the nearest on each subject.

        A scenario's objectives hold for every load on its stack, but for what a harness is not there to measure, and
        what a smoke load is too short to prove. So do an option's, where several harnesses are asked for.

        Raises:
            DeclarationError: an objective on a stage that the load does not have.
        """
        purpose, workload = case.load.harness.purpose, case.load.workload
        of_stack = [
            one
            for one in case.stack.objectives
            if purpose in METRICS[one.metric].purposes
            and not (workload.header.smoke and cannot_prove(one, case.load.stages, workload.warmup, case.repeats))
        ]
        asked = self.asked.get("harness") or ()
        of_option = [
            one
            for one in self.option_objectives
            if purpose in METRICS[one.metric].purposes or (len(asked) < 2 and _ALL not in asked)
        ]
        merged = nearest_wins(of_stack, case.load.workload.objectives, of_test, of_option)
        stages = len(case.load.stages)
        for objective in merged:
            if stages and objective.stage is not None and objective.stage >= stages:
                raise DeclarationError(
                    f"{objective.origin}: objective '{objective.text}': "
                    f"the last stage of {case.load.workload.name} is stage{stages - 1}"
                )
            if METRICS[objective.metric].kind == "money" and (missing := countable(case.stack.scenario)):
                raise DeclarationError(f"{objective.origin}: objective '{objective.text}': {missing}")
        return merged

    @staticmethod
    def unprovable(case: Case, objectives: Iterable[Objective]) -> str | None:
        """Why a load cannot measure or prove one of its objectives, however good the stack is; None if it can all."""
        load = case.load
        reasons = (
            cannot_measure(one, load.harness, load.profile, case.pods)
            or cannot_prove(one, load.stages, load.workload.warmup, case.repeats)
            for one in objectives
        )
        found = next((reason for reason in reasons if reason), None)
        return f"{case.id}: {found}" if found else None

    def _planned_loads(self, name: str, asked: str, quick: bool) -> tuple[PlannedLoad, ...]:
        key = (name, asked, quick)
        if key not in self._loads:
            harness, path = self._find(name, asked)
            program = f"{harness.name}-{harness.version}" if AT in asked else harness.name
            workload = _workload(path, harness.name)
            runs: Sequence[Treatment | None] = self.treatments.run or (None,)
            loads = tuple(
                plan_load(workload, harness, run, self.overrides, quick=quick, program=program, dataset=self.dataset)
                for run in runs
            )
            _refuse_equal(((load.treatment, load.profile) for load in loads), f"load of {workload.name}")
            self._loads[key] = loads
        return self._loads[key]

    def _find(self, name: str, harness_name: str) -> tuple[Harness, Path]:
        """A workload's file and its harness: the folder's where the name was given with it."""
        harness = self.harnesses(harness_name)
        path = self.places.workload(name, harness.name)
        if "/" in name and path.parent.parent.name == "workloads":
            harness = self.harnesses(path.parent.name)
        return harness, path


def _check_pods(case: Case) -> None:
    load = case.load
    if isinstance(load.harness, InPods):
        try:
            load.harness.check_pods(load.profile, case.pods, case.stack.scenario.load.image)
        except DeclarationError as error:
            raise DeclarationError(f"{case.id}: {error}") from error


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
