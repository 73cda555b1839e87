"""A stack that is Ready: is what runs what was asked for, and does it answer where the load will ask."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Final

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.kubernetes import verify
from pytest_llmdbench.stacks.kubernetes.interruptible import interruptibly
from pytest_llmdbench.stacks.kubernetes.kept import of_stack
from pytest_llmdbench.stacks.kubernetes.live import LiveStack
from pytest_llmdbench.stacks.kubernetes.podspec import CONTAINER
from pytest_llmdbench.stacks.kubernetes.vantage import Ask, ask

#: A model that is Ready may still compile for its first request: so long may that take, in seconds.
_FIRST_COMPLETION_S: Final = 300.0
#: Seconds between two tries of what a router learns of only a moment after its pods are Ready.
_AGAIN_S: Final = 1.0
#: For how long a router may not know its pods yet, in seconds.
_ROUTER_S: Final = 60.0
_POOL: Final = ("inference.networking.k8s.io/v1", "InferencePool")
_ENGINE_PATHS: Final = ("/v1/models", "/metrics")


def check(stack: LiveStack, deadline: float) -> None:
    """See that what runs is what was asked for, and that it answers where the load will ask."""
    differing = []
    for expected in stack.rendered.expected:
        pods = stack.cluster.objects("v1", "Pod", expected.selector)
        differing += verify.differing_flags(expected, pods) if expected.flags else []
    if stack.rendered.files:
        maps = stack.cluster.objects("v1", "ConfigMap", of_stack(stack.names.run, stack.names.stack))
        differing += verify.differing_files(stack.rendered.files, maps)
    differing += _differing_pools(stack)
    if differing:
        raise StandupError("\n  - ".join([f"stack {stack.key} is not what the scenario says:", *differing]))
    _check_engines(stack)
    if stack.rendered.gateway:
        stack.host = _gateway_address(stack, deadline)
    _check_path(stack, deadline)


def _gateway_address(stack: LiveStack, deadline: float) -> str:
    """The address that a Gateway is given by its provider."""
    name = stack.rendered.gateway
    while True:
        found = stack.cluster.get("gateway.networking.k8s.io/v1", "Gateway", name) or {}
        addresses = (found.get("status") or {}).get("addresses") or []
        if addresses:
            return str(addresses[0]["value"])
        if time.monotonic() > deadline:
            said = [one.get("message") for one in (found.get("status") or {}).get("conditions") or ()]
            raise StandupError(f"Gateway {name} was given no address in time: {'; '.join(map(str, said))}")
        _pause(stack)


def _differing_pools(stack: LiveStack) -> list[str]:
    """How the pods that the router chooses from are others than those that serve; nothing without a router."""
    labels, roles = of_stack(stack.names.run, stack.names.stack), stack.rendered.expected
    if not any(release.values.get("router") for release in stack.rendered.releases):
        return []
    pools = stack.cluster.objects(*_POOL, labels)
    serving = [one for role in roles if role.container == CONTAINER for one in _pod_names(stack, role.selector)]
    chosen = [one for pool in pools for one in _pod_names(stack, pool["spec"]["selector"]["matchLabels"])]
    return verify.differing_pods(serving, chosen)


def _pod_names(stack: LiveStack, selector: Mapping[str, str]) -> list[str]:
    return [one["metadata"]["name"] for one in stack.cluster.objects("v1", "Pod", selector)]


def _check_engines(stack: LiveStack) -> None:
    """Every engine serves the model, with the length and the cache that the scenario says."""
    engines = stack.engines()
    answers = ask(stack.cluster, stack.vantage, [Ask(f"{url}{path}") for url in engines for path in _ENGINE_PATHS])
    flags: Mapping[str, str | None] = {}
    for one in stack.rendered.expected:
        flags = {**flags, **one.flags} if one.role in stack.rendered.engine_ports else flags
    for index, url in enumerate(engines):
        models, metrics = answers[2 * index : 2 * index + 2]
        trouble = verify.model_trouble(models, stack.scenario, stack.max_model_len())
        trouble = trouble or verify.cache_trouble(metrics, flags)
        if trouble:
            raise StandupError(f"stack {stack.key}: {url}: {trouble}")


def _check_path(stack: LiveStack, deadline: float) -> None:
    """One real completion through the service."""
    began = time.monotonic()
    while True:
        seconds = min(_FIRST_COMPLETION_S, max(1.0, deadline - time.monotonic()))
        question = verify.completion(stack.url, stack.scenario.model.name, seconds)
        asking = partial(ask, stack.cluster, stack.vantage, [question])
        answer = interruptibly(asking, stack.interrupted, f"stack {stack.key}")[0]
        trouble = verify.completion_trouble(answer)
        if trouble is None:
            return
        # A Service, a proxy, a router: each learns of Ready pods a moment later than we do.
        passing = answer.status in (0, 404, 502, 503, 504) and time.monotonic() - began < _ROUTER_S
        if not passing or time.monotonic() > deadline:
            raise StandupError(f"stack {stack.key}: all pods are Ready, but at {stack.url} {trouble}")
        _pause(stack)


def _pause(stack: LiveStack) -> None:
    if stack.interrupted.wait(_AGAIN_S):
        raise StandupError(f"stack {stack.key}: the run ended before it was up")
