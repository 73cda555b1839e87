"""Who owns the stacks: the process that the user started; an xdist worker borrows them from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmdbench.stacks.borrower import StackBorrower
from pytest_llmdbench.stacks.controller import XdistController
from pytest_llmdbench.stacks.owner import StackOwner

if TYPE_CHECKING:
    from pytest_llmdbench.stacks.deployment import DeploymentFactory
    from pytest_llmdbench.stacks.source import StackSource

_SOURCE: pytest.StashKey[StackSource] = pytest.StashKey()


def configure(
    config: pytest.Config, deployments: Callable[[], Mapping[str, DeploymentFactory]], max_stacks: int | None
) -> None:
    """Make this process an owner of stacks, or a borrower if it is an xdist worker.

    ``deployments`` is called when the first stack is needed; ``max_stacks`` bounds how many are up at once.
    """
    worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[_SOURCE] = StackBorrower(worker["llmd_broker"], worker["workerid"])
        config.pluginmanager.register(config.stash[_SOURCE], "llmdbench-stacks")
        return
    owner = StackOwner(config, deployments, max_stacks)
    config.stash[_SOURCE] = owner
    config.pluginmanager.register(owner, "llmdbench-stacks")
    if config.getoption("dist", "no") != "no" and config.getoption("tx", None) and not config.getoption("collectonly"):
        config.pluginmanager.register(XdistController(owner), "llmdbench-xdist")


def stacks_of(config: pytest.Config) -> StackSource:
    """What the tests of this process borrow stacks from."""
    return config.stash[_SOURCE]
