"""The pods that serve: how many, how large, where, with what around the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from pytest_llmdbench.declared.engine import Vllm
from pytest_llmdbench.declared.secret_names import refuse_secrets
from pytest_llmdbench.declared.strict import Strict

#: As Kubernetes writes amounts: ``16``, ``500m``, ``64Gi``.
Quantity = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$", coerce_numbers_to_str=True)]


class SecretKey(Strict):
    """One entry of a Secret: what an environment variable is taken from, inside the cluster."""

    secret: str = Field(description="Name of the Secret.")
    key: str = Field(description="Name of the entry in it.")


class Volume(Strict):
    """A volume of a serving pod: exactly one kind of source."""

    name: str = Field(description="Name of the volume.")
    mount_path: str = Field(description="Where the engine sees it.")
    read_only: bool = Field(default=False, description="Whether the engine may only read it.")
    pvc: str | None = Field(default=None, description="A PersistentVolumeClaim that exists.")
    config_map: str | None = Field(default=None, description="A ConfigMap that exists.")
    secret: str | None = Field(default=None, description="A Secret that exists.")
    empty_dir: Quantity | None = Field(default=None, description="Scratch space of at most this size.")
    host_path: str | None = Field(default=None, description="A folder of the node.")

    @model_validator(mode="after")
    def _one_source(self) -> Volume:
        sources = ("pvc", "config_map", "secret", "empty_dir", "host_path")
        if sum(getattr(self, name) is not None for name in sources) != 1:
            raise ValueError(f"volume {self.name!r} needs exactly one of {', '.join(sources)}")
        return self

    def source(self) -> dict[str, Any]:
        """The source as Kubernetes writes it."""
        if self.pvc is not None:
            return {"persistentVolumeClaim": {"claimName": self.pvc, "readOnly": self.read_only}}
        if self.config_map is not None:
            return {"configMap": {"name": self.config_map}}
        if self.secret is not None:
            return {"secret": {"secretName": self.secret}}
        if self.host_path is not None:
            return {"hostPath": {"path": self.host_path}}
        return {"emptyDir": {"sizeLimit": self.empty_dir}}


class Pods(Strict):
    """Serving pods. ``decode`` and ``prefill`` inherit what they do not say themselves from ``pods``."""

    replicas: NonNegativeInt = Field(default=1, description="Copies of the server.")
    workers: PositiveInt = Field(
        default=1, description="Pods of one replica; more than one makes it a LeaderWorkerSet (wide EP)."
    )
    gpus: NonNegativeInt | None = Field(
        default=None, description="GPUs of one pod. Default: what the parallelism needs; none for a simulator."
    )
    cpu: Quantity = Field(default="4", description="Processors of one pod, requested and at most.")
    memory: Quantity = Field(default="40Gi", description="Memory of one pod, requested and at most.")
    ephemeral_storage: Quantity | None = Field(default=None, description="Scratch disk of one pod.")
    resources: Mapping[str, Quantity] = Field(
        default_factory=dict, description="Further resources, as in {rdma/ib: 1}."
    )
    shm: Quantity = Field(default="16Gi", description="Shared memory at /dev/shm; 0 for none.")
    env: Mapping[str, Annotated[str, Field(coerce_numbers_to_str=True)]] = Field(
        default_factory=dict, description="Environment variables. Never a token: see env_from_secrets."
    )
    env_from_secrets: Mapping[str, SecretKey] = Field(
        default_factory=dict, description="Environment variables from Secrets: {NAME: {secret: ..., key: ...}}."
    )
    command: tuple[str, ...] | None = Field(
        default=None, description="What to run in place of the engine's own command; the flags follow it."
    )
    volumes: tuple[Volume, ...] = Field(default=(), description="Further volumes.")
    node_selector: Mapping[str, str] = Field(default_factory=dict, description="Labels that a node must have.")
    tolerations: tuple[Mapping[str, Any], ...] = Field(default=(), description="As Kubernetes writes them.")
    affinity: Mapping[str, Any] = Field(default_factory=dict, description="As Kubernetes writes it.")
    capabilities: tuple[str, ...] = Field(default=(), description="Linux capabilities to add, as in IPC_LOCK.")
    run_as_root: bool = Field(default=False, description="Run as user 0, which some RDMA set-ups need.")
    priority_class: str | None = Field(default=None, description="PriorityClass of the pods.")
    scheduler: str | None = Field(default=None, description="Scheduler of the pods.")
    runtime_class: str | None = Field(default=None, description="RuntimeClass of the pods.")
    service_account: str | None = Field(default=None, description="ServiceAccount of the pods.")
    labels: Mapping[str, str] = Field(default_factory=dict, description="Further labels of the pods.")
    annotations: Mapping[str, str] = Field(default_factory=dict, description="Annotations of the pods.")
    startup_s: PositiveFloat = Field(
        default=1800.0, description="How long the engine may take to load before Kubernetes restarts it, in seconds."
    )
    vllm: Vllm = Field(default_factory=Vllm, description="Flags of this role, over those of 'vllm:'.")

    @field_validator("env")
    @classmethod
    def _no_secrets(cls, env: Mapping[str, str]) -> Mapping[str, str]:
        return refuse_secrets(env, "take it from a Secret of the cluster with env_from_secrets")
