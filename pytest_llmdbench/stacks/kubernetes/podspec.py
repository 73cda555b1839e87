"""The pod that serves: the engine's command, flags, probes, resources and mounts. Each is made here and once. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytest_llmdbench.declared.pods import Pods
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.stacks.kubernetes.names import Names

#: The engine's container, as llm-d calls it.
CONTAINER: Final = "vllm"
#: Where the claim that holds models is mounted, read-only.
MODELS: Final = "/model-cache"
_SIMULATOR: Final = "/etc/llmdbench"
_HUB_CACHE: Final = "/tmp/huggingface"  # noqa: S108 - in the pod


def model_path(scenario: Scenario) -> str:
    """The model's folder inside the claim."""
    return scenario.storage.path or f"models/{scenario.model.name}"


def arguments(scenario: Scenario, pods: Pods, port: int) -> list[str]:
    """Everything the engine is started with, model and port first."""
    name, engine = scenario.model.name, scenario.engine.kind
    if engine == "simulator":
        return [f"--config={_SIMULATOR}/simulator.json", f"--model={name}", "--host=0.0.0.0", f"--port={port}"]
    source = f"{MODELS}/{model_path(scenario)}" if scenario.storage.pvc else name
    model = [source] if engine == "vllm" else [f"--model={source}"]
    return [*model, f"--served-model-name={name}", f"--port={port}", *pods.vllm.args()]


def flags_of(words: Sequence[str]) -> dict[str, str | None]:
    """Flag -> value of a command line, however it is written: ``--x=1``, ``--x 1``, ``--x``."""
    found: dict[str, str | None] = {}
    last: str | None = None
    for word in words:
        if word.startswith("-"):
            flag, given, value = word.partition("=")
            found[flag] = value if given else None
            last = None if given else flag
        else:
            if last is not None:
                found[last] = word
            last = None
    return found


def container(scenario: Scenario, pods: Pods, port: int) -> dict[str, Any]:
    """The engine's container, as a pod spec or a chart's values take it."""
    made: dict[str, Any] = {
        "name": CONTAINER,
        "image": scenario.engine.image,
        "imagePullPolicy": scenario.engine.pull_policy,
        "args": arguments(scenario, pods, port),
        "env": environment(scenario, pods),
        "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}],
        "resources": resources(scenario, pods),
        "volumeMounts": [
            *([{"name": "models", "mountPath": MODELS, "readOnly": True}] if scenario.storage.pvc else []),
            *([{"name": "shm", "mountPath": "/dev/shm"}] if pods.shm != "0" else []),  # noqa: S108 - in the pod
            *([{"name": "simulator", "mountPath": _SIMULATOR}] if scenario.engine.kind == "simulator" else []),
            *({"name": one.name, "mountPath": one.mount_path, "readOnly": one.read_only} for one in pods.volumes),
        ],
        **probes(scenario, pods),
    }
    command = pods.command or _COMMANDS.get(scenario.engine.kind)
    if command:
        made["command"] = list(command)
    if pods.capabilities or pods.run_as_root:
        made["securityContext"] = {
            **({"capabilities": {"add": list(pods.capabilities)}} if pods.capabilities else {}),
            **({"runAsUser": 0} if pods.run_as_root else {}),
        }
    return made


#: llm-d-inference-sim's image starts itself.
_COMMANDS: Final = {"vllm": ("vllm", "serve"), "simulator": ("python3", "-m", "pytest_llmdbench.simulator")}


