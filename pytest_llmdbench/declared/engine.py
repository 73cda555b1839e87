"""What serves the model: the engine's image, and the flags it is started with, each declared in one place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from pytest_llmdbench.declared.strict import Strict

#: vLLM flags that take ``--x`` and ``--no-x`` and no value.
_SWITCHES = ("enable_prefix_caching", "enable_chunked_prefill", "enable_expert_parallel", "enforce_eager")


class Vllm(Strict):
    """Flags of ``vllm serve``, by their own names. What is not said here is left to vLLM."""

    tensor_parallel_size: PositiveInt = Field(default=1, description="GPUs that share each layer.")
    pipeline_parallel_size: PositiveInt = Field(default=1, description="Groups of layers, one after the other.")
    data_parallel_size: PositiveInt = Field(default=1, description="Copies of the model behind one server.")
    data_parallel_size_local: PositiveInt | None = Field(
        default=None, description="Copies in one pod; the others are in the replica's other pods. Default: all of them."
    )
    enable_expert_parallel: bool | None = Field(default=None, description="Spread experts over all GPUs (wide EP).")
    max_model_len: PositiveInt | None = Field(default=None, description="Longest prompt and answer together, tokens.")
    max_num_seqs: PositiveInt | None = Field(default=None, description="Requests in one batch.")
    max_num_batched_tokens: PositiveInt | None = Field(default=None, description="Tokens in one step.")
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Share of the GPU's memory that vLLM takes (0..1)."
    )
    block_size: PositiveInt | None = Field(default=None, description="Tokens in a block of the KV cache.")
    dtype: str | None = Field(default=None, description="Type of the weights in memory, as in bfloat16.")
    quantization: str | None = Field(default=None, description="How weights are quantized, as in fp8.")
    kv_cache_dtype: str | None = Field(default=None, description="Type of the KV cache, as in fp8.")
    load_format: str | None = Field(default=None, description="How weights are loaded, as in safetensors or dummy.")
    enable_prefix_caching: bool | None = Field(default=None, description="Keep the KV cache of shared prefixes.")
    enable_chunked_prefill: bool | None = Field(default=None, description="Cut long prompts into several steps.")
    enforce_eager: bool | None = Field(default=None, description="No CUDA graphs: a quick start, slower steps.")
    prefix_caching_hash_algo: str | None = Field(default=None, description="Hash of cached blocks, as in sha256_cbor.")
    kv_transfer_config: Mapping[str, Any] | None = Field(
        default=None, description="KV connector, as in {kv_connector: NixlConnector, kv_role: kv_both}."
    )
    kv_events_config: Mapping[str, Any] | None = Field(default=None, description="Where KV events are published.")
    extra_args: tuple[str, ...] = Field(default=(), description="Further arguments, as they are.")

    @property
    def gpus(self) -> int:
        """GPUs of one replica: tensor x pipeline x data parallel."""
        return self.tensor_parallel_size * self.pipeline_parallel_size * self.data_parallel_size

    def flags(self) -> dict[str, str | None]:
        """Flag -> value, in the order of the fields; None for a flag that takes no value.

        Parallelism of 1 is vLLM's default and is not said. This is the only place where a flag is rendered.
        """
        made: dict[str, str | None] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is None or name == "extra_args" or (name.endswith("_parallel_size") and value == 1):
                continue
            word = name.replace("_", "-")
            if name in _SWITCHES:
                made[f"--{word}" if value else f"--no-{word}"] = None
            else:
                made[f"--{word}"] = json.dumps(value, sort_keys=True) if isinstance(value, Mapping) else str(value)
        return made

    def args(self) -> list[str]:
        """The same as a list of arguments: ``--max-model-len=4096``; those of ``extra_args`` last."""
        return [flag if value is None else f"{flag}={value}" for flag, value in self.flags().items()] + [
            *self.extra_args
        ]


class Engine(Strict):
    """The program that serves the model."""

    kind: Literal["vllm", "llm-d-inference-sim", "simulator"] = Field(
        default="vllm",
        description="'vllm'; 'llm-d-inference-sim', the llm-d project's simulator, which takes the same flags; or "
        "'simulator', the one of this project, which takes its settings from 'simulator:' and is the default for "
        "'deploy: local'.",
    )
    image: str = Field(default="docker.io/vllm/vllm-openai:v0.26.0", description="The image that pods run.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When the image is pulled."
    )
    port: PositiveInt = Field(default=8000, description="The port that the engine listens on.")
