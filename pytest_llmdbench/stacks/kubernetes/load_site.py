"""Where in a cluster a load runs, as data that travels with the endpoint to whoever runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.kubernetes.names import Names

if TYPE_CHECKING:
    from pytest_llmdbench.declared.scenario import Scenario
    from pytest_llmdbench.stacks.kubernetes.cluster import Cluster


@dataclass(frozen=True, slots=True)
class LoadSite:
    """A place for load pods: the cluster, the names and owner of the stack, and what each pod is given.

    ``cpu`` and ``memory`` are amounts as Kubernetes writes them; ``parallelism`` is the number of pods, each of which
    sends the whole workload. ``token_secret`` and ``token_key`` name the entry with the token of gated tokenizers; it
    never leaves the cluster. ``results_pvc`` is a claim that results are written to as well.
    """

    context: str | None
    namespace: str
    run: str
    stack: str
    owner: Mapping[str, Any] | None
    image: str
    pull_policy: str
    pull_secrets: tuple[str, ...]
    cpu: str
    memory: str
    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, Any], ...]
    parallelism: int
    token_secret: str
    token_key: str
    results_pvc: str | None

    @classmethod
    def of(cls, scenario: Scenario, cluster: Cluster | None, names: Names) -> LoadSite:
        """The site that a scenario asks for, beside one of its stacks; ``cluster`` is None where it is only shown.

        Raises StandupError if the scenario names no image.
        """
        load = scenario.load
        if load.image is None:
            raise StandupError(
                "load.image is not set: a load in the cluster needs the image of the load programs "
                "('make image-build image-push'); with load.where: here it runs on this machine"
            )
        return cls(
            context=cluster.context if cluster else None,
            namespace=names.namespace,
            run=names.run,
            stack=names.stack,
            owner=names.owner,
            image=load.image,
            pull_policy=load.pull_policy,
            pull_secrets=scenario.cluster.image_pull_secrets,
            cpu=load.cpu,
            memory=load.memory,
            node_selector=dict(load.node_selector),
            tolerations=tuple(dict(one) for one in load.tolerations),
            parallelism=load.parallelism,
            token_secret=scenario.huggingface.secret,
            token_key=scenario.huggingface.key,
            results_pvc=load.results_pvc,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LoadSite:
        """What :meth:`to_json` made, after any journey."""
        lists = {name: tuple(data[name]) for name in ("pull_secrets", "tolerations")}
        return cls(**{**data, **lists})

    def to_json(self) -> dict[str, Any]:
        """As plain JSON-able data."""
        return asdict(self)

    @property
    def names(self) -> Names:
        """Names, labels and owner of what is made here."""
        return Names(self.run, self.stack, self.namespace, self.owner)

    @property
    def processors(self) -> int:
        """Whole processors of one pod, at least 1."""
        amount = float(self.cpu.removesuffix("m")) / (1000 if self.cpu.endswith("m") else 1)
        return max(1, int(amount))
