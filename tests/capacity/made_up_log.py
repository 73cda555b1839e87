"""A log that no engine wrote: the figures of one that somebody measured (Llama 3.1 8B on an H100, vLLM 0.19, a context
of 8192 tokens and 0.95 of the memory), in the words that vLLM has for them."""

from __future__ import annotations


def made_up_log(
    *, version: str | None = "0.19.0", kv_gib: float = 58.11, kv_tokens: int = 476_016, device: str | None = None
) -> str:
    """The lines on memory, the one that states the release, if there is one, and one that names the ``device``."""
    lines = [
        "10:00:00 [gpu_model_runner.py:3] Model loading took 14.99 GiB memory and 3.2 seconds",
        f"10:00:40 [gpu_worker.py:2] Available KV cache memory: {kv_gib:.2f} GiB",
        f"10:00:41 [kv_cache_utils.py:1] GPU KV cache size: {kv_tokens:,} tokens",
        f"10:00:41 [kv_cache_utils.py:2] Maximum concurrency for 8,192 tokens per request: {kv_tokens / 8192:.2f}x",
    ]
    if version is not None:
        stated = f"Initializing a V1 LLM engine (v{version}) with config: model='m', device_config=cuda"
        lines.insert(0, f"09:59:50 [core.py:1] {stated}")
    if device is not None:
        lines.append(f"10:00:45 [fused_moe.py:3] Using configuration from /v/E=8,N=512,device_name={device}.json")
    return "".join(f"(EngineCore pid=7) INFO 11-20 {line}\n" for line in lines)
