"""The ways to deploy on Kubernetes, by name: each renders a scenario. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.stacks.kubernetes import standalone
from pytest_llmdbench.stacks.kubernetes.names import Names
from pytest_llmdbench.stacks.kubernetes.rendered import Rendered


def _modelservice(scenario: Scenario, names: Names) -> Rendered:
    from pytest_llmdbench.stacks.kubernetes import modelservice

    return modelservice.render(scenario, names)


WAYS: Final[Mapping[str, Callable[[Scenario, Names], Rendered]]] = {
    "standalone": standalone.render,
    "modelservice": _modelservice,
}


def render(scenario: Scenario, names: Names) -> Rendered:
    """What a scenario becomes. Raises DeclarationError for what cannot be deployed this way."""
    return WAYS[scenario.deploy](scenario, names)
