"""One stack of the plan: a scenario as options and a setup treatment make it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.asked import Asked
from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.objective import Objective, parse_objectives
from pytest_llmdbench.declared.overrides import parse_overrides
from pytest_llmdbench.declared.places import stem
from pytest_llmdbench.declared.prices import price_of
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.declared.source import load_yaml
from pytest_llmdbench.declared.strict import read_model
from pytest_llmdbench.declared.treatments import Treatment
from pytest_llmdbench.errors import DeclarationError, nearest
from pytest_llmdbench.stacks.spec import StackSpec

#: Option -> the scenario keys that it sets, to its own value where there is none here.
_KEYS: Final[Mapping[str, Sequence[tuple[str, Any]]]] = {
    "model": (("model.name", None),),
    "namespace": (("cluster.namespace", None),),
    "context": (("cluster.context", None),),
    "parallelism": (("load.parallelism", None),),
    "prices": (("accelerator.prices", None),),
    "endpoint": (("deploy", "endpoint"), ("endpoint.url", None)),
    "stack": (("deploy", "endpoint"), ("endpoint.stack", None)),
}


@dataclass(frozen=True, eq=False)
class PlannedStack:
    """A scenario with one setup treatment: the merged model, and what a deployment is given of it."""

    name: str
    scenario: Scenario
    layers: Layers
    setup: Treatment | None
    objectives: tuple[Objective, ...]
    spec: StackSpec


def plan_stack(path: Path, setup: Treatment | None, asked: Asked, deployments: Sequence[str]) -> PlannedStack:
    """The stack of a scenario's file with one setup treatment, or none, and with what the options set.

    Raises:
        DeclarationError: something in it cannot be meant, or none of ``deployments`` is its way to deploy.
    """
    layers = Layers()
    layers.add_source(load_yaml(path))
    if setup:
        for key, value in setup.overrides.items():
            layers.put(key, value, setup.origin)
    for _, key, value, origin in sorted(_assignments(asked), key=lambda entry: entry[0]):
        layers.put(key, value, origin)
    scenario = read_model(Scenario, layers)
    if scenario.deploy not in deployments:
        hint = nearest(scenario.deploy, deployments)
        raise DeclarationError(f"{layers.origin(('deploy',))}: no way to deploy '{scenario.deploy}'; {hint}")
    price_of(scenario.accelerator)  # a table that cannot be read comes up before anything starts
    key = f"{stem(path)}-{setup.name}" if setup else stem(path)
    return PlannedStack(
        name=stem(path),
        scenario=scenario,
        layers=layers,
        setup=setup,
        objectives=parse_objectives(scenario.slo, layers.origin(("slo",))),
        spec=StackSpec(key, scenario.deploy, scenario.dump()),
    )


def _assignments(asked: Asked) -> Iterator[tuple[int, str, Any, str]]:
    """What the options set in every scenario: how near it was said, key, value, origin; ``set`` after its like."""
    for word, keys in _KEYS.items():
        for one in asked.given(word):
            yield from ((one.nearness, key, one.value if value is None else value, one.origin) for key, value in keys)
    for one in asked.given("set"):
        example = "model.name=facebook/opt-125m"
        for key, value in parse_overrides(one.value, one.origin, example).items():
            yield one.nearness, key, value, one.origin
