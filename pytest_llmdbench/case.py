"""A case: a stack, a load, and how often it is run; one pytest item. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.planned_load import PlannedLoad
from pytest_llmdbench.planned_stack import PlannedStack
from pytest_llmdbench.repeats import ONCE, Repeats


@dataclass(frozen=True, eq=False)
class Case:
    """What is good enough is not part of it: that is asked of each test, see :mod:`.planned_slo`."""

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
        return f"{self.stack.spec.key}-{self.load.id}"

    def check_pods(self) -> None:
        """Raise DeclarationError where the harness cannot run as the load of this stack does: here, or in its pods."""
        if self.load.in_pods:
            try:
                self.load.in_pods.check_pods(self.load.profile, self.pods, self.stack.scenario.load.image)
            except DeclarationError as error:
                raise DeclarationError(f"{self.id}: {error}") from error
