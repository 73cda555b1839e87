"""``deploy: modelservice``: what stands in front of the pods, and the charts that make it all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from pytest_llmdbench.declared.pods import Quantity
from pytest_llmdbench.declared.secret_names import refuse_secrets
from pytest_llmdbench.declared.strict import Strict


class Chart(Strict):
    """One Helm chart."""

    chart: str = Field(description="Name in the repository, an oci:// address, or a local folder.")
    repository: str | None = Field(default=None, description="URL of the repository; not for oci:// and folders.")
    version: str | None = Field(default=None, description="Exact version; not for a local folder.")
    values: Mapping[str, Any] = Field(
        default_factory=dict, description="Values merged over those made from the scenario."
    )


class Charts(Strict):
    """The charts, pinned here and nowhere else."""

    infra: Chart = Field(
        default=Chart(
            chart="llm-d-infra",
            repository="https://llm-d-incubation.github.io/llm-d-infra/",
            version="v1.4.0",
        ),
        description="Gateway and its provider's parameters.",
    )
    router: Chart = Field(
        default=Chart(chart="oci://ghcr.io/llm-d/charts/llm-d-router-gateway", version="v0.10.0"),
        description="InferencePool and endpoint picker behind a Gateway.",
    )
    router_standalone: Chart = Field(
        default=Chart(chart="oci://ghcr.io/llm-d/charts/llm-d-router-standalone", version="v0.10.0"),
        description="InferencePool and endpoint picker with a proxy of its own ('epponly').",
    )
    modelservice: Chart = Field(
        default=Chart(
            chart="llm-d-modelservice",
            repository="https://llm-d-incubation.github.io/llm-d-modelservice/",
            version="v0.4.15",
        ),
        description="The serving pods.",
    )

    @model_validator(mode="before")
    @classmethod
    def _the_rest_as_pinned(cls, said: Any) -> Any:
        """Of a chart that is not named itself, what is not said is as pinned: values or a version alone will do."""
        if not isinstance(said, Mapping):
            return said
        pinned = {name: field.default.model_dump() for name, field in cls.model_fields.items()}
        return {
            name: {**pinned[name], **one} if name in pinned and isinstance(one, Mapping) and "chart" not in one else one
            for name, one in said.items()
        }


class Picker(Strict):
    """The endpoint picker: it chooses the pod for each request."""

    image: str | None = Field(default=None, description="Default: the chart's own.")
    replicas: PositiveInt = Field(default=1, description="Copies; more than one elect a leader.")
    plugins: Mapping[str, Any] | None = Field(
        default=None,
        description="EndpointPickerConfig (plugins, schedulingProfiles, ...). Default: the chart's own plugins.",
    )
    verbosity: NonNegativeInt = Field(default=1, description="How much it logs.")
    env: Mapping[str, Annotated[str, Field(coerce_numbers_to_str=True)]] = Field(
        default_factory=dict, description="Environment variables."
    )
    cpu: Quantity | None = Field(default=None, description="Processors. Default: the chart's own.")
    memory: Quantity | None = Field(default=None, description="Memory. Default: the chart's own.")

    @field_validator("env")
    @classmethod
    def _no_secrets(cls, env: Mapping[str, str]) -> Mapping[str, str]:
        return refuse_secrets(env, "the token of gated models comes from the Secret that huggingface.secret names")


class Router(Strict):
    """The way from a client to the serving pods."""

    gateway: Literal["epponly", "istio", "agentgateway", "gke", "none"] = Field(
        default="epponly",
        description="'epponly': a proxy beside the endpoint picker, no Gateway; 'istio', 'agentgateway', 'gke': a "
        "Gateway of that provider, which the cluster must have; 'none': a Service straight to the pods, no picker.",
    )
    picker: Picker = Field(default_factory=Picker, description="The endpoint picker.")
    failure_mode: Literal["FailOpen", "FailClose"] = Field(
        default="FailOpen", description="What happens to requests while the picker is away."
    )
    latency_predictor: bool = Field(default=False, description="Sidecars that learn and predict latency.")
    tokenizer: bool = Field(default=False, description="A tokenizer beside the picker, for precise prefix routing.")
    request_timeout_s: NonNegativeInt = Field(
        default=300, description="Longest request through a Gateway, in seconds; 0 for no limit."
    )


class Sidecar(Strict):
    """The routing sidecar in decode pods: it asks a prefill pod first (P/D disaggregation)."""

    enabled: bool = Field(default=True, description="Whether decode pods have it.")
    image: str = Field(
        default="ghcr.io/llm-d/llm-d-router-disagg-sidecar:v0.10.0", description="Of the same version as the router."
    )
    connector: str = Field(default="nixlv2", description="How the KV cache is handed over.")
    port: PositiveInt = Field(default=8200, description="Port of the engine behind it.")


class Further(Strict):
    """One more model behind the same gateway, on a path of its own."""

    name: str = Field(pattern=r"^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$", description="Its path and part of its names.")
    model: str = Field(description="Name of the model.")
    replicas: NonNegativeInt = Field(default=1, description="Copies of the server.")
    cpu: Quantity | None = Field(default=None, description="Processors of one pod. Default: as the first model's.")
    memory: Quantity | None = Field(default=None, description="Memory of one pod. Default: as the first model's.")
    tensor_parallel_size: PositiveInt = Field(default=1, description="GPUs that share each layer.")
