"""The protocol of a way to deploy; ``local`` is one, clusters are others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from pytest_llmdbench.results.server_metrics.scraped import Look
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec


class Deployment(Protocol):
    """Stands up and takes down one stack. One object serves one stack; calls never overlap."""

    def up(self) -> Endpoint:
        """Stand the stack up and return when a real completion has been answered.

        Raises:
            StandupError: it did not come up; what was started is still taken down by :meth:`down`.
        """

    def reset(self) -> str | None:
        """Bring the stack to the state that every run starts from (counters, caches); called before each load.

        Gives what of it could not be done, None where all was.
        """

    def observe(self) -> Mapping[str, Any]:
        """What the stack says of itself over the window since :meth:`reset`; goes into ``Result.server``."""

    def down(self) -> None:
        """Take down all that :meth:`up` started, whether or not it succeeded. Safe to call twice."""


@runtime_checkable
class Interruptible(Protocol):
    """What a deployment may offer besides: that the end of a run need not wait for its standup."""

    def interrupt(self) -> None:
        """Make :meth:`Deployment.up` raise soon; called from another thread, before or during it. Returns at once."""


@runtime_checkable
class Watchful(Protocol):
    """What a deployment may offer besides: that it knows at once when something happens to a stack that is up."""

    def trouble(self) -> str | None:
        """What has happened to it since it is up that spoils a load, None while all is well.

        Called from another thread about once a second during a load; returns at once.
        """


@runtime_checkable
class Scrapable(Protocol):
    """What a deployment may offer besides: the metrics of its servers while a load is on them."""

    def look(self) -> Look:
        """How all of them are scraped once, during one load. Asks nobody anything yet.

        What it gives is called from another thread, every few seconds until the load is over.
        """


#: Makes the object that serves one stack.
DeploymentFactory = Callable[[StackSpec, Say], Deployment]
