"""What to deploy: the model of a scenario file. Its defaults are documented here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, field_validator, model_validator

from pytest_llmdbench.declared.cluster import Accelerator, Existing, Expose, HuggingFace, Manifest, Place, Storage
from pytest_llmdbench.declared.engine import Engine, Vllm
from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.pods import Pods, Quantity
from pytest_llmdbench.declared.router import Charts, Further, Router, Sidecar
from pytest_llmdbench.declared.strict import Strict, WrongKey
from pytest_llmdbench.errors import DeclarationError, LlmdError
from pytest_llmdbench.simulator.config import SimulatorConfig

_LOCAL: Final = "local"
#: Sections that inherit from others what they do not say.
_INHERITING: Final = ("vllm", "pods", "decode", "prefill")


class Model(Strict):
    """The model that the stack serves."""

    name: Annotated[str, Field(min_length=1)] = Field(
        default="llmdbench/simulated",
        description="Name that requests carry and the engine serves: one of the Hugging Face hub, or for a local vLLM "
        "a folder. A local vLLM serves a name that begins with 'llmdbench/' by a tiny model made on the spot.",
    )
    tokenizer: str | None = Field(
        default=None,
        description="Tokenizer that harnesses count tokens with: a name or a local folder. Default: the model's own; "
        "for the simulator a small one that needs no network. What begins with '/', '.' or '~' is a folder.",
    )

    @field_validator("tokenizer")
    @classmethod
    def _whole_path(cls, value: str | None) -> str | None:
        """Load programs are started in a folder of their own, where a relative path leads nowhere."""
        return str(Path(value).expanduser().absolute()) if value and value.startswith((".", "~")) else value


class Load(Strict):
    """How much of a workload this stack is given."""

    size: Literal["full", "quick"] = Field(
        default="full",
        description="'full' sends a workload as it is written; 'quick' applies the 'quick' overrides in its header: "
        "the same kind of load, scaled down to about a minute.",
    )
    where: Literal["auto", "here", "cluster"] = Field(
        default="auto",
        description="'here': the load program runs on this machine; 'cluster': in pods beside the stack; 'auto': in "
        "the cluster where the stack is deployed by this run or found there, else here.",
    )
    parallelism: PositiveInt = Field(
        default=1, description="Pods that send the workload, each as it is: two pods send twice the load."
    )
    scrape_s: Annotated[float, Field(ge=0)] = Field(
        default=5.0,
        description="Seconds between two readings of the metrics of the stack's servers during a load; 0: none.",
    )
    image: str | None = Field(
        default=None, description="Image of the load programs ('make image-build image-push'); needed in a cluster."
    )
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When that image is pulled."
    )
    cpu: Quantity = Field(default="4", description="Processors of one load pod, at least.")
    memory: Quantity = Field(default="8Gi", description="Memory of one load pod.")
    node_selector: Mapping[str, str] = Field(default_factory=dict, description="Labels that its node must have.")
    tolerations: tuple[Mapping[str, Any], ...] = Field(default=(), description="As Kubernetes writes them.")
    results_pvc: str | None = Field(
        default=None, description="A claim that results are written to as well, for long runs; one that exists."
    )


class Sanity(Strict):
    """What must hold before any objective is looked at."""

    max_error_rate: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="Share of failed requests (0..1) above which a run fails whatever its SLO says."
    )


class Timeouts(Strict):
    """How long to wait before giving up, in seconds."""

    standup_s: PositiveFloat | None = Field(
        default=None,
        description="From starting a stack to its first completion. Default: 60 for a local simulator, 600 for a local "
        "vLLM, 2400 on a cluster; what cannot get better ends it at once.",
    )
    teardown_s: PositiveFloat = Field(default=180.0, description="Until nothing of a stack is left in the cluster.")
    lease_s: Annotated[float, Field(ge=5)] = Field(
        default=60.0, description="In a cluster: how long after the last sign of life of a run all of it is deleted."
    )
    run_s: PositiveFloat = Field(
        default=24 * 3600.0, description="In a cluster: how long a run may take in all; then all of it is deleted."
    )
    load_s: PositiveFloat | None = Field(
        default=None, description="One run of a load. Default: three times its expected duration plus two minutes."
    )


class Scenario(Strict):
    """A scenario: what to deploy, and what is good enough on it."""

    description: str = Field(default="", description="One line for people.")
    deploy: str = Field(
        default=_LOCAL,
        description="The way to deploy: 'local' starts the engine on this machine; on a cluster 'standalone' and "
        "'modelservice'; 'endpoint' for what is there already.",
    )
    model: Model = Field(default_factory=Model, description="The model that the stack serves.")
    simulator: SimulatorConfig = Field(
        default_factory=SimulatorConfig, description="The embedded simulator: docs/simulator.md tells what it models."
    )
    cluster: Place = Field(default_factory=Place, description="The cluster and the namespace.")
    accelerator: Accelerator = Field(default_factory=Accelerator, description="The GPUs that serving pods ask for.")
    engine: Engine = Field(default_factory=Engine, description="The program that serves the model.")
    vllm: Vllm = Field(default_factory=Vllm, description="Flags of vLLM, for all roles.")
    pods: Pods = Field(default_factory=Pods, description="Serving pods; of standalone, and what roles inherit.")
    decode: Pods = Field(default_factory=Pods, description="modelservice: pods that write answers.")
    prefill: Pods = Field(
        default_factory=lambda: Pods(replicas=0), description="modelservice: pods that read prompts, if any."
    )
    also: tuple[Further, ...] = Field(default=(), description="modelservice: further models behind the same gateway.")
    sidecar: Sidecar = Field(default_factory=Sidecar, description="modelservice: the routing sidecar of decode pods.")
    router: Router = Field(default_factory=Router, description="modelservice: the way from a client to the pods.")
    charts: Charts = Field(default_factory=Charts, description="modelservice: the Helm charts and their versions.")
    storage: Storage = Field(default_factory=Storage, description="Where the model's weights are read from.")
    huggingface: HuggingFace = Field(default_factory=HuggingFace, description="The token of gated models.")
    expose: Expose = Field(default_factory=Expose, description="What is made around the service.")
    manifests: tuple[Manifest, ...] = Field(
        default=(),
        description="Further objects of the stack; texts in them are Jinja2 templates, sandboxed, that know "
        "stack.name, stack.service, stack.namespace, stack.model and stack.labels.",
    )
    endpoint: Existing = Field(default_factory=Existing, description="deploy: endpoint: what is there already.")
    harness: str = Field(
        default="inference-perf", description="The load program of benchmarks that do not name one themselves."
    )
    load: Load = Field(default_factory=Load, description="How much of a workload this stack is given.")
    sanity: Sanity = Field(default_factory=Sanity, description="What must hold before any objective is looked at.")
    slo: tuple[str, ...] = Field(
        default=(), description="Objectives, as in 'ttft.p99 <= 500ms'. Workload, test and option are nearer and win."
    )
    timeouts: Timeouts = Field(default_factory=Timeouts, description="How long to wait before giving up.")

    @model_validator(mode="before")
    @classmethod
    def _local_is_simulated(cls, data: Any) -> Any:
        """Without a word on the engine it is the simulator on this machine, which any can run."""
        engine = data.get("engine") or {} if isinstance(data, Mapping) else None
        if isinstance(engine, Mapping) and "kind" not in engine and data.get("deploy", _LOCAL) == _LOCAL:
            return {**data, "engine": {**engine, "kind": "simulator"}}
        return data

    @model_validator(mode="before")
    @classmethod
    def _simulator_like_a_gpu(cls, data: Any) -> Any:
        simulator = data.get("simulator") if isinstance(data, Mapping) else None
        like = simulator.get("like") if isinstance(simulator, Mapping) else None
        if not isinstance(simulator, Mapping) or not isinstance(like, str) or not like:
            return data
        from pytest_llmdbench.capacity.models import UnknownModelError
        from pytest_llmdbench.capacity.simulated import settings_like

        try:
            model, flags = Model.model_validate(data.get("model", {})), Vllm.model_validate(data.get("vllm", {}))
        except ValidationError:  # the fields say it themselves, with their place
            return data
        try:
            return {**data, "simulator": settings_like(like, model.name, flags.model_dump(), simulator)}
        except UnknownModelError as error:
            raise WrongKey("model.name", str(error).removeprefix("model.name: ")) from error
        except LlmdError as error:
            raise WrongKey("simulator.like", str(error)) from error

    @model_validator(mode="after")
    def _local_engines(self) -> Scenario:
        if self.deploy == _LOCAL and self.engine.kind not in ("simulator", "vllm"):
            raise ValueError(
                f"engine.kind: '{self.engine.kind}' runs on a cluster alone; on this machine say simulator or vllm"
            )
        return self

    @model_validator(mode="after")
    def _one_name_for_the_model(self) -> Scenario:
        if self.simulator.model != SimulatorConfig().model:
            raise ValueError(
                f"simulator.model: the simulator serves model.name; say model: {{name: {self.simulator.model}}}"
            )
        return self

    @model_validator(mode="after")
    def _several_pods_are_in_a_cluster(self) -> Scenario:
        if self.load.parallelism > 1 and not self.load_in_cluster:
            raise ValueError(
                f"load.parallelism: {self.load.parallelism} pods send a load side by side only where it runs in a "
                "cluster; this one runs on this machine"
            )
        return self

    def read_from(self, layers: Layers) -> None:
        """Note what ``simulator.like`` brought, and look for the folder of the tokenizer. Raises DeclarationError."""
        said = layers.tree.get("simulator") or {}
        if self.simulator.like:
            from pytest_llmdbench.capacity.simulated import SIZES, TIMES

            brought = [*TIMES, *(key for key in SIZES if key not in said)]
            origin = f"simulator.like: {self.simulator.like}"
            layers.origins |= {("simulator", key): origin for key in brought}
        folder = self.model.tokenizer
        if folder and folder.startswith("/") and not self.load_in_cluster and not Path(folder).is_dir():
            where = layers.origin(("model", "tokenizer"))
            raise DeclarationError(
                f"{where}: 'model.tokenizer': there is no folder {folder}; it is one with the files of a tokenizer, or "
                "a name of the Hugging Face hub, as in org/model"
            )

    def dump(self) -> dict[str, Any]:
        """This scenario as JSON-able data that reads back as the same one.

        Pods inherit by what is said and what is not, so there only what is said is written.
        """
        said = {name: getattr(self, name).model_dump(mode="json", exclude_unset=True) for name in _INHERITING}
        return self.model_dump(mode="json") | said

    @property
    def standup_s(self) -> float:
        """How long a standup may take, in seconds."""
        local = 600.0 if self.engine.kind == "vllm" else 60.0
        return self.timeouts.standup_s or (local if self.deploy == _LOCAL else 2400.0)

    @property
    def load_in_cluster(self) -> bool:
        """Whether the load runs in pods; else on this machine."""
        if self.load.where != "auto":
            return self.load.where == "cluster"
        found = self.deploy == "endpoint" and self.endpoint.stack is not None and self.load.image is not None
        return found or self.deploy in ("standalone", "modelservice")

    def role(self, name: Literal["pods", "decode", "prefill"]) -> Pods:
        """The pods of a role with all that they inherit; their ``vllm`` is complete."""
        own: Pods = getattr(self, name)
        data = self.pods.model_dump(exclude_unset=True) | own.model_dump(exclude_unset=True)
        if name == "prefill" and "replicas" not in own.model_fields_set:
            data["replicas"] = 0
        flags = (part.model_dump(exclude_unset=True) for part in (self.vllm, self.pods.vllm, own.vllm))
        return Pods.model_validate(data | {"vllm": {key: value for part in flags for key, value in part.items()}})
