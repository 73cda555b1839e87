"""Our own ways to deploy: what a scenario's ``deploy`` may say without any other plugin.

Each is imported when its first stack is stood up: to collect cases takes none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llmdbench.say import Say
    from pytest_llmdbench.stacks.deployment import Deployment, DeploymentFactory
    from pytest_llmdbench.stacks.kubernetes.session import KubernetesSession
    from pytest_llmdbench.stacks.spec import StackSpec


@dataclass(frozen=True)
class OwnWays:
    """``diagnostics`` tells a stack's folder for what happens to it, ``session`` what all in a cluster share."""

    diagnostics: Callable[[str], Path]
    session: Callable[[], KubernetesSession]

    def by_name(self) -> dict[str, DeploymentFactory]:
        """``deploy`` -> what makes the deployment of one stack."""
        kubernetes = dict.fromkeys(("standalone", "modelservice"), self._kubernetes)
        return {"local": self._local, **kubernetes, "endpoint": self._endpoint}

    def _local(self, spec: StackSpec, say: Say) -> Deployment:
        if spec.config["engine"]["kind"] == "vllm":
            from pytest_llmdbench.stacks.local_vllm import LocalVllm

            return LocalVllm(spec, say, self.diagnostics(spec.key))
        from pytest_llmdbench.stacks.local import LocalDeployment

        return LocalDeployment(spec, say)

    def _kubernetes(self, spec: StackSpec, say: Say) -> Deployment:
        from pytest_llmdbench.stacks.kubernetes.deployment import KubernetesDeployment

        return KubernetesDeployment(spec, say, self.session())

    def _endpoint(self, spec: StackSpec, say: Say) -> Deployment:
        from pytest_llmdbench.stacks.endpoint import EndpointDeployment

        return EndpointDeployment(spec, say, self.session())
