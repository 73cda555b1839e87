"""What a scenario becomes on a cluster: manifests, Helm releases, and what must be there once it runs. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_llmdbench.declared.router import Chart

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Release:
    """One Helm release: what ``helm install`` is told."""

    name: str
    chart: Chart
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expected:
    """Pods that must be Ready before the stack counts as up.

    ``selector`` finds them and no others; ``count`` is all of them; ``container`` is the one that matters, ``flags``
    what it must have been started with (flag -> value, None for a flag without one). Of an ``elastic`` role something
    else changes the number of pods while it is up.
    """

    role: str
    selector: Mapping[str, str]
    count: int
    container: str
    flags: Mapping[str, str | None] = field(default_factory=dict)
    gpus: int = 0  #: of one pod
    elastic: bool = False


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be in the cluster before anything is created; the preflight asks for it.

    ``kinds`` are (apiVersion, kind, what brings it); ``secrets`` names of Secrets with the key that each must have.
    """

    kinds: tuple[tuple[str, str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    storage_class: str | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """One stack. ``service`` and ``port`` are what the load goes to.

    ``first`` are manifests of Jobs that must complete before the rest is applied (filling a claim with a model), with
    what they need; ``optional`` are applied where the cluster knows their kind; ``kept`` (claims) have no owner and
    stay. ``gateway`` names a Gateway that has no Service: its address, in its status, is what the load goes to.
    ``engine_ports`` is the port of the engine itself in its pod, by role; other roles have no engine. ``files`` are
    what the stack's ConfigMaps must hold once it is up: name -> YAML.
    """

    first: tuple[Manifest, ...]
    kept: tuple[Manifest, ...]
    manifests: tuple[Manifest, ...]
    optional: tuple[Manifest, ...]
    releases: tuple[Release, ...]
    expected: tuple[Expected, ...]
    service: str
    port: int
    gateway: str = ""
    needs: Needs = field(default_factory=Needs)
    engine_ports: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def gpus(self) -> int:
        """GPUs of all pods together."""
        return sum(pods.count * pods.gpus for pods in self.expected)
