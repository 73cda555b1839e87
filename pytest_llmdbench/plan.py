"""The plan: which cases there are, on which stacks, with which load. Pure: starts nothing, asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.objective import Objective, nearest_wins, parse_objectives
from pytest_llmdbench.declared.overrides import apply_overrides, parse_overrides
from pytest_llmdbench.declared.places import Places, stem
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.declared.source import load_yaml
from pytest_llmdbench.declared.strict import read_model
from pytest_llmdbench.declared.treatments import Treatment, Treatments, load_treatments
from pytest_llmdbench.declared.workload import Workload, load_workload
from pytest_llmdbench.errors import DeclarationError, nearest
from pytest_llmdbench.harnesses.harness import Harness, PlannedStage
from pytest_llmdbench.stacks.spec import StackSpec

#: The scenario that runs when nobody names one: the embedded stack, which every machine can hold.
DEFAULT_SCENARIO = "local"


@dataclass(frozen=True, eq=False)
class PlannedStack:
    """A scenario with one setup treatment: the merged model, and what a deployment is given of it."""

    name: str
    scenario: Scenario
    layers: Layers
    setup: Treatment | None
    objectives: tuple[Objective, ...]
    spec: StackSpec


@dataclass(frozen=True, eq=False)
class PlannedLoad:
    """A workload with one run treatment: the profile that the harness gets, but for what only a running stack knows."""

    workload: Workload
    harness: Harness
    treatment: Treatment | None
    profile: Mapping[str, Any]
    stages: Sequence[PlannedStage]
    expected_s: float | None


@dataclass(frozen=True, eq=False)
class Case:
    """One pytest item: a stack, a load, and what is good enough."""

    stack: PlannedStack
    load: PlannedLoad

    @cached_property
    def id(self) -> str:
        """``local-inference-perf-chatbot_synthetic-rate5``: what ``-k`` selects by."""
        parts = [self.stack.spec.key, self.load.harness.name, self.load.workload.name]
        return "-".join([*parts, self.load.treatment.name] if self.load.treatment else parts)


@dataclass
class Plan:
    """All that was declared and asked for; the cases of each benchmark are made from it.

    ``settings`` are the options by word, ``origin`` says where one came from.
    """

    places: Places
    settings: Mapping[str, Any]
    origin: Callable[[str], str]
    harnesses: Callable[[str], Harness]
    deployments: Sequence[str]
    _loads: dict[tuple[str, str, bool], tuple[PlannedLoad, ...]] = field(default_factory=dict)

    @cached_property
    def treatments(self) -> Treatments:
        """The treatments file, or none."""
        return load_treatments(Path(self.settings["treatments"])) if "treatments" in self.settings else Treatments()

    @cached_property
    def option_objectives(self) -> tuple[Objective, ...]:
        """The objectives given as an option: the nearest of all."""
        return parse_objectives(self.settings["slo"], self.origin("slo")) if "slo" in self.settings else ()

    @cached_property
    def stacks(self) -> tuple[PlannedStack, ...]:
        """Scenarios x setup treatments. Raises DeclarationError for anything in them that cannot be meant."""
        paths = [self.places.scenario(given) for given in self.settings.get("scenario", [DEFAULT_SCENARIO])]
        names = [stem(path) for path in paths]
        for name in names:
            if names.count(name) > 1:
                raise DeclarationError(f"--scenario: two scenarios named '{name}'; rename one of the files")
        setups: Sequence[Treatment | None] = self.treatments.setup or (None,)
        return tuple(self._stack(path, setup) for path in paths for setup in setups)

    def cases(
        self, workloads: Sequence[str] = (), harness: str | None = None, *, asked_by: str = "the benchmark"
    ) -> list[Case]:
        """The cases of one benchmark that names ``workloads`` (and a harness, if it does).

        Raises:
            DeclarationError: unknown workload or harness, an override that matches nothing, no workload at all.
        """
        names = self.settings.get("workload") or ([self.treatments.workload] if self.treatments.workload else workloads)
        if not names:
            raise DeclarationError(
                f"{asked_by} names no workload: give it @pytest.mark.workload('NAME'), or say --llmd-workload"
            )
        harness = self.settings.get("harness") or self.treatments.harness or harness
        return [
            Case(stack, load)
            for stack in self.stacks
            for name in names
            for load in self._planned_loads(
                name, harness or stack.scenario.harness, stack.scenario.load.size == "quick"
            )
        ]

    def objectives(self, case: Case, of_test: Iterable[Objective]) -> tuple[Objective, ...]:
        """The SLO of a case: scenario < workload < test < option, the nearest on each subject."""
        return nearest_wins(case.stack.objectives, case.load.workload.objectives, of_test, self.option_objectives)

    def scenario_layers(self, path: Path, setup: Treatment | None = None) -> Layers:
        """One scenario with everything laid over it: treatment, then options."""
        layers = Layers()
        layers.add_source(load_yaml(path))
        for key, value in (setup.overrides if setup else {}).items():
            layers.put(key, value, setup.origin if setup else "")
        for key, value, origin in self._assignments():
            layers.put(key, value, origin)
        return layers

    def _assignments(self) -> Iterable[tuple[str, Any, str]]:
        """What the options set in every scenario: key, value, origin."""
        for word, key in (("model", "model.name"), ("harness", "harness")):
            if word in self.settings:
                yield key, self.settings[word], self.origin(word)
        for text in self.settings.get("set", ()):
            for key, value in parse_overrides(text, self.origin("set")).items():
                yield key, value, self.origin("set")

    def _stack(self, path: Path, setup: Treatment | None) -> PlannedStack:
        layers = self.scenario_layers(path, setup)
        if setup:
            _refuse_fixed({key: origin for key, _, origin in self._assignments()}, self.treatments.setup)
        scenario = read_model(Scenario, layers)
        if scenario.deploy not in self.deployments:
            hint = nearest(scenario.deploy, self.deployments)
            raise DeclarationError(f"{layers.origin(('deploy',))}: no way to deploy '{scenario.deploy}'; {hint}")
        key = f"{stem(path)}-{setup.name}" if setup else stem(path)
        return PlannedStack(
            name=stem(path),
            scenario=scenario,
            layers=layers,
            setup=setup,
            objectives=parse_objectives(scenario.slo, layers.origin(("slo",))),
            spec=StackSpec(key, scenario.deploy, scenario.model_dump(mode="json")),
        )

    def _planned_loads(self, name: str, harness_name: str, quick: bool) -> tuple[PlannedLoad, ...]:
        key = (name, harness_name, quick)
        if key not in self._loads:
            path = self.places.workload(name, harness_name)
            # A workload lies in its harness's folder; the folder's name decides if the name was given with it.
            folder = path.parent.name
            harness = self.harnesses(folder if "/" in name and path.parent.parent.name == "workloads" else harness_name)
            workload = _workload(path, harness.name)
            runs: Sequence[Treatment | None] = self.treatments.run or (None,)
            self._loads[key] = tuple(self._planned_load(workload, harness, run, quick) for run in runs)
        return self._loads[key]

    def _planned_load(self, workload: Workload, harness: Harness, run: Treatment | None, quick: bool) -> PlannedLoad:
        profile: Mapping[str, Any] = workload.profile
        if quick and workload.header.quick:
            profile = apply_overrides(profile, workload.header.quick, harness.known_keys, f"{workload.path}: quick")
        if run:
            profile = apply_overrides(profile, run.overrides, harness.known_keys, run.origin)
        for text in self.settings.get("overrides", ()):
            overrides = parse_overrides(text, self.origin("overrides"))
            if run:
                _refuse_fixed(dict.fromkeys(overrides, self.origin("overrides")), self.treatments.run)
            profile = apply_overrides(profile, overrides, harness.known_keys, self.origin("overrides"))
        return PlannedLoad(
            workload, harness, run, profile, tuple(harness.stages(profile)), harness.expected_seconds(profile)
        )


@cache
def _workload(path: Path, harness: str) -> Workload:
    return load_workload(path, harness)


def _refuse_fixed(fixed: Mapping[str, str], treatments: Sequence[Treatment]) -> None:
    """An option that sets what the treatments vary would make them all the same: say so, do not measure it."""
    for key, origin in fixed.items():
        levels = [treatment.overrides[key] for treatment in treatments if key in treatment.overrides]
        if any(level != levels[0] for level in levels):
            raise DeclarationError(f"{origin} sets '{key}', which the treatments vary; take it out of one of them")
