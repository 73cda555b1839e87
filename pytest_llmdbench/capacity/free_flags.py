"""Arguments of ``vllm serve`` that are given as they are: what of them is counted, and what nobody here can count."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class FreeFlags:
    """``said``: fields of a Configuration, and ``quantization``; ``unread``: others that may change what fits."""

    said: Mapping[str, Any]
    unread: tuple[str, ...]


_SHORT: Final[Mapping[str, str]] = {
    "-tp": "--tensor-parallel-size",
    "-pp": "--pipeline-parallel-size",
    "-dp": "--data-parallel-size",
    "-ep": "--enable-expert-parallel",
    "-q": "--quantization",
}
#: vLLM's factors: small letters are decimal.
_FACTORS: Final[Mapping[str, int]] = {
    "": 1, "k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30,
}  # fmt: skip


def whole_number(text: str) -> int:
    """``16384``, ``16k``, ``16K`` (1024 each) or ``25.6k``, as vLLM reads sizes. Raises ValueError."""
    found = re.fullmatch(r"(-?\d{1,30}(?:\.\d{1,9})?)([kmgKMG]?)", text.strip())
    if found is None or ("." in found[1] and not found[2]):
        raise ValueError(f"'{text:.40}' is no whole number; these are like 16384, or 16k")
    return int(float(found[1]) * _FACTORS[found[2]]) if "." in found[1] else int(found[1]) * _FACTORS[found[2]]


_VALUES: Final[Mapping[str, Callable[[str], Any]]] = {
    "--tensor-parallel-size": whole_number,
    "--pipeline-parallel-size": whole_number,
    "--data-parallel-size": whole_number,
    "--max-model-len": whole_number,
    "--max-num-seqs": whole_number,
    "--max-num-batched-tokens": whole_number,
    "--block-size": whole_number,
    "--gpu-memory-utilization": float,
    "--cpu-offload-gb": float,
    "--dtype": str,
    "--kv-cache-dtype": str,
    "--quantization": str,
}
_SWITCHES: Final = frozenset(
    {"--enable-expert-parallel", "--enforce-eager", "--enable-chunked-prefill", "--enable-prefix-caching"}
)
#: Flags that leave the memory of a GPU as it is.
_HARMLESS: Final = re.compile(
    r"--(?:model|host|port|api-key|served-model-name|trust-remote-code|chat-template|tool-|enable-auto-tool-choice"
    r"|reasoning-parser|tokenizer|download-dir|load-format|config$|config-format|hf-token|revision|code-revision|seed"
    r"|disable-log|enable-log|max-log|uvicorn|disable-uvicorn|root-path|ssl-|allow|middleware|response-role|lora-modules"
    r"|prefix-caching-hash-algo|swap-space|preemption-mode|schedul|generation-config"
    r"|override-generation-config|enable-request-id|enable-server-load|otlp|collect-detailed|show-hidden-metrics"
    r"|kv-events-config|max-seq-len-to-capture|guided-decoding|structured-outputs|distributed-|ray-|data-parallel-"
    r"|node-rank|nnodes|master-|api-server-count|async-scheduling|stream-interval|disable-cascade-attn|return-tokens"
    r"|enable-force-include-usage|enable-prompt-tokens-details|shutdown-timeout|long-prefill-token-threshold"
    r"|max-num-partial-prefills|max-long-partial-prefills|mm-processor-cache|headless|use-tqdm-on-load|h11-|safetensors-)"
)
#: Flags that keep vLLM from giving layers with a window a cache of their own.
_NOT_HYBRID: Final = frozenset({"--kv-transfer-config", "--disable-hybrid-kv-cache-manager"})
#: vLLM then takes the longest that fits.
_FITTING: Final = ("auto", "-1")


def read_free(arguments: Sequence[str]) -> FreeFlags:
    """What arguments like ``--max-model-len=8192`` or ``-tp 2`` say; the last of a flag counts, as in vLLM.

    Raises:
        DeclarationError: a value that the flag cannot have.
    """
    said: dict[str, Any] = {}
    unread: dict[str, None] = {}
    for flag, value in _pairs(arguments):
        plain = f"--{flag[5:]}" if flag.startswith("--no-") else flag
        field = plain[2:].replace("-", "_")
        if plain in _SWITCHES:
            said[field] = plain == flag
        elif plain in _NOT_HYBRID:
            said["hybrid_kv"] = False
        elif plain == "--max-model-len" and value in _FITTING:
            unread[plain] = None
        elif plain in _VALUES:
            said[field] = _value(plain, value)
        elif not _HARMLESS.match(plain):
            unread[flag] = None
    return FreeFlags(said, tuple(unread))


def _value(flag: str, text: str | None) -> Any:
    try:
        return _VALUES[flag](text or "")
    except ValueError as error:
        raise DeclarationError(f"{flag}: '{(text or ''):.40}' is not possible: {error}") from error


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Flags with their first value, of those that have one."""
    flag, value = "", None
    for word in arguments:
        if not re.match(r"-{1,2}[A-Za-z]", word):
            value = value if value is not None else word
            continue
        if flag:
            yield flag, value
        name, equals, rest = word.partition("=")
        flag, value = _SHORT.get(name, name.replace("_", "-")), rest if equals else None
    if flag:
        yield flag, value
