"""The stack of a case as ``scenario.stack`` of a report: its serving pods, and what routes to them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Final, Literal

from pytest_llmdbench.declared.pods import Pods
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.results.benchmark_report.setting import NO_ACCELERATOR
from pytest_llmdbench.results.provenance import redact
from pytest_llmdbench.stacks.kubernetes.podspec import gpus

_Role = Literal["pods", "decode", "prefill"]
#: Keys whose values are secrets by their name: ``HF_TOKEN`` and ``api_key``, neither ``tokenizer`` nor ``max_tokens``.
_SECRET: Final = re.compile(
    r"(?i)(?:.*[._-])?(?:token|password|passwd|secret|api[_-]?key|access[_-]?key|credentials?|authorization)", re.DOTALL
)


def components(scenario: Scenario, our_version: str) -> list[dict[str, Any]]:
    """What the scenario deploys, each with what identifies its configuration."""
    name = scenario.model.name
    if scenario.deploy == "local":
        engine = _engine("llmdbench-simulator", our_version, "replica", 1, name, NO_ACCELERATOR, 0, {})
        return [_component("simulator", engine, {"config": asdict(scenario.simulator)})]
    if scenario.deploy == "standalone":
        return [_serving(scenario, "pods", "replica")]
    if scenario.deploy == "modelservice":
        roles: tuple[tuple[_Role, str], ...] = (("decode", "decode"), ("prefill", "prefill"))
        served = [_serving(scenario, role, word) for role, word in roles if scenario.role(role).replicas]
        picker = scenario.router.picker
        router = {"kind": "generic", "tool": "llm-d-router", "tool_version": picker.image or "of the charts"}
        return [*served, _component("epp", router, {"config": picker.plugins})]
    # What is there already, or a way to deploy that is not ours: nothing is known of its inside.
    other = {"kind": "generic", "tool": scenario.deploy, "tool_version": "unknown", "model": {"name": name}}
    return [_component(scenario.deploy, other, {})]


def config_id(*parts: Any) -> str:
    """SHA-256 of a configuration as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def without_secrets(tree: Any) -> Any:
    """Plain data with what looks like a secret's value replaced by ``***``; absent values are left out."""
    if isinstance(tree, Mapping):
        return {
            str(key): "***" if _SECRET.fullmatch(str(key)) and isinstance(value, str) else without_secrets(value)
            for key, value in tree.items()
            if value is not None
        }
    if isinstance(tree, set):  # which YAML has and a report has not
        tree = sorted(tree, key=str)
    if isinstance(tree, list | tuple):
        return [without_secrets(value) for value in tree]
    return _redacted(tree) if isinstance(tree, str) else tree


@lru_cache(maxsize=1024)  # the reports of a session have most texts in common
def _redacted(text: str) -> str:
    return redact([text])[0]


def _serving(scenario: Scenario, role: _Role, word: str) -> dict[str, Any]:
    pods, engine = scenario.role(role), scenario.engine
    count = gpus(scenario, pods) * pods.workers
    accelerator = scenario.accelerator.product or scenario.accelerator.resource if count else NO_ACCELERATOR
    made = _engine(
        engine.kind, engine.image, word, max(1, pods.replicas), scenario.model.name, accelerator, count,
        _parallelism(pods),
    )  # fmt: skip
    args: dict[str, Any] = {flag: True if value is None else value for flag, value in pods.vllm.flags().items()}
    if pods.vllm.extra_args:
        args["extra_args"] = redact(pods.vllm.extra_args)
    return _component(f"{engine.kind}-{word}", made, {"args": args, "envars": dict(pods.env)})


def _parallelism(pods: Pods) -> dict[str, int]:
    flags = pods.vllm
    tp, pp, dp = flags.tensor_parallel_size, flags.pipeline_parallel_size, flags.data_parallel_size
    local = flags.data_parallel_size_local or dp
    return {
        "tp": tp, "pp": pp, "dp": dp, "dp_local": local, "workers": pods.workers,
        "ep": tp * dp if flags.enable_expert_parallel else 1,
    }  # fmt: skip


def _engine(
    tool: str,
    version: str,
    role: str,
    replicas: int,
    model: str,
    accelerator: str,
    count: int,
    parallel: dict[str, int],
) -> dict[str, Any]:
    return {
        "kind": "inference_engine", "tool": tool, "tool_version": version, "role": role, "replicas": replicas,
        "model": {"name": model}, "accelerator": {"model": accelerator, "count": count, "parallelism": parallel},
    }  # fmt: skip


def _component(label: str, standardized: dict[str, Any], native: dict[str, Any]) -> dict[str, Any]:
    safe = without_secrets(native)
    metadata = {"schema_version": "0.0.1", "label": label, "cfg_id": config_id(standardized, safe)}
    return {"metadata": metadata, "standardized": standardized, "native": safe}
