"""After Ready: is what runs what was asked for, and does it answer on the path that the load will take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.stacks.kubernetes.podspec import flags_of
from pytest_llmdbench.stacks.kubernetes.rendered import Expected
from pytest_llmdbench.stacks.kubernetes.vantage import Answer, Ask

#: vLLM says of its cache what it runs with: label of the metric -> flag.
_CACHE: Final = {"block_size": "--block-size", "gpu_memory_utilization": "--gpu-memory-utilization"}
_CACHE_INFO: Final = re.compile(r"^vllm:cache_config_info\{([^}]*)\}", re.MULTILINE)


def differing_flags(expected: Expected, pods: Sequence[Mapping[str, Any]]) -> list[str]:
    """How the engines of live pods were started otherwise than the scenario says; one sentence each. Pure."""
    found = []
    for pod in pods:
        engine = next((one for one in pod["spec"]["containers"] if one["name"] == expected.container), None)
        if engine is None:
            found.append(f"{pod['metadata']['name']} has no container {expected.container}")
            continue
        # A command of one long text (a shell's) holds its words all the same.
        words = [word for text in (*engine.get("command", ()), *engine.get("args", ())) for word in text.split()]
        live = flags_of([*engine.get("command", ()), *engine.get("args", ())])
        loose = flags_of(words)
        for flag, value in expected.flags.items():
            if flag in live and live[flag] == value:
                continue
            if flag not in loose:
                found.append(f"{pod['metadata']['name']} was started without {_said(flag, value)}")
            elif loose[flag] != value:
                found.append(f"{pod['metadata']['name']} was started with {_said(flag, loose[flag])}, not {value}")
    return found


def differing_files(files: Mapping[str, str], maps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Files that no live ConfigMap holds as the scenario says; one sentence each. Pure."""
    import yaml

    found = []
    for name, text in files.items():
        held = [one["data"][name] for one in maps if name in (one.get("data") or {})]
        if yaml.safe_load(text) not in [yaml.safe_load(one) for one in held]:
            found.append(f"{name} is not what the scenario says" if held else f"no ConfigMap holds {name}")
    return found


def differing_pods(serving: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Pods that the InferencePools have and that do not serve, or the other way round; one sentence each. Pure."""
    wrong = [f"{name} is in an InferencePool and is none of this stack's" for name in sorted({*chosen} - {*serving})]
    return wrong + [f"{name} serves and is in no InferencePool" for name in sorted({*serving} - {*chosen})]


def model_trouble(answer: Answer, scenario: Scenario, max_model_len: int | None) -> str | None:
    """What is wrong with the answer to ``/v1/models``. Pure."""
    if answer.status != 200:
        return f"/v1/models was answered with {answer.status}: {answer.text.strip()[:300]}"
    models = (answer.data or {}).get("data") or []
    names = [one.get("id") for one in models]
    if scenario.model.name not in names:
        return f"it serves {', '.join(map(str, names)) or 'no model'}, not {scenario.model.name} (model.name)"
    length = next(one for one in models if one.get("id") == scenario.model.name).get("max_model_len")
    if max_model_len is not None and length is not None and length != max_model_len:
        return f"it runs with max_model_len {length}, not {max_model_len} as the scenario says"
    return None


def cache_trouble(metrics: Answer, flags: Mapping[str, str | None]) -> str | None:
    """Where the engine's own account of its cache differs from its flags; None where it gives none. Pure."""
    match = _CACHE_INFO.search(metrics.text) if metrics.status == 200 else None
    if match is None:
        return None
    live = dict(re.findall(r'(\w+)="([^"]*)"', match[1]))
    for label, flag in _CACHE.items():
        wanted = flags.get(flag)
        if wanted is not None and label in live and float(live[label]) != float(wanted):
            return f"the engine runs with {label} {live[label]}, not {wanted} as {flag} says"
    return None


def completion(url: str, model: str, seconds: float) -> Ask:
    """One real request: a prompt, one token."""
    body = {"model": model, "prompt": "are you ready", "max_tokens": 1}
    return Ask(f"{url}/v1/completions", body, seconds=seconds)


def completion_trouble(answer: Answer) -> str | None:
    """What is wrong with the answer to :func:`completion`. Pure."""
    if answer.status != 200:
        said = answer.text.strip()[:300]
        return f"a completion was answered with {answer.status or 'nothing'}: {said}"
    if not ((answer.data or {}).get("usage") or {}).get("completion_tokens"):
        return "a completion came back without a token"
    return None


def _said(flag: str, value: str | None) -> str:
    return flag if value is None else f"{flag}={value}"
