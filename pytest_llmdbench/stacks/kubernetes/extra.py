"""The further objects that a scenario writes itself: texts in them are templates, rendered in a sandbox. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.stacks.kubernetes.names import Names
from pytest_llmdbench.stacks.kubernetes.sealed import CLUSTER_WIDE

#: Kinds that change how many pods there are.
_SCALERS: Final = ("ScaledObject", "HorizontalPodAutoscaler", "VariantAutoscaling")


def is_scaled(scenario: Scenario) -> bool:
    """Whether the scenario brings something that changes the number of its pods."""
    return any(manifest.get("kind") in _SCALERS for manifest in scenario.manifests)


def extra_manifests(scenario: Scenario, names: Names, *, service: str) -> list[dict[str, Any]]:
    """``manifests`` of the scenario, filled in, named apart from other runs', labelled and owned.

    Raises:
        DeclarationError: a template that is wrong, or an object without kind and name.
    """
    if not scenario.manifests:
        return []
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    sandbox = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    known = {
        "name": names.base,
        "service": service,
        "namespace": names.namespace,
        "model": scenario.model.name,
        "labels": names.labels,
        "decode": names.selector("decode"),
        "prefill": names.selector("prefill"),
    }

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return sandbox.from_string(value).render(stack=known)
        if isinstance(value, Mapping):
            return {fill(key): fill(one) for key, one in value.items()}
        return [fill(one) for one in value] if isinstance(value, list | tuple) else value

    made = []
    for number, manifest in enumerate(scenario.manifests, 1):
        try:
            filled = fill(manifest)
        except TemplateError as error:
            raise DeclarationError(f"manifests, number {number}: {error}") from error
        if not filled.get("apiVersion") or not filled.get("kind") or not (filled.get("metadata") or {}).get("name"):
            raise DeclarationError(f"manifests, number {number}: needs apiVersion, kind and metadata.name")
        if filled["kind"] in CLUSTER_WIDE:
            raise DeclarationError(
                f"manifests, number {number}: a {filled['kind']} belongs to no namespace and would outlive the run; "
                "make it yourself, once"
            )
        if filled["metadata"].get("namespace", names.namespace) != names.namespace:
            raise DeclarationError(
                f"manifests, number {number}: everything of a stack is in its namespace, and this says "
                f"{filled['metadata']['namespace']}"
            )
        if names.run not in filled["metadata"]["name"]:
            filled["metadata"]["name"] = names.name(filled["metadata"]["name"])
        made.append(names.owned(filled))
    return made
