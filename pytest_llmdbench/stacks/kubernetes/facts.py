"""What is stored with every result of a stack on Kubernetes: run, versions, image digests, nodes."""

from __future__ import annotations

from typing import Any

from pytest_llmdbench.stacks.kubernetes.live import LiveStack


def facts(stack: LiveStack) -> dict[str, Any]:
    """As JSON-able data. Raises ClusterError."""
    pods = [
        {
            "name": one["metadata"]["name"],
            "role": expected.role,
            "node": one["spec"].get("nodeName"),
            "images": {state["name"]: state["imageID"] for state in one["status"].get("containerStatuses", ())},
        }
        for expected in stack.rendered.expected
        for one in stack.cluster.objects("v1", "Pod", expected.selector)
    ]
    return {
        "engine": stack.scenario.engine.kind,
        "image": stack.scenario.engine.image,
        "max_model_len": stack.max_model_len(),
        "kubernetes": stack.cluster.version(),
        "namespace": stack.names.namespace,
        "service": stack.rendered.service,
        "port": stack.rendered.port,
        "run": stack.names.run,
        "gpus": stack.rendered.gpus,
        "pods": pods,
    }