def environment(scenario: Scenario, pods: Pods) -> list[dict[str, Any]]:
    """Environment of the engine; tokens only as references to Secrets."""
    hub = scenario.huggingface
    made: list[dict[str, Any]] = []
    if scenario.engine.kind != "simulator":
        made.append(
            {
                "name": "HF_TOKEN",
                "valueFrom": {
                    "secretKeyRef": {"name": hub.secret, "key": hub.key, "optional": not hub.required},
                },
            }
        )
    if scenario.engine.kind == "vllm":
        made.append({"name": "HF_HOME", "value": _HUB_CACHE})
        # Else vLLM offers no way to forget its caches, and each load would find those of the one before.
        made.append({"name": "VLLM_SERVER_DEV_MODE", "value": "1"})
    connector = pods.vllm.kv_transfer_config or {}
    if "Nixl" in str(connector.get("kv_connector")):
        # The other role's pods fetch the KV cache from this pod's own address.
        made.append({"name": "VLLM_NIXL_SIDE_CHANNEL_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}})
        made.append({"name": "VLLM_NIXL_SIDE_CHANNEL_PORT", "value": "5557"})
    made += [{"name": name, "value": value} for name, value in pods.env.items()]
    made += [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": one.secret, "key": one.key}}}
        for name, one in pods.env_from_secrets.items()
    ]
    # What the scenario says itself wins over what is made for it; the order is kept.
    return list({one["name"]: one for one in made}.values())


def gpus(scenario: Scenario, pods: Pods) -> int:
    """GPUs of one pod: as said, or what the parallelism needs."""
    if pods.gpus is not None:
        return pods.gpus
    if scenario.engine.kind != "vllm":
        return 0
    flags = pods.vllm
    if pods.workers == 1:
        return flags.gpus
    local = flags.data_parallel_size_local
    whole = flags.tensor_parallel_size * local if local else flags.gpus // pods.workers
    return max(1, whole)


def resources(scenario: Scenario, pods: Pods) -> dict[str, Any]:
    """Requests and limits, which are the same: a benchmark must not depend on what neighbours leave."""
    amounts = {"cpu": pods.cpu, "memory": pods.memory, **pods.resources}
    if pods.ephemeral_storage:
        amounts["ephemeral-storage"] = pods.ephemeral_storage
    if gpus(scenario, pods):
        amounts[scenario.accelerator.resource] = str(gpus(scenario, pods))
    return {"requests": amounts, "limits": amounts}


def probes(scenario: Scenario, pods: Pods) -> dict[str, Any]:
    """Startup as long as loading may take; then generous, for a saturated server is what a benchmark makes."""
    every = 5 if scenario.engine.kind == "vllm" else 1
    health = {"httpGet": {"path": "/health", "port": "http"}}
    return {
        "startupProbe": {**health, "periodSeconds": every, "failureThreshold": max(1, int(pods.startup_s / every))},
        "readinessProbe": {
            "httpGet": {"path": "/v1/models", "port": "http"},
            "periodSeconds": every,
            "timeoutSeconds": 10,
            "failureThreshold": 12,
        },
        "livenessProbe": {**health, "periodSeconds": 10, "timeoutSeconds": 15, "failureThreshold": 12},
    }


def volumes(scenario: Scenario, pods: Pods, names: Names) -> list[dict[str, Any]]:
    """The volumes that :func:`container` mounts."""
    made: list[dict[str, Any]] = []
    if scenario.storage.pvc:
        claim = {"claimName": scenario.storage.pvc, "readOnly": True}
        made.append({"name": "models", "persistentVolumeClaim": claim})
    if pods.shm != "0":
        made.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": pods.shm}})
    if scenario.engine.kind == "simulator":
        # Optional only in name: a node that misses it while all of a run is being deleted holds the pod for minutes.
        made.append({"name": "simulator", "configMap": {"name": names.name("simulator"), "optional": True}})
    return [*made, *({"name": one.name, **one.source()} for one in pods.volumes)]


def around(scenario: Scenario, pods: Pods) -> dict[str, Any]:
    """The rest of the pod spec: where it may run, and as whom."""
    selector = dict(pods.node_selector)
    if scenario.accelerator.product and gpus(scenario, pods):
        selector[scenario.accelerator.label] = scenario.accelerator.product
    secrets = [{"name": name} for name in scenario.cluster.image_pull_secrets]
    made: Mapping[str, Any] = {
        "nodeSelector": selector,
        "tolerations": [dict(one) for one in pods.tolerations],
        "affinity": dict(pods.affinity),
        "priorityClassName": pods.priority_class,
        "schedulerName": pods.scheduler,
        "runtimeClassName": pods.runtime_class,
        "serviceAccountName": pods.service_account,
        "imagePullSecrets": secrets,
    }
    return {key: value for key, value in made.items() if value}


def simulator_settings(scenario: Scenario, names: Names) -> list[dict[str, Any]]:
    """The ConfigMap that the project's simulator reads, where it is the engine."""
    if scenario.engine.kind != "simulator":
        return []
    settings = json.dumps(scenario.dump()["simulator"], sort_keys=True, default=list)
    metadata = names.metadata("simulator")
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"simulator.json": settings}},
    ]
