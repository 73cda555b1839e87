"""One stack of a pool: what is known of it, and what is asked of its deployment while somebody has it."""

from __future__ import annotations

import enum
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmdbench.errors import LlmdError, StandupError
from pytest_llmdbench.stacks.deployment import Deployment, Scrapable, Watchful
from pytest_llmdbench.stacks.scrape import Scraping
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec


class State(enum.Enum):
    """How far a stack's life has come."""

    DOWN = enum.auto()
    RISING = enum.auto()
    UP = enum.auto()
    FALLING = enum.auto()


@dataclass(eq=False)
class PooledStack:
    """The pool says who has it and when it goes up and down, and sets these fields under its own lock."""

    spec: StackSpec
    #: Cases that are not over yet, by node id.
    cases: set[str] = field(default_factory=set)
    state: State = State.DOWN
    #: Whether it has to go down as soon as it can.
    unwanted: bool = False
    thread: threading.Thread | None = None
    deployment: Deployment | None = None
    endpoint: Endpoint | None = None
    failure: LlmdError | None = None
    #: Whether anybody was given the failure in full.
    told: bool = False
    #: Who has it, and who had it or asked for it last.
    borrower: str | None = None
    last: str | None = None
    uses: int = 0
    standup_s: float | None = None
    teardown_s: float | None = None
    error: str | None = None
    #: Held during a call on the deployment while the stack is up: calls never overlap.
    _calls: threading.Lock = field(default_factory=threading.Lock)
    #: The metrics of its servers, while its borrower has a load on it.
    _scraping: Scraping | None = None

    def reset(self) -> str | None:
        """Bring it to the state that every run starts from; gives what of it could not be done.

        Raises:
            StandupError: it is down; so do the others that need it up.
        """
        with self._calls:
            return self._deployment().reset()

    def scrape(self, interval_s: float, folder: Path) -> None:
        """Read the metrics of its servers from now on, every so many seconds, if it has such.

        What they say first and last is kept in ``folder``. It ends with :meth:`observe`, or when the stack is given
        back.
        """
        with self._calls:
            deployment = self._deployment()
            self.stop_scraping()
            if isinstance(deployment, Scrapable):
                self._scraping = Scraping(deployment.look(), interval_s, folder)

    def so_far(self) -> Mapping[str, Any]:
        """What its servers have counted of single requests' times, while they are scraped."""
        scraping = self._scraping
        return scraping.so_far() if scraping is not None else {}

    def observe(self) -> Mapping[str, Any]:
        """What it says of itself since the last reset; ``metrics`` are what its servers counted."""
        with self._calls:
            scraping, self._scraping = self._scraping, None
            metrics = {"metrics": scraping.end()} if scraping is not None else {}
            return {**self._deployment().observe(), **metrics}

    def trouble(self) -> str | None:
        """What has happened to it that spoils a load; None while all is well, or where nobody can say."""
        deployment = self.deployment
        return deployment.trouble() if isinstance(deployment, Watchful) else None

    def stop_scraping(self) -> None:
        """Nobody wants to know any more what its servers count."""
        scraping, self._scraping = self._scraping, None
        if scraping is not None:
            scraping.abandon()

    def take_down(self) -> None:
        """Once nobody asks it anything; raises what its deployment raises."""
        if self.deployment is not None:
            with self._calls:
                self.stop_scraping()
                self.deployment.down()

    def told_failure(self, failure: LlmdError) -> LlmdError:
        """The whole story for the first who asks, one line for the others."""
        if not self.told:
            self.told = True
            return failure
        first_line = (str(failure).splitlines() or [repr(failure)])[0]
        return StandupError(f"stack {self.spec.key} did not come up for an earlier case: {first_line}")

    def record(self) -> dict[str, Any]:
        """What there is to say of it: key, seconds up and down, uses, error."""
        return {
            "key": self.spec.key,
            "standup_s": self.standup_s,
            "teardown_s": self.teardown_s,
            "uses": self.uses,
            "error": self.error,
        }

    def _deployment(self) -> Deployment:
        if self.deployment is None:
            raise StandupError(f"stack {self.spec.key}: it is down, the run is ending")
        return self.deployment
