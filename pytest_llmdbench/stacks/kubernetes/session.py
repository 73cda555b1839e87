"""What the stacks of one pytest session on Kubernetes share: the run's id, and an anchor for each namespace."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.anchor import Anchor
from pytest_llmdbench.stacks.kubernetes.anchor_job import Bounds, Image, anchor_name
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.kept import verify_gone
from pytest_llmdbench.stacks.kubernetes.names import OURS, RUN, new_run

#: How long the cluster's own controllers get to delete what an anchor owned, in seconds.
GONE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the options ask for. ``keep_s``: leave stacks standing for so many seconds; None takes them down."""

    folder: Path  #: where diagnostics go
    keep_s: float | None = None
    reuse: bool = False
    wait_for_gpus: bool = False


@dataclass(eq=False)
class _Held:
    anchor: Anchor
    stacks: int = 0


@dataclass(eq=False)
class KubernetesSession:
    """One per process that owns stacks. Safe from several threads."""

    wishes: Wishes
    run: str = field(default_factory=new_run)
    _held: dict[tuple[str | None, str], _Held] = field(default_factory=dict)
    _changing: threading.Lock = field(default_factory=threading.Lock)
    #: Where a stack of this run was kept already: its anchor is not ended any more.
    _kept: set[tuple[str | None, str]] = field(default_factory=set)

    def cluster(self, scenario: Scenario, say: Say) -> Cluster:
        """A connection to the scenario's cluster and namespace. Raises ClusterError."""
        return Cluster(scenario.cluster.context, scenario.cluster.namespace, say)

    def join(self, cluster: Cluster, scenario: Scenario, say: Say) -> Anchor:
        """The run's anchor in this namespace, made for the first stack there; :meth:`leave` when the stack is gone.

        Raises:
            ClusterError: it could not be made.
            StandupError: the scenario names no image for it.
        """
        if scenario.load.image is None:
            raise StandupError("load.image is not set: it is the image of the run's anchor and of the load programs")
        with self._changing:
            key = (cluster.context, cluster.namespace)
            held = self._held.get(key)
            if held is None:
                load = scenario.load
                image = Image(load.image or "", load.pull_policy, scenario.cluster.image_pull_secrets)
                bounds = Bounds(scenario.timeouts.lease_s, scenario.timeouts.run_s)
                anchor = Anchor(cluster, self.run, image, bounds)
                anchor.start()
                say(f"run {self.run}: all of it in namespace {cluster.namespace} hangs on job/{anchor_name(self.run)}")
                held = self._held[key] = _Held(anchor)
            held.stacks += 1
            return held.anchor

    def leave(self, cluster: Cluster, *, keep: bool) -> None:
        """A stack is gone, or is kept; after the last one the anchor goes, or is told for how long to stay.

        Raises:
            ClusterError: the cluster could not be told.
            StandupError: something of the run is left once its anchor is gone.
        """
        with self._changing:
            key = (cluster.context, cluster.namespace)
            held = self._held.get(key)
            if held is None:
                return
            held.stacks -= 1
            self._kept |= {key} if keep else set()
            if held.stacks > 0:
                return
            del self._held[key]
            if key in self._kept and self.wishes.keep_s is not None:
                held.anchor.keep(self.wishes.keep_s)
                return
            held.anchor.end()
            # Nobody joins meanwhile: the next stack's objects would be taken for what is left of this one's.
            verify_gone(cluster, {**OURS, RUN: self.run}, GONE_S)


def deployed_part(scenario: Scenario) -> Mapping[str, Any]:
    """The part of a scenario that decides what is deployed: two that agree in it can share a stack."""
    data = scenario.dump()
    for name in ("description", "harness", "slo", "sanity", "timeouts", "load", "endpoint"):
        data.pop(name)
    for name in ("price_per_hour", "prices", "gpus"):
        data["accelerator"].pop(name)
    return data
