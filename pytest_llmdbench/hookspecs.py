"""Hooks that other packages implement to add a harness or a way to deploy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_llmdbench.harnesses.harness import Harness
    from pytest_llmdbench.stacks.deployment import DeploymentFactory


@pytest.hookspec
def pytest_llmdbench_harnesses() -> Sequence[Harness]:  # type: ignore[empty-body]
    """Offer load programs; called once in each process that plans or runs cases. A name replaces a built-in one."""


@pytest.hookspec
def pytest_llmdbench_deployments() -> Mapping[str, DeploymentFactory]:  # type: ignore[empty-body]
    """Offer ways to deploy, by the name that a scenario's ``deploy:`` says; called once in each process that plans."""
