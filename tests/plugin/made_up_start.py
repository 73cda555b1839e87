"""A way to deploy for tests, in the place of ``standalone``: the simulator on this machine answers, and the log of the
engine's start is the file ``engine.log``, which says what the test made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.stacks.kubernetes.startup_logs import compared
from pytest_llmdbench.stacks.local import LocalDeployment


class MadeUpStart(LocalDeployment):
    def __init__(self, spec: Any, say: Any) -> None:
        super().__init__(spec, say)
        self._of = (spec.key, Scenario.model_validate(spec.config))

    def up(self) -> Any:
        endpoint = super().up()
        fact = compared(*self._of, {"server": "engine.log"}, self._say)
        return replace(endpoint, facts={**endpoint.facts, **fact})


def pytest_llmdbench_deployments() -> Mapping[str, Any]:
    return {"standalone": MadeUpStart}
