"""The values of the llm-d-modelservice chart: the pods of one model, made from the scenario. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.declared.pods import Pods
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.stacks.kubernetes import podspec
from pytest_llmdbench.stacks.kubernetes.names import RUN, STACK, Names
from pytest_llmdbench.stacks.kubernetes.ranks import with_ranks

#: Which release a pod belongs to: two models of one stack differ in nothing else.
RELEASE: Final = "llmdbench/release"
#: Set by the chart: ``decode`` or ``prefill``.
LLMD_ROLE: Final = "llm-d.ai/role"
#: The chart takes a command for any image; this image has one of its own that it does not know.
_INFERENCE_SIM: Final = ["/app/llm-d-inference-sim"]


@dataclass(frozen=True, slots=True)
class Served:
    """One model of the stack: its own release of pods and, where there is a picker, its own router.

    ``name`` is empty for the model that takes the load; ``scenario`` names this model and no other.
    """

    name: str
    scenario: Scenario
    decode: Pods
    prefill: Pods
    release: str
    router: str

    @property
    def port(self) -> int:
        """The port of its pods that clients and the picker use."""
        return self.scenario.engine.port

    @property
    def engine_ports(self) -> dict[str, int]:
        """The port of the engine itself, by role: behind a routing sidecar it is another one."""
        sidecar = self.scenario.sidecar
        return {"decode": sidecar.port if sidecar.enabled else self.port, "prefill": self.port}

    def roles(self) -> dict[str, Pods]:
        """Its pods by role, those roles that it has."""
        return {"decode": self.decode} | ({"prefill": self.prefill} if self.prefill.replicas else {})

    def pool(self, names: Names) -> dict[str, str]:
        """The labels of all its pods, and of no others."""
        return {RUN: names.run, STACK: names.stack, RELEASE: self.release}

    def selector(self, names: Names, role: str) -> dict[str, str]:
        """The labels of the pods of one role, and of no others."""
        return {**self.pool(names), LLMD_ROLE: role}

    def container(self, role: str) -> dict[str, Any]:
        """The engine's container in the pods of one role."""
        pods = self.roles()[role]
        port = self.engine_ports[role]
        made = podspec.container(self.scenario, with_local_ranks(self.scenario, pods), port)
        if self.scenario.engine.kind == "llm-d-inference-sim":
            made.setdefault("command", _INFERENCE_SIM)
        if pods.vllm.kv_events_config:
            # Topics name the pod by its address, as in kv@$(POD_IP):8000@model.
            address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
            made["env"] = [address, *(one for one in made["env"] if one["name"] != "POD_IP")]
        return with_ranks(made, pods) if needs_ranks(self.scenario, pods) else made


def needs_ranks(scenario: Scenario, pods: Pods) -> bool:
    """Whether the pods of a replica must be told their places; a command of the scenario's own sees to it itself."""
    return pods.workers > 1 and scenario.engine.kind == "vllm" and pods.command is None


def with_local_ranks(scenario: Scenario, pods: Pods) -> Pods:
    """The pods with their share of the data parallel copies said.

    Raises:
        DeclarationError: the copies cannot be shared out among the workers.
    """
    flags = pods.vllm
    if not needs_ranks(scenario, pods) or flags.data_parallel_size_local is not None:
        return pods
    if flags.data_parallel_size % pods.workers:
        raise DeclarationError(
            f"{pods.workers} workers share out {flags.data_parallel_size} data parallel copies: make "
            "vllm.data_parallel_size a multiple of workers, or say how to start the engine with 'command'"
        )
    local = flags.data_parallel_size // pods.workers
    return pods.model_copy(update={"vllm": flags.model_copy(update={"data_parallel_size_local": local})})


def modelservice_values(served: Served, names: Names) -> dict[str, Any]:
    """The values of one model's release. Raises DeclarationError for what the chart cannot give the roles apart."""
    scenario, storage = served.scenario, served.scenario.storage
    roles = served.roles()
    claim = f"pvc://{storage.pvc}/{podspec.model_path(scenario)}"
    made: dict[str, Any] = {
        "fullnameOverride": served.release,
        "multinode": any(pods.workers > 1 for pods in roles.values()),
        "modelArtifacts": {
            "name": scenario.model.name,
            "uri": claim if storage.pvc else f"hf://{scenario.model.name}",
            "mountPath": podspec.MODELS,
            "labels": {**_one(roles, "labels"), **names.labels, **served.pool(names)},
        },
        # What a pod gets is said in full; left to itself the chart counts GPUs by its own rule.
        "accelerator": {"type": "cpu"},
        "routing": {"servicePort": served.port, "proxy": _sidecar(scenario)},
        "decode": _role(served, names, "decode"),
        "prefill": _role(served, names, "prefill") if "prefill" in roles else {"create": False, "replicas": 0},
    }
    account = _one(roles, "service_account")
    if account is not None:
        made["serviceAccountOverride"] = account
    return made


def _role(served: Served, names: Names, role: str) -> dict[str, Any]:
    pods = served.roles()[role]
    scenario, flags = served.scenario, with_local_ranks(served.scenario, pods).vllm
    around = podspec.around(scenario, pods)
    around.pop("serviceAccountName", None)
    made: dict[str, Any] = {
        "create": True,
        "replicas": pods.replicas,
        "parallelism": {
            "tensor": flags.tensor_parallel_size,
            "data": flags.data_parallel_size,
            "dataLocal": flags.data_parallel_size_local or flags.data_parallel_size,
            "workers": pods.workers,
        },
        "nodeSelector": around.pop("nodeSelector", {}),
        "tolerations": around.pop("tolerations", []),
        # The chart has no keys of its own for these.
        "extraConfig": {**around, "automountServiceAccountToken": False},
        "containers": [{**served.container(role), "modelCommand": "custom", "mountModelVolume": False}],
        "volumes": podspec.volumes(scenario, pods, names),
        # Made apart from the chart, only where the cluster knows the kind.
        "monitoring": {"podmonitor": {"enabled": False}},
    }
    if pods.annotations:
        made["podAnnotations"] = dict(pods.annotations)
    if not any(one.workers > 1 for one in served.roles().values()):
        # GPUs are rarely there twice.
        made["strategy"] = {"type": "Recreate"}
    return made


def _sidecar(scenario: Scenario) -> dict[str, Any]:
    sidecar = scenario.sidecar
    made: dict[str, Any] = {"enabled": sidecar.enabled}
    if sidecar.enabled:
        made |= {
            "image": sidecar.image,
            "imagePullPolicy": scenario.engine.pull_policy,
            "targetPort": sidecar.port,
            "connector": sidecar.connector,
            # The chart's own is debug: a line or more for each request of the load.
            "zapLogLevel": "info",
        }
    return made


def _one(roles: Mapping[str, Pods], field: str) -> Any:
    """What all roles say of something that the chart has only once."""
    said = [getattr(pods, field) for pods in roles.values()]
    if any(one != said[0] for one in said):
        raise DeclarationError(
            f"decode.{field} and prefill.{field} differ, but the chart has one for both: say it once"
        )
    return said[0]
