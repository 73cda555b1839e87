"""Where on Kubernetes a stack is put, and what it finds there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from pytest_llmdbench.declared.pods import Quantity
from pytest_llmdbench.declared.strict import Strict


class Place(Strict):
    """The cluster and the namespace."""

    context: str | None = Field(default=None, description="Context of the kubeconfig. Default: its current one.")
    namespace: str | None = Field(default=None, description="Default: the context's own, or 'default'.")
    create_namespace: bool = Field(
        default=False, description="Make the namespace if it is not there; it stays when the run is over."
    )
    image_pull_secrets: tuple[str, ...] = Field(default=(), description="Secrets to pull images with.")


class Accelerator(Strict):
    """The GPUs that serving pods ask for."""

    resource: str = Field(default="nvidia.com/gpu", description="Name of the resource that is a GPU.")
    label: str = Field(default="nvidia.com/gpu.product", description="Node label that names the product.")
    product: str | None = Field(
        default=None, description="Value of that label, as in NVIDIA-H100-80GB-HBM3. Default: any GPU."
    )
    price_per_hour: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None,
        description="Price of one GPU for an hour, in the currency that objectives on cost are in. Default: that of "
        "'product' in the price table, in its currency.",
    )
    prices: str | None = Field(
        default=None, description="A price table of your own, in place of the one that comes along: docs/cost.md."
    )
    gpus: PositiveInt | None = Field(
        default=None,
        description="GPUs of the whole stack, to count their cost. Default: those that are deployed; to be said where "
        "nobody else knows (endpoint, local).",
    )


class Storage(Strict):
    """Where the model's weights are read from."""

    pvc: str | None = Field(
        default=None,
        description="A PersistentVolumeClaim that holds models, made if it is not there, and kept. "
        "Default: the engine downloads the model itself, each time.",
    )
    size: Quantity = Field(default="300Gi", description="Size of the claim, if it has to be made.")
    storage_class: str | None = Field(default=None, description="Its class. Default: the cluster's.")
    access_mode: Literal["ReadWriteMany", "ReadWriteOnce", "ReadOnlyMany"] = Field(
        default="ReadWriteMany", description="How pods share it."
    )
    download: bool = Field(default=True, description="Whether a Job fills the claim first, if the model is not there.")
    path: str | None = Field(default=None, description="Folder of the model in the claim. Default: models/NAME.")


class HuggingFace(Strict):
    """The token that gated models need. It stays in its Secret: nothing else ever holds it."""

    secret: str = Field(default="llm-d-hf-token", description="Name of the Secret.")
    key: str = Field(default="HF_TOKEN", description="Name of the entry in it.")
    required: bool = Field(default=False, description="Whether to refuse to start without it (gated models).")


class Expose(Strict):
    """What is made around the service, where the cluster has it."""

    pod_monitor: bool = Field(default=True, description="A PodMonitor, where the cluster knows the kind.")
    scrape_s: int = Field(default=15, description="How often the PodMonitor scrapes, in seconds.")
    openshift_route: bool = Field(default=False, description="An OpenShift Route, where the cluster knows the kind.")


class Existing(Strict):
    """``deploy: endpoint``: what is benchmarked is there already. One of the two."""

    url: str | None = Field(default=None, description="Base URL, without /v1.")
    stack: str | None = Field(default=None, description="Name (or its beginning) of a service or pod in the namespace.")
    port: int | None = Field(default=None, description="Its port. Default: the first one.")


#: An object of Kubernetes; texts in it may be templates: ``{{ stack.service }}``.
Manifest = Annotated[Mapping[str, Any], Field(description="An object as Kubernetes writes it.")]
