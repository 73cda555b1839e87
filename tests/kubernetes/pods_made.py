"""Deployments of one small container, and waits for them, for tests on a real cluster."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.names import Names
from pytest_llmdbench.stacks.kubernetes.rendered import Expected
from pytest_llmdbench.stacks.kubernetes.wait import wait_ready

BASE_IMAGE: Final = os.environ.get("LLMDBENCH_TEST_BASE_IMAGE", "llmdbench.local/python:3")
SERVE: Final = ("python3", "-m", "http.server", "8000")
NAMES: Final = Names("x7k2m9", "stack", "")
EXPECTED: Final = Expected("decode", NAMES.selector("decode"), 1, "engine")


def probe(path: str) -> dict[str, Any]:
    """A readiness probe that asks every second."""
    return {"httpGet": {"path": path, "port": 8000}, "periodSeconds": 1}


def deployment(
    command: tuple[str, ...] = SERVE, *, replicas: int = 1, pod: Any = None, **engine: Any
) -> dict[str, Any]:
    """A Deployment whose pods run this; ``engine`` and ``pod`` come on top of the container and the pod."""
    container = {
        "name": "engine", "image": BASE_IMAGE, "imagePullPolicy": "IfNotPresent", "command": list(command), **engine,
    }  # fmt: skip
    labels = NAMES.labels | NAMES.selector("decode")
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container], **(pod or {})}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAMES.name("decode"), "labels": NAMES.labels},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": NAMES.selector("decode")},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }  # fmt: skip


def wait(
    cluster: Cluster, seconds: float = 60.0, *, lines: list[str] | None = None, role: Mapping[str, str] | None = None,
    **more: Any,
) -> None:  # fmt: skip
    """Wait for the Deployment's one pod, or that of another role."""
    more.setdefault("interrupted", threading.Event())
    expected = replace(EXPECTED, selector=role) if role else EXPECTED
    wait_ready(
        cluster, [expected], deadline=time.monotonic() + seconds, say=(lines if lines is not None else []).append,
        name="stack s", **more,
    )  # fmt: skip


def failure(cluster: Cluster, manifest: Mapping[str, Any], seconds: float = 60.0, **more: Any) -> str:
    """Make this and wait until it is given up; the message, which is printed with how long it took."""
    began = time.monotonic()
    cluster.apply(manifest)
    with pytest.raises(StandupError) as told:
        wait(cluster, seconds, **more)
    print(f"{time.monotonic() - began:.1f} s: {told.value}")
    return str(told.value)


def one_pod(cluster: Cluster) -> str:
    """The name of the Deployment's pod."""
    return str(cluster.objects("v1", "Pod", EXPECTED.selector)[0]["metadata"]["name"])
